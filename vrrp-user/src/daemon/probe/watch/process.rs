//! Process checks, by `/proc` and pidfds.
//!
//! The kernel reports the end of a process at once, in containers too. While enough processes run, only these are
//! polled, once per interval. If too few are left, all of `/proc` is scanned, at first every few milliseconds, so that
//! a restarted service is soon found.

use std::convert::Infallible;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use futures_util::future::select_all;
use procfs::ProcResult;
use procfs::process::{Process, all_processes};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use vrrp_ebpf::time::Timestamp;

use super::super::attempt::Failure;
use super::{Health, NoticedBy};
use crate::config::{Matching, ProcessTarget, Processes, open_file};
use crate::driver::{clock, pidfd};

/// Processes awaited by pidfd; the end of any further ones is found by polling.
const AWAITED: usize = 256;

/// Bytes read of a PID file.
const LONGEST: u64 = 4096;

/// Bytes of a name kept in `/proc/PID/comm`.
const COMM: usize = 15;

/// Time from a failure to the next scan; it doubles up to the interval.
const SOON: Duration = Duration::from_millis(10);

/// Reports whether the processes run, for ever.
pub(super) async fn watch(
    target: &ProcessTarget,
    every: Duration,
    mut report: impl FnMut(Health, NoticedBy),
) -> Infallible {
    let mut debounce = Debounce::default();
    let mut known = Vec::new();
    let mut pause = SOON;
    loop {
        let wanted = target.clone();
        let found = spawn_blocking(move || matching_pids(&wanted, &known)).await;
        let found = found.unwrap_or_else(|error| Err(Failure::new(error)));
        if let Err(failure) = &found
            && failure.is_shortage()
        {
            report(Err(failure.clone()), NoticedBy::Polling);
            known = Vec::new();
            sleep(every).await;
            continue;
        }
        let health = found.as_ref().map_err(Clone::clone).and_then(|found| judge(target, found));
        known = found.unwrap_or_default();
        pause = if health.is_ok() { SOON } else { pause.saturating_mul(2).min(every) };
        let ends: Vec<AsyncFd<OwnedFd>> =
            known.iter().take(AWAITED).filter_map(|pid| end_of(*pid).ok()).collect();
        let by = if ends.is_empty() && !known.is_empty() { NoticedBy::Polling } else { NoticedBy::Pidfd };
        let next = if health.is_ok() { every } else { pause };
        let (health, wait) = debounce.judge(health, target, clock::now());
        if let Some(health) = health {
            report(health, by);
        }
        let wait = wait.map_or(next, |wait| wait.min(next));
        let ended = ends.iter().map(|end| Box::pin(end.readable()));
        if ends.is_empty() {
            sleep(wait).await;
        } else {
            // In either case it is time to scan again.
            let _ = timeout(wait, select_all(ended)).await;
        }
    }
}

fn judge(target: &ProcessTarget, found: &[i32]) -> Health {
    let running = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let ProcessTarget { quorum, quorum_max, .. } = *target;
    if running < quorum {
        let why =
            if running == 0 { "no such process".to_owned() } else { format!("{running} of {quorum} run") };
        return Err(Failure::new(why));
    }
    match quorum_max {
        Some(most) if running > most => Err(Failure::new(format_args!("{running} run, more than {most}"))),
        _ => Ok(()),
    }
}

/// Holds a change back until it has lasted.
#[derive(Debug, Default)]
struct Debounce {
    reported: Option<bool>,
    since: Option<Timestamp>,
}

impl Debounce {
    /// The health to report now, and the longest time until the next scan.
    fn judge(
        &mut self,
        health: Health,
        target: &ProcessTarget,
        now: Timestamp,
    ) -> (Option<Health>, Option<Duration>) {
        let good = health.is_ok();
        if self.reported == Some(good) || self.reported.is_none() {
            (self.reported, self.since) = (Some(good), None);
            return (Some(health), None);
        }
        let delay = if good { target.fork_delay } else { target.terminate_delay };
        let lasted = now.since(*self.since.get_or_insert(now));
        if lasted >= delay {
            (self.reported, self.since) = (Some(good), None);
            (Some(health), None)
        } else {
            (None, Some(delay - lasted))
        }
    }
}

/// Pids of the matching processes: only known ones, if they are enough.
fn matching_pids(target: &ProcessTarget, known: &[i32]) -> Result<Vec<i32>, Failure> {
    let quorum = usize::try_from(target.quorum).unwrap_or(usize::MAX);
    if target.quorum_max.is_none() && !matches!(target.which, Processes::PidFile(_)) {
        let mut left = Vec::new();
        for pid in known.iter().take(AWAITED) {
            if let Some(process) = read(Process::new(*pid))?
                && is_meant(&process, &target.which)?
            {
                left.push(*pid);
            }
        }
        if left.len() >= quorum {
            return Ok(left);
        }
    }
    find(&target.which)
}

