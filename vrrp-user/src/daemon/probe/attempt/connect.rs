//! Connection checks: an accepted connection is a success.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use futures_util::future::select_ok;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::{Failure, Resolver};
use crate::config::Endpoint;

/// # Errors
/// The endpoint accepts no connection; for a name, none of its addresses does.
pub(super) async fn tcp(endpoint: &Endpoint, names: &Resolver) -> Result<(), Failure> {
    let addresses = names.addresses(&endpoint.host).await?;
    let attempts = addresses.into_iter().map(|address| Box::pin(connect((address, endpoint.port).into())));
    select_ok(attempts).await.map(drop).map_err(|error| Failure::of(endpoint, &error))
}

/// # Errors
/// The socket does not exist, or has no listener.
pub(super) async fn unix(path: &Path) -> Result<(), Failure> {
    let connected = UnixStream::connect(path).await;
    connected.map(drop).map_err(|error| Failure::of(path.display(), &error))
}

/// Closed with a reset, so that an attempt leaves no port in TIME_WAIT on this side.
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_zero_linger()?;
    socket.connect(address).await
}
