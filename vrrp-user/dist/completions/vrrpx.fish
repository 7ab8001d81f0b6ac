# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_vrrpx_global_optspecs
    string join \n h/help V/version
end

function __fish_vrrpx_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_vrrpx_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_vrrpx_using_subcommand
    set -l cmd (__fish_vrrpx_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c vrrpx -n "__fish_vrrpx_needs_command" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -s V -l version -d 'Print version'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "run" -d 'Run the daemon in the foreground'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "check" -d 'Check a configuration; exits with 0, 3 (cannot be read), 4 (errors) or 5 (lines left out, as keepalived does)'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "explain" -d 'Explain a configuration: effective values and their origins, election times, traps'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "status" -d 'Show who is master, why, since when, and what is wrong; exits with 0 (all is well), 10 (a problem), 20 (an instance in FAULT, two masters, or an address of a master that is not answered) or 1 (no daemon)'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "top" -d 'Show instances, peers, checks and events on the whole terminal, again each second'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "is-master" -d 'Exit with 0 if an instance or sync group is MASTER on this node, 1 if it is not, 3 without a daemon'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "events" -d 'Show events: transitions, checks, faults, reloads'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "reload" -d 'Make a running daemon reload its configuration; exits with 4 if that has errors'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "doctor" -d 'Find known traps of this host for the configuration; exits with 0, 10 (warnings) or 20 (failures)'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "detect" -d 'List the virtual routers that are heard on an interface'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "trace" -d 'Show adverts as they come, each with the verdict of this node'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "tune" -d 'Derive the advert interval from the gaps that a running daemon has measured'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "maintenance" -d 'Keep instances out of the election, or let them take part again: a master hands over first, without a gap'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "failover" -d 'Hand the addresses of an instance over to its heir, without a gap, and compete with priority 1 for a while'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "priority" -d 'Change the base priority of an instance; tracked objects still add to it'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "announce" -d 'Announce the addresses of masters again: gratuitous ARP, unsolicited neighbour advertisements'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "log" -d 'Change the daemon\'s log level'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "cleanup" -d 'Remove what killed daemons of this network namespace have left, if their guards died too; for a return to keepalived'
complete -c vrrpx -n "__fish_vrrpx_needs_command" -f -a "keepalived" -d 'Accept keepalived\'s options and behave as it does, as this program also does under the name keepalived'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -s c -l config -d 'Configuration [default: /etc/vrrpx/vrrpx.conf, else /etc/keepalived/keepalived.conf]' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -s i -l config-id -d 'Read the lines `@ID …` as this node [default: the host\'s name up to its first dot]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -l runtime-dir -d 'Folder for lock, pid file and control socket; each daemon needs its own' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -l metrics -l http -d 'Serve metrics, status and events over HTTP on this address, for reading only' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -l xdp-mode -d 'Receive path for adverts: auto, native, tcx, tc, generic or socket' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -l log -d 'Log level: error, warn, info, debug or trace [default: VRRPX_LOG, else info]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -l bridge -d 'End after this time unless another daemon replaces this one before' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -l control-group -d 'Group whose users may open control.sock and so steer this daemon as root may [default: root alone]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -l status-group -d 'Group whose users may open status.sock, which only shows [default: every user]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -l strict-start -d 'End if the configuration has errors, instead of starting with the last good one'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -l hot-restart -d 'Hot restart: replace the daemon that runs with this folder, if there is one, without a gap'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -l no-realtime -d 'Stay in the ordinary scheduling class and leave memory unlocked'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand run" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand check" -s i -l config-id -d 'Read the lines `@ID …` as this node [default: the host\'s name up to its first dot]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand check" -l keepalived -d 'Leave wrong lines out, as keepalived does [default for /etc/keepalived/keepalived.conf]'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand check" -l strict -d 'Treat warnings as errors, except those about valid settings that keepalived treats alike'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand check" -l host -d 'Count what does not fit this host as warnings: interfaces, subnets, source addresses, scripts and their users'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand check" -l json -d 'Print the findings as JSON, on one line of stdout; exits with the same codes'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand check" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand explain" -s i -l config-id -d 'Read the lines `@ID …` as this node [default: the host\'s name up to its first dot]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand explain" -l json -d 'Print JSON, on one line'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand explain" -l all -d 'Show default values too'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand explain" -l keepalived -d 'Leave wrong lines out, as keepalived does [default for /etc/keepalived/keepalived.conf]'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand explain" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand status" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand status" -s a -l all -d 'Show every instance, even if there are more than 20'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand status" -s v -l verbose -d 'Add receive paths, timers, peers, checks and unknown routers'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand status" -s w -l watch -d 'Repeat each second until interrupted'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand status" -l json -d 'Print JSON, on one line; exits with 0 in every state'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand status" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand top" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand top" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand is-master" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand is-master" -l json -d 'Print the state as JSON, on one line; exits with the same codes'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand is-master" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand events" -l since -d 'Only events of the last 10m or 2h, after a local time ("2026-11-29 14:30", or the latest 14:30), or after that of this number' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand events" -l kind -d 'Only events of this kind, such as transition or check; may be repeated' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand events" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand events" -s f -l follow -d 'Wait for new events and print them'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand events" -l json -d 'Print JSON, one event per line'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand events" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand reload" -l confirm -d 'Go back to the configuration before after this time, such as 60s or 5m, unless it is kept' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand reload" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand reload" -l dry-run -d 'Say what would change, and change nothing'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand reload" -l keep -d 'Keep the reload that would be undone, and read nothing'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand reload" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand doctor" -s c -l config -d 'Configuration to judge the host for [default: the one that `run` would take]' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand doctor" -s i -l config-id -d 'Read the lines `@ID …` as this node [default: the host\'s name up to its first dot]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand doctor" -l for -d 'How long to probe, such as 10s or 1m: longer than it takes to start it on the other host too' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand doctor" -l runtime-dir -d 'Runtime folder of the daemon whose peers are tried' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand doctor" -l probe -d 'Try what passes between this host and its peers, both ways: probes of protocol 112, echo requests, adverts, queriers'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand doctor" -l json -d 'Print JSON, on one line'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand detect" -l for -d 'How long, such as 10s or 2m' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand detect" -l vrid -d 'Only this VRID' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand detect" -l file -d 'Configuration whose VRIDs are named in the table [default: the one that `run` would take]' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand detect" -l config -d 'Print the configuration of a backup for that VRID instead of the table'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand detect" -l json -d 'Print JSON, on one line'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand detect" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand trace" -s c -l config -d 'Configuration that the verdicts follow [default: the one that `run` would take]' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand trace" -s i -l config-id -d 'Read the lines `@ID …` as this node [default: the host\'s name up to its first dot]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand trace" -s n -l count -d 'End after so many adverts' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand trace" -l for -d 'End after this time, such as 10s or 2m' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand trace" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand tune" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand tune" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand maintenance" -l for -d 'End by itself after this time, such as 90s, 30m or 1h30m [default: until `off`, or the next boot]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand maintenance" -l reason -d 'Shown in status, events and log' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand maintenance" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand maintenance" -l all -d 'Every instance'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand maintenance" -l force -d 'Even if no router is known that would serve the addresses'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand maintenance" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand failover" -l to -d 'Router that is to become master: the address that status shows, or its host name. Exits with 4 if it would not win the election as far as is known, with 6 if another router became master; this node then competes as before' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand failover" -l for -d 'Compete with priority 1 for this time, such as 90s, 30m or 1h30m; `vrrpx priority NAME reset` ends it before' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand failover" -l reason -d 'Shown in status, events and log' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand failover" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand failover" -l force -d 'Try even if no heir is known, or if PEER is not known or would not win; without an heir this node stays master'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand failover" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand priority" -l for -d 'Until the time is over, such as 90s, 30m or 1h30m [default: until `reset`, or the next boot]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand priority" -l reason -d 'Shown in status, events and log' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand priority" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand priority" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand announce" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand announce" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand log" -l for -d 'Until the time is over, such as 90s, 30m or 1h30m [default: until `reset`, or the next boot]' -r
complete -c vrrpx -n "__fish_vrrpx_using_subcommand log" -l runtime-dir -d 'Runtime folder of the daemon' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand log" -s h -l help -d 'Print help'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand cleanup" -l runtime-dir -d 'Runtime folder of a daemon that may have left no fence' -r -F
complete -c vrrpx -n "__fish_vrrpx_using_subcommand cleanup" -l force -d 'Also remove fences of addresses that this host still has: it answers for them then'
complete -c vrrpx -n "__fish_vrrpx_using_subcommand cleanup" -s h -l help -d 'Print help'
