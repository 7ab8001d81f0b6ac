//! The path of an advert, from a dissected frame to the daemon: one flow for the program and for the packet socket.
//!
//! Enters: a frame, and the maps. Leaves: a verdict, records in the maps, and the adverts that the daemon must handle.
//! Absent: access to packets and maps, which [`Maps`] provides; the checks, which are those of [`advert`]; the meaning
//! of an advert.
//!
//! ```text
//! admit ─► unknown VRID, not addressed to us ─► pass
//!   │  └ a failed check of the headers ─► count it ─► drop
//!   ├ the watched advert again ─► refresh its time stamp ─► pass
//! examine ─► a failed check of the message ─► count it ─► drop
//!   │
//! note ─► record of the sender ─► budget ─► wake the daemon ─► pass
//! ```
//! There are three steps because the program's verifier walks each by itself: only numbers pass between them. The rules
//! of the instance may change at any time; an advert that they change under passes unjudged, which is a lost advert.

use crate::map::{AllowedPeer, Counter, InstanceKey, InstanceRules, NO_PEER, Rejected, SenderClass};
use crate::wire::frame::Frame;
use crate::wire::{AdvertInfo, ByteAccess, ChecksumForm, Reject, advert, judge_sender};

/// What becomes of a frame; a number between functions that the verifier walks by themselves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Verdict {
    /// To the next program, and then to the stack.
    Pass = 0,
    /// Nowhere.
    Drop = 1,
}

/// The rules in force of an instance.
pub trait Rules: core::ops::Deref<Target = InstanceRules> {
    /// See [`crate::map::RulesPair`].
    fn generation(&self) -> u64;

    /// Whether they are in force still, so that all that was read of them is of one copy.
    fn are_in_force(&self) -> bool;
}

/// A frame of one interface and the maps, as the program or the daemon reaches them.
pub trait Maps {
    /// The bytes of the frame.
    type Bytes: ByteAccess + ?Sized;
    /// The index of an instance in the arrays.
    type Slot: Copy;
    /// The rules of an instance.
    type Rules: Rules;

    /// The bytes of the frame, the whole message if the frame has it.
    fn octets(&self) -> &Self::Bytes;

    /// Index of the interface.
    fn ifindex(&self) -> u32;

    /// When the frame arrived, ns of CLOCK_MONOTONIC.
    fn now(&self) -> u64;

    /// The same number, unknown to the verifier: the code behind it is walked once, not once for each value.
    fn launder(&self, value: usize) -> usize;

    /// The one's complement sum of these bytes, in the machine's byte order, not folded; `None` if they are out of
    /// reach.
    fn sum(&self, at: usize, length: usize) -> Option<u64>;

    /// [`Self::sum`] of an IP header.
    fn header_sum(&self, at: usize, length: usize) -> Option<u64>;

    /// Whether the stack of this host accepts the frame; `own` is known to be an address of the host.
    fn is_to_us(&self, frame: &Frame, own: &[u8; 16]) -> bool;

    /// The slot of an instance.
    fn slot_of(&self, key: &InstanceKey) -> Option<Self::Slot>;

    /// The rules in force of an instance.
    fn rules(&self, slot: Self::Slot) -> Option<Self::Rules>;

    /// The entry of an allowed sender.
    fn allowed_peer(&self, slot: Self::Slot, source: [u8; 16]) -> Option<AllowedPeer>;

    /// Whether this is the watched advert; if so, it is recorded.
    fn is_steady(&self, slot: Self::Slot, frame: &Frame) -> bool;

    /// Whether this is the source of the watched advert.
    fn is_watched(&self, slot: Self::Slot, source: &[u8; 16]) -> bool;

    /// Counts; `None` for adverts of no instance.
    fn count(&self, slot: Option<Self::Slot>, counter: Counter);

    /// Counts an advert that failed a check, and records its sender: a router that should be a peer may be a second
    /// master. The sender is in the form of [`Rejected`].
    fn refuse(&self, slot: Self::Slot, reject: Reject, sender: [u8; 16]);

