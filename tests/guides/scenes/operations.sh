write() {
  echo "global_defs {
    router_id web$1
}
vrrp_instance web {
    interface eth0
    virtual_router_id 51
    priority $2
    version 3
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.80/24
    }
}" > n$1/vrrpx.conf
}
# Node 1 is master, and has heard no other router.
write 1 200
write 2 100
start 1
await is_master 1
start 2
session operations.md: Steering 1
await is_master 2
node1 vrrpx priority web reset
await is_master 1
node1 vrrpx maintenance on web --for 30m --reason "new disk"
show operations.md: Steering 2 -- cat log.1
node1 vrrpx maintenance off web
await is_master 1
session operations.md: Steering 3
show operations.md: Status 3 -- node1 vrrpx is-master web; echo $?; node1 vrrpx is-master --json web | sed 's/"since":"[^"]*"/"since":"2026-11-29T12:03:12.281Z"/'
show operations.md: Running 2 -- node1 vrrpx run --config vrrpx.conf
stop 1
await is_master 2
# The same pair with other priorities.
write 1 110
cp n1/vrrpx.conf n1/good.conf
start 1 --metrics 127.0.0.1:9112
await is_master 1
session operations.md: HTTP 1
session operations.md: Metrics 1
sed -i 's/priority 110/priority 90/; s|^        192.0.2.80/24|&\n        192.0.2.81/24|' n1/vrrpx.conf
echo '
vrrp_instance db {
    interface eth9
    virtual_router_id 50
    virtual_ipaddress {
        192.0.2.50/24
    }
}' >> n1/vrrpx.conf
session operations.md: Reload 1
sed 's/priority 110/priority 90/' n1/good.conf > n1/vrrpx.conf
session operations.md: A reload that undoes itself 1
node1 vrrpx reload --keep
cp n1/good.conf n1/vrrpx.conf
node1 vrrpx reload
sed -i 's/priority 110/priority 90/' n1/vrrpx.conf
node1 vrrpx reload --confirm 1s
show operations.md: A reload that undoes itself 2 -- node1 vrrpx status
cp n1/good.conf n1/vrrpx.conf
node1 vrrpx reload
# Events as they come, of a check.
cp n1/good.conf n1/vrrpx.conf
(
  echo "global_defs {
    script_user root
}
vrrp_script nginx {
    script /bin/true
}"
  sed '1,/^}/d; s/^    interface eth0/&\n    track_script {\n        nginx\n    }/' n1/good.conf
) > n1/vrrpx.conf
node1 vrrpx reload
show operations.md: HTTP 2 -- node1 curl -s http://127.0.0.1:9112/api/v1/status/wep
show operations.md: HTTP 3 -- node1 timeout 2 curl -sN http://127.0.0.1:9112/api/v1/events | sed 's/^id: .*/id: 1795953791901516/; s/"seq":[0-9]*/"seq":1795953791901516/; s/"time":"[^"]*"/"time":"2026-11-29T12:03:11.923Z"/'
cp n1/good.conf n1/vrrpx.conf
node1 vrrpx reload
stop 1
sed -i 's/priority/priorty/' n1/vrrpx.conf
start 1
show operations.md: A start with a broken file 1 -- node1 vrrpx status
show operations.md: In keepalived's place 1 -- node1 vrrpx keepalived -t -f vrrpx.conf; echo $?
stop 1
# Node 1 takes over, its hook fails, and a reload lowers its priority.
cp n1/good.conf n1/vrrpx.conf
sed -i '$d' n1/vrrpx.conf
echo '    notify_master "/bin/sh -c '"'echo cannot reach the switch; exit 3'"'"
}' >> n1/vrrpx.conf
stop 2
start 1
await is_master 1
start 2
sed -i 's/priority 110/priority 90/' n1/vrrpx.conf
node1 vrrpx reload
await is_master 2
show operations.md: Events 1 -- node1 vrrpx events --since 10m
# Node 1 is killed with its guard.
stop 2
await is_master 1
killed=$(for pid in $(ip netns pids a$SUFFIX); do grep -q vrrpx /proc/$pid/comm && echo $pid; done)
kill -9 $killed
for pid in $killed; do await test ! -e /proc/$pid/cwd; done
session operations.md: When the daemon dies 1
