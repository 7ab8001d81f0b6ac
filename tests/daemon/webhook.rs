//! Webhooks to working and failing servers, on the loopback.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use vrrp_tests::webhook::{Manner, Receiver, certificate};
use vrrp_tests::{FIRST, SECOND};
use vrrp_user::config::{Config, NotifySettings, Template, WebhookSettings, WebhookUrl};
use vrrp_user::daemon::history::{History, Posts};
use vrrp_user::daemon::notify::{Notifier, STOP_LIMIT};
use vrrp_user::driver::clock;
use vrrp_user::protocol::{GroupId, Reason, State, Transition};

use crate::setup::{Folder, backup, config, eventually, group, instance, moved};

fn receiver(manner: Manner) -> Receiver {
    Receiver::new(TcpListener::bind("127.0.0.1:0").unwrap(), manner).unwrap()
}

fn settings(url: &str) -> WebhookSettings {
    WebhookSettings {
        url: WebhookUrl::parse(url).unwrap(),
        template: Template::Generic,
        headers: vec![],
        retries: 3,
        patience: Duration::from_secs(5),
        verify_tls: true,
        rejections: false,
    }
}

/// Two instances in a group; all of them post to `webhook`.
fn notifier_of(webhook: WebhookSettings) -> (Notifier, Arc<History>) {
    let notify = NotifySettings { webhooks: vec![webhook], ..NotifySettings::default() };
    let instances = vec![instance("a", 51, notify.clone()), instance("b", 52, notify.clone())];
    let config =
        Config { groups: vec![group("both", vec![FIRST, SECOND], notify)], ..config(instances, vec![]) };
    let history = Arc::new(History::new(2));
    (Notifier::new(&config, &"node1".into(), &history), history)
}

fn to(state: State, epoch: u64) -> Transition {
    Transition { to: state, from: State::Backup, reason: Reason::MasterSilent, ..backup(clock::now(), epoch) }
}

