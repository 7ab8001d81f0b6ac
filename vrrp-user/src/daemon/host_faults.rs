//! Faults of this host that the daemon cannot mend: things of killed daemons that stay, a firewall that refuses, an
//! address on which HTTP cannot be served, and memory that is not locked.
//!
//! Enters: the outcome of each attempt, by the part of the daemon that makes it. Leaves: the faults that last, each
//! with what to do, for status and log. Absent: the next attempt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::words;

/// Between two attempts to mend them.
pub const RETRY: Duration = Duration::from_secs(10);

/// The part that has found a fault, and finds that it is gone.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Finder {
    /// Removal of what other killed daemons have left.
    DeadDaemons,
    /// Removal of tc filters that an earlier run has left.
    Filters,
    Firewall,
    /// The listener of HTTP.
    Http,
    /// The memory of the daemon, which is locked once more when its start is over.
    Memory,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostFault {
    /// What it is of, such as `nftables`.
    pub about: String,
    /// The fault, and what to do.
    pub text: String,
}

/// Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct HostFaults(Arc<Mutex<BTreeMap<Finder, Vec<HostFault>>>>);

impl HostFaults {
    /// Replaces the faults of one part. Returns those that are new.
    pub fn set(&self, finder: Finder, faults: Vec<HostFault>) -> Vec<HostFault> {
        let in_words = |it: HostFault| HostFault { text: words(it.text), ..it };
        let faults: Vec<HostFault> = faults.into_iter().map(in_words).collect();
        let mut all = self.lock();
        let before = all.insert(finder, faults.clone()).unwrap_or_default();
        faults.into_iter().filter(|it| !before.contains(it)).collect()
    }

    pub fn all(&self) -> Vec<HostFault> {
        self.lock().values().flatten().cloned().collect()
    }

    /// Whether a part has faults to mend.
    pub fn has(&self, finder: Finder) -> bool {
        self.lock().get(&finder).is_some_and(|faults| !faults.is_empty())
    }

    pub fn is_empty(&self) -> bool {
        self.lock().values().all(Vec::is_empty)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Finder, Vec<HostFault>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_new_once_and_lasts_until_its_part_finds_it_gone() {
        let faults = HostFaults::default();
        let fault = |text: &str| HostFault { about: "nftables".to_owned(), text: text.to_owned() };
        assert!(faults.is_empty() && !faults.has(Finder::Firewall));
        assert_eq!(faults.set(Finder::Firewall, vec![fault("a")]), [fault("a")]);
        assert_eq!(faults.set(Finder::Firewall, vec![fault("a"), fault("b")]), [fault("b")]);
        let missing = format!("cannot run nft: {}", std::io::Error::from_raw_os_error(2));
        let shown = faults.set(Finder::DeadDaemons, vec![fault(&missing)]);
        assert_eq!(shown, [fault("cannot run nft: No such file or directory")]);
        faults.set(Finder::DeadDaemons, Vec::new());
        assert_eq!(faults.set(Finder::Filters, vec![fault("c")]), [fault("c")]);
        assert_eq!(faults.set(Finder::DeadDaemons, Vec::new()), []);
        assert_eq!(faults.all(), [fault("c"), fault("a"), fault("b")]);
        assert!(faults.has(Finder::Firewall) && !faults.has(Finder::DeadDaemons));
        faults.set(Finder::Firewall, Vec::new());
        assert_eq!(faults.all(), [fault("c")]);
        assert!(!faults.is_empty());
    }
}
