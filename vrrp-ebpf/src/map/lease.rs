//! The right to answer for an address.

/// An address of ours. Its value is the slot whose lease decides whether it is answered for. Aligned, for the program
/// writes it by whole words.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C, align(8))]
pub struct LeaseKey {
    pub ifindex: u32,
    /// 4 or 6.
    pub family: u32,
    /// IPv4 in the first four bytes.
    pub address: [u8; 16],
}

const _: () = assert!(size_of::<LeaseKey>() == 24);
