//! Absence of allocations in the engine's turn: an allocation can wait for a lock, or for the kernel.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use vrrp_ebpf::map::InstanceRules;
use vrrp_tests::netns::Namespace;
use vrrp_user::config::InstanceSettings;
use vrrp_user::daemon::auth::Ledger;
use vrrp_user::daemon::engine::{Engine, EngineParts};
use vrrp_user::daemon::live::LiveState;
use vrrp_user::daemon::queue::{Input, Queue};
use vrrp_user::driver::clock;
use vrrp_user::driver::maps::Maps;
use vrrp_user::driver::socket::{AdvertSender, Listener, Outgoing};
use vrrp_user::driver::wait::{TIMER, Wait};
use vrrp_user::protocol::auth::GROUP_SENDERS;
use vrrp_user::protocol::{Event, InstanceId, Interval, Priority, State, Version};

use crate::cable::{Cable, ifindex, settings};
use vrrp_tests::{FIRST, SECOND, needs};

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

/// Two instances, one of each family, with adverts each 10 ms.
pub(crate) fn pair(priority: u8) -> Vec<Arc<InstanceSettings>> {
    let instance = |address: &str| InstanceSettings {
        priority: Priority(priority),
        advert_interval: Interval::new(Duration::from_millis(10), Version::V3).unwrap(),
        ..settings(&[address])
    };
    vec![instance("192.0.2.100").into(), instance("fe80::100").into()]
}

/// The engine of a daemon in this namespace, without program and effect thread.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    maps: Arc<Maps>,
    pub(crate) live: Arc<LiveState>,
    pub(crate) inputs: Queue<Input>,
}

impl Node {
    pub(crate) fn new(namespace: &Namespace, priority: u8, sources: [IpAddr; 2], hears: bool) -> Self {
        Self::of(namespace, pair(priority), sources, hears)
    }

    pub(crate) fn of(
        namespace: &Namespace,
        instances: Vec<Arc<InstanceSettings>>,
        sources: [IpAddr; 2],
        hears: bool,
    ) -> Self {
        Self::with_room(4096, namespace, instances, sources, hears)
    }

    /// The threads that read its commands and reports have queues with this room.
    fn with_room(
        room: usize,
        namespace: &Namespace,
        instances: Vec<Arc<InstanceSettings>>,
        sources: [IpAddr; 2],
        hears: bool,
    ) -> Self {
        let (maps, live) = (Arc::new(Maps::anonymous(2).unwrap()), Arc::new(LiveState::new(2)));
        for ledger in &live.ledgers {
            ledger.set(Arc::new(Ledger::new(GROUP_SENDERS))).unwrap();
        }
        let inputs = Queue::new(64).unwrap();
        let open = || {
            let parts = EngineParts {
                instances,
                groups: Vec::new(),
                maps: Arc::clone(&maps),
                live: Arc::clone(&live),
                ring: None,
                inputs: inputs.clone(),
                commands: Queue::new(room)?,
                reports: Queue::new(room)?,
            };
            let (ifindex, engine) = (ifindex()?, Engine::new(parts)?);
            if hears {
                let listener = Box::new(Listener::open(ifindex)?);
                inputs.push(Input::Listen { ifindex, listener });
            }
            Ok((ifindex, engine))
        };
        let (ifindex, engine) = namespace.enter(open).unwrap();
        for (id, source) in InstanceId::all().zip(sources) {
            maps.set_slot(id, &InstanceRules { version: 3, ..InstanceRules::UNUSED });
            inputs.push(Input::Interface { instance: id, ifindex: Some(ifindex) });
            inputs.push(Input::Event(Event::Link(id, true)));
            inputs.push(Input::Event(Event::Source(id, Some(source))));
        }
        inputs.push(Input::Event(Event::Startup));
        Self { engine, maps, live, inputs }
    }

    pub(crate) fn states(&self) -> Vec<State> {
        self.live.instances.iter().map(|it| it.state()).collect()
    }
}

#[test]
#[needs("root", "ip")]
fn a_turn_allocates_nothing_once_it_is_warm() {
    assert_ne!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 0);
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    cable.right.ip("addr add 192.0.2.2/24 dev eth0").unwrap();
    let addresses = |last: u8| [[192, 0, 2, last].into(), format!("fe80::ff:fe00:{last}").parse().unwrap()];
    let mut master = Node::new(&cable.left, 255, addresses(1), false);
    let mut backup = Node::new(&cable.right, 100, addresses(2), true);
    let mut turns = |count: usize| {
        (0..count).fold((0, 0), |(sends, hears), _| {
            let sends = sends + allocations(|| master.engine.step().unwrap());
            (sends, hears + allocations(|| backup.engine.step().unwrap()))
        })
    };
    turns(100);
    assert_eq!(turns(200), (0, 0));
    assert_eq!((master.states(), backup.states()), (vec![State::Master; 2], vec![State::Backup; 2]));
    let sent = master.live.instances.iter().map(|it| it.adverts_sent.load(Relaxed));
    assert!(sent.clone().all(|sent| sent >= 100), "{:?}", sent.collect::<Vec<_>>());
    assert!(
        [FIRST, SECOND].iter().all(|id| backup.maps.watch_hits(*id) >= 50),
        "the backup has watched its masters"
    );
}

/// While the effect thread and the main thread do not run.
#[test]
#[needs("root", "ip")]
fn a_turn_with_full_queues_allocates_nothing() {
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    let sources = [[192, 0, 2, 1].into(), "fe80::ff:fe00:1".parse().unwrap()];
    let mut master = Node::with_room(1, &cable.left, pair(255), sources, false);
    (0..20).for_each(|_| master.engine.step().unwrap());
    assert_eq!(master.states(), [State::Master; 2]);
    let epoch = |node: &Node| node.live.instances[0].epoch.load(Relaxed);
    let (before, mut counted) = (epoch(&master), 0);
    for round in 0..500 {
        for id in [FIRST, SECOND] {
            assert!(master.inputs.push(Input::Event(Event::Link(id, round % 2 == 1))));
        }
        counted += allocations(|| master.engine.step().unwrap());
    }
    assert!(epoch(&master) >= before + 500, "{} transitions", epoch(&master) - before);
    assert_eq!(counted, 0);
}

#[test]
#[needs("root", "ip")]
fn batches_allocate_nothing_once_they_are_warm() {
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
            assert_eq!(sender.flush(|_, _, _| {}), 100);
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
