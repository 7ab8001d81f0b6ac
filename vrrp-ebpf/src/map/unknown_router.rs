//! Unknown routers: senders under a VRID that is not configured here, and CARP.

use crate::wire::ByteAccess;
use crate::wire::frame::Frame;
use crate::wire::vrrp::{HEADER_LEN, Header};

/// Most unknown routers on record; adverts of more are only counted.
pub const UNKNOWN_ROUTERS_MAX: u32 = 256;

/// Bytes of addresses kept of each: 8 IPv4 addresses, or 2 of IPv6.
pub const UNKNOWN_ROUTER_ADDRESSES: usize = 32;

const WORD: usize = 4;

/// The latest advert under a VRID that is not configured here, or of CARP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct UnknownRouter {
    /// When it arrived, ns of CLOCK_MONOTONIC.
    pub last_seen: u64,
    /// Adverts under this key.
    pub adverts: u64,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// VRRP version as advertised, or [`Self::CARP`].
    pub version: u8,
    /// Address count as advertised.
    pub count: u8,
    /// 0.
    pub reserved: [u8; 6],
    /// The first of its addresses, as in the message.
    pub addresses: [u8; UNKNOWN_ROUTER_ADDRESSES],
}

const _: () = assert!(size_of::<UnknownRouter>() == 40 + UNKNOWN_ROUTER_ADDRESSES);

impl UnknownRouter {
    /// In `version`: CARP. No VRRP version, which has 4 bits.
    pub const CARP: u8 = 16;

    /// No advert yet.
    pub const NONE: Self = Self {
        last_seen: 0,
        adverts: 0,
        source: [0; 16],
        version: 0,
        count: 0,
        reserved: [0; 6],
        addresses: [0; UNKNOWN_ROUTER_ADDRESSES],
    };

    /// The value of `version` for a message of this length.
    #[inline(always)]
    pub const fn version_of(header: Header, length: usize) -> u8 {
        if header.is_carp(length) { Self::CARP } else { header.version() }
    }

    /// Records an advert, which is not checked, in place: on the program's stack the verifier would require alignment.
    #[inline(always)]
    pub fn note<O: ByteAccess + ?Sized>(&mut self, header: Header, octets: &O, frame: &Frame, now: u64) {
        // SAFETY: a record of the caller's own.
        unsafe { Self::note_at(self, header, octets, frame, now) }
    }

    /// [`Self::note`] for a record in a map, where another CPU may write to it at the same time: that can garble what
    /// it shows to people.
    ///
    /// # Safety
    /// `this` must point to a record, aligned and for as long as the call lasts.
    #[inline(always)]
    pub unsafe fn note_at<O: ByteAccess + ?Sized>(
        this: *mut Self,
        header: Header,
        octets: &O,
        frame: &Frame,
        now: u64,
    ) {
        // SAFETY: the caller's promise; the words fill the addresses.
        unsafe {
            (*this).last_seen = now;
            (*this).adverts = (*this).adverts.wrapping_add(1);
            (*this).source = frame.source;
            (*this).version = Self::version_of(header, frame.length);
            (*this).count = header.address_count();
            let places = (&raw mut (*this).addresses).cast::<[u8; WORD]>();
            let mut at = frame.at.wrapping_add(HEADER_LEN);
            for index in 0..UNKNOWN_ROUTER_ADDRESSES / WORD {
                // The first missing word ends the loop: the verifier would follow each later word twice.
                let Some(word) = octets.get::<WORD>(at) else { break };
                places.add(index).write(word);
                at = at.wrapping_add(WORD);
            }
        }
    }

    /// The first addresses that it advertises, each of `length` bytes; none unless the version is 2 or 3.
    pub fn claimed(&self, length: usize) -> impl Iterator<Item = &[u8]> {
        let count = if matches!(self.version, 2 | 3) { usize::from(self.count) } else { 0 };
        self.addresses.chunks_exact(length.max(1)).take(count)
    }
}
