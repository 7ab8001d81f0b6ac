//! Empty maps for a loaded program: for tests, which share one program, as the verifier takes longer than they do.
//!
//! Enters: maps of any content. Leaves: the same maps as after a load. Absent: the ring, which only its reader empties.

use std::io;

use aya::maps::{MapData, MapError, MapType};
use aya::util::nr_cpus;

use super::element::{Element, update};
use super::program::Program;
use super::syscall::bpf;

/// Commands of bpf(2), `linux/bpf.h`.
const BPF_MAP_DELETE_ELEM: libc::c_int = 3;
const BPF_MAP_GET_NEXT_KEY: libc::c_int = 4;

/// The kernel copies values of a per-CPU array in whole words.
const WORD: usize = 8;

impl Program {
    /// Removes all that was written to the maps since the load, except events that wait in the ring.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wipe(&mut self) -> io::Result<()> {
        self.all.iter().try_for_each(|(_, map)| wipe(map))
    }
}

fn wipe(map: &MapData) -> io::Result<()> {
    let invalid = |error: MapError| io::Error::other(error);
    let info = map.info().map_err(invalid)?;
    let size = |bytes: u32| usize::try_from(bytes).map_err(io::Error::other);
    let value = size(info.value_size())?;
    match info.map_type().map_err(invalid)? {
        MapType::Array => zero(map, info.max_entries(), value),
        MapType::PerCpuArray => {
            let cpus = nr_cpus().map_err(|(_, error)| error)?;
            zero(map, info.max_entries(), value.next_multiple_of(WORD).saturating_mul(cpus))
        }
        MapType::Hash => remove_all(map, size(info.key_size())?),
        _ => Ok(()),
    }
}

/// Sets every element of an array to zeros.
fn zero(map: &MapData, elements: u32, bytes: usize) -> io::Result<()> {
    let value = vec![0_u8; bytes];
    (0..elements).try_for_each(|index| update(map, &index.to_ne_bytes(), &value))
}

fn remove_all(map: &MapData, bytes: usize) -> io::Result<()> {
    let mut key = vec![0_u8; bytes];
    while next(map, &mut key)? {
        bpf(BPF_MAP_DELETE_ELEM, &mut Element::of(map, &key))?;
    }
    Ok(())
}

/// Reads the first key into `key`; false if the map is empty.
fn next(map: &MapData, key: &mut [u8]) -> io::Result<bool> {
    let mut element = Element { value: key.as_mut_ptr().expose_provenance() as u64, ..Element::of(map, &[]) };
    match bpf(BPF_MAP_GET_NEXT_KEY, &mut element) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
