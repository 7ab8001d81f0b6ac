//! How many adverts of an instance may wake the daemon.

/// How many adverts of the watched source may wake the daemon within a window of [`BUDGET_WINDOW_NS`]: several times
/// what it sends at the shortest interval, signed or in change.
pub const BUDGET_WATCHED: u32 = 64;
/// How many of all other sources together: enough for a link full of routers that have not settled, each heard at its
/// turn. In a flood each further one would cost time of a processor and tell nothing.
pub const BUDGET_OTHERS: u32 = 16;
pub const BUDGET_WINDOW_NS: u64 = 100_000_000;

/// Events spent in the running window, of the source that is watched and of all others apart: a flood of others takes
/// nothing from the master that is obeyed. What is beyond [`BUDGET_WATCHED`] and [`BUDGET_OTHERS`] is dropped and counted.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Budget {
    pub window: u64,
    pub spent: u32,
    pub watched: u32,
}

const _: () = assert!(size_of::<Budget>() == 16);

impl Budget {
    /// Spends one event; false when none is left in the running window.
    #[inline(always)]
    pub fn spend(&mut self, is_watched: bool, now: u64) -> bool {
        if now.wrapping_sub(self.window) >= BUDGET_WINDOW_NS {
            *self = Self { window: now, spent: 0, watched: 0 };
        }
        let (spent, budget) = match is_watched {
            true => (&mut self.watched, BUDGET_WATCHED),
            false => (&mut self.spent, BUDGET_OTHERS),
        };
        let is_left = *spent < budget;
        *spent += u32::from(is_left);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_take_nothing_from_the_watched_one() {
        let mut budget = Budget::default();
        let now = BUDGET_WINDOW_NS;
        let left = (0..1000).filter(|_| budget.spend(false, now)).count();
        let watched = (0..1000).filter(|_| budget.spend(true, now)).count();
        assert_eq!((left, watched), (BUDGET_OTHERS as usize, BUDGET_WATCHED as usize));
        assert!(!budget.spend(false, now + BUDGET_WINDOW_NS - 1));
        assert!(budget.spend(false, now + BUDGET_WINDOW_NS));
    }
}
