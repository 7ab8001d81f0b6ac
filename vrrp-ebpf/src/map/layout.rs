//! Offsets of all fields of the maps: program and daemon are compiled separately and must agree. A change here needs a
//! new [`super::LAYOUT_VERSION`].

use core::mem::{align_of, offset_of, size_of};

use super::*;
use crate::wire::Family;

#[test]
fn keys() {
    let key = InstanceKey::new(0x0403_0201, 0x0605, Family::V6, 51);
    assert_eq!((key.family, key.vrid), (6, 51));
    assert_eq!(
        (offset_of!(InstanceKey, vlan), offset_of!(InstanceKey, family), offset_of!(InstanceKey, vrid)),
        (4, 6, 7)
    );
    assert_eq!((offset_of!(LeaseKey, family), offset_of!(LeaseKey, address)), (4, 8));
    assert_eq!((offset_of!(LocalKey, kind), offset_of!(LocalKey, address)), (4, 8));
    assert_eq!((offset_of!(AllowedPeerKey, source), offset_of!(AllowedPeer, max_ttl)), (4, 1));
}

#[test]
fn slot() {
    assert_eq!((offset_of!(InstanceRules, auth_data), offset_of!(InstanceRules, group)), (16, 24));
    assert_eq!((offset_of!(InstanceRules, version), offset_of!(InstanceRules, auth_type)), (40, 41));
    assert_eq!((offset_of!(InstanceRules, unicast), offset_of!(InstanceRules, trailer)), (42, 43));
    assert_eq!((offset_of!(InstanceRules, other_version), offset_of!(InstanceRules, priority)), (44, 45));
    assert_eq!((offset_of!(InstanceRules, no_addresses), offset_of!(InstanceRules, reserved)), (46, 47));
    assert_eq!((offset_of!(RulesPair, generation), offset_of!(RulesPair, copies)), (0, 8));
    assert_eq!(offset_of!(Budget, spent), 8);
}

#[test]
fn lease() {
    assert_eq!((offset_of!(Lease, until), offset_of!(Lease, challenged)), (0, 8));
    assert_eq!((offset_of!(Lease, judged), offset_of!(Lease, heed)), (16, 24));
}

/// The program compares and copies payloads by whole words.
#[test]
fn payloads_are_aligned() {
    assert_eq!((align_of::<WatchedMessage>(), size_of::<WatchedMessage>() % 8), (8, 0));
    assert_eq!((offset_of!(Event, payload) % 8, align_of::<Event>(), size_of::<Event>() % 8), (0, 8, 0));
    assert_eq!(
        (offset_of!(Watch, last_seen), offset_of!(Watch, hits), offset_of!(Watch, source)),
        (0, 8, 16)
    );
    assert_eq!((offset_of!(Watch, armed), offset_of!(Watch, peer), offset_of!(Watch, missed)), (32, 40, 48));
    assert_eq!(
        (offset_of!(EventHead, stamp), offset_of!(EventHead, source), offset_of!(EventHead, slot)),
        (0, 8, 24)
    );
}

/// The last field ends at the end of the type, so that no byte is padding.
#[test]
fn nothing_is_hidden() {
    assert_eq!(offset_of!(Peer, ended) + 1, size_of::<Peer>());
    assert_eq!(size_of::<Gaps>(), 4 * GAP_BUCKETS);
    assert_eq!((offset_of!(Peer, patience), offset_of!(Peer, source)), (48, 56));
    assert_eq!((offset_of!(UnknownRouter, source), offset_of!(UnknownRouter, version)), (16, 32));
    assert_eq!((offset_of!(UnknownRouter, count), offset_of!(UnknownRouter, addresses)), (33, 40));
    assert_eq!((offset_of!(Rejected, adverts), offset_of!(Rejected, source)), (8, 16));
    assert_eq!((offset_of!(Rejected, previous_seen), offset_of!(Rejected, previous)), (32, 40));
    assert_eq!((offset_of!(Peer, interval), offset_of!(Peer, proof), offset_of!(Peer, ended)), (72, 78, 79));
    assert_eq!(
        (offset_of!(Watch, missed) + 16, size_of::<WatchedMessage>()),
        (size_of::<Watch>(), PAYLOAD_MAX)
    );
    assert_eq!(offset_of!(Event, payload) + PAYLOAD_MAX, size_of::<Event>());
    assert_eq!(offset_of!(EventHead, reserved) + 3, size_of::<EventHead>());
}
