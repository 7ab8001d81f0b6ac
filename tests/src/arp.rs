//! A client that sends ARP requests for a virtual address at a steady pace, and records which nodes answer.
//!
//! It behaves like a neighbour without a cache entry: requests are broadcast. Two answers to one request mean two
//! owners of one address.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;

use crate::clock::realtime;
use crate::lab::{CLIENT_MAC, CLIENT_V4, INTERFACE, Lab, index_of, node_of};
use crate::observe::{packet_socket, send, sending_socket};
use crate::worker::{Workers, lock};

/// Sends requests until dropped.
#[derive(Debug)]
pub struct ArpProber {
    asks: Arc<Mutex<Vec<Ask>>>,
    _asking: Workers,
    period: Duration,
}

/// A request, and which nodes answered before the next one.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Nanoseconds of CLOCK_REALTIME.
    pub sent: u64,
    pub by: Vec<usize>,
}

impl ArpProber {
    /// Sends an ARP request for `target` from the client of `lab` once each `period`.
    pub fn new(lab: &Lab, target: Ipv4Addr, period: Duration) -> Result<Self> {
        Self::start(lab, target, period, false)
    }

    /// As [`ArpProber::new`], but each request has its own sender address, so a late answer is matched to its own
    /// request.
    pub fn by_many(lab: &Lab, target: Ipv4Addr, period: Duration) -> Result<Self> {
        Self::start(lab, target, period, true)
    }

    fn start(lab: &Lab, target: Ipv4Addr, period: Duration, by_many: bool) -> Result<Self> {
        let (sender, receiver, interface) =
            lab.client.enter(|| Ok((sending_socket()?, packet_socket()?, index_of(INTERFACE)?)))?;
        let asks = Arc::new(Mutex::new(Vec::new()));
        let (sent, answered) = (Arc::clone(&asks), Arc::clone(&asks));
        let mut request = request(target);
        let asking = Workers::default()
            .with_pace(period, move || {
                let number = {
                    let mut asks = lock(&sent);
                    asks.push(Ask { sent: realtime(), by: Vec::new() });
                    asks.len() - 1
                };
                if let (true, Some(sender)) = (by_many, request.get_mut(ASKER)) {
                    sender.copy_from_slice(&asker(number).octets());
                }
                // A request that was not sent counts as unanswered.
                let _refused = send(&sender, interface, &request);
            })?
            .with_frames(receiver, move |got, frame| {
                if let Some(node) = answerer(frame, target) {
                    let mut asks = lock(&answered);
                    match number(frame).filter(|_| by_many).and_then(|number| asks.get_mut(number)) {
                        Some(ask) => record(std::slice::from_mut(ask), node, got.at),
                        None => record(&mut asks, node, got.at),
                    }
                }
            });
        Ok(Self { asks, _asking: asking, period })
    }

    /// Requests sent since `since` (CLOCK_REALTIME).
    pub fn asks(&self, since: u64) -> Vec<Ask> {
        lock(&self.asks).iter().filter(|ask| ask.sent >= since).cloned().collect()
    }

    /// Total time during which two nodes answered, over all requests since `since`.
    pub fn answered_twice(&self, since: u64) -> Duration {
        let twice = self.asks(since).iter().filter(|ask| ask.by.len() > 1).count();
        self.period * u32::try_from(twice).unwrap_or(u32::MAX)
    }

    /// Number of requests since `since` that `node` answered.
    pub fn answers(&self, node: usize, since: u64) -> usize {
        self.asks(since).iter().filter(|ask| ask.by.contains(&node)).count()
    }
}

/// Assigns an answer to the latest request before it.
fn record(asks: &mut [Ask], node: usize, at: u64) {
    if let Some(ask) = asks.iter_mut().rev().find(|ask| ask.sent <= at)
        && !ask.by.contains(&node)
    {
        ask.by.push(node);
    }
}

/// The sender's protocol address in a request.
const ASKER: std::ops::Range<usize> = 28..32;
/// First of the many sender addresses. They are outside the lab's network; hosts answer all the same.
const ASKERS: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 0);

fn asker(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(ASKERS.to_bits() | u32::from(u16::try_from(number).unwrap_or(u16::MAX)))
}

/// Number of the request that an answer belongs to.
fn number(frame: &[u8]) -> Option<usize> {
    let asker = Ipv4Addr::from(<[u8; 4]>::try_from(frame.get(38..42)?).ok()?);
    usize::try_from(asker.to_bits().checked_sub(ASKERS.to_bits())?).ok().filter(|number| *number <= 0xffff)
}

/// A broadcast ARP request (RFC 826).
fn request(target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(CLIENT_MAC);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(CLIENT_MAC);
    frame.extend(CLIENT_V4.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// The node that sent this frame, if it is an ARP reply for `target`, addressed to the client alone.
fn answerer(frame: &[u8], target: Ipv4Addr) -> Option<usize> {
    let is_reply = frame.get(12..14)? == [0x08, 0x06] && frame.get(20..22)? == [0, 2];
    let is_ours = frame.get(..6)? == CLIENT_MAC && frame.get(28..32)? == target.octets();
    node_of(frame.get(22..28)?.try_into().ok()?).filter(|_| is_reply && is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_the_latest_request_and_once() {
        let mut asks = [10, 20].map(|sent| Ask { sent, by: Vec::new() });
        for (node, at) in [(0, 12), (1, 15), (0, 18), (1, 25), (1, 5)] {
            record(&mut asks, node, at);
        }
        assert_eq!(asks.map(|ask| ask.by), [vec![0, 1], vec![1]]);
    }

    #[test]
    fn an_answer_to_one_of_many_names_its_request() {
        let mut reply = vec![0; 42];
        reply[38..].copy_from_slice(&asker(513).octets());
        assert_eq!(number(&reply), Some(513));
        reply[38..].copy_from_slice(&CLIENT_V4.octets());
        assert_eq!(number(&reply), None);
    }

    #[test]
    fn only_answers_to_the_client_are_taken() {
        let target = Ipv4Addr::new(10, 77, 0, 200);
        let mut reply = request(target);
        assert_eq!(answerer(&reply, target), None);
        reply[..6].copy_from_slice(&CLIENT_MAC);
        reply[21] = 2;
        reply[22..28].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
        reply[28..32].copy_from_slice(&target.octets());
        assert_eq!(answerer(&reply, target), Some(1));
        assert_eq!(answerer(&reply, Ipv4Addr::LOCALHOST), None);
    }
}
