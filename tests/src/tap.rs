//! Adverts as they were on the wire, to be sent again.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::lab::Lab;
use crate::observe::{packet_socket, receive};

/// Takes the frames of one node from the bridge.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    port: u32,
}

impl Tap {
    /// # Errors
    /// When the packet socket is refused.
    pub fn new(lab: &Lab, node: usize) -> Result<Self> {
        let port = *lab.ports()?.get(node).context("no such node")?;
        Ok(Self { socket: lab.lan.enter(packet_socket)?, port })
    }

    /// The next adverts of the node over IPv4, from their first byte on.
    ///
    /// # Errors
    /// When there are fewer within the time.
    pub fn adverts(&self, count: usize, within: Duration) -> Result<Vec<Vec<u8>>> {
        let start = Instant::now();
        let mut adverts = Vec::new();
        let mut frame = [0; 2048];
        while adverts.len() < count {
            ensure!(start.elapsed() < within, "{} of {count} adverts within {within:?}", adverts.len());
            let Some(got) = receive(&self.socket, &mut frame)? else { continue };
            let bytes = frame.get(..got.len).unwrap_or_default();
            let is_advert = bytes.get(12..14) == Some(&[0x08, 0x00]) && bytes.get(23) == Some(&112);
            if !got.outgoing && got.interface == self.port && is_advert {
                adverts.push(bytes.to_vec());
            }
        }
        Ok(adverts)
    }
}
