//! Changes of an instance's rules while the program judges by them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vrrp_ebpf::map::{Counter, InstanceRules};
use vrrp_ebpf::wire::{Family, Reject};
use vrrp_tests::packet::{V2_PASS, advert};
use vrrp_tests::{FIRST, needs};

use crate::stand::{on_each_entry, slot};

/// Runs of the program by one system call, and such calls.
const REPEAT: u32 = 20_000;
const CALLS: usize = 40;

/// An advert is judged by the old rules or by the new ones. By half of each it would be refused for a password that
/// neither of them has.
#[test]
#[needs("root")]
fn an_advert_is_judged_by_one_set_of_rules() {
    let ours = slot(V2_PASS);
    // Without the authentication data, which the version makes unused.
    let other = InstanceRules { version: 3, auth_data: [0; 8], ..ours };
    on_each_entry(&ours, Family::V4, 0, |stand| {
        let (maps, has_ended) = (stand.program.maps(), AtomicBool::new(false));
        let frame = advert(V2_PASS, 20).build();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !has_ended.load(Ordering::Relaxed) {
                    maps.set_slot(FIRST, &other);
                    maps.set_slot(FIRST, &ours);
                }
            });
            for _ in 0..CALLS {
                stand.program.run(stand.entry, &frame, REPEAT).unwrap();
            }
            has_ended.store(true, Ordering::Relaxed);
        });
        let counters = maps.counters(Some(FIRST));
        let valid = [Counter::Event, Counter::RingFull, Counter::OverBudget];
        let valid: u64 = valid.map(|counter| counters.counter(counter)).iter().sum();
        assert!(valid > 0 && counters.reject(Reject::VersionMismatch) > 0, "both were in force");
        let refused: Vec<_> = Reject::ALL.into_iter().filter(|reject| counters.reject(*reject) > 0).collect();
        assert_eq!(refused, [Reject::VersionMismatch], "{:?}", stand.entry);
    });
}
