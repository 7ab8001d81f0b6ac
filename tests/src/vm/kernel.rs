//! Kernels to boot, unpacked under `target/kernels` by `cargo xtask test --kernel`.
//!
//! ```text
//!  target/kernels/6.1/vmlinuz
//!  target/kernels/6.1/lib/modules/6.1.0-50-cloud-amd64/{modules.dep, modules.builtin, kernel/…}
//! ```

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::daemon::built;

/// Variable with another directory of kernels.
const VARIABLE: &str = "VRRPX_KERNELS";

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    name: String,
    directory: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// Finds it by its name in `cargo xtask test --kernel`, such as `6.1`.
    pub fn find(name: &str) -> Result<Self> {
        let directory = directory()?.join(name);
        ensure!(
            directory.join("vmlinuz").is_file(),
            "kernel {name} is not in {}: cargo xtask test --kernel {name} gets it",
            directory.display()
        );
        let modules = directory.join("lib/modules");
        let mut entries = fs::read_dir(&modules).with_context(|| modules.display().to_string())?;
        let modules = entries.next().context("no modules")??.path();
        Ok(Self { name: name.to_owned(), directory, modules })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Output of `uname -r`.
    pub fn release(&self) -> String {
        self.modules.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(super) fn image(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// Files of these modules and of their dependencies, in the order to load them, without those that are built in.
    pub(super) fn modules(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let dependencies = self.modules.join("modules.dep");
        let dependencies =
            fs::read_to_string(&dependencies).with_context(|| dependencies.display().to_string())?;
        // Without the list of built-in modules, every module without a file counts as built in.
        let builtin = fs::read_to_string(self.modules.join("modules.builtin")).ok();
        let order = in_order(&dependencies, builtin.as_deref(), names);
        let order = order.with_context(|| format!("kernel {}", self.name))?;
        Ok(order.into_iter().map(|file| self.modules.join(file)).collect())
    }
}

/// Below the build directory, for every program of the workspace.
fn directory() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Ok(path.into());
    }
    let beside = built("kernels");
    let target = beside.parent().and_then(Path::parent).context("the build directory has no parent")?;
    Ok(target.join("kernels"))
}

/// Sorts by `modules.dep`, which has a line for each file: its dependencies, of which the last is loaded first.
fn in_order(dependencies: &str, builtin: Option<&str>, names: &[&str]) -> Result<Vec<String>> {
    let lines = dependencies.lines().filter_map(|line| line.split_once(':'));
    let known: BTreeMap<String, (&str, &str)> = lines.map(|line| (module(line.0), line)).collect();
    let builtin: Option<Vec<String>> = builtin.map(|list| list.lines().map(module).collect());
    let mut order: Vec<String> = Vec::new();
    for name in names {
        let Some((file, needs)) = known.get(*name) else {
            let is_built_in = builtin.as_ref().is_none_or(|list| list.iter().any(|known| known == name));
            ensure!(is_built_in, "there is no module {name}");
            continue;
        };
        for file in needs.split_whitespace().rev().chain([*file]) {
            if !order.iter().any(|known| known == file) {
                order.push(file.to_owned());
            }
        }
    }
    Ok(order)
}

/// Name of the module in a file; the file's name may have hyphens.
pub(super) fn module(file: &str) -> String {
    let name = Path::new(file).file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.split('.').next().unwrap_or_default().replace('-', "_")
}

/// Content of a module's file, decompressed if necessary.
pub(super) fn content(file: &Path) -> Result<Vec<u8>> {
    if file.extension() != Some(OsStr::new("xz")) {
        return fs::read(file).with_context(|| file.display().to_string());
    }
    let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(file).output().context("xz")?;
    ensure!(
        output.status.success(),
        "{}: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_need_and_once() {
        let dependencies = "kernel/net/8021q/8021q.ko: kernel/net/802/mrp.ko kernel/net/llc/stp.ko\n\
             kernel/net/802/mrp.ko:\nkernel/net/llc/stp.ko: kernel/net/llc/llc.ko\nkernel/net/llc/llc.ko:\n\
             kernel/net/bridge/bridge.ko.xz: kernel/net/llc/stp.ko kernel/net/llc/llc.ko\n";
        let builtin = Some("kernel/drivers/char/virtio-console.ko\n");
        let order = in_order(dependencies, builtin, &["bridge", "virtio_console", "8021q"]).unwrap();
        let names: Vec<String> = order.iter().map(|file| module(file)).collect();
        assert_eq!(names, ["llc", "stp", "bridge", "mrp", "8021q"]);
        assert!(in_order(dependencies, builtin, &["vmxnet3"]).is_err());
    }
}
