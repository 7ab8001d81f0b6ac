//! One query to one server: by UDP, again after a while, and by TCP if the answer does not fit into a datagram.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::{self, Answer, Record, Reply};
use super::{LookupError, Servers};

/// Longest datagram without extensions (RFC 1035 §2.3.4), and room for servers that send more.
const DATAGRAM: usize = 4096;

/// Until a query is sent again, and then twice as long each time: a datagram may be lost, and a check has one second in
/// all by default.
const AGAIN: Duration = Duration::from_millis(250);

/// `None` if there is no such name.
pub(super) async fn ask(
    name: &str,
    record: Record,
    server: SocketAddr,
    servers: &Servers,
) -> Result<Option<Answer>, LookupError> {
    let query = message::query(id(), name, record).ok_or(LookupError::Name)?;
    let io = |error| LookupError::Io(server, error);
    let socket = connect(server).await.map_err(io)?;
    for _ in 0..servers.attempts {
        let Ok(reply) = timeout(servers.patience, exchange(&socket, &query, record)).await else { continue };
        let reply = match reply.map_err(io)? {
            Ok(Reply::Truncated) => match timeout(servers.patience, by_tcp(server, &query)).await {
                Ok(message) => message::reply(&message.map_err(io)?, &query, record),
                Err(_) => return Err(LookupError::Silent(server, servers.patience)),
            },
            reply => reply,
        };
        return match reply {
            Ok(Reply::Found(answer)) => Ok(Some(answer)),
            Ok(Reply::Unknown) => Ok(None),
            Ok(Reply::Refused(code)) => Err(LookupError::Refused(server, code)),
            Ok(Reply::Truncated | Reply::Other) => Err(LookupError::Garbled(server, message::MessageError)),
            Err(error) => Err(LookupError::Garbled(server, error)),
        };
    }
    let waited = servers.patience.saturating_mul(servers.attempts);
    Err(LookupError::Silent(server, waited))
}

/// A socket of its own for each query: answers must come to its port, from the server.
async fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    Ok(socket)
}

/// Sends the query until the answer has come.
async fn exchange(
    socket: &UdpSocket,
    query: &[u8],
    record: Record,
) -> io::Result<Result<Reply, message::MessageError>> {
    let mut pause = AGAIN;
    loop {
        socket.send(query).await?;
        if let Ok(reply) = timeout(pause, receive(socket, query, record)).await {
            return reply;
        }
        pause = pause.saturating_mul(2);
    }
}

/// Waits for the answer; other datagrams do not count.
async fn receive(
    socket: &UdpSocket,
    query: &[u8],
    record: Record,
) -> io::Result<Result<Reply, message::MessageError>> {
    let mut buffer = [0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match message::reply(buffer.get(..length).unwrap_or_default(), query, record) {
            Ok(Reply::Other) => {}
            reply => return Ok(reply),
        }
    }
}

/// RFC 1035 §4.2.2: the length precedes a message.
async fn by_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let mut message = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// A number that others cannot foresee: the hash is keyed by the kernel's random numbers.
fn id() -> u16 {
    u16::try_from(RandomState::new().hash_one(Duration::ZERO) & 0xffff).unwrap_or_default()
}
