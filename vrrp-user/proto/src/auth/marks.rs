//! Marks against replay: the newest sequence of each sender; an advert that is not newer was heard before.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::Sequence;

/// Senders to a multicast group with a mark; the one that has been silent longest makes room.
pub const GROUP_SENDERS: usize = 4;

/// The newest advert of one sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark {
    pub source: IpAddr,
    pub sequence: Sequence,
}

/// Marks of one instance's senders. Only adverts with a valid signature move them: no sender without the key can.
#[derive(Clone, Debug)]
pub struct SenderMarks {
    entries: Vec<Entry>,
    room: usize,
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    mark: Mark,
    used: u64,
}

/// The advert was heard before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Replay;

impl SenderMarks {
    /// For at most `room` senders, at least one.
    pub fn new(room: usize) -> Self {
        Self { entries: Vec::with_capacity(room), room: room.max(1), uses: 0 }
    }

    /// Restores a mark, unless that of its sender is newer. Without effect if no room is left.
    pub fn recall(&mut self, mark: Mark) {
        match self.entries.iter_mut().find(|entry| entry.mark.source == mark.source) {
            Some(entry) if mark.sequence.is_after(entry.mark.sequence) => entry.mark = mark,
            Some(_) => {}
            None => {
                if self.entries.len() < self.room {
                    self.entries.push(Entry { mark, used: 0 });
                }
            }
        }
    }

    /// Whether [`Self::advance`] would refuse it; this takes no key.
    pub fn is_behind(&self, source: IpAddr, sequence: Sequence, is_void: impl Fn(Sequence) -> bool) -> bool {
        let known = self.entries.iter().find(|known| known.mark.source == source);
        known.is_some_and(|known| !is_void(known.mark.sequence) && !sequence.is_after(known.mark.sequence))
    }

    /// Moves the sender's mark to a signed advert, and returns its index. A mark is ignored if `is_void` says so.
    ///
    /// # Errors
    /// The advert is not newer than the mark.
    pub fn advance(
        &mut self,
        source: IpAddr,
        sequence: Sequence,
        is_void: impl FnOnce(Sequence) -> bool,
    ) -> Result<usize, Replay> {
        self.uses += 1;
        let entry = Entry { mark: Mark { source, sequence }, used: self.uses };
        let known = self.entries.iter_mut().enumerate().find(|(_, known)| known.mark.source == source);
        if let Some((place, known)) = known {
            known.used = self.uses;
            if !is_void(known.mark.sequence) && !sequence.is_after(known.mark.sequence) {
                return Err(Replay);
            }
            *known = entry;
            return Ok(place);
        }
        if self.entries.len() < self.room {
            self.entries.push(entry);
            return Ok(self.entries.len() - 1);
        }
        let oldest = self.entries.iter_mut().enumerate().min_by_key(|(_, known)| known.used);
        let (place, oldest) = oldest.ok_or(Replay)?;
        *oldest = entry;
        Ok(place)
    }

    /// All marks, by index.
    pub fn iter(&self) -> impl Iterator<Item = Mark> + '_ {
        self.entries.iter().map(|entry| entry.mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn never(_: Sequence) -> bool {
        false
    }

    #[test]
    fn only_what_is_newer_is_taken() {
        let mut marks = SenderMarks::new(4);
        assert_eq!(marks.advance(source(1), Sequence(10), never), Ok(0));
        assert_eq!(marks.advance(source(1), Sequence(10), never), Err(Replay));
        assert_eq!(marks.advance(source(1), Sequence(9), never), Err(Replay));
        assert_eq!(marks.advance(source(2), Sequence(9), never), Ok(1), "another sender");
        for (last, sequence, behind) in [(1, 10, true), (1, 11, false), (2, 9, true), (3, 1, false)] {
            assert_eq!(
                marks.is_behind(source(last), Sequence(sequence), never),
                behind,
                "{last}, {sequence}"
            );
        }
        assert!(!marks.is_behind(source(1), Sequence(9), |mark| mark == Sequence(10)), "a void mark");
        assert_eq!(marks.advance(source(1), Sequence(11), never), Ok(0));
        assert_eq!(marks.advance(source(1), Sequence(1), |mark| mark == Sequence(11)), Ok(0), "a void mark");
    }

    #[test]
    fn the_longest_silent_one_makes_room() {
        let mut marks = SenderMarks::new(2);
        marks.advance(source(1), Sequence(5), never).unwrap();
        marks.advance(source(2), Sequence(5), never).unwrap();
        marks.advance(source(1), Sequence(6), never).unwrap();
        assert_eq!(marks.advance(source(3), Sequence(5), never), Ok(1));
        assert_eq!(marks.advance(source(1), Sequence(6), never), Err(Replay));
    }

    #[test]
    fn recalled_marks_never_go_back() {
        let mut marks = SenderMarks::new(2);
        marks.recall(Mark { source: source(1), sequence: Sequence(7) });
        marks.recall(Mark { source: source(1), sequence: Sequence(6) });
        assert_eq!(marks.advance(source(1), Sequence(7), never), Err(Replay));
        marks.recall(Mark { source: source(2), sequence: Sequence(1) });
        marks.recall(Mark { source: source(3), sequence: Sequence(1) });
        assert_eq!(marks.iter().count(), 2);
    }
}
