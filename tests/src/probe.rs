//! A client that probes a virtual address at a steady pace, and its results: outages, and the nodes that answered.
//!
//! Echo requests go out through the client's own stack, neighbour cache and all, like a user's traffic; the kernel of
//! the node that holds the address answers. A packet socket receives the replies, and also sees the hardware address
//! they came from.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};

use crate::clock::{realtime, until};
use crate::lab::{Lab, node_of};
use crate::observe::packet_socket;
use crate::worker::{Workers, lock};

/// Identifier of our echo requests.
const IDENTIFIER: u16 = 0x5658;
/// The sequence number on the wire has 16 bits; replies later than half its range are ambiguous.
const HALF: usize = 1 << 15;
/// Longer than an answer takes, also on a busy machine.
const ANSWERED: Duration = Duration::from_secs(1);

/// Sends requests until dropped.
#[derive(Debug)]
pub struct Prober {
    probes: Arc<Mutex<Vec<Probe>>>,
    _asking: Workers,
    period: Duration,
}

/// A request and its outcome.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Nanoseconds of CLOCK_REALTIME.
    pub sent: u64,
    /// When the first reply came.
    pub answered: Option<u64>,
    /// Node of the first reply.
    pub by: Option<usize>,
    /// Whether a second node replied, too.
    pub twice: bool,
}

impl Prober {
    /// Probes `target` from the client of `lab` once each `period`.
    pub fn new(lab: &Lab, target: IpAddr, period: Duration) -> Result<Self> {
        let (sender, receiver) = lab.client.enter(|| Ok((echo_socket(target)?, packet_socket()?)))?;
        let probes = Arc::new(Mutex::new(Vec::new()));
        let (sent, answered) = (Arc::clone(&probes), Arc::clone(&probes));
        let to = SockaddrStorage::from(SocketAddr::new(target, 0));
        let asking = Workers::default().with_pace(period, move || ask(&sender, &to, &sent))?.with_frames(
            receiver,
            move |got, frame| {
                if let Some((mac, sequence)) = reply(frame) {
                    record(&mut lock(&answered), sequence, node_of(mac), got.at);
                }
            },
        );
        Ok(Self { probes, _asking: asking, period })
    }

    /// All probes so far.
    pub fn probes(&self) -> Vec<Probe> {
        lock(&self.probes).clone()
    }

    /// All probes sent so far, once each has had its time for an answer.
    pub fn settled(&self) -> Vec<Probe> {
        let sent = self.probes().len();
        let so_far = || self.probes().into_iter().take(sent).collect::<Vec<_>>();
        // One without an answer is lost.
        let _lost = until("all answers", ANSWERED, || so_far().iter().all(|it| it.answered.is_some()));
        so_far()
    }

    /// Longest outage among the probes sent since `since` (CLOCK_REALTIME), see [`longest_outage`].
    pub fn longest_outage(&self, since: u64) -> Duration {
        let probes: Vec<_> = self.probes().into_iter().filter(|probe| probe.sent >= since).collect();
        longest_outage(&probes)
    }

    /// Whether a probe sent since `since` was answered.
    pub fn answered_since(&self, since: u64) -> bool {
        let probes = lock(&self.probes);
        probes.iter().rev().take_while(|probe| probe.sent >= since).any(|probe| probe.answered.is_some())
    }

    /// Node that answered the latest answered probe.
    pub fn served_by(&self) -> Option<usize> {
        lock(&self.probes).iter().rev().find_map(|probe| probe.by)
    }

    /// Node and time of the first answer to a probe sent after `since` by a node other than `old`.
    pub fn heir(&self, old: usize, since: u64) -> Option<(usize, u64)> {
        let probes = lock(&self.probes);
        let heir = |probe: &Probe| Some((probe.by.filter(|&by| by != old)?, probe.answered?));
        probes.iter().filter(|probe| probe.sent >= since).find_map(heir)
    }

    pub fn period(&self) -> Duration {
        self.period
    }
}

/// From the first unanswered probe to the next answered one. Only outages that have ended count: the last probes may
/// still be answered.
pub fn longest_outage(probes: &[Probe]) -> Duration {
    let mut longest = 0;
    let mut since = None;
    for probe in probes {
        match (probe.answered, since) {
            (None, None) => since = Some(probe.sent),
            (Some(_), Some(start)) => {
                longest = longest.max(probe.sent.saturating_sub(start));
                since = None;
            }
            _ => {}
        }
    }
    Duration::from_nanos(longest)
}

/// Nodes that answered, in the order of their first answers.
pub fn servers(probes: &[Probe]) -> Vec<usize> {
    let mut known = BTreeSet::new();
    probes.iter().filter_map(|probe| probe.by).filter(|&node| known.insert(node)).collect()
}

