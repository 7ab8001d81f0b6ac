//! The tree of a package, as it will lie below `/`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{files, output};

#[derive(Debug)]
pub(super) struct Tree(PathBuf);

impl Tree {
    /// Removes an earlier one.
    pub(super) fn new(root: PathBuf) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
        }
        let tree = Self(root);
        tree.directory("")?;
        Ok(tree)
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    pub(super) fn directory(&self, name: &str) -> Result<()> {
        let path = self.0.join(name);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())
    }

    /// Path of a file in it, whose directory exists.
    pub(super) fn place(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        Ok(path)
    }

    pub(super) fn copy(&self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let to = self.place(to)?;
        fs::copy(from, &to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
        set_mode(&to, mode)
    }

    /// Copies a folder with those in it.
    pub(super) fn copy_all(&self, from: &Path, to: &str) -> Result<()> {
        for path in files(from)? {
            let to = format!("{to}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            if path.is_dir() {
                self.copy_all(&path, &to)?;
            } else {
                let is_program = fs::metadata(&path)?.permissions().mode() & 0o100 != 0;
                self.copy(&path, &to, if is_program { 0o755 } else { 0o644 })?;
            }
        }
        Ok(())
    }

    pub(super) fn write(&self, text: &str, to: &str, mode: u32) -> Result<()> {
        let to = self.place(to)?;
        fs::write(&to, text).with_context(|| to.display().to_string())?;
        set_mode(&to, mode)
    }

    pub(super) fn link(&self, target: &str, name: &str) -> Result<()> {
        let path = self.place(name)?;
        symlink(target, &path).with_context(|| path.display().to_string())
    }

    /// Copies a file, compressed; `to` ends in `.gz`.
    pub(super) fn gzip(&self, from: &Path, to: &str) -> Result<()> {
        let text = fs::read_to_string(from).with_context(|| from.display().to_string())?;
        self.gzip_text(&text, to)
    }

    pub(super) fn gzip_text(&self, text: &str, to: &str) -> Result<()> {
        let plain = to.trim_end_matches(".gz");
        self.write(text, plain, 0o644)?;
        let mut gzip = Command::new("gzip");
        gzip.args(["-9", "--no-name"]).arg(self.0.join(plain));
        output(gzip).map(drop)
    }

    /// Its files and links, relative to `/`, sorted.
    pub(super) fn list(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for path in files(&folder)? {
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&self.0)?.display().to_string());
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Sets modes of directories, and dates.
    pub(super) fn settle(&self, epoch: &str) -> Result<()> {
        let mut directories = Command::new("find");
        directories.arg(&self.0).args(["-type", "d", "-exec", "chmod", "755", "{}", "+"]);
        output(directories)?;
        let mut dates = Command::new("find");
        dates.arg(&self.0).args([
            "-exec",
            "touch",
            "--no-dereference",
            "--date",
            &format!("@{epoch}"),
            "{}",
            "+",
        ]);
        output(dates).map(drop)
    }
}

pub(super) fn set_mode(file: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).with_context(|| file.display().to_string())
}