/// Record of the only webhook.
fn posts(history: &History) -> Posts {
    history.read().webhooks.values().next().cloned().unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn each_change_is_posted_in_order_with_all_that_is_known() {
    let receiver = receiver(Manner::Takes);
    let headers = vec![("x-token".parse().unwrap(), "abc".parse().unwrap())];
    let (mut notifier, history) =
        notifier_of(WebhookSettings { headers, ..settings(&receiver.url("a?b=c")) });
    notifier.transition(FIRST, &backup(clock::now(), 7));
    eventually("the first post is accepted", || receiver.posted().len() == 1).await;
    notifier.transition(FIRST, &to(State::Master, 8));
    notifier.group_transition(GroupId(0), &moved(State::Fault, clock::now(), 3));
    eventually("all posts are accepted", || posts(&history).sent == 3).await;
    let posted = receiver.posted();
    assert_eq!(posted[0].request, "POST /a?b=c HTTP/1.1");
    for line in ["content-type: application/json", "x-token: abc"] {
        assert!(posted[0].head.iter().any(|it| it.eq_ignore_ascii_case(line)), "{:?}", posted[0].head);
    }
    let mut first = posted[0].body.clone();
    assert!(first["time"].take().as_str().unwrap().ends_with('Z'));
    let expected = json!({
        "event": "transition", "time": null, "router_id": "node1", "kind": "instance", "name": "a",
        "state": "BACKUP", "previous": "MASTER", "reason": "higher_priority", "priority": 100, "epoch": 7,
        "peer": "10.0.0.2", "detail": null, "interface": "eth0", "vrid": 51, "addresses": ["192.0.2.51/24"],
        "skipped": 0,
        "text": "node1: a is BACKUP, was MASTER (higher_priority, peer 10.0.0.2)",
    });
    assert_eq!(first, expected);
    assert_eq!(receiver.reported("name"), ["a", "a", "both"]);
    assert_eq!(posted[2].body["text"], "node1: group both is FAULT, was BACKUP (link_down)");
    let Posts { waiting: 0, failed: 0, refusals: 0, status: Some(200), .. } = posts(&history) else {
        panic!("{:?}", posts(&history));
    };
}

#[tokio::test(flavor = "current_thread")]
async fn a_failing_webhook_gets_all_posts_in_order_in_the_end() {
    let receiver = receiver(Manner::BusyFor(2));
    let (mut notifier, history) = notifier_of(settings(&receiver.url("")));
    notifier.transition(FIRST, &to(State::Backup, 1));
    notifier.transition(SECOND, &to(State::Backup, 1));
    eventually("both posts are accepted", || posts(&history).sent == 2).await;
    let names: Vec<(Value, u16)> =
        receiver.posted().into_iter().map(|it| (it.body["name"].clone(), it.status)).collect();
    assert_eq!(
        names,
        [("a", 503), ("a", 503), ("a", 200), ("b", 200)].map(|(name, status)| (json!(name), status))
    );
    let posts = posts(&history);
    assert_eq!((posts.refusals, posts.failed, posts.waiting), (2, 0, 0));
    assert_eq!(posts.failure.unwrap().1, "503 Service Unavailable");
}

#[tokio::test(flavor = "current_thread")]
async fn without_answers_only_the_latest_post_of_each_waits() {
    let receiver = receiver(Manner::Says(503));
    let (mut notifier, history) = notifier_of(settings(&receiver.url("")));
    notifier.transition(FIRST, &to(State::Backup, 1));
    eventually("an attempt is refused", || posts(&history).refusals == 1).await;
    for epoch in 2..=20 {
        notifier.transition(FIRST, &to(if epoch % 2 == 0 { State::Master } else { State::Fault }, epoch));
        notifier.transition(SECOND, &to(State::Master, epoch));
    }
    assert_eq!(posts(&history).waiting, 2);
    receiver.becomes(Manner::Takes);
    eventually("both posts are accepted", || posts(&history).sent == 2).await;
    assert_eq!(receiver.reported("state"), ["MASTER", "MASTER"]);
    assert_eq!(
        (receiver.reported("epoch"), receiver.reported("skipped")),
        (vec![json!(20); 2], vec![json!(19), json!(18)])
    );
    assert_eq!((posts(&history).superseded, posts(&history).waiting), (37, 0));
}

#[tokio::test(flavor = "current_thread")]
async fn permanent_refusals_are_not_retried_and_the_next_post_is_sent() {
    let receiver = receiver(Manner::Says(404));
    let (mut notifier, history) = notifier_of(settings(&receiver.url("")));
    notifier.transition(FIRST, &to(State::Master, 1));
    eventually("the post is given up", || posts(&history).failed == 1).await;
    assert_eq!((receiver.clients(), posts(&history).status), (1, Some(404)));
    receiver.becomes(Manner::Says(302));
    notifier.transition(FIRST, &to(State::Backup, 2));
    eventually("no redirect is followed", || posts(&history).failed == 2).await;
    receiver.becomes(Manner::Takes);
    notifier.transition(FIRST, &to(State::Fault, 3));
    eventually("the next post is accepted", || posts(&history).sent == 1).await;
}

#[tokio::test(flavor = "current_thread")]
async fn refused_connections_are_retried_as_often_as_configured() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut notifier, history) =
        notifier_of(WebhookSettings { retries: 1, ..settings(&format!("http://{closed}/SECRET")) });
    notifier.transition(FIRST, &to(State::Master, 1));
    eventually("the post is given up", || posts(&history).failed == 1).await;
    let Posts { refusals: 2, waiting: 0, status: None, failure: Some((_, why)), .. } = posts(&history) else {
        panic!("{:?}", posts(&history));
    };
    assert!(why.contains("refused") && !why.contains("SECRET"), "{why}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_hanging_webhook_delays_neither_others_nor_the_end() {
    let (hangs, takes) = (receiver(Manner::Hangs), receiver(Manner::Takes));
    let webhooks = [&hangs, &takes].map(|it| settings(&it.url("")));
    let notify = NotifySettings { webhooks: webhooks.to_vec(), ..NotifySettings::default() };
    let history = Arc::new(History::new(1));
    let config = config(vec![instance("a", 51, notify)], vec![]);
    let mut notifier = Notifier::new(&config, &"node1".into(), &history);
    notifier.transition(FIRST, &to(State::Master, 1));
    eventually("the other webhook has its post", || takes.reported("state") == ["MASTER"]).await;
    assert_eq!(hangs.clients(), 1);
    let stop = timeout(STOP_LIMIT + Duration::from_millis(300), notifier.stop()).await;
    assert!(stop.is_ok(), "the end waits for the hanging webhook");
    assert_eq!(takes.reported("state"), ["MASTER", "STOP"]);
}

