//! Ethernet II headers and VLAN tags.

/// Bytes before the payload of an untagged frame.
pub const HEADER_LEN: usize = 14;

/// Bytes that a VLAN tag puts before the ethertype.
pub const TAG_LEN: usize = 4;

pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
/// Customer tag, 802.1Q.
pub const VLAN: u16 = 0x8100;
pub const IPV6: u16 = 0x86dd;
/// Service tag, 802.1ad.
pub const SERVICE_VLAN: u16 = 0x88a8;

/// The id within a tag; priority and drop eligibility lie above.
pub const VLAN_ID: u16 = 0x0fff;

pub(super) mod field {
    pub(in crate::wire) const ETHERTYPE: usize = 12;
}
