//! Thread that writes log lines to a file. A write to a file waits for its disk, whatever the flags say.
//!
//! Enters: lines. Leaves: the same in the file, and what became of them. Absent: a limit of time, which is that of
//! [`Lines`](super::stderr).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use nix::errno::Errno;

/// Most octets that wait for the disk.
const ROOM: usize = 64 * 1024;

/// All of it is locked memory, as soon as it is used.
const STACK: usize = 32 * 1024;

/// Ends once it is dropped and what it has is written.
#[derive(Debug)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    octets: usize,
    is_writing: bool,
    /// Lines that have failed, and why the latest has.
    failed: u64,
    error: Option<Errno>,
    has_ended: bool,
}

impl State {
    const fn is_idle(&self) -> bool {
        self.octets == 0 && !self.is_writing
    }
}

impl Writer {
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(mut file: File) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        Builder::new().name("log".to_owned()).stack_size(STACK).spawn(move || {
            while let Some(line) = of_thread.next() {
                let outcome = file.write_all(&line);
                of_thread.note(&outcome);
            }
        })?;
        Ok(Self(shared))
    }

    /// False without room.
    pub(super) fn put(&self, line: &[u8]) -> bool {
        let mut state = self.0.lock();
        if state.octets.saturating_add(line.len()) > ROOM && !state.is_idle() {
            return false;
        }
        state.octets += line.len();
        state.waiting.push_back(line.to_vec());
        self.0.changed.notify_all();
        true
    }

    /// Waits until every line is written, for this long at most. Whether they are.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), limit, |state| !state.is_idle());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_idle()
    }

    /// The number of lines that have failed since the last call, and why the latest has.
    pub(super) fn take_failed(&self) -> (u64, Option<Errno>) {
        let mut state = self.0.lock();
        (std::mem::take(&mut state.failed), state.error.take())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.lock().has_ended = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn next(&self) -> Option<Vec<u8>> {
        let is_empty = |state: &mut State| state.waiting.is_empty() && !state.has_ended;
        let waited = self.changed.wait_while(self.lock(), is_empty);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let line = state.waiting.pop_front()?;
        state.octets -= line.len();
        state.is_writing = true;
        Some(line)
    }

    fn note(&self, outcome: &io::Result<()>) {
        let mut state = self.lock();
        state.is_writing = false;
        if let Err(error) = outcome {
            state.failed += 1;
            state.error = error.raw_os_error().map(Errno::from_raw).or(state.error);
        }
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
