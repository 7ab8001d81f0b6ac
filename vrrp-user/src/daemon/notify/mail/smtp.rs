//! SMTP client (RFC 5321).
//!
//! Enters: the server, and mails in wire format. Leaves: mails accepted by the server, or a [`SmtpError`]. Absent: when
//! to send mail, retries, and its contents.
//!
//! Uses STARTTLS if the server offers it and accepts any certificate, as the configuration names none; if the handshake
//! fails, sends unencrypted.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::select_ok;
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Endpoint;
use crate::daemon::probe::attempt::{Failure, Resolver};

/// Most bytes from the server in one session; it must not fill the memory.
const ANSWERS: usize = 1 << 20;

/// The mail server.
#[derive(Clone, Debug)]
pub struct Server {
    pub endpoint: Endpoint,
    /// Name sent in EHLO.
    pub hello: String,
    /// Time limit for each step: connection, greeting, TLS handshake, handing over a mail.
    pub patience: Duration,
    pub names: Resolver,
}

/// A connection after the greeting, ready for any number of mails.
pub struct Session {
    connection: AsyncSmtpConnection,
    patience: Duration,
}

/// One mail.
#[derive(Clone, Debug)]
pub struct MailMessage {
    pub from: Address,
    pub to: Vec<Address>,
    /// Header and body, ASCII, lines ended by CR LF.
    pub text: Vec<u8>,
}

/// Why the server did not accept a mail, or not for all receivers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SmtpError {
    pub why: Failure,
    /// A retry would get the same answer.
    pub is_final: bool,
}

impl Server {
    /// Connects and greets.
    ///
    /// # Errors
    /// The server is not found, does not answer in time, or refuses the session.
    pub async fn open(&self) -> Result<Session, SmtpError> {
        let hello = ClientId::Domain(self.hello.clone());
        let mut connection = self.greet(&hello).await?;
        if connection.can_starttls() && self.encrypt(&mut connection, &hello).await.is_err() {
            // The failed handshake has made the connection unusable.
            connection = self.greet(&hello).await?;
        }
        Ok(Session { connection, patience: self.patience })
    }

    async fn greet(&self, hello: &ClientId) -> Result<AsyncSmtpConnection, SmtpError> {
        let stream = self.connect().await?;
        let greeting = AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello);
        // A refusal here concerns the server and not a mail.
        let opened = self.step("greeting", greeting).await;
        opened.map_err(|refusal| SmtpError { is_final: false, ..refusal })
    }

    async fn connect(&self) -> Result<Bounded, SmtpError> {
        let named = async {
            let addresses = self.names.addresses(&self.endpoint.host).await?;
            let connects = addresses
                .into_iter()
                .map(|address| Box::pin(TcpStream::connect(SocketAddr::from((address, self.endpoint.port)))));
            let connected = select_ok(connects).await;
            connected.map_err(|error| Failure::new(format_args!("{}: {error}", self.endpoint)))
        };
        match timeout(self.patience, named).await {
            Ok(Ok((stream, _))) => Ok(Bounded { stream, left: ANSWERS }),
            Ok(Err(why)) => Err(SmtpError { why, is_final: false }),
            Err(_) => Err(self.late("connection")),
        }
    }

    async fn encrypt(&self, connection: &mut AsyncSmtpConnection, hello: &ClientId) -> Result<(), SmtpError> {
        let parameters = self.tls().map_err(|error| refusal(&self.endpoint, &error))?;
        self.step("TLS handshake", connection.starttls(parameters, hello)).await
    }

    fn tls(&self) -> Result<TlsParameters, Error> {
        TlsParametersBuilder::new(self.endpoint.host.to_string())
            .certificate_store(CertificateStore::None)
            .dangerous_accept_invalid_certs(true)
            .dangerous_accept_invalid_hostnames(true)
            .build()
    }

    async fn step<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, SmtpError> {
        match timeout(self.patience, work).await {
            Ok(done) => done.map_err(|error| refusal(&self.endpoint, &error)),
            Err(_) => Err(self.late(what)),
        }
    }

    fn late(&self, what: &str) -> SmtpError {
        let why = format_args!("{}: no {what} within {:?}", self.endpoint, self.patience);
        SmtpError { why: Failure::new(why), is_final: false }
    }
}

impl Session {
    /// Hands over a mail. Returns the receivers that the server refused if it accepted others.
    ///
    /// # Errors
    /// The server does not accept it for any receiver; the session is then unusable.
    pub async fn send(&mut self, message: &MailMessage) -> Result<Vec<(Address, Failure)>, SmtpError> {
        match timeout(self.patience, self.hand_over(message)).await {
            Ok(sent) => sent.map_err(|error| refusal("the mail server", &error)),
            Err(_) => {
                let why = format_args!("the mail server did not accept a mail within {:?}", self.patience);
                Err(SmtpError { why: Failure::new(why), is_final: false })
            }
        }
    }

    async fn hand_over(&mut self, message: &MailMessage) -> Result<Vec<(Address, Failure)>, Error> {
        let connection = &mut self.connection;
        connection.command(Mail::new(Some(message.from.clone()), Vec::new())).await?;
        let mut refused = Vec::new();
        let mut latest = None;
        for to in &message.to {
            match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
                Ok(_) => {}
                Err(error) if error.status().is_some() => {
                    refused.push((to.clone(), Failure::new(&error)));
                    latest = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = latest.filter(|_| refused.len() == message.to.len()) {
            return Err(error);
        }
        connection.command(Data).await?;
        connection.message(&message.text).await?;
        Ok(refused)
    }

    /// Sends QUIT.
    pub async fn close(mut self) {
        // The answer does not matter.
        let _ = timeout(self.patience.min(Duration::from_secs(1)), self.connection.quit()).await;
    }
}

fn refusal(by: impl fmt::Display, error: &Error) -> SmtpError {
    SmtpError { why: Failure::new(format_args!("{by}: {error}")), is_final: error.is_permanent() }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("server", self.connection.server_info()).finish_non_exhaustive()
    }
}

/// A connection that fails once the server has sent too much.
#[derive(Debug)]
struct Bounded {
    stream: TcpStream,
    left: usize,
}

impl AsyncTokioStream for Bounded {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let heard = buffer.filled().len().saturating_sub(before);
        match self.left.checked_sub(heard) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::Error::other("the mail server sent too much"))),
        }
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
