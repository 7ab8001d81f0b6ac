//! Logs by syslog: datagrams to `/dev/log`.
//!
//! Enters: lines with their level. Leaves: one datagram each. Absent: waiting; a line that is not taken at once is
//! lost.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::severity;

const SOCKET: &str = "/dev/log";

/// Facility of a message (RFC 5424 §6.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facility(pub u8);

impl Default for Facility {
    fn default() -> Self {
        Self(3)
    }
}

impl Facility {
    /// `0` to `7`, `local0` to `local7`, `user` or `daemon`.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self(1)),
            "daemon" => Some(Self(3)),
            _ => match name.strip_prefix("local").unwrap_or(name).as_bytes() {
                [digit @ b'0'..=b'7'] => Some(Self(16 + digit - b'0')),
                _ => None,
            },
        }
    }
}

/// Sends what is written, a datagram per event.
#[derive(Clone, Debug)]
pub struct Syslog {
    facility: Facility,
    name: &'static str,
    socket: Arc<Mutex<Option<UnixDatagram>>>,
}

impl Syslog {
    /// `name` precedes each message. The socket need not exist yet.
    pub fn new(facility: Facility, name: &'static str) -> Self {
        Self { facility, name, socket: Arc::default() }
    }

    /// Whether the socket exists.
    pub fn is_there() -> bool {
        std::path::Path::new(SOCKET).exists()
    }

    fn send(&self, datagram: &[u8]) {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        // A log daemon that was restarted has a new socket.
        for _ in 0..2 {
            if socket.is_none() {
                *socket = connect().ok();
            }
            match socket.as_ref().map(|socket| socket.send(datagram)) {
                None | Some(Ok(_)) => return,
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                Some(Err(_)) => *socket = None,
            }
        }
    }
}

fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(SOCKET)?;
    Ok(socket)
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = Message<'a>;

    fn make_writer(&'a self) -> Message<'a> {
        Message::new(self, Level::INFO)
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Message<'a> {
        Message::new(self, *event.level())
    }
}

/// One event, sent when it is dropped.
#[derive(Debug)]
pub struct Message<'a> {
    syslog: &'a Syslog,
    level: Level,
    text: Vec<u8>,
}

impl<'a> Message<'a> {
    fn new(syslog: &'a Syslog, level: Level) -> Self {
        Self { syslog, level, text: Vec::new() }
    }

    fn datagram(&self) -> Vec<u8> {
        let priority = self.syslog.facility.0 * 8 + severity(self.level);
        let mut datagram = format!("<{priority}>{}[{}]: ", self.syslog.name, std::process::id()).into_bytes();
        datagram.extend_from_slice(self.text.trim_ascii());
        datagram
    }
}

impl Write for Message<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.syslog.send(&self.datagram());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_reports_facility_level_and_process() {
        let syslog = Syslog::new(Facility(16), "keepalived");
        let mut message = Message::new(&syslog, Level::WARN);
        message.write_all(b" it rains\n").unwrap();
        let expected = format!("<132>keepalived[{}]: it rains", std::process::id());
        assert_eq!(String::from_utf8(message.datagram()).unwrap(), expected);
    }

    #[test]
    fn facilities_by_name() {
        assert_eq!(Facility::of("7"), Some(Facility(23)));
        assert_eq!(Facility::of("local0"), Some(Facility(16)));
        assert_eq!(Facility::of("daemon"), Some(Facility::default()));
        assert_eq!((Facility::of("8"), Facility::of("local"), Facility::of("")), (None, None, None));
    }
}
