//! Mail about changes: settings from the keywords, and findings if no mail can be sent.

use std::time::Duration;

use vrrp_user::config::{Config, Loaded, parse};

/// Findings and configuration for an instance and a group after `globals`; `line` is part of the instance.
fn read(globals: &str, line: &str) -> (Vec<String>, Config) {
    let instance = |name: &str, vrid: u8, line: &str| {
        format!(
            "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n {line}\n \
             virtual_ipaddress {{\n 192.0.2.{vrid}/24\n }}\n}}\n"
        )
    };
    let (a, b) = (instance("a", 1, line), instance("b", 2, ""));
    let text = format!("global_defs {{\n{globals}\n}}\n{a}{b}vrrp_sync_group G {{\n group {{ a b }}\n}}\n");
    let Loaded { config, diagnostics, .. } = parse("t", &text).unwrap();
    (diagnostics.iter().map(ToString::to_string).collect(), config)
}

const BOTH: &str = "smtp_server mail.example.org 587\nnotification_email {\n ops@example.org\n\
    Night <night@example.org>\n root\n}";

/// Whether changes of `a`, `b` and the group are mailed.
fn alerts(config: &Config) -> [bool; 3] {
    [config.instances[0].notify.mail, config.instances[1].notify.mail, config.groups[0].notify.mail]
}

#[test]
fn the_settings_are_those_written() {
    let more = "smtp_connect_timeout 5\nsmtp_helo_name lab\nnotification_email_from VRRP <vrrp@example.org>";
    let (findings, config) = read(&format!("{BOTH}\n{more}\nno_email_faults\nsmtp_alert"), "");
    assert_eq!(findings, ["t:6:2: warning: `root` has no domain; root@localhost is used"]);
    let mail = config.globals.mail.as_ref().unwrap();
    assert_eq!(mail.server.to_string(), "mail.example.org:587");
    let to: Vec<String> = mail.to.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["ops@example.org", "Night <night@example.org>", "root@localhost"]);
    assert_eq!(mail.from.as_ref().unwrap().to_string(), "VRRP <vrrp@example.org>");
    assert_eq!((mail.helo.as_deref(), mail.patience), (Some("lab"), Duration::from_secs(5)));
    assert!(!mail.faults);
    assert_eq!(alerts(&config), [true; 3]);
}

#[test]
fn the_nearest_smtp_alert_decides() {
    for (globals, line, expected) in [
        ("", "", [false; 3]),
        ("", "smtp_alert", [true, false, false]),
        ("smtp_alert", "smtp_alert off", [false, true, true]),
        ("smtp_alert\nsmtp_alert_vrrp off", "", [false; 3]),
        ("smtp_alert off\nsmtp_alert_vrrp on", "", [true; 3]),
    ] {
        let (_, config) = read(&format!("{BOTH}\n{globals}"), line);
        assert_eq!(alerts(&config), expected, "{globals:?} {line:?}");
    }
    let (_, config) = read(BOTH, "");
    let mail = config.globals.mail.unwrap();
    assert!(mail.faults && mail.from.is_none() && mail.helo.is_none());
    assert_eq!(mail.patience, Duration::from_secs(30));
}

#[test]
fn incomplete_mail_settings_send_nothing_and_are_reported() {
    for (globals, line, expected) in [
        ("smtp_server 192.0.2.25", "", "t:2:13: warning: no mail is sent: there is no `notification_email`"),
        (
            "notification_email {\n a@example.org\n}",
            "",
            "t:2:1: warning: no mail is sent: there is no `smtp_server`",
        ),
        (
            "smtp_server ::1\nnotification_email {\n a b@\n}",
            "",
            "t:4:2: warning: `a` has no domain; a@localhost is used",
        ),
        (
            "smtp_server ::1\nnotification_email {\n b@\n}",
            "",
            "t:4:2: warning: `b@` is not a mail address; it is left out",
        ),
        (
            "",
            "smtp_alert on",
            "t:7:13: warning: no mail is sent: there is neither `smtp_server` nor `notification_email`",
        ),
        ("smtp_alert off", "", ""),
    ] {
        let (findings, _) = read(globals, line);
        let mut lines = findings.iter().filter_map(|finding| finding.lines().next());
        let reported =
            if expected.is_empty() { findings.is_empty() } else { lines.any(|line| line == expected) };
        assert!(reported, "{globals:?} {line:?}: {findings:?}");
    }
}

#[test]
fn a_server_is_a_host_and_a_port() {
    for (line, expected) in [
        ("smtp_server", "needs a host name or address"),
        ("smtp_server mail:25", "is neither a host name nor an address"),
        ("smtp_server mail 0", "a port is a number from 1 to 65535"),
        ("smtp_server mail 25 tls", "unexpected `tls` after"),
        ("smtp_connect_timeout 0", "is a number of seconds from 1 to 4294"),
    ] {
        let findings = parse("t", &format!("global_defs {{\n{line}\n}}")).unwrap_err();
        let found = findings.iter().any(|finding| finding.message.contains(expected));
        assert!(found, "{line}: {findings:?}");
    }
}