/// All matching processes.
fn find(which: &Processes) -> Result<Vec<i32>, Failure> {
    if let Processes::PidFile(path) = which {
        return of_pid_file(path);
    }
    let all = all_processes().map_err(|error| Failure::of("/proc", &error))?;
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut found = Vec::new();
    for process in all {
        if let Some(process) = read(process)?
            && process.pid != own
            && is_meant(&process, which)?
        {
            found.push(process.pid);
        }
    }
    Ok(found)
}

/// A result from `/proc`; `None` if the process has ended meanwhile.
///
/// # Errors
/// The process cannot be read for lack of descriptors or memory.
fn read<T>(reported: ProcResult<T>) -> Result<Option<T>, Failure> {
    match reported {
        Ok(reported) => Ok(Some(reported)),
        Err(error) => {
            let failure = Failure::of("/proc", &error);
            if failure.is_shortage() { Err(failure) } else { Ok(None) }
        }
    }
}

/// The pid is in the first line; services such as PostgreSQL write more below it.
fn of_pid_file(path: &Path) -> Result<Vec<i32>, Failure> {
    let mut text = Vec::new();
    let taken = open_file(path).and_then(|file| Ok(file.take(LONGEST).read_to_end(&mut text)?));
    taken.map_err(|error| Failure::of(path.display(), &error))?;
    let text = String::from_utf8_lossy(&text);
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).filter(|pid| *pid > 0);
    let pid =
        pid.ok_or_else(|| Failure::new(format_args!("{}: no process id in the first line", path.display())))?;
    let stat = read(Process::new(pid).and_then(|process| process.stat()))?;
    let runs = stat.is_some_and(|stat| stat.state != 'Z');
    Ok(if runs { vec![pid] } else { Vec::new() })
}

fn is_meant(process: &Process, which: &Processes) -> Result<bool, Failure> {
    Ok(match which {
        Processes::Named(name) => {
            let name = cut(name.rsplit('/').next().unwrap_or(name));
            read(process.stat())?.is_some_and(|stat| stat.state != 'Z' && stat.comm == name)
        }
        Processes::Called { program, arguments, matching } => read(process.cmdline())?.is_some_and(|line| {
            line.split_first().is_some_and(|(called, words)| {
                is_program(called, program) && are_alike(words, arguments, *matching)
            })
        }),
        Processes::CommandLine(text) => {
            read(process.cmdline())?.is_some_and(|line| !line.is_empty() && line.join(" ").contains(&**text))
        }
        Processes::PidFile(_) => false,
    })
}

fn is_program(called: &str, program: &str) -> bool {
    called == program || !program.contains('/') && called.rsplit('/').next() == Some(program)
}

fn are_alike(words: &[String], wanted: &[std::sync::Arc<str>], matching: Matching) -> bool {
    let begins = wanted.len() <= words.len();
    let mut pairs = words.iter().zip(wanted);
    match matching {
        Matching::Exact => words.len() == wanted.len() && pairs.all(|(word, wanted)| **word == **wanted),
        Matching::Initial => begins && pairs.all(|(word, wanted)| **word == **wanted),
        Matching::Partial => {
            let last = wanted.len().saturating_sub(1);
            begins
                && pairs.enumerate().all(|(index, (word, wanted))| {
                    **word == **wanted || index == last && word.starts_with(&**wanted)
                })
        }
    }
}

fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(COMM)).unwrap_or(name)
}

