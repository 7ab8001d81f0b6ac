//! Hot restart, the old daemon's side.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::message::PATIENCE;
use super::{Leases, Offer, SnapshotMessage};
use crate::daemon::metrics::kept_rows;
use crate::daemon::notify::hooks::LeftHooks;
use crate::daemon::queue::{Input, Queue};
use crate::daemon::status::DaemonContext;
use crate::driver::clock;

/// Time limit for the new daemon's answer to the offer, while this one still works.
const OFFER_PATIENCE: Duration = Duration::from_secs(2);

/// Longest line of the new daemon.
const LINE_MAX: u64 = 64;

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Offer(&'a Offer),
    Snapshot(&'a SnapshotMessage),
    /// Not now, but soon.
    Busy(&'a str),
}

/// Hands everything over to the daemon behind `client`, with the lock of the runtime directory. `settle` ends what is
/// half done, and what it returns keeps anything new from beginning; `None` if that takes longer. `prepare` is called
/// while nothing is decided any more, and returns the hooks that are left to that daemon. After true, the caller must
/// have the engine leave; false is a client that only asked for the offer, as each does before it prepares, or that has
/// to ask again.
///
/// # Errors
/// The new daemon did not complete the exchange; this one goes on.
pub(in crate::daemon) async fn serve_successor<G>(
    client: UnixStream,
    context: &DaemonContext,
    inputs: &Queue<Input>,
    lock: BorrowedFd<'_>,
    settle: impl Future<Output = Option<G>>,
    prepare: impl FnOnce() -> Vec<LeftHooks>,
) -> io::Result<bool> {
    let mut client = BufReader::new(client);
    say(&mut client, &Line::Offer(&Offer::of(&context.config))).await?;
    match hear(&mut client, "go", OFFER_PATIENCE).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        heard => heard?,
    }
    let Some(_settled) = settle.await else {
        say(&mut client, &Line::Busy("an order of an operator is being carried out; try again")).await?;
        return Ok(false);
    };
    let (answer, reported) = oneshot::channel();
    let leases = Leases::new(context.config.instances.iter().map(|it| it.id).collect())?;
    let memory = leases.descriptor()?;
    push(inputs, Input::Pause(leases, answer)).await;
    let Ok(Some(mut snapshot)) = reported.await else {
        say(&mut client, &Line::Busy("addresses are being handed over; try again")).await?;
        return Ok(false);
    };
    snapshot.hooks = prepare();
    snapshot.rows = kept_rows(context);
    let message = SnapshotMessage::of(&snapshot, &context.config, clock::now());
    let adopted = async {
        say(&mut client, &Line::Snapshot(&message)).await?;
        hear(&mut client, "leases", PATIENCE).await?;
        give(client.get_ref(), "leases", memory.as_fd()).await?;
        hear(&mut client, "adopted", PATIENCE).await
    };
    match timeout(PATIENCE, adopted).await.map_err(io::Error::from).flatten() {
        Ok(()) => {}
        Err(error) => {
            push(inputs, Input::GoOn).await;
            return Err(error);
        }
    }
    if let Err(error) = give(client.get_ref(), "yours", lock).await {
        // The new daemon sees the end of the connection and leaves.
        push(inputs, Input::GoOn).await;
        return Err(error);
    }
    Ok(true)
}

async fn push(inputs: &Queue<Input>, input: Input) {
    let mut input = input;
    while let Err(refused) = inputs.offer(input) {
        input = refused;
        sleep(Duration::from_millis(1)).await;
    }
}

async fn say(client: &mut BufReader<UnixStream>, line: &Line<'_>) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    timeout(OFFER_PATIENCE, client.write_all(&text)).await?
}

async fn hear(client: &mut BufReader<UnixStream>, word: &str, patience: Duration) -> io::Result<()> {
    let mut line = String::new();
    let length = timeout(patience, client.take(LINE_MAX).read_line(&mut line)).await??;
    if length == 0 {
        let error = format!("the new daemon closed the connection before sending {word:?}");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
    }
    if line.trim_end() == format!("\"{word}\"") {
        return Ok(());
    }
    Err(io::Error::other(format!("the new daemon sent {:?} instead of {word:?}", line.trim_end())))
}

/// Sends a descriptor. The receiver of the lock's one shares the lock, which stays held when this process ends.
async fn give(client: &UnixStream, word: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let (descriptors, text) = ([descriptor.as_raw_fd()], format!("\"{word}\"\n"));
    let send = || {
        let control = [ControlMessage::ScmRights(&descriptors)];
        let line = [IoSlice::new(text.as_bytes())];
        sendmsg::<()>(client.as_raw_fd(), &line, &control, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    };
    timeout(PATIENCE, client.async_io(Interest::WRITABLE, send)).await?
}
