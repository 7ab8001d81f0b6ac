#!/bin/sh
# The first process of a guest. Its output is on the console.
export PATH=/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for place in /tmp /run /dev/shm; do mount -t tmpfs tmpfs $place; done
chmod 1777 /tmp
mkdir -p /run/netns /run/lock
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
while read -r module parameters; do
    # Parameters are several words.
    insmod "/modules/$module" $parameters || echo "module $module cannot be loaded"
done < /modules/order
ip link set lo up
echo "guest: $(uname -r) is up"
guest
echo "guest: ends with status $?"
poweroff -f
