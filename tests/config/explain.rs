//! Output of `vrrpx explain`: for each guide's configuration word for word, and for each trap with and without it.

use std::path::Path;

use vrrp_user::config::{
    Diagnostic, Explanation, Finding, FindingSeverity, Origin, Reader, Surroundings, Takeover, Tolerance,
    explain_text, parse,
};

fn explain(text: &str) -> Explanation {
    let loaded = Reader::new(Some("node1")).parse("t", text);
    let loaded = loaded.unwrap_or_else(|findings: Vec<Diagnostic>| panic!("{findings:?}\n{text}"));
    loaded.explain(Surroundings::default())
}

/// The file that the documentation shows.
const SHOWN: &str = "docker-primary.conf";

#[test]
fn the_guides_configurations_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/guides");
    let documentation = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let documentation = std::fs::read_to_string(documentation).unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        let (name, text) =
            (path.file_name().unwrap().to_str().unwrap(), std::fs::read_to_string(&path).unwrap());
        let loaded = Reader::new(Some("node1")).parse(name, &text).unwrap();
        let shown = explain_text(&loaded.explain(Surroundings::default()), false);
        let beside = path.with_extension("explained");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&beside, &shown).unwrap();
        }
        assert_eq!(shown, std::fs::read_to_string(&beside).unwrap_or_default(), "{}", beside.display());
        if name == SHOWN {
            assert!(
                documentation.contains(&format!("```\n{shown}```\n")),
                "docs/configuration.md shows another {SHOWN}"
            );
        }
        files += 1;
    }
    assert_eq!(files, 7);
}

fn instance(lines: &str) -> String {
    format!(
        "vrrp_script up {{\nscript /bin/true\ninterval 2\nfall 3\n}}\nvrrp_instance a {{\ninterface eth0\n\
        virtual_router_id 1\npriority 100\nversion 3\nvirtual_ipaddress {{ 192.0.2.1/24 }}\n{lines}\n}}\n"
    )
}

/// All findings, in words.
fn findings(text: &str) -> Vec<String> {
    let explanation = explain(text);
    let own = explanation.instances.iter().flat_map(|instance| &instance.findings);
    let all: Vec<&Finding> = own.chain(&explanation.findings).collect();
    all.into_iter().filter(|it| it.severity != FindingSeverity::Error).map(|it| it.message.clone()).collect()
}

#[test]
fn traps_that_cannot_be_intended_are_warnings_of_a_check() {
    let traps = |text: &str| -> Vec<String> {
        parse("t", text).unwrap().traps().iter().map(ToString::to_string).collect()
    };
    let reported = traps(&instance("track_script {\nup weight -1\n}"));
    assert!(
        reported.len() == 1 && reported[0].contains(": warning: `up` moves the priority"),
        "{reported:?}"
    );
    assert_eq!(traps(&instance("track_script {\nup weight -20\n}")), [""; 0]);
}

#[test]
fn traps_are_reported_only_where_they_are() {
    let rows = [
        ("state MASTER", "changes nothing with a priority below 255", ""),
        ("nopreempt", "does not replace a master of lower priority", "preempt"),
        ("track_script {\nup weight -20\n}", "only if a peer has priority 81 to 99", "track_script {\nup\n}"),
        ("track_script {\nup weight -1\n}", "can never change the master", "track_script {\nup weight -2\n}"),
        ("track_script {\nup weight 1\n}", "can never change the master", "track_script {\nup weight 3\n}"),
    ];
    for (trap, words, sound) in rows {
        let reported = findings(&instance(trap));
        assert!(reported.iter().any(|message| message.contains(words)), "{trap}: {reported:?}");
        let reported = findings(&instance(sound));
        assert!(!reported.iter().any(|message| message.contains(words)), "{sound}: {reported:?}");
    }
    let pause = "global_defs {\nvrrp_garp_interval 0\n}\n";
    assert!(findings(&(pause.to_owned() + &instance(""))).iter().any(|it| it.contains("means no pause")));
    assert!(
        findings(&instance("").replace("version 3", "version 2"))
            .iter()
            .any(|it| it.contains("whole seconds"))
    );
    assert_eq!(findings(&instance("track_script {\nup\n}")), [""; 0]);
}

#[test]
fn times_follow_from_the_settings() {
    let text = instance("advert_int 0.1\ntrack_script {\nup\n}");
    let explanation = explain(&text);
    let within = |takeovers: &[Takeover], after: &str| {
        let takeover = takeovers.iter().find(|it| it.after == after).unwrap();
        let within = takeover.within.unwrap();
        (within.least.as_micros(), within.most.as_micros())
    };
    let takeovers = &explanation.instances[0].takeovers;
    // Skew is (256 − 100)/256 of 100 ms.
    assert_eq!(within(takeovers, "its host dies"), (260_937, 360_937));
    assert_eq!(within(takeovers, "it is stopped cleanly"), (60_937, 60_937));
    assert_eq!(within(takeovers, "its `up` fails"), (4_060_937, 6_060_937));
}

