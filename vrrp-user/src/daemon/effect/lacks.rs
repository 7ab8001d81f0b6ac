//! Missing objects of a master: those that the kernel has refused to set.
//!
//! Enters: the outcome of each attempt. Leaves: refusals by object, for the next attempt and for the operator. Absent:
//! the time of that attempt.

use std::io;

use crate::daemon::queue::{Lack, Object};
use crate::driver::netlink::refusal::NetlinkError;

/// Outcome of an attempt.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// Was missing, and is set now.
    pub(super) set: Vec<Object>,
    /// Is still missing.
    pub(super) refused: Vec<Lack>,
}

impl Attempt {
    /// Makes one send for all. Returns the errno of each: 0 if it was missing and is set now, EEXIST if it was there.
    pub(super) fn run<T>(
        &mut self,
        list: &[T],
        object: fn(&T) -> Object,
        act: impl FnOnce(&mut dyn FnMut(usize, NetlinkError)) -> io::Result<()>,
    ) -> Vec<i32> {
        let mut refusals = vec![None; list.len()];
        if list.is_empty() {
            return Vec::new();
        }
        let done = act(&mut |index, refusal| {
            if let Some(known) = refusals.get_mut(index) {
                *known = Some(refusal);
            }
        });
        // The outcome of each is unknown.
        if let Err(error) = done {
            refusals.fill(Some(NetlinkError::from(&error)));
        }
        let noted = list.iter().zip(refusals).map(|(item, refusal)| self.note(object(item), refusal));
        noted.collect()
    }

    /// Returns the errno, as [`Self::run`].
    pub(super) fn note(&mut self, object: Object, refusal: Option<NetlinkError>) -> i32 {
        let Some(refusal) = refusal else {
            self.set.push(object);
            return 0;
        };
        let errno = refusal.errno;
        if errno != libc::EEXIST {
            self.refused.push(Lack { object, refusal });
        }
        errno
    }
}

/// Objects missing since the last attempt.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    known: Vec<Lack>,
    /// The list that was reported last.
    reported: Vec<Lack>,
}

impl Lacks {
    pub(super) fn has(&self, object: Object) -> bool {
        self.known.iter().any(|lack| lack.object == object)
    }

    /// Takes the outcome of another attempt. Returns the objects that had been lost since the one before.
    pub(super) fn take(&mut self, attempt: Attempt) -> Vec<Object> {
        let gone = attempt.set.into_iter().filter(|object| !self.has(*object)).collect();
        self.known = attempt.refused;
        gone
    }

    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// The number of missing objects that are not reported yet.
    pub(super) fn fresh(&self) -> usize {
        self.known.iter().filter(|lack| !self.reported.contains(lack)).count()
    }

    /// Whether the list differs from the one that was reported last.
    pub(super) fn has_news(&self) -> bool {
        self.reported != self.known
    }

    /// Passes the list to `report` if it differs from the list that `report` last accepted.
    pub(super) fn report(&mut self, report: impl FnOnce(Box<[Lack]>) -> bool) {
        if self.has_news() && report(self.known.clone().into_boxed_slice()) {
            self.reported.clone_from(&self.known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: Object = Object::Rule(500);

    fn lack() -> Lack {
        Lack { object: OBJECT, refusal: libc::EINVAL.into() }
    }

    fn attempt(set: &[u32], refused: &[Lack]) -> Attempt {
        Attempt { set: set.iter().map(|it| Object::Rule(*it)).collect(), refused: refused.to_vec() }
    }

    #[test]
    fn what_was_refused_before_had_not_gone_when_it_is_set() {
        let mut lacks = Lacks::default();
        assert_eq!(lacks.take(attempt(&[501], &[lack()])), [Object::Rule(501)]);
        assert!(lacks.has(OBJECT));
        assert_eq!(lacks.take(attempt(&[500, 501], &[])), [Object::Rule(501)]);
        assert!(!lacks.has(OBJECT));
    }

    #[test]
    fn each_change_is_reported_once_and_again_where_it_was_not_taken() {
        let mut lacks = Lacks::default();
        lacks.report(|_| panic!("nothing has changed"));
        lacks.take(attempt(&[], &[lack()]));
        assert_eq!(lacks.fresh(), 1);
        lacks.report(|_| false);
        lacks.report(|reported| *reported == [lack()]);
        lacks.take(attempt(&[], &[lack()]));
        assert_eq!(lacks.fresh(), 0);
        lacks.report(|_| panic!("nothing has changed"));
        lacks.take(attempt(&[], &[]));
        let mut is_reported = false;
        lacks.report(|reported| {
            is_reported = reported.is_empty();
            true
        });
        assert!(is_reported);
    }

    #[test]
    fn a_send_that_failed_leaves_nothing_set() {
        let mut attempt = Attempt::default();
        let errnos =
            attempt.run(&[500, 501], |it| Object::Rule(*it), |_| Err(io::Error::from_raw_os_error(5)));
        assert_eq!((errnos, attempt.set.len(), attempt.refused.len()), (vec![5, 5], 0, 2));
    }
}
