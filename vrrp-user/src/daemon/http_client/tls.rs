//! TLS for HTTP, by rustls.
//!
//! Certificates are verified against those that this system trusts, read when the first connection needs them, and
//! again when a server's certificate is refused.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vrrp_ebpf::time::Timestamp;

use crate::config::Host;
use crate::driver::clock;

/// Settings of a client's connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls(Arc<Settings>);

struct Settings {
    verifies: bool,
    provider: Arc<CryptoProvider>,
    /// With the certificates that it was made of.
    config: Mutex<Option<(Arc<RootCertStore>, Arc<ClientConfig>)>>,
}

impl Tls {
    pub(super) fn new(verifies: bool) -> Self {
        let provider = Arc::new(ring::default_provider());
        Self(Arc::new(Settings { verifies, provider, config: Mutex::default() }))
    }

    /// # Errors
    /// The handshake fails.
    pub(super) async fn open(&self, host: &Host, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = match host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(&**name).map_err(io::Error::other)?.to_owned(),
        };
        TlsConnector::from(self.config().await?).connect(name, stream).await
    }

    /// Whether a refused certificate may be accepted now, as this system trusts others than before. Reads them again,
    /// unless that was done just before.
    pub(super) async fn has_newer_certificates(&self, error: &io::Error) -> bool {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        if !self.0.verifies || !matches!(cause, Some(rustls::Error::InvalidCertificate(_))) {
            return false;
        }
        let used = lock(&self.0.config).as_ref().map(|(roots, _)| Arc::clone(roots));
        let _unreadable = roots(Some(RENEWAL)).await;
        let current = lock(&ROOTS).as_ref().map(|known| Arc::clone(&known.store));
        let is_newer =
            |(used, current): (Arc<RootCertStore>, Arc<RootCertStore>)| used.roots != current.roots;
        used.zip(current).is_some_and(is_newer)
    }

    async fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let Settings { verifies, provider, config } = &*self.0;
        let roots = if *verifies { roots(None).await? } else { Arc::new(RootCertStore::empty()) };
        let mut made = lock(config);
        if let Some((of, made)) = &*made
            && (!verifies || Arc::ptr_eq(of, &roots))
        {
            return Ok(Arc::clone(made));
        }
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let mut fresh = if *verifies {
            builder.with_root_certificates(Arc::clone(&roots)).with_no_client_auth()
        } else {
            let any = Arc::new(AnyCertificate(Arc::clone(provider)));
            builder.dangerous().with_custom_certificate_verifier(any).with_no_client_auth()
        };
        fresh.alpn_protocols = vec![b"http/1.1".to_vec()];
        let fresh = Arc::new(fresh);
        *made = Some((roots, Arc::clone(&fresh)));
        Ok(fresh)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("verifies", &self.0.verifies).finish_non_exhaustive()
    }
}

/// Least time between two readings of the system's certificates.
const RENEWAL: Duration = Duration::from_secs(10);

struct Known {
    store: Arc<RootCertStore>,
    read: Timestamp,
}

/// The system's certificates, for all clients: the environment, which names their files, is the process's.
static ROOTS: Mutex<Option<Known>> = Mutex::new(None);

/// The certificates of the system, read again if they are older than `max_age`.
async fn roots(max_age: Option<Duration>) -> io::Result<Arc<RootCertStore>> {
    let known = lock(&ROOTS).as_ref().map(|known| (Arc::clone(&known.store), known.read));
    if let Some((store, read)) = known
        && max_age.is_none_or(|max_age| clock::now().since(read) < max_age)
    {
        return Ok(store);
    }
    // Some hundred files: not on the thread of the checks.
    let store = tokio::task::spawn_blocking(trusted).await.map_err(io::Error::other)??;
    let store = Arc::new(store);
    *lock(&ROOTS) = Some(Known { store: Arc::clone(&store), read: clock::now() });
    Ok(store)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The system's certificates; those that cannot be read are left out.
fn trusted() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    match (store.is_empty(), found.errors.into_iter().next()) {
        (false, _) => Ok(store),
        (true, Some(error)) => Err(io::Error::other(error)),
        (true, None) => Err(io::Error::other("this system trusts no certificates: install ca-certificates")),
    }
}

/// Takes any certificate; the server must still have its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
