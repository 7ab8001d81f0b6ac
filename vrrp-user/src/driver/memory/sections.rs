//! Sections of the program: those that it does not use once it runs, and the code of its real-time threads.
//!
//! Enters: the file of the program. Leaves: their addresses. The headers of sections are not loaded into memory, and
//! those that are say nothing of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{Range, page_size};

/// Sections for dynamic linking, for unwinding, which panics alone do, and what `realtime.ld` places with them.
const COLD: [&[u8]; 6] =
    [b".rela.dyn", b".rela.plt", b".gcc_except_table", b".eh_frame_hdr", b".eh_frame", b".rodata.cold"];

/// Where `realtime.ld` places the code of the real-time threads.
const REAL_TIME: &[u8] = b".text.realtime";

/// Addresses of sections.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) cold: Vec<Range>,
    real_time: Option<Range>,
}

impl Sections {
    /// The pages with the code of the real-time threads: all pages if it is not known.
    pub(super) fn real_time(&self) -> Range {
        let page = page_size();
        let pages = |(start, end): Range| (start / page * page, end.next_multiple_of(page));
        self.real_time.map_or((0, usize::MAX), pages)
    }
}

/// The sections of a program that is loaded at `base`; none if its file cannot be read.
pub(super) fn find(base: usize) -> Sections {
    File::open("/proc/self/exe").and_then(|file| read(&file, base)).unwrap_or_default()
}

/// Follows the 64-bit ELF header to the table of sections and their names.
fn read(file: &File, base: usize) -> io::Result<Sections> {
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    let (Some(b"\x7fELF"), Some(2)) = (header.first_chunk(), header.get(4)) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (table, size) = (number::<8>(&header, 40)?, number::<2>(&header, 58)?);
    let (count, names) = (number::<2>(&header, 60)?, number::<2>(&header, 62)?);
    let mut sections = vec![0; size * count];
    file.read_exact_at(&mut sections, table as u64)?;
    let sections: Vec<&[u8]> = sections.chunks_exact(size.max(64)).collect();
    let names = sections.get(names).copied().unwrap_or_default();
    let mut text = vec![0; number::<8>(names, 32)?.min(1 << 16)];
    file.read_exact_at(&mut text, number::<8>(names, 24)? as u64)?;
    let mut found = Sections::default();
    for section in sections {
        let (at, address) = (number::<4>(section, 0)?, number::<8>(section, 16)?);
        let name = text.get(at..).and_then(|rest| rest.split(|byte| *byte == 0).next()).unwrap_or_default();
        let start = base.saturating_add(address);
        let range = (start, start.saturating_add(number::<8>(section, 32)?));
        if COLD.contains(&name) {
            found.cold.push(range);
        } else if name == REAL_TIME {
            found.real_time = Some(range);
        }
    }
    Ok(found)
}

/// A number of so many bytes, in the order of this machine.
fn number<const N: usize>(bytes: &[u8], at: usize) -> io::Result<usize> {
    let field =
        bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut wide = [0; 8];
    if cfg!(target_endian = "big") {
        wide[8 - N..].copy_from_slice(field);
    } else {
        wide[..N].copy_from_slice(field);
    }
    usize::try_from(u64::from_ne_bytes(wide)).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_unwinding_are_found_and_the_constants_are_not() {
        let found = find(0).cold;
        let largest = found.iter().map(|(start, end)| end - start).max().unwrap();
        assert!(found.len() >= 4 && largest > 1 << 16, "{found:?}");
        let file = File::open("/proc/self/exe").unwrap();
        let moved = read(&file, 4096).unwrap().cold;
        assert_eq!(moved[0], (found[0].0 + 4096, found[0].1 + 4096));
    }

    #[test]
    fn without_a_section_all_code_is_kept() {
        assert_eq!(Sections::default().real_time(), (0, usize::MAX));
    }

    #[test]
    fn another_file_has_none() {
        assert!(read(&File::open("/proc/self/maps").unwrap(), 0).is_err());
    }
}