#[test]
fn the_hold_of_a_check_is_explained_beside_its_effect() {
    let text = instance("track_script {\nup\n}").replace("fall 3", "min_hold 10\ndamping 5 60 hold 120");
    let shown = explain_text(&explain(&text), false);
    let words =
        "failed: FAULT; held failed for 10 s at least, after 5 changes within 60 s until 120 s without one";
    assert!(shown.contains(words), "{shown}");
}

#[test]
fn terminal_escapes_in_a_file_are_not_printed() {
    let shown = explain_text(&explain(&instance("notify \"/bin/x \u{1b}[2J\"")), true);
    assert!(!shown.contains('\u{1b}') && shown.contains("\\u{1b}"), "{shown}");
}

#[test]
fn a_refused_file_is_explained_by_its_findings() {
    let findings = Reader::new(None).parse("t", "vrrp_instance a {\n}\n").unwrap_err();
    let shown = explain_text(&Explanation::refused("t", &findings), false);
    assert!(shown.starts_with("t has errors; no part of it would be used\n"), "{shown}");
    assert!(shown.contains("error: t:1:"), "{shown}");
}

fn as_keepalived(text: &str) -> Explanation {
    let loaded = Reader::new(None).tolerating(Tolerance::AsKeepalived).parse("t", text);
    loaded.unwrap_or_else(|found| panic!("{found:?}")).explain(Surroundings::default())
}

#[test]
fn all_that_is_configured_is_shown_where_braces_are_wrong() {
    let text = "vrrp_instance a {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1/24\n\
                track_script {\n192.0.2.2/24 label x\n}\n}\n}\nvrrp_instance b {\ninterface eth0\n\
                virtual_router_id 2\nvirtual_ipaddress {\n192.0.2.3\n}\n}\n";
    let loaded = Reader::new(None).tolerating(Tolerance::AsKeepalived).parse("t", text).unwrap();
    let explanation = loaded.explain(Surroundings::default());
    let names = |it: &Explanation| it.instances.iter().map(|it| it.name.to_string()).collect::<Vec<_>>();
    let configured: Vec<String> =
        loaded.config.instances.iter().map(|it| it.settings.name.to_string()).collect();
    assert_eq!(names(&explanation), configured);
    for (shown, instance) in explanation.instances.iter().zip(&loaded.config.instances) {
        let addresses = instance.settings.addresses.all().count();
        assert!(addresses > 0 && shown.addresses.len() == addresses, "{shown:?}");
    }
}

#[test]
fn what_is_left_out_is_no_value_and_no_origin() {
    let lines = "priority 150\nfoo 1\nvirtual_routes {\n192.0.2.0/24 dev eth0\nnonsense\n}\n\
                 virtual_rules {\nfrom nonsense\nfrom 192.0.2.1 table 7\n}\nvirtual_ipaddress_excluded {\n\
                 192.0.2.9/24 scope nonsense\n}\n";
    let text = instance(lines).replace("priority 100\n", "");
    let explanation = as_keepalived(&text);
    let it = &explanation.instances[0];
    let paths: Vec<&str> = it.paths.iter().map(|it| &*it.value).collect();
    assert_eq!(paths, ["192.0.2.0/24 dev eth0", "from 192.0.2.1 table 7 (preference 16384)"]);
    let of = |keyword: &str| it.values.iter().find(|it| it.keyword == keyword);
    assert_eq!(of("foo"), None);
    assert!(matches!(of("priority").unwrap().from, Origin::Written(_)));
    assert!(it.addresses.iter().all(|it| !it.value.contains("nonsense")), "{:?}", it.addresses);
}

#[test]
fn words_with_blanks_are_quoted() {
    let explanation = explain(&instance("notify \"/bin/x 'a b' c\""));
    let shown = explanation.instances[0].values.iter().find(|it| it.keyword == "notify").unwrap();
    assert_eq!(shown.value, "/bin/x \"a b\" c");
}

#[test]
fn routes_and_rules_are_shown_with_the_preference_that_they_get() {
    let lines =
        "virtual_routes {\n192.0.2.0/24 dev eth0\n}\nvirtual_rules {\nfrom 192.0.2.1 table 7\nnop order 3\n}";
    let explanation = explain(&instance(lines));
    let shown = explanation.instances[0].paths.iter().map(|it| (&*it.keyword, &*it.value));
    let expected = [
        ("route", "192.0.2.0/24 dev eth0"),
        ("rule", "from 192.0.2.1 table 7 (preference 16384)"),
        ("rule", "nop order 3"),
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}
