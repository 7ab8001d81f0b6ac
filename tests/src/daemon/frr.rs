//! FRR's vrrpd on a node, with zebra beside it.
//!
//! It holds its addresses on macvlan devices with the virtual MAC, which must exist before, and takes the devices down
//! while it is not master (protodown). An instance has one family and no authentication.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::unistd::{User, chown};

use super::{Config, Instance};
use crate::clock::poll;
use crate::lab::{INTERFACE, Node};
use crate::pair::SETTLE;
use crate::process::{Directory, Process};

const USER: &str = "frr";

/// Path of an FRR daemon in Debian.
pub(super) fn path(daemon: &str) -> PathBuf {
    Path::new("/usr/lib/frr").join(daemon)
}

/// The device that holds the addresses of an instance.
fn device(instance: &Instance) -> String {
    let family = if instance.is_ipv6() { 6 } else { 4 };
    format!("vrrp{family}-{}", instance.vrid)
}

/// Starts zebra, then vrrpd; first makes the devices that do not exist.
pub(super) fn start(node: &Node, config: &Config, directory: &Directory) -> Result<(Process, Process)> {
    config.instances.iter().try_for_each(|instance| plug(node, instance))?;
    let user = User::from_name(USER)?.context("no user frr")?;
    chown(directory.path(), Some(user.uid), Some(user.gid))?;
    let socket = directory.path().join("zserv");
    std::fs::write(directory.path().join("zebra.conf"), "")?;
    std::fs::write(directory.path().join("vrrpd.conf"), text(config)?)?;
    let zebra = Process::start(command(node, directory, "zebra")?, directory.path().join("zebra.log"))?;
    poll("the socket of zebra", SETTLE, || Ok(socket.exists().then_some(())))?;
    let vrrpd = Process::start(command(node, directory, "vrrpd")?, directory.path().join("log"))?;
    Ok((zebra, vrrpd))
}

fn command(node: &Node, directory: &Directory, daemon: &str) -> Result<Command> {
    let file = |name: &str| directory.path().join(name);
    let mut command = node.namespace.command(path(daemon))?;
    command.arg("-f").arg(file(&format!("{daemon}.conf"))).arg("-i").arg(file(&format!("{daemon}.pid")));
    command.arg("-z").arg(file("zserv")).arg("--vty_socket").arg(directory.path());
    command.args(["-P", "0", "-u", USER, "-g", USER, "--log", "stdout"]);
    Ok(command)
}

fn text(config: &Config) -> Result<String> {
    let mut text = format!("interface {INTERFACE}\n");
    for instance in &config.instances {
        let Instance { vrid, version, priority, interval, .. } = instance;
        writeln!(text, " vrrp {vrid} version {version}\n vrrp {vrid} priority {priority}")?;
        writeln!(text, " vrrp {vrid} advertisement-interval {}", interval.as_millis())?;
        let family = if instance.is_ipv6() { "ipv6" } else { "ip" };
        for address in instance.virtual_addresses() {
            writeln!(text, " vrrp {vrid} {family} {address}")?;
        }
    }
    Ok(text)
}

fn plug(node: &Node, instance: &Instance) -> Result<()> {
    let device = device(instance);
    if node.namespace.run("ip", &["link", "show", "dev", &device]).is_ok() {
        return Ok(());
    }
    let family = if instance.is_ipv6() { 2 } else { 1 };
    let mut lines = format!(
        "link add {device} link {INTERFACE} address 00:00:5e:00:{family:02x}:{:02x} type macvlan mode bridge\n",
        instance.vrid
    );
    for address in &instance.addresses {
        writeln!(lines, "address add {address} dev {device} nodad")?;
    }
    writeln!(lines, "link set {device} up")?;
    node.namespace.ip(lines.trim_end())
}

/// Whether vrrpd has set the device up, as it does while it is master.
pub(super) fn serves(node: &Node, instance: &Instance) -> Result<bool> {
    let shown = node.namespace.run("ip", &["-json", "link", "show", "dev", &device(instance)])?;
    let shown: serde_json::Value = serde_json::from_str(&shown).context("output of ip -json")?;
    Ok(shown[0]["operstate"] == "UP")
}
