//! Answers: their bodies, in one piece or as a stream, and their usual fields.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A status without a text.
pub(super) fn bare(status: StatusCode) -> Answer {
    whole(status, Bytes::new())
}

/// A status with a word for people.
pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = whole(status, text.into());
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

/// An error for programs, in the form of the control socket.
pub(super) fn json_error(status: StatusCode, why: &str) -> Answer {
    let mut answer = whole(status, Bytes::from(format!("{}\n", json!({ "error": why }))));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Whether the client has what this weak tag is of (`If-None-Match`, RFC 9110 §13.1.2).
pub(super) fn has(headers: &HeaderMap, tag: &str) -> bool {
    let known = all(headers, header::IF_NONE_MATCH);
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.split(',').any(|it| it.trim() == "*" || opaque(it) == opaque(tag))
}

/// A document, which may be compressed already.
pub(super) fn document(content_type: &'static str, is_compressed: bool, body: Arc<[u8]>) -> Answer {
    let mut answer = whole(StatusCode::OK, Bytes::from_owner(body));
    let fields = answer.headers_mut();
    if is_compressed {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    answer
}

/// Messages of an event stream, as they come.
pub(super) fn messages(messages: impl Stream<Item = String> + Send + 'static) -> Answer {
    use futures_util::StreamExt;
    let frames = messages.map(|message| Ok(Frame::data(Bytes::from(message))));
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// All values of a field as one list.
pub(super) fn all(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get_all(name).iter().filter_map(|it| it.to_str().ok()).collect::<Vec<_>>().join(",")
}

fn whole(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body).boxed_unsync());
    *answer.status_mut() = status;
    // Of this moment, errors too: a cache would keep a name as unknown that a reload has added.
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
