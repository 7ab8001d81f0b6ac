# Two masters: another password.
old() {
  echo "global_defs {
    router_id web$1
}
vrrp_instance web {
    interface eth0
    virtual_router_id ${4-80}
    priority $2
    version 2
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass $3
    }
    virtual_ipaddress {
        192.0.2.80/24
    }
}" > n$1/vrrpx.conf
}
old 1 110 one
old 2 100 two
start 1
await is_master 1
start 2
await is_master 2
show troubleshooting.md: Two masters 1 -- node1 vrrpx status
show troubleshooting.md: Two masters 2 -- cat log.1
old 2 100 one
node2 vrrpx reload
show troubleshooting.md: Two masters 3 -- cat log.1
# Another VRID.
old 2 100 one 77
sed -i 's/192.0.2.80/192.0.2.90/' n2/vrrpx.conf
node2 vrrpx reload
show troubleshooting.md: Two masters 7 -- node1 vrrpx status --verbose
stop 1
stop 2
# A switch that drops adverts.
new() { (echo "global_defs {
    router_id web$1
}"; instance web 80 $2 192.0.2.80) > n$1/vrrpx.conf; }
new 1 110
new 2 100
bridge -n l$SUFFIX link set dev port1 isolated on
bridge -n l$SUFFIX link set dev port2 isolated on
start 1
start 2
await is_master 1
await is_master 2
show troubleshooting.md: Two masters 6 -- node1 vrrpx status
bridge -n l$SUFFIX link set dev port1 isolated off
bridge -n l$SUFFIX link set dev port2 isolated off
await is_master 1
# One node refuses the adverts of the other, by their TTL, and is not refused by it.
stop 1
stop 2
instance web 80 110 192.0.2.80 "    unicast_ttl 64
    unicast_peer {
        192.0.2.12
    }" > n1/vrrpx.conf
instance web 80 100 192.0.2.80 "    unicast_peer {
        192.0.2.11 min_ttl 255
    }" > n2/vrrpx.conf
start 1
start 2
show troubleshooting.md: Two masters 4 -- node1 vrrpx status
show troubleshooting.md: Two masters 5 -- cat log.1
stop 1
stop 2
new 1 110
new 2 100
start 1
start 2
await is_master 1
# A firewall of the sender.
node1 nft 'add table inet t; add chain inet t o { type filter hook output priority 0; }; add rule inet t o ip protocol 112 drop'
show troubleshooting.md: Two masters 8 -- node1 vrrpx status
node1 nft delete table inet t
stop 1
# A firewall of the receiver.
start 1
await is_master 1
node2 nft 'add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i ip protocol 112 drop'
show troubleshooting.md: Reception of others 1 -- node2 vrrpx status
node2 nft delete table inet t
stop 2
# Different settings.
(echo "global_defs {
    router_id web2
}"; instance web 80 100 192.0.2.80 | sed 's|^        192.0.2.80/24|&\n        192.0.2.81/24|; s/advert_int 0.1/advert_int 3/') > n2/vrrpx.conf
sed -i 's/advert_int 0.1/advert_int 1/' n1/vrrpx.conf
node1 vrrpx reload
start 2
show troubleshooting.md: Needless failovers 2 -- node2 vrrpx status
