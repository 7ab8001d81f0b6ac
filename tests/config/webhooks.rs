//! Webhooks: settings from the keywords, and findings without secrets.

use std::fs;
use std::time::Duration;

use vrrp_tests::process::Directory;
use vrrp_user::config::{
    Config, Diagnostic, Loaded, Reader, Surroundings, Template, WebhookSettings, explain_text, parse,
};

fn text(globals: &str, instance: &str, group: &str) -> String {
    let block = |name: &str, vrid: u8, line: &str| {
        format!(
            "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n virtual_ipaddress {{\n \
             192.0.2.{vrid}/24\n }}\n {line}\n}}\n"
        )
    };
    let (a, b) = (block("a", 1, instance), block("b", 2, ""));
    format!("global_defs {{\n{globals}\n}}\n{a}{b}vrrp_sync_group G {{\n group {{\n a b\n }}\n {group}\n}}\n")
}

fn read(globals: &str, instance: &str, group: &str) -> Config {
    let Loaded { config, diagnostics, .. } = parse("t", &text(globals, instance, group)).unwrap();
    assert_eq!(diagnostics, []);
    config
}

fn urls(webhooks: &[WebhookSettings]) -> Vec<&str> {
    webhooks.iter().map(|webhook| webhook.url.expose().as_str()).collect()
}

#[test]
fn options_follow_the_url_or_are_in_a_block() {
    let behind = "notify_webhook https://h.example/x template slack header \"X-Token: abc\" retries 3 timeout 2 \
                  tls_verify off";
    let block = "notify_webhook https://h.example/x {\n template slack\n header \"X-Token: abc\"\n retries 3\n \
                 timeout 2\n tls_verify off\n}";
    let (one, other) = (read(behind, "", ""), read(block, "", ""));
    assert_eq!(one, other);
    let [webhook] = &one.instances[0].notify.webhooks[..] else { panic!("{one:?}") };
    assert_eq!((webhook.retries, webhook.patience, webhook.verify_tls), (3, Duration::from_secs(2), false));
    assert_eq!(webhook.template, Template::Slack);
    assert_eq!(webhook.headers[0].0.as_str(), "x-token");
    assert_eq!(webhook.headers[0].1.to_str().unwrap(), "abc");
}

#[test]
fn webhooks_of_an_instance_add_to_the_global_ones() {
    let [all, own, groups] = ["a", "b", "c"].map(|name| format!("notify_webhook https://{name}.example/"));
    let config = read(&all, &format!("{own}\n{all}"), &groups);
    let (a, b, c) = ("https://a.example/", "https://b.example/", "https://c.example/");
    assert_eq!(urls(&config.instances[0].notify.webhooks), [a, b]);
    assert_eq!(urls(&config.instances[1].notify.webhooks), [a]);
    assert_eq!(urls(&config.groups[0].notify.webhooks), [a, c]);
    let default = &config.instances[0].notify.webhooks[0];
    let expected = (&Template::Generic, 5, Duration::from_secs(5), true);
    assert_eq!((&default.template, default.retries, default.patience, default.verify_tls), expected);
}

#[test]
fn mistakes_are_reported_with_their_place_and_without_secrets() {
    for (line, place, expected) in [
        ("notify_webhook", "2:1", "needs a URL"),
        ("notify_webhook hooks.example/SECRET", "2:16", "needs an HTTP URL"),
        (
            "notify_webhook https://h/ template slak",
            "2:36",
            "`template` is slack, generic or a path, not `slak`",
        ),
        ("notify_webhook https://h/ header X-Token: SECRET", "2:34", "`header` needs NAME: VALUE"),
        ("notify_webhook https://h/ {\n header X-Token: SECRET\n}", "3:9", "`header` needs NAME: VALUE"),
        ("notify_webhook https://h/ header \"SECRET\"", "2:34", "`header` needs NAME: VALUE"),
        ("notify_webhook https://h/ retries 21", "2:35", "a number from 0 to 20"),
        ("notify_webhook https://h/ {\n tries 2\n}", "3:2", "unknown keyword `tries` in notify_webhook"),
        ("notify_webhook https://h/ template /x", "2:36", "that is not a file cannot name a template"),
    ] {
        let findings = parse("t", &text(line, "", "")).unwrap_err();
        let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let found =
            all.iter().any(|it| it.starts_with(&format!("t:{place}: error:")) && it.contains(expected));
        assert!(found, "{line}: {all:#?}");
        assert!(!all.concat().contains("SECRET"), "{all:#?}");
    }
    let Loaded { diagnostics, .. } =
        parse("t", &text("notify_webhook http://h.example/ header \"A: SECRET\"", "", "")).unwrap();
    let reported: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    assert!(
        reported.concat().contains("headers are sent unencrypted") && !reported.concat().contains("SECRET"),
        "{reported:?}"
    );
}

#[test]
fn explain_shows_no_secret() {
    let line = "notify_webhook https://hooks.slack.com/services/SECRET header \"Authorization: SECRET\"";
    let loaded =
        parse("t", &text(line, "notify_webhook https://b.example/SECRET template slack", "")).unwrap();
    let explanation = loaded.explain(Surroundings::default());
    let shown = explain_text(&explanation, true) + &serde_json::to_string(&explanation).unwrap();
    assert!(!shown.contains("SECRET"), "{shown}");
    assert!(shown.contains("https://hooks.slack.com/… (generic, 5 retries, 5 s, headers: 1)"), "{shown}");
    assert!(shown.contains("https://b.example/… (slack, 5 retries, 5 s)"), "{shown}");
    assert!(!format!("{:?}", loaded.config).contains("SECRET"), "Debug output has the secret");
}

#[test]
fn webhooks_of_groups_are_explained() {
    let loaded = parse("t", &text("", "", "notify_webhook https://c.example/SECRET")).unwrap();
    let shown = explain_text(&loaded.explain(Surroundings::default()), false);
    let (instances, group) = shown.split_once("vrrp_sync_group G  (").unwrap();
    assert!(!instances.contains("https://c.example/"), "{shown}");
    assert!(group.contains("https://c.example/… (generic, 5 retries, 5 s)"), "{shown}");
    assert!(group.lines().any(|line| line.contains("group") && line.contains("a b")), "{shown}");
}

/// A configuration beside its template.
fn load_beside(template: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let directory = Directory::new().unwrap();
    let folder = directory.path();
    fs::write(folder.join("hook.json"), template).unwrap();
    let line = "notify_webhook https://h.example/ template ${_PWD}/hook.json";
    fs::write(folder.join("t.conf"), text(line, "", "")).unwrap();
    Reader::new(None).load(&folder.join("t.conf"))
}

#[test]
fn a_template_is_read_with_the_configuration() {
    let loaded = load_beside("{\"content\": \"${name} ${state}\"}").unwrap();
    let template = &loaded.config.instances[0].notify.webhooks[0].template;
    assert!(
        matches!(template, Template::Own(_)) && template.to_string().ends_with("/hook.json"),
        "{template:?}"
    );
    let findings = load_beside("{\"content\":\n \"${nam}\"}").unwrap_err();
    let reported = findings[0].to_string();
    assert!(
        reported.contains("t.conf:2:44: error:") && reported.contains("line 2: unknown field `${nam}`"),
        "{reported}"
    );
    assert!(reported.contains("did you mean `name`?"), "{reported}");
}
