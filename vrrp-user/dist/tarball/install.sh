#!/bin/sh
# Installs vrrpx from this directory, or removes it. Usage: ./install.sh [--uninstall]
# PREFIX (default /usr/local) is where it goes; DESTDIR stands before it, for packaging.
set -eu
cd "$(dirname "$0")"
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}$prefix
units=${DESTDIR:-}/etc/systemd/system

# Path in this directory, and mode, of each file.
each() {
    find sbin share -type f | while read -r file; do
        case $file in
        sbin/*) "$1" "$file" 755 ;;
        *) "$1" "$file" 644 ;;
        esac
    done
}

add() {
    install -D -m "$2" "$1" "$root/$1.new"
    # A running program cannot be written to, but it can be replaced.
    mv -f "$root/$1.new" "$root/$1"
}

drop() {
    rm -f "$root/$1"
}

if [ "${1:-}" = --uninstall ]; then
    # Its link of WantedBy= would name a unit that is gone, or be that of a package.
    if [ -z "${DESTDIR:-}" ] && [ ! -e /usr/lib/systemd/system/vrrpx.service ]; then
        systemctl --quiet --no-reload disable vrrpx.service || true
    fi
    each drop
    rm -f "$units/vrrpx.service"
    rmdir "$root/share/doc/vrrpx/examples" "$root/share/doc/vrrpx" 2> /dev/null || true
    # A running daemon is stopped as its unit says: systemd still has that until it is reloaded.
    if [ -n "${DESTDIR:-}" ] || [ ! -d /run/systemd/system ]; then
        echo "removed"
    elif systemctl --quiet is-active vrrpx.service; then
        echo "removed; the running daemon goes on until: systemctl stop vrrpx && systemctl daemon-reload"
    else
        systemctl daemon-reload || true
        echo "removed"
    fi
    exit
fi
if [ $# -gt 0 ]; then
    echo "usage: ./install.sh [--uninstall]" >&2
    exit 2
fi
each add
mkdir -p "$units"
sed "s|/usr/sbin/vrrpx|$prefix/sbin/vrrpx|" vrrpx.service > "$units/vrrpx.service"
echo "installed in $root; the unit is $units/vrrpx.service"
echo "Next: write /etc/vrrpx/vrrpx.conf (example: $root/share/doc/vrrpx/examples/vrrpx.conf), then"
echo "    systemctl daemon-reload && systemctl enable --now vrrpx"
