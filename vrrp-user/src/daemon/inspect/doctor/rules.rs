//! Judgement of an advert by the rules of a host's firewall.
//!
//! Enters: chains of rules, from [`super::nftables`] or [`super::iptables`], and an advert. Leaves: whether a rule, or
//! the policy of a chain, drops it. A condition that cannot be judged from outside is neither true nor false: a drop
//! that depends on one is reported as possible.

use std::net::IpAddr;

use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::address::widen;

/// Chains called within chains.
const DEPTH: usize = 16;

/// The way of an advert through this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    In,
    Out,
}

/// An advert, as far as rules may distinguish it from other packets.
#[derive(Clone, Debug)]
pub(super) struct Advert<'a> {
    pub(super) direction: Direction,
    pub(super) family: Family,
    /// 112, or 51 behind an IPsec header.
    pub(super) protocol: u8,
    pub(super) interface: &'a str,
    pub(super) destination: IpAddr,
}

/// A condition of a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Test {
    Family(Family),
    Protocol(Vec<u8>),
    /// Networks, each with its prefix length.
    Destination(Vec<(IpAddr, u8)>),
    /// Names of the interface that it comes from; `eth*` names several.
    From(Vec<String>),
    /// Names of the interface that it leaves by.
    To(Vec<String>),
    /// States of connection tracking.
    State(Vec<String>),
    /// Kinds of the destination or of the frame: `multicast`, `unicast`, `local`, `broadcast`.
    Kind(Vec<String>),
    /// Of another protocol's header.
    Never,
    Unknown,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum RuleVerdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Rule {
    /// All must hold; those with `true` must not.
    pub(super) tests: Vec<(bool, Test)>,
    /// `None`: only counts, logs or marks.
    pub(super) verdict: Option<RuleVerdict>,
}

/// A place at which packets pass a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hook {
    pub(super) direction: Direction,
    /// Stage of the path: lower ones come first.
    pub(super) stage: u8,
    pub(super) priority: i64,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Chain {
    /// Family and name of its table.
    pub(super) table: String,
    pub(super) name: String,
    /// `None` for a chain that others call.
    pub(super) hook: Option<Hook>,
    /// The only family of its packets.
    pub(super) family: Option<Family>,
    /// The only interfaces of its packets; empty: all.
    pub(super) interfaces: Vec<String>,
    /// Whether its policy is to drop.
    pub(super) drops: bool,
    pub(super) rules: Vec<Rule>,
}

/// A chain that drops an advert.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Dropped {
    pub(super) table: String,
    pub(super) chain: String,
    /// By its policy, not by a rule.
    pub(super) by_policy: bool,
    /// Whether it depends on a condition that cannot be judged.
    pub(super) is_certain: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    Yes,
    No,
    Maybe,
}

impl Answer {
    const fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    const fn inverted(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
        }
    }
}

/// End of a chain.
enum End {
    Accepted,
    Dropped(String),
    /// Its last rule was passed.
    Passed,
}

/// The first chain that drops the advert, if any.
pub(super) fn dropped(chains: &[Chain], advert: &Advert<'_>) -> Option<Dropped> {
    let is_passed = |chain: &&Chain| {
        let of_interface =
            chain.interfaces.is_empty() || chain.interfaces.iter().any(|it| it == advert.interface);
        chain.hook.is_some_and(|hook| hook.direction == advert.direction)
            && chain.family.is_none_or(|family| family == advert.family)
            && of_interface
    };
    let mut passed: Vec<&Chain> = chains.iter().filter(is_passed).collect();
    passed.sort_by_key(|chain| chain.hook.map(|hook| (hook.stage, hook.priority)));
    let mut walk = Walk { chains, advert, possible: None, is_certain: true };
    for chain in passed {
        walk.is_certain = true;
        let found = |chain: &Chain, name: String, by_policy, is_certain| {
            Some(Dropped { table: chain.table.clone(), chain: name, by_policy, is_certain })
        };
        match walk.chain(chain, 0) {
            End::Dropped(name) => return found(chain, name, false, walk.is_certain),
            End::Passed if chain.drops => return found(chain, chain.name.clone(), true, walk.is_certain),
            End::Passed | End::Accepted => {}
        }
    }
    walk.possible
}

