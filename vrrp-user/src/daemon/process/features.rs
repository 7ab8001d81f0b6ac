//! Features that a configuration needs and this build may lack: clients of services.
//!
//! Enters: a configuration. Leaves: a line for each thing that cannot work. Neither `vrrpx check` nor a start nor a
//! reload accepts such a configuration, as a check that never runs would look like one that succeeds.

use std::collections::BTreeSet;

use crate::config::{CheckTarget, Config, Host, WebhookSettings};

/// Clients that a build may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Features(&'static [&'static str]);

/// Those of this build, in the order of the alphabet.
pub const BUILT: Features = Features(&[
    #[cfg(feature = "dns")]
    DNS,
    #[cfg(feature = "docker")]
    DOCKER,
    #[cfg(feature = "http")]
    HTTP,
    #[cfg(feature = "mail")]
    MAIL,
    #[cfg(feature = "systemd")]
    SYSTEMD,
    #[cfg(feature = "webhook")]
    WEBHOOK,
]);

const DNS: &str = "dns";
const DOCKER: &str = "docker";
const HTTP: &str = "http";
const MAIL: &str = "mail";
const SYSTEMD: &str = "systemd";
const WEBHOOK: &str = "webhook";

/// What the configuration has that a build with these features cannot do.
pub fn lacking(config: &Config, built: Features) -> Vec<String> {
    let mut needs = BTreeSet::new();
    for check in &config.checks {
        let name = || format!("check `{}`", check.name);
        let feature = match &check.target {
            CheckTarget::Dns(_) => Some(DNS),
            CheckTarget::Docker(_) => Some(DOCKER),
            CheckTarget::Http(_) => Some(HTTP),
            CheckTarget::Systemd(_) => Some(SYSTEMD),
            CheckTarget::Tcp(endpoint) => is_name(&endpoint.host).then_some(DNS),
            CheckTarget::Ping(host) => is_name(host).then_some(DNS),
            CheckTarget::Command(_)
            | CheckTarget::File(_)
            | CheckTarget::Haproxy(_)
            | CheckTarget::Process(_)
            | CheckTarget::Unix(_) => None,
        };
        needs.extend(feature.map(|feature| (name(), feature)));
        if let CheckTarget::Http(target) = &check.target
            && has_name(&target.url)
        {
            needs.insert((name(), DNS));
        }
    }
    if let Some(mail) = &config.globals.mail {
        needs.insert(("`notification_email`".to_owned(), MAIL));
        if is_name(&mail.server.host) {
            needs.insert((format!("`smtp_server` {}", mail.server), DNS));
        }
    }
    for webhook in webhooks(config) {
        let name = || format!("`notify_webhook` {}", webhook.url);
        needs.insert((name(), WEBHOOK));
        if webhook.url.has_name() {
            needs.insert((name(), DNS));
        }
    }
    let Features(built) = built;
    let lines = needs.into_iter().filter(|(_, feature)| !built.contains(feature));
    lines
        .map(|(what, feature)| format!("{what} needs the feature `{feature}`, which this build lacks"))
        .collect()
}

fn webhooks(config: &Config) -> impl Iterator<Item = &WebhookSettings> {
    let instances = config.instances.iter().map(|instance| &instance.notify);
    let groups = config.groups.iter().map(|group| &group.notify);
    instances.chain(groups).flat_map(|notify| &notify.webhooks)
}

fn is_name(host: &Host) -> bool {
    matches!(host, Host::Name(_))
}

/// Whether the host of a URL is a name.
fn has_name(url: &str) -> bool {
    crate::config::WebhookUrl::parse(url).is_some_and(|url| url.has_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
        global_defs {\nrouter_id a\nnotification_email {\na@b.example\n}\nsmtp_server mail.example\n\
          notify_webhook https://hook.example/secret\n}\n\
        vrrp_check d {\ndns web.example 192.0.2.1\n}\n\
        vrrp_check c {\ndocker web\n}\n\
        vrrp_check h {\nhttp http://192.0.2.1/\n}\n\
        vrrp_check n {\nhttp http://web.example/\n}\n\
        vrrp_check u {\nsystemd web.service\n}\n\
        vrrp_check t {\ntcp 192.0.2.1:80\n}\n\
        vrrp_check p {\nping web.example\n}\n\
        vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.9/24\n}\n\
          smtp_alert\ntrack_check {\nd\nc\nh\nn\nu\nt\np\n}\n}\n";

    fn lines(built: &'static [&'static str]) -> Vec<String> {
        let config = crate::config::parse("t", FILE).unwrap().config;
        let end = ", which this build lacks";
        let lines = lacking(&config, Features(built)).into_iter();
        lines.map(|line| line.strip_suffix(end).unwrap().replace(" needs the feature", "")).collect()
    }

    #[test]
    fn each_service_needs_its_feature() {
        let all = [
            "`notification_email` `mail`",
            "`notify_webhook` https://hook.example/… `dns`",
            "`notify_webhook` https://hook.example/… `webhook`",
            "`smtp_server` mail.example:25 `dns`",
            "check `c` `docker`",
            "check `d` `dns`",
            "check `h` `http`",
            "check `n` `dns`",
            "check `n` `http`",
            "check `p` `dns`",
            "check `u` `systemd`",
        ];
        assert_eq!(lines(&[]), all);
        assert_eq!(lines(&[DNS, DOCKER, HTTP, MAIL, SYSTEMD, WEBHOOK]), Vec::<String>::new());
        for feature in [DNS, DOCKER, HTTP, MAIL, SYSTEMD, WEBHOOK] {
            let built: &'static [&'static str] = Box::leak(Box::new([feature]));
            let others: Vec<_> = all.iter().filter(|line| !line.ends_with(&format!("`{feature}`"))).collect();
            assert_eq!(lines(built), others.into_iter().copied().collect::<Vec<_>>(), "{feature}");
        }
    }
}
