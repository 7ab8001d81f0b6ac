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
use std::time::Duration;

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use thiserror::Error;
use vrrp_ebpf::wire::Family;

use super::clock;
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

/// Whether the table is there; asks the kernel, without `nft`.
///
/// # Errors
/// The kernel lacks nftables, or EPERM without CAP_NET_ADMIN.
pub fn is_there(table: &str) -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.send_to(&query(table), &SocketAddr::new(0, 0), 0)?;
    let mut answer = [0; 1024];
    let length = socket.recv(&mut answer.as_mut_slice(), 0)?;
    let answer = answer.get(..length).unwrap_or_default();
    let word = |at: usize| answer.get(at..at + 4).and_then(|it| it.try_into().ok()).map(i32::from_ne_bytes);
    let kind = answer.get(4..6).and_then(|it| it.try_into().ok()).map(u16::from_ne_bytes);
    match (kind, word(NLMSG_HEADER)) {
        (Some(NLMSG_ERROR), Some(code)) if code == -libc::ENOENT => Ok(false),
        (Some(NLMSG_ERROR), Some(code)) if code != 0 => Err(io::Error::from_raw_os_error(-code)),
        (Some(_), _) => Ok(true),
        (None, _) => Err(io::ErrorKind::InvalidData.into()),
    }
}

const NLMSG_HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
/// `NFNL_SUBSYS_NFTABLES` and `NFT_MSG_GETTABLE` of `linux/netfilter/nf_tables.h`.
const GET_TABLE: u16 = 10 << 8 | 1;
/// `NFPROTO_INET`, and version 0 of nfnetlink.
const INET: [u8; 4] = [1, 0, 0, 0];
const NFTA_TABLE_NAME: u16 = 1;

/// The request for a table of the family inet: header, family, name.
fn query(table: &str) -> Vec<u8> {
    let name = [table.as_bytes(), &[0]].concat();
    let attribute = u16::try_from(4 + name.len()).unwrap_or(u16::MAX);
    let mut body = INET.to_vec();
    body.extend(attribute.to_ne_bytes());
    body.extend(NFTA_TABLE_NAME.to_ne_bytes());
    body.extend(&name);
    body.resize(body.len().next_multiple_of(4), 0);
    let mut message = Vec::new();
    message.extend(u32::try_from(NLMSG_HEADER + body.len()).unwrap_or(0).to_ne_bytes());
    message.extend(GET_TABLE.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence and port.
    message.extend([0; 8]);
    message.extend(body);
    message
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
    let end = clock::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if clock::now() >= end {
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
    fn the_request_for_a_table_is_as_the_kernel_reads_it() {
        let message = query("vrrpx");
        let kind = [GET_TABLE, NLM_F_REQUEST].map(u16::to_ne_bytes).concat();
        assert_eq!(message[..16], [&32_u32.to_ne_bytes()[..], &kind, &[0; 8]].concat());
        let attribute = [10_u16, NFTA_TABLE_NAME].map(u16::to_ne_bytes).concat();
        assert_eq!(message[16..], [&INET[..], &attribute, b"vrrpx\0\0\0"].concat());
        assert_eq!(message.len(), 32);
    }

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
