//! Requests to a container engine: HTTP on its Unix socket, one connection each.
//!
//! Enters: the path of the socket. Leaves: what containers report of themselves, and a stream that says that something
//! has happened. Absent: time limits, and what the state of a container means.

use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::header::{HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;

/// Longest answer that is read; an inspection has some 10 kB, a list some 2 kB for each container.
const LONGEST: usize = 8 << 20;

/// Why the engine gave no answer.
#[derive(Debug, Error)]
pub(super) enum EngineError {
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    #[error("no answer: {0}")]
    Http(#[source] hyper::Error),
    #[error("an answer of more than {} MiB", LONGEST >> 20)]
    TooLong,
    #[error("not an answer of a container engine: {0}")]
    Meaningless(#[source] serde_json::Error),
    #[error("{status}: {message}")]
    Refused { status: StatusCode, message: String },
}

impl EngineError {
    /// There is no such container.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, .. })
    }
}

/// A container as the engine reports it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    pub(super) name: Option<String>,
    pub(super) state: Option<State>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    pub(super) status: Option<String>,
    pub(super) running: Option<bool>,
    pub(super) paused: Option<bool>,
    pub(super) restarting: Option<bool>,
    pub(super) health: Option<Checked>,
}

/// The result of a container's own health check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Checked {
    pub(super) status: Option<String>,
}

/// A container engine that has answered.
#[derive(Debug)]
pub(super) struct Engine {
    socket: PathBuf,
    /// The newest version of the API that the engine speaks: what is asked of it is the same in all.
    version: String,
}

impl Engine {
    /// # Errors
    /// No engine answers at the socket.
    pub(super) async fn connect(socket: &Path) -> Result<Self, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Version {
            api_version: String,
        }
        let Version { api_version } = read(get(socket, "/version").await?).await?;
        Ok(Self { socket: socket.to_owned(), version: encoded(&api_version) })
    }

    /// # Errors
    /// There is no such container, or the engine does not answer.
    pub(super) async fn inspect(&self, name: &str) -> Result<Container, EngineError> {
        read(self.get(&format!("/containers/{}/json", encoded(name))).await?).await
    }

    /// Ids of the containers that match, running or not.
    ///
    /// # Errors
    /// The engine does not answer.
    pub(super) async fn containers(&self, filters: &Filters<'_>) -> Result<Vec<String>, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Listed {
            id: String,
        }
        let path = format!("/containers/json?all=true&filters={}", in_query(filters)?);
        let listed: Vec<Listed> = read(self.get(&path).await?).await?;
        Ok(listed.into_iter().map(|it| it.id).collect())
    }

    /// The events that match, from now on.
    ///
    /// # Errors
    /// The engine does not answer.
    pub(super) async fn events(&self, filters: &Filters<'_>) -> Result<Events, EngineError> {
        let answer = self.get(&format!("/events?filters={}", in_query(filters)?)).await?;
        Ok(Events(answer.into_body()))
    }

    async fn get(&self, path: &str) -> Result<Response<Incoming>, EngineError> {
        get(&self.socket, &format!("/v{}{path}", self.version)).await
    }
}

/// Names and the values of which each must have one.
pub(super) type Filters<'a> = [(&'a str, Vec<&'a str>)];

/// The engine's events.
#[derive(Debug)]
pub(super) struct Events(Incoming);

impl Events {
    /// Waits for news: an event, or a part of one. Its content is not read: the caller asks for the state of a
    /// container in any case. `None` when the engine has ended the stream. May be dropped and called again at any time.
    pub(super) async fn next(&mut self) -> Option<Result<(), EngineError>> {
        loop {
            match self.0.frame().await? {
                Ok(frame) if frame.data_ref().is_none_or(|data| data.trim_ascii().is_empty()) => {}
                outcome => return Some(outcome.map(drop).map_err(EngineError::Http)),
            }
        }
    }
}

/// Makes a request, and returns the answer if it is a success.
async fn get(socket: &Path, path: &str) -> Result<Response<Incoming>, EngineError> {
    let stream = UnixStream::connect(socket).await.map_err(EngineError::Connect)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(EngineError::Http)?;
    // It ends when the answer has been read or dropped.
    tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    // A path with characters that are not encoded: the engine could not know it either.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(HOST, hyper::header::HeaderValue::from_static("docker"));
    headers.insert(
        USER_AGENT,
        hyper::header::HeaderValue::from_static(concat!("vrrpx/", env!("CARGO_PKG_VERSION"))),
    );
    let answer = sender.send_request(request).await.map_err(EngineError::Http)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    Err(EngineError::Refused { status, message: complaint(&whole(answer).await?) })
}

