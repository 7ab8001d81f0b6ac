//! Receive paths of an engine that does not run for a while.

use super::*;
use crate::config::parse;

const FILE: &str = "\
    vrrp_instance A {\ninterface lo\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1/32\n}\n}\n";

/// Index of the loopback interface in every namespace.
const LOOPBACK: u32 = 1;

#[test]
fn a_full_queue_loses_no_change_of_a_receive_path() {
    let config = parse("t", FILE).unwrap().config;
    let instances = config.instances.iter().map(|it| (it.id, Arc::clone(&it.settings))).collect();
    let (maps, live) = (Arc::new(Maps::anonymous(1).unwrap()), Arc::new(LiveState::new(1)));
    let (history, inputs) = (Arc::new(History::new(1)), Queue::new(1).unwrap());
    let program = Err("none".to_owned());
    let mut attachments =
        Attachments::new(instances, program, XdpMode::Socket, maps, live, history, inputs.clone());
    assert!(inputs.push(Input::GoOn));
    let id = config.instances[0].id;
    attachments.set_interface(id, Some(LOOPBACK));
    attachments.set_interface(id, None);
    assert!(!attachments.flush(), "the queue is full");
    let mut words = Vec::new();
    while let Some(input) = inputs.pop() {
        words.push(format!("{input:?}"));
        attachments.flush();
    }
    // A socket that was opened meanwhile is closed again, whether or not it could be opened.
    let attachment = format!("Attachment {{ ifindex: {LOOPBACK}, attachment: None }}");
    assert_eq!(words, ["GoOn".to_owned(), attachment, format!("Unlisten({LOOPBACK})")]);
    assert!(attachments.flush());
}
