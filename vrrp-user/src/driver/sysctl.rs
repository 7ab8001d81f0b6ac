//! Settings of an interface below `/proc/sys/net`, of the network namespace that the calling thread is in.

use std::fs;

use vrrp_ebpf::wire::Family;

/// Whether the interface forwards. False where it is unknown, gone, or without the family.
pub fn forwards(family: Family, interface: &str) -> bool {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    fs::read_to_string(format!("/proc/sys/net/{family}/conf/{interface}/forwarding"))
        .is_ok_and(|value| value.trim() != "0")
}
