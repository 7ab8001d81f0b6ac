//! The effect thread: order of commands, repeated announcements, void commands.

use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::process::Command as Program;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use vrrp_user::config::{ExtraAnnounce, InstanceSettings, VirtualAddress};
use vrrp_user::daemon::effect::{Effect, InstanceEffects};
use vrrp_user::daemon::live::LiveState;
use vrrp_user::daemon::queue::{Command, Lack, Object, Queue, Report};
use vrrp_user::driver::clock;
use vrrp_user::driver::maps::Maps;
use vrrp_user::driver::realtime::ENGINE_PRIORITY;
use vrrp_user::protocol::{Announcement, Epoch, InstanceId};

use crate::cable::{Cable, SILENCE, Tap, eventually, settings, virtual_address};
use vrrp_tests::clock::elapse;
use vrrp_tests::needs;

const ZERO: InstanceId = InstanceId(0);
const ONE: InstanceId = InstanceId(1);

struct Running {
    thread: Option<JoinHandle<()>>,
    commands: Queue<Command>,
    reports: Queue<Report>,
    live: Arc<LiveState>,
    maps: Arc<Maps>,
}

impl Running {
    /// Starts the thread, with these commands in its queue, and a lease without an end for each instance.
    fn start(cable: &Cable, instances: &[InstanceSettings], waiting: &[Command]) -> Self {
        let (commands, reports) = (Queue::new(64).unwrap(), Queue::new(64).unwrap());
        let live = Arc::new(LiveState::new(instances.len()));
        let maps = Arc::new(Maps::anonymous(u32::try_from(instances.len()).unwrap()).unwrap());
        maps.open_fence();
        let running = Self { thread: None, commands, reports, live, maps };
        waiting.iter().for_each(|command| running.push(command.clone()));
        let open = || {
            let effects = instances.iter().map(InstanceEffects::from);
            let (commands, reports) = (running.commands.clone(), running.reports.clone());
            let (live, maps) = (Arc::clone(&running.live), Arc::clone(&running.maps));
            Ok(Effect::open(effects, commands, reports, live, maps)?.spawn(Some(ENGINE_PRIORITY))?)
        };
        let thread = cable.left.enter(open).unwrap();
        Self { thread: Some(thread), ..running }
    }

    fn push(&self, command: Command) {
        assert!(self.commands.push(command));
    }