/// A descriptor that becomes readable when the process ends.
fn end_of(pid: i32) -> io::Result<AsyncFd<OwnedFd>> {
    let pidfd = pidfd::open(pid)?;
    // SAFETY: an owned descriptor stays open and the same for as long as it lives.
    unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Child, Command};
    use std::sync::Mutex;

    use super::*;

    fn target(which: Processes) -> ProcessTarget {
        let (fork_delay, terminate_delay) = (Duration::ZERO, Duration::ZERO);
        ProcessTarget { which, quorum: 1, quorum_max: None, fork_delay, terminate_delay }
    }

    /// Starts a process and waits until it can be found. The kernel lets `spawn` return before the new command line is
    /// in place.
    fn sleeping(seconds: &str) -> Child {
        let child = Command::new("sleep").arg(seconds).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let which = Processes::CommandLine(format!("sleep {seconds}").into());
        while !find(&which).unwrap().contains(&pid) {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn processes_are_found_by_name_call_line_and_file() {
        let mut child = sleeping("86001.25");
        let pid = i32::try_from(child.id()).unwrap();
        let file = std::env::temp_dir().join(format!("vrrpx-pid-{}", std::process::id()));
        fs::write(&file, format!("{pid}\n/var/lib/of/it\n12345\n")).unwrap();
        let called = |arguments: &[&str], matching| Processes::Called {
            program: "sleep".into(),
            arguments: arguments.iter().map(|&word| word.into()).collect(),
            matching,
        };
        let rows = [
            (Processes::Named("sleep".into()), true),
            (Processes::Named("/bin/sleep".into()), true),
            (Processes::Named("sleepy".into()), false),
            (called(&["86001.25"], Matching::Exact), true),
            (called(&["86001"], Matching::Exact), false),
            (called(&["86001"], Matching::Partial), true),
            (called(&["86001"], Matching::Initial), false),
            (called(&[], Matching::Initial), true),
            (called(&[], Matching::Exact), false),
            (Processes::CommandLine("sleep 86001.2".into()), true),
            (Processes::PidFile(file.clone()), true),
        ];
        for (which, expected) in rows {
            assert_eq!(find(&which).unwrap().contains(&pid), expected, "{which:?}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(find(&Processes::PidFile(file.clone())), Ok(vec![]));
        fs::remove_file(&file).unwrap();
        assert!(find(&Processes::PidFile(file)).is_err());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_end_and_a_new_start_are_reported_long_before_the_next_look() {
        let mut child = sleeping("86002.5");
        let which = Processes::CommandLine("sleep 86002.5".into());
        let (target, reported) = (target(which), Mutex::new(Vec::new()));
        let report = |health: Health, by| reported.lock().unwrap().push((health.is_ok(), by));
        let last = |expected: bool| {
            let reported = &reported;
            async move {
                while reported.lock().unwrap().last().is_none_or(|(good, _)| *good != expected) {
                    sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let start = clock::now();
        let life = async {
            last(true).await;
            child.kill().unwrap();
            child.wait().unwrap();
            last(false).await;
            child = sleeping("86002.5");
            last(true).await;
        };
        tokio::select! {
            _ = watch(&target, Duration::from_secs(600), report) => {}
            () = life => {}
        }
        assert!(clock::now().since(start) < Duration::from_secs(60));
        assert_eq!(reported.lock().unwrap().first(), Some(&(true, NoticedBy::Pidfd)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn all_of_proc_is_looked_at_only_where_too_few_are_known() {
        let (mut first, mut second) = (sleeping("86003.5"), sleeping("86003.5"));
        let pids = [first.id(), second.id()].map(|pid| i32::try_from(pid).unwrap());
        let one = target(Processes::CommandLine("sleep 86003.5".into()));
        assert_eq!(matching_pids(&one, &pids[..1]), Ok(vec![pids[0]]));
        let sorted = |target: &ProcessTarget, known: &[i32]| {
            let mut found = matching_pids(target, known).unwrap();
            found.sort_unstable();
            found
        };
        assert_eq!(sorted(&one, &[]), pids);
        let two = ProcessTarget { quorum: 2, ..one.clone() };
        assert_eq!(sorted(&two, &pids[..1]), pids);
        let few = ProcessTarget { quorum_max: Some(1), ..one.clone() };
        assert_eq!(sorted(&few, &pids[..1]), pids);
        first.kill().unwrap();
        first.wait().unwrap();
        assert_eq!(matching_pids(&one, &pids[..1]), Ok(vec![pids[1]]));
        second.kill().unwrap();
        second.wait().unwrap();
        assert_eq!(matching_pids(&one, &pids), Ok(vec![]));
    }

    #[test]
    fn news_wait_for_their_delay() {
        let fork_delay = Duration::from_secs(2);
        let target = ProcessTarget { fork_delay, ..target(Processes::Named("x".into())) };
        let (mut debounce, bad) = (Debounce::default(), || Err(Failure::new("none")));
        let at = |seconds: u64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let mut judge = |health: Health, seconds| {
            let (reported, wait) = debounce.judge(health, &target, at(seconds));
            (reported.map(|health| health.is_ok()), wait.map(|wait| wait.as_secs()))
        };
        assert_eq!(judge(bad(), 0), (Some(false), None));
        assert_eq!(judge(Ok(()), 1), (None, Some(2)));
        assert_eq!(judge(Ok(()), 2), (None, Some(1)));
        assert_eq!(judge(bad(), 3), (Some(false), None));
        assert_eq!(judge(Ok(()), 4), (None, Some(2)));
        assert_eq!(judge(Ok(()), 6), (Some(true), None));
        assert_eq!(judge(bad(), 7), (Some(false), None));
    }
}