fn ask(socket: &OwnedFd, target: &SockaddrStorage, probes: &Mutex<Vec<Probe>>) {
    let mut probes = lock(probes);
    let sequence = u16::try_from(probes.len() & 0xffff).unwrap_or(0);
    probes.push(Probe { sent: realtime(), answered: None, by: None, twice: false });
    drop(probes);
    let request = request(target.as_sockaddr_in6().is_some(), sequence);
    // Unreachable addresses are part of the measurement.
    let _unreachable = sendto(socket.as_raw_fd(), &request, target, MsgFlags::MSG_DONTWAIT);
}

fn record(probes: &mut [Probe], sequence: u16, by: Option<usize>, at: u64) {
    let newest = probes.len().saturating_sub(1);
    let behind = (newest.wrapping_sub(usize::from(sequence))) & 0xffff;
    let index = if behind < HALF { newest.checked_sub(behind) } else { None };
    let Some(probe) = index.and_then(|index| probes.get_mut(index)) else { return };
    if probe.answered.is_none() {
        probe.answered = Some(at);
        probe.by = by;
    } else if probe.by != by {
        probe.twice = true;
    }
}

/// Echo request (RFC 792, RFC 4443 §4.1); the kernel fills in the checksum over IPv6.
fn request(v6: bool, sequence: u16) -> [u8; 8] {
    let [id0, id1] = IDENTIFIER.to_be_bytes();
    let [seq0, seq1] = sequence.to_be_bytes();
    let kind = if v6 { 128 } else { 8 };
    let sum = u32::from(kind) << 8;
    let sum = sum + u32::from(IDENTIFIER) + u32::from(sequence);
    let folded = (sum & 0xffff) + (sum >> 16);
    let [sum0, sum1] = if v6 { [0, 0] } else { u16::try_from(!folded & 0xffff).unwrap_or(0).to_be_bytes() };
    [kind, 0, sum0, sum1, id0, id1, seq0, seq1]
}

/// Sender's hardware address and sequence number, if the frame is a reply to one of our requests.
fn reply(frame: &[u8]) -> Option<([u8; 6], u16)> {
    let mac = frame.get(6..12)?.try_into().ok()?;
    let packet = frame.get(14..)?;
    let (kind, message) = match frame.get(12..14)? {
        [0x08, 0x00] if packet.get(9) == Some(&1) => {
            (0, packet.get(usize::from(packet.first()? & 0xf) * 4..)?)
        }
        [0x86, 0xdd] if packet.get(6) == Some(&58) => (129, packet.get(40..)?),
        _ => return None,
    };
    let [found, _, _, _, id0, id1, seq0, seq1, ..] = *message else { return None };
    (found == kind && [id0, id1] == IDENTIFIER.to_be_bytes())
        .then_some((mac, u16::from_be_bytes([seq0, seq1])))
}

fn echo_socket(target: IpAddr) -> Result<OwnedFd> {
    let (family, protocol) = match target {
        IpAddr::V4(_) => (libc::AF_INET, libc::IPPROTO_ICMP),
        IpAddr::V6(_) => (libc::AF_INET6, libc::IPPROTO_ICMPV6),
    };
    // SAFETY: socket takes no pointers; its result is checked and owned once.
    let fd = Errno::result(unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) })?;
    ensure!(fd >= 0, "echo socket");
    // SAFETY: fd is a fresh descriptor without another owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(sent: u64, answered: bool) -> Probe {
        Probe { sent, answered: answered.then_some(sent), by: None, twice: false }
    }

    #[test]
    fn outage_runs_from_the_first_loss_to_the_next_answer() {
        let probes: Vec<_> = [true, false, true, false, false, false, true]
            .iter()
            .zip(0..)
            .map(|(&ok, at)| probe(at, ok))
            .collect();
        assert_eq!(longest_outage(&probes), Duration::from_nanos(3));
    }

    #[test]
    fn an_outage_that_has_not_ended_is_not_counted() {
        assert_eq!(longest_outage(&[probe(0, true), probe(1, false), probe(9, false)]), Duration::ZERO);
    }

    #[test]
    fn replies_find_their_probe_after_the_sequence_has_wrapped() {
        let mut probes: Vec<_> = (0..70_000).map(|at| probe(at, false)).collect();
        record(&mut probes, u16::try_from(69_990 & 0xffff).unwrap(), Some(1), 5);
        assert_eq!(probes[69_990].by, Some(1));
        assert!(probes[69_990 - 65_536].answered.is_none());
    }

    #[test]
    fn a_second_answerer_is_noticed() {
        let mut probes = [probe(0, false)];
        record(&mut probes, 0, Some(0), 5);
        record(&mut probes, 0, Some(1), 6);
        assert!(probes[0].twice);
        assert_eq!(probes[0].by, Some(0));
    }

    #[test]
    fn the_checksum_of_a_request_holds() {
        for sequence in [0, 1, 0xa9a0, 0xffff] {
            let sum: u32 = request(false, sequence)
                .chunks(2)
                .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
                .sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        }
    }
}
