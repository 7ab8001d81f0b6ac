//! Files written on a signal, in the form that programs which watch keepalived parse.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::{poll, until};
use vrrp_tests::lab::Lab;
use vrrp_tests::needs;

use super::{BOTH, Program, SOON, signum};

const CONFIG: &str = "global_defs {
    router_id lab
    script_user root
    enable_script_security
}
vrrp_script chk {
    script /bin/true
    interval 1
    timeout 1
    weight 20
    rise 2
    fall 3
}
vrrp_sync_group G1 {
    group {
        VI_1
        VI_2
    }
}
vrrp_instance VI_1 {
    interface lan0
    virtual_router_id 51
    priority 150
    advert_int 1
    virtual_ipaddress {
        10.77.0.200/24
        10.77.0.201/24 dev lan0 label lan0:1
    }
    virtual_ipaddress_excluded {
        10.77.0.202/32
    }
    notify \"/bin/true all\"
}
vrrp_instance VI_2 {
    interface lan0
    version 3
    virtual_router_id 52
    priority 150
    advert_int 0.5
    garp_master_delay 2
    strict_mode
    accept
    virtual_ipaddress {
        10.77.0.203/24
    }
    notify_master \"/bin/true up\"
}
vrrp_instance VI_3 {
    interface lan0
    version 3
    virtual_router_id 53
    priority 50
    advert_int 1
    preempt_delay 3
    track_script {
        chk
    }
    virtual_ipaddress {
        10.77.0.204/24
    }
}
vrrp_instance VI_4 {
    interface lan0
    version 3
    virtual_router_id 54
    priority 150
    advert_int 0.5
    nopreempt
    virtual_ipaddress {
        fe80::54/64
        fd77::54/64 -nodad noprefixroute
    }
}
vrrp_instance VI_5 {
    interface lan0
    version 3
    virtual_router_id 55
    priority 150
    advert_int 0.5
    promote_secondaries
    dont_track_primary
    track_script {
        chk weight 5 reverse
    }
    track_interface {
        lo weight 7 reverse
    }
    virtual_ipaddress {
        10.77.0.205/24 noprefixroute
        10.77.0.206/24 dev lo no_track
    }
}
vrrp_instance VI_6 {
    interface lan0
    version 3
    virtual_router_id 56
    priority 150
    advert_int 0.5
    use_vmac
    virtual_ipaddress {
        10.77.0.207/24
    }
}
";

/// One of each form, in a file of its own: beside it, an instance of keepalived 2.2.7 no longer hears its master.
const PATHS: &str = "vrrp_instance VI_1 {
    interface lan0
    version 3
    virtual_router_id 51
    priority 150
    advert_int 0.5
    virtual_ipaddress {
        10.77.0.203/24
    }
    virtual_routes {
        192.0.2.0/24 dev lan0
        198.51.100.0/24 via 10.77.0.1 dev lan0 src 10.77.0.203 tos 4 table 100 metric 5 scope link realms 1/2 mtu 1400
        203.0.113.0/24 dev lan0 scope host mtu lock 1300 no_track append
        blackhole 198.18.0.0/16
        198.19.0.0/16 nexthop via 10.77.0.1 dev lan0 weight 2 nexthop via 10.77.0.2 dev lan0
        2001:db8:7::/48 dev lan0
    }
    virtual_rules {
        from 10.77.0.203 table 100 priority 500
        not from 10.77.0.7 to 10.0.0.0/8 tos 16 fwmark 5/0xff iif lan0 oif lo table 100 priority 501
        to 10.77.0.9 uidrange 3-4 ipproto tcp sport 5-6 dport 7-7 suppress_prefixlength 4 table 100 priority 502 no_track
        from 2001:db8::/32 goto 900 priority 503
        from 10.77.0.8 blackhole priority 504
    }
}
";

/// The other node is master of VI_3 only.
const PEER: &str = "vrrp_instance VI_3 {
    interface lan0
    version 3
    virtual_router_id 53
    priority 200
    advert_int 1
    virtual_ipaddress {
        10.77.0.204/24
    }
}
";

/// Whether the check has succeeded, VI_3 hears the peer, and the others are masters.
fn is_settled(data: &str) -> bool {
    let count = |text: &str| data.lines().filter(|line| line.trim() == text).count();
    count("Status = GOOD") == 1 && count("Master priority = 200") == 1 && count("State = MASTER") == 5
}

