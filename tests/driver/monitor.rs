//! Changes of links and addresses, and the engine's inputs that follow from them.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use nix::net::if_::if_nametoindex;
use tokio::sync::oneshot;
use vrrp_user::config::{InstanceSettings, VirtualAddress};
use vrrp_user::daemon::queue::{Input, Queue};
use vrrp_user::driver::clock;
use vrrp_user::driver::netlink::monitor::Monitor;
use vrrp_user::driver::netlink::tracker::{Change, Tracker};
use vrrp_user::protocol::{Event, InstanceId, TrackId};

use crate::cable::{Cable, PATIENCE, SILENCE, eventually, readable, settings, virtual_address};
use vrrp_tests::clock::task::elapse;
use vrrp_tests::clock::{slowness, watch};
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;

/// Collects the engine's inputs while `test` runs.
fn follow(cable: &Cable, instances: &[InstanceSettings], tracked: &[&str], test: impl FnOnce(&Reported)) {
    follow_slowly(cable, instances, tracked, || {}, test);
}

/// The same, with `pause` before each change is delivered.
fn follow_slowly(
    cable: &Cable,
    instances: &[InstanceSettings],
    tracked: &[&str],
    pause: impl Fn() + Sync,
    test: impl FnOnce(&Reported),
) {
    let tracked: Vec<(TrackId, Arc<str>)> =
        tracked.iter().zip(0..).map(|(name, id)| (TrackId(id), (*name).into())).collect();
    let tracker = Tracker::new((0..).map(InstanceId).zip(instances), &tracked);
    let reported = Reported(Queue::new(64).unwrap());
    let inputs = reported.0.clone();
    std::thread::scope(|scope| {
        // Ends the task when the test ends, also on panic.
        let (_running, ended) = oneshot::channel::<()>();
        scope.spawn(|| {
            let work = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    tokio::select! {
                        end = report(tracker, inputs, &pause) => Ok(end?),
                        _ = ended => Ok(()),
                    }
                })
            };
            cable.left.enter(work).unwrap();
        });
        test(&reported);
        reported.nothing();
    });
}

/// Delivers every change, and after the first ones the end of the start-up.
async fn report(mut tracker: Tracker, inputs: Queue<Input>, pause: impl Fn()) -> io::Result<()> {
    let mut monitor = Monitor::open()?;
    let mut started = false;
    loop {
        tracker.update(monitor.table(), |change| {
            pause();
            inputs.push(match change {
                Change::Interface(instance, ifindex) => Input::Interface { instance, ifindex },
                Change::Sender(instance, ifindex) => Input::Sender { instance, ifindex },
                Change::Event(event) => Input::Event(event),
            })
        });
        if !std::mem::replace(&mut started, true) {
            inputs.push(Input::Event(Event::Startup));
        }
        let settled = tracker.next().map(|at| at.since(clock::now()));
        tokio::select! {
            changed = monitor.changed() => changed?,
            () = elapse(settled.unwrap_or_default()), if settled.is_some() => {}
        }
    }
}

struct Reported(Queue<Input>);

impl Reported {
    fn next(&self) -> String {
        loop {
            if let Some(input) = self.0.pop() {
                return match input {
                    Input::Interface { instance, ifindex } => format!("{} is {ifindex:?}", instance.0),
                    Input::Event(Event::Link(instance, up)) => format!("{} up {up}", instance.0),
                    Input::Event(Event::Source(instance, Some(source))) => {
                        format!("{} from {source}", instance.0)
                    }
                    Input::Event(Event::Source(instance, None)) => format!("{} from nowhere", instance.0),
                    Input::Event(Event::Startup) => "startup".to_owned(),
                    Input::Event(Event::Announce(instance)) => format!("{} announces", instance.0),
                    Input::Event(Event::Track(track, up)) => format!("track {} up {up}", track.0),
                    other => panic!("{other:?}"),
                };
            }
            self.0.acknowledge();
            assert!(readable(&self.0, PATIENCE * slowness()), "no input arrived");
        }
    }

    fn all<const N: usize>(&self, expected: [&str; N]) {
        assert_eq!(std::array::from_fn::<_, N, _>(|_| self.next()), expected);
    }

    fn nothing(&self) {
        watch(SILENCE);
        assert_eq!(self.0.pop().map(|input| format!("{input:?}")), None);
    }
}

