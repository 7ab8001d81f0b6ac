//! Readings of the daemon, each second, from a thread of its own.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use super::board::News;
use crate::config::words;
use crate::daemon::control::{ControlError, StatusReader, StatusReading};

/// From one reading to the next, and between two tries to connect.
const PERIOD: Duration = Duration::from_secs(1);

/// Begins to read. The thread ends with the receiver.
pub(super) fn begin(runtime_dir: &Path) -> Receiver<News> {
    // A screen that is not drawn holds no readings up.
    let (sender, receiver) = mpsc::sync_channel(1);
    let runtime_dir = runtime_dir.to_owned();
    thread::spawn(move || feed(&runtime_dir, &sender));
    receiver
}

fn feed(runtime_dir: &Path, sender: &SyncSender<News>) {
    let mut reader: Option<StatusReader> = None;
    loop {
        let news = match next_reading(reader.take(), runtime_dir) {
            Ok((reading, connected)) => {
                reader = Some(connected);
                News::Read(Box::new(reading))
            }
            Err(ControlError::Silent(_)) => News::Silent,
            Err(error) => News::Lost(words(error)),
        };
        if sender.send(news).is_err() {
            return;
        }
        thread::sleep(PERIOD);
    }
}

/// A reading by this connection, or by another one: a crowd of clients may have taken its place.
fn next_reading(
    reader: Option<StatusReader>,
    runtime_dir: &Path,
) -> Result<(StatusReading, StatusReader), ControlError> {
    let read = |mut reader: StatusReader| Ok((reader.read()?, reader));
    if let Some(Ok(reading)) = reader.map(read) {
        return Ok(reading);
    }
    StatusReader::connect(runtime_dir).and_then(read)
}
