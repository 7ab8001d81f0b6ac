//! How many adverts of an instance may wake the daemon.

/// How many adverts of the watched source may wake the daemon within a window of [`BUDGET_WINDOW_NS`]: several times
/// what it sends at the shortest interval, signed or in change.
pub const BUDGET_WATCHED: u32 = BUDGET_OTHERS << 2;
/// How many of all other sources together, those of lower priority than ours and the rest apart: enough for a link full
/// of routers that have not settled, each heard at its turn. In a flood each further one would cost time of a processor
/// and tell nothing.
pub const BUDGET_OTHERS: u32 = 16;
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

/// Events spent in the running window, by [`Rank`]. What is beyond [`BUDGET_WATCHED`] and [`BUDGET_OTHERS`] is dropped
/// and counted.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Budget {
    pub window: u64,
    pub spent: [u32; 4],
}

const _: () = assert!(size_of::<Budget>() == 24);

impl Budget {
    /// Spends one event of a [`Rank`], as a number; false when none is left in the running window.
    #[inline(always)]
    pub fn spend(&mut self, rank: usize, now: u64) -> bool {
        if now.wrapping_sub(self.window) >= BUDGET_WINDOW_NS {
            *self = Self { window: now, spent: [0; 4] };
        }
        let rank = rank & 3;
        let spent = &mut self.spent[rank];
        // Computed, for the verifier would follow each branch to the end of the program.
        let is_left = *spent < BUDGET_OTHERS << (rank & 2);
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
        let mut left = |rank: Rank| (0..1000).filter(|_| budget.spend(rank as usize, now)).count();
        assert_eq!(left(Rank::Lower), BUDGET_OTHERS as usize);
        assert_eq!(left(Rank::Better), BUDGET_OTHERS as usize);
        assert_eq!(left(Rank::Watched), BUDGET_WATCHED as usize);
        assert!(!budget.spend(Rank::Lower as usize, now + BUDGET_WINDOW_NS - 1));
        assert!(budget.spend(Rank::Lower as usize, now + BUDGET_WINDOW_NS));
    }

    #[test]
    fn an_equal_one_may_be_better() {
        assert_eq!(Rank::of(100, 100, false), Rank::Better);
        assert_eq!(Rank::of(99, 100, false), Rank::Lower);
        assert_eq!(Rank::of(99, 100, true), Rank::Watched);
    }
}
