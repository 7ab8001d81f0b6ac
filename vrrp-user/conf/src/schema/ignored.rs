//! Keywords of keepalived without effect here, each with the consequence.

use super::draft::{Draft, GlobalsDraft, InstanceDraft};
use super::table::Row;

const OWN_TABLE: &str = "the rules are nftables rules, in a table of their own";
const NO_SNMP: &str = "there is no SNMP";
const NO_DBUS: &str = "there is no D-Bus service";
pub(super) const NO_BFD: &str = "there is no BFD";
const LINKS_BY_NETLINK: &str =
    "link states come from the kernel, without polling; of a driver that does not report them none is known";
const NAMES_STAY: &str = "processes keep their names";
const NO_SYNC: &str = "connections of IPVS are not synchronised; run `ipvsadm --start-daemon` in `notify_master` and \
     `notify_backup`";
const BUFFERS_STAY: &str = "the kernel's buffer sizes stay";

pub(super) const TOP: &[Row<Draft>] = &[
    Row::missing("bfd_instance", "BFD session", NO_BFD),
    Row::missing("garp_group", "pace of announcements over interfaces", "`vrrp_garp_interval` sets the pace"),
    Row::missing(
        "track_group",
        "instances in FAULT while a static item cannot be set",
        "no instance follows static addresses, routes and rules",
    ),
    Row::missing("linkbeat_interfaces", "poll link states", LINKS_BY_NETLINK),
    Row::missing("linkbeat_use_polling", "poll all link states", LINKS_BY_NETLINK),
    Row::refused(
        "net_namespace",
        "run in a network namespace",
        "start the daemon inside the namespace instead",
    ),
    Row::missing("namespace_with_ipsets", "ipsets in a namespace", OWN_TABLE),
    Row::foreign("net_namespace_ipvs"),
    Row::foreign("virtual_server"),
    Row::foreign("virtual_server_group"),
    Row::foreign("SSL"),
];

