//! Event stream of one client of the control socket, line by line.
//!
//! Enters: the number after which events are wanted, and whether the client follows. Leaves: [`Line`]s. Absent: waiting
//! for the client: one that does not read is disconnected with a last line, for which room is kept.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::sockopt::SndBuf;
use nix::sys::socket::{self, MsgFlags, setsockopt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use tokio::net::unix::OwnedWriteHalf;
use tokio::time::timeout;

use super::{Event, Events, Gap};

/// Events that are copied at a time.
const PAGE: usize = 64;

/// What the kernel buffers for a client that does not read, in bytes, as it counts them.
const BUFFER: usize = 64 * 1024;

/// The same, with room for the rest of a line and the last line.
const BUFFER_AT_END: usize = 4 * BUFFER;

/// One line of the answer, in this order: `events`, a `gap` if there is one, the events. Then `end`, or, for a
/// follower, nothing but `dropped`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Events {
        /// The number of the latest event when the answer began.
        latest: u64,
    },
    Gap(Gap),
    End {
        /// The number of the latest event sent, for the next request.
        latest: u64,
    },
    /// Why nothing more follows.
    Dropped(String),
    Error(String),
    #[serde(untagged)]
    Event(Event),
}

/// Sends events after `since`, or all that are kept. Ends when the client does, or is disconnected.
///
/// # Errors
/// The client is gone.
pub(crate) async fn report(
    events: &Events,
    since: Option<u64>,
    follows: bool,
    patience: Duration,
    client: &OwnedWriteHalf,
    mut read: impl AsyncBufRead + Unpin,
) -> io::Result<()> {
    let stream: &tokio::net::UnixStream = client.as_ref();
    // Failure is harmless: this only bounds what a client may leave unread.
    let _ = setsockopt(stream, SndBuf, &(BUFFER / 2));
    let mut news = events.watch();
    let mut seen = since;
    send(client, &Line::Events { latest: events.latest() }, patience).await?;
    loop {
        news.borrow_and_update();
        let page = events.after(seen, PAGE);
        if let Some(gap) = page.gap {
            send(client, &Line::Gap(gap), patience).await?;
        }
        for event in &page.events {
            send(client, &Line::Event((**event).clone()), patience).await?;
            seen = Some(event.seq);
        }
        if !page.events.is_empty() {
            continue;
        }
        if !follows {
            let latest = seen.unwrap_or_else(|| events.latest());
            return send(client, &Line::End { latest }, patience).await;
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() {
                return Ok(());
            },
            // A follower ends the stream by sending anything.
            _ = read.fill_buf() => return Ok(()),
        }
    }
}

/// Sends a whole line, or the rest of it together with the last one.
async fn send(client: &OwnedWriteHalf, line: &Line, patience: Duration) -> io::Result<()> {
    let text = encode(line)?;
    let mut rest = text.as_slice();
    if timeout(patience, write(client, &mut rest)).await.is_ok_and(|written| written.is_ok()) {
        return Ok(());
    }
    let seen = match line {
        Line::Event(event) => format!("; continue after {}", event.seq),
        _ => String::new(),
    };
    let last = encode(&Line::Dropped(format!("the client has read nothing for {patience:?}{seen}")))?;
    let stream: &tokio::net::UnixStream = client.as_ref();
    let _ = setsockopt(stream, SndBuf, &(BUFFER_AT_END / 2));
    // Not through tokio, which would wait for a notification of the room.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let _ = socket::send(stream.as_raw_fd(), &[rest, &last].concat(), flags);
    Err(io::ErrorKind::TimedOut.into())
}

fn encode(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

/// Leaves in `rest` what is not written, whenever this is dropped.
async fn write(client: &OwnedWriteHalf, rest: &mut &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        client.writable().await?;
        match client.try_write(rest) {
            Ok(count) => *rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_read_as_what_it_is() {
        let event = r#"{"seq":7,"time":"2026-11-21T10:00:00.000Z","event":"abandoned","instance":"a"}"#;
        let gap = r#"{"gap":{"from":1,"until":3,"lost":null}}"#;
        for text in
            [event, gap, r#"{"events":{"latest":5}}"#, r#"{"end":{"latest":5}}"#, r#"{"dropped":"x"}"#]
        {
            let line: Line = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
            assert_eq!(matches!(line, Line::Event(_)), text == event);
        }
    }
}
