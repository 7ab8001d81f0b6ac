//! HTTP client for webhooks.
//!
//! Enters: the URL, and JSON. Leaves: the status of a successful answer, or a [`PostError`]. Absent: when to post,
//! retries, contents, and the body of the answer.

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use tokio::time::timeout;

use crate::config::{WebhookSettings, WebhookUrl};
use crate::daemon::http_client::Client;
use crate::daemon::probe::attempt::{Failure, Resolver, cause};

/// The target of the requests.
#[derive(Clone, Debug)]
pub struct Webhook {
    client: Client,
    url: WebhookUrl,
    patience: Duration,
}

/// Why a post was not accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PostError {
    pub why: Failure,
    /// `None` if there was no answer.
    pub status: Option<u16>,
    /// A retry would get the same answer.
    pub is_final: bool,
    /// The server's Retry-After.
    pub after: Option<Duration>,
}

impl Webhook {
    pub fn new(settings: &WebhookSettings, names: &Resolver) -> Self {
        let mut headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let mut own = HeaderMap::new();
        for (name, value) in &settings.headers {
            own.append(name, value.clone());
        }
        headers.extend(own);
        let client = Client::new(headers, settings.verify_tls, names);
        Self { client, url: settings.url.clone(), patience: settings.patience }
    }

    /// # Errors
    /// The server is not found, does not answer in time, or answers with a status other than 2xx.
    pub async fn post(&self, json: String) -> Result<u16, PostError> {
        let Self { client, url, patience } = self;
        let answer = match timeout(*patience, client.send(Method::POST, url.expose(), json)).await {
            Ok(answer) => answer.map_err(|error| cause(&error)),
            Err(_) => Err(format!("no answer within {patience:?}")),
        };
        let answer = answer.map_err(|why| {
            let why = Failure::new(why);
            PostError { why, status: None, is_final: false, after: None }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err(PostError {
            why: Failure::new(status),
            status: Some(status.as_u16()),
            is_final: !may_change(status),
            after: after.map(Duration::from_secs),
        })
    }
}

/// Whether the status is about the server's condition and not about the request.
fn may_change(status: StatusCode) -> bool {
    const OF_NOW: [StatusCode; 3] =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || OF_NOW.contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_request_stays_wrong() {
        for status in [301, 400, 401, 404, 410] {
            assert!(!may_change(StatusCode::from_u16(status).unwrap()), "{status}");
        }
        for status in [408, 425, 429, 500, 503] {
            assert!(may_change(StatusCode::from_u16(status).unwrap()), "{status}");
        }
    }
}