pub(super) const GLOBALS: &[Row<GlobalsDraft>] = &[
    Row::missing(
        "log_level",
        "found in tutorials, but not a keyword of keepalived either",
        "the log level does not change",
    ),
    Row::missing("bfd_process_name", "name of the process", NAMES_STAY),
    Row::missing("random_seed", "for tests", "the seed is not used"),
    Row::missing("tmp_config_directory", "place of the flattened file", "no flattened file is written"),
    Row::missing("config_save_dir", "keep a copy of each file read", "no copies are kept"),
    Row::missing(
        "iproute_usr_dir",
        "folder of rt_tables and others",
        "names are read from /etc, /usr/share and /usr/lib",
    ),
    Row::missing(
        "iproute_etc_dir",
        "folder of rt_tables and others",
        "names are read from /etc, /usr/share and /usr/lib",
    ),
    Row::moot("reload_check_config", "check before a reload", "a file with errors is never applied"),
    Row::missing("reload_time_file", "reload at a time", "there are no timed reloads"),
    Row::missing("reload_repeat", "reload every day", "there are no timed reloads"),
    Row::moot("dynamic_interfaces", "interfaces may appear later", "they always may appear later"),
    Row::moot(
        "vrrp_skip_check_adv_addr",
        "do not compare address lists",
        "no advert is dropped for its addresses",
    ),
    Row::missing("vrrp_iptables", "chains for rules", OWN_TABLE),
    Row::missing("vrrp_ipsets", "sets for rules", OWN_TABLE),
    Row::missing("vrrp_netlink_cmd_rcv_bufs", "socket buffer", BUFFERS_STAY),
    Row::missing("vrrp_netlink_cmd_rcv_bufs_force", "socket buffer", BUFFERS_STAY),
    Row::missing("vrrp_netlink_monitor_rcv_bufs", "socket buffer", BUFFERS_STAY),
    Row::missing("vrrp_netlink_monitor_rcv_bufs_force", "socket buffer", BUFFERS_STAY),
    Row::missing("process_monitor_rcv_bufs", "socket buffer", BUFFERS_STAY),
    Row::missing("process_monitor_rcv_bufs_force", "socket buffer", BUFFERS_STAY),
    Row::missing("vrrp_rx_bufs_policy", "socket buffer", BUFFERS_STAY),
    Row::missing("vrrp_rx_bufs_multiplier", "socket buffer", BUFFERS_STAY),
    Row::missing("snmp_socket", "address of the SNMP agent", NO_SNMP),
    Row::missing("enable_snmp_vrrp", "KEEPALIVED-MIB", NO_SNMP).alias(&["enable_snmp_keepalived"]),
    Row::missing("enable_snmp_rfc", "VRRP-MIB and VRRPv3-MIB", NO_SNMP),
    Row::missing("enable_snmp_rfcv2", "VRRP-MIB", NO_SNMP),
    Row::missing("enable_snmp_rfcv3", "VRRPv3-MIB", NO_SNMP),
    Row::missing("enable_traps", "SNMP traps", NO_SNMP),
    Row::missing("enable_dbus", "D-Bus service", NO_DBUS),
    Row::missing("dbus_service_name", "name on D-Bus", NO_DBUS),
    Row::missing("dbus_no_interface_name", "name on D-Bus", NO_DBUS),
    Row::missing("bfd_priority", "nice value", NO_BFD),
    Row::missing("bfd_no_swap", "lock memory", NO_BFD),
    Row::missing("bfd_rt_priority", "real-time priority", NO_BFD),
    Row::missing("bfd_cpu_affinity", "pin to CPUs", NO_BFD),
    Row::missing("bfd_rlimit_rttime", "limit of real time", NO_BFD).alias(&["bfd_rlimit_rtime"]),
    Row::foreign("checker_process_name"),
    Row::foreign("lvs_process_name"),
    Row::foreign("smtp_alert_checker"),
    Row::foreign("checker_log_all_failures"),
    Row::foreign("no_checker_emails"),
    Row::foreign("rs_init_notifies"),
    Row::foreign("lvs_timeouts"),
    Row::foreign("lvs_flush"),
    Row::foreign("lvs_flush_on_stop").alias(&["lvs_flush_onstop"]),
    Row::missing("lvs_sync_daemon", "synchronise connections of IPVS", NO_SYNC),
    Row::foreign("lvs_notify_fifo"),
    Row::foreign("lvs_notify_fifo_script"),
    Row::foreign("lvs_netlink_cmd_rcv_bufs"),
    Row::foreign("lvs_netlink_cmd_rcv_bufs_force"),
    Row::foreign("lvs_netlink_monitor_rcv_bufs"),
    Row::foreign("lvs_netlink_monitor_rcv_bufs_force"),
    Row::foreign("nftables_ipvs"),
    Row::foreign("nftables_ipvs_priority"),
    Row::foreign("nftables_ipvs_start_fwmark"),
    Row::foreign("checker_priority"),
    Row::foreign("checker_no_swap"),
    Row::foreign("checker_rt_priority"),
    Row::foreign("checker_cpu_affinity"),
    Row::foreign("checker_rlimit_rttime").alias(&["checker_rlimit_rtime"]),
    Row::foreign("enable_snmp_checker"),
    Row::foreign("snmp_vs_stats_update_interval"),
    Row::foreign("snmp_rs_stats_update_interval"),
];

pub(super) const INSTANCE: &[Row<InstanceDraft>] = &[
    Row::missing("track_bfd", "BFD session", NO_BFD),
    Row::moot("vrf", "VRF without an interface", "the VRF is that of the interface with `unicast_src_ip`"),
    Row::missing(
        "old_unicast_checksum",
        "checksum of keepalived before 1.3",
        "the checksum includes the destination",
    ),
    Row::refused(
        "use_ipvlan",
        "ipvlan interface",
        "no ipvlan is created; without the line the addresses are on `interface`, with the same MAC address",
    ),
    Row::missing("linkbeat_use_polling", "poll the link state", LINKS_BY_NETLINK),
    Row::moot(
        "skip_check_adv_addr",
        "do not compare address lists",
        "no advert is dropped for its addresses",
    ),
    Row::missing("timer_expired_backup", "become backup after a stall", "the setting is not used")
        .alias(&["thread_timer_expired"]),
    Row::missing("kernel_rx_buf_size", "socket buffer", BUFFERS_STAY),
    Row::moot("debug", "nothing", "keepalived does nothing either"),
    Row::missing("lvs_sync_daemon_interface", "synchronise connections of IPVS", NO_SYNC),
];
