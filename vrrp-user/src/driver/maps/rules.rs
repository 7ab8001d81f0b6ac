//! The rules of instances, as [`RulesPair`] lays them out: changed as a whole while program and engine read them.

use std::mem::{offset_of, size_of};
use std::ops::Deref;
use std::sync::atomic::{Ordering, fence};

use vrrp_ebpf::map::{InstanceRules, RulesPair};
use vrrp_ebpf::path::Rules;

use super::Maps;
use super::mapped::store;
use crate::protocol::InstanceId;

const COPIES: usize = offset_of!(RulesPair, copies) / size_of::<u64>();
const COPY: usize = size_of::<InstanceRules>() / size_of::<u64>();

/// More readings than anything but a bug takes: each fails only if the rules were changed during it.
const READINGS: usize = 8;

/// The rules in force of an instance: a copy, which does not change.
#[derive(Debug)]
pub(in crate::driver) struct RulesInForce<'a> {
    maps: &'a Maps,
    slot: InstanceId,
    generation: u64,
    rules: InstanceRules,
}

impl Deref for RulesInForce<'_> {
    type Target = InstanceRules;

    fn deref(&self) -> &InstanceRules {
        &self.rules
    }
}

impl Rules for RulesInForce<'_> {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn are_in_force(&self) -> bool {
        // Reads of the copy happen before this one.
        fence(Ordering::Acquire);
        self.maps.generation(self.slot) == Some(self.generation)
    }
}

impl Maps {
    /// The rules in force of an instance.
    pub fn slot(&self, slot: InstanceId) -> InstanceRules {
        self.rules(slot).map_or(InstanceRules::UNUSED, |rules| *rules)
    }

    /// The rules in force of an instance, of one copy.
    pub(in crate::driver) fn rules(&self, slot: InstanceId) -> Option<RulesInForce<'_>> {
        (0..READINGS).find_map(|_| {
            let generation = self.generation(slot)?;
            let [first, second] = self.rules.read(slot.index())?.copies;
            let rules = if RulesPair::in_force(generation) == 0 { first } else { second };
            Some(RulesInForce { maps: self, slot, generation, rules }).filter(Rules::are_in_force)
        })
    }

    /// Changes the rules of an instance, as a whole. Only one thread may call it.
    pub fn set_slot(&self, slot: InstanceId, value: &InstanceRules) {
        let (Some(before), Some(words)) = (self.rules(slot), self.rules.words(slot.index())) else { return };
        if *before == *value {
            return;
        }
        let next = before.generation.wrapping_add(1);
        let mut pair = RulesPair::UNUSED;
        pair.copies[0] = *value;
        let from = COPIES..COPIES + COPY;
        let to = COPIES + RulesPair::in_force(next) * COPY;
        // A reader of this copy sees the change of generation before it that put the other copy in force.
        fence(Ordering::Release);
        if let (Some(to), Some(copy)) = (words.get(to..to + COPY), super::mapped::of(&pair).get(from)) {
            store(to, copy);
        }
        if let Some(word) = words.first() {
            word.store(next, Ordering::Release);
        }
    }

    fn generation(&self, slot: InstanceId) -> Option<u64> {
        Some(self.rules.words(slot.index())?.first()?.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;
    use crate::driver::maps::tests::{FIRST, SECOND};

    fn rules(byte: u8) -> InstanceRules {
        InstanceRules {
            source: [byte; 16],
            auth_data: [byte; 8],
            group: [byte; 16],
            version: byte,
            auth_type: byte,
            priority: byte,
            ..InstanceRules::UNUSED
        }
    }

    #[test]
    fn the_latest_rules_are_in_force() {
        let maps = Maps::anonymous(2).unwrap();
        assert_eq!(maps.slot(SECOND), InstanceRules::UNUSED);
        for byte in [1, 4, 7] {
            maps.set_slot(SECOND, &rules(byte));
            let found = maps.rules(SECOND).unwrap();
            assert_eq!((*found, found.generation()), (rules(byte), byte.into()));
            maps.set_slot(SECOND, &rules(byte));
            assert!(found.are_in_force(), "nothing has changed");
            maps.set_slot(SECOND, &rules(99));
            assert!(!found.are_in_force());
            maps.set_slot(SECOND, &rules(byte));
        }
        assert!(maps.slot(FIRST) == InstanceRules::UNUSED && maps.rules(InstanceId(2)).is_none());
    }

    /// A change while another thread reads: it finds the old rules or the new ones, and no mixture.
    #[test]
    fn rules_change_as_a_whole() {
        let (maps, has_ended) = (Maps::anonymous(1).unwrap(), AtomicBool::new(false));
        let [one, other] = [1, 2].map(rules);
        maps.set_slot(FIRST, &one);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200_000 {
                    maps.set_slot(FIRST, &other);
                    maps.set_slot(FIRST, &one);
                }
                has_ended.store(true, Ordering::Relaxed);
            });
            while !has_ended.load(Ordering::Relaxed) {
                // `None` if the rules have changed twice during each of its readings.
                if let Some(found) = maps.rules(FIRST) {
                    assert!(*found == one || *found == other, "{:?}", *found);
                }
            }
        });
        assert_eq!(maps.slot(FIRST), one);
    }
}
