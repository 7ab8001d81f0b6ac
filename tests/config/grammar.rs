//! Results of definitions, conditional lines and sequences.

use std::net::IpAddr;

use vrrp_user::config::{self, Config, Loaded, Reader, Severity, Tolerance};
use vrrp_user::protocol::Priority;

fn read(config_id: &str, text: &str) -> Loaded {
    Reader::new(Some(config_id)).parse("text", text).unwrap()
}

fn names(config: &Config) -> Vec<&str> {
    config.instances.iter().map(|instance| &*instance.settings.name).collect()
}

#[test]
fn one_file_serves_several_nodes() {
    let text = include_str!("../corpus/valid/grammar.conf");
    let (one, two) = (read("node1", text).config, read("node2", text).config);
    assert_eq!(names(&one), ["net11", "net12", "net13", "six"]);
    assert_eq!(names(&one), names(&two));
    let nodes = [(&one, Priority(150), 66, "one-lab"), (&two, Priority(100), 67, "other-lab")];
    for (config, priority, vrid, router_id) in nodes {
        assert_eq!(config.globals.router_id.as_deref(), Some(router_id));
        assert_eq!(config.instances[0].settings.priority, priority);
        assert_eq!(config.instances[3].settings.vrid.number(), vrid);
    }
}

#[test]
fn a_sequence_of_a_definition_makes_instances() {
    let config = read("node1", include_str!("../corpus/valid/grammar.conf")).config;
    for (instance, vrid) in config.instances.iter().zip(11..=13_u8) {
        let settings = &instance.settings;
        assert_eq!((settings.vrid.number(), &*settings.interface), (vrid, format!("eth0.{vrid}").as_str()));
        let addresses: Vec<IpAddr> =
            settings.addresses.advertised.iter().map(|address| address.address).collect();
        let expected =
            ["192.0.2.100", "192.0.2.102", "192.0.2.104"].map(|address| address.parse::<IpAddr>().unwrap());
        assert_eq!(addresses, expected, "as NET_ID was then");
        assert_eq!(settings.tracks.len(), 2);
    }
    let scripts: Vec<&str> = config.checks.iter().map(|script| &*script.name).collect();
    assert_eq!(scripts, ["check_nginx", "check_haproxy"]);
    let last = &config.instances[3].settings.addresses.advertised;
    assert_eq!(last[1].address, "2001:db8::90".parse::<IpAddr>().unwrap());
    assert_eq!(last[2].address, "2001:db8::a0".parse::<IpAddr>().unwrap());
}

#[test]
fn without_an_id_the_host_name_identifies_a_node() {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let short = host.trim().split('.').next().unwrap();
    let text = format!("global_defs {{\n@{short} router_id this\n@^{short} router_id other\n}}");
    let loaded = vrrp_user::config::parse("text", &text).unwrap();
    assert_eq!(loaded.config.globals.router_id.as_deref(), Some("this"));
}

#[test]
fn environment_variables_are_substituted() {
    let path = std::env::var("PATH").unwrap();
    let config = read("node1", "global_defs {\nrouter_id \"${_ENV PATH}\"\n}").config;
    assert_eq!(config.globals.router_id.as_deref(), Some(path.as_str()));
}

#[test]
fn the_whole_load_balancer_is_one_warning() {
    let text = "
        global_defs {
            lvs_flush
            checker_priority -10
        }
        SSL {
            password x
        }
        virtual_server_group web {
            192.0.2.1-3 80
            fwmark 7
        }
        virtual_server group web {
            real_server 192.0.2.9 80 {
                HTTP_GET { url { path /
                    digest 1
                } }
            }
            sorry_server 192.0.2.10 80
        }
        virtual_server 192.0.2.4 443
        {
            real_server 192.0.2.9 443
            {
                SSL_GET { }
            }
        }";
    let diagnostics = read("node1", text).diagnostics;
    let messages: Vec<&str> = diagnostics.iter().map(|found| found.message.as_str()).collect();
    let ["there is no vrrp_instance: the daemon has nothing to do", skipped] = messages[..] else {
        panic!("{messages:?}");
    };
    assert!(skipped.starts_with("`lvs_flush` is skipped") && skipped.ends_with("(and 5 more)"), "{skipped}");
}

#[test]
fn an_unknown_block_is_named_and_skipped_whole() {
    let text = "vrrp_instance a {
        virtual_ipadress {
            192.0.2.1/24
            inner { virtual_router_id 9 }
        }
        interface eth0
        virtual_router_id 7
    }
    no_such_block a b {
        x { y }
    }";
    let found: Vec<String> = Reader::new(None)
        .parse("text", text)
        .unwrap_err()
        .iter()
        .map(|finding| format!("{}: {}", finding.line, finding.message))
        .collect();
    assert_eq!(
        found,
        [
            "2: unknown block `virtual_ipadress` in vrrp_instance",
            "9: unknown block `no_such_block` at the top level"
        ]
    );
}

