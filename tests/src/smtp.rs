//! A mail server of the tests: it accepts and records mails, or fails as real servers do.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use anyhow::Result;

use crate::netns::Namespace;
use crate::server::Server;
use crate::worker::lock;

/// Behaviour towards its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// Accepts everything, except receivers whose name begins with `nobody`.
    Takes,
    /// Refuses this many connections with a temporary error.
    BusyFor(u32),
    /// Accepts connections, and sends nothing.
    Hangs,
    /// Offers STARTTLS and fails in it.
    BrokenTls,
}

/// A mail as received.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mail {
    /// Name in the client's greeting.
    pub hello: String,
    pub from: String,
    /// Accepted receivers.
    pub to: Vec<String>,
    /// Header lines, unfolded.
    pub head: Vec<String>,
    pub body: String,
}

impl Mail {
    /// Value of a header line, empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
    }

    pub fn subject(&self) -> &str {
        self.header("Subject")
    }
}

/// A listening server; closed when dropped.
#[derive(Debug)]
pub struct Receiver {
    server: Server,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl Receiver {
    /// Listens on a port of the loopback of `namespace`.
    pub fn new(namespace: &Namespace, manner: Manner) -> Result<Self> {
        let listener = namespace.enter(|| Ok(TcpListener::bind("127.0.0.1:0")?))?;
        let mails = Arc::default();
        let taken = Arc::clone(&mails);
        let mut held = Vec::new();
        let server = Server::new(listener, move |client, before| match manner {
            Manner::Hangs => held.push(client),
            Manner::BusyFor(count) if before < count => {
                let _gone = (&client).write_all(b"421 busy\r\n");
            }
            _ => {
                let mails = Arc::clone(&taken);
                // A client may disconnect at any time.
                std::thread::spawn(move || talk(&client, manner, &mails));
            }
        })?;
        Ok(Self { server, mails })
    }

    /// Lines of `global_defs` that make a daemon send to it.
    pub fn globals(&self) -> Vec<String> {
        vec![
            format!("smtp_server 127.0.0.1 {}", self.server.address().port()),
            "notification_email {\n        ops@example.org\n        night@example.org\n    }".to_owned(),
            "notification_email_from vrrp@example.org".to_owned(),
            "smtp_helo_name lab.example.org".to_owned(),
        ]
    }

    /// Number of connections so far.
    pub fn clients(&self) -> u32 {
        self.server.clients()
    }

    /// Mails in the order in which they were completed.
    pub fn mails(&self) -> Vec<Mail> {
        lock(&self.mails).clone()
    }

    pub fn subjects(&self) -> Vec<String> {
        self.mails().iter().map(|mail| mail.subject().to_owned()).collect()
    }
}

fn talk(client: &TcpStream, manner: Manner, mails: &Mutex<Vec<Mail>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(client).lines();
    let say = |line: &str| {
        let mut client = client;
        client.write_all(format!("{line}\r\n").as_bytes())
    };
    let mut mail = Mail::default();
    say("220 mail server of the tests")?;
    while let Some(line) = lines.next().transpose()? {
        let (command, rest) = line.split_once([' ', ':']).unwrap_or((&line, ""));
        match command.to_ascii_uppercase().as_str() {
            "EHLO" if manner == Manner::BrokenTls => {
                mail.hello = rest.to_owned();
                say("250-mail\r\n250 STARTTLS")?;
            }
            "STARTTLS" => return say("220 go on"),
            "HELO" | "EHLO" => {
                mail.hello = rest.to_owned();
                say("250 mail")?;
            }
            "MAIL" => {
                mail = Mail { hello: mail.hello, from: address(rest), ..Mail::default() };
                say("250 ok")?;
            }
            "RCPT" if address(rest).starts_with("nobody") => say("550 no such user")?,
            "RCPT" => {
                mail.to.push(address(rest));
                say("250 ok")?;
            }
            "DATA" => {
                say("354 go on")?;
                let text = lines.by_ref().take_while(|line| line.as_ref().is_ok_and(|line| line != "."));
                read(&mut mail, text.collect::<Result<_, _>>()?);
                lock(mails).push(mail.clone());
                say("250 taken")?;
            }
            "QUIT" => return say("221 bye"),
            _ => say("500 what?")?,
        }
    }
    Ok(())
}

/// Text between angle brackets.
fn address(text: &str) -> String {
    text.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

fn read(mail: &mut Mail, text: Vec<String>) {
    let mut lines = text.into_iter();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        match (line.strip_prefix([' ', '\t']), mail.head.last_mut()) {
            (Some(more), Some(begun)) => {
                begun.push(' ');
                begun.push_str(more);
            }
            _ => mail.head.push(line),
        }
    }
    mail.body = lines.collect::<Vec<_>>().join("\n");
}