#[tokio::test(flavor = "current_thread")]
async fn waiting_posts_are_tried_once_more_at_the_end() {
    let receiver = receiver(Manner::Says(503));
    let (mut notifier, history) = notifier_of(WebhookSettings { retries: 20, ..settings(&receiver.url("")) });
    notifier.transition(FIRST, &to(State::Master, 1));
    eventually("three attempts are refused", || posts(&history).refusals == 3).await;
    receiver.becomes(Manner::Takes);
    notifier.stop().await;
    let names = [receiver.reported("name"), receiver.reported("state"), receiver.reported("skipped")];
    assert_eq!(
        names,
        [json!(["a", "b", "both"]), json!(["STOP", "STOP", "STOP"]), json!([1, 0, 0])].map(list)
    );
}

fn list(value: Value) -> Vec<Value> {
    value.as_array().cloned().unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn a_reload_keeps_unchanged_webhooks_and_posts_what_waits_for_others() {
    let (old, new) = (receiver(Manner::Says(503)), receiver(Manner::Takes));
    let with = |webhook: WebhookSettings| {
        let notify = NotifySettings { webhooks: vec![webhook], ..NotifySettings::default() };
        config(vec![instance("a", 51, notify)], vec![])
    };
    let (before, after) = (with(settings(&old.url("old"))), with(settings(&new.url("new"))));
    let history = Arc::new(History::new(1));
    let mut notifier = Notifier::new(&before, &"node1".into(), &history);
    notifier.transition(FIRST, &to(State::Backup, 1));
    eventually("an attempt is refused", || posts(&history).refusals == 1).await;
    notifier.settle(&before);
    assert_eq!(posts(&history).refusals, 1, "the unchanged webhook continues");
    old.becomes(Manner::Takes);
    notifier.settle(&after);
    notifier.transition(FIRST, &to(State::Master, 2));
    eventually("both posts are accepted", || {
        old.reported("state") == ["BACKUP"] && new.reported("state") == ["MASTER"]
    })
    .await;
    // The post is counted when the answer has arrived.
    eventually("only the new webhook has posts", || {
        (posts(&history).sent, history.read().webhooks.len()) == (1, 1)
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_untrusted_certificate_is_refused_by_default() {
    let folder = Folder::new();
    let pair = certificate(folder.path(), "IP:127.0.0.1").unwrap();
    let receiver =
        Receiver::with_tls(TcpListener::bind("127.0.0.1:0").unwrap(), Manner::Takes, &pair).unwrap();
    let (mut notifier, history) = notifier_of(WebhookSettings { retries: 0, ..settings(&receiver.url("")) });
    notifier.transition(FIRST, &to(State::Master, 1));
    eventually("the post is given up", || posts(&history).failed == 1).await;
    let why = posts(&history).failure.unwrap().1;
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(receiver.posted(), []);
    let (mut notifier, history) =
        notifier_of(WebhookSettings { verify_tls: false, ..settings(&receiver.url("")) });
    notifier.transition(FIRST, &to(State::Master, 1));
    eventually("the post is accepted", || posts(&history).sent == 1).await;
}
