//! The ring of events: valid adverts that differ from the watched one.

use std::fmt;
use std::mem::{align_of, size_of};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use aya::maps::{MapData, RingBuf};
use vrrp_ebpf::map::EventHead;

/// The daemon's end of `EVENTS`. Readable for epoll while it holds entries.
pub struct Ring {
    entries: RingBuf<MapData>,
}

/// An event, with its message.
#[derive(Clone, Copy, Debug)]
pub struct QueuedEvent<'a> {
    head: &'a EventHead,
    message: &'a [u8],
}

impl<'a> QueuedEvent<'a> {
    /// An entry as the event that the program wrote; `None` for another size, which it never writes.
    fn of(entry: &'a [u8]) -> Option<Self> {
        let (head, payload) = entry.split_at_checked(size_of::<EventHead>())?;
        let head = head.as_ptr().cast::<EventHead>();
        if !head.addr().is_multiple_of(align_of::<EventHead>()) {
            return None;
        }
        // SAFETY: size and alignment are checked, every bit pattern is a head, and the kernel does not write to an
        // entry before the consumer position has passed it, which happens when `entry` is dropped.
        let head = unsafe { &*head };
        Some(Self { head, message: head.message(payload) })
    }

    pub fn message(&self) -> &'a [u8] {
        self.message
    }
}

impl Deref for QueuedEvent<'_> {
    type Target = EventHead;

    fn deref(&self) -> &EventHead {
        self.head
    }
}

impl Ring {
    pub(super) fn new(entries: RingBuf<MapData>) -> Self {
        Self { entries }
    }

    /// Passes at most `max` queued events to `each`, in order and in place, and returns their number. Neither allocates
    /// nor blocks, and makes no system call.
    pub fn drain(&mut self, max: usize, mut each: impl FnMut(QueuedEvent<'_>)) -> usize {
        let mut drained = 0;
        while drained < max
            && let Some(entry) = self.entries.next()
        {
            if let Some(event) = QueuedEvent::of(&entry) {
                each(event);
            }
            drained += 1;
        }
        drained
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.entries.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.entries.as_raw_fd()
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}

/// Bytes that an event takes in the ring, with a message of this length.
pub fn event_bytes(message: usize) -> usize {
    /// Of an entry's own header, which entries are aligned to.
    const HEADER: usize = 8;
    (HEADER + size_of::<EventHead>() + message).next_multiple_of(HEADER)
}

/// Size of a ring with room for so many bytes of events, within 64 KiB and 8 MiB; the kernel requires a power of two.
/// All of it is memory of the daemon, twice mapped.
pub(super) fn size(events: u32) -> u32 {
    events.clamp(64 << 10, 8 << 20).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_room_for_the_events_within_its_bounds() {
        assert_eq!([0, 12, 13].map(event_bytes), [48, 64, 64]);
        let sizes = [0, (64 << 10) + 1, 300_000, u32::MAX].map(size);
        assert_eq!(sizes, [64 << 10, 128 << 10, 512 << 10, 8 << 20]);
    }

    #[test]
    fn an_entry_is_as_long_as_its_message_needs() {
        let mut entry = [0_u64; 8];
        entry[4] = u64::from_ne_bytes([16, 0, 0, 0, 0, 0, 0, 0]);
        // SAFETY: numbers as bytes.
        let entry = unsafe { std::slice::from_raw_parts(entry.as_ptr().cast::<u8>(), 64) };
        assert!(QueuedEvent::of(&entry[..32]).is_none());
        let messages = [40, 48, 56, 64].map(|end| QueuedEvent::of(&entry[..end]).unwrap().message().len());
        assert_eq!(messages, [0, 0, 16, 16], "one that is cut off is none");
    }
}
