write() {
  (
    echo "global_defs {
    router_id web$1
}"
    instance web 51 $2 192.0.2.80
  ) > n$1/vrrpx.conf
}
# A virtual router of version 2 with a password.
secret() {
  sed "s/version 3/version 2/; s/advert_int 0.1/advert_int 1/; s/^    priority/    authentication {\n        auth_type PASS\n        auth_pass $2\n    }\n&/" n$1/good.conf > n$1/vrrpx.conf
}
write 1 110
write 2 100
cp n1/vrrpx.conf n1/good.conf
cp n2/vrrpx.conf n2/good.conf
start 1
await is_master 1
start 2
# Another router is known once it has sent an advert.
node1 vrrpx failover web --force --for 1s
await is_master 2
await is_master 1
session handbook.md: Move the address to the other host for maintenance 1
session handbook.md: Move the address to the other host for maintenance 2
await is_master 1
instance db 50 110 192.0.2.50 >> n1/vrrpx.conf
session handbook.md: Add an instance 2
show handbook.md: Add an instance 3 -- node1 vrrpx status
cp n1/good.conf n1/vrrpx.conf
node1 vrrpx reload
sed -i 's/priority 110/priority 90/' n1/vrrpx.conf
session handbook.md: Change a priority 1
await is_master 2
session handbook.md: Change a priority 2
cp n1/good.conf n1/vrrpx.conf
node1 vrrpx reload
await is_master 1
# A web server and its check.
node1 perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:80", Listen => 9) or die; while (1) { $s->accept }' &
(
  sed '/^}/q' n1/good.conf
  echo "vrrp_check nginx {
    tcp 127.0.0.1:80
    interval 1
    fall 2
}"
  sed '1,/^}/d; s/^    interface eth0/&\n    track_check {\n        nginx\n    }/' n1/good.conf
) > n1/vrrpx.conf
session handbook.md: Add a check 2
show handbook.md: Add a check 3 -- node1 vrrpx status web
cp n1/good.conf n1/vrrpx.conf
node1 vrrpx reload
node1 vrrpx run --hot-restart --config vrrpx.conf --metrics 192.0.2.11:9112 2>> log.1 &
await node1 curl -sf http://192.0.2.11:9112/-/ready
show handbook.md: Upgrade 2 -- node1 vrrpx status
session handbook.md: Watch it with Prometheus 2
# The new host has the address of the old one.
stop 2
show handbook.md: Replace a host 1 -- node2 vrrpx check --host vrrpx.conf; node2 vrrpx detect eth0 --for 2s
start 2
show handbook.md: Replace a host 2 -- node2 vrrpx status
stop 1
await is_master 2
show handbook.md: Find out why it failed over on Saturday 1 -- node2 vrrpx events --since "2026-11-28 00:00" web
stop 2
sed -i 's/priority 110/priority 90/' n1/good.conf
secret 1 old
secret 2 old
start 2
await is_master 2
start 1
hears() { node1 vrrpx status | grep -q "192.0.2.12 is master"; }
await hears
secret 1 new
secret 2 new
session handbook.md: Change a key or a password 2
node2 vrrpx reload
session handbook.md: Change a key or a password 3
show handbook.md: Change a key or a password 4 -- node1 vrrpx status
