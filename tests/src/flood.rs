//! Floods of frames, at full rate or at a fixed rate, until dropped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use vrrp_ebpf::wire::advert::{AdvertRepr, Dialect};
use vrrp_ebpf::wire::ipv4::GROUP;
use vrrp_ebpf::wire::{Family, Trailer, ipv6};
use vrrp_user::driver::clock;
use vrrp_user::protocol::auth::Sequence;

use crate::lab::{INTERFACE, Lab, index_of};
use crate::malformed::{self, Flaw};
use crate::observe::{send, sending_socket};
use crate::packet::{Frame, V3_IPV4, V3_IPV6, addresses};
use crate::worker::Workers;

/// Kind of the frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flood {
    /// Adverts with a wrong checksum, a wrong TTL and so on, in turn.
    Malformed,
    /// Valid adverts with a VRID that is not configured.
    OtherVrid,
    /// Valid adverts of the lowest priority on the link, each from another source.
    Sources,
    /// Version 2 with an authentication type that no instance has.
    Auth,
}

impl Flood {
    pub const ALL: [Self; 4] = [Self::Malformed, Self::OtherVrid, Self::Sources, Self::Auth];

    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::OtherVrid => "other VRID",
            Self::Sources => "1000 sources",
            Self::Auth => "wrong authentication",
        }
    }

    /// One round of frames, for the instance `vrid`.
    fn frames(self, vrid: u8) -> Result<Vec<Vec<u8>>> {
        const SOURCES: u16 = 1000;
        match self {
            Self::Malformed => Ok(Flaw::ALL.iter().map(|flaw| malformed::frame(vrid, *flaw)).collect()),
            Self::Auth => Ok(vec![malformed::frame(vrid, Flaw::Auth)]),
            Self::OtherVrid => Ok(vec![right(vrid.wrapping_add(1), 250, Ipv4Addr::new(10, 77, 0, 100))?]),
            Self::Sources => (0..SOURCES)
                .map(|host| {
                    let [high, low] = host.to_be_bytes();
                    right(vrid, 1, Ipv4Addr::new(10, 77, 100 + high, low))
                })
                .collect(),
        }
    }
}

fn right(vrid: u8, priority: u8, source: Ipv4Addr) -> Result<Vec<u8>> {
    let listed = addresses(Family::V4, 1);
    let advert = AdvertRepr::new(vrid, priority, V3_IPV4, &listed).context("an advert")?;
    let group: IpAddr = Ipv4Addr::from(GROUP).into();
    Ok(Frame::new(source.into(), group).advert(&advert).build())
}

/// An advert of version 3 with a current time stamp and a wrong signature, as a forger without the key would send it.
pub fn forged(vrid: u8, priority: u8, source: IpAddr) -> Result<Vec<u8>> {
    let (dialect, group): (Dialect, IpAddr) = match source {
        IpAddr::V4(_) => (V3_IPV4, Ipv4Addr::from(GROUP).into()),
        IpAddr::V6(_) => (V3_IPV6, Ipv6Addr::from(ipv6::GROUP).into()),
    };
    let listed = addresses(Family::of(source), 1);
    let advert = AdvertRepr::new(vrid, priority, dialect, &listed).context("an advert")?;
    let sequence = Sequence::at(clock::time_of_day()).0;
    let trailer = Trailer { key_id: 1, sequence, hmac: *b"signed by no key" };
    Ok(Frame::new(source, group).advert(&advert).signed(&trailer).build())
}

/// Sends until dropped.
#[derive(Debug)]
pub struct Flooder {
    sent: Arc<AtomicU64>,
    _sending: Workers,
}

impl Flooder {
    /// From the client of `lab` at full rate, for the instance `vrid`.
    pub fn new(lab: &Lab, flood: Flood, vrid: u8) -> Result<Self> {
        let frames = flood.frames(vrid)?;
        let (socket, interface) = lab.client.enter(|| Ok((sending_socket()?, index_of(INTERFACE)?)))?;
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let sending = Workers::default().with(move |stop| {
            for frame in frames.iter().cycle().take_while(|_| !stop.is_set()) {
                // A full queue makes a pause.
                if send(&socket, interface, frame).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { sent, _sending: sending })
    }

    /// From the client of `lab`, `rate` frames a second, as evenly as the machine permits. Each frame of `next` is
    /// repeated for a millisecond.
    pub fn paced(
        lab: &Lab,
        rate: u64,
        mut next: impl FnMut() -> Option<Vec<u8>> + Send + 'static,
    ) -> Result<Self> {
        /// Longest lag that is made up at once, in milliseconds.
        const MADE_UP: u64 = 4;
        let burst = (rate * MADE_UP / 1000).max(1);
        let (socket, interface) = lab.client.enter(|| Ok((sending_socket()?, index_of(INTERFACE)?)))?;
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let start = clock::now();
        let sending = Workers::default().with_pace(Duration::from_millis(1), move || {
            let Some(frame) = next() else { return };
            let elapsed = u64::try_from(clock::now().since(start).as_micros()).unwrap_or(u64::MAX);
            let due = elapsed.saturating_mul(rate) / 1_000_000;
            for _ in 0..due.saturating_sub(count.load(Ordering::Relaxed)).min(burst) {
                if send(&socket, interface, &frame).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        })?;
        Ok(Self { sent, _sending: sending })
    }

    /// Number of frames sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
