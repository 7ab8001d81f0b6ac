//! An engine that pauses for another daemon, which then does not replace it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use vrrp_tests::needs;
use vrrp_user::config::InstanceSettings;
use vrrp_user::daemon::hot_restart::Leases;
use vrrp_user::daemon::queue::Input;
use vrrp_user::protocol::auth::{AntiReplay, HmacMode, HmacSettings, Key};
use vrrp_user::protocol::{Auth, Event, InstanceId, State};

use crate::allocation::{Node, pair};
use crate::cable::Cable;

#[test]
#[needs("root", "ip")]
fn inputs_kept_during_a_pause_come_before_later_ones() {
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    let sources = [[192, 0, 2, 1].into(), "fe80::ff:fe00:1".parse().unwrap()];
    let mut node = Node::new(&cable.left, 100, sources, false);
    node.engine.step().unwrap();
    assert_eq!(node.states(), [State::Backup; 2]);
    let (answer, mut reported) = oneshot::channel();
    node.inputs.push(Input::Pause(Leases::new(Vec::new()).unwrap(), answer));
    let link = |up| Input::Event(Event::Link(InstanceId(0), up));
    [link(false), Input::GoOn, link(true)].into_iter().for_each(|input| assert!(node.inputs.push(input)));
    node.engine.step().unwrap();
    assert!(reported.try_recv().unwrap().is_some(), "the engine has not paused");
    assert_eq!(node.states(), [State::Backup; 2], "the link is up");
}

/// Its peers may have heard the other one, whose sequences are ahead.
#[test]
#[needs("root", "ip")]
fn adverts_after_a_pause_have_later_sequences_than_those_of_the_other_daemon() {
    const SECOND: u64 = 1 << 32;
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    let sources = [[192, 0, 2, 1].into(), "fe80::ff:fe00:1".parse().unwrap()];
    let hmac = HmacSettings {
        keys: vec![Key::new(1, &[1; 32]).unwrap()],
        active: 1,
        window: Duration::from_secs(5),
        anti_replay: AntiReplay::Monotonic,
        mode: HmacMode::Enforce,
    };
    let auth = Auth::Hmac(Arc::new(hmac));
    let signed =
        |it: Arc<InstanceSettings>| Arc::new(InstanceSettings { auth: auth.clone(), ..(*it).clone() });
    let instances = pair(255).into_iter().map(signed).collect();
    let mut node = Node::of(&cable.left, instances, sources, false);
    let steps = |node: &mut Node| (0..20).for_each(|_| node.engine.step().unwrap());
    steps(&mut node);
    assert_eq!(node.states(), [State::Master; 2]);
    let sent = |node: &Node| node.live.ledgers[0].get().unwrap().sent().unwrap().0;
    let before = sent(&node);
    // One that was starved listens, and does not pause meanwhile.
    let paused = (0..100).any(|_| {
        let (answer, mut reported) = oneshot::channel();
        node.inputs.push(Input::Pause(Leases::new(Vec::new()).unwrap(), answer));
        node.engine.step().unwrap();
        reported.try_recv().is_ok_and(|snapshot| snapshot.is_some())
    });
    assert!(paused, "the engine has not paused");
    node.inputs.push(Input::GoOn);
    steps(&mut node);
    let ahead = sent(&node) - before;
    assert!(ahead >= 2 * SECOND, "{ahead:#x}");
}
