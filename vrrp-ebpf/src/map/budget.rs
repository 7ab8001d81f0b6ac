//! How many adverts of an instance may wake the daemon.

/// How many adverts of an instance may wake the daemon within a window of [`BUDGET_WINDOW_NS`].
pub const BUDGET_EVENTS: u32 = 64;
pub const BUDGET_WINDOW_NS: u64 = 100_000_000;

/// Events spent in the running window, of the source that is watched and of all others apart: a flood of others takes
/// nothing from the master that is obeyed. More than [`BUDGET_EVENTS`] of either are dropped and counted.
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
        let spent = if is_watched { &mut self.watched } else { &mut self.spent };
        let is_left = *spent < BUDGET_EVENTS;
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
        assert_eq!((left, budget.spend(true, now)), (BUDGET_EVENTS as usize, true));
        assert!(!budget.spend(false, now + BUDGET_WINDOW_NS - 1));
        assert!(budget.spend(false, now + BUDGET_WINDOW_NS));
    }
}