/// keepalived.data, keepalived.stats, keepalived.json.
fn dumped_by(program: Program) -> Result<[String; 3]> {
    let lab = Lab::new(2)?;
    let (node, peer) = (lab.nodes.first().context("no node")?, lab.nodes.get(1).context("no peer")?);
    let _peer = Program::Theirs.start(peer, PEER)?;
    let mut started = program.start(node, CONFIG)?;
    for address in ["10.77.0.200", "10.77.0.203", "fd77::54"] {
        until(address, SOON, || lab.has_address(0, address).is_ok_and(|held| held))
            .with_context(|| started.log())?;
    }
    let dump = |word: &str, name: &str| {
        started.ordered(signum(program, word)?, name).with_context(|| name.to_owned())
    };
    let data = poll("results of the check, and the peer's adverts", SOON, || {
        let data = dump("DATA", "keepalived.data")?;
        if is_settled(&data) {
            return Ok(Some(data));
        }
        std::fs::remove_file(started.path("keepalived.data"))?;
        Ok(None)
    })?;
    let texts = [data, dump("STATS", "keepalived.stats")?, dump("JSON", "keepalived.json")?];
    ensure!(started.stop()? == Some(0), "{program:?} ends with an error");
    Ok(texts)
}

#[test]
#[needs("lab", "keepalived")]
fn dumps_parse_the_same() -> Result<()> {
    let [ours, theirs] = BOTH.map(|program| dumped_by(program).with_context(|| format!("{program:?}")));
    let ([data, stats, json], [their_data, their_stats, their_json]) = (ours?, theirs?);
    same_data(&data, &their_data)?;
    same_stats(&stats, &their_stats)?;
    same_json(&serde_json::from_str(&json)?, &serde_json::from_str(&their_json)?)
}

#[test]
#[needs("lab", "keepalived")]
fn routes_and_rules_are_written_alike() -> Result<()> {
    let [ours, theirs] = BOTH.map(|program| -> Result<Vec<Value>> {
        let lab = Lab::new(1)?;
        let mut started = program.start(lab.nodes.first().context("no node")?, PATHS)?;
        until("the address", SOON, || lab.has_address(0, "10.77.0.203").is_ok_and(|held| held))
            .with_context(|| started.log())?;
        let text = started.ordered(signum(program, "JSON")?, "keepalived.json")?;
        let data = started.ordered(signum(program, "DATA")?, "keepalived.data")?;
        ensure!(started.stop()? == Some(0), "{program:?} ends with an error");
        let members = as_written(&serde_json::from_str::<Value>(&text)?[0]["data"]);
        let lines = ["vroutes", "vrules"].map(|name| members[name].clone());
        for line in lines.iter().flat_map(|lines| lines.as_array().into_iter().flatten()) {
            let line = line.as_str().unwrap_or_default();
            ensure!(data.lines().any(|it| without_moments(it).trim() == line), "{line:?} is not in\n{data}");
        }
        Ok(lines.to_vec())
    });
    let (ours, theirs) = (ours?, theirs?);
    ensure!(ours == theirs, "ours: {ours:#?}\nkeepalived's: {theirs:#?}");
    ensure!(ours.iter().all(|lines| lines.as_array().is_some_and(|lines| lines.len() > 4)), "{ours:?}");
    Ok(())
}

#[test]
#[needs("lab", "keepalived")]
fn a_daemon_among_several_names_its_files_after_itself() -> Result<()> {
    let config = format!("instance blue\nglobal_defs {{\n    data_use_instance\n}}\n{PEER}");
    for program in BOTH {
        let lab = Lab::new(1)?;
        let started = program.start(lab.nodes.first().context("no node")?, &config)?;
        until("the address", SOON, || lab.has_address(0, "10.77.0.204").is_ok_and(|held| held))?;
        let text = started.ordered(signum(program, "DATA")?, "keepalived.blue.data");
        ensure!(
            text.with_context(|| format!("{program:?}"))?.contains("VRRP Instance = VI_3"),
            "{program:?}"
        );
    }
    Ok(())
}

/// Beginnings of the lines that programs in the field look for.
const LOOKED_FOR: &[&str] = &[
    " VRRP Instance = ",
    "   State = ",
    "   Master router = ",
    "   Master priority = ",
    "   Wantstate = ",
    "   Last transition = ",
    "   Interface = ",
    "   Gratuitous ARP delay = ",
    "   Virtual Router ID = ",
    "   Priority = ",
    "   Effective priority = ",
    "   Advert interval = ",
    "   Virtual IP (",
    "   Virtual IP Excluded :",
    " VRRP Sync Group = ",
    " VRRP Script = ",
    "   Status = ",
];

