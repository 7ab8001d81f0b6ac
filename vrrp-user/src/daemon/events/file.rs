//! The events on disk, so that they outlive the daemon.
//!
//! Enters: events, through a bounded queue. Leaves: JSON lines in [`NAME`], and at a start those that earlier daemons
//! have written. Absent: waiting; a thread of its own writes, and an event that finds the queue full is in memory only.
//! While the disk refuses them, events wait in the thread, and it tries again each second. The file is opened for each
//! batch, so that a hot restart's two daemons may write to it, and so may be removed at any time. When it is full it
//! becomes [`OLDER`], in place of the one before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};

use super::{Event, KEPT};
use crate::daemon::unwritten::Unwritten;

pub const NAME: &str = "events.jsonl";
pub const OLDER: &str = "events.jsonl.1";

/// Length at which the file is full: some 5000 events.
pub const FULL: u64 = 1 << 20;

/// Bytes of one file that are read: a line may have been written beyond the limit.
const READ_MAX: u64 = 2 * FULL;

/// Time limit for what is still to be written at the end; a disk may not answer.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// From a failed write to the next one.
const RETRY: Duration = Duration::from_secs(1);

/// The way to the thread that writes.
#[derive(Debug)]
pub(super) struct Keeper {
    queue: Sender<Arc<Event>>,
    /// Events in the queue. A channel with a bound of its own would take the memory of a full one.
    queued: Arc<AtomicUsize>,
    /// Closed by the end of the thread.
    ended: Receiver<()>,
}

impl Keeper {
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(folder: PathBuf, unwritten: Unwritten) -> io::Result<Self> {
        let (queue, events) = channel();
        let (ends, ended) = sync_channel(0);
        let queued = Arc::new(AtomicUsize::new(0));
        let taken = Arc::clone(&queued);
        thread::Builder::new().name("vrrpx-events".to_owned()).spawn(move || {
            write_all(&folder, &events, &taken, &unwritten);
            drop(ends);
        })?;
        Ok(Self { queue, queued, ended })
    }

    /// Never waits.
    pub(super) fn give(&self, event: &Arc<Event>) {
        // Full only while the disk does not answer; the event is still in memory.
        if self.queued.load(Relaxed) < KEPT {
            self.queued.fetch_add(1, Relaxed);
            // Fails only after the thread, and then nothing is counted any more.
            let _ = self.queue.send(Arc::clone(event));
        }
    }

    /// Waits until everything is written, as far as the disk answers.
    pub(super) fn end(self) {
        drop(self.queue);
        let _ = self.ended.recv_timeout(END_PATIENCE);
    }
}

/// Writes until the queue is closed. Events that the disk refuses are tried again; says once that it fails, and once
/// that it works again.
fn write_all(folder: &Path, events: &Receiver<Arc<Event>>, queued: &AtomicUsize, unwritten: &Unwritten) {
    let path = folder.join(NAME);
    let mut waiting: Vec<Arc<Event>> = Vec::new();
    loop {
        let next = match waiting.is_empty() {
            true => events.recv().map_err(RecvTimeoutError::from),
            false => events.recv_timeout(RETRY),
        };
        let is_over = next == Err(RecvTimeoutError::Disconnected);
        let before = waiting.len();
        waiting.extend(next.ok().into_iter().chain(events.try_iter()));
        queued.fetch_sub(waiting.len() - before, Relaxed);
        // As many as are in memory.
        waiting.drain(..waiting.len().saturating_sub(KEPT));
        let written = if waiting.is_empty() { Ok(()) } else { append(folder, &waiting) };
        let has_turned = unwritten.note(NAME, &written);
        match written {
            Ok(()) => waiting.clear(),
            Err(ref error) if has_turned => {
                warn!(path = %path.display(), %error, "cannot write events; tried again each second");
            }
            Err(_) => {}
        }
        if has_turned && waiting.is_empty() {
            info!(path = %path.display(), "events are written again");
        }
        if is_over {
            return;
        }
    }
}

