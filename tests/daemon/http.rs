//! The HTTP listener: what it serves, and its limits on clients.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use vrrp_tests::clock::task::{pace, until};
use vrrp_user::config::NotifySettings;
use vrrp_user::daemon::events::EventKind;
use vrrp_user::daemon::http::Http;
use vrrp_user::daemon::process::heartbeat::Heartbeat;
use vrrp_user::daemon::queue::Queue;
use vrrp_user::daemon::status::DaemonContext;
use vrrp_user::daemon::steering::{Order, Steered};
use vrrp_user::driver::clock;
use vrrp_user::protocol::{InstanceId, Reason, State, Transition};

use crate::setup::{PATIENCE, backup, config, context, filled, instance};

/// A listener that ends with the test.
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) struct Answer {
    code: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Server {
    pub(crate) async fn of(context: Arc<DaemonContext>) -> Self {
        let http = Http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = http.address().unwrap();
        let heartbeat = Heartbeat::new(Queue::new(1).unwrap());
        let task = tokio::spawn(async move { match http.serve(context, heartbeat).await {} });
        Self { address, task }
    }

    async fn ask(&self, method: &str, path: &str, fields: &str) -> Answer {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        let body = answer.split_off(end + 4);
        let head = String::from_utf8(answer).unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { code, head: head.to_ascii_lowercase(), body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// A follower of events; the lines of the body.
    async fn follow(&self, fields: &str) -> BufReader<TcpStream> {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        BufReader::new(client)
    }
}

/// The next line of a stream that is not the frame of a chunk, nor empty.
async fn next(stream: &mut BufReader<TcpStream>) -> String {
    loop {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_line(&mut line));
        assert!(read.await.expect("a line in time").unwrap() > 0, "the stream ended");
        let line = line.trim_end();
        let is_size = u32::from_str_radix(line, 16).is_ok();
        if !line.is_empty() && !is_size {
            return line.to_owned();
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_scrape_in_both_formats_and_an_address_in_use() {
    let server = Server::of(filled()).await;
    let error = Http::bind(server.address).await.unwrap_err().to_string();
    assert_eq!(error, format!("--metrics {}: Address already in use (os error 98)", server.address));
    let open = "Accept: application/openmetrics-text; version=1.0.0\r\n";
    let answer = server.ask("GET", "/metrics", open).await;
    assert_eq!(answer.code, 200);
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.head.contains(kind), "{}", answer.head);
    assert!(answer.text().ends_with("# EOF\n"));
    for path in ["/metrics", "/metrics/keepalived"] {
        let answer = server.get(path).await;
        assert!(answer.head.contains("text/plain; version=0.0.4; charset=utf-8"), "{}", answer.head);
        assert!(answer.text().starts_with("# HELP ") && !answer.text().contains("# EOF"));
    }
    assert!(server.get("/metrics/keepalived").await.text().contains("\nkeepalived_up 1.0\n"));
    assert_eq!(server.get("/nothing").await.code, 404);
}

#[tokio::test(flavor = "current_thread")]
async fn answers_are_compressed_for_those_who_ask_for_it() {
    let server = Server::of(filled()).await;
    let whole = server.get("/metrics/keepalived").await;
    assert!(!whole.head.contains("content-encoding"), "{}", whole.head);
    let answer = server.ask("GET", "/metrics/keepalived", "Accept-Encoding: gzip, deflate\r\n").await;
    assert!(answer.head.contains("content-encoding: gzip"), "{}", answer.head);
    assert!(answer.body.len() * 3 < whole.body.len(), "{} of {}", answer.body.len(), whole.body.len());
    let mut gzip = Command::new("gzip");
    let mut gzip = gzip.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(&answer.body).unwrap();
    let output = gzip.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout == whole.body);
}

#[tokio::test(flavor = "current_thread")]
async fn status_is_that_of_the_command() {
    let context = filled();
    let server = Server::of(Arc::clone(&context)).await;
    let answer = server.get("/api/v1/status").await;
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    let served: Value = serde_json::from_slice(&answer.body).unwrap();
    vrrp_tests::schema::validate(&served).unwrap();
    let status = serde_json::to_value(context.status()).unwrap();
    let keys = |it: &Value| it.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&served), keys(&status));
    for part in ["configuration", "engine", "groups", "checks"] {
        assert_eq!(served[part].get("state"), status[part].get("state"), "{part}");
    }
    assert_eq!(served["instances"][0]["name"], "VI_1");
    assert_eq!(served["instances"][0]["state"], "BACKUP");
}

/// As `vrrpx status NAME --json`; a name that is wrong gets an error for programs.
#[tokio::test(flavor = "current_thread")]
async fn status_of_one_instance() {
    let server = Server::of(filled()).await;
    for (path, names) in
        [("VI_1", vec!["VI_1"]), ("VI%20%222%22", vec!["VI \"2\""]), ("both", vec!["VI_1", "VI \"2\""])]
    {
        let answer = server.get(&format!("/api/v1/status/{path}")).await;
        assert_eq!(answer.code, 200, "{path}");
        let served: Value = serde_json::from_slice(&answer.body).unwrap();
        vrrp_tests::schema::validate(&served).unwrap();
        let of: Vec<&str> =
            served["instances"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(of, names, "{path}");
    }
    for (path, code, error) in [
        (
            "/api/v1/status/nothing",
            404,
            r#"nothing is neither an instance nor a sync group of the daemon; it has VI_1, "VI \"2\"", both"#,
        ),
        ("/api/v1/status/%ff", 400, "the name is not UTF-8"),
        ("/api/v1/status/", 404, "no such path; / names those that there are"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.code, code, "{path}");
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(said["error"], error, "{path}");
    }
    let many = (1..=250).map(|vrid| instance(&format!("net{vrid:03}"), vrid, NotifySettings::default()));
    let server = Server::of(context(config(many.collect(), vec![]))).await;
    let answer = server.get("/api/v1/status/web").await;
    let text = answer.text();
    assert!(text.contains("net001, ") && text.contains(" and 242 more") && text.len() < 300, "{text}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_schema_is_served_once_to_a_client_that_keeps_it() {
    let server = Server::of(filled()).await;
    let answer = server.get("/api/v1/schema.json").await;
    assert_eq!(answer.code, 200);
    assert!(answer.head.contains("content-type: application/schema+json\r\n"), "{}", answer.head);
    assert_eq!(answer.text(), include_str!("../../vrrp-user/dist/status.schema.json"));
    let tag =
        answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().replacen("w/", "W/", 1);
    for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = server.ask("GET", "/api/v1/schema.json", &format!("If-None-Match: {known}\r\n")).await;
        assert_eq!((again.code, again.body.len()), (304, 0), "{known}");
        assert!(again.head.contains("\r\netag: "), "{}", again.head);
    }
    let other = server.ask("GET", "/api/v1/schema.json", "If-None-Match: \"other\"\r\n").await;
    assert_eq!(other.code, 200);
}

/// HEAD has the fields of GET, and no body.
#[tokio::test(flavor = "current_thread")]
async fn head_is_get_without_a_body() {
    let server = Server::of(filled()).await;
    for path in
        ["/", "/metrics", "/api/v1/status", "/api/v1/status/VI_1", "/api/v1/schema.json", "/api/v1/nothing"]
    {
        let (get, head) = (server.get(path).await, server.ask("HEAD", path, "").await);
        assert_eq!((head.code, head.body.len()), (get.code, 0), "{path}");
        let field = |answer: &Answer, name: &str| {
            answer.head.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        assert_eq!(field(&head, "content-type: "), field(&get, "content-type: "), "{path}");
        assert!(field(&head, "content-length: ").is_some_and(|it| it != "0"), "{path}: {}", head.head);
    }
}

/// For load balancers: an instance or a sync group.
#[tokio::test(flavor = "current_thread")]
async fn is_master_answers_by_its_code() {
    let context = filled();
    let server = Server::of(Arc::clone(&context)).await;
    let answer = server.get("/is-master/VI_1").await;
    assert_eq!((answer.code, answer.text()), (503, "BACKUP\n"));
    assert_eq!(server.get("/is-master/both").await.code, 503);
    let quoted = server.get("/is-master/VI%20%222%22").await;
    assert_eq!((quoted.code, quoted.text()), (503, "INIT\n"));
    let unknown = server.get("/is-master/VI_9").await;
    let why = "VI_9 is neither an instance nor a sync group of the daemon; did you mean `VI_1`?\n";
    assert_eq!((unknown.code, unknown.text()), (404, why));
    let to = Transition { to: State::Master, ..backup(clock::now(), 4) };
    context.live.record(InstanceId(0), &to);
    let answer = server.get("/is-master/VI_1").await;
    assert_eq!((answer.code, answer.text()), (200, "MASTER\n"));
    let head = server.ask("HEAD", "/is-master/VI_1", "").await;
    assert_eq!((head.code, head.text()), (200, ""));
}

#[tokio::test(flavor = "current_thread")]
async fn ready_once_every_instance_has_left_init() {
    let context = filled();
    let server = Server::of(Arc::clone(&context)).await;
    let answer = server.get("/-/ready").await;
    assert_eq!((answer.code, answer.text()), (503, "in INIT: \"VI \\\"2\\\"\"\n"));
    let reason = Reason::Startup;
    let transition = Transition { from: State::Init, reason, ..backup(clock::now(), 1) };
    context.live.record(InstanceId(1), &transition);
    assert_eq!(server.get("/-/ready").await.code, 200);
}

#[tokio::test(flavor = "current_thread")]
async fn healthy_while_the_engine_turns() {
    let context = filled();
    let server = Server::of(Arc::clone(&context)).await;
    let answer = server.get("/-/healthy").await;
    assert_eq!((answer.code, answer.text()), (503, "the engine does not respond\n"));
    let engine = tokio::spawn(async move {
        loop {
            context.live.turns.fetch_add(1, Relaxed);
            pace(Duration::from_millis(5)).await;
        }
    });
    until("an answer with 200", PATIENCE, async || server.get("/-/healthy").await.code == 200).await;
    let answer = server.get("/-/healthy").await;
    assert_eq!((answer.code, answer.text()), (200, "the engine responds\n"));
    engine.abort();
}

#[tokio::test(flavor = "current_thread")]
async fn nothing_can_be_changed() {
    let server = Server::of(filled()).await;
    for path in [
        "/",
        "/metrics",
        "/api/v1/status",
        "/api/v1/status/VI_1",
        "/api/v1/schema.json",
        "/api/v1/events",
        "/-/healthy",
        "/-/ready",
        "/is-master/VI_1",
    ] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = server.ask(method, path, "Content-Length: 0\r\n").await;
            assert_eq!(answer.code, 405, "{method} {path}");
            assert!(answer.head.contains("\r\nallow: get, head\r\n"), "{}", answer.head);
            assert!(answer.text().contains("GET or HEAD"), "{path}: {}", answer.text());
        }
    }
    for path in ["/-/reload", "/-/quit", "/api/v1/reload"] {
        assert_eq!(server.ask("POST", path, "Content-Length: 0\r\n").await.code, 404, "{path}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn events_come_with_their_numbers_and_go_on_after_one() {
    let context = filled();
    let events = &context.history.events;
    let reported = |name: &str| events.push(EventKind::Abandoned { instance: name.to_owned() });
    reported("first");
    reported("second");
    let server = Server::of(Arc::clone(&context)).await;
    let mut stream = server.follow("").await;
    assert_eq!(next(&mut stream).await, "HTTP/1.1 200 OK");
    let mut line = next(&mut stream).await;
    while !line.starts_with("id: ") {
        line = next(&mut stream).await;
    }
    let number: u64 = line["id: ".len()..].parse().unwrap();
    let data = |line: &str| -> Value { serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap() };
    let event = data(&next(&mut stream).await);
    assert_eq!((event["seq"].as_u64(), &event["instance"]), (Some(number), &"first".into()));
    assert_eq!(next(&mut stream).await, format!("id: {}", number + 1));
    assert_eq!(data(&next(&mut stream).await)["instance"], "second");
    reported("third");
    assert_eq!(next(&mut stream).await, format!("id: {}", number + 2));
    assert_eq!(data(&next(&mut stream).await)["instance"], "third");

    let mut again = server.follow(&format!("Last-Event-ID: {}\r\n", number + 1)).await;
    let mut line = next(&mut again).await;
    while !line.starts_with("id: ") {
        line = next(&mut again).await;
    }
    assert_eq!(line, format!("id: {}", number + 2));
    // Of an earlier run: what was lost is unknown.
    let mut late = server.follow("Last-Event-ID: 5\r\n").await;
    let mut line = next(&mut late).await;
    while !line.starts_with("event: ") {
        line = next(&mut late).await;
    }
    assert_eq!(line, "event: gap");
    assert_eq!(data(&next(&mut late).await)["from"], 6);
    let refused = server.ask("GET", "/api/v1/events", "Last-Event-ID: latest\r\n").await;
    assert_eq!(refused.code, 400);
}

/// Followers have a number of places of their own, and a place is free once its follower has gone.
#[tokio::test(flavor = "current_thread")]
async fn followers_are_limited() {
    let context = filled();
    let server = Server::of(Arc::clone(&context)).await;
    let mut followers = Vec::new();
    for _ in 0..16 {
        let mut follower = server.follow("").await;
        assert_eq!(next(&mut follower).await, "HTTP/1.1 200 OK");
        followers.push(follower);
    }
    let refused = server.get("/api/v1/events").await;
    assert_eq!((refused.code, refused.text()), (503, "{\"error\":\"16 clients follow already\"}\n"));
    assert_eq!(server.get("/metrics").await.code, 200);
    followers.pop();
    // The server finds out when it writes, at the latest.
    until("a free place", PATIENCE, async || {
        context.history.events.push(EventKind::Priority { instance: "VI_1".to_owned(), priority: 7 });
        let mut follower = server.follow("").await;
        next(&mut follower).await == "HTTP/1.1 200 OK"
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn idle_clients_give_way_and_are_cut_off_in_time() {
    let server = Server::of(filled()).await;
    let mut idle = Vec::new();
    for number in 0..400 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
        if number % 40 == 0 {
            assert_eq!(server.get("/metrics").await.code, 200);
        }
    }
    let began = clock::now();
    let mut ends = Vec::new();
    for mut client in idle {
        // An incomplete request no longer holds a place.
        let _ = client.write_all(b"GET /metrics HT").await;
        let mut rest = Vec::new();
        // A reset also counts as an end.
        let _ = client.read_to_end(&mut rest).await;
        ends.push(clock::now().since(began));
    }
    let soon = ends.iter().filter(|end| **end < Duration::from_secs(2)).count();
    // All except the 128 that are allowed.
    assert!((270..=400).contains(&soon), "{soon} of 400 were closed at once");
    let last = *ends.last().unwrap();
    assert!((3..10).contains(&last.as_secs()), "the last one is cut off after {last:?}");
}

/// Whole without a script, and nothing in it is taken for markup.
#[tokio::test(flavor = "current_thread")]
async fn the_page_shows_the_status() {
    let filled = filled();
    let order = Order { until: None, by: "root (uid 0)".to_owned(), reason: Some("a < b".to_owned()) };
    let steered = Steered { maintenance: Some(order), ..Steered::default() };
    filled.history.write().steerings.instances.insert("VI_1".to_owned(), steered);
    let mut peer = [0; 16];
    peer[..4].copy_from_slice(&[10, 0, 0, 2]);
    filled.maps.count_near_miss(InstanceId(0), peer);
    let server = Server::of(filled).await;
    let page = server.get("/").await;
    assert_eq!(page.code, 200);
    for field in ["content-type: text/html; charset=utf-8", "content-security-policy: default-src 'none'"] {
        assert!(page.head.contains(field), "{}", page.head);
    }
    let text = page.text();
    for part in [
        "<h1>node1</h1>",
        "<b>VI_1</b></td><td><span class=\"BACKUP\">BACKUP</span>",
        "<br><span class=\"soft\">maintenance until it is taken back, by root (uid 0): a &lt; b</span>",
        "VI &quot;2&quot;",
        "192.0.2.51/24 not here",
        "class=\"problem\"",
        "Peer 10.0.0.2</h3>",
        "<title>3 gaps &lt;",
        "on eth0, <span class=\"near\">1 near miss</span></summary>",
        "<p>192.0.2.51/24: not answered",
        "MASTER to <span class=\"BACKUP\">BACKUP</span>, higher_priority, 10.0.0.2",
        "<h2>Last 24 hours</h2>",
        "<b>VI &quot;2&quot;</b><div class=\"bar\" role=\"img\" aria-label=\"not known for ",
        ": BACKUP (higher_priority), master now 10.0.0.2\">BACKUP</i>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("VI \"2\"") && !text.contains("{main}"), "{text}");
    for path in [
        "/metrics",
        "/metrics/keepalived",
        "/api/v1/status",
        "/api/v1/schema.json",
        "/api/v1/events",
        "/-/healthy",
        "/-/ready",
    ] {
        assert!(text.contains(&format!("href=\"{path}\"")), "{path}");
    }
    let empty = Server::of(context(config(vec![], vec![]))).await;
    assert_eq!(empty.get("/").await.code, 200);
}
