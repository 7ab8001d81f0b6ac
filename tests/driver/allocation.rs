//! Absence of allocations in the engine's turn: an allocation can wait for a lock, or for the kernel.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use vrrp_user::driver::clock;
use vrrp_user::driver::socket::{AdvertSender, Listener, Outgoing};
use vrrp_user::driver::wait::{TIMER, Wait};
use vrrp_user::protocol::{InstanceId, Priority};

use crate::cable::{Cable, ifindex, settings};
use vrrp_tests::needs;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: passes all calls to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Number of allocations of the calling thread during `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
#[needs("root", "ip")]
fn a_turn_allocates_nothing_once_it_is_warm() {
    assert_ne!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 0);
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    let mut listener = cable.right.enter(|| Ok(Listener::open(ifindex()?)?)).unwrap();
    let send = || {
        let v4 = Outgoing::new(&settings(&["192.0.2.100"]), ifindex()?, [192, 0, 2, 1].into())?;
        let v6 = Outgoing::new(&settings(&["fe80::100"]), ifindex()?, "fe80::ff:fe00:1".parse()?)?;
        let mut sender = AdvertSender::new()?;
        let mut wait = Wait::new()?;
        let mut turn = || {
            for number in 0..50 {
                sender.queue(&v4, InstanceId(number), Priority(100));
                sender.queue(&v6, InstanceId(number), Priority::RELEASE);
            }
            assert_eq!(sender.flush(|_, _| {}), 100);
            wait.arm(Some(clock::now() + Duration::from_micros(100))).unwrap();
            assert!(wait.wait().unwrap().eq([TIMER]));
        };
        turn();
        Ok(allocations(|| (0..3).for_each(|_| turn())))
    };
    assert_eq!(cable.left.enter(send).unwrap(), 0);
    let mut heard = 0;
    let hear = || heard = listener.drain(1000, |frame, _| assert!(frame.len() >= 46)).unwrap();
    assert_eq!(allocations(hear), 0);
    assert_eq!(heard, 400);
}
