//! The control socket, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use vrrp_user::daemon::control::{self, Control, LINE_MAX};
use vrrp_user::daemon::process::runtime_dir::RuntimeDir;
use vrrp_user::driver::clock;

use crate::setup::{Folder, filled};

/// Serves filled sources while clients run on their own thread.
fn with_daemon<T: Send + 'static>(folder: &Folder, clients: impl FnOnce(&Path) -> T + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let claimed = RuntimeDir::claim(folder.path()).unwrap();
        let control = Control::bind(&claimed).unwrap();
        let server = tokio::spawn(control.serve(filled()));
        let path = folder.path().to_owned();
        let outcome = tokio::task::spawn_blocking(move || clients(&path)).await.unwrap();
        server.abort();
        outcome
    })
}

fn connect(folder: &Path) -> BufReader<UnixStream> {
    BufReader::new(UnixStream::connect(folder.join("control.sock")).unwrap())
}

fn ask(client: &mut BufReader<UnixStream>, request: &[u8]) -> String {
    client.get_mut().write_all(request).unwrap();
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line
}

#[test]
fn one_connection_carries_many_requests_good_and_bad() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let mut client = connect(path);
        for bad in ["\n", "nonsense\n", "{\"command\":\"reboot\"}\n", "{\"command\":\n", "[[[[[\n", "\u{0}\n"]
        {
            let answer: serde_json::Value = serde_json::from_str(&ask(&mut client, bad.as_bytes())).unwrap();
            assert!(answer["error"].as_str().unwrap().starts_with("not a request: "), "{bad:?}: {answer}");
        }
        let answer: serde_json::Value =
            serde_json::from_str(&ask(&mut client, b"{\"command\":\"status\"}\n")).unwrap();
        assert_eq!(answer["status"]["instances"][0]["name"], "VI_1");
    });
}

#[test]
fn an_endless_line_is_refused_and_ends_the_connection() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let mut client = connect(path);
        let answer = ask(&mut client, &vec![b'x'; usize::try_from(LINE_MAX).unwrap()]);
        assert!(answer.contains("at most 4096 bytes"), "{answer}");
        let mut rest = Vec::new();
        assert_eq!(client.read_to_end(&mut rest).unwrap_or(0), 0);
    });
}

#[test]
fn a_hundred_clients_are_served_while_others_stay_silent() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let silent: Vec<_> = (0..20).map(|_| connect(path)).collect();
        let clients: Vec<_> = (0..100)
            .map(|_| {
                let path = path.to_owned();
                thread::spawn(move || control::status(&path).map(|status| status.instances.len()))
            })
            .collect();
        for client in clients {
            assert_eq!(client.join().unwrap().unwrap(), 2);
        }
        drop(silent);
    });
}

#[test]
fn idle_clients_give_way_to_those_that_ask() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let mut idle = Vec::new();
        for _ in 0..10 {
            idle.extend((0..40).map(|_| connect(path)));
            let asked = clock::now();
            assert_eq!(control::status(path).unwrap().instances.len(), 2);
            let took = clock::now().since(asked);
            // Idle clients are cut off after 5 s.
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
        let mut oldest = idle.swap_remove(0);
        let mut rest = Vec::new();
        assert_eq!(oldest.read_to_end(&mut rest).unwrap_or(0), 0, "the client idle for longest is closed");
    });
}

#[test]
fn a_socket_left_behind_is_replaced_and_ours_is_private() {
    let folder = Folder::new();
    drop(std::os::unix::net::UnixListener::bind(folder.file("control.sock")).unwrap());
    assert!(control::status(folder.path()).unwrap_err().to_string().starts_with("no vrrpx runs"));
    with_daemon(&folder, |path| {
        let mode = std::fs::metadata(path.join("control.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        control::status(path).unwrap();
    });
    assert!(!folder.file("control.sock").exists(), "removed at the end");
}

#[test]
fn a_folder_in_use_is_refused_with_the_pid() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let error = RuntimeDir::claim(path).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        control::status(path).unwrap();
    });
}
