//! How many adverts of an instance may wake the daemon.

/// How many adverts of the watched source may wake the daemon within a window of [`BUDGET_WINDOW_NS`]: several times
/// what it sends at the shortest interval, signed or in change.
pub const BUDGET_WATCHED: u32 = BUDGET_OTHERS << 2;
/// How many of all other sources together, those of lower priority than ours and the rest apart: enough for a link full
/// of routers that have not settled, each heard at its turn. In a flood each further one would cost time of a processor
/// and tell nothing.
pub const BUDGET_OTHERS: u32 = 16;
/// How many of each [`Rank`] where adverts are signed, as long as the ring has room: any host can send a wrong signature
/// from any address, and only the daemon can tell it from a right one, by a hash each.
pub const BUDGET_SIGNED: u32 = BUDGET_OTHERS << 8;
pub const BUDGET_WINDOW_NS: u64 = 100_000_000;

/// Whose an advert is. A flood of one of these takes nothing from the others: neither from the master that is obeyed, nor
/// from a better one that nobody has heard yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Rank {
    Lower = 0,
    /// It may be a better master than we are.
    Better = 1,
    Watched = 2,
}

impl Rank {
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

/// Events spent in the running window, by [`Rank`]. What is beyond [`BUDGET_WATCHED`] and [`BUDGET_OTHERS`], and beyond
/// [`BUDGET_SIGNED`] where adverts are signed, is dropped and counted.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Budget {
    pub window: u64,
    pub spent: [u32; 4],
}

const _: () = assert!(size_of::<Budget>() == 24);

impl Budget {
    /// Spends one event of a [`Rank`], as a number; false when none is left in the running window. `has_room` says for
    /// signed adverts whether there may be more than for others.
    #[inline(always)]
    pub fn spend(&mut self, rank: usize, has_room: impl FnOnce() -> bool, now: u64) -> bool {
        if now.wrapping_sub(self.window) >= BUDGET_WINDOW_NS {
            *self = Self { window: now, spent: [0; 4] };
        }
        let rank = rank & 3;
        let spent = &mut self.spent[rank];
        // Computed, for the verifier would follow each branch to the end of the program.
        let is_left = *spent < BUDGET_OTHERS << (rank & 2) || *spent < BUDGET_SIGNED && has_room();
        *spent += u32::from(is_left);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_rank_takes_nothing_from_the_others() {
        let mut budget = Budget::default();
        let now = BUDGET_WINDOW_NS;
        let mut left = |rank: Rank| (0..1000).filter(|_| budget.spend(rank as usize, || false, now)).count();
        assert_eq!(left(Rank::Lower), BUDGET_OTHERS as usize);
        assert_eq!(left(Rank::Better), BUDGET_OTHERS as usize);
        assert_eq!(left(Rank::Watched), BUDGET_WATCHED as usize);
        assert!(!budget.spend(Rank::Lower as usize, || false, now + BUDGET_WINDOW_NS - 1));
        assert!(budget.spend(Rank::Lower as usize, || false, now + BUDGET_WINDOW_NS));
    }

    #[test]
    fn signed_ones_have_what_the_ring_has_room_for() {
        for rank in [Rank::Lower, Rank::Better, Rank::Watched] {
            let mut budget = Budget::default();
            let mut spend = |room: bool| budget.spend(rank as usize, || room, BUDGET_WINDOW_NS);
            let basic = (0..1000).filter(|_| spend(false)).count();
            let further = (0..10_000).filter(|_| spend(true)).count();
            assert_eq!(basic + further, BUDGET_SIGNED as usize, "{rank:?}");
            assert!(!spend(true) && basic <= BUDGET_WATCHED as usize);
        }
    }

    #[test]
    fn an_equal_one_may_be_better() {
        assert_eq!(Rank::of(100, 100, false), Rank::Better);
        assert_eq!(Rank::of(99, 100, false), Rank::Lower);
        assert_eq!(Rank::of(99, 100, true), Rank::Watched);
    }
}
