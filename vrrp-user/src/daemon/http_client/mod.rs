//! HTTP client for checks and webhooks: a connection for each request, over TLS for an `https` URL.
//!
//! Enters: method, URL, fields and body. Leaves: the answer, whatever its status. Absent: time limits, redirects,
//! proxies, and connections that are kept: each request shows that the server accepts one.

mod tls;

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::select_ok;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::{Host, Url};

use self::tls::Tls;
use super::probe::attempt::{Failure, Resolver};
use crate::config;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    fields: HeaderMap,
    tls: Tls,
    names: Resolver,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum RequestError {
    #[error(transparent)]
    Name(Failure),
    #[error("not the URL of an HTTP server")]
    Url,
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    #[error("no TLS connection: {0}")]
    Tls(#[source] io::Error),
    #[error("no answer: {0}")]
    Http(#[source] hyper::Error),
}

impl Client {
    /// `fields` are those of every request. Without `verify_tls`, any certificate will do.
    pub fn new(fields: HeaderMap, verify_tls: bool, names: &Resolver) -> Self {
        Self { fields, tls: Tls::new(verify_tls), names: names.clone() }
    }

    /// # Errors
    /// The server is not found or gives no answer.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>, RequestError> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        *request.uri_mut() = target(url)?;
        *request.headers_mut() = self.fields(url)?;
        let (host, port) = url.host().zip(url.port_or_known_default()).ok_or(RequestError::Url)?;
        let host = match host {
            Host::Ipv4(address) => config::Host::Address(address.into()),
            Host::Ipv6(address) => config::Host::Address(address.into()),
            Host::Domain(name) => config::Host::Name(name.into()),
        };
        let addresses = self.names.addresses(&host).await.map_err(RequestError::Name)?;
        let connect = async || {
            let connects = addresses
                .iter()
                .map(|address| Box::pin(TcpStream::connect(SocketAddr::from((*address, port)))));
            select_ok(connects).await.map(|(stream, _)| stream).map_err(RequestError::Connect)
        };
        let stream = connect().await?;
        if url.scheme() != "https" {
            return exchange(stream, request).await;
        }
        let opened = match self.tls.open(&host, stream).await {
            Err(error) if self.tls.has_newer_certificates(&error).await => {
                self.tls.open(&host, connect().await?).await
            }
            opened => opened,
        };
        exchange(opened.map_err(RequestError::Tls)?, request).await
    }

    fn fields(&self, url: &Url) -> Result<HeaderMap, RequestError> {
        let host = url.host_str().ok_or(RequestError::Url)?;
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let own = [
            (HOST, HeaderValue::try_from(host).map_err(|_| RequestError::Url)?),
            (USER_AGENT, HeaderValue::from_static(concat!("vrrpx/", env!("CARGO_PKG_VERSION")))),
            (ACCEPT, HeaderValue::from_static("*/*")),
        ];
        let mut fields = HeaderMap::from_iter(own);
        fields.extend(credentials(url).map(|value| (AUTHORIZATION, value)));
        // Configured ones take precedence.
        fields.extend(self.fields.clone());
        Ok(fields)
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, RequestError> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(RequestError::Http)?;
    // It ends when the answer has been read or dropped.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(RequestError::Http)
}

/// Path and query, as a request to the server itself has them.
fn target(url: &Url) -> Result<Uri, RequestError> {
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", url.path()).parse().map_err(|_| RequestError::Url)
}

/// Name and password of the URL (RFC 7617).
fn credentials(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(fields: HeaderMap) -> Client {
        Client::new(fields, true, &Resolver::new())
    }

    #[test]
    fn a_request_has_the_parts_of_its_url() {
        let rows = [
            ("http://example.org", "/", "example.org", None),
            ("http://example.org:80/a?b=c&d#e", "/a?b=c&d", "example.org", None),
            ("https://example.org:8443/", "/", "example.org:8443", None),
            ("http://[2001:db8::1]:81/a%20b", "/a%20b", "[2001:db8::1]:81", None),
            ("http://bücher.example/ä", "/%C3%A4", "xn--bcher-kva.example", None),
            ("http://u:p%40@h/", "/", "h", Some("Basic dTpwQA==")),
            ("http://u@h/", "/", "h", Some("Basic dTo=")),
        ];
        for (url, path, host, authorization) in rows {
            let url = Url::parse(url).unwrap();
            assert_eq!(target(&url).unwrap(), path, "{url}");
            let fields = client(HeaderMap::new()).fields(&url).unwrap();
            assert_eq!(fields[HOST], host, "{url}");
            let shown = fields.get(AUTHORIZATION).map(|value| value.to_str().unwrap());
            assert_eq!(shown, authorization, "{url}");
        }
    }

    #[test]
    fn configured_fields_replace_the_usual_ones() {
        let own = [
            (USER_AGENT, HeaderValue::from_static("probe")),
            (AUTHORIZATION, HeaderValue::from_static("Bearer x")),
        ];
        let fields = client(HeaderMap::from_iter(own)).fields(&Url::parse("http://u:p@h/").unwrap()).unwrap();
        assert_eq!(fields.get_all(USER_AGENT).iter().collect::<Vec<_>>(), ["probe"]);
        assert_eq!(fields.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), ["Bearer x"]);
        assert_eq!(fields[ACCEPT], "*/*");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_failure_names_its_cause() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        let error = client(HeaderMap::new()).send(Method::GET, &url, "").await.unwrap_err();
        assert!(
            matches!(&error, RequestError::Connect(error) if error.raw_os_error() == Some(libc::ECONNREFUSED))
        );
    }
}
