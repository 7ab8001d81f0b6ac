# Two nodes, 192.0.2.11 and 192.0.2.12, on a bridge. Each has its own /run and bpffs, as a host has, and works in a folder
# of its own: n1 and n2. Prints nothing if all is well.
mkdir n1 n2
ip netns add l$SUFFIX
ip -n l$SUFFIX link add lan type bridge
ip -n l$SUFFIX link set lan up
host() {
  ip netns add $2
  ip -n $2 link add eth0 type veth peer name port$1 netns l$SUFFIX
  ip -n $2 address add 192.0.2.1$1/24 dev eth0
  ip -n $2 link set lo up
  ip -n $2 link set eth0 up
  ip -n l$SUFFIX link set port$1 up master lan
  nsenter --net=/run/netns/$2 unshare --mount --propagation private sh -c '
    mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/vrrpx && mount -t bpf bpf /sys/fs/bpf && exec sleep 600' &
  holder=$!
  until nsenter --target $holder --mount test -d /run/vrrpx -a -x /run; do sleep 0.05; done
  until [ "$(cat /proc/$holder/comm)" = sleep ]; do sleep 0.05; done
}
host 1 a$SUFFIX
hold1=$holder
host 2 b$SUFFIX
hold2=$holder
node1() { nsenter --target $hold1 --mount --net --wd=$PWD/n1 "$@"; }
node2() { nsenter --target $hold2 --mount --net --wd=$PWD/n2 "$@"; }
# Waits until a command succeeds, 15 s at most.
await() {
  for i in $(seq 150); do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "never: $*"
}
# The daemon of a node, with further options; returns when it answers.
start() {
  local node=$1
  shift
  node$node vrrpx run --config vrrpx.conf "$@" 2>> log.$node &
  await node$node vrrpx status --json
}
# Ends the daemon of a node.
stop() {
  local pid=$(node$1 cat /run/vrrpx/vrrpx.pid)
  kill $pid
  await test ! -e /proc/$pid/stat
}
is_master() { node$1 vrrpx is-master ${2:-web}; }
# An instance: its name, VRID, priority, address, and further lines.
instance() {
  echo "vrrp_instance $1 {
    interface eth0
    virtual_router_id $2
    priority $3
    version 3
    advert_int 0.1
    virtual_ipaddress {
        $4/24
    }
${5-}
}"
}
# Global settings of node 1, and a check that is down.
postgres() {
  echo "global_defs {
    router_id web1
    script_user root
}
vrrp_script postgres {
    script \"/bin/sh -c 'echo FATAL: the database system is starting up; exit 2'\"
    interval 1
    timeout 1
    fall 1
    rise 1
}"
}
# A script of node 1 that succeeds and fails in turn.
flapping() {
  echo '#!/bin/sh
if [ -e /run/flapped ]; then rm /run/flapped; else touch /run/flapped; exit 1; fi' |
    node1 sh -c 'cat > /run/flap.sh; chmod 755 /run/flap.sh'
}
