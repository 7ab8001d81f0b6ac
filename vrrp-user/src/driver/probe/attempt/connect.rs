//! A connection that is accepted is enough.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use futures::future::select_ok;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::{Failure, Names};
use crate::config::Endpoint;

/// # Errors
/// Nobody accepts a connection; of a name, at none of its addresses.
pub(super) async fn tcp(endpoint: &Endpoint, names: &Names) -> Result<(), Failure> {
    let addresses = names.addresses(&endpoint.host).await?;
    let attempts = addresses.into_iter().map(|address| Box::pin(connect((address, endpoint.port).into())));
    select_ok(attempts).await.map(drop).map_err(|error| Failure::of(endpoint, &error))
}

/// # Errors
/// There is no such socket, or nobody accepts on it.
pub(super) async fn unix(path: &Path) -> Result<(), Failure> {
    let connected = UnixStream::connect(path).await;
    connected.map(drop).map_err(|error| Failure::of(path.display(), &error))
}

/// Closed with a reset, so that an attempt leaves no port waiting on this side.
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_zero_linger()?;
    socket.connect(address).await
}
