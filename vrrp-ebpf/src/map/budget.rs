//! The budget of wake-ups: adverts of an instance that may wake the daemon per window.

/// Adverts of the watched source that may wake the daemon per [`BUDGET_WINDOW_NS`]: several times the number that it
/// sends at the shortest interval, if they are signed or change.
pub const BUDGET_WATCHED: u32 = BUDGET_OTHERS << 2;
/// The budget shared by all other senders, counted separately for those below our priority and for the rest. Enough for
/// a link full of routers that are still electing; beyond it, more adverts cost CPU time and add no information.
pub const BUDGET_OTHERS: u32 = 16;
/// The budget of each [`SenderClass`] if adverts are signed, as long as the ring has room: any host can send a wrong
/// signature from any address, and only the daemon can verify one, at the cost of a hash each.
pub const BUDGET_SIGNED: u32 = BUDGET_OTHERS << 8;
/// Length of a window, ns.
pub const BUDGET_WINDOW_NS: u64 = 100_000_000;

/// Class of an advert's sender; each has a budget of its own. A flood of one class takes nothing from the others:
/// neither from the master that is obeyed, nor from a better one that has not been heard before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum SenderClass {
    /// Its priority is below ours.
    Lower = 0,
    /// Its priority is ours or higher: it may be a better master.
    Better = 1,
    /// The source of the watched advert.
    Watched = 2,
}

impl SenderClass {
    /// The class of an advert of this priority; `own` is the priority of the instance.
    #[inline(always)]
    pub const fn of(priority: u8, own: u8, is_watched: bool) -> Self {
        if is_watched {
            Self::Watched
        } else if priority >= own {
            Self::Better
        } else {
            Self::Lower
        }
    }
}

/// Events spent in the current window, by [`SenderClass`]. Adverts beyond [`BUDGET_WATCHED`] or [`BUDGET_OTHERS`], or
/// beyond [`BUDGET_SIGNED`] if adverts are signed, are dropped and counted.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Budget {
    /// Start of the window, ns of CLOCK_MONOTONIC.
    pub window: u64,
    /// Indexed by [`SenderClass`]; the last element is unused.
    pub spent: [u32; 4],
}

const _: () = assert!(size_of::<Budget>() == 24);

impl Budget {
    /// Spends one event of `class`, a [`SenderClass`] as a number; false if none is left in the current window.
    /// `has_room` says whether the larger budget of signed adverts applies.
    #[inline(always)]
    pub fn spend(&mut self, class: usize, has_room: impl FnOnce() -> bool, now: u64) -> bool {
        // SAFETY: a budget of the caller's own.
        unsafe { Self::spend_at(self, class, has_room, now) }
    }

    /// [`Self::spend`] for a budget in a map, where another CPU may write to it at the same time: then a few more
    /// events pass.
    ///
    /// # Safety
    /// `this` must point to a budget, aligned and for as long as the call lasts.
    #[inline(always)]
    pub unsafe fn spend_at(this: *mut Self, class: usize, has_room: impl FnOnce() -> bool, now: u64) -> bool {
        let class = class & 3;
        // SAFETY: the caller's promise; the mask keeps the index within the four.
        unsafe {
            if now.wrapping_sub((*this).window) >= BUDGET_WINDOW_NS {
                (*this).window = now;
                (*this).spent = [0; 4];
            }
            let count = (&raw mut (*this).spent).cast::<u32>().add(class);
            let spent = *count;
            // Branchless: the verifier would follow each branch to the end of the program.
            let is_left = spent < BUDGET_OTHERS << (class & 2) || spent < BUDGET_SIGNED && has_room();
            *count = spent + u32::from(is_left);
            is_left
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_rank_takes_nothing_from_the_others() {
        let mut budget = Budget::default();
        let now = BUDGET_WINDOW_NS;
        let mut left =
            |class: SenderClass| (0..1000).filter(|_| budget.spend(class as usize, || false, now)).count();
        assert_eq!(left(SenderClass::Lower), BUDGET_OTHERS as usize);
        assert_eq!(left(SenderClass::Better), BUDGET_OTHERS as usize);
        assert_eq!(left(SenderClass::Watched), BUDGET_WATCHED as usize);
        assert!(!budget.spend(SenderClass::Lower as usize, || false, now + BUDGET_WINDOW_NS - 1));
        assert!(budget.spend(SenderClass::Lower as usize, || false, now + BUDGET_WINDOW_NS));
    }

    #[test]
    fn signed_ones_have_what_the_ring_has_room_for() {
        for class in [SenderClass::Lower, SenderClass::Better, SenderClass::Watched] {
            let mut budget = Budget::default();
            let mut spend = |room: bool| budget.spend(class as usize, || room, BUDGET_WINDOW_NS);
            let basic = (0..1000).filter(|_| spend(false)).count();
            let further = (0..10_000).filter(|_| spend(true)).count();
            assert_eq!(basic + further, BUDGET_SIGNED as usize, "{class:?}");
            assert!(!spend(true) && basic <= BUDGET_WATCHED as usize);
        }
    }

    #[test]
    fn an_equal_one_may_be_better() {
        assert_eq!(SenderClass::of(100, 100, false), SenderClass::Better);
        assert_eq!(SenderClass::of(99, 100, false), SenderClass::Lower);
        assert_eq!(SenderClass::of(99, 100, true), SenderClass::Watched);
    }
}
