//! The earliest deadline among thousands of instances: a tournament tree.

use alloc::vec;
use alloc::vec::Vec;

use vrrp_ebpf::time::Timestamp;

/// A complete binary tree in an array, root at 1: every node holds the earlier deadline of its two children. Setting a
/// deadline costs the height of the tree; the root is the earliest of all.
#[derive(Debug)]
pub(super) struct Deadlines {
    leaves: usize,
    tree: Vec<Option<Timestamp>>,
}

impl Deadlines {
    pub(super) fn new(instances: usize) -> Self {
        let leaves = instances.next_power_of_two();
        Self { leaves, tree: vec![None; 2 * leaves] }
    }

    pub(super) fn earliest(&self) -> Option<Timestamp> {
        self.at(1)
    }

    pub(super) fn set(&mut self, index: usize, deadline: Option<Timestamp>) {
        let mut node = self.leaves + index;
        let Some(leaf) = self.tree.get_mut(node) else { return };
        if *leaf == deadline {
            return;
        }
        *leaf = deadline;
        while node > 1 {
            node /= 2;
            let winner = earlier(self.at(2 * node), self.at(2 * node + 1));
            if let Some(place) = self.tree.get_mut(node) {
                *place = winner;
            }
        }
    }

    /// The first index from `from` on whose deadline is not after `until`.
    pub(super) fn due_from(&self, from: usize, until: Timestamp) -> Option<usize> {
        let is_due = |node| self.at(node).is_some_and(|deadline| deadline <= until);
        if from >= self.leaves {
            return None;
        }
        let mut node = self.leaves + from;
        while !is_due(node) {
            // A right child has no sibling to its right, and neither has the root.
            while node % 2 == 1 {
                node /= 2;
            }
            if node == 0 {
                return None;
            }
            node += 1;
        }
        while node < self.leaves {
            node *= 2;
            if !is_due(node) {
                node += 1;
            }
        }
        Some(node - self.leaves)
    }

    fn at(&self, node: usize) -> Option<Timestamp> {
        self.tree.get(node).copied().flatten()
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_search(
            count in 0_usize..20,
            sets in prop::collection::vec((0_usize..20, prop::option::of(0_u64..50)), 0..60),
            until in 0_u64..50,
        ) {
            let mut plain = vec![None; count];
            let mut deadlines = Deadlines::new(count);
            for (index, nanos) in sets {
                if let Some(place) = plain.get_mut(index) {
                    *place = nanos.map(Timestamp::from_nanos);
                    deadlines.set(index, *place);
                }
            }
            prop_assert_eq!(deadlines.earliest(), plain.iter().flatten().min().copied());
            let until = Timestamp::from_nanos(until);
            for from in 0..=count {
                let expected = (from..count).find(|&i| plain[i].is_some_and(|at| at <= until));
                prop_assert_eq!(deadlines.due_from(from, until), expected);
            }
        }
    }
}
