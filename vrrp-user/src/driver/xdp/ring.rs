//! The ring of events: valid adverts that differ from the watched one.

use std::fmt;
use std::mem::{align_of, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use aya::maps::{MapData, RingBuf};
use vrrp_ebpf::map::{Event, SLOTS_MAX};

/// The daemon's end of `EVENTS`. Readable for epoll while it holds entries.
pub struct Ring {
    entries: RingBuf<MapData>,
}

impl Ring {
    pub(super) fn new(entries: RingBuf<MapData>) -> Self {
        Self { entries }
    }

    /// Passes at most `max` queued events to `each`, in order and in place, and returns their number. Neither allocates
    /// nor blocks, and makes no system call.
    pub fn drain(&mut self, max: usize, mut each: impl FnMut(&Event)) -> usize {
        let mut drained = 0;
        while drained < max
            && let Some(entry) = self.entries.next()
        {
            if let Some(event) = view(&entry) {
                each(event);
            }
            drained += 1;
        }
        drained
    }
}

/// An entry as the event that the program wrote; `None` for another size, which it never writes.
fn view(entry: &[u8]) -> Option<&Event> {
    let event = entry.as_ptr().cast::<Event>();
    if entry.len() != size_of::<Event>() || !event.addr().is_multiple_of(align_of::<Event>()) {
        return None;
    }
    // SAFETY: size and alignment are checked, every bit pattern is an Event, and the kernel does not write to an
    // entry before the consumer position has passed it, which happens when `entry` is dropped.
    Some(unsafe { &*event })
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

/// Room for an event per instance of the start, within 256 KiB and 8 MiB; the kernel requires a power of two. All of it
/// is memory of the daemon, twice mapped. There are half as many instances as slots, unless there are all the slots
/// that there can be.
pub(super) fn bytes(slots: u32) -> u32 {
    const EVENT: u32 = 1528;
    const _: () = assert!(EVENT as usize == size_of::<Event>() + 8);
    let instances = if slots < SLOTS_MAX { slots.div_ceil(2) } else { slots };
    instances.saturating_mul(EVENT).next_power_of_two().clamp(256 << 10, 8 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_has_room_for_an_event() {
        for (instances, slots) in [(1, 64), (1000, 2000), (2047, 4094), (2048, 4096), (4096, 4096)] {
            assert!(bytes(slots) / 1528 >= instances, "{instances}");
        }
    }

    #[test]
    fn an_entry_of_another_size_is_no_event() {
        assert!(view(&[0; 16]).is_none());
    }
}