struct Walk<'a> {
    chains: &'a [Chain],
    advert: &'a Advert<'a>,
    /// The first drop that a condition decides.
    possible: Option<Dropped>,
    /// No rule before may have accepted it.
    is_certain: bool,
}

impl Walk<'_> {
    fn chain(&mut self, chain: &Chain, depth: usize) -> End {
        for rule in &chain.rules {
            let Some(verdict) = &rule.verdict else { continue };
            let answer = self.advert.meets(rule);
            match (answer, verdict) {
                (Answer::No, _) => {}
                (Answer::Yes, RuleVerdict::Accept) => return End::Accepted,
                (Answer::Yes, RuleVerdict::Drop) => return End::Dropped(chain.name.clone()),
                (Answer::Yes, RuleVerdict::Return) => return End::Passed,
                (Answer::Maybe, RuleVerdict::Accept | RuleVerdict::Return) => self.is_certain = false,
                (Answer::Maybe, RuleVerdict::Drop) => self.suppose(chain),
                (_, RuleVerdict::Jump(name) | RuleVerdict::Goto(name)) => {
                    let Some(end) = self.called(chain, name, depth) else { continue };
                    match (answer, end) {
                        (Answer::Yes, End::Passed) if matches!(verdict, RuleVerdict::Goto(_)) => {
                            return End::Passed;
                        }
                        (_, End::Passed) => {}
                        (Answer::Yes, end) => return end,
                        (_, End::Accepted) => self.is_certain = false,
                        (_, End::Dropped(_)) => self.suppose(chain),
                    }
                }
            }
        }
        End::Passed
    }

    fn called(&mut self, from: &Chain, name: &str, depth: usize) -> Option<End> {
        let chains = self.chains;
        let chain = chains.iter().find(|chain| chain.table == from.table && chain.name == name)?;
        (depth < DEPTH).then(|| self.chain(chain, depth + 1))
    }

    fn suppose(&mut self, chain: &Chain) {
        let (table, chain) = (chain.table.clone(), chain.name.clone());
        self.possible.get_or_insert(Dropped { table, chain, by_policy: false, is_certain: false });
    }
}

