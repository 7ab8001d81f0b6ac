//! As many frames as one thread can send, until it is dropped.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::advert::AdvertRepr;
use vrrp_ebpf::wire::ipv4::GROUP;

use crate::lab::{INTERFACE, Lab, index_of};
use crate::malformed::{self, Flaw};
use crate::observe::{send, sending_socket};
use crate::packet::{Frame, V3_IPV4, addresses};
use crate::worker::Workers;

/// What the frames are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flood {
    /// Adverts with a wrong checksum, a foreign hop count and so on, in turn.
    Malformed,
    /// Right ones of a virtual router that nobody here is.
    OtherVrid,
    /// Right ones of less than every priority here, each from another source.
    Sources,
    /// Version 2 with an authentication type that nobody here has.
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

    /// A round of frames, for the instance `vrid`.
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

/// Sends until dropped.
#[derive(Debug)]
pub struct Flooder {
    sent: Arc<AtomicU64>,
    _sending: Workers,
}

impl Flooder {
    /// From the client of `lab`, for the instance `vrid`.
    ///
    /// # Errors
    /// When the packet socket is refused.
    pub fn new(lab: &Lab, flood: Flood, vrid: u8) -> Result<Self> {
        let frames = flood.frames(vrid)?;
        let (socket, interface) = lab.client.enter(|| Ok((sending_socket()?, index_of(INTERFACE)?)))?;
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let sending = Workers::default().with(move |stop| {
            for frame in frames.iter().cycle().take_while(|_| !stop.is_set()) {
                // A full queue is a pause.
                if send(&socket, interface, frame).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { sent, _sending: sending })
    }

    /// Frames so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