#[test]
#[needs("root", "ip")]
fn an_instance_gets_its_link_and_its_source() {
    let cable = Cable::new();
    let left = &cable.left;
    let index = format!("0 is Some({})", cable.ifindex());
    follow(&cable, &[settings(&["192.0.2.100/24"])], &[], |reported| {
        reported.all([&index, "0 from nowhere", "0 up true", "startup"]);
        left.ip("addr add 192.0.2.100/24 dev eth0").unwrap();
        reported.nothing();
        left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
        reported.all(["0 from 192.0.2.1"]);
        left.ip("link set eth0 down").unwrap();
        reported.all(["0 up false"]);
        left.ip("link set eth0 up").unwrap();
        reported.all(["0 up true", "0 announces"]);
        cable.right.ip("link set eth0 down").unwrap();
        reported.all(["0 up false"]);
        cable.right.ip("link set eth0 up").unwrap();
        reported.all(["0 up true", "0 announces"]);
        // The virtual address is set behind the host's own, as the daemon does.
        for lines in [
            "addr del 192.0.2.1/24 dev eth0\naddr del 192.0.2.100/24 dev eth0\n\
             addr add 192.0.2.1/24 dev eth0\naddr add 192.0.2.100/24 dev eth0",
            "addr add 198.51.100.9/24 dev eth0",
        ] {
            left.ip(lines).unwrap();
            reported.nothing();
        }
        left.ip("addr del 192.0.2.1/24 dev eth0").unwrap();
        reported.nothing();
        // Another address takes its place once it has been missing for long.
        reported.all(["0 from 198.51.100.9"]);
        left.ip("addr del 198.51.100.9/24 dev eth0").unwrap();
        reported.all(["0 from nowhere"]);
    });
}

/// As after a network manager has set it again, and when the instance leaves.
#[test]
#[needs("root", "ip")]
fn a_source_behind_a_virtual_address_stays_the_source() {
    let cable = Cable::new();
    let left = &cable.left;
    left.sysctl("ipv4/conf/eth0/promote_secondaries", "1").unwrap();
    left.ip("addr add 192.0.2.1/24 dev eth0\naddr add 198.51.100.9/24 dev eth0").unwrap();
    let index = format!("0 is Some({})", cable.ifindex());
    follow(&cable, &[settings(&["192.0.2.100/24"])], &[], |reported| {
        reported.all([&index, "0 from 192.0.2.1", "0 up true", "startup"]);
        for lines in [
            "addr add 192.0.2.100/24 dev eth0\naddr del 192.0.2.1/24 dev eth0\n\
             addr add 192.0.2.1/24 dev eth0",
            "addr del 192.0.2.100/24 dev eth0",
        ] {
            left.ip(lines).unwrap();
            reported.nothing();
        }
    });
}

#[test]
#[needs("root", "ip")]
fn another_mac_address_is_announced() {
    let cable = Cable::new();
    let left = &cable.left;
    left.ip("addr add 192.0.2.1/24 dev eth0\nlink add br0 type bridge\nlink set br0 up").unwrap();
    until_up(left, "br0");
    let mut instance = settings(&["192.0.2.100/24"]);
    let elsewhere = VirtualAddress { device: Some("br0".into()), ..virtual_address("203.0.113.100/24") };
    Arc::get_mut(&mut instance.addresses).unwrap().excluded.push(elsewhere);
    let index = format!("0 is Some({})", cable.ifindex());
    follow(&cable, &[instance], &[], |reported| {
        reported.all([&index, "0 from 192.0.2.1", "0 up true", "startup"]);
        left.ip("link set eth0 address 02:00:00:00:00:99").unwrap();
        reported.all(["0 announces"]);
        left.ip("link set br0 address 02:00:00:00:00:98").unwrap();
        reported.all(["0 announces"]);
        // Other changes are none.
        left.ip("link set eth0 mtu 1400\nlink set eth0 promisc on").unwrap();
        reported.nothing();
        // Announced when it can be sent.
        left.ip("link set eth0 down").unwrap();
        reported.all(["0 up false"]);
        left.ip("link set eth0 address 02:00:00:00:00:97").unwrap();
        reported.nothing();
        left.ip("link set eth0 up").unwrap();
        reported.all(["0 up true", "0 announces"]);
    });
}