    fn stop(mut self) {
        self.push(Command::Stop);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The address that a frame announces.
fn announced(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..14)? {
        [8, 6] => Some(IpAddr::from(<[u8; 4]>::try_from(frame.get(38..42)?).unwrap())),
        [0x86, 0xdd] if frame.get(54) == Some(&136) => {
            Some(IpAddr::from(<[u8; 16]>::try_from(frame.get(62..78)?).unwrap()))
        }
        _ => None,
    }
}

fn announce(epoch: u64, repeat: u32) -> Announcement {
    Announcement { epoch: Epoch(epoch), repeat }
}

#[test]
#[needs("root", "ip")]
fn every_takeover_comes_before_any_repeat() {
    let cable = Cable::new();
    let tap = Tap::new(&cable.right);
    let instances = [settings(&["192.0.2.100", "192.0.2.101", "2001:db8::100"]), settings(&["192.0.2.200"])];
    let running = Running::start(
        &cable,
        &instances,
        &[Command::Add(ZERO, Epoch(1)), Command::Announce(ZERO, announce(1, 2)), Command::Add(ONE, Epoch(1))],
    );
    let zero = ["192.0.2.100", "192.0.2.101", "2001:db8::100"];
    let expected = [&zero[..], &["192.0.2.200"], &zero, &zero].concat();
    let seen: Vec<_> = expected.iter().map(|_| tap.next(announced).to_string()).collect();
    assert_eq!(seen, expected);
    assert!(zero.iter().chain(["192.0.2.200"].iter()).all(|address| cable.has("eth0", address)));
    eventually(|| running.live.instances[0].announcements_sent.load(Relaxed) == 9);
    assert_eq!(running.live.instances[1].announcements_sent.load(Relaxed), 1);
    assert!(running.live.instances.iter().all(|live| live.takeover_nanos.load(Relaxed) > 0));
    assert_eq!(running.live.effect_errors.load(Relaxed), 0);
    running.push(Command::Remove(ZERO, Epoch(2)));
    running.push(Command::Remove(ONE, Epoch(2)));
    running.stop();
    assert!(zero.iter().chain(["192.0.2.200"].iter()).all(|address| !cable.has("eth0", address)));
}

#[test]
#[needs("root", "ip")]
fn removal_voids_outstanding_repeats() {
    let cable = Cable::new();
    let tap = Tap::new(&cable.right);
    let mut instance = settings(&["192.0.2.100"]);
    instance.announce_pauses.garp = Duration::from_millis(20);
    let running = Running::start(&cable, &[instance], &[]);
    running.push(Command::Add(ZERO, Epoch(1)));
    running.push(Command::Announce(ZERO, announce(1, 1000)));
    (0..5).for_each(|_| _ = tap.next(announced));
    assert!(running.live.instances[0].announcements_sent.load(Relaxed) < 100, "repeats are sent one by one");
    running.push(Command::Remove(ZERO, Epoch(2)));
    eventually(|| !cable.has("eth0", "192.0.2.100"));
    while tap.next_within(SILENCE, announced).is_some() {}
    let sent = running.live.instances[0].announcements_sent.load(Relaxed);
    // Announcements of an earlier mastership are void, after its end and in the next one.
    running.push(Command::Announce(ZERO, announce(1, 1)));
    running.push(Command::Add(ZERO, Epoch(3)));
    running.push(Command::Announce(ZERO, announce(1, 1)));
    running.push(Command::Announce(ZERO, announce(3, 1)));
    tap.next(announced);
    tap.next(announced);
    assert!(tap.next_within(SILENCE, announced).is_none());
    assert_eq!(running.live.instances[0].announcements_sent.load(Relaxed), sent + 2);
    running.stop();
}

/// The engine hangs, or has not run yet since a suspension: repeats, periodic announcements, and those of a takeover
/// that was decided before.
#[test]
#[needs("root", "ip")]
fn nothing_is_announced_without_a_lease() {
    let cable = Cable::new();
    let tap = Tap::new(&cable.right);
    let instance = || {
        let mut instance = settings(&["192.0.2.100"]);
        instance.announce_pauses.garp = Duration::from_millis(20);
        instance
    };
    let mut elsewhere = instance();
    elsewhere.interface = "lo".into();
    elsewhere.extra_announce = Some(ExtraAnnounce { period: Duration::from_millis(20), all: true });
    Arc::make_mut(&mut elsewhere.addresses).advertised[0] =
        VirtualAddress { device: Some("eth0".into()), ..virtual_address("192.0.2.200") };
    let running = Running::start(&cable, &[instance(), elsewhere], &[]);
    for id in [ZERO, ONE] {
        running.push(Command::Add(id, Epoch(1)));
        running.push(Command::Announce(id, announce(1, 1000)));
    }
    (0..10).for_each(|_| _ = tap.next(announced));
    let until = clock::now() + Duration::from_millis(500);
    [ZERO, ONE].into_iter().for_each(|id| running.maps.set_lease(id, Some(until)));
    (0..3).for_each(|_| _ = tap.next(announced));
    elapse(until.since(clock::now()));
    while tap.next_within(Duration::from_millis(10), announced).is_some() {}
    assert!(tap.next_within(SILENCE, announced).is_none(), "repeats outlive the lease");
    // A takeover whose lease has run out already sets the addresses alone.
    running.push(Command::Remove(ZERO, Epoch(2)));
    eventually(|| !cable.has("eth0", "192.0.2.100"));
    running.push(Command::Add(ZERO, Epoch(3)));
    eventually(|| cable.has("eth0", "192.0.2.100"));
    assert!(tap.next_within(SILENCE, announced).is_none(), "a takeover is announced without a lease");
    running.maps.set_lease(ZERO, Some(clock::now() + Duration::from_secs(60)));
    running.push(Command::Announce(ZERO, announce(3, 1)));
    assert_eq!(tap.next(announced), IpAddr::from([192, 0, 2, 100]));
    running.stop();
}

/// The engine commands a takeover just before its advert, and begins the lease when that has left.
#[test]
#[needs("root", "ip")]
fn a_takeover_is_announced_once_its_lease_begins() {
    let cable = Cable::new();
    let tap = Tap::new(&cable.right);
    let running = Running::start(&cable, &[settings(&["192.0.2.100"])], &[]);
    // Without a fence, it is not even set.
    running.maps.set_lease(ZERO, None);
    running.push(Command::Add(ZERO, Epoch(1)));
    assert!(tap.next_within(SILENCE, announced).is_none(), "it is announced before the advert");
    assert!(!cable.has("eth0", "192.0.2.100"), "the kernel answers for it before the advert");
    running.maps.set_lease(ZERO, Some(clock::now() + Duration::from_secs(60)));
    assert_eq!(tap.next(announced), IpAddr::from([192, 0, 2, 100]));
    running.push(Command::Remove(ZERO, Epoch(2)));
    eventually(|| !cable.has("eth0", "192.0.2.100"));

    running.live.instances[0].fenced.store(true, Relaxed);
    running.maps.set_lease(ZERO, None);
    running.push(Command::Add(ZERO, Epoch(3)));
    eventually(|| cable.has("eth0", "192.0.2.100"));
    assert!(tap.next_within(SILENCE, announced).is_none(), "it is announced before the advert");
    running.maps.set_lease(ZERO, Some(clock::now() + Duration::from_secs(60)));
    assert_eq!(tap.next(announced), IpAddr::from([192, 0, 2, 100]));
    // A lease that has ended by the time at which the thread looks: the next command shows it.
    running.push(Command::Remove(ZERO, Epoch(4)));
    running.maps.set_lease(ZERO, None);
    running.push(Command::Add(ZERO, Epoch(5)));
    running.push(Command::Remove(ZERO, Epoch(6)));
    running.push(Command::Announce(ZERO, announce(6, 1)));
    assert!(tap.next_within(SILENCE, announced).is_none(), "it is announced without a lease");
    running.stop();
    assert!(!cable.has("eth0", "192.0.2.100"));
}

/// Nothing of a takeover that only may come is seen, on the host or on the wire.
#[test]
#[needs("root", "ip")]
fn standing_by_sets_and_announces_nothing() {
    let cable = Cable::new();
    let tap = Tap::new(&cable.right);
    let running = Running::start(&cable, &[settings(&["192.0.2.100"])], &[]);
    for ahead in [Duration::from_millis(10), Duration::from_micros(300)] {
        running.push(Command::StandBy(ZERO, clock::now() + ahead));
        assert!(tap.next_within(SILENCE, announced).is_none());
        assert!(!cable.has("eth0", "192.0.2.100"));
    }
    running.push(Command::StandBy(ZERO, clock::now()));
    running.push(Command::Add(ZERO, Epoch(1)));
    assert_eq!(tap.next(announced), IpAddr::from([192, 0, 2, 100]));
    assert!(cable.has("eth0", "192.0.2.100"));
    running.stop();
}

/// The requests are prepared again when the interface has another hardware address or index, or its instance other
/// addresses.
#[test]
#[needs("root", "ip")]
fn a_prepared_takeover_follows_its_interface_and_settings() {
    let cable = Cable::new();
    let running = Running::start(&cable, &[settings(&["192.0.2.100"])], &[]);
    let prepare = || {
        running.push(Command::StandBy(ZERO, clock::now() + Duration::from_secs(1)));
        eventually(|| running.commands.is_empty());
    };
    let tap = Tap::new(&cable.right);
    prepare();
    cable.left.ip("link set eth0 address 02:00:00:00:00:77").unwrap();
    running.push(Command::Add(ZERO, Epoch(1)));
    let sender = |frame: &[u8]| announced(frame).map(|_| <[u8; 6]>::try_from(&frame[6..12]).unwrap());
    assert_eq!(tap.next(sender), [2, 0, 0, 0, 0, 0x77]);
    running.push(Command::Remove(ZERO, Epoch(2)));
    eventually(|| !cable.has("eth0", "192.0.2.100"));

    prepare();
    let other = settings(&["192.0.2.101"]);
    running.push(Command::SetEffects(ZERO, Arc::new(other)));
    running.push(Command::Add(ZERO, Epoch(3)));
    eventually(|| cable.has("eth0", "192.0.2.101"));
    assert!(!cable.has("eth0", "192.0.2.100"));
    running.push(Command::Remove(ZERO, Epoch(4)));
    eventually(|| !cable.has("eth0", "192.0.2.101"));

    prepare();
    cable.left.ip("link del eth0").unwrap();
    cable.left.ip("link add eth0 type veth peer name peer0\nlink set peer0 up\nlink set eth0 up").unwrap();
    running.push(Command::Add(ZERO, Epoch(5)));
    eventually(|| cable.has("eth0", "192.0.2.101"));
    assert_eq!(running.live.effect_errors.load(Relaxed), 0);
    running.stop();
}

/// They are set in several sends.
#[test]
#[needs("root", "ip")]
fn each_of_many_addresses_is_set_and_announced_once_in_order() {
    let cable = Cable::new();
    let tap = Tap::new(&cable.right);
    let texts: Vec<String> = (1..=200).map(|host| format!("192.0.2.{host}")).collect();
    let addresses: Vec<&str> = texts.iter().map(String::as_str).collect();
    let running = Running::start(&cable, &[settings(&addresses)], &[Command::Add(ZERO, Epoch(1))]);
    let seen: Vec<String> = texts.iter().map(|_| tap.next(announced).to_string()).collect();
    assert_eq!(seen, texts);
    assert!(tap.next_within(SILENCE, announced).is_none());
    eventually(|| running.live.instances[0].announcements_sent.load(Relaxed) == 200);
    let set = cable.addresses("eth0").iter().filter(|shown| shown["family"] == "inet").count();
    assert_eq!(set, 200);
    running.stop();
}

#[test]
#[needs("root", "ip")]
fn one_missing_interface_does_not_keep_the_others_addresses_away() {
    let cable = Cable::new();
    let mut instance = settings(&["192.0.2.100", "192.0.2.101"]);
    let missing = VirtualAddress { device: Some("gone0".into()), ..virtual_address("192.0.2.102") };
    Arc::make_mut(&mut instance.addresses).advertised.insert(1, missing);
    let running = Running::start(&cable, &[instance], &[Command::Add(ZERO, Epoch(1))]);
    eventually(|| cable.has("eth0", "192.0.2.101"));
    assert!(cable.has("eth0", "192.0.2.100"));
    eventually(|| running.live.effect_errors.load(Relaxed) == 1);
    eventually(|| running.live.instances[0].announcements_sent.load(Relaxed) == 2);
    eventually(|| !running.reports.is_empty());
    let report = running.reports.pop();
    let Some(Report::Lacks { instance: ZERO, lacks, is_master: true }) = report else { panic!("{report:?}") };
    let [Lack { object, refusal }] = &*lacks else { panic!("{lacks:?}") };
    assert_eq!((*object, refusal.errno), (Object::Address([192, 0, 2, 102].into()), libc::ENODEV));
    // The instance's own interface is deleted, made again, and used again.
    cable.left.ip("link del eth0").unwrap();
    running.push(Command::Remove(ZERO, Epoch(2)));
    running.push(Command::Announce(ZERO, announce(2, 1)));
    cable.left.ip("link add eth0 type veth peer name peer0\nlink set peer0 up\nlink set eth0 up").unwrap();
    running.push(Command::Add(ZERO, Epoch(3)));
    eventually(|| cable.has("eth0", "192.0.2.100"));
    running.stop();
}

#[test]
#[needs("root", "ip")]
fn addresses_where_no_adverts_are_sent_are_announced_periodically() {
    let cable = Cable::new();
    let tap = Tap::new(&cable.right);
    let mut instance = settings(&["192.0.2.100"]);
    instance.interface = "lo".into();
    instance.extra_announce = Some(ExtraAnnounce { period: Duration::from_millis(50), all: true });
    Arc::make_mut(&mut instance.addresses).advertised[0].device = Some("eth0".into());
    let running = Running::start(&cable, &[instance], &[Command::Add(ZERO, Epoch(1))]);
    for _ in 0..5 {
        assert_eq!(tap.next(announced), IpAddr::from([192, 0, 2, 100]));
    }
    running.push(Command::Remove(ZERO, Epoch(2)));
    eventually(|| !cable.has("eth0", "192.0.2.100"));
    while tap.next_within(Duration::from_millis(10), announced).is_some() {}
    assert!(tap.next_within(SILENCE, announced).is_none(), "only a master announces");
    running.stop();
}

/// In a process of its own, which ends with the thread.
#[test]
#[needs("root")]
fn a_thread_that_cannot_wait_any_more_ends_the_process() {
    const ALONE: &str = "VRRPX_TEST_EFFECT_ENDS";
    if std::env::var_os(ALONE).is_none() {
        let name = "effect::a_thread_that_cannot_wait_any_more_ends_the_process";
        let mut alone = Program::new(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", name]).env(ALONE, "1").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let (commands, reports) = (Queue::new(64).unwrap(), Queue::new(64).unwrap());
    let (live, maps) = (Arc::new(LiveState::new(1)), Arc::new(Maps::anonymous(1).unwrap()));
    let effect = Effect::open([], commands.clone(), reports, live, maps).unwrap();
    let thread = effect.spawn(None).unwrap();
    let other = std::fs::File::open("/dev/null").unwrap();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().map(Result::unwrap) {
        if std::fs::read_link(entry.path()).is_ok_and(|it| it.ends_with("anon_inode:[eventpoll]")) {
            let number = entry.file_name().to_string_lossy().parse().unwrap();
            // SAFETY: it is the thread's, which is to find that it cannot wait.
            assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), number) }, number);
        }
    }
    commands.wake();
    // Not reached: the process ends.
    let _ = thread.join();
}
