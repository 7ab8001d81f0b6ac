//! HTTP checks: one request, over TLS for an `https` URL.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response};
use url::Url;

use super::{Failure, Resolver};
use crate::config::{BODY, HttpTarget};
use crate::daemon::http_client::Client;

/// A request that can be repeated.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    url: Url,
    /// Without name and password, for display.
    shown: Url,
    method: Method,
    target: HttpTarget,
}

impl Http {
    /// # Errors
    /// The request is invalid (method, header or URL).
    pub fn new(target: &HttpTarget, names: &Resolver) -> Result<Self, Failure> {
        let url =
            Url::parse(&target.url).map_err(|error| Failure::new(format_args!("{}: {error}", target.url)))?;
        let method = Method::from_bytes(target.method.as_bytes())
            .map_err(|_| Failure::new(format_args!("`{}` is not an HTTP method", target.method)))?;
        let client = Client::new(headers(&target.headers)?, target.verify_tls, names);
        let mut shown = url.clone();
        // Refused only for a URL without a host, which has neither.
        let _ = (shown.set_username(""), shown.set_password(None));
        Ok(Self { client, url, shown, method, target: target.clone() })
    }

    /// # Errors
    /// No answer, or an unwanted one.
    pub async fn attempt(&self) -> Result<(), Failure> {
        let answer = self.client.send(self.method.clone(), &self.url, "").await;
        let answer = answer.map_err(|error| Failure::of(&self.shown, &error))?;
        let status = answer.status();
        if !self.target.status.contains(&status.as_u16()) {
            return Err(Failure::new(format_args!("{}: {status}", self.shown)));
        }
        match &self.target.body {
            Some(text) => self.look_for(text, answer).await,
            None => Ok(()),
        }
    }

    async fn look_for(&self, text: &str, answer: Response<Incoming>) -> Result<(), Failure> {
        let mut frames = answer.into_body();
        let mut body = Vec::new();
        while body.len() < BODY {
            let Some(frame) = frames.frame().await else { break };
            let frame = frame.map_err(|error| Failure::of(&self.shown, &error))?;
            let room = BODY.saturating_sub(body.len());
            body.extend(frame.data_ref().into_iter().flatten().take(room));
        }
        if memmem(&body, text.as_bytes()) {
            Ok(())
        } else {
            Err(Failure::new(format_args!("{}: the body does not hold `{text}`", self.shown)))
        }
    }
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
