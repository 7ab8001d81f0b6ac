//! File checks: the number in a file, by inotify.
//!
//! Watches the folder, so that the file may be replaced, deleted and created again. A file that is missing, empty or
//! without a number counts as 0, as in keepalived.

use std::convert::Infallible;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::super::attempt::Failure;
use super::NoticedBy;
use crate::config::{FileError, FileTarget, open_file};

/// Bytes read of the file.
const LONGEST: u64 = 64;

/// Time until an unresponsive file system is reported.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reports the number, for ever: at once, at each change of the folder, and once per interval.
pub(super) async fn watch(
    target: &FileTarget,
    every: Duration,
    mut report: impl FnMut(Result<i32, Failure>, NoticedBy),
) -> Infallible {
    loop {
        let watched = beside(&target.path, |path| watched(folder(path))).await;
        // SAFETY: the watch keeps its descriptor open until it is dropped.
        let register = |watched| unsafe { AsyncFd::register_with_interest(watched, Interest::READABLE) };
        let watched = watched.and_then(|watched| Ok(register(watched?)?));
        let Ok(changes) = watched else {
            if let Ok(number) = beside(&target.path, number).await {
                report(number, NoticedBy::Polling);
            }
            sleep(every).await;
            continue;
        };
        loop {
            if let Ok(number) = beside(&target.path, number).await {
                report(number, NoticedBy::Inotify);
            }
            match timeout(every, changed(&changes)).await {
                // Nothing happened, or a change in the folder.
                Err(_) | Ok(Ok(()))
                    if beside(&target.path, |path| folder(path).is_dir()).await.is_ok_and(|it| it) => {}
                _ => break,
            }
        }
    }
}

/// Runs `work` on another thread, so that an unresponsive file system blocks nothing else. The last number counts
/// meanwhile.
async fn beside<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> T + Send + 'static,
) -> io::Result<T> {
    let owned = path.to_owned();
    let mut working = spawn_blocking(move || work(&owned));
    if let Ok(done) = timeout(PATIENCE, &mut working).await {
        return Ok(done?);
    }
    let path = path.display();
    warn!(%path, "the file system of a tracked file does not answer; the last number counts until it does");
    let done = working.await?;
    info!(%path, "the file system of a tracked file answers again");
    Ok(done)
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Writes the configured initial number, before the first poll.
///
/// # Errors
/// The file is not a regular one, or cannot be written.
pub fn prepare(target: &FileTarget) -> io::Result<()> {
    // A FIFO or a device would block its reader, and the writer below.
    if let Err(error @ FileError::NotRegular(_)) = open_file(&target.path) {
        return Err(io::Error::other(error));
    }
    let Some((number, overwrite)) = target.initial else { return Ok(()) };
    let text = format!("{number}\n");
    if overwrite {
        return fs::write(&target.path, text);
    }
    match fs::File::create_new(&target.path) {
        Ok(mut file) => io::Write::write_all(&mut file, text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

struct Watched(Inotify);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

fn watched(folder: &Path) -> io::Result<Watched> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let mask = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR;
    inotify.add_watch(folder, mask)?;
    Ok(Watched(inotify))
}

/// Waits for changes of the folder, and takes those that are there.
async fn changed(watched: &AsyncFd<Watched>) -> io::Result<()> {
    watched.async_io(Interest::READABLE, |Watched(inotify)| Ok(inotify.read_events()?)).await.map(drop)
}

/// # Errors
/// The file cannot be opened for lack of descriptors or memory, which says nothing about its number.
fn number(path: &Path) -> Result<i32, Failure> {
    let mut text = String::new();
    let read = open_file(path).and_then(|file| Ok(file.take(LONGEST).read_to_string(&mut text)?));
    match read.map_err(|error| Failure::of(path.display(), &error)) {
        Ok(_) => Ok(parse(&text)),
        Err(failure) if failure.is_shortage() => Err(failure),
        Err(_) => Ok(0),
    }
}

/// The number at the start of a text, parsed as strtol does.
fn parse(text: &str) -> i32 {
    let text = text.trim_start();
    let signed = text.len() - text.trim_start_matches(['+', '-']).len();
    let digits = text.bytes().skip(signed).take_while(u8::is_ascii_digit).count();
    let number = text.get(..signed.saturating_add(digits)).filter(|_| signed <= 1).unwrap_or_default();
    match number.parse::<i64>() {
        Ok(number) => i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX }),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        for (text, number) in [
            ("5\n", 5),
            (" -12 and more", -12),
            ("+7", 7),
            ("", 0),
            ("x", 0),
            ("--3", 0),
            ("99999999999", i32::MAX),
            ("-99999999999", i32::MIN),
        ] {
            assert_eq!(parse(text), number, "{text}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn changes_are_reported_at_once_whatever_happens_to_the_file() {
        let folder = std::env::temp_dir().join(format!("vrrpx-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("value");
        let target = FileTarget { path: path.clone(), initial: Some((3, false)) };
        prepare(&target).unwrap();
        let reported = Mutex::new(Vec::new());
        let last = |expected: i32| {
            let reported = &reported;
            async move {
                while reported.lock().unwrap().last() != Some(&expected) {
                    sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let steps = async {
            last(3).await;
            fs::write(&path, "-20\n").unwrap();
            last(-20).await;
            fs::remove_file(&path).unwrap();
            last(0).await;
            fs::write(folder.join("new"), "8").unwrap();
            fs::rename(folder.join("new"), &path).unwrap();
            last(8).await;
            prepare(&target).unwrap();
            prepare(&FileTarget { initial: Some((9, true)), ..target.clone() }).unwrap();
            last(9).await;
        };
        tokio::select! {
            _ = watch(&target, Duration::from_secs(600), |value, _| reported.lock().unwrap().push(value.unwrap())) => {}
            done = timeout(Duration::from_secs(30), steps) => done.unwrap(),
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
