//! Logs by the journal's own protocol (systemd.journal-fields(7)), which takes fields as well as a message.
//!
//! Enters: events. Leaves: one datagram each. If the journal has no socket here, a line on stderr with its level before
//! it (sd-daemon(3)). Absent: waiting for a blocked journal, except once and for [`PATIENCE`].

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::entry::Entry;
use super::stderr::PATIENCE;
use super::{STDERR, severity};

const SOCKET: &str = "/run/systemd/journal/socket";

/// Facility `daemon`, as the journal has it for stderr.
const FACILITY: &str = "3";

const WARNING: u8 = 4;

#[derive(Debug)]
pub(super) struct Journal {
    /// Identifier for `journalctl -t`.
    identifier: String,
    link: Mutex<Link>,
}

impl Journal {
    pub(super) fn new() -> Self {
        let program = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned());
        Self::at(Path::new(SOCKET), name.unwrap_or_else(|| "vrrpx".to_owned()))
    }

    fn at(path: &Path, identifier: String) -> Self {
        Self { identifier, link: Mutex::new(Link::new(path)) }
    }

    /// False if the journal cannot take it.
    fn send(&self, severity: u8, entry: &Entry) -> bool {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = link.send(&self.datagram(severity, &entry.to_string(), &entry.fields));
        if let Some(lost) = link.recovered() {
            let message = format!("the journal was blocked; {lost} entries before this one are lost");
            // On failure, the loss is reported with the next entries.
            let _ = link.send(&self.datagram(WARNING, &message, &[]));
        }
        is_taken
    }

    fn datagram(&self, severity: u8, message: &str, fields: &[(&'static str, String)]) -> Vec<u8> {
        let mut datagram = Vec::new();
        put(&mut datagram, "MESSAGE", message);
        put(&mut datagram, "PRIORITY", &severity.to_string());
        put(&mut datagram, "SYSLOG_FACILITY", FACILITY);
        put(&mut datagram, "SYSLOG_IDENTIFIER", &self.identifier);
        for (name, value) in fields {
            put(&mut datagram, &field_name(name), value);
        }
        datagram
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (severity, entry) = (severity(*event.metadata().level()), Entry::of(event));
        if !self.send(severity, &entry) {
            STDERR.put(format!("<{severity}>{entry}\n").as_bytes());
        }
    }
}

/// `instance` becomes `VRRP_INSTANCE`: the journal takes capital letters, digits and underscores.
fn field_name(name: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    std::iter::once("VRRP_").flat_map(str::chars).chain(name.chars().map(letter)).collect()
}

/// The length precedes a value of several lines.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        let length = u64::try_from(value.len()).unwrap_or(0);
        datagram.push(b'\n');
        datagram.extend_from_slice(&length.to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

/// The connection to the journal.
#[derive(Debug)]
struct Link {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    /// Entries that a blocked journal has not taken.
    lost: u64,
    is_stuck: bool,
}

impl Link {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), socket: None, lost: 0, is_stuck: false }
    }

    /// False if there is no journal, or the datagram is too long for it. A lost one counts as sent.
    fn send(&mut self, datagram: &[u8]) -> bool {
        // A restarted journal may have another socket.
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect(&self.path).ok();
            }
            let Some(socket) = &self.socket else { return false };
            let sent = match socket.send(datagram) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.is_stuck => {
                    wait(socket);
                    socket.send(datagram)
                }
                sent => sent,
            };
            match sent {
                Ok(_) => {
                    self.is_stuck = false;
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_stuck = true;
                    self.lost += 1;
                    return true;
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS)) => {
                    return false;
                }
                Err(_) => self.socket = None,
            }
        }
        false
    }

    /// The number of lost entries, once the journal takes entries again.
    fn recovered(&mut self) -> Option<u64> {
        (!self.is_stuck && self.lost > 0).then(|| std::mem::take(&mut self.lost))
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

fn wait(socket: &UnixDatagram) {
    let limit = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::ZERO);
    // The next send shows the outcome.
    let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], limit);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::driver::clock;

    /// The socket of a journal of the test's own.
    struct SocketPlace(PathBuf);

    impl SocketPlace {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("vrrpx-journal-{name}-{}", std::process::id())))
        }

        fn journal(&self) -> Journal {
            Journal::at(&self.0, "vrrpx".to_owned())
        }
    }

    impl Drop for SocketPlace {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn take(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn an_entry_has_its_level_and_its_fields() {
        let place = SocketPlace::new("fields");
        let server = UnixDatagram::bind(&place.0).unwrap();
        let entry =
            Entry::new("it rains", &[("instance", "VI_1"), ("what.is", "a b"), ("printed", "one\ntwo")]);
        assert!(place.journal().send(4, &entry));
        let expected = "MESSAGE=it rains instance=VI_1 what.is=\"a b\" printed=\"one\\ntwo\"\nPRIORITY=4\n\
             SYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=vrrpx\nVRRP_INSTANCE=VI_1\nVRRP_WHAT_IS=a b\n\
             VRRP_PRINTED\n\u{7}\0\0\0\0\0\0\0one\ntwo\n";
        assert_eq!(take(&server), expected);
    }

    #[test]
    fn without_a_journal_stderr_has_it() {
        let place = SocketPlace::new("none");
        let journal = place.journal();
        let entry = Entry::new("it rains", &[]);
        assert!(!journal.send(4, &entry));
        let server = UnixDatagram::bind(&place.0).unwrap();
        assert!(journal.send(4, &entry));
        drop(server);
        fs::remove_file(&place.0).unwrap();
        assert!(!journal.send(4, &entry));
        let server = UnixDatagram::bind(&place.0).unwrap();
        assert!(journal.send(4, &entry));
        assert!(take(&server).starts_with("MESSAGE=it rains\n"));
        assert!(!journal.send(4, &Entry::new(&"x".repeat(4 << 20), &[])), "an entry of 4 MiB is taken");
    }

    #[test]
    fn a_journal_that_stands_still_holds_nothing_up() {
        let place = SocketPlace::new("stuck");
        let server = UnixDatagram::bind(&place.0).unwrap();
        let journal = place.journal();
        let began = clock::now();
        let mut sent = 0;
        while journal.link.lock().unwrap().lost < 1000 {
            assert!(journal.send(6, &Entry::new("it rains", &[])));
            sent += 1;
        }
        let took = clock::now().since(began);
        assert!(took < 10 * PATIENCE, "{sent} entries have taken {took:?}");
        for _ in 1000..sent {
            take(&server);
        }
        assert!(journal.send(6, &Entry::new("the sun shines", &[])));
        assert!(take(&server).starts_with("MESSAGE=the sun shines\n"));
        let reported = take(&server);
        assert!(reported.starts_with("MESSAGE=the journal was blocked; 1000 entries"), "{reported}");
        assert!(reported.contains("\nPRIORITY=4\n"), "{reported}");
    }
}
