//! A mail server of the tests: it takes mails and remembers them, or is in one of the ways in which servers fail.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::netns::Namespace;

/// Between two looks for a connection.
const POLL: Duration = Duration::from_millis(5);

/// Longest that a client may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// How it treats its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// Takes everything, save for receivers whose name begins with `nobody`.
    Takes,
    /// Sends the first ones away until later.
    BusyFor(u32),
    /// Accepts connections, and says nothing.
    Hangs,
    /// Offers encryption and cannot do it.
    BrokenTls,
}

/// What somebody has sent.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Letter {
    /// The name that it greeted with.
    pub hello: String,
    pub from: String,
    /// Receivers that were taken.
    pub to: Vec<String>,
    /// Lines of the head, each whole.
    pub head: Vec<String>,
    pub body: String,
}

impl Letter {
    /// The value of a line of the head, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
    }

    pub fn subject(&self) -> &str {
        self.header("Subject")
    }
}

/// A listening server; gone when dropped.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    manner: Manner,
    clients: AtomicU32,
    letters: Mutex<Vec<Letter>>,
    /// Kept open by a server that hangs.
    held: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

impl Receiver {
    /// On a port of the loopback of `namespace`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn new(namespace: &Namespace, manner: Manner) -> Result<Self> {
        let listener = namespace.enter(|| Ok(TcpListener::bind("127.0.0.1:0")?))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr().context("address of the mail server")?;
        let shared = Arc::new(Shared {
            manner,
            clients: AtomicU32::new(0),
            letters: Mutex::default(),
            held: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let listening = thread::spawn(move || listen(&listener, &serving));
        Ok(Self { shared, address, listening: Some(listening) })
    }

    /// The lines of `global_defs` that have a daemon send to it.
    pub fn globals(&self) -> Vec<String> {
        vec![
            format!("smtp_server 127.0.0.1 {}", self.address.port()),
            "notification_email {\n        ops@example.org\n        night@example.org\n    }".to_owned(),
            "notification_email_from vrrp@example.org".to_owned(),
            "smtp_helo_name lab.example.org".to_owned(),
        ]
    }

    /// Connections so far.
    pub fn clients(&self) -> u32 {
        self.shared.clients.load(Ordering::Relaxed)
    }

    /// In the order in which they came to an end.
    pub fn letters(&self) -> Vec<Letter> {
        self.shared.letters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn subjects(&self) -> Vec<String> {
        self.letters().iter().map(|letter| letter.subject().to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(listening) = self.listening.take() {
            // It tells its panic by itself.
            let _told = listening.join();
        }
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.ended.load(Ordering::Relaxed) {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(POLL);
            continue;
        };
        let before = shared.clients.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(shared);
        match shared.manner {
            Manner::Hangs => shared.held.lock().unwrap_or_else(PoisonError::into_inner).push(client),
            Manner::BusyFor(count) if before < count => {
                let _gone = (&client).write_all(b"421 busy\r\n");
            }
            _ => drop(thread::spawn(move || {
                // A client may leave at any time.
                let _left = talk(&client, &shared);
            })),
        }
    }
}

fn talk(client: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(SILENCE))?;
    let mut lines = BufReader::new(client).lines();
    let say = |line: &str| {
        let mut client = client;
        client.write_all(format!("{line}\r\n").as_bytes())
    };
    let mut letter = Letter::default();
    say("220 mail server of the tests")?;
    while let Some(line) = lines.next().transpose()? {
        let (command, rest) = line.split_once([' ', ':']).unwrap_or((&line, ""));
        match command.to_ascii_uppercase().as_str() {
            "EHLO" if shared.manner == Manner::BrokenTls => {
                letter.hello = rest.to_owned();
                say("250-mail\r\n250 STARTTLS")?;
            }
            "STARTTLS" => return say("220 go on"),
            "HELO" | "EHLO" => {
                letter.hello = rest.to_owned();
                say("250 mail")?;
            }
            "MAIL" => {
                letter = Letter { hello: letter.hello, from: address(rest), ..Letter::default() };
                say("250 ok")?;
            }
            "RCPT" if address(rest).starts_with("nobody") => say("550 no such user")?,
            "RCPT" => {
                letter.to.push(address(rest));
                say("250 ok")?;
            }
            "DATA" => {
                say("354 go on")?;
                let text = lines.by_ref().take_while(|line| line.as_ref().is_ok_and(|line| line != "."));
                read(&mut letter, text.collect::<Result<_, _>>()?);
                shared.letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter.clone());
                say("250 taken")?;
            }
            "QUIT" => return say("221 bye"),
            _ => say("500 what?")?,
        }
    }
    Ok(())
}

/// What stands in angle brackets.
fn address(text: &str) -> String {
    text.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

fn read(letter: &mut Letter, text: Vec<String>) {
    let mut lines = text.into_iter();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        match (line.strip_prefix([' ', '\t']), letter.head.last_mut()) {
            (Some(more), Some(begun)) => {
                begun.push(' ');
                begun.push_str(more);
            }
            _ => letter.head.push(line),
        }
    }
    letter.body = lines.collect::<Vec<_>>().join("\n");
}
