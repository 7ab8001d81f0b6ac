//! Chains of nftables from the JSON of `nft` (libnftables-json(5)).

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;
use vrrp_ebpf::wire::Family;

use super::rules::{Chain, Direction, Hook, Rule, RuleVerdict, Test};

/// Fields of the header of another protocol than VRRP.
const OTHERS: [&str; 9] = ["tcp", "udp", "udplite", "icmp", "icmpv6", "igmp", "sctp", "dccp", "th"];

/// The chains of a ruleset; none from a text that is no ruleset.
pub(super) fn chains(text: &str) -> Vec<Chain> {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let objects = value.get("nftables").and_then(Value::as_array).cloned().unwrap_or_default();
    // A set and a map have no name in common.
    let sets: Vec<&Value> = objects.iter().filter_map(|it| it.get("set").or_else(|| it.get("map"))).collect();
    let mut chains: Vec<Chain> = objects.iter().filter_map(|it| chain(it.get("chain")?)).collect();
    for object in objects.iter().filter_map(|it| it.get("rule")) {
        let (table, name) = (table(object), text_of(object, "chain"));
        if let Some(chain) = chains.iter_mut().find(|chain| chain.table == table && chain.name == name) {
            chain.rules.extend(rules(object, &sets));
        }
    }
    chains
}

/// Tables with extensions of iptables, which `nft` does not explain.
pub(super) fn with_extensions(text: &str) -> BTreeSet<String> {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return BTreeSet::new() };
    let objects = value.get("nftables").and_then(Value::as_array).into_iter().flatten();
    let has_extension = |rule: &&Value| {
        let statements = rule.get("expr").and_then(Value::as_array);
        statements.into_iter().flatten().any(|it| it.get("xt").is_some())
    };
    objects.filter_map(|it| it.get("rule")).filter(has_extension).map(table).collect()
}

fn text_of<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn table(object: &Value) -> String {
    format!("{} {}", text_of(object, "family"), text_of(object, "table"))
}