/// They may have been set while it was down, here before the tracker has seen it up.
#[test]
#[needs("root", "ip")]
fn addresses_are_announced_when_their_link_comes_up() {
    let cable = Cable::new();
    let left = &cable.left;
    left.ip("addr add 192.0.2.1/24 dev eth0\nlink add lan1 type veth peer name far1").unwrap();
    let mut instance = settings(&["192.0.2.100/24"]);
    let elsewhere = VirtualAddress { device: Some("lan1".into()), ..virtual_address("203.0.113.100/24") };
    Arc::get_mut(&mut instance.addresses).unwrap().excluded.push(elsewhere);
    let index = format!("0 is Some({})", cable.ifindex());
    follow(&cable, &[instance], &[], |reported| {
        reported.all([&index, "0 from 192.0.2.1", "0 up true", "startup"]);
        left.ip("link set far1 up").unwrap();
        reported.nothing();
        left.ip("link set lan1 up").unwrap();
        reported.all(["0 announces"]);
        for down in ["link set far1 down", "link set lan1 down"] {
            left.ip(down).unwrap();
            reported.nothing();
            left.ip(&down.replace("down", "up")).unwrap();
            reported.all(["0 announces"]);
        }
    });
}

/// A bridge without ports is never up: gives it one.
fn until_up(namespace: &Namespace, bridge: &str) {
    namespace
        .ip(&format!(
            "link add p0 type veth peer name p1\nlink set p0 master {bridge}\nlink set p0 up\nlink set p1 up"
        ))
        .unwrap();
    eventually(|| namespace.run("ip", &["link", "show", bridge]).unwrap().contains("state UP"));
}

#[test]
#[needs("root", "ip")]
fn an_interface_may_come_late_be_renamed_and_made_again() {
    let cable = Cable::new();
    let left = &cable.left;
    let index = |name: &'static str| left.enter(move || Ok(if_nametoindex(name)?)).unwrap();
    let mut late = settings(&["192.0.2.100"]);
    late.interface = "late0".into();
    follow(&cable, &[late], &["late0", "eth0"], |reported| {
        reported.all([
            "0 up false",
            "0 is None",
            "0 from nowhere",
            "track 0 up false",
            "track 1 up true",
            "startup",
        ]);
        left.ip("link add late0 type veth peer name late1").unwrap();
        reported.all([&*format!("0 is Some({})", index("late0"))]);
        left.ip("addr add 192.0.2.1/24 dev late0\nlink set late1 up\nlink set late0 up").unwrap();
        reported.all(["0 from 192.0.2.1", "0 up true", "0 announces", "track 0 up true"]);
        left.ip("link set late0 down\nlink set late0 name other0").unwrap();
        let mut gone = std::array::from_fn::<_, 4, _>(|_| reported.next());
        gone.sort();
        assert_eq!(gone, ["0 from nowhere", "0 is None", "0 up false", "track 0 up false"]);
        left.ip("link del other0\nlink add late0 type veth peer name late1").unwrap();
        reported.all([&*format!("0 is Some({})", index("late0"))]);
    });
}

/// The changes are read together, as after a moment without the processor.
#[test]
#[needs("root", "ip")]
fn an_interface_in_the_place_of_another_is_another_one() {
    let cable = Cable::new();
    let (left, right) = (&cable.left, &cable.right);
    left.ip("link add a0 type veth peer name a1\nlink add b0 type veth peer name b1").unwrap();
    left.ip("link set a0 up\nlink set a1 up\nlink set b0 up\nlink set b1 up").unwrap();
    left.ip("addr add 192.0.2.1/24 dev a0\naddr add 192.0.2.2/24 dev b0").unwrap();
    let mut settings = settings(&["192.0.2.100"]);
    settings.interface = "a0".into();
    let swap = || {
        left.ip("link set a0 name c0\nlink set b0 name a0\nlink set c0 name b0").unwrap();
        "192.0.2.2"
    };
    let return_again = || {
        left.ip(&format!("link set a0 netns {}", right.name())).unwrap();
        right.ip(&format!("link set a0 netns {}", left.name())).unwrap();
        left.ip("link set a0 up\naddr add 192.0.2.3/24 dev a0").unwrap();
        "192.0.2.3"
    };
    let mut tracker = Tracker::new([(InstanceId(0), &settings)], &[]);
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut monitor = Monitor::open()?;
            while ["a0", "b0"].iter().any(|name| monitor.table().link(name).is_none_or(|link| !link.up)) {
                monitor.changed().await?;
            }
            tracker.update(monitor.table(), |_| true);
            let mut before = if_nametoindex("a0")?;
            for (change, is_same) in [(&swap as &dyn Fn() -> &'static str, false), (&return_again, true)] {
                let source: IpAddr = change().parse()?;
                let index = if_nametoindex("a0")?;
                assert_eq!(index == before, is_same);
                while !monitor.table().addresses(index).iter().any(|it| it.address == source)
                    || monitor.table().link("a0").is_none_or(|link| link.ifindex != index || !link.up)
                {
                    monitor.changed().await?;
                }
                let mut reported = Vec::new();
                tracker.update(monitor.table(), |change| {
                    reported.push(change);
                    true
                });
                let id = InstanceId(0);
                let expected = [
                    Change::Event(Event::Link(id, false)),
                    Change::Event(Event::Source(id, None)),
                    Change::Interface(id, None),
                    Change::Interface(id, Some(index)),
                    Change::Event(Event::Source(id, Some(source))),
                    Change::Event(Event::Link(id, true)),
                ];
                assert!(reported.starts_with(&expected), "{reported:?}");
                reported.clear();
                tracker.update(monitor.table(), |change| {
                    reported.push(change);
                    true
                });
                assert_eq!(reported, []);
                before = index;
            }
            Ok(())
        })
    };
    // The namespaces of the changes are entered by other threads.
    left.enter(work).unwrap();
}

