//! Attempts at services on the loopback interface.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::time::timeout;

use super::connect::{tcp, unix};
use super::failure::LONGEST;
use super::haproxy::attempt as haproxy;
use super::*;
use crate::config::{BODY, HaproxyTarget, Host, HttpTarget};
use crate::protocol::TrackId;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "current_thread")]
async fn tcp_wants_a_connection_at_some_address() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = Resolver::new();
    let at = |host: &str| format!("{host}:{port}").parse().unwrap();
    assert_eq!(tcp(&at("127.0.0.1"), &names).await, Ok(()));
    // localhost has ::1 too, without a listener.
    assert_eq!(tcp(&at("localhost"), &names).await, Ok(()));
    drop(listener);
    let failure = tcp(&at("127.0.0.1"), &names).await.unwrap_err().to_string();
    assert_eq!(failure, format!("127.0.0.1:{port}: Connection refused"));
}

#[tokio::test(flavor = "current_thread")]
async fn unix_wants_a_listener() {
    let path = Path::new("unix");
    assert!(unix(&path.0).await.unwrap_err().to_string().ends_with("No such file or directory"));
    let listener = UnixListener::bind(&path.0).unwrap();
    assert_eq!(unix(&path.0).await, Ok(()));
    drop(listener);
    assert!(unix(&path.0).await.unwrap_err().to_string().contains("Connection refused"));
}

#[tokio::test(flavor = "current_thread")]
async fn http_judges_status_and_body() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}ready", "x".repeat(BODY));
    let rows: [(&str, Option<&str>, Result<(), &str>); 6] = [
        (ok, None, Ok(())),
        (ok, Some("ready"), Ok(())),
        (ok, Some("up"), Err("the body does not hold `up`")),
        (&long, Some("ready"), Err("the body does not hold `ready`")),
        ("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n", None, Ok(())),
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            None,
            Err("503 Service Unavailable"),
        ),
    ];
    for (answer, body, expected) in rows {
        let (url, request) = answer_once(answer.to_owned());
        let target = HttpTarget { body: body.map(Into::into), ..target(&url) };
        let outcome = timeout(LIMIT, Http::new(&target, &Resolver::new()).unwrap().attempt()).await.unwrap();
        match expected {
            Ok(()) => assert_eq!(outcome, Ok(()), "{answer}"),
            Err(why) => assert_eq!(outcome.unwrap_err().to_string(), format!("{url}: {why}")),
        }
        let request = request.join().unwrap();
        assert!(request.starts_with("POST /health HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("x-probe: yes\r\n"), "{request}");
    }
}

#[test]
fn http_refuses_what_cannot_be_asked() {
    let names = Resolver::new();
    let good = target("http://192.0.2.1/");
    let rows = [
        (HttpTarget { url: "nowhere".into(), ..good.clone() }, "nowhere: relative URL without a base"),
        (HttpTarget { method: "GET /".into(), ..good.clone() }, "`GET /` is not an HTTP method"),
        (
            HttpTarget { headers: vec![("a b".into(), "c".into())], ..good.clone() },
            "`a b: c` is not an HTTP header",
        ),
    ];
    for (target, why) in rows {
        assert_eq!(Http::new(&target, &names).unwrap_err().to_string(), why);
    }
    assert!(Http::new(&good, &names).is_ok());
}

#[tokio::test(flavor = "current_thread")]
async fn haproxy_wants_a_living_process_and_servers() {
    let info = "Name: HAProxy\nPid: 17\nStopping: 0\n\n";
    let stat = "# pxname,svname,status\napp,a,UP\napp,b,DOWN\napp,BACKEND,UP\n\n";
    type Row = (&'static str, Option<(&'static str, u32)>, Result<(), &'static str>);
    let rows: [Row; 6] = [
        (info, None, Ok(())),
        (info, Some(("app", 1)), Ok(())),
        (info, Some(("app", 2)), Err("1 of 2 servers of `app` are up")),
        (info, Some(("web", 1)), Err("there is no backend `web`")),
        ("Name: HAProxy\nPid: 17\nStopping: 1\n\n", None, Err("it is stopping")),
        ("220 mail\n", None, Err("not an answer of HAProxy")),
    ];
    for (info, backend, expected) in rows {
        let path = Path::new("haproxy");
        let listener = UnixListener::bind(&path.0).unwrap();
        let (info, stat) = (info.to_owned(), stat.to_owned());
        let asked = if backend.is_some() { 2 } else { 1 };
        let server = thread::spawn(move || {
            for _ in 0..asked {
                let (mut stream, _) = listener.accept().unwrap();
                let mut command = [0; 64];
                let length = stream.read(&mut command).unwrap();
                let answer = if command[..length] == *b"show info\n" { &info } else { &stat };
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let backend = backend.map(|(name, count)| (Arc::from(name), count));
        let target = HaproxyTarget { socket: path.0.clone(), backend };
        let outcome = timeout(LIMIT, haproxy(&target)).await.unwrap();
        match expected {
            Ok(()) => assert_eq!(outcome, Ok(())),
            Err(why) => assert!(outcome.unwrap_err().to_string().ends_with(why), "{why}"),
        }
        server.join().unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn ping_wants_an_answer() {
    let ping = |host: &str| Ping::new(host.parse().unwrap(), Resolver::new(), TrackId(77));
    let answer = timeout(LIMIT, ping("127.0.0.1").attempt(1)).await.unwrap();
    if !nix::unistd::geteuid().is_root()
        && let Err(failure) = &answer
        && failure.to_string().contains("CAP_NET_RAW, or a group of net.ipv4.ping_group_range")
    {
        // The kernel's default gives ordinary users no ICMP socket; the failure says so.
        return;
    }
    assert_eq!(answer, Ok(()));
    assert_eq!(timeout(LIMIT, ping("::1").attempt(2)).await.unwrap(), Ok(()));
    assert_eq!(timeout(LIMIT, ping("localhost").attempt(4)).await.unwrap(), Ok(()));
    assert!(timeout(LIMIT, ping("255.255.255.255").attempt(3)).await.unwrap().is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn names_come_from_the_hosts_file_too() {
    let found = Resolver::new().addresses(&Host::Name("localhost".into())).await.unwrap();
    assert!(found.contains(&Ipv4Addr::LOCALHOST.into()), "{found:?}");
}

#[test]
fn failures_are_short_and_harmless() {
    assert_eq!(Failure::new("a\u{1b}[2J\nb").to_string(), "a\\u{1b}[2J\\nb");
    let long = Failure::new("ä".repeat(500)).to_string();
    assert!(long.len() <= LONGEST + '…'.len_utf8() && long.ends_with("ä…"), "{long}");
}

fn target(url: &str) -> HttpTarget {
    HttpTarget {
        url: url.into(),
        method: "POST".into(),
        headers: vec![("X-Probe".into(), "yes".into())],
        status: 200..=399,
        body: None,
        verify_tls: true,
    }
}

/// The URL of a server for one request, and the request it received.
fn answer_once(answer: String) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        // The client may close early.
        let _ = stream.write_all(answer.as_bytes());
        String::from_utf8(request).unwrap()
    });
    (url, server)
}

/// A path for a socket.
struct Path(PathBuf);

impl Path {
    fn new(name: &str) -> Self {
        let id = format!("vrrpx-attempt-{}-{:?}-{name}", std::process::id(), thread::current().id());
        Self(std::env::temp_dir().join(id))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
