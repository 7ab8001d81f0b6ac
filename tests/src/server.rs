//! A TCP server of the tests that listens until it is dropped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::pace;
use crate::worker::Workers;

/// Interval between two polls for a connection.
const POLL: Duration = Duration::from_millis(5);

/// Longest that a client may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// A listening server; closed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    clients: Arc<AtomicU32>,
    _listening: Workers,
}

impl Server {
    /// Passes each connection to `serve`, with the number of those before.
    pub(crate) fn new(
        listener: TcpListener,
        mut serve: impl FnMut(TcpStream, u32) + Send + 'static,
    ) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr().context("address of the server")?;
        let clients = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&clients);
        let listening = Workers::default().with(move |stop| {
            while !stop.is_set() {
                let Ok((client, _)) = listener.accept() else {
                    pace(POLL);
                    continue;
                };
                let before = counted.fetch_add(1, Ordering::Relaxed);
                // A connection whose socket options cannot be set is gone.
                if client.set_nonblocking(false).and_then(|()| client.set_read_timeout(Some(SILENCE))).is_ok()
                {
                    serve(client, before);
                }
            }
        });
        Ok(Self { address, clients, _listening: listening })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Number of connections so far.
    pub(crate) fn clients(&self) -> u32 {
        self.clients.load(Ordering::Relaxed)
    }
}
