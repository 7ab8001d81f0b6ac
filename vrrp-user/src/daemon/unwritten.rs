//! Files of the daemon that cannot be written, as on a full disk.
//!
//! Enters: the outcome of each write. Leaves: the files whose latest write failed, each with the error, for status and
//! metrics. Absent: the next try, which is the writer's.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::words;

/// Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Unwritten(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Unwritten {
    /// Notes the outcome of the latest write of a file. Returns whether failure has begun or ended with it.
    pub fn note(&self, file: &'static str, outcome: &io::Result<()>) -> bool {
        let mut files = self.lock();
        match outcome {
            Ok(()) => files.remove(file).is_some(),
            Err(error) => files.insert(file, words(error)).is_none(),
        }
    }

    /// Files by name, each with the error.
    pub fn all(&self) -> Vec<(&'static str, String)> {
        self.lock().iter().map(|(file, error)| (*file, error.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_lasts_until_the_file_is_written() {
        let files = Unwritten::default();
        let full = || Err(io::Error::from_raw_os_error(libc::ENOSPC));
        assert!(!files.note("a", &Ok(())));
        assert!(files.note("a", &full()), "it has begun");
        assert!(!files.note("a", &full()), "it goes on");
        assert!(files.note("b", &full()));
        assert_eq!(files.all()[0], ("a", "No space left on device".to_owned()));
        assert!(files.note("a", &Ok(())), "it has ended");
        assert_eq!(files.all().len(), 1);
    }
}
