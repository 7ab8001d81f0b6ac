//! Instances with the same place in the table of shortcuts.

use vrrp_ebpf::map::{Counter, InstanceKey};
use vrrp_ebpf::wire::Family;
use vrrp_tests::packet::{V3_IPV4, advert};
use vrrp_tests::{FIRST, SECOND, needs};
use vrrp_user::driver::xdp::Entry;
use vrrp_user::protocol::InstanceId;

use crate::stand::{LOOPBACK, Outcome, Stand, slot};

const EVENT: Outcome = Outcome::Passed(Counter::Event);
const UNKNOWN: Outcome = Outcome::Passed(Counter::UnknownVrid);

/// Two keys with the same place, by VLAN and VRID.
fn pair() -> [InstanceKey; 2] {
    let first = InstanceKey::new(LOOPBACK, 1, Family::V4, 1);
    let keys = (1..4095)
        .flat_map(|vlan| (1..=255).map(move |vrid| InstanceKey::new(LOOPBACK, vlan, Family::V4, vrid)));
    let second = keys.skip(1).find(|key| key.shortcut() == first.shortcut()).unwrap();
    [first, second]
}

#[test]
#[needs("root")]
fn a_shared_place_serves_both() {
    for entry in Entry::ALL {
        let mut stand = Stand::new(entry, 2);
        let keys = pair();
        let frame = |key: InstanceKey| advert(V3_IPV4, 1).byte(1, key.vrid).vlan(key.vlan);
        let adverts = |stand: &Stand, index| stand.program.maps().peer(index, 0).unwrap().adverts;
        for (index, key) in InstanceId::all().zip(keys) {
            assert_eq!(stand.run(&frame(key)), UNKNOWN);
            stand.insert(index, &slot(V3_IPV4), key);
        }
        for (index, key) in InstanceId::all().zip(keys) {
            assert_eq!(stand.run(&frame(key)), EVENT);
            assert_eq!(adverts(&stand, index), 1, "each in its own slot");
        }
        stand.program.remove(keys[0]).unwrap();
        assert_eq!(stand.run(&frame(keys[0])), UNKNOWN);
        assert_eq!(stand.run(&frame(keys[1])), EVENT);
        // Back in the other's slot: the place must not lead to the old one.
        stand.program.remove(keys[1]).unwrap();
        stand.insert(SECOND, &slot(V3_IPV4), keys[0]);
        assert_eq!(stand.run(&frame(keys[0])), EVENT);
        assert_eq!((adverts(&stand, FIRST), adverts(&stand, SECOND)), (1, 3));
    }
}
