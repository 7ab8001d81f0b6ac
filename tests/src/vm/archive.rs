//! An archive that the kernel unpacks as its initial root: cpio in the format "newc", uncompressed, as under emulation
//! reading is cheaper than decompressing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;
const END: &str = "TRAILER!!!";

/// Entries with absolute paths; parent directories are added on the way.
#[derive(Debug)]
pub(super) struct Archive<W: Write> {
    output: W,
    directories: BTreeSet<PathBuf>,
    /// Number of entries, and number of bytes written.
    count: u32,
    length: usize,
}

impl Archive<BufWriter<File>> {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self::new(BufWriter::new(file)))
    }
}

impl<W: Write> Archive<W> {
    fn new(output: W) -> Self {
        Self { output, directories: BTreeSet::new(), count: 0, length: 0 }
    }

    pub(super) fn directory(&mut self, path: &Path) -> Result<()> {
        if path.parent().is_none() || self.directories.contains(path) {
            return Ok(());
        }
        self.parents(path)?;
        self.directories.insert(path.to_owned());
        self.entry(path, DIRECTORY, &[])
    }

    pub(super) fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        self.parents(path)?;
        self.entry(path, FILE | mode, content)
    }

    /// Both absolute, or `target` beside `path`.
    pub(super) fn link(&mut self, path: &Path, target: &Path) -> Result<()> {
        self.parents(path)?;
        self.entry(path, LINK, target.as_os_str().as_bytes())
    }

    pub(super) fn end(mut self) -> Result<W> {
        self.entry(Path::new(END), 0, &[])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn parents(&mut self, path: &Path) -> Result<()> {
        path.parent().map_or(Ok(()), |parent| self.directory(parent))
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        let name = path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes();
        let (size, length) = (u32::try_from(content.len())?, u32::try_from(name.len())? + 1);
        self.count += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        // Inode, mode, owner, group, links, time, size, device and that of a device file, length of the name, checksum.
        let fields = [self.count, mode, 0, 0, links, 0, size, 0, 0, 0, 0, length, 0];
        let header: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        self.put(format!("070701{header}").as_bytes())?;
        self.put(name)?;
        self.put(&[0])?;
        self.align()?;
        self.put(content)?;
        self.align()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len();
        Ok(self.output.write_all(bytes)?)
    }

    fn align(&mut self) -> Result<()> {
        let padding = self.length.next_multiple_of(4) - self.length;
        self.put(&[0; 4][..padding])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_directories_come_first_and_once() {
        let mut archive = Archive::new(Vec::new());
        archive.file(Path::new("/a/b/c"), 0o755, b"hello").unwrap();
        archive.link(Path::new("/a/b/d"), Path::new("c")).unwrap();
        let bytes = archive.end().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let starts: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"070701")).collect();
        assert!(starts.iter().all(|at| at % 4 == 0));
        let names: Vec<String> = starts
            .iter()
            .map(|at| bytes[at + 110..].iter().take_while(|byte| **byte != 0).map(|it| *it as char).collect())
            .collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d", END]);
        let size = |index: usize| std::str::from_utf8(&bytes[starts[index] + 54..][..8]).unwrap().to_owned();
        assert_eq!([size(2), size(3)], ["00000005", "00000001"]);
    }
}