/// The answer's JSON.
async fn read<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T, EngineError> {
    serde_json::from_slice(&whole(answer).await?).map_err(EngineError::Meaningless)
}

async fn whole(answer: Response<Incoming>) -> Result<Bytes, EngineError> {
    match Limited::new(answer.into_body(), LONGEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(EngineError::TooLong),
        Err(error) => Err(error.downcast().map_or(EngineError::TooLong, |error| EngineError::Http(*error))),
    }
}

/// The engine's own words, or its whole answer.
fn complaint(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Complaint {
        message: String,
    }
    serde_json::from_slice(body)
        .map(|Complaint { message }| message)
        .unwrap_or_else(|_| String::from_utf8_lossy(body).trim().to_owned())
}

fn in_query(filters: &Filters<'_>) -> Result<String, EngineError> {
    let object: std::collections::BTreeMap<_, _> = filters.iter().cloned().collect();
    serde_json::to_string(&object).map(|json| encoded(&json)).map_err(EngineError::Meaningless)
}

/// For a path or a query: every character that could have a meaning there, by its number.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    /// A socket at which each connection gets the next of these answers; returns what was asked.
    async fn serve(listener: UnixListener, answers: Vec<String>) -> Vec<String> {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = client.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            asked.push(request.lines().next().unwrap_or_default().to_owned());
            client.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    }

    fn json(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("vrrpx-engine-{name}-{}", std::process::id()))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn requests_are_those_of_the_engine_api() {
        let path = place("api");
        let listener = UnixListener::bind(&path).unwrap();
        let answers = vec![
            json("200 OK", r#"{"ApiVersion":"1.41","Os":"linux"}"#),
            json("200 OK", r#"{"Name":"/web","State":{"Running":true,"Health":{"Status":"healthy"}}}"#),
            json("404 Not Found", r#"{"message":"No such container: gone"}"#),
            json("200 OK", r#"[{"Id":"7f"},{"Id":"8e"}]"#),
            json("500 Internal Server Error", "broken\n"),
            "HTTP/1.1 200 OK\r\n\r\n{\"Action\":\"die\"}\n".to_owned(),
        ];
        let asks = async {
            let engine = Engine::connect(&path).await.unwrap();
            let web = engine.inspect("web").await.unwrap();
            assert_eq!(web.name.as_deref(), Some("/web"));
            assert_eq!(web.state.unwrap().health.unwrap().status.as_deref(), Some("healthy"));
            assert!(engine.inspect("a/b c").await.unwrap_err().is_unknown());
            let filters = [("label", vec!["app=shop"])];
            assert_eq!(engine.containers(&filters).await.unwrap(), ["7f", "8e"]);
            let refused = engine.containers(&filters).await.unwrap_err();
            assert_eq!(refused.to_string(), "500 Internal Server Error: broken");
            let mut events = engine.events(&filters).await.unwrap();
            assert!(matches!(events.next().await, Some(Ok(()))));
            assert!(events.next().await.is_none_or(|ended| ended.is_err()));
        };
        let (asked, ()) = tokio::join!(serve(listener, answers), asks);
        let filters = "filters=%7B%22label%22%3A%5B%22app%3Dshop%22%5D%7D";
        let expected = [
            "GET /version HTTP/1.1".to_owned(),
            "GET /v1.41/containers/web/json HTTP/1.1".to_owned(),
            "GET /v1.41/containers/a%2Fb%20c/json HTTP/1.1".to_owned(),
            format!("GET /v1.41/containers/json?all=true&{filters} HTTP/1.1"),
            format!("GET /v1.41/containers/json?all=true&{filters} HTTP/1.1"),
            format!("GET /v1.41/events?{filters} HTTP/1.1"),
        ];
        assert_eq!(asked, expected);
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_answer_of_another_service_is_an_error() {
        let path = place("other");
        assert!(matches!(Engine::connect(&path).await, Err(EngineError::Connect(_))));
        let listener = UnixListener::bind(&path).unwrap();
        let answers = vec![
            json("200 OK", "[]"),
            "garbage\r\n\r\n".to_owned(),
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", LONGEST + 1),
        ];
        let asks = async {
            assert!(matches!(Engine::connect(&path).await, Err(EngineError::Meaningless(_))));
            assert!(matches!(Engine::connect(&path).await, Err(EngineError::Http(_))));
            assert!(matches!(Engine::connect(&path).await, Err(EngineError::Http(_))));
        };
        tokio::join!(serve(listener, answers), asks);
        std::fs::remove_file(path).unwrap();
    }
}
