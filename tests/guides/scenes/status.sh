# Three instances: one is master, one leaves its master alone, one has a check that is down.
(
  postgres
  instance web 80 110 192.0.2.80
  instance lb 90 130 192.0.2.90 "    nopreempt"
  instance db 50 110 192.0.2.50 "    track_script {
        postgres
    }"
) > n1/vrrpx.conf
(
  instance web 80 100 192.0.2.80
  instance lb 90 120 192.0.2.90
  instance db 50 100 192.0.2.50
) > n2/vrrpx.conf
start 2
await is_master 2 web
await is_master 2 lb
await is_master 2 db
start 1
show operations.md: Status 1 -- node1 vrrpx status
