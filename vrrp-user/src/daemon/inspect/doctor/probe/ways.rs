//! Both ways of the wire between this host and a peer, as probes show them.
//!
//! Enters: what probes, answers and adverts have shown ([`Way`]). Leaves: a finding for each way of each peer. Absent:
//! sockets.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::super::finding::{Findings, Level};
use super::Tried;
use crate::driver::socket::ProbeMessage;

/// From the first probe of this run to the time at which another run must have heard one.
const SETTLED: Duration = Duration::from_secs(1);

/// Probes of another run without word of ours that prove that none arrives there.
const DEAF: u32 = 3;

/// What has been seen of a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    /// It has heard a probe of this run.
    hears: bool,
    /// Probes of it that name none as heard, from the time on at which it must have heard one.
    deaf: u32,
    /// A probe of it has arrived.
    arrives: bool,
    /// It has answered by an echo reply.
    has_replied: bool,
    /// Its host refuses to send protocol 112.
    is_refused: bool,
}

impl Way {
    /// Takes a probe of the peer by protocol 112, `age` after the first one of the own run.
    pub(super) fn said_by_wire(&mut self, probe: &ProbeMessage, own: u32, age: Duration) {
        self.arrives = true;
        match probe.heard {
            Some(heard) => self.hears |= heard.run == own,
            None if age >= SETTLED => self.deaf += 1,
            None => {}
        }
    }

    /// Takes what the peer has said by an echo reply.
    pub(super) fn said_by_echo(&mut self, probe: &ProbeMessage, own: u32) {
        self.hears |= probe.heard.is_some_and(|heard| heard.run == own);
        self.has_replied = true;
        self.is_refused = probe.is_refused;
    }
}

pub(super) fn ways(name: &str, tried: &Tried, findings: &mut Findings) {
    for (to, errno) in &tried.refused {
        refused(name, *to, *errno, findings);
    }
    let masters = || tried.adverts.iter().filter(|seen| !seen.is_own).map(|seen| seen.source);
    let known = tried.peers.keys().chain(tried.ways.keys()).chain(tried.members.values().flatten());
    let peers: BTreeSet<IpAddr> = known.copied().chain(masters()).collect();
    if peers.is_empty() {
        findings.add(
            Level::Skip,
            format!("{name}: no peer is known, and none answers probes: whether adverts pass is not known"),
            Some("vrrpx doctor --probe --for 1m on the other host, and here meanwhile".to_owned()),
        );
    }
    for peer in peers {
        let way = tried.ways.get(&peer).copied().unwrap_or_default();
        let sends = masters().any(|source| source == peer);
        let is_refused = tried.refused.keys().any(|to| to.is_ipv4() == peer.is_ipv4());
        if !is_refused {
            there(name, peer, way, findings);
        }
        back(name, peer, Way { arrives: way.arrives || sends, ..way }, findings);
    }
}

/// Protocol 112 that this host does not send.
fn refused(name: &str, to: IpAddr, errno: i32, findings: &mut Findings) {
    let fix = match errno {
        libc::EPERM => "a rule drops it on its way out: see the line about nft or iptables above".to_owned(),
        libc::ENOBUFS => {
            format!(
                "tc filter show dev {name} egress, and nft chains at egress of {name}: one of them drops it"
            )
        }
        _ => format!("ip route get {to}"),
    };
    let error = io::Error::from_raw_os_error(errno);
    findings.fail(format!("{name}: no protocol 112 leaves this host for {to}: {error}"), fix);
}

/// From here to the peer.
fn there(name: &str, peer: IpAddr, way: Way, findings: &mut Findings) {
    if way.hears {
        findings.ok(format!("{name}: what this host sends by protocol 112 arrives at {peer}"));
    } else if way.deaf >= DEAF {
        findings.fail(
            format!("{name}: what this host sends by protocol 112 does not arrive at {peer}, which sends probes too"),
            format!("look at switches and firewalls between; vrrpx doctor on {peer} names programs that drop it there"),
        );
    } else {
        findings.add(
            Level::Skip,
            format!("{name}: {peer} answers no probe: whether it receives what this host sends is not known"),
            Some(format!(
                "only vrrpx answers: if it runs there, frames are lost on their way; else run vrrpx doctor --probe --for \
                 1m on {peer}, and here meanwhile"
            )),
        );
    }
}