#[test]
#[needs("root", "ip")]
fn ipv6_is_sent_from_the_link_local_address() {
    let cable = Cable::new();
    let index = format!("0 is Some({})", cable.ifindex());
    cable.left.ip("addr add 2001:db8::1/64 dev eth0\naddr add fe80::100/64 dev eth0").unwrap();
    follow(&cable, &[settings(&["fe80::100", "2001:db8::100"])], &[], |reported| {
        reported.all([&index, "0 from fe80::ff:fe00:1", "0 up true", "startup"]);
        cable.left.ip("addr del fe80::ff:fe00:1/64 dev eth0").unwrap();
        reported.all(["0 from nowhere"]);
    });
}

#[test]
#[needs("root", "ip")]
fn a_configured_source_counts_once_the_machine_has_it() {
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0\nlink add spare0 type veth peer name spare1").unwrap();
    let index = format!("0 is Some({})", cable.ifindex());
    let mut unicast = settings(&["192.0.2.100"]);
    unicast.source = Some([198, 51, 100, 1].into());
    follow(&cable, &[unicast], &[], |reported| {
        reported.all([&index, "0 from nowhere", "0 up true", "startup"]);
        cable.left.ip("addr add 198.51.100.1/24 dev spare0").unwrap();
        reported.all(["0 from 198.51.100.1"]);
        cable.left.ip("link del spare0").unwrap();
        reported.all(["0 from nowhere"]);
    });
}

#[test]
#[needs("root", "ip")]
fn lost_notifications_cause_a_new_dump() {
    let cable = Cable::new();
    let (gate, waiting) = (Mutex::new(()), AtomicUsize::new(0));
    let index = format!("0 is Some({})", cable.ifindex());
    let pause = || {
        waiting.fetch_add(1, Relaxed);
        drop(gate.lock().unwrap());
        waiting.fetch_sub(1, Relaxed);
    };
    follow_slowly(&cable, &[settings(&["192.0.2.100"])], &[], pause, |reported| {
        reported.all([&index, "0 from nowhere", "0 up true", "startup"]);
        let closed = gate.lock().unwrap();
        cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
        // The monitor waits at the gate with this one; the rest overflows the socket.
        eventually(|| waiting.load(Relaxed) == 1);
        let lines: String = (0..250).map(|n| format!("addr add 10.0.0.{n}/32 dev eth0\n")).collect();
        let flood = lines.clone() + &lines.replace("addr add", "addr del");
        let is_full = (0..60).any(|_| {
            cable.left.ip(&flood).unwrap();
            drops(&cable) > 100
        });
        assert!(is_full, "the flood was too small");
        let before = drops(&cable);
        cable.left.ip("addr del 192.0.2.1/24 dev eth0").unwrap();
        assert!(drops(&cable) > before, "this one was not lost");
        drop(closed);
        reported.all(["0 from 192.0.2.1", "0 from nowhere"]);
        // The link has stayed up.
        reported.nothing();
    });
}

/// Notifications lost by all netlink sockets in the left namespace.
fn drops(cable: &Cable) -> u64 {
    let sockets = cable.left.run("cat", &["/proc/net/netlink"]).unwrap();
    let column = sockets.lines().next().unwrap().split_whitespace().position(|name| name == "Drops").unwrap();
    let drops = sockets.lines().skip(1).map(|line| line.split_whitespace().nth(column).unwrap());
    drops.map(|drops| drops.parse::<u64>().unwrap()).sum()
}