/// Numbers of errors and of warnings of a text, and the last finding.
fn counted(text: &str) -> (usize, usize, String) {
    let findings = match config::parse("t", text) {
        Ok(loaded) => loaded.diagnostics,
        Err(findings) => findings,
    };
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    (errors, findings.len() - errors, findings.last().map(ToString::to_string).unwrap_or_default())
}

#[test]
fn findings_are_limited_to_the_first_hundred_of_a_kind() {
    let more = |kind: &str, line: u32| {
        format!("t:{line}:1: {kind}: more than 100 {kind}s; from here on they are not shown")
    };
    for text in ["vrrp_instnace\n".repeat(50_000), "}\n".repeat(50_000), "vrrp_script\n".repeat(50_000)] {
        assert_eq!(counted(&text), (101, 0, more("error", 101)), "{text:.20}");
    }
    let many = |tail: &str| {
        format!(
            "vrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\n192.0.2.1/24\n}}\n{}{tail}}}",
            "priority 7\n".repeat(500)
        )
    };
    assert_eq!(counted(&many("")).1, 101);
    // Warnings displace no error.
    let (errors, warnings, _) = counted(&many("priorty 7\n"));
    assert_eq!((errors, warnings), (1, 101));
    // A finding repeated by a sequence is reported once.
    assert_eq!(counted("~SEQ(i, 1, 3000) foo bar\n").0, 1);
}

#[test]
fn huge_files_are_refused_before_they_fill_the_memory() {
    for (text, message) in [
        ("x".repeat(3 << 20), "a line of more than 1048576 characters"),
        (format!("\"{}", "x\\\n".repeat(2 << 20)), "a line of more than 1048576 characters"),
        ("a a a a a a a a\n".repeat(150_000), "more than 1048576 words; nothing further is read"),
    ] {
        let (errors, _, last) = counted(&text);
        assert_eq!(errors, 1, "{last}");
        assert!(last.contains(message), "{last}");
    }
    let findings = config::parse("t", &"x".repeat(500_000)).unwrap_err();
    assert!(findings.iter().all(|finding| finding.message.len() < 2000));
}

#[test]
fn lookalikes_of_quotes_and_blanks_are_reported() {
    let found = |text: &str| -> Vec<String> {
        let found = match config::parse("t", text) {
            Ok(loaded) => loaded.diagnostics,
            Err(found) => found,
        };
        found.iter().map(ToString::to_string).collect()
    };
    let instance = |line: &str| {
        format!(
            "vrrp_instance a {{\n{line}\nvirtual_router_id 1\nvirtual_ipaddress {{\n192.0.2.1/24 dev a dev b\n}}\n}}\n"
        )
    };
    for (line, expected) in [
        (
            "interface “eth0”",
            "t:2:11: warning: the typographic quote “ does not quote: it is part of the word",
        ),
        ("\u{a0}interface eth0", "t:2:1: warning: U+00A0 is not a blank: it is part of the word"),
        ("interface eth0", "t:5:20: warning: `dev` is written twice on this line; the last one counts"),
    ] {
        let found = found(&instance(line));
        assert!(found.iter().any(|finding| finding.starts_with(expected)), "{expected}: {found:?}");
    }
    assert!(found(&instance("interface \"“eth0”\"")).iter().all(|finding| !finding.contains("typographic")));
    let found = found(&instance("interface eth0").replace('\n', "\r"));
    assert!(found[0].starts_with("t:1:1: error: the lines end with CR only"), "{found:?}");
}

#[test]
fn an_empty_file_is_one_that_was_cut_off() {
    for text in ["", "\n \n", "# vrrp_instance VI_1 {\n#}\n"] {
        let findings = vrrp_user::config::parse("t", text).expect_err(text);
        assert_eq!(findings.len(), 1, "{findings:?}");
        let shown = findings[0].to_string();
        assert!(shown.starts_with("t:1:1: error: there is nothing in the file"), "{shown}");
        let in_its_place = Reader::new(None).tolerating(Tolerance::AsKeepalived).parse("t", text);
        assert!(in_its_place.is_ok(), "keepalived runs with such a file");
    }
    // Lines for other nodes are no sign of it.
    for text in ["global_defs {\n}\n", "@other global_defs\n"] {
        assert!(Reader::new(Some("this")).parse("t", text).is_ok(), "{text}");
    }
}
