//! Sections of the program that it does not use once it runs.
//!
//! Enters: the file of the program. Leaves: their addresses. The headers of sections are not loaded into memory, and
//! those that are say nothing of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Range;

/// Sections for dynamic linking, and for unwinding, which panics alone do.
const COLD: [&[u8]; 5] = [b".rela.dyn", b".rela.plt", b".gcc_except_table", b".eh_frame_hdr", b".eh_frame"];

/// The addresses of these sections, of a program that is loaded at `base`; none if its file cannot be read.
pub(super) fn cold(base: usize) -> Vec<Range> {
    File::open("/proc/self/exe").and_then(|file| find(&file, base)).unwrap_or_default()
}

/// Follows the 64-bit ELF header to the table of sections and their names.
fn find(file: &File, base: usize) -> io::Result<Vec<Range>> {
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
    let mut found = Vec::new();
    for section in sections {
        let (at, address) = (number::<4>(section, 0)?, number::<8>(section, 16)?);
        let name = text.get(at..).and_then(|rest| rest.split(|byte| *byte == 0).next()).unwrap_or_default();
        if COLD.contains(&name) {
            let start = base.saturating_add(address);
            found.push((start, start.saturating_add(number::<8>(section, 32)?)));
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
        let found = cold(0);
        let largest = found.iter().map(|(start, end)| end - start).max().unwrap();
        assert!(found.len() >= 4 && largest > 1 << 16, "{found:?}");
        let file = File::open("/proc/self/exe").unwrap();
        let moved = find(&file, 4096).unwrap();
        assert_eq!(moved[0], (found[0].0 + 4096, found[0].1 + 4096));
    }

    #[test]
    fn another_file_has_none() {
        assert!(find(&File::open("/proc/self/maps").unwrap(), 0).is_err());
    }
}
