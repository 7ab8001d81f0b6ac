//! The configuration of a backup for a virtual router that was seen.

use std::fmt::Write;
use std::net::IpAddr;

use super::{Census, Heard, Key};
use crate::daemon::inspect::sighting::{AuthSeen, Seen};
use crate::driver::netlink::table::Address;
use crate::protocol::Version;
use vrrp_ebpf::wire::ChecksumForm;

/// How far below the master the backup starts.
const BELOW: u8 = 10;

/// A file that joins the virtual routers of this VRID as a backup, one for each family and VLAN; `own` has the
/// addresses of the interface, whose prefix lengths the virtual ones get. `None`: no valid advert of it was seen.
pub fn join(census: &Census, interface: &str, vrid: u8, own: &[Address]) -> Option<String> {
    let mut best: Vec<(Key, &Heard, &Seen)> = Vec::new();
    for (key, heard) in census.heard.iter().filter(|(key, _)| key.vrid == vrid) {
        let Some(seen) = &heard.seen else { continue };
        match best.iter_mut().find(|(other, ..)| (other.vlan, other.is_v6) == (key.vlan, key.is_v6)) {
            Some(other) if other.2.priority < seen.priority => *other = (*key, heard, seen),
            Some(_) => {}
            None => best.push((*key, heard, seen)),
        }
    }
    let mut out = String::new();
    for (key, heard, seen) in &best {
        if !out.is_empty() {
            out.push('\n');
        }
        instance(&mut out, *key, heard, seen, &best, interface, own);
    }
    (!out.is_empty()).then_some(out)
}

fn instance(
    out: &mut String,
    key: Key,
    heard: &Heard,
    seen: &Seen,
    all: &[(Key, &Heard, &Seen)],
    interface: &str,
    own: &[Address],
) {
    let Key { vlan, is_v6, vrid, source } = key;
    let family = if is_v6 { "IPv6" } else { "IPv4" };
    // Names must differ.
    let second = if is_v6 && all.len() > 1 { "_v6" } else { "" };
    let tag = if vlan == 0 { String::new() } else { format!("_{vlan}") };
    let name = format!("VI_{vrid}{second}{tag}");
    let interface = if vlan == 0 { interface.to_owned() } else { format!("{interface}.{vlan}") };
    let priority = match seen.priority {
        u8::MAX | 0 => 100,
        master => master.saturating_sub(BELOW).max(1),
    };
    let mut line = |depth: usize, text: &str| {
        let _ = writeln!(out, "{}{text}", "    ".repeat(depth));
    };
    line(
        0,
        &format!(
            "# A backup of {source}, which was heard as master of VRID {vrid} ({family}) with priority {}.",
            seen.priority
        ),
    );
    if vlan != 0 {
        line(0, &format!("# Its adverts had the tag of VLAN {vlan}: check the name of that interface."));
    }
    line(0, &format!("vrrp_instance {name} {{"));
    line(1, "state BACKUP");
    line(1, &format!("interface {interface}"));
    line(1, &format!("virtual_router_id {vrid}"));
    line(1, &format!("version {}", seen.version as u8));
    line(1, &format!("priority {priority}"));
    line(1, &format!("advert_int {}", seen.interval.duration().as_secs_f64()));
    if seen.version == Version::V3 && !is_v6 && seen.checksum == ChecksumForm::Plain {
        line(1, "checksum plain");
    }
    if !heard.latest.destination.is_multicast() {
        line(1, "unicast_peer {");
        line(2, &source.to_string());
        line(1, "}");
    }
    match seen.auth {
        AuthSeen::Pass | AuthSeen::Ah => {
            let word = if seen.auth == AuthSeen::Ah { "AH" } else { "PASS" };
            line(1, "authentication {");
            line(2, &format!("auth_type {word}"));
            line(2, "# auth_pass: write the password of the other nodes here");
            line(1, "}");
        }
        AuthSeen::Signed => {
            line(1, "# auth_hmac: its adverts are signed; copy the block of the other nodes here");
        }
        AuthSeen::None | AuthSeen::Other(_) => {}
    }
    line(1, "virtual_ipaddress {");
    for address in &seen.addresses {
        line(2, &format!("{address}/{}", prefix(*address, own)));
    }
    line(1, "}");
    line(0, "}");
}

/// The prefix length of the interface's subnet that the address is in; without one that of a single address.
fn prefix(address: IpAddr, own: &[Address]) -> u8 {
    let is_link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let near = own
        .iter()
        .find(|own| own.peer.is_none() && !own.marked && own.is_near(address))
        .map(|own| own.prefix);
    near.unwrap_or(match address {
        _ if is_link_local => 64,
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vrrp_ebpf::wire::advert::{Auth, Dialect};

    use super::super::super::sighting::Sighting;
    use super::super::super::sighting::tests::{V3, advert, caught};
    use super::*;
    use crate::config::parse;
    use crate::protocol::Priority;

    fn joined(frames: &[Vec<u8>]) -> Option<String> {
        let mut census = Census::default();
        for frame in frames {
            census.add(Sighting::read(&caught(frame, 0, 0)).unwrap());
        }
        let own = Address {
            ifindex: 2,
            address: [192, 0, 2, 10].into(),
            prefix: 24,
            peer: None,
            secondary: false,
            usable: true,
            marked: false,
        };
        join(&census, "eth0", 51, &[own])
    }

    #[test]
    fn the_file_is_valid_and_that_of_a_backup() {
        let text = joined(&[advert(9, 51, 110, 255, V3, ChecksumForm::Plain)]).unwrap();
        let loaded = parse("vrrpx.conf", &text).unwrap();
        assert!(loaded.diagnostics.is_empty(), "{:?}\n{text}", loaded.diagnostics);
        let settings = &loaded.config.instances[0].settings;
        assert_eq!(
            (settings.vrid.number(), settings.priority, settings.version),
            (51, Priority(100), Version::V3)
        );
        assert_eq!(settings.advert_interval.duration(), Duration::from_secs(1));
        assert_eq!(settings.checksum, ChecksumForm::Plain);
        assert_eq!(settings.addresses.advertised[0].prefix, 24);
    }

    #[test]
    fn a_password_is_asked_for_and_not_written() {
        let dialect = Dialect::V2 { seconds: 1, auth: Auth::Pass(*b"secret\0\0") };
        let text = joined(&[advert(9, 51, 110, 255, dialect, ChecksumForm::Plain)]).unwrap();
        assert!(text.contains("# auth_pass: write the password") && !text.contains("secret"), "{text}");
        let loaded = parse("vrrpx.conf", &text).unwrap();
        assert!(
            loaded.diagnostics.iter().any(|it| it.message.contains("auth_pass")),
            "{:?}",
            loaded.diagnostics
        );
    }

    #[test]
    fn the_better_one_of_two_masters_counts() {
        let frames = [
            advert(9, 51, 110, 255, V3, ChecksumForm::Pseudo),
            advert(8, 51, 200, 255, V3, ChecksumForm::Pseudo),
        ];
        let text = joined(&frames).unwrap();
        assert!(text.contains("A backup of 192.0.2.8,") && text.contains("priority 190\n"), "{text}");
        assert_eq!(joined(&[advert(9, 52, 110, 255, V3, ChecksumForm::Pseudo)]), None);
    }
}
