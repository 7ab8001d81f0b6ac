//! A loaded program with one instance, and the effect of a frame on it.

use std::mem::take;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::time::Duration;

use vrrp_ebpf::map::{Counter, Counters, InstanceKey, InstanceRules, LocalKey};
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::advert::{Auth, Dialect};
use vrrp_ebpf::wire::ethernet::Mac;
use vrrp_ebpf::wire::{Family, Reject};
use vrrp_tests::FIRST;
use vrrp_tests::clock::elapse;
use vrrp_tests::packet::{self, Frame, OWN_MAC};
use vrrp_user::driver::xdp::{Entry, Program, Ring};
use vrrp_user::protocol::InstanceId;

/// BPF_PROG_TEST_RUN presents frames as those of the loopback device.
pub(crate) const LOOPBACK: u32 = 1;
/// An address that is no source in the frames of [`packet`].
pub(crate) const OWN_IPV4: &str = "192.0.2.7";
pub(crate) const OWN_IPV6: &str = "fe80::7";

/// Another address of this host, of IPv4 on another interface, of IPv6 on the same.
pub(crate) const FURTHER: [&str; 2] = ["192.0.2.9", "fe80::9"];

/// Outcome of a frame: the verdict, and the only counter that rose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// Passed and not counted: not VRRP.
    Other,
    Passed(Counter),
    Dropped(Counter),
    Rejected(Reject),
}

/// The MAC address of another interface of this host.
pub(crate) const FURTHER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x66]);

/// Programs with their rings that no test uses now, by entry and number of slots. To verify a program takes longer than
/// most tests, in a guest by far.
static IDLE: Mutex<Vec<(Entry, u32, Program, Ring)>> = Mutex::new(Vec::new());

pub(crate) struct Stand {
    pub(crate) program: Lent<Program>,
    pub(crate) ring: Lent<Ring>,
    pub(crate) entry: Entry,
    slots: u32,
}

/// A thing that the stand gives back when it is dropped.
pub(crate) struct Lent<T>(Option<T>);

impl<T> Default for Lent<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("lent until the stand is dropped")
    }
}

impl<T> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("lent until the stand is dropped")
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let lent = (take(&mut self.program).0, take(&mut self.ring).0);
        if let (Some(mut program), Some(mut ring)) = lent
            && !std::thread::panicking()
        {
            program.wipe().unwrap();
            let _events = ring.drain(usize::MAX, |_| {});
            IDLE.lock().unwrap().push((self.entry, self.slots, program, ring));
        }
    }
}

/// A program as after its load.
fn lend(entry: Entry, slots: u32) -> (Program, Ring) {
    let mut idle = IDLE.lock().unwrap();
    if let Some(at) = idle.iter().position(|(known, size, ..)| (*known, *size) == (entry, slots)) {
        let (_, _, program, ring) = idle.swap_remove(at);
        return (program, ring);
    }
    drop(idle);
    let mut program = Program::load_only(slots, &[entry]).unwrap();
    program.maps().reach(slots as usize).unwrap();
    let ring = program.ring().unwrap();
    (program, ring)
}

/// The addresses of this host.
pub(crate) fn locals() -> Vec<LocalKey> {
    let addresses = FURTHER.map(|address| address.parse().unwrap());
    let addresses = addresses.map(|it| LocalKey::of_address(LOOPBACK, Family::of(it), widen(it)));
    let macs = [(LOOPBACK, OWN_MAC), (LocalKey::ANY, OWN_MAC), (LocalKey::ANY, FURTHER_MAC)];
    let macs = macs.map(|(ifindex, mac)| LocalKey::of_mac(ifindex, mac.0));
    macs.into_iter().chain(addresses).collect()
}

impl Stand {
    pub(crate) fn new(entry: Entry, slots: u32) -> Self {
        let (mut program, ring) = lend(entry, slots);
        program.set_locals(&locals(), &[]).unwrap();
        Self { program: Lent(Some(program)), ring: Lent(Some(ring)), entry, slots }
    }

    /// A stand with slot 0 for VRID 51 of one dialect.
    pub(crate) fn of(entry: Entry, slot: &InstanceRules, family: Family, vlan: u16) -> Self {
        let mut stand = Self::new(entry, 1);
        stand.insert(FIRST, slot, InstanceKey::new(LOOPBACK, vlan, family, packet::VRID));
        stand
    }

    pub(crate) fn insert(&mut self, index: InstanceId, slot: &InstanceRules, key: InstanceKey) {
        self.program.maps().set_slot(index, slot);
        self.program.insert(key, index).unwrap();
    }

    /// Whether the kernel runs this entry on the frame: tcx only with complete headers.
    pub(crate) fn takes(&self, bytes: &[u8]) -> bool {
        const LONGEST: usize = 14 + 40;
        self.entry == Entry::Xdp || bytes.len() >= LONGEST
    }

    pub(crate) fn run(&self, frame: &Frame) -> Outcome {
        self.run_bytes(&frame.build())
    }

