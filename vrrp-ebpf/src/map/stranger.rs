//! Routers on the wire that are none of ours and no peers either.

use crate::wire::Octets;
use crate::wire::frame::Frame;
use crate::wire::vrrp::{HEADER_LEN, Header};

/// Most of them that are remembered; whoever comes later is counted only.
pub const STRANGERS_MAX: u32 = 256;

/// Bytes of addresses that are remembered of one: 8 of IPv4, 2 of IPv6.
pub const STRANGER_ADDRESSES: usize = 32;

const WORD: usize = 4;

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
    /// Addresses that it says it has.
    pub count: u8,
    pub reserved: [u8; 6],
    /// The first of them, as they stand there.
    pub addresses: [u8; STRANGER_ADDRESSES],
}

const _: () = assert!(size_of::<Stranger>() == 40 + STRANGER_ADDRESSES);

impl Stranger {
    /// No version: that has 4 bits.
    pub const CARP: u8 = 16;

    pub const NONE: Self = Self {
        last_seen: 0,
        adverts: 0,
        source: [0; 16],
        version: 0,
        count: 0,
        reserved: [0; 6],
        addresses: [0; STRANGER_ADDRESSES],
    };

    /// What stands in `version` for a message of this length.
    #[inline(always)]
    pub const fn version_of(header: Header, length: usize) -> u8 {
        if header.is_carp(length) { Self::CARP } else { header.version() }
    }

    /// Notes an advert of it in place, which is not judged. What is on its stack, the verifier wants aligned.
    #[inline(always)]
    pub fn note<O: Octets + ?Sized>(&mut self, header: Header, octets: &O, frame: &Frame, now: u64) {
        self.last_seen = now;
        self.adverts = self.adverts.wrapping_add(1);
        self.source = frame.source;
        self.version = Self::version_of(header, frame.length);
        self.count = header.address_count();
        let mut at = frame.at.wrapping_add(HEADER_LEN);
        for place in self.addresses.chunks_exact_mut(WORD) {
            // What is missing ends it, for the verifier would follow each further word twice.
            let Some(word) = octets.get::<WORD>(at) else { break };
            place.copy_from_slice(&word);
            at = at.wrapping_add(WORD);
        }
    }

    /// The first addresses that it says it has, each of `length` bytes; none of what is no VRRP.
    pub fn claimed(&self, length: usize) -> impl Iterator<Item = &[u8]> {
        let count = if matches!(self.version, 2 | 3) { usize::from(self.count) } else { 0 };
        self.addresses.chunks_exact(length.max(1)).take(count)
    }
}