fn append(folder: &Path, batch: &[Arc<Event>]) -> io::Result<()> {
    let path = folder.join(NAME);
    let mut text = Vec::new();
    for event in batch {
        serde_json::to_writer(&mut text, &**event)?;
        text.push(b'\n');
    }
    if fs::metadata(&path).is_ok_and(|file| file.len() >= FULL) {
        fs::rename(&path, folder.join(OLDER))?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
    if is_torn(&mut file)? {
        text.insert(0, b'\n');
    }
    file.write_all(&text)
}

/// Whether the last line has no end, as the disk was full or the host was killed.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// The latest events of earlier daemons, oldest first. Says once that lines are damaged.
pub(super) fn read(folder: &Path) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    let mut damaged = 0_u64;
    for name in [OLDER, NAME] {
        let path = folder.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read earlier events");
                continue;
            }
        };
        for line in BufReader::new(file.take(READ_MAX)).split(b'\n') {
            let Ok(line) = line else { break };
            match serde_json::from_slice::<Event>(&line) {
                Ok(event) => events.push(Arc::new(event)),
                Err(_) if line.is_empty() => {}
                Err(_) => damaged += 1,
            }
        }
    }
    if damaged > 0 {
        warn!(lines = damaged, path = %folder.join(NAME).display(), "damaged lines of earlier events are left out");
    }
    events.sort_by_key(|event| event.seq);
    events.dedup_by_key(|event| event.seq);
    let surplus = events.len().saturating_sub(KEPT);
    events.drain(..surplus);
    events
}

#[cfg(test)]
mod tests {
    use super::super::{EventKind, Events};
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("vrrpx-events-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn named(instance: &str) -> EventKind {
        EventKind::Abandoned { instance: instance.to_owned() }
    }

    fn reported(events: &Events) -> Vec<String> {
        let page = events.after(None, KEPT);
        page.events.iter().map(|event| event.what.to_string().split(':').next().unwrap().to_owned()).collect()
    }

    /// A daemon that has these events, with those that it was given before its file was opened.
    fn run(folder: &Path, before: &[&str], after: &[&str]) -> Vec<String> {
        let events = Events::default();
        before.iter().for_each(|name| events.push(named(name)));
        events.keep(folder, &Unwritten::default()).unwrap();
        after.iter().for_each(|name| events.push(named(name)));
        let reported = reported(&events);
        events.close();
        reported
    }

    #[test]
    fn events_outlive_the_daemon_in_their_order() {
        let folder = folder("outlive");
        assert_eq!(run(&folder, &["a"], &["b", "c"]), ["a", "b", "c"]);
        assert_eq!(run(&folder, &["d"], &[]), ["a", "b", "c", "d"]);
        assert_eq!(run(&folder, &[], &[]), ["a", "b", "c", "d"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let folder = folder("torn");
        run(&folder, &[], &["a", "b"]);
        let path = folder.join(NAME);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert_eq!(run(&folder, &[], &["c"]), ["a", "c"]);
        assert_eq!(run(&folder, &[], &[]), ["a", "c"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_full_file_makes_room_for_another() {
        let folder = folder("full");
        run(&folder, &[], &["a"]);
        let long = "x".repeat(usize::try_from(FULL).unwrap());
        run(&folder, &[], &[&long]);
        run(&folder, &[], &["b"]);
        assert!(fs::metadata(folder.join(OLDER)).unwrap().len() >= FULL);
        assert!(fs::metadata(folder.join(NAME)).unwrap().len() < 200);
        assert_eq!(run(&folder, &[], &[]), ["a", &long, "b"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_nothing() {
        let folder = folder("missing");
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(run(&folder, &["a"], &["b"]), ["a", "b"]);
    }

    #[test]
    fn the_numbers_of_earlier_events_stay_valid() {
        let folder = folder("numbers");
        run(&folder, &[], &["a", "b", "c"]);
        let first = read(&folder)[0].seq;
        let events = Events::default();
        events.keep(&folder, &Unwritten::default()).unwrap();
        events.push(named("d"));
        let page = events.after(Some(first), KEPT);
        assert_eq!((page.gap, page.events.len()), (None, 3));
        events.close();
        fs::remove_dir_all(&folder).unwrap();
    }
}
