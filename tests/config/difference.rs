//! Changes between two configurations, in words.

use vrrp_user::config::{Loaded, parse};

const BEFORE: &str = "\
global_defs {
    router_id web1
    script_user root
}
vrrp_script chk {
    script /bin/true
    interval 2
    timeout 3
}
vrrp_check api {
    http http://127.0.0.1/
    header \"Authorization: secret-one\"
}
vrrp_instance web {
    interface eth0
    virtual_router_id 51
    priority 110
    advert_int 1
    version 2
    authentication {
        auth_type PASS
        auth_pass hidden1
    }
    virtual_ipaddress {
        192.0.2.80/24
    }
    track_script {
        chk
        api
    }
}
vrrp_instance db {
    interface eth0
    virtual_router_id 52
    virtual_ipaddress {
        192.0.2.50/24
    }
}
vrrp_sync_group all {
    group {
        web
        db
    }
}
static_routes {
    198.51.100.0/24 via 192.0.2.1 dev eth0
}
";

fn loaded(text: &str) -> Loaded {
    parse("/etc/vrrpx/vrrpx.conf", text).unwrap()
}

/// What changes if each `(from, to)` is replaced.
fn changes(replaced: &[(&str, &str)]) -> Vec<String> {
    let mut after = BEFORE.to_owned();
    for (from, to) in replaced {
        assert!(after.contains(from), "{from}");
        after = after.replace(from, to);
    }
    loaded(BEFORE).changes_to(&loaded(&after)).iter().map(ToString::to_string).collect()
}

#[test]
fn what_means_the_same_is_no_change() {
    assert_eq!(changes(&[]), [""; 0]);
    let same = [
        ("    advert_int 1\n", ""),
        ("    script_user root\n", "    script_user root # as ever\n"),
        ("priority 110", "priority  \"110\""),
    ];
    assert_eq!(changes(&same), [""; 0]);
    let (web, db) = BEFORE.split_at(BEFORE.find("vrrp_instance db").unwrap());
    let (db, rest) = db.split_at(db.find("vrrp_sync_group").unwrap());
    let at = web.find("vrrp_instance web").unwrap();
    let moved = format!("{}{db}{}{rest}", &web[..at], &web[at..]);
    assert_eq!(loaded(BEFORE).changes_to(&loaded(&moved)), [], "the order of instances means nothing");
}

#[test]
fn each_change_is_reported_with_its_place() {
    for (from, to, expected) in [
        ("priority 110", "priority 90", "vrrpx.conf:17: web  priority 110 → 90"),
        ("    priority 110\n", "", "web  priority 110 → 100"),
        ("advert_int 1", "advert_int 2", "vrrpx.conf:18: web  advert_int 1 s → 2 s"),
        (
            "        192.0.2.80/24\n",
            "        192.0.2.80/24\n        192.0.2.81/24\n",
            "vrrpx.conf:26: web  + 192.0.2.81/24",
        ),
        (
            "    virtual_router_id 52\n",
            "    virtual_router_id 52\n    nopreempt\n",
            "vrrpx.conf:35: db  preempt on → off",
        ),
        ("hidden1", "hidden2", "vrrpx.conf:20: web  authentication differs; its value is not shown"),
        ("interval 2", "interval 5", "vrrpx.conf:7: check chk  interval 2 → 5"),
        // A sync group ignores the weight of a member: it is no longer tracked.
        ("        chk\n", "        chk weight -9\n", "web  - track_script chk weight 0"),
        ("        api\n", "        api weight -9\n", "web  - track_check api weight 0"),
        ("secret-one", "secret-two", "vrrpx.conf:12: check api  header differs; its value is not shown"),
        (
            "router_id web1",
            "router_id web2",
            "vrrpx.conf:2: global_defs  router_id web1 → web2, after a restart",
        ),
        ("group {\n        web\n", "group {\n", "vrrpx.conf:40: group all  group web db → db"),
        (
            "198.51.100.0/24 via",
            "198.51.100.0/25 via",
            "vrrpx.conf:46: static_routes  + 198.51.100.0/25 via 192.0.2.1 dev eth0",
        ),
    ] {
        let reported = changes(&[(from, to)]);
        assert!(reported.contains(&expected.to_owned()), "{from} → {to}: {reported:#?}");
        assert!(
            !reported.iter().any(|line| line.contains("secret") || line.contains("hidden")),
            "{reported:#?}"
        );
    }
}

#[test]
fn instances_that_come_go_or_are_replaced() {
    let gone = changes(&[("vrrp_sync_group all {\n    group {\n        web\n        db\n    }\n}\n", "")]);
    assert!(gone.contains(&"group all  removed".to_owned()), "{gone:#?}");
    let other = changes(&[("virtual_router_id 52", "virtual_router_id 53")]);
    let replaced = "vrrpx.conf:32: db  another instance, VRID 53 on eth0, in place of VRID 52 on eth0";
    assert!(other.contains(&replaced.to_owned()), "{other:#?}");
    assert!(!other.iter().any(|line| line.contains("removed")), "{other:#?}");
    let renamed = changes(&[("vrrp_instance web", "vrrp_instance www"), ("        web\n", "        www\n")]);
    assert!(renamed.contains(&"vrrpx.conf:14: www  renamed from web".to_owned()), "{renamed:#?}");
    let added = "vrrp_instance new {\n interface eth0\n virtual_router_id 60\n virtual_ipaddress {\n 192.0.2.60/24\n }\n}\n";
    let before = loaded(BEFORE);
    let after = loaded(&format!("{added}{BEFORE}"));
    let lines = |one: &Loaded, other: &Loaded| -> Vec<String> {
        one.changes_to(other).iter().map(ToString::to_string).collect()
    };
    let text = "VRID 60 on eth0, priority 100, 192.0.2.60/24";
    assert_eq!(lines(&before, &after), [format!("vrrpx.conf:1: new  new instance, {text}")]);
    assert_eq!(lines(&after, &before), [format!("new  removed: {text}")]);
}
