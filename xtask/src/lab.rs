//! Demonstration: two daemons in a lab of network namespaces. It is a program of `vrrp-tests`, which has the lab.

use std::ffi::OsString;

use anyhow::{Result, ensure};
use nix::unistd::geteuid;

use crate::build;
use crate::cargo::become_built;

pub(crate) fn lab(arguments: &[OsString]) -> Result<()> {
    ensure!(
        geteuid().is_root(),
        "the lab creates network namespaces and loads a BPF program: run it as root (sudo -E cargo xtask run)"
    );
    build::lab()?;
    become_built("lab", false, arguments)
}
