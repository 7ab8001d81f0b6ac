//! Ledger of an instance's signed adverts, for any thread to read: the latest sequence of each sender, and the offset
//! of its clock from ours.
//!
//! An ordinary thread fills it before the engine uses it; from then on only the engine writes.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{
    AtomicI64, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use crate::protocol::auth::{Mark, Sequence};

/// Stands for a skew that was not measured.
const UNKNOWN: i64 = i64::MIN;

#[derive(Debug)]
pub struct Ledger {
    /// The sequence of our latest advert; 0 before the first one.
    sent: AtomicU64,
    entries: Box<[Entry]>,
}

/// One sender. Readers do not wait: the writer makes `generation` odd, and even again when it is done. 0: vacant.
#[derive(Debug)]
struct Entry {
    generation: AtomicU64,
    source: [AtomicU64; 2],
    sequence: AtomicU64,
    skew: AtomicI64,
}

/// One sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Note {
    pub mark: Mark,
    /// How far its clock is ahead of ours, in µs; `None` before its first advert in this process.
    pub skew: Option<i64>,
}

impl Ledger {
    pub fn new(senders: usize) -> Self {
        let entry = || Entry {
            generation: AtomicU64::new(0),
            source: [const { AtomicU64::new(0) }; 2],
            sequence: AtomicU64::new(0),
            skew: AtomicI64::new(UNKNOWN),
        };
        Self { sent: AtomicU64::new(0), entries: (0..senders).map(|_| entry()).collect() }
    }

    pub fn room(&self) -> usize {
        self.entries.len()
    }

    pub fn sent(&self) -> Option<Sequence> {
        Some(self.sent.load(Relaxed)).filter(|sent| *sent != 0).map(Sequence)
    }

    pub fn note_sent(&self, sequence: Sequence) {
        self.sent.store(sequence.0, Relaxed);
    }

    /// Writes a sender to its place. Without effect beyond [`Self::room`].
    pub fn note(&self, place: usize, note: Note) {
        let Some(entry) = self.entries.get(place) else { return };
        let [low, high] = halves(note.mark.source);
        let generation = entry.generation.load(Relaxed);
        entry.generation.store(generation | 1, Relaxed);
        fence(Release);
        entry.source[0].store(low, Relaxed);
        entry.source[1].store(high, Relaxed);
        entry.sequence.store(note.mark.sequence.0, Relaxed);
        entry.skew.store(note.skew.unwrap_or(UNKNOWN), Relaxed);
        entry.generation.store((generation | 1).wrapping_add(1), Release);
    }

    /// All senders, in the order of their places, without one that is being written.
    pub fn notes(&self) -> impl Iterator<Item = Note> + '_ {
        self.entries.iter().filter_map(|entry| entry.read())
    }

    /// Forgets all, for another instance.
    pub fn clear(&self) {
        self.sent.store(0, Relaxed);
        self.vacate(0);
    }

    /// Forgets the senders from this place on.
    pub fn vacate(&self, from: usize) {
        self.entries.iter().skip(from).for_each(|entry| entry.generation.store(0, Release));
    }
}

impl Entry {
    fn read(&self) -> Option<Note> {
        // A writer is done within a moment, and writes again after an advert interval at the earliest.
        for _ in 0..8 {
            let before = self.generation.load(Acquire);
            let source = [self.source[0].load(Relaxed), self.source[1].load(Relaxed)];
            let sequence = Sequence(self.sequence.load(Relaxed));
            let skew = Some(self.skew.load(Relaxed)).filter(|skew| *skew != UNKNOWN);
            fence(Acquire);
            if before == 0 {
                return None;
            }
            if before.is_multiple_of(2) && self.generation.load(Relaxed) == before {
                return Some(Note { mark: Mark { source: joined(source), sequence }, skew });
            }
            std::hint::spin_loop();
        }
        None
    }
}

/// IPv4 addresses in mapped form, which no IPv6 host sends from.
#[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
fn halves(address: IpAddr) -> [u64; 2] {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    [address.to_bits() as u64, (address.to_bits() >> 64) as u64]
}

fn joined([low, high]: [u64; 2]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))).to_canonical()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn note(last: u8, sequence: u64) -> Note {
        let source = [192, 0, 2, last].into();
        Note { mark: Mark { source, sequence: Sequence(sequence) }, skew: Some(-7) }
    }

    #[test]
    fn reads_back() {
        let ledger = Ledger::new(2);
        assert_eq!((ledger.notes().count(), ledger.sent()), (0, None));
        ledger.note(1, note(9, 5));
        ledger.note(2, note(8, 5));
        ledger.note_sent(Sequence(3));
        assert_eq!(ledger.notes().collect::<Vec<_>>(), [note(9, 5)]);
        assert_eq!(ledger.sent(), Some(Sequence(3)));
        ledger.clear();
        assert_eq!((ledger.notes().count(), ledger.sent()), (0, None));
        let six =
            Note { mark: Mark { source: "2001:db8::1".parse().unwrap(), sequence: Sequence(1) }, skew: None };
        let ledger = Ledger::new(1);
        ledger.note(0, six);
        assert_eq!(ledger.notes().collect::<Vec<_>>(), [six]);
    }

    /// Every note read was written in one piece.
    #[test]
    fn nothing_is_torn() {
        let ledger = Arc::new(Ledger::new(1));
        let done = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (ledger, done) = (Arc::clone(&ledger), Arc::clone(&done));
            move || {
                let mut read = 0_u32;
                while !done.load(Relaxed) {
                    for found in ledger.notes() {
                        let IpAddr::V4(source) = found.mark.source else { panic!("{found:?}") };
                        assert_eq!(u64::from(source.octets()[3]), found.mark.sequence.0 & 0xff);
                        read += 1;
                    }
                }
                read
            }
        });
        let mut sequence = 0_u64;
        while sequence < 2_000_000 {
            ledger.note(0, note(sequence.to_le_bytes()[0], sequence));
            sequence += 1;
        }
        done.store(true, Relaxed);
        assert!(reader.join().unwrap() > 0);
    }
}
