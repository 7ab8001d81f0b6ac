# Node 2 is master; node 1 runs no daemon.
(instance web 80 110 192.0.2.80) > n2/vrrpx.conf
(instance web 80 100 192.0.2.80) > n1/vrrpx.conf
start 2
await is_master 2
show doctor.md: What a probe proves 1 -- node1 vrrpx doctor --probe --config vrrpx.conf
node2 nft 'add table inet wall; add chain inet wall c { type filter hook output priority 0; }; add rule inet wall c meta l4proto 112 drop'
show doctor.md: What a probe proves 2 -- node1 vrrpx doctor --probe --config vrrpx.conf
stop 2
# Node 1 has most traps. Its interface is its own, as with Docker's `--network host`.
ip -n a$SUFFIX link delete eth0
ip -n a$SUFFIX link add eth0 type veth peer name far0
ip -n a$SUFFIX link set far0 up
ip -n a$SUFFIX link set eth0 up
ip -n a$SUFFIX address add 192.0.2.10/24 dev eth0
node1 sh -c '
  mkdir -p /run/systemd /run/etc/upper /run/etc/work && echo docker > /run/systemd/container
  mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
  mkdir -p /etc/systemd/system/multi-user.target.wants
  ln -sf /lib/systemd/system/keepalived.service /etc/systemd/system/multi-user.target.wants/
  echo 1 > /proc/sys/net/ipv4/conf/all/proxy_arp
  echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind'
mkdir n1/nginx
echo "daemon off;
pid nginx/pid;
events {}
http {
    access_log off;
    client_body_temp_path nginx/body;
    proxy_temp_path nginx/proxy;
    fastcgi_temp_path nginx/fastcgi;
    uwsgi_temp_path nginx/uwsgi;
    scgi_temp_path nginx/scgi;
    server {
        listen 192.0.2.80:80;
    }
}" > n1/nginx.conf
node1 nginx -e stderr -p $PWD/n1 -c $PWD/n1/nginx.conf 2> n1/nginx.log &
await test -s n1/nginx/pid
node1 sh -c 'echo 0 > /proc/sys/net/ipv4/ip_nonlocal_bind'
for hook in output input; do
  node1 nft "add table inet filter; add chain inet filter $hook { type filter hook $hook priority 0; policy drop; }"
done
(
  echo "global_defs {
    script_user root
}
vrrp_script nginx_runs {
    script /usr/local/bin/chekc.sh
}"
  instance web 80 100 192.0.2.80 "    track_script {
        nginx_runs
    }"
) > n1/vrrpx.conf
kernel() { sed -E 's/kernel [0-9]+\.[0-9]+:/kernel 6.18:/'; }
show doctor.md: vrrpx doctor 2 -- node1 vrrpx doctor --config vrrpx.conf | kernel
