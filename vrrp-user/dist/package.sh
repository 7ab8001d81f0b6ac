# Functions of the scripts of vrrpx packages, for Debian and RPM. Installed as /usr/lib/vrrpx/package.sh.

unit=vrrpx.service

say() {
    echo "vrrpx: $*" >&2
}

property() {
    systemctl show --property="$1" --value $unit 2>/dev/null || true
}

# Whether keepalived runs in this network. vrrpx may have its name, and a container a network of its own.
keepalived_runs() {
    for comm in $(grep -lsx keepalived /proc/[0-9]*/comm); do
        process=${comm%/comm}
        case $(readlink "$process/exe") in
        */vrrpx | */vrrpx\ *) continue ;;
        esac
        if [ "$(readlink "$process/ns/net")" = "$(readlink /proc/self/ns/net)" ]; then
            return 0
        fi
    done
    return 1
}

# Whether keepalived runs, or will at the next boot. Its own unit counts: a removed package leaves links and an init
# script, which systemctl calls enabled, and vrrpx-keepalived makes the name an alias of the unit here.
keepalived_is_used() {
    if keepalived_runs; then
        return 0
    fi
    for folder in /etc /usr/local/lib /usr/lib /lib; do
        file=$folder/systemd/system/keepalived.service
        if [ -e $file ]; then
            case $(readlink -f $file) in
            */$unit) return 1 ;;
            esac
            case $(systemctl is-enabled keepalived.service 2>/dev/null || true) in
            enabled*) return 0 ;;
            esac
            # In a chroot systemctl knows nothing, and calls it active.
            [ -d /run/systemd/system ] && systemctl --quiet is-active keepalived.service
            return
        fi
    done
    return 1
}

is_stopped() {
    case $(property ActiveState) in
    inactive | deactivating) return 0 ;;
    esac
    return 1
}

say_how_to_change_over() {
    say "not started, as keepalived is in use here. To change over, with the same file:"
    say "    systemctl disable --now keepalived && systemctl enable --now vrrpx"
}

# A unit of the archive for any distribution, or an operator's, comes before that of a package.
warn_of_another_unit() {
    [ "$(property LoadState)" != masked ] || return 0
    used=$(property FragmentPath)
    case $used in
    '' | /usr/lib/systemd/system/$unit | /lib/systemd/system/$unit) ;;
    *)
        say "systemd uses $used, not the unit of this package: remove it unless that is meant, then:"
        say "    systemctl daemon-reload && systemctl restart vrrpx"
        ;;
    esac
}

words_of_the_daemon() {
    tr '\0' '\n' < "/proc/$(property MainPID)/cmdline" 2>/dev/null || true
}

# What the running daemon says, with its own folder, which the last such option names.
status_of_the_daemon() {
    folder=$(words_of_the_daemon | sed -n 's/^--runtime-dir=//p; /^--runtime-dir$/{n; p;}' | tail -n 1)
    /usr/sbin/vrrpx status --json ${folder:+--runtime-dir "$folder"} 2>/dev/null || true
}

# Whether the new program accepts the file of the running daemon, as its own arguments name it.
accepts_the_file() {
    file='' last=''
    set --
    while IFS= read -r word; do
        case $last in
        --config | -c) file=$word ;;
        --config-id | -i) set -- "$@" --config-id "$word" ;;
        esac
        case $word in
        --config=*) file=${word#*=} ;;
        -c?*) file=${word#-c} ;;
        --config-id=* | -i?*) set -- "$@" "$word" ;;
        esac
        last=$word
    done <<WORDS
$(words_of_the_daemon)
WORDS
    findings=$(/usr/sbin/vrrpx check "$@" ${file:+"$file"} 2>&1) || [ $? -eq 5 ]
}

goes_on() {
    say "the running daemon goes on with the old version, as $*"
}

# A hot restart: peers and clients do not notice it. The new daemon needs the configuration of the old one, so the file,
# which may have been edited, is reloaded first. Not where that would decide for the operator.
replace_the_daemon() {
    if ! systemctl --quiet is-active $unit; then
        return 1
    fi
    case $(status_of_the_daemon | tr -d ' ') in
    '')
        goes_on "it does not answer, or not as the new one understands: vrrpx status"
        say "then: systemctl restart vrrpx"
        return
        ;;
    *'"keep_by":"'*)
        goes_on "it waits for: vrrpx reload --keep"
        say "keep that reload, or let its time pass, then: systemctl restart vrrpx"
        return
        ;;
    *'"stale_since":"'*)
        goes_on "it does not use the present configuration file; the cause: vrrpx status"
        say "correct the file, then: systemctl reload vrrpx && systemctl restart vrrpx"
        return
        ;;
    esac
    if ! accepts_the_file; then
        goes_on "the new one refuses the configuration:"
        echo "$findings" >&2
        say "correct it, then: systemctl reload vrrpx && systemctl restart vrrpx"
    elif ! systemctl --quiet reload $unit; then
        goes_on "it refuses the configuration: journalctl -u vrrpx"
    elif ! "$@" restart $unit || ! systemctl --quiet is-active $unit; then
        say "the daemon does not run after its restart: journalctl -u vrrpx"
    fi
}

# A keepalived that runs may have the addresses that a killed vrrpx has left; cleanup would remove them.
clean_up() {
    if grep -qsx keepalived /proc/[0-9]*/comm; then
        say "keepalived runs: what killed vrrpx daemons have left stays, also fences of its addresses"
    else
        /usr/sbin/vrrpx cleanup > /dev/null || true
    fi
}