impl Advert<'_> {
    fn meets(&self, rule: &Rule) -> Answer {
        let mut all = Answer::Yes;
        for (is_inverted, test) in &rule.tests {
            let answer = self.passes(test);
            match if *is_inverted { answer.inverted() } else { answer } {
                Answer::No => return Answer::No,
                Answer::Maybe => all = Answer::Maybe,
                Answer::Yes => {}
            }
        }
        all
    }

    fn passes(&self, test: &Test) -> Answer {
        let is_incoming = self.direction == Direction::In;
        match test {
            Test::Family(family) => Answer::of(*family == self.family),
            Test::Protocol(numbers) => Answer::of(numbers.contains(&self.protocol)),
            Test::Destination(networks) => {
                Answer::of(networks.iter().any(|network| self.is_within(*network)))
            }
            Test::From(names) => Answer::of(is_incoming && self.is_named(names)),
            Test::To(names) => Answer::of(!is_incoming && self.is_named(names)),
            // No host answers an advert: connection tracking takes each one for a new connection.
            Test::State(states) if states.iter().any(|state| state == "new") => Answer::Yes,
            Test::State(states) if states.iter().any(|state| state == "untracked") => Answer::Maybe,
            Test::State(_) => Answer::No,
            Test::Kind(kinds) => {
                let is_multicast = self.destination.is_multicast();
                let fits = |kind: &str| match kind {
                    "multicast" => is_multicast,
                    "local" => !is_multicast && is_incoming,
                    "unicast" | "host" => !is_multicast,
                    _ => false,
                };
                Answer::of(kinds.iter().any(|kind| fits(kind)))
            }
            Test::Never => Answer::No,
            Test::Unknown => Answer::Maybe,
        }
    }

    fn is_named(&self, names: &[String]) -> bool {
        names.iter().any(|name| match name.strip_suffix(['*', '+']) {
            Some(beginning) => self.interface.starts_with(beginning),
            None => name == self.interface,
        })
    }

    fn is_within(&self, (network, prefix): (IpAddr, u8)) -> bool {
        let bits = |address: IpAddr| u128::from_be_bytes(widen(address));
        let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
        network.is_ipv4() == self.destination.is_ipv4()
            && (bits(network) ^ bits(self.destination)) & mask == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advert() -> Advert<'static> {
        Advert {
            direction: Direction::In,
            family: Family::V4,
            protocol: 112,
            interface: "eth0",
            destination: [224, 0, 0, 18].into(),
        }
    }

    fn rule(tests: &[Test], verdict: RuleVerdict) -> Rule {
        Rule { tests: tests.iter().map(|test| (false, test.clone())).collect(), verdict: Some(verdict) }
    }

    fn input(drops: bool, rules: Vec<Rule>) -> Chain {
        let hook = Some(Hook { direction: Direction::In, stage: 2, priority: 0 });
        let (table, name) = ("inet filter".to_owned(), "input".to_owned());
        Chain { table, name, hook, drops, rules, ..Chain::default() }
    }

    fn of(chains: &[Chain]) -> Option<(bool, bool)> {
        dropped(chains, &advert()).map(|it| (it.by_policy, it.is_certain))
    }

    #[test]
    fn the_first_verdict_that_holds_counts() {
        let vrrp = Test::Protocol(vec![112]);
        let tcp = Test::Protocol(vec![6]);
        let accept = |test: &Test| rule(std::slice::from_ref(test), RuleVerdict::Accept);
        let drop = |test: &Test| rule(std::slice::from_ref(test), RuleVerdict::Drop);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[input(true, vec![accept(&tcp)])]), Some((true, true)));
        assert_eq!(of(&[input(true, vec![accept(&vrrp)])]), None);
        assert_eq!(of(&[input(false, vec![drop(&vrrp)])]), Some((false, true)));
        assert_eq!(of(&[input(false, vec![accept(&vrrp), drop(&vrrp)])]), None);
        assert_eq!(of(&[input(false, vec![drop(&Test::Unknown)])]), Some((false, false)));
        assert_eq!(of(&[input(true, vec![accept(&Test::Unknown)])]), Some((true, false)));
        // Another chain decides again.
        assert_eq!(of(&[input(false, vec![accept(&vrrp)]), input(true, vec![])]), Some((true, true)));
    }

    #[test]
    fn conditions_are_those_of_an_advert() {
        let network = |text: &str, prefix| Test::Destination(vec![(text.parse().unwrap(), prefix)]);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        for (test, expected) in [
            (network("224.0.0.0", 4), true),
            (network("224.0.0.18", 32), true),
            (network("224.0.0.19", 32), false),
            (network("::", 0), false),
            (Test::From(words(&["eth*"])), true),
            (Test::From(words(&["lo"])), false),
            (Test::To(words(&["eth0"])), false),
            (Test::State(words(&["established", "related"])), false),
            (Test::State(words(&["new"])), true),
            (Test::State(words(&["new", "untracked"])), true),
            (Test::Kind(words(&["multicast"])), true),
            (Test::Kind(words(&["local"])), false),
            (Test::Family(Family::V6), false),
            (Test::Never, false),
        ] {
            let found = of(&[input(false, vec![rule(std::slice::from_ref(&test), RuleVerdict::Drop)])]);
            assert_eq!(found.is_some(), expected, "{test:?}");
            let inverted = Rule { tests: vec![(true, test.clone())], verdict: Some(RuleVerdict::Drop) };
            assert_eq!(of(&[input(false, vec![inverted])]).is_some(), !expected, "not {test:?}");
        }
    }

    #[test]
    fn chains_that_are_called_return() {
        let other = |rules| Chain {
            table: "inet filter".to_owned(),
            name: "other".to_owned(),
            rules,
            ..Chain::default()
        };
        let jump = || rule(&[], RuleVerdict::Jump("other".to_owned()));
        let goto = || rule(&[], RuleVerdict::Goto("other".to_owned()));
        let accept = || rule(&[], RuleVerdict::Accept);
        assert_eq!(of(&[input(true, vec![jump()]), other(vec![accept()])]), None);
        assert_eq!(
            of(&[input(true, vec![jump(), accept()]), other(vec![rule(&[], RuleVerdict::Return)])]),
            None
        );
        assert_eq!(of(&[input(true, vec![goto(), accept()]), other(vec![])]), Some((true, true)));
        assert_eq!(
            of(&[input(false, vec![jump()]), other(vec![rule(&[], RuleVerdict::Drop)])]),
            Some((false, true))
        );
        // A chain that calls itself ends.
        assert_eq!(of(&[input(false, vec![jump()]), other(vec![jump()])]), None);
    }
}
