//! An engine that pauses for another daemon, which then does not replace it.

use tokio::sync::oneshot;
use vrrp_tests::needs;
use vrrp_user::daemon::hot_restart::Leases;
use vrrp_user::daemon::queue::Input;
use vrrp_user::protocol::{Event, InstanceId, State};

use crate::allocation::Node;
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