/// From the peer to here.
fn back(name: &str, peer: IpAddr, way: Way, findings: &mut Findings) {
    if way.arrives {
        findings.ok(format!("{name}: what {peer} sends by protocol 112 arrives here"));
    } else if way.has_replied && way.is_refused {
        findings.fail(
            format!("{name}: what {peer} sends by protocol 112 does not leave it: its own host refuses it"),
            format!("vrrpx doctor on {peer} names the rule that drops it on its way out"),
        );
    } else if way.has_replied {
        findings.fail(
            format!("{name}: what {peer} sends by protocol 112 does not arrive here, and its echo reply does"),
            format!(
                "look at switches and firewalls between, and at multicast snooping; the line about programs above has \
                 those that drop it on {name}"
            ),
        );
    } else {
        findings.add(
            Level::Skip,
            format!("{name}: {peer} has sent nothing by protocol 112: whether it would arrive is not known"),
            Some(format!(
                "a backup is silent: run vrrpx doctor --probe --for 1m on {peer}, and here meanwhile"
            )),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::Seen;
    use super::*;
    use crate::driver::socket::HeardProbe;

    const OWN: u32 = 7;
    const LATE: Duration = Duration::from_secs(2);

    fn peer() -> IpAddr {
        [192, 0, 2, 12].into()
    }

    fn said(heard: Option<u32>) -> ProbeMessage {
        let heard = heard.map(|run| HeardProbe { source: [192, 0, 2, 10].into(), run });
        ProbeMessage { run: 9, asks: true, heard, ..ProbeMessage::default() }
    }

    fn lines(tried: &Tried) -> Vec<String> {
        let mut findings = Findings { check: "probe", list: Vec::new() };
        ways("eth0", tried, &mut findings);
        findings.list.iter().map(|it| format!("{} {}", it.level.as_str().trim(), it.text)).collect()
    }

    fn of(change: impl Fn(&mut Way)) -> Vec<String> {
        let mut way = Way::default();
        change(&mut way);
        lines(&Tried { ways: [(peer(), way)].into(), ..Tried::default() })
    }

    const THERE: &str = "ok eth0: what this host sends by protocol 112 arrives at 192.0.2.12";
    const BACK: &str = "ok eth0: what 192.0.2.12 sends by protocol 112 arrives here";

    #[test]
    fn each_way_has_a_line_of_its_own() {
        assert_eq!(of(|way| way.said_by_wire(&said(Some(OWN)), OWN, LATE)), [THERE, BACK]);
        let by_echo = |is_refused| {
            of(move |way| way.said_by_echo(&ProbeMessage { is_refused, ..said(Some(OWN)) }, OWN))
        };
        assert_eq!(by_echo(false)[0], THERE);
        assert!(
            by_echo(false)[1].starts_with("FAIL eth0: what 192.0.2.12 sends by protocol 112 does not arrive")
        );
        assert!(
            by_echo(true)[1]
                .starts_with("FAIL eth0: what 192.0.2.12 sends by protocol 112 does not leave it")
        );
    }

    #[test]
    fn another_run_that_hears_nothing_proves_that_nothing_arrives() {
        let heard =
            |count, age, what| of(|way| (0..count).for_each(|_| way.said_by_wire(&said(what), OWN, age)));
        let deaf = heard(DEAF, LATE, None);
        assert!(
            deaf[0].starts_with("FAIL eth0: what this host sends by protocol 112 does not arrive at"),
            "{deaf:?}"
        );
        assert_eq!(deaf[1], BACK);
        // It may have heard one meanwhile, or says that it has heard another host.
        for unknown in [heard(DEAF - 1, LATE, None), heard(9, Duration::ZERO, None), heard(9, LATE, Some(8))]
        {
            assert!(unknown[0].starts_with("skip eth0: 192.0.2.12 answers no probe"), "{unknown:?}");
        }
    }

    #[test]
    fn a_peer_that_answers_no_probe_is_known_by_its_adverts_only() {
        let seen = Seen { vrid: 51, is_v6: false, source: peer(), is_own: false };
        let master = lines(&Tried { adverts: [seen].into(), ..Tried::default() });
        assert!(master[0].starts_with("skip eth0: 192.0.2.12 answers no probe"), "{master:?}");
        assert_eq!(master[1], BACK);
        let backup = lines(&Tried { peers: [(peer(), None)].into(), ..Tried::default() });
        assert!(
            backup[1].starts_with("skip eth0: 192.0.2.12 has sent nothing by protocol 112"),
            "{backup:?}"
        );
        let alone = lines(&Tried::default());
        assert!(alone.len() == 1 && alone[0].starts_with("skip eth0: no peer is known"), "{alone:?}");
    }

    #[test]
    fn what_this_host_refuses_is_its_own_fault() {
        let refused = [([224, 0, 0, 18].into(), libc::EPERM)].into();
        let tried = Tried { refused, peers: [(peer(), None)].into(), ..Tried::default() };
        let lines = lines(&tried);
        let expected = "FAIL eth0: no protocol 112 leaves this host for 224.0.0.18: Operation not permitted";
        assert!(lines[0].starts_with(expected), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("answers no probe")), "{lines:?}");
    }
}