/// Every line of ours is one of keepalived's, in the same order, and no line is missing that programs look for.
fn same_data(ours: &str, theirs: &str) -> Result<()> {
    let their_lines: Vec<String> = theirs.lines().map(without_moments).collect();
    let mut rest = their_lines.iter();
    for line in ours.lines().map(without_moments) {
        let found = rest.any(|theirs| *theirs == line);
        ensure!(found, "keepalived has no {line:?} in this place\nours:\n{ours}\nkeepalived's:\n{theirs}");
    }
    for beginning in LOOKED_FOR {
        let count = |text: &str| {
            // Ours has no such lines.
            let shared =
                |section: &&str| !section.starts_with("VRRP Sockpool") && !section.starts_with("Interfaces");
            let sections = text.split("------< ").filter(shared);
            sections.flat_map(str::lines).filter(|line| line.starts_with(beginning)).count()
        };
        let (ours, theirs) = (count(ours), count(theirs));
        ensure!(theirs > 0 && ours == theirs, "{beginning:?}: {ours} times, and {theirs} with keepalived");
    }
    Ok(())
}

/// Removes times, users of scripts, interface indexes and the targets of links, which differ.
fn without_moments(line: &str) -> String {
    let line = line.replace("/usr/bin/", "/bin/");
    let line = [", uid:gid", ", ifindex", " [installed ifindex"]
        .iter()
        .fold(&*line, |line, end| line.split(end).next().unwrap_or_default());
    match line.split_once("Last transition = ") {
        // `1795250214.382304 (Sat Nov 21 08:36:54.382304 2026)`: every digit becomes 0.
        Some((before, moment)) => {
            let form = moment.chars().map(|it| if it.is_ascii_digit() { '0' } else { it });
            format!("{before}Last transition = {}", form.collect::<String>())
        }
        None => line.to_owned(),
    }
}

/// Prefix of the members that keepalived has since 2.4.0.
const SINCE_2_4: &str = "auth_ext_";

/// Numbers of adverts differ, as counting starts at another time.
fn same_stats(ours: &str, theirs: &str) -> Result<()> {
    let lines = |text: &str| -> Vec<String> {
        let mut section = String::new();
        let mut lines = Vec::new();
        for line in text.lines() {
            if !line.starts_with("    ") {
                line.clone_into(&mut section);
            }
            let varies = section == "  Advertisements:" && !line.ends_with(": 0") && line.starts_with("    ");
            lines.push(if varies {
                format!("{}: some", line.split(':').next().unwrap_or_default())
            } else {
                line.to_owned()
            });
        }
        lines
    };
    ensure!(lines(ours) == lines(theirs), "ours:\n{ours}\nkeepalived's:\n{theirs}");
    Ok(())
}

/// The same members with the same types, and with the same values except for times and counts.
fn same_json(ours: &Value, theirs: &Value) -> Result<()> {
    let list = |value: &Value| value.as_array().cloned().context("no list");
    let (ours, theirs) = (list(ours)?, list(theirs)?);
    ensure!(ours.len() == theirs.len(), "{} instances, and {} with keepalived", ours.len(), theirs.len());
    for (one, other) in ours.iter().zip(&theirs) {
        for part in ["data", "stats"] {
            let members = |value: &Value| value[part].as_object().cloned().context("no object");
            let (mut mine, yours) = (members(one)?, members(other)?);
            mine.retain(|name, _| !name.starts_with(SINCE_2_4));
            let names =
                |members: &serde_json::Map<String, Value>| members.keys().cloned().collect::<Vec<_>>();
            ensure!(
                names(&mine) == names(&yours),
                "{:?}, and {:?} with keepalived",
                names(&mine),
                names(&yours)
            );
            for (name, value) in &mine {
                let theirs = yours.get(name).context("gone")?;
                let same = match name.as_str() {
                    "last_transition" => value.is_f64() && theirs.is_f64(),
                    "advert_sent" | "advert_rcvd" => value.is_u64() && theirs.is_u64(),
                    _ => *value == as_written(theirs),
                };
                ensure!(same, "{name} is {value}, and {theirs} with keepalived");
            }
        }
    }
    Ok(())
}

/// A command with the path as written, while keepalived follows links, and a route without its current interface.
fn as_written(value: &Value) -> Value {
    match value {
        Value::String(text) => without_moments(text).into(),
        Value::Array(list) => list.iter().map(as_written).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), as_written(value))).collect()
        }
        other => other.clone(),
    }
}
