//! A recorder of adverts as they were on the wire, for replay.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::poll;
use crate::lab::Lab;
use crate::observe::{packet_socket, receive};

/// Takes the frames of one node at the bridge.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    port: u32,
}

impl Tap {
    pub fn new(lab: &Lab, node: usize) -> Result<Self> {
        let port = *lab.ports()?.get(node).context("no such node")?;
        Ok(Self { socket: lab.lan.enter(packet_socket)?, port })
    }

    /// The next adverts of the node over IPv4, each as a whole frame.
    pub fn adverts(&self, count: usize, within: Duration) -> Result<Vec<Vec<u8>>> {
        let mut adverts = Vec::new();
        let mut frame = [0; 2048];
        poll(&format!("{count} adverts"), within, || {
            while let Some(got) = receive(&self.socket, &mut frame)? {
                let bytes = frame.get(..got.len).unwrap_or_default();
                let is_advert =
                    bytes.get(12..14) == Some(&[0x08, 0x00]) && matches!(bytes.get(23), Some(112 | 51));
                if !got.outgoing && got.interface == self.port && is_advert {
                    adverts.push(bytes.to_vec());
                }
                if adverts.len() == count {
                    return Ok(Some(std::mem::take(&mut adverts)));
                }
            }
            Ok(None)
        })
    }
}
