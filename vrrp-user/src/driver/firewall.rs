//! nftables rules that drop packets to and from addresses in no-accept mode; and all rules of the host, for reading.
//!
//! Enters: addresses. Leaves: one table of the daemon's own, set or replaced as a whole by `nft`. Absent: the choice of
//! addresses. Takes milliseconds; not for real-time threads.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use vrrp_ebpf::wire::Family;

use crate::config::FirewallSettings;

/// Longest run of `nft`: with a large ruleset it takes seconds. The caller waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
pub enum FirewallError {
    #[error("cannot run nft: {0}")]
    Run(#[from] io::Error),
    #[error("nft: {0}")]
    Refused(String),
    #[error("nft did not finish within {} s and was killed", PATIENCE.as_secs())]
    Slow,
}

/// An address and its interface: a link-local address is distinct on each interface.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Denied {
    pub address: IpAddr,
    pub interface: Arc<str>,
}

/// Replaces the table.
///
/// # Errors
/// `nft` is not found, or refuses: EPERM without CAP_NET_ADMIN.
pub fn set(settings: &FirewallSettings, denied: &[Denied]) -> Result<(), FirewallError> {
    run(&format!("{}{}", removal(&settings.table), rules(settings, denied)))
}

/// Removes the table; a missing one counts as removed.
///
/// # Errors
/// As [`set`].
pub fn remove(table: &str) -> Result<(), FirewallError> {
    run(&removal(table))
}

/// All rules of nftables in this network namespace, those of iptables-nft among them, as the JSON of `nft`.
///
/// # Errors
/// As [`set`].
pub fn ruleset() -> Result<String, FirewallError> {
    output(Command::new("nft").args(["-j", "list", "ruleset"]))
}

/// The rules of iptables-nft, as iptables-save(8) writes them: `nft` does not show what its extensions do.
///
/// # Errors
/// iptables-nft-save is not found, or refuses.
pub fn nft_rules(family: Family) -> Result<String, FirewallError> {
    output(&mut Command::new(match family {
        Family::V4 => "iptables-nft-save",
        Family::V6 => "ip6tables-nft-save",
    }))
}

/// The rules of iptables' older kernel interface, as iptables-save(8) writes them; `None` if it has no tables.
///
/// # Errors
/// iptables-save is not found, or refuses.
pub fn legacy_rules(family: Family) -> Option<Result<String, FirewallError>> {
    let (names, programs) = match family {
        Family::V4 => ("ip_tables_names", ["iptables-legacy-save", "iptables-save"]),
        Family::V6 => ("ip6_tables_names", ["ip6tables-legacy-save", "ip6tables-save"]),
    };
    let tables = fs::read_to_string(format!("/proc/thread-self/net/{names}")).unwrap_or_default();
    if tables.trim().is_empty() {
        return None;
    }
    let [legacy, plain] = programs;
    Some(output(&mut Command::new(legacy)).or_else(|_| output(&mut Command::new(plain))))
}

fn output(command: &mut Command) -> Result<String, FirewallError> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(refused(&output))
}

/// `delete` fails on a missing table, so it is added first.
fn removal(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// RFC 9568 §6.4.3: neighbour discovery still works for addresses that answer nothing else.
fn rules(settings: &FirewallSettings, denied: &[Denied]) -> String {
    let FirewallSettings { table, priority, counters } = settings;
    let is_link_local = |it: &&Denied| matches!(it.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let global = |v6: bool| {
        let chosen = denied.iter().filter(|it| it.address.is_ipv6() == v6 && !is_link_local(it));
        elements(chosen.map(|it| it.address.to_string()).collect())
    };
    let local = denied.iter().filter(is_link_local);
    let local = elements(local.map(|it| format!("{} . \"{}\"", it.address, it.interface)).collect());
    let verdict = if *counters { "counter drop" } else { "drop" };
    let mut text = format!(
        "table inet {table} {{\n\
         set addresses4 {{ type ipv4_addr; {} }}\n\
         set addresses6 {{ type ipv6_addr; {} }}\n\
         set link_local {{ type ipv6_addr . ifname; {local} }}\n",
        global(false),
        global(true),
    );
    for (hook, field, interface) in [("input", "daddr", "iifname"), ("output", "saddr", "oifname")] {
        let _ = write!(
            text,
            "chain {hook} {{\n\
             type filter hook {hook} priority {priority}; policy accept;\n\
             icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept\n\
             ip {field} @addresses4 {verdict}\n\
             ip6 {field} @addresses6 {verdict}\n\
             ip6 {field} . {interface} @link_local {verdict}\n\
             }}\n"
        );
    }
    text + "}\n"
}

/// nft does not accept an empty `elements` list.
fn elements(mut list: Vec<String>) -> String {
    list.sort_unstable();
    list.dedup();
    if list.is_empty() { String::new() } else { format!("elements = {{ {} }};", list.join(", ")) }
}

fn run(script: &str) -> Result<(), FirewallError> {
    let mut nft = Command::new("nft");
    nft.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = nft.spawn()?;
    let input = child.stdin.take();
    let script = script.to_owned();
    // Both end with nft: one that hangs reads and writes nothing more.
    thread::Builder::new().name("nft".to_owned()).spawn(move || {
        if let Some(mut input) = input {
            // If nft exits before it has read everything, its message says why.
            let _ = input.write_all(script.as_bytes());
        }
    })?;
    if !end_in_time(&mut child)? {
        let _ = child.kill();
        let _ = child.wait();
        return Err(FirewallError::Slow);
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(&output))
}

/// Whether the process ends within [`PATIENCE`]. Its messages fit into the pipe.
fn end_in_time(child: &mut Child) -> io::Result<bool> {
    let end = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}

fn refused(output: &Output) -> FirewallError {
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    FirewallError::Refused(first.map_or_else(|| output.status.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_once_in_the_set_of_its_kind() {
        let denied = |address: &str, interface: &str| Denied {
            address: address.parse().unwrap(),
            interface: interface.into(),
        };
        let list = [
            denied("10.0.0.2", "eth0"),
            denied("10.0.0.1", "eth1"),
            denied("10.0.0.1", "eth0"),
            denied("fe80::1", "eth0"),
            denied("fe80::1", "eth1"),
        ];
        let text = rules(&FirewallSettings::default(), &list);
        assert!(
            text.contains("set addresses4 { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }"),
            "{text}"
        );
        assert!(text.contains("set addresses6 { type ipv6_addr;  }"), "{text}");
        assert!(text.contains("elements = { fe80::1 . \"eth0\", fe80::1 . \"eth1\" };"), "{text}");
        let counted = FirewallSettings { counters: true, ..FirewallSettings::default() };
        assert_eq!(rules(&counted, &list).matches("counter drop").count(), 6);
    }
}