    pub(crate) fn run_bytes(&self, bytes: &[u8]) -> Outcome {
        let before = self.counts();
        let verdict = self.program.run(self.entry, bytes, 1).unwrap().verdict;
        let after = self.counts();
        // A sender without a record is counted in addition to the advert's own outcome.
        let beside = |index: usize| index % ROW == Counter::PeersFull as usize;
        let raised: Vec<_> =
            (0..after.len()).filter(|&index| after[index] != before[index] && !beside(index)).collect();
        let passed = self.passed(verdict);
        match (raised.as_slice(), passed) {
            ([], true) => Outcome::Other,
            (&[index], passed) => {
                assert_eq!(after[index], before[index] + 1, "counted once");
                counted(index % ROW, passed)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Sends a frame of this slot many times, within one call of the kernel and so within one window of the budget even
    /// on an emulated machine. Returns how far each of these counters rose; together they count every frame.
    pub(crate) fn flood<const N: usize>(
        &self,
        slot: InstanceId,
        frame: &Frame,
        frames: u32,
        counters: [Counter; N],
    ) -> [u32; N] {
        let counts = || counters.map(|counter| self.program.maps().counters(Some(slot)).counter(counter));
        let before = counts();
        self.program.run(self.entry, &frame.build(), frames).unwrap();
        let mut rises = counts().into_iter().zip(before).map(|(after, before)| after - before);
        let rises = [(); N].map(|()| u32::try_from(rises.next().unwrap()).unwrap());
        assert_eq!(rises.iter().sum::<u32>(), frames, "{counters:?}: {rises:?}");
        rises
    }

    /// Sends a frame of this slot `frames` times, and at once one more time. Returns the outcome of the last one, which
    /// may be beyond the budget, as all of them may.
    pub(crate) fn flood_and_run(&self, slot: InstanceId, frame: &Frame, frames: u32) -> Outcome {
        const COUNTERS: [Counter; 2] = [Counter::Event, Counter::OverBudget];
        let bytes = frame.build();
        let counts = || COUNTERS.map(|it| self.program.maps().counters(Some(slot)).counter(it));
        let before = counts();
        self.program.run(self.entry, &bytes, frames).unwrap();
        let verdict = self.program.run(self.entry, &bytes, 1).unwrap().verdict;
        let rises = counts().into_iter().zip(before).map(|(after, before)| after - before);
        assert_eq!(rises.sum::<u64>(), u64::from(frames) + 1, "another counter rose");
        if self.passed(verdict) {
            Outcome::Passed(Counter::Event)
        } else {
            Outcome::Dropped(Counter::OverBudget)
        }
    }

    /// TCX_NEXT is -1, TCX_DROP 2; XDP_DROP 1, XDP_PASS 2.
    fn passed(&self, verdict: u32) -> bool {
        match (self.entry, verdict) {
            (Entry::Xdp, 2) | (Entry::Tc, u32::MAX) => true,
            (Entry::Xdp, 1) | (Entry::Tc, 2) => false,
            other => panic!("no verdict: {other:?}"),
        }
    }

    /// Counters without an instance, then those of each slot.
    fn counts(&self) -> Vec<u64> {
        let maps = self.program.maps();
        let slots = InstanceId::all().take(maps.slots() as usize);
        let rows = [None].into_iter().chain(slots.map(Some));
        rows.flat_map(|slot| maps.counters(slot).counts).collect()
    }

    /// Messages waiting in the ring.
    pub(crate) fn woken(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        self.ring.drain(usize::MAX, |event| messages.push(event.message().to_vec()));
        messages
    }

    /// Watches the message of `frame` at offset `at`, as the daemon does after its event.
    pub(crate) fn watch(&mut self, frame: &Frame, at: usize) {
        assert_eq!(self.run(frame), Outcome::Passed(Counter::Event));
        let mut arm = None;
        self.ring.drain(1, |event| arm = Some((event.source, event.peer, event.stamp)));
        let (source, peer, stamp) = arm.expect("the event came");
        let seen = vrrp_ebpf::time::Timestamp::from_nanos(stamp);
        self.program.maps().arm(FIRST, source, peer, &frame.build()[at..], seen);
    }
}

const ROW: usize = Counters::ZERO.counts.len();

fn counted(index: usize, passed: bool) -> Outcome {
    if let Some(&reject) = Reject::ALL.iter().find(|reject| **reject as usize == index) {
        assert!(!passed, "{reject} passed");
        return Outcome::Rejected(reject);
    }
    let counter = Counter::ALL.into_iter().find(|counter| *counter as usize == index).expect("a count");
    if passed { Outcome::Passed(counter) } else { Outcome::Dropped(counter) }
}

/// Settings of an instance of this dialect.
pub(crate) fn slot(dialect: Dialect) -> InstanceRules {
    let own = match dialect.family() {
        Family::V4 => OWN_IPV4,
        Family::V6 => OWN_IPV6,
    };
    let slot = InstanceRules { source: widen(own.parse().unwrap()), ..InstanceRules::UNUSED };
    match dialect {
        Dialect::V2 { auth, .. } => {
            let (auth_type, auth_data) = Auth::encode(auth);
            InstanceRules { version: 2, auth_type, auth_data, ..slot }
        }
        Dialect::V3 { .. } => InstanceRules { version: 3, ..slot },
    }
}

/// Runs `check` for each entry, on a stand of its own.
pub(crate) fn on_each_entry(
    slot: &InstanceRules,
    family: Family,
    vlan: u16,
    mut check: impl FnMut(&mut Stand),
) {
    for entry in Entry::ALL {
        check(&mut Stand::of(entry, slot, family, vlan));
    }
}

/// Sleeps for longer than the window of the budget.
pub(crate) fn next_window() {
    elapse(Duration::from_nanos(vrrp_ebpf::map::BUDGET_WINDOW_NS) * 11 / 10);
}
