# A machine's first process over files of its own. In: a folder, a name for control groups, the daemon, its unit. The
# last two are missing on a machine that gets them from a package.
# Called in mount and network namespaces of its own, then once more in those of all else.
set -eu
case $1 in
outer)
    folder=$2 name=$3
    mount -t tmpfs tmpfs "$folder"
    mkdir "$folder/upper" "$folder/work" "$folder/root" "$folder/cgroup"
    mount -t cgroup2 cgroup2 "$folder/cgroup"
    mkdir "$folder/cgroup/$name"
    echo $$ > "$folder/cgroup/$name/cgroup.procs"
    shift
    # Killed, it takes all of them with it.
    exec unshare --pid --fork --kill-child --cgroup --ipc --uts sh -c "$MACHINE" sh inner "$@"
    ;;
inner)
    folder=$2 daemon=${4:-} unit=${5:-}
    hostname machine
    cd "$folder/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" .
    cd "$folder/root"
    mount --rbind /dev dev
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t bpf bpf sys/fs/bpf
    mount -t tmpfs tmpfs run
    mkdir -p run/dbus run/systemd/system/vrrpx.service.d
    if [ -n "$daemon" ]; then
        touch usr/sbin/vrrpx
        mount --bind "$daemon" usr/sbin/vrrpx
        mkdir -p etc/vrrpx
        printf '%s' "$CONFIG" > etc/vrrpx/vrrpx.conf
        cp "$unit" run/systemd/system/vrrpx.service
    fi
    cd run/systemd/system
    # Nothing of this machine's own boot.
    cat > vrrpx.service.d/alone.conf <<UNIT
[Unit]
DefaultDependencies=no
[Service]
StandardOutput=append:/run/vrrpx.log
StandardError=append:/run/vrrpx.log
UNIT
    printf '[Unit]\nDefaultDependencies=no\n' > machine.target
    # The journal is this machine's own; its other sockets are links in /dev and the kernel's, which all machines share.
    ln -s /dev/null systemd-journald-dev-log.socket
    ln -s /dev/null systemd-journald-audit.socket
    mkdir ../journald.conf.d
    printf '[Journal]\nStorage=volatile\nReadKMsg=no\nRateLimitBurst=0\n' > ../journald.conf.d/alone.conf
    cat > dbus.socket <<UNIT
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=/run/dbus/system_bus_socket
UNIT
    cat > dbus.service <<UNIT
[Unit]
DefaultDependencies=no
Requires=dbus.socket
[Service]
Type=notify
ExecStart=dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
UNIT
    exec chroot "$folder/root" /lib/systemd/systemd --system --unit=machine.target --log-target=console
    ;;
esac
