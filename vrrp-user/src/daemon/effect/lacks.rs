//! What a master lacks: what it has tried to set, and the kernel has refused.
//!
//! Enters: what comes of each attempt. Leaves: the same by object, for the next attempt and for people. Absent: when that
//! is made.

use std::io;

use crate::daemon::queue::{Lack, Object};
use crate::driver::netlink::refusal::Refusal;

/// What came of an attempt.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// Was missing, and is set now.
    pub(super) set: Vec<Object>,
    /// Is missing.
    pub(super) refused: Vec<Lack>,
}

impl Attempt {
    /// By one send for all. Returns the errno of each: 0 where it was missing and is set, EEXIST where it was there.
    pub(super) fn run<T>(
        &mut self,
        list: &[T],
        object: fn(&T) -> Object,
        act: impl FnOnce(&mut dyn FnMut(usize, Refusal)) -> io::Result<()>,
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
        // What became of any of them is not known.
        if let Err(error) = done {
            refusals.fill(Some(Refusal::from(&error)));
        }
        let noted = list.iter().zip(refusals).map(|(item, refusal)| self.note(object(item), refusal));
        noted.collect()
    }

    /// Returns the errno, as above.
    pub(super) fn note(&mut self, object: Object, refusal: Option<Refusal>) -> i32 {
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

/// What is missing since the last attempt.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    known: Vec<Lack>,
    /// The reporter has heard of these.
    told: Vec<Lack>,
}

impl Lacks {
    pub(super) fn has(&self, object: Object) -> bool {
        self.known.iter().any(|lack| lack.object == object)
    }

    /// Takes what came of another attempt. Returns what had gone since the one before.
    pub(super) fn take(&mut self, attempt: Attempt) -> Vec<Object> {
        let gone = attempt.set.into_iter().filter(|object| !self.has(*object)).collect();
        self.known = attempt.refused;
        gone
    }

    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// Those that the reporter has not heard of.
    pub(super) fn fresh(&self) -> usize {
        self.known.iter().filter(|lack| !self.told.contains(lack)).count()
    }

    /// Has `tell` take all of them, where they are others than those that it has taken last.
    pub(super) fn tell(&mut self, tell: impl FnOnce(Box<[Lack]>) -> bool) {
        if self.told != self.known && tell(self.known.clone().into_boxed_slice()) {
            self.told.clone_from(&self.known);
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
    fn each_change_is_told_once_and_again_where_it_was_not_taken() {
        let mut lacks = Lacks::default();
        lacks.tell(|_| panic!("nothing has changed"));
        lacks.take(attempt(&[], &[lack()]));
        assert_eq!(lacks.fresh(), 1);
        lacks.tell(|_| false);
        lacks.tell(|told| *told == [lack()]);
        lacks.take(attempt(&[], &[lack()]));
        assert_eq!(lacks.fresh(), 0);
        lacks.tell(|_| panic!("nothing has changed"));
        lacks.take(attempt(&[], &[]));
        let mut is_told = false;
        lacks.tell(|told| {
            is_told = told.is_empty();
            true
        });
        assert!(is_told);
    }

    #[test]
    fn a_send_that_failed_leaves_nothing_set() {
        let mut attempt = Attempt::default();
        let errnos =
            attempt.run(&[500, 501], |it| Object::Rule(*it), |_| Err(io::Error::from_raw_os_error(5)));
        assert_eq!((errnos, attempt.set.len(), attempt.refused.len()), (vec![5, 5], 0, 2));
    }
}
