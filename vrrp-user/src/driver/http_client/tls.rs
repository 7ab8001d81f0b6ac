//! TLS for HTTP, by rustls.
//!
//! Certificates are verified against those that this system trusts, read when the first connection needs them.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::Host;

/// Settings of a client's connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls(Arc<Settings>);

struct Settings {
    verifies: bool,
    provider: Arc<CryptoProvider>,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    pub(super) fn new(verifies: bool) -> Self {
        let provider = Arc::new(ring::default_provider());
        Self(Arc::new(Settings { verifies, provider, config: OnceLock::new() }))
    }

    /// # Errors
    /// The handshake fails.
    pub(super) async fn open(&self, host: &Host, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = match host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(&**name).map_err(io::Error::other)?.to_owned(),
        };
        TlsConnector::from(self.config()?).connect(name, stream).await
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let Settings { verifies, provider, config } = &*self.0;
        if let Some(made) = config.get() {
            return Ok(Arc::clone(made));
        }
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let mut made = if *verifies {
            builder.with_root_certificates(trusted()?).with_no_client_auth()
        } else {
            let any = Arc::new(AnyCertificate(Arc::clone(provider)));
            builder.dangerous().with_custom_certificate_verifier(any).with_no_client_auth()
        };
        made.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(config.get_or_init(|| Arc::new(made))))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("verifies", &self.0.verifies).finish_non_exhaustive()
    }
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