    /// The MAC address that the frame comes from, if it is none of this host.
    fn foreign_mac(&self) -> Option<[u8; 6]>;

    /// Records the sender of an advert of no instance.
    fn note_unknown_router(&self, key: &InstanceKey, frame: &Frame);

    /// Records a valid advert; returns the index of its sender among the peers, or [`NO_PEER`].
    fn note_peer(&self, slot: Self::Slot, info: &AdvertInfo, checksum: ChecksumForm, now: u64) -> u32;

    /// Spends one event of the budget of a [`SenderClass`], as a number; false if none is left.
    fn spend(&self, slot: Self::Slot, class: usize, is_signed: bool, now: u64) -> bool;

    /// Records that a signed advert of a [`SenderClass`], as a number, was dropped unchecked.
    fn miss(&self, slot: Self::Slot, class: usize, now: u64);

    /// Hands an advert to the daemon; false if it cannot, which is counted.
    fn wake(&self, slot: Self::Slot, message: &Message<'_>, now: u64) -> bool;
}

/// A valid advert for the daemon.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The fields that the maps keep.
    pub info: &'a AdvertInfo,
    /// The form of its checksum.
    pub checksum: ChecksumForm,
    /// Index of its sender among the peers, or [`NO_PEER`].
    pub peer: u32,
    /// Its sender may be a better master: the lease ends until the daemon has handled it.
    pub challenges: bool,
    /// Offset in the frame: of the message, or of the IP header if an authentication header follows it, which covers
    /// both.
    pub at: usize,
    /// Bytes from there on.
    pub length: usize,
}

/// The result of [`admit`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FastPathResult<S> {
    /// Nothing is left to do.
    Done(Verdict),
    /// The message is to be examined, by the rules of this generation.
    Examine {
        /// Index of the instance.
        slot: S,
        /// See [`crate::map::RulesPair`].
        generation: u64,
    },
}

/// No address: the own address of an unknown VRID.
const NO_ADDRESS: [u8; 16] = [0; 16];

/// The fast path: adverts of other routers and the watched advert end here.
#[inline(always)]
pub fn admit<M: Maps>(maps: &M, frame: &Frame) -> FastPathResult<M::Slot> {
    let key = InstanceKey::new(maps.ifindex(), frame.vlan, frame.family, frame.vrid);
    let header = || advert::judge_header(frame, |at, length| maps.header_sum(at, length));
    let Some(slot) = maps.slot_of(&key) else {
        // An advert that the stack drops may be damaged, and so may its VRID.
        if maps.is_to_us(frame, &NO_ADDRESS) && header().is_ok() {
            maps.note_unknown_router(&key, frame);
            maps.count(None, Counter::UnknownVrid);
        }
        return FastPathResult::Done(Verdict::Pass);
    };
    let Some(rules) = maps.rules(slot) else { return FastPathResult::Done(Verdict::Pass) };
    if !maps.is_to_us(frame, &rules.source) {
        return FastPathResult::Done(Verdict::Pass);
    }
    let mut judged = header().and_then(|()| advert::judge_envelope(frame, &rules));
    if judged.is_ok() && rules.unicast == InstanceRules::ALLOWED_PEERS_ONLY {
        judged = judge_sender(frame, maps.allowed_peer(slot, frame.source));
    }
    // The address of the watched master may be ours by now.
    let may_be_steady = frame.source != rules.source;
    if !rules.are_in_force() {
        return FastPathResult::Done(Verdict::Pass);
    }
    if let Err(reject) = judged {
        maps.refuse(slot, first_of(reject, maps.octets(), frame), frame.source);
        return FastPathResult::Done(Verdict::Drop);
    }
    if may_be_steady && maps.is_steady(slot, frame) {
        return FastPathResult::Done(Verdict::Pass);
    }
    FastPathResult::Examine { slot, generation: rules.generation() }
}

/// The first check that failed. The length is judged late, because the watched advert has the right one.
#[inline(always)]
fn first_of<O: ByteAccess + ?Sized>(reject: Reject, octets: &O, frame: &Frame) -> Reject {
    match reject {
        Reject::IpHeader | Reject::IpChecksum => reject,
        _ => advert::judge_length(octets, frame).err().unwrap_or(reject),
    }
}

