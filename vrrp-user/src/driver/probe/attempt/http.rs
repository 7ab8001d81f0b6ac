//! HTTP checks: one request, over TLS for an `https` URL.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};

use super::{Failure, Resolver, cause};
use crate::config::{BODY, HttpTarget};

/// A request that can be repeated.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    url: Url,
    method: Method,
    target: HttpTarget,
}

impl Http {
    /// # Errors
    /// The request is invalid (method, header or URL), or TLS is not available.
    pub fn new(target: &HttpTarget, names: &Resolver) -> Result<Self, Failure> {
        let url =
            Url::parse(&target.url).map_err(|error| Failure::new(format_args!("{}: {error}", target.url)))?;
        let method = Method::from_bytes(target.method.as_bytes())
            .map_err(|_| Failure::new(format_args!("`{}` is not an HTTP method", target.method)))?;
        let client = client(headers(&target.headers)?, target.verify_tls, names)?;
        Ok(Self { client, url, method, target: target.clone() })
    }

    /// # Errors
    /// No answer, or an unwanted one.
    pub async fn attempt(&self) -> Result<(), Failure> {
        let answer = self.client.request(self.method.clone(), self.url.clone()).send().await;
        let answer = answer.map_err(|error| Failure::of(&self.url, &error))?;
        let status = answer.status();
        if !self.target.status.contains(&status.as_u16()) {
            return Err(Failure::new(format_args!("{}: {status}", self.url)));
        }
        match &self.target.body {
            Some(text) => self.look_for(text, answer).await,
            None => Ok(()),
        }
    }

    async fn look_for(&self, text: &str, mut answer: Response) -> Result<(), Failure> {
        let mut body = Vec::new();
        while body.len() < BODY {
            let chunk = answer.chunk().await.map_err(|error| Failure::of(&self.url, &error))?;
            let Some(chunk) = chunk else { break };
            let room = BODY.saturating_sub(body.len());
            body.extend(chunk.iter().take(room));
        }
        if memmem(&body, text.as_bytes()) {
            Ok(())
        } else {
            Err(Failure::new(format_args!("{}: the body does not hold `{text}`", self.url)))
        }
    }
}

/// A client that opens a direct connection for each request and follows no redirects.
///
/// # Errors
/// TLS is not available.
pub fn client(headers: HeaderMap, verify_tls: bool, names: &Resolver) -> Result<Client, Failure> {
    // The first installed provider stays; all callers install the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .default_headers(headers)
        .user_agent(concat!("vrrpx/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(names.clone())
        .no_proxy()
        .redirect(Policy::none())
        // Each attempt shows that the server accepts connections.
        .pool_max_idle_per_host(0)
        .pool_idle_timeout(Duration::ZERO)
        .tls_danger_accept_invalid_certs(!verify_tls)
        .build()
        .map_err(|error| Failure::new(cause(&error)))
}

fn headers(pairs: &[(std::sync::Arc<str>, std::sync::Arc<str>)]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) else {
            return Err(Failure::new(format_args!("`{name}: {value}` is not an HTTP header")));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

fn memmem(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}
