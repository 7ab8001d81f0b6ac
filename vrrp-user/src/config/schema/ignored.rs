//! Keywords of keepalived that are known and have no effect here, with what does not happen.

use super::root::Draft;
use super::{GlobalsDraft, InstanceDraft, Row};

const OWN_TABLE: &str = "rules are those of nftables, in a table of their own";
const NO_SNMP: &str = "SNMP is not served";
const NO_DBUS: &str = "D-Bus is not served";
pub(super) const NO_BFD: &str = "BFD is not spoken";
const LINKS_BY_NETLINK: &str =
    "nothing is polled: the kernel tells link states, and of a driver that does not tell them none is known";
const NAMES_STAY: &str = "processes keep their names";
const BUFFERS_STAY: &str = "the kernel's buffer sizes stay";

pub(super) const TOP: &[Row<Draft>] = &[
    Row::missing("bfd_instance", "BFD session", NO_BFD),
    Row::missing(
        "garp_group",
        "pace of announcements over interfaces",
        "the pace is that of `vrrp_garp_interval`",
    ),
    Row::missing(
        "track_group",
        "instances in Fault while a static item cannot be set",
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
        "not a keyword of keepalived either; found in tutorials",
        "the level of the log stays",
    ),
    Row::missing("bfd_process_name", "name of the process", NAMES_STAY),
    Row::missing("random_seed", "for tests", "the seed is not used"),
    Row::missing("tmp_config_directory", "place of the flattened file", "no such file is made"),
    Row::missing("config_save_dir", "keep each file read", "files read are not kept"),
    Row::missing(
        "iproute_usr_dir",
        "folder of rt_tables and others",
        "names are read in /etc, /usr/share and /usr/lib",
    ),
    Row::missing(
        "iproute_etc_dir",
        "folder of rt_tables and others",
        "names are read in /etc, /usr/share and /usr/lib",
    ),
    Row::moot("reload_check_config", "check before a reload", "a file with errors is never taken over"),
    Row::missing("reload_time_file", "reload at a time", "no reload is timed"),
    Row::missing("reload_repeat", "reload every day", "no reload is timed"),
    Row::moot("dynamic_interfaces", "interfaces may appear later", "they always may"),
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
    Row::foreign("lvs_sync_daemon"),
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
        "the checksum has the destination in it",
    ),
    Row::refused(
        "use_ipvlan",
        "ipvlan interface",
        "no ipvlan is made; without the line the addresses stand on `interface`, with the same MAC address",
    ),
    Row::missing("linkbeat_use_polling", "poll the link state", LINKS_BY_NETLINK),
    Row::moot(
        "native_ipv6",
        "of old versions",
        "the first address decides the family; keepalived refuses IPv4 addresses with it",
    ),
    Row::moot(
        "skip_check_adv_addr",
        "do not compare address lists",
        "no advert is dropped for its addresses",
    ),
    Row::missing("timer_expired_backup", "leave after a stall", "the setting is not used")
        .alias(&["thread_timer_expired"]),
    Row::missing("kernel_rx_buf_size", "socket buffer", BUFFERS_STAY),
    Row::moot("debug", "nothing", "keepalived does nothing either"),
    Row::foreign("lvs_sync_daemon_interface"),
];