/// The rules in force, if they are those of this generation.
#[inline(always)]
fn same_rules<M: Maps>(maps: &M, slot: M::Slot, generation: u64) -> Result<M::Rules, Verdict> {
    maps.rules(slot).filter(|rules| rules.generation() == generation).ok_or(Verdict::Pass)
}

/// The remaining checks of an admitted advert.
///
/// # Errors
/// The verdict, for an advert that is not to be noted.
#[inline(always)]
pub fn examine<M: Maps>(
    maps: &M,
    frame: &Frame,
    slot: M::Slot,
    generation: u64,
) -> Result<(AdvertInfo, ChecksumForm), Verdict> {
    let rules = same_rules(maps, slot, generation)?;
    let sum = |length| maps.sum(frame.at, length);
    let judged = advert::judge_length(maps.octets(), frame)
        .and_then(|()| advert::judge_message(maps.octets(), frame, &rules, sum));
    if !rules.are_in_force() {
        return Err(Verdict::Pass);
    }
    judged.map_err(|reject| {
        if reject == Reject::Carp {
            let key = InstanceKey::new(maps.ifindex(), frame.vlan, frame.family, frame.vrid);
            maps.note_unknown_router(&key, frame);
        }
        maps.refuse(slot, reject, sender(maps, reject, frame));
        Verdict::Drop
    })
}

/// Of a refused advert. Another host may have our address: only its MAC address shows that the advert is none of ours
/// that has come back.
#[inline(always)]
fn sender<M: Maps>(maps: &M, reject: Reject, frame: &Frame) -> [u8; 16] {
    match reject {
        Reject::OwnSource => {
            maps.foreign_mac().map_or(frame.source, |mac| Rejected::duplicate(frame.source, mac))
        }
        _ => frame.source,
    }
}

/// Records a valid advert that is not the watched one, and wakes the daemon.
#[inline(always)]
pub fn note<M: Maps>(
    maps: &M,
    frame: &Frame,
    slot: M::Slot,
    generation: u64,
    (info, checksum): (&AdvertInfo, ChecksumForm),
) -> Verdict {
    let Ok(rules) = same_rules(maps, slot, generation) else { return Verdict::Pass };
    let (is_signed, own) = (rules.is_signed(), rules.priority);
    if !rules.are_in_force() {
        return Verdict::Pass;
    }
    let now = maps.now();
    // Only the daemon can verify a signature: until then the advert adds no peer.
    let peer = if is_signed { NO_PEER } else { maps.note_peer(slot, info, checksum, now) };
    let class = SenderClass::of(info.priority, own, maps.is_watched(slot, &info.source));
    let class = maps.launder(class as usize);
    let is_signed = maps.launder(usize::from(is_signed)) != 0;
    if !maps.spend(slot, class, is_signed, now) {
        maps.count(Some(slot), Counter::OverBudget);
        if is_signed {
            maps.miss(slot, class, now);
        }
        return Verdict::Drop;
    }
    let may_be_better = matches!(SenderClass::of(info.priority, own, false), SenderClass::Better);
    let message = Message {
        info,
        checksum,
        peer,
        // An unverified signature ends no lease: any host can have sent it.
        challenges: may_be_better && !is_signed,
        at: maps.launder(frame.at.wrapping_sub(frame.prefix)),
        length: maps.launder(frame.length + frame.prefix),
    };
    if !maps.wake(slot, &message, now) && is_signed {
        maps.miss(slot, class, now);
    }
    Verdict::Pass
}

/// All three steps, for callers that no verifier follows.
pub fn walk<M: Maps>(maps: &M, frame: &Frame) -> Verdict {
    match admit(maps, frame) {
        FastPathResult::Done(verdict) => verdict,
        FastPathResult::Examine { slot, generation } => match examine(maps, frame, slot, generation) {
            Ok((info, checksum)) => note(maps, frame, slot, generation, (&info, checksum)),
            Err(verdict) => verdict,
        },
    }
}
