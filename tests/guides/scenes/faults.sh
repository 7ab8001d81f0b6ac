# A check, a missing interface, and a member of a sync group whose other member is in FAULT.
(
  postgres
  echo "vrrp_sync_group front {
    group {
        outside
        inside
    }
}"
  instance db 50 110 192.0.2.50 "    track_script {
        postgres
    }"
  instance gone 51 100 192.0.2.51 | sed 's/eth0/eth9/'
  instance inside 52 100 192.0.2.52
  instance outside 53 100 192.0.2.53 "    track_interface {
        eth8
    }"
) > n1/vrrpx.conf
start 1
show troubleshooting.md: FAULT 1 -- node1 vrrpx status | grep -v '^outside' | grep -v 192.0.2.53 | grep -v '^! outside'
stop 1
# A hook that fails, and a route that cannot be set.
(
  echo "global_defs {
    script_user root
}"
  instance route 57 100 192.0.2.57 "    notify_master \"/bin/sh -c 'exit 2'\"
    virtual_routes {
        198.51.100.0/24 via 203.0.113.1 dev eth0
    }"
) > n1/vrrpx.conf
start 1
show troubleshooting.md: MASTER, and no answer 2 -- node1 vrrpx status
show troubleshooting.md: Hooks 1 -- node1 vrrpx status
show troubleshooting.md: Hooks 2 -- cat log.1
await is_master 1 route
node1 ip address delete 192.0.2.57/24 dev eth0
show troubleshooting.md: MASTER, and no answer 3 -- cat log.1
stop 1
# Scripts that are disabled.
(
  echo "global_defs {
    enable_script_security
}
vrrp_script missing {
    script /bin/true
}"
  instance web 80 100 192.0.2.80 "    track_script {
        missing
    }"
) > n1/vrrpx.conf
start 1
show troubleshooting.md: Scripts 1 -- node1 vrrpx status
stop 1
# A script that any user may change, on a file system of the node's own.
node1 sh -c 'mount -t tmpfs -o mode=755 tmpfs /opt && echo "#!/bin/sh" > /opt/check.sh && chmod 777 /opt/check.sh'
(
  echo "global_defs {
    script_user root
    enable_script_security
}
vrrp_script check {
    script /opt/check.sh
}"
  instance web 80 100 192.0.2.80 "    track_script {
        check
    }"
) > n1/vrrpx.conf
start 1
show operations.md: Scripts 1 -- cat log.1
stop 1
# A full disk.
node1 sh -c 'umount /opt && mount -t tmpfs -o size=64k tmpfs /opt'
(instance web 80 110 192.0.2.80) > n1/vrrpx.conf
STATE_DIRECTORY=/opt start 1
await is_master 1
node1 sh -c 'head -c 1m /dev/zero > /opt/filler' 2> /dev/null
sed -i 's/priority 110/priority 100/' n1/vrrpx.conf
node1 vrrpx reload
show troubleshooting.md: Files 1 -- node1 vrrpx status
stop 1
# A check that flaps.
flapping
(
  echo "global_defs {
    script_user root
}
vrrp_script f {
    script /run/flap.sh
    interval 0.1
    fall 1
    rise 1
    damping 5 60 hold 120
}"
  instance web 80 110 192.0.2.80 "    track_script {
        f
    }"
) > n1/vrrpx.conf
start 1
show troubleshooting.md: Needless failovers 1 -- node1 vrrpx status
stop 1
# Without the capabilities for BPF.
(instance web 80 110 192.0.2.80) > n1/vrrpx.conf
node1 setpriv --inh-caps=-cap_38,-cap_39,-cap_21 --bounding-set=-cap_38,-cap_39,-cap_21 vrrpx run --config vrrpx.conf 2>> log.1 &
await node1 vrrpx status --json
show troubleshooting.md: Receive path 1 -- node1 vrrpx status --verbose
stop 1
# A weight that does not move the master.
(
  echo "global_defs {
    router_id web1
    script_user root
}
vrrp_script nginx {
    script /bin/false
    weight -5
    fall 1
}"
  instance web 80 150 192.0.2.80 "    track_script {
        nginx
    }"
) > n1/vrrpx.conf
start 1
show troubleshooting.md: No takeover 1 -- node1 vrrpx status
show operations.md: Logs 1 -- tac log.1 | grep -Em 2 ' (started|check is down) ' | tac
show troubleshooting.md: No takeover 2 -- node1 vrrpx explain vrrpx.conf
sed -i 's/    interface eth0/&\n    nopreempt/' n1/vrrpx.conf
show troubleshooting.md: No takeover 3 -- node1 vrrpx check vrrpx.conf
stop 1
# A broken file.
(
  echo "global_defs {
    router_id web1
}"
  instance web 80 110 192.0.2.80
) > n1/vrrpx.conf
start 1
sed -i 's/priority/prioirty/' n1/vrrpx.conf
show troubleshooting.md: Reload 1 -- node1 vrrpx reload
show troubleshooting.md: Reload 2 -- node1 vrrpx status
# Files with errors.
cat > n1/vrrpx.conf <<'END'
global_defs {
    router_id web1
}
vrrp_check nginx {
    http http://127.0.0.1/health
    interval 0.2
    fall 2
    rise 2
}
vrrp_instance web {
    interface eth0
    virtual_router_id 51
    version 2
    prioirty 110
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass correcthorse
    }
    track_check {
        nginx
    }
    virtual_ipaddress {
        192.0.2.80/24
    }
}
END
show configuration.md: Checking a file 1 -- node1 vrrpx check vrrpx.conf
cat > n1/vrrpx.conf <<'END'
vrrp_instance web {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        192.0.2.80/24

}
END
show configuration.md: Checking a file 2 -- node1 vrrpx check vrrpx.conf
