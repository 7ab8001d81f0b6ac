//! The ring of events: valid adverts that differ from the watched one.

use std::fmt;
use std::mem::{align_of, size_of};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use aya::maps::{MapData, RingBuf};
use vrrp_ebpf::map::{Event, EventHead, SHORT_PAYLOAD, SLOTS_MAX};

/// The daemon's end of `EVENTS`. Readable for epoll while it holds entries.
pub struct Ring {
    entries: RingBuf<MapData>,
}

/// An event, with its message.
#[derive(Clone, Copy, Debug)]
pub struct Queued<'a> {
    head: &'a EventHead,
    message: &'a [u8],
}

impl<'a> Queued<'a> {
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

impl Deref for Queued<'_> {
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
    pub fn drain(&mut self, max: usize, mut each: impl FnMut(Queued<'_>)) -> usize {
        let mut drained = 0;
        while drained < max
            && let Some(entry) = self.entries.next()
        {
            if let Some(event) = Queued::of(&entry) {
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

/// Size of the ring: room for an event per instance of the start, within 64 KiB and 8 MiB; the kernel requires a power
/// of two. All of it is memory of the daemon, twice mapped. There are half as many instances as slots, unless there are
/// all the slots that there can be. `long` of them have adverts that need the longest entries.
pub(super) fn bytes(slots: u32, long: u32) -> u32 {
    /// Bytes of an entry's own header.
    const HEADER: u32 = 8;
    const SHORT: u32 = 200;
    const LONG: u32 = 1528;
    const _: () = assert!(SHORT as usize == size_of::<Event<SHORT_PAYLOAD>>() + HEADER as usize);
    const _: () = assert!(LONG as usize == size_of::<Event>() + HEADER as usize);
    let instances = if slots < SLOTS_MAX { slots.div_ceil(2) } else { slots };
    let all = instances.saturating_sub(long).saturating_mul(SHORT).saturating_add(long.saturating_mul(LONG));
    all.next_power_of_two().clamp(64 << 10, 8 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_has_room_for_an_event() {
        for (instances, slots) in [(1, 64), (1000, 2000), (2047, 4094), (2048, 4096), (4096, 4096)] {
            assert!(bytes(slots, 0) / 200 >= instances, "{instances}");
            assert!(bytes(slots, instances) / 1528 >= instances, "{instances}");
        }
        assert!(bytes(2000, 500) >= 500 * (200 + 1528));
    }

    #[test]
    fn an_entry_is_as_long_as_its_message_needs() {
        let mut entry = [0_u64; 8];
        entry[4] = u64::from_ne_bytes([16, 0, 0, 0, 0, 0, 0, 0]);
        // SAFETY: numbers as bytes.
        let entry = unsafe { std::slice::from_raw_parts(entry.as_ptr().cast::<u8>(), 64) };
        assert!(Queued::of(&entry[..32]).is_none());
        let messages = [40, 48, 56, 64].map(|end| Queued::of(&entry[..end]).unwrap().message().len());
        assert_eq!(messages, [0, 0, 16, 16], "one that is cut off is none");
    }
}
