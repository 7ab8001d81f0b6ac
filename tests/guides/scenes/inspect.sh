# Node 2 has three virtual routers. Node 1 has two of them in its configuration, one with another password.
ip -n b$SUFFIX link set eth0 down
ip -n b$SUFFIX link set eth0 up address 02:00:00:00:00:12
old() {
  echo "vrrp_instance old {
    interface eth0
    virtual_router_id 51
    priority $1
    version 2
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass $2
    }
    virtual_ipaddress {
        192.0.2.100/24
    }
}"
}
(
  old 100 one
  instance web 80 100 192.0.2.80
) > n1/vrrpx.conf
(
  old 150 two
  instance web 80 110 192.0.2.80
  echo "vrrp_instance web6 {
    interface eth0
    virtual_router_id 80
    priority 110
    version 3
    advert_int 1
    virtual_ipaddress {
        fe80::80/64
        2001:db8::80/64
    }
}"
) > n2/vrrpx.conf
start 2
await is_master 2 old
await is_master 2 web
await is_master 2 web6
# What is measured, to the hundredth of a second.
measured() { sed -E 's/(0\.10|1\.00)[0-9] s/\10 s/'; }
show doctor.md: vrrpx detect 2 -- node1 vrrpx detect eth0 --for 5s --file vrrpx.conf | measured
show doctor.md: vrrpx detect 3 -- node1 vrrpx detect eth0 --for 3s --vrid 51 --config
# The first advert of each virtual router, with the explanation below it, by the name.
first() { awk '!/^ /{ key = $2; new = !seen[key]++ } new { text[key] = text[key] $0 "\n" } END { printf "%s", text["old"] text["vrid"] text["web"] }'; }
show doctor.md: vrrpx trace 2 -- node1 vrrpx trace --config vrrpx.conf --for 3s | first
stop 2
# A check that flaps, and one that fails.
flapping
(
  echo "global_defs {
    script_user root
}
vrrp_script web {
    script /run/flap.sh
    interval 0.1
    fall 1
    rise 1
    damping 5 60 hold 120
}
vrrp_script disk {
    script \"/bin/sh -c 'echo /var is 99% full; exit 2'\"
    interval 1
    fall 1
}"
  instance web 80 110 192.0.2.80 "    track_script {
        web
        disk
    }"
) > n1/vrrpx.conf
start 1
runs() { sed -E 's/(web .*polling +)[0-9]+/\1231/; s/(disk .*polling +)[0-9]+/\177/'; }
show operations.md: Checks 1 -- node1 vrrpx status --verbose | runs
