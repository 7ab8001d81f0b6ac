//! How many adverts of an instance may wake the daemon.

/// How many adverts of an instance may wake the daemon within a window of [`BUDGET_WINDOW_NS`].
pub const BUDGET_EVENTS: u32 = 64;
pub const BUDGET_WINDOW_NS: u64 = 100_000_000;

/// Events spent in the running window. More than [`BUDGET_EVENTS`] are dropped and counted.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Budget {
    pub window: u64,
    pub spent: u32,
    pub reserved: u32,
}

const _: () = assert!(size_of::<Budget>() == 16);
