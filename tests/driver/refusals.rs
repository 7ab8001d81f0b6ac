//! Reasons of refusals, in the kernel's own words.

use vrrp_user::config::{Rule, RuleAction, parse};
use vrrp_user::driver::netlink::address::{self, Placed};
use vrrp_user::driver::netlink::refusal::NetlinkError;
use vrrp_user::driver::netlink::rule;
use vrrp_user::driver::netlink::socket::RouteSocket;

use crate::cable::{Cable, virtual_address};
use vrrp_tests::needs;

/// A rule for packets from 192.0.2.0/24.
fn rule(preference: u32, action: RuleAction) -> Rule {
    let text = "static_rules {\nfrom 192.0.2.0/24 nop preference 1\n}\n";
    let rule = parse("t", text).unwrap().config.statics.rules.remove(0);
    Rule { preference, action, ..rule }
}

#[test]
#[needs("root", "ip")]
fn each_refusal_of_a_send_has_its_own_words() {
    let cable = Cable::new();
    let actions = [RuleAction::Nop, RuleAction::Goto(10), RuleAction::Blackhole, RuleAction::Goto(20)];
    let rules: Vec<Rule> =
        (100..).zip(actions).map(|(preference, action)| rule(preference, action)).collect();
    let work = || {
        let mut refused = Vec::new();
        rule::add(&mut RouteSocket::open()?, &rules, |index, refusal| refused.push((index, refusal)))?;
        Ok(refused)
    };
    let refused = cable.left.enter(work).unwrap();
    let backward = NetlinkError { errno: libc::EINVAL, words: Some("Backward goto not supported".into()) };
    assert_eq!(refused, [(1, backward.clone()), (3, backward)]);
}

/// Older kernels give no words for it.
#[test]
#[needs("root", "ip")]
fn an_address_is_refused_in_the_words_that_ip_shows() {
    let cable = Cable::new();
    let group = virtual_address("ff02::5/64");
    let work = || {
        let ifindex = nix::net::if_::if_nametoindex("eth0")?;
        let mut refused = Vec::new();
        let placed = [Placed { ifindex, address: &group, is_own: false }];
        address::add(&mut RouteSocket::open()?, &placed, |_, refusal| refused.push(refusal))?;
        Ok(refused)
    };
    let refused = cable.left.enter(work).unwrap();
    let [NetlinkError { errno: libc::EADDRNOTAVAIL, words }] = &refused[..] else { panic!("{refused:?}") };
    let shown =
        cable.left.run("ip", &["address", "add", "ff02::5/64", "dev", "eth0"]).unwrap_err().to_string();
    match words {
        Some(words) => assert!(shown.contains(&**words), "{words}: {shown}"),
        None => assert!(shown.contains("Cannot assign requested address"), "{shown}"),
    }
}
