//! Client of the system's D-Bus (<https://dbus.freedesktop.org/doc/dbus-specification.html>).
//!
//! Enters: calls of methods. Leaves: their results, and the news that a signal has arrived. Absent: time limits,
//! objects of our own, file descriptors, and the contents of signals: the caller reads what has changed.

mod message;

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::unistd::geteuid;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

pub use self::message::{Argument, Call, MalformedError, Value};
use self::message::{Kind, Message};

/// Where the bus is if no variable says so.
const USUAL: &str = "unix:path=/run/dbus/system_bus_socket";
const VARIABLE: &str = "DBUS_SYSTEM_BUS_ADDRESS";

const BUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Longest line of the authentication.
const LINE: usize = 512;

/// Why the bus is of no use.
#[derive(Debug, Error)]
pub enum BusError {
    #[error("no bus at {0}: {1}")]
    Connect(String, #[source] io::Error),
    #[error("the bus refuses this user: {0}")]
    Authentication(String),
    #[error("the connection to the bus has ended")]
    Ended,
    #[error("the bus: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] MalformedError),
    #[error("{0}")]
    Refused(String),
    #[error("no answer within {0:?}")]
    Silent(std::time::Duration),
}

/// A connection to the bus.
#[derive(Debug)]
pub struct Bus {
    stream: UnixStream,
    /// What has arrived of the next messages.
    arrived: Vec<u8>,
    /// How much of a message that is left out has still to arrive.
    surplus: usize,
    serial: u32,
    /// Whether a signal came while a call waited for its result.
    is_signalled: bool,
}

impl Bus {
    /// Connects to the system bus.
    ///
    /// # Errors
    /// There is none, or it refuses this user.
    pub async fn system() -> Result<Self, BusError> {
        let addresses = env::var(VARIABLE).unwrap_or_else(|_| USUAL.to_owned());
        let stream = connect(&addresses).await?;
        let mut bus = Self { stream, arrived: Vec::new(), surplus: 0, serial: 0, is_signalled: false };
        bus.authenticate().await?;
        bus.ask("Hello", &[]).await?;
        Ok(bus)
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// The method fails, or the connection ends.
    pub async fn call(&mut self, call: Call<'_>) -> Result<Value, BusError> {
        self.serial = self.serial.wrapping_add(1).max(1);
        self.stream.write_all(&message::written(&call, self.serial)).await?;
        loop {
            let message = self.next().await?;
            match message.kind {
                Kind::Result if message.answers == Some(self.serial) => return Ok(message.value()?),
                Kind::Error if message.answers == Some(self.serial) => {
                    let text = message.value().ok().and_then(Value::into_text).unwrap_or_default();
                    let name = message.error.unwrap_or_default();
                    return Err(BusError::Refused(format!("{name}: {text}")));
                }
                Kind::Signal => self.is_signalled |= message.is_of_property(),
                _ => {}
            }
        }
    }

    /// Reads a property of an object.
    ///
    /// # Errors
    /// As for [`Self::call`].
    pub async fn property(
        &mut self,
        destination: &str,
        path: &str,
        interface: &str,
        name: &str,
    ) -> Result<Value, BusError> {
        let arguments = &[Argument::Text(interface), Argument::Text(name)];
        self.call(Call { destination, path, interface: PROPERTIES, method: "Get", arguments }).await
    }

    /// Has signals about changed properties of an object sent here.
    ///
    /// # Errors
    /// As for [`Self::call`].
    pub async fn follow(&mut self, sender: &str, path: &str) -> Result<(), BusError> {
        let rule = format!(
            "type='signal',sender='{sender}',path='{path}',interface='{PROPERTIES}',member='PropertiesChanged'"
        );
        self.ask("AddMatch", &[Argument::Text(&rule)]).await.map(drop)
    }

    /// Waits for such a signal. May be dropped and called again at any time.
    ///
    /// # Errors
    /// The connection ends.
    pub async fn changed(&mut self) -> Result<(), BusError> {
        while !std::mem::take(&mut self.is_signalled) {
            self.is_signalled = self.next().await?.is_of_property();
        }
        Ok(())
    }

    async fn ask(&mut self, method: &str, arguments: &[Argument<'_>]) -> Result<Value, BusError> {
        let call =
            Call { destination: BUS, path: "/org/freedesktop/DBus", interface: BUS, method, arguments };
        self.call(call).await
    }

    /// Says who we are; the bus knows it by the socket.
    async fn authenticate(&mut self) -> Result<(), BusError> {
        let user: String = geteuid().to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
        self.stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes()).await?;
        let line = loop {
            if let Some(end) = self.arrived.windows(2).position(|it| it == b"\r\n") {
                let line: Vec<u8> = self.arrived.drain(..end.saturating_add(2)).collect();
                break String::from_utf8_lossy(&line).trim().to_owned();
            }
            if self.arrived.len() > LINE {
                return Err(BusError::Authentication("its answer does not end".to_owned()));
            }
            self.read().await?;
        };
        if !line.starts_with("OK ") {
            return Err(BusError::Authentication(line));
        }
        Ok(self.stream.write_all(b"BEGIN\r\n").await?)
    }

    async fn next(&mut self) -> Result<Message, BusError> {
        loop {
            let is_signal = message::is_signal(&self.arrived);
            match message::length(&self.arrived)? {
                // Any client may send us a signal: it must not end the connection.
                Some(length) if length > message::LONGEST && is_signal => {
                    self.surplus = length.saturating_sub(self.arrived.len());
                    self.arrived.drain(..length.min(self.arrived.len()));
                }
                Some(length) if length > message::LONGEST => return Err(MalformedError.into()),
                Some(length) if length <= self.arrived.len() => {
                    let whole: Vec<u8> = self.arrived.drain(..length).collect();
                    match Message::read(whole) {
                        Err(_) if is_signal => {}
                        read => return Ok(read?),
                    }
                }
                _ => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), BusError> {
        if self.stream.read_buf(&mut self.arrived).await? == 0 {
            return Err(BusError::Ended);
        }
        let left_out = self.surplus.min(self.arrived.len());
        self.surplus = self.surplus.saturating_sub(left_out);
        self.arrived.drain(..left_out);
        Ok(())
    }
}

/// Connects to the first address that works, of those separated by semicolons.
async fn connect(addresses: &str) -> Result<UnixStream, BusError> {
    let mut outcome = Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
    for place in addresses.split(';').filter_map(address) {
        // It fails while the queue of a hanging bus is full; the standard library's would wait, and all with it.
        outcome = UnixStream::connect(place).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome.map_err(|error| BusError::Connect(addresses.to_owned(), error))
}

/// `None` for an address that is no socket of this host. The name of an abstract one begins with a zero.
fn address(text: &str) -> Option<PathBuf> {
    let pairs = text.trim().strip_prefix("unix:")?.split(',');
    pairs.filter_map(|pair| pair.split_once('=')).find_map(|(key, value)| {
        let mut name = match key {
            "path" => Vec::new(),
            "abstract" => vec![0],
            _ => return None,
        };
        name.extend(percent_decode_str(value));
        Some(PathBuf::from(OsString::from_vec(name)))
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

    use super::*;

    #[test]
    fn addresses_are_sockets_of_this_host() {
        let path = |text: &str| address(text).map(|it| it.display().to_string());
        assert_eq!(path("unix:path=/run/bus").as_deref(), Some("/run/bus"));
        assert_eq!(path(" unix:guid=1,path=/run/a%20b").as_deref(), Some("/run/a b"));
        assert_eq!(path("unix:abstract=/tmp/x").as_deref(), Some("\0/tmp/x"));
        assert!(address("tcp:host=localhost,port=1").is_none());
        assert!(address("unix:tmpdir=/tmp").is_none());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_bus_with_a_full_queue_delays_nothing() {
        let path = std::env::temp_dir().join(format!("vrrpx-bus-{}", std::process::id()));
        let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let address = format!("unix:path={}", path.display());
        let second = tokio::time::timeout(std::time::Duration::from_secs(5), connect(&address));
        let outcome = second.await;
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(outcome, Ok(Err(BusError::Connect(..)))), "{outcome:?}");
    }
}
