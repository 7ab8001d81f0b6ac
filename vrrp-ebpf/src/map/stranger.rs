//! Routers on the wire that are none of ours and no peers either.

use crate::wire::vrrp::Header;

/// Most of them that are remembered; whoever comes later is counted only.
pub const STRANGERS_MAX: u32 = 256;

/// What was heard last under a VRID of nobody here, or as CARP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Stranger {
    /// ns of CLOCK_MONOTONIC.
    pub last_seen: u64,
    pub adverts: u64,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// Version of VRRP as it stands there, or [`Self::CARP`].
    pub version: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(size_of::<Stranger>() == 40);

impl Stranger {
    pub const CARP: u8 = 0;

    pub const NONE: Self = Self { last_seen: 0, adverts: 0, source: [0; 16], version: 0, reserved: [0; 7] };

    /// What stands in `version` for a message of this length.
    #[inline(always)]
    pub const fn version_of(header: Header, length: usize) -> u8 {
        if header.is_carp(length) { Self::CARP } else { header.version() }
    }

    #[inline(always)]
    pub fn note(&mut self, source: [u8; 16], version: u8, now: u64) {
        self.last_seen = now;
        self.adverts = self.adverts.wrapping_add(1);
        self.source = source;
        self.version = version;
    }
}
