//! A webhook of the tests: it takes what is posted and remembers it, or is in one of the ways in which servers fail.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// Between two looks for a connection.
const POLL: Duration = Duration::from_millis(5);

/// Longest that a client may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// How it treats its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    Takes,
    /// Answers the first ones with 503.
    BusyFor(u32),
    /// Answers all with this status.
    Says(u16),
    /// Accepts connections, and says nothing.
    Hangs,
}

/// What somebody has posted.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted {
    /// The first line.
    pub request: String,
    /// Lines of the head, as they came.
    pub head: Vec<String>,
    pub body: Value,
    /// What it was answered.
    pub status: u16,
}

/// A listening server; gone when dropped.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    scheme: &'static str,
    listening: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    manner: Mutex<Manner>,
    tls: Option<Arc<ServerConfig>>,
    clients: AtomicU32,
    posted: Mutex<Vec<Posted>>,
    /// Kept open by a server that hangs.
    held: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

impl Receiver {
    /// # Errors
    /// When the listener cannot be used.
    pub fn new(listener: TcpListener, manner: Manner) -> Result<Self> {
        Self::start(listener, manner, None)
    }

    /// With a certificate that [`certificate`] has made.
    ///
    /// # Errors
    /// When the listener or the certificate cannot be used.
    pub fn with_tls(
        listener: TcpListener,
        manner: Manner,
        (certificate, key): &(PathBuf, PathBuf),
    ) -> Result<Self> {
        // The first to name a provider wins; all of them name the same.
        let _told = rustls::crypto::ring::default_provider().install_default();
        let chain = vec![CertificateDer::from_pem_file(certificate).context("certificate")?];
        let key = PrivateKeyDer::from_pem_file(key).context("key")?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        Self::start(listener, manner, Some(Arc::new(config)))
    }

    fn start(listener: TcpListener, manner: Manner, tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr().context("address of the webhook")?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            manner: Mutex::new(manner),
            tls,
            clients: AtomicU32::new(0),
            posted: Mutex::default(),
            held: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let listening = thread::spawn(move || listen(&listener, &serving));
        Ok(Self { shared, address, scheme, listening: Some(listening) })
    }

    /// What it is told at; `secret` is a part of the path.
    pub fn url(&self, secret: &str) -> String {
        format!("{}://{}/{secret}", self.scheme, self.address)
    }

    /// From the next request on.
    pub fn becomes(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// Connections so far.
    pub fn clients(&self) -> u32 {
        self.shared.clients.load(Ordering::Relaxed)
    }

    /// All requests, also those that were refused, in the order in which they came to an end.
    pub fn posted(&self) -> Vec<Posted> {
        self.shared.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The values of one field in what was taken.
    pub fn told(&self, field: &str) -> Vec<Value> {
        let posted = self.posted();
        posted.iter().filter(|it| it.status < 300).map(|it| it.body[field].clone()).collect()
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

/// Makes a certificate of `name` that nobody has signed, and its key.
///
/// # Errors
/// Without openssl, or when it fails.
pub fn certificate(directory: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=webhook of the tests", "-addext"]);
    command.arg(format!("subjectAltName={name}"));
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    command.arg("-out").arg(&certificate).arg("-keyout").arg(&key);
    let output = command.output().context("cannot run openssl")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok((certificate, key))
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.ended.load(Ordering::Relaxed) {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(POLL);
            continue;
        };
        let before = shared.clients.fetch_add(1, Ordering::Relaxed);
        let manner = *shared.manner.lock().unwrap_or_else(PoisonError::into_inner);
        let status = match manner {
            Manner::Hangs => {
                shared.held.lock().unwrap_or_else(PoisonError::into_inner).push(client);
                continue;
            }
            Manner::BusyFor(count) if before < count => 503,
            Manner::Says(status) => status,
            Manner::BusyFor(_) | Manner::Takes => 200,
        };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A client may leave at any time.
            let _left = take(client, &shared, status);
        });
    }
}

fn take(client: TcpStream, shared: &Shared, status: u16) -> Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(SILENCE))?;
    match &shared.tls {
        None => answer(client, shared, status),
        Some(config) => {
            let connection = ServerConnection::new(Arc::clone(config))?;
            answer(StreamOwned::new(connection, client), shared, status)
        }
    }
}

fn answer(client: impl Read + Write, shared: &Shared, status: u16) -> Result<()> {
    let mut reader = BufReader::new(client);
    let mut line = || -> Result<String> {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let request = line()?;
    let mut head = Vec::new();
    loop {
        match line()? {
            line if line.is_empty() => break,
            line => head.push(line),
        }
    }
    let length =
        head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.context("no length")?];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).context("the body is no JSON")?;
    shared.posted.lock().unwrap_or_else(PoisonError::into_inner).push(Posted { request, head, body, status });
    let client = reader.get_mut();
    client.write_all(
        format!("HTTP/1.1 {status} \r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    Ok(client.flush()?)
}
