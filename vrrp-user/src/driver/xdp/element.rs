//! Elements of maps by bpf(2): for the engine, which must not wait for a lock, and for keys of any size.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use aya::Pod;
use aya::maps::MapData;

use super::syscall::bpf;

/// Commands of bpf(2), `linux/bpf.h`.
const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;

/// An element of a map. `value` is that of the next key for `BPF_MAP_GET_NEXT_KEY`.
#[repr(C)]
pub(super) struct Element {
    pub(super) map: u32,
    pub(super) padding: u32,
    pub(super) key: u64,
    pub(super) value: u64,
    pub(super) flags: u64,
}

impl Element {
    pub(super) fn of(map: &MapData, key: &[u8]) -> Self {
        let map = map.fd().as_fd().as_raw_fd().cast_unsigned();
        Self { map, padding: 0, key: address(key), value: 0, flags: 0 }
    }
}

/// An array whose elements are read and written by any thread, without a lock.
pub(super) struct Elements(pub(super) MapData);

impl Elements {
    /// `T` must be the map's type of values.
    pub(super) fn get<T: Pod>(&self, index: u32) -> io::Result<T> {
        let key = index.to_ne_bytes();
        let mut value = MaybeUninit::<T>::uninit();
        let place = value.as_mut_ptr().expose_provenance() as u64;
        bpf(BPF_MAP_LOOKUP_ELEM, &mut Element { value: place, ..Element::of(&self.0, &key) })?;
        // SAFETY: the kernel has written all of it, and every bit pattern is valid.
        Ok(unsafe { value.assume_init() })
    }

    /// As [`Self::get`].
    pub(super) fn set<T: Pod>(&self, index: u32, value: &T) -> io::Result<()> {
        let place = std::ptr::from_ref(value).expose_provenance() as u64;
        let key = index.to_ne_bytes();
        bpf(BPF_MAP_UPDATE_ELEM, &mut Element { value: place, ..Element::of(&self.0, &key) }).map(drop)
    }
}

/// Writes an element of any kind of map.
pub(super) fn update(map: &MapData, key: &[u8], value: &[u8]) -> io::Result<()> {
    bpf(BPF_MAP_UPDATE_ELEM, &mut Element { value: address(value), ..Element::of(map, key) }).map(drop)
}

/// The kernel takes 0 for no bytes: as the key before the first one, and for a command without a value.
fn address(bytes: &[u8]) -> u64 {
    if bytes.is_empty() { 0 } else { bytes.as_ptr().expose_provenance() as u64 }
}