fn chain(object: &Value) -> Option<Chain> {
    let family = match text_of(object, "family") {
        "inet" | "netdev" => None,
        "ip" => Some(Family::V4),
        "ip6" => Some(Family::V6),
        // Of frames, or of ARP.
        _ => return None,
    };
    let place = match text_of(object, "hook") {
        "ingress" => Some((Direction::In, 0)),
        "prerouting" => Some((Direction::In, 1)),
        "input" => Some((Direction::In, 2)),
        "output" => Some((Direction::Out, 0)),
        "postrouting" => Some((Direction::Out, 1)),
        "egress" => Some((Direction::Out, 2)),
        _ => None,
    };
    let priority = object.get("prio").and_then(Value::as_i64).unwrap_or(0);
    let interfaces = match object.get("dev") {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    Some(Chain {
        table: table(object),
        name: text_of(object, "name").to_owned(),
        hook: place.map(|(direction, stage)| Hook { direction, stage, priority }),
        family,
        interfaces,
        drops: text_of(object, "policy") == "drop",
        rules: Vec::new(),
    })
}

/// One rule, or one for each entry of a verdict map.
fn rules(object: &Value, sets: &[&Value]) -> Vec<Rule> {
    let table = table(object);
    let elements = |name: &str| {
        let named = sets.iter().find(|set| self::table(set) == table && text_of(set, "name") == name);
        // An empty one has no elements.
        named.map(|set| set.get("elem").and_then(Value::as_array).cloned().unwrap_or_default())
    };
    let mut tests = Vec::new();
    for statement in object.get("expr").and_then(Value::as_array).into_iter().flatten() {
        let Some((word, value)) = statement.as_object().and_then(|it| it.iter().next()) else { continue };
        match word.as_str() {
            "match" => tests.push(test(value, &elements)),
            "limit" | "quota" | "connlimit" | "ct count" | "meter" | "set" | "xt" => {
                tests.push((false, Test::Unknown));
            }
            "vmap" => return map(value, &tests, &elements),
            _ => {
                if let Some(verdict) = verdict(word, value) {
                    return vec![Rule { tests, verdict: Some(verdict) }];
                }
            }
        }
    }
    Vec::new()
}

fn verdict(word: &str, value: &Value) -> Option<RuleVerdict> {
    let target = || text_of(value, "target").to_owned();
    Some(match word {
        "accept" => RuleVerdict::Accept,
        "drop" | "reject" => RuleVerdict::Drop,
        "return" => RuleVerdict::Return,
        "jump" => RuleVerdict::Jump(target()),
        "goto" => RuleVerdict::Goto(target()),
        _ => return None,
    })
}

fn map(value: &Value, before: &[(bool, Test)], elements: &impl Fn(&str) -> Option<Vec<Value>>) -> Vec<Rule> {
    let Some(entries) = value.get("data").and_then(|data| list(data, elements)) else {
        let mut tests = before.to_vec();
        tests.push((false, Test::Unknown));
        return vec![Rule { tests, verdict: Some(RuleVerdict::Accept) }];
    };
    let of = |entry: &Value| {
        let [key, then] = entry.as_array()?.as_slice() else { return None };
        let (word, target) = then.as_object()?.iter().next()?;
        let compared = serde_json::json!({ "op": "==", "left": value.get("key")?, "right": key });
        let mut tests = before.to_vec();
        tests.push(test(&compared, &|_| None));
        Some(Rule { tests, verdict: Some(verdict(word, target)?) })
    };
    entries.iter().filter_map(of).collect()
}

/// A condition, and whether it is inverted.
fn test(value: &Value, elements: &impl Fn(&str) -> Option<Vec<Value>>) -> (bool, Test) {
    let is_inverted = text_of(value, "op") == "!=";
    let right = value.get("right").map(|right| list(right, elements));
    let (Some(left), Some(Some(right))) = (value.get("left"), right) else {
        return (is_inverted, Test::Unknown);
    };
    match condition(left, &right).unwrap_or(Test::Unknown) {
        // A field of another protocol has no value that could differ.
        Test::Never => (false, Test::Never),
        test => (is_inverted, test),
    }
}

/// The values of the right side; `None` for a set whose elements are unknown.
fn list(right: &Value, elements: &impl Fn(&str) -> Option<Vec<Value>>) -> Option<Vec<Value>> {
    match right {
        Value::Array(values) => Some(values.clone()),
        Value::Object(object) => match object.get("set") {
            Some(Value::Array(values)) => Some(values.clone()),
            _ => Some(vec![right.clone()]),
        },
        Value::String(name) => match name.strip_prefix('@') {
            Some(name) => elements(name),
            None => Some(vec![right.clone()]),
        },
        other => Some(vec![other.clone()]),
    }
}

/// The condition on this field; `None` if it cannot be judged.
fn condition(left: &Value, right: &[Value]) -> Option<Test> {
    let words = || right.iter().map(|it| it.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>();
    if let Some(meta) = left.get("meta") {
        return match text_of(meta, "key") {
            "l4proto" => protocols(right),
            "iifname" | "iif" => words().map(Test::From),
            "oifname" | "oif" => words().map(Test::To),
            "pkttype" => words().map(Test::Kind),
            "nfproto" | "protocol" => match right {
                [only] => family(only.as_str()?).map(Test::Family),
                _ => None,
            },
            _ => None,
        };
    }
    if let Some(ct) = left.get("ct") {
        return if text_of(ct, "key") == "state" { words().map(Test::State) } else { None };
    }
    if let Some(fib) = left.get("fib") {
        // No route back: senders of adverts are on the link.
        if text_of(fib, "result") == "oif" && right == [Value::Bool(false)] {
            return Some(Test::Never);
        }
        let of_destination = fib.get("flags").is_some_and(|flags| match flags {
            Value::Array(flags) => flags.iter().any(|flag| flag == "daddr"),
            flag => flag == "daddr",
        });
        return if of_destination && text_of(fib, "result") == "type" {
            words().map(Test::Kind)
        } else {
            None
        };
    }
    if let Some(masked) = left.get("&").and_then(|it| it.get(0)) {
        // The bits that are left may be any, unless the field is of another protocol.
        return condition(masked, &[]).filter(|test| *test == Test::Never);
    }
    let payload = left.get("payload")?;
    let (protocol, field) = (text_of(payload, "protocol"), text_of(payload, "field"));
    match (protocol, field) {
        ("ip", "protocol") | ("ip6", "nexthdr") => protocols(right),
        ("ip" | "ip6", "daddr") => {
            right.iter().map(network).collect::<Option<Vec<_>>>().map(Test::Destination)
        }
        _ if OTHERS.contains(&protocol) => Some(Test::Never),
        _ => None,
    }
}

fn family(word: &str) -> Option<Family> {
    match word {
        "ipv4" | "ip" => Some(Family::V4),
        "ipv6" | "ip6" => Some(Family::V6),
        _ => None,
    }
}

fn protocols(right: &[Value]) -> Option<Test> {
    let number = |value: &Value| match value {
        Value::String(word) => Some(super::iptables::protocol(word)),
        number => number.as_u64().and_then(|number| u8::try_from(number).ok()),
    };
    right.iter().map(number).collect::<Option<Vec<u8>>>().map(Test::Protocol)
}

/// An address, or `{"prefix": {"addr": …, "len": …}}`.
fn network(value: &Value) -> Option<(IpAddr, u8)> {
    let address = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    match value.get("prefix") {
        Some(prefix) => {
            let length = prefix.get("len").and_then(Value::as_u64).and_then(|it| u8::try_from(it).ok())?;
            Some((address(prefix.get("addr")?)?, length))
        }
        None => address(value).map(|address| (address, if address.is_ipv4() { 32 } else { 128 })),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::{Advert, dropped};
    use super::*;

    fn of(objects: &str) -> Option<(String, String, bool, bool)> {
        let text = format!("{{\"nftables\": [{objects}]}}");
        let advert = Advert {
            direction: Direction::In,
            family: Family::V4,
            protocol: 112,
            interface: "eth0",
            destination: [224, 0, 0, 18].into(),
        };
        dropped(&chains(&text), &advert).map(|it| (it.table, it.chain, it.by_policy, it.is_certain))
    }

    const DROPPING: &str = r#"{"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 1,
        "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}"#;
    const ACCEPTING: &str = r#"{"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 1,
        "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}}"#;

    fn rule(expressions: &str) -> String {
        format!(
            r#"{{"rule": {{"family": "inet", "table": "filter", "chain": "input", "handle": 2, "expr": [{expressions}]}}}}"#
        )
    }

    fn by_policy() -> Option<(String, String, bool, bool)> {
        Some(("inet filter".to_owned(), "input".to_owned(), true, true))
    }

    #[test]
    fn a_policy_drops_what_no_rule_accepts() {
        let established = rule(
            r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}"#,
        );
        let ssh = rule(
            r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"accept": null}"#,
        );
        let lo = rule(
            r#"{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}, {"accept": null}"#,
        );
        let before = format!("{DROPPING}, {established}, {ssh}, {lo}");
        assert_eq!(of(&before), by_policy());
        for left in
            [r#"{"meta": {"key": "l4proto"}}"#, r#"{"payload": {"protocol": "ip", "field": "protocol"}}"#]
        {
            for right in ["112", r#""vrrp""#, r#"{"set": ["icmp", "vrrp"]}"#] {
                let vrrp = rule(&format!(
                    r#"{{"match": {{"op": "==", "left": {left}, "right": {right}}}}}, {{"counter": {{"packets": 0, "bytes": 0}}}}, {{"accept": null}}"#
                ));
                assert_eq!(of(&format!("{before}, {vrrp}")), None, "{left} {right}");
            }
        }
    }

    #[test]
    fn sets_maps_and_prefixes_are_understood() {
        let group = rule(
            r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}},
               "right": {"prefix": {"addr": "224.0.0.0", "len": 4}}}}, {"drop": null}"#,
        );
        assert!(of(&format!("{ACCEPTING}, {group}")).is_some());
        let set = r#"{"set": {"family": "inet", "name": "allowed", "table": "filter", "type": "inet_proto", "elem": ["vrrp"]}}"#;
        let allowed = rule(
            r#"{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "@allowed"}}, {"accept": null}"#,
        );
        assert_eq!(of(&format!("{DROPPING}, {set}, {allowed}")), None);
        let vmap = rule(
            r#"{"vmap": {"key": {"meta": {"key": "l4proto"}}, "data": {"set": [["tcp", {"accept": null}], ["vrrp", {"drop": null}]]}}}"#,
        );
        assert!(of(&format!("{ACCEPTING}, {vmap}")).is_some_and(|it| !it.2 && it.3));
        let zones = rule(r#"{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": "@zones"}}"#);
        for (elements, expected) in [
            (r#", "elem": [["eth0", {"accept": null}]]"#, None),
            (r#", "elem": [["lo", {"accept": null}]]"#, by_policy()),
            ("", by_policy()),
        ] {
            let map = format!(
                r#"{{"map": {{"family": "inet", "name": "zones", "table": "filter", "type": "ifname", "map": "verdict"{elements}}}}}"#
            );
            assert_eq!(of(&format!("{DROPPING}, {map}, {zones}")), expected, "{elements}");
        }
        assert!(of(&format!("{DROPPING}, {zones}")).is_some_and(|it| !it.3), "it is not listed");
        let empty =
            r#"{"set": {"family": "inet", "name": "allowed", "table": "filter", "type": "inet_proto"}}"#;
        assert_eq!(of(&format!("{DROPPING}, {empty}, {allowed}")), by_policy());
        let source = rule(
            r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.9"}}, {"drop": null}"#,
        );
        assert!(of(&format!("{ACCEPTING}, {source}")).is_some_and(|it| !it.3), "it may be a peer's");
    }

    #[test]
    fn conditions_of_another_protocol_never_hold() {
        let dropped = |left: &str, right: &str| {
            let rule = rule(&format!(
                r#"{{"match": {{"op": "!=", "left": {left}, "right": {right}}}}}, {{"drop": null}}"#
            ));
            of(&format!("{ACCEPTING}, {rule}"))
        };
        let flags = r#"{"payload": {"protocol": "tcp", "field": "flags"}}"#;
        assert_eq!(dropped(flags, r#""syn""#), None);
        let masked = format!(r#"{{"&": [{flags}, ["fin", "syn", "rst", "ack"]]}}"#);
        assert_eq!(dropped(&masked, r#""syn""#), None);
        // The mark of a connection is of every protocol.
        let mark = r#"{"&": [{"ct": {"key": "mark"}}, 255]}"#;
        assert!(dropped(mark, "1").is_some_and(|it| !it.3));
    }

    #[test]
    fn a_filter_of_reverse_paths_drops_no_advert() {
        let rule = rule(
            r#"{"match": {"op": "==", "left": {"fib": {"result": "oif", "flags": ["saddr", "mark", "iif"]}},
               "right": false}}, {"drop": null}"#,
        );
        assert_eq!(of(&format!("{ACCEPTING}, {rule}")), None);
    }

    #[test]
    fn a_set_that_is_filled_by_packets_is_a_condition() {
        let rule = rule(
            r#"{"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@seen"}},
               {"drop": null}"#,
        );
        assert!(of(&format!("{ACCEPTING}, {rule}")).is_some_and(|it| !it.3));
    }

    #[test]
    fn what_is_no_ruleset_has_no_chains() {
        for text in
            ["", "{}", "[]", r#"{"nftables": 7}"#, r#"{"nftables": [{"chain": 7}, {"rule": {"expr": [7]}}]}"#]
        {
            assert!(chains(text).is_empty(), "{text}");
        }
    }
}
