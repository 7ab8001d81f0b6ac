# Node 2 is master; node 1 runs no daemon.
(instance web 80 110 192.0.2.80) > n2/vrrpx.conf
(instance web 80 100 192.0.2.80) > n1/vrrpx.conf
start 2
await is_master 2
show doctor.md: What a probe proves 1 -- node1 vrrpx doctor --probe --config vrrpx.conf
node2 nft 'add table inet wall; add chain inet wall c { type filter hook output priority 0; }; add rule inet wall c meta l4proto 112 drop'
show doctor.md: What a probe proves 2 -- node1 vrrpx doctor --probe --config vrrpx.conf
stop 2
