//! Events over the control socket: replay, gaps, and followers that read or do not read.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use vrrp_tests::clock::{elapse, until};
use vrrp_user::daemon::control::{self, Control, SocketGroups};
use vrrp_user::daemon::events::follow::Line;
use vrrp_user::daemon::events::{EventKind, KEPT};
use vrrp_user::daemon::process::preflight::Disabled;
use vrrp_user::daemon::process::runtime_dir::RuntimeDir;
use vrrp_user::daemon::status::DaemonContext;
use vrrp_user::driver::clock;

use crate::cli::binary;
use crate::setup::{Folder, filled};

/// Serves filled sources while clients run on their own thread.
fn with_daemon(clients: impl FnOnce(&Path, &DaemonContext) + Send + 'static) {
    let folder = Folder::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let claimed = RuntimeDir::claim(folder.path()).unwrap();
        let context = filled();
        let server = tokio::spawn(
            Control::bind(&claimed, SocketGroups::default()).unwrap().serve(Arc::clone(&context)),
        );
        let path = folder.path().to_owned();
        tokio::task::spawn_blocking(move || clients(&path, &context)).await.unwrap();
        server.abort();
    });
}

fn happens(context: &DaemonContext, count: usize) {
    for number in 0..count {
        let (check, outcome) = (format!("check {number}"), "exit 1 ".repeat(8));
        context.history.events.push(EventKind::Check { check, up: false, outcome });
    }
}

/// All lines of an answer.
fn reported(path: &Path, since: Option<u64>) -> Vec<Line> {
    let mut lines = Vec::new();
    control::events(path, since, false, |line, _| {
        lines.push(line.clone());
        true
    })
    .unwrap();
    lines
}

fn follower(path: &Path) -> BufReader<UnixStream> {
    let mut client = UnixStream::connect(path.join("control.sock")).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.write_all(b"{\"command\":\"events\",\"follow\":true}\n").unwrap();
    BufReader::new(client)
}

fn next(client: &mut BufReader<UnixStream>) -> Option<Line> {
    let mut line = String::new();
    (client.read_line(&mut line).unwrap() > 0).then(|| serde_json::from_str(&line).unwrap())
}

#[test]
fn events_after_a_number_are_replayed_and_gaps_are_reported() {
    with_daemon(|path, context| {
        let base = context.history.events.latest();
        assert_eq!(reported(path, None), [Line::Events { latest: base }, Line::End { latest: base }]);
        happens(context, 3);
        let latest = base + 3;
        let lines = reported(path, Some(base + 1));
        assert_eq!(lines[0], Line::Events { latest });
        assert!(matches!(&lines[1], Line::Event(event) if event.seq == base + 2), "{lines:?}");
        assert!(matches!(&lines[2], Line::Event(event) if event.seq == latest), "{lines:?}");
        assert_eq!(lines[3..], [Line::End { latest }]);
        happens(context, KEPT);
        let lines = reported(path, Some(latest - 1));
        let Line::Gap(gap) = &lines[1] else { panic!("{:?}", &lines[..3]) };
        assert_eq!((gap.from, gap.until, gap.lost), (latest, latest + 1, Some(1)));
        assert_eq!(lines.len(), KEPT + 3);
    });
}

#[test]
fn a_follower_gets_events_at_once_and_one_client_may_ask_repeatedly() {
    with_daemon(|path, context| {
        let mut client = follower(path);
        assert!(matches!(next(&mut client), Some(Line::Events { .. })));
        for _ in 0..3 {
            let before = clock::now();
            happens(context, 1);
            assert!(matches!(next(&mut client), Some(Line::Event(_))));
            assert!(clock::now().since(before) < Duration::from_secs(1));
        }
        let mut client = UnixStream::connect(path.join("control.sock")).unwrap();
        client.write_all(b"{\"command\":\"events\"}\n{\"command\":\"status\"}\n").unwrap();
        let lines: Vec<String> = BufReader::new(client).lines().take(6).map(Result::unwrap).collect();
        assert!(lines[4].starts_with("{\"end\""), "{lines:?}");
        assert!(lines[5].starts_with("{\"status\""), "{lines:?}");
    });
}

#[test]
fn a_follower_that_does_not_read_is_dropped_with_a_last_line() {
    with_daemon(|path, context| {
        let mut client = follower(path);
        assert!(matches!(next(&mut client), Some(Line::Events { .. })));
        let mut other = follower(path);
        assert!(matches!(next(&mut other), Some(Line::Events { .. })));
        happens(context, KEPT / 2);
        for _ in 0..KEPT / 2 {
            assert!(matches!(next(&mut other), Some(Line::Event(_))), "a reader is not delayed");
        }
        // Longer than the limit for an unread line: what is unread by now is dropped.
        elapse(Duration::from_secs(6));
        control::status(path).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = next(&mut client) {
            lines.push(line);
        }
        let Some(Line::Dropped(why)) = lines.pop() else { panic!("no last line") };
        let Some(Line::Event(last)) = lines.last() else { panic!("no event") };
        assert!(lines.len() < KEPT / 2, "all was buffered");
        assert_eq!(why, format!("the client has read nothing for 5s; continue after {}", last.seq));
        let rest = reported(path, Some(last.seq));
        assert_eq!(lines.len() + rest.len() - 2, KEPT / 2, "the rest can be requested");
    });
}

#[test]
fn followers_are_limited_and_departures_make_room() {
    with_daemon(|path, _| {
        let mut followers: Vec<_> = (0..16).map(|_| follower(path)).collect();
        assert!(followers.iter_mut().all(|it| matches!(next(it), Some(Line::Events { .. }))));
        let refused = next(&mut follower(path));
        assert_eq!(refused, Some(Line::Error("16 clients follow already".to_owned())));
        control::status(path).unwrap();
        followers.pop();
        let is_followed = || matches!(next(&mut follower(path)), Some(Line::Events { .. }));
        until("room", Duration::from_secs(5), is_followed).unwrap();
    });
}

#[test]
fn a_name_is_unknown_if_neither_the_daemon_nor_any_kept_event_has_it() {
    with_daemon(|path, context| {
        let vrrpx = || {
            let mut command = Command::new(binary());
            command.arg("events").arg("--runtime-dir").arg(path);
            command
        };
        let script = "vrrp_script disabled".to_owned();
        context.history.disabled(vec![Disabled { script, why: String::new() }]);
        let check = context.status().checks[0].name.clone();
        // That of a check which a reload has removed.
        happens(context, 1);
        let kept = "check 0";
        for (arguments, code) in [
            (&["log"][..], 0),
            (&["VI_1"], 0),
            (&[&*check], 0),
            (&["disabled"], 0),
            (&[kept], 0),
            (&[kept, "--since", "2999-01-01 00:00"], 0),
            (&[kept, "--since", "9223372036854775807"], 0),
            (&[kept, "--kind", "reload"], 0),
            (&["another"], 2),
            (&["another", "--kind", "reload"], 2),
        ] {
            let output = vrrpx().args(arguments).output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
            assert_eq!(text.is_empty(), code == 0, "{arguments:?}: {text}");
        }
        let output = vrrpx().arg(format!("{check}x")).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&format!("nor a check of the daemon; did you mean `{check}`?")), "{text}");
        let mut follower = vrrpx().args(["--follow", "VI_l"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(follower.stderr.take().unwrap()).read_line(&mut line).unwrap();
        follower.kill().unwrap();
        follower.wait().unwrap();
        assert!(line.ends_with("did you mean `VI_1`?; waiting for it\n"), "{line}");
    });
}
