//! A webhook receiver of the tests: it accepts and records requests, or fails as real servers do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::server::Server;
use crate::worker::lock;

/// Behaviour towards its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    Takes,
    /// Answers this many requests with 503.
    BusyFor(u32),
    /// Answers every request with this status.
    Says(u16),
    /// Accepts connections, and sends nothing.
    Hangs,
}

/// A request as received.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted {
    /// Request line.
    pub request: String,
    /// Header lines, as received.
    pub head: Vec<String>,
    pub body: Value,
    /// Status of the answer.
    pub status: u16,
}

/// A listening server; closed when dropped.
#[derive(Debug)]
pub struct Receiver {
    server: Server,
    scheme: &'static str,
    manner: Arc<Mutex<Manner>>,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Receiver {
    pub fn new(listener: TcpListener, manner: Manner) -> Result<Self> {
        Self::start(listener, manner, None)
    }

    /// With a certificate from [`certificate`].
    pub fn with_tls(
        listener: TcpListener,
        manner: Manner,
        (certificate, key): &(PathBuf, PathBuf),
    ) -> Result<Self> {
        // The first caller installs the provider; all callers install the same.
        let _outcome = rustls::crypto::ring::default_provider().install_default();
        let chain = vec![CertificateDer::from_pem_file(certificate).context("certificate")?];
        let key = PrivateKeyDer::from_pem_file(key).context("key")?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        Self::start(listener, manner, Some(Arc::new(config)))
    }

    fn start(listener: TcpListener, manner: Manner, tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (manner, posted) = (Arc::new(Mutex::new(manner)), Arc::default());
        let (present, taken) = (Arc::clone(&manner), Arc::clone(&posted));
        let mut held = Vec::new();
        let server = Server::new(listener, move |client, before| {
            let status = match *lock(&present) {
                Manner::Hangs => return held.push(client),
                Manner::BusyFor(count) if before < count => 503,
                Manner::Says(status) => status,
                Manner::BusyFor(_) | Manner::Takes => 200,
            };
            let (tls, posted) = (tls.clone(), Arc::clone(&taken));
            // A client may disconnect at any time.
            std::thread::spawn(move || take(client, tls, &posted, status));
        })?;
        Ok(Self { server, scheme, manner, posted })
    }

    /// URL of the receiver; `secret` is part of the path.
    pub fn url(&self, secret: &str) -> String {
        format!("{}://{}/{secret}", self.scheme, self.server.address())
    }

    /// Changes the behaviour from the next request on.
    pub fn becomes(&self, manner: Manner) {
        *lock(&self.manner) = manner;
    }

    /// Number of connections so far.
    pub fn clients(&self) -> u32 {
        self.server.clients()
    }

    /// All requests, including refused ones, in the order in which they were completed.
    pub fn posted(&self) -> Vec<Posted> {
        lock(&self.posted).clone()
    }

    /// Values of one field in the accepted requests.
    pub fn reported(&self, field: &str) -> Vec<Value> {
        let posted = self.posted();
        posted.iter().filter(|it| it.status < 300).map(|it| it.body[field].clone()).collect()
    }
}

/// Makes a self-signed certificate for `name`, and its key.
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

fn take(
    client: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    posted: &Mutex<Vec<Posted>>,
    status: u16,
) -> Result<()> {
    match tls {
        None => answer(client, posted, status),
        Some(config) => answer(StreamOwned::new(ServerConnection::new(config)?, client), posted, status),
    }
}

fn answer(client: impl Read + Write, posted: &Mutex<Vec<Posted>>, status: u16) -> Result<()> {
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
    lock(posted).push(Posted { request, head, body, status });
    let client = reader.get_mut();
    client.write_all(
        format!("HTTP/1.1 {status} \r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    Ok(client.flush()?)
}
