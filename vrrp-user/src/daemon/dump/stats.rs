//! keepalived.stats: counters as text.

use std::fmt::{self, Display, Write};

use super::tally::Tally;
use crate::daemon::status::DaemonContext;
use crate::protocol::Auth;

/// The whole file: a paragraph per instance, in the order of the configuration.
pub(super) fn stats(context: &DaemonContext, tallies: &[Tally]) -> String {
    let mut text = String::new();
    for (instance, tally) in context.config.instances.iter().zip(tallies) {
        let settings = &instance.settings;
        let is_signed = matches!(settings.auth, Auth::Hmac(_));
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", Paragraph { name: &settings.name, tally, is_signed });
    }
    text
}

struct Paragraph<'a> {
    name: &'a str,
    tally: &'a Tally,
    /// Only then is the section of its errors written. keepalived since 2.4.0 always writes it, which programs that
    /// read these files may not know.
    is_signed: bool,
}

impl Display for Paragraph<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, tally, is_signed } = self;
        writeln!(f, "VRRP Instance: {name}")?;
        section(f, "Advertisements", &[("Received", tally.advert_rcvd), ("Sent", tally.advert_sent)])?;
        writeln!(f, "  Became master: {}", tally.become_master)?;
        writeln!(f, "  Released master: {}", tally.release_master)?;
        let packet_errors = [
            ("Length", tally.packet_len_err),
            ("TTL", tally.ip_ttl_err),
            ("Invalid Type", tally.invalid_type_rcvd),
            ("Advertisement Interval", tally.advert_interval_err),
            ("Address List", tally.addr_list_err),
        ];
        section(f, "Packet Errors", &packet_errors)?;
        let authentication = [
            ("Invalid Type", tally.invalid_authtype),
            ("Type Mismatch", tally.authtype_mismatch),
            ("Failure", tally.auth_failure),
        ];
        section(f, "Authentication Errors", &authentication)?;
        let extension = [
            ("Missing", tally.auth_ext_missing),
            ("Malformed", tally.auth_ext_malformed),
            ("Unknown Key", tally.auth_ext_unknown_key),
            ("Invalid HMAC", tally.auth_ext_invalid_hmac),
            ("Stale", tally.auth_ext_stale),
            ("Replay", tally.auth_ext_replay),
        ];
        if *is_signed {
            section(f, "Authentication Extension Errors", &extension)?;
        }
        section(f, "Priority Zero", &[("Received", tally.pri_zero_rcvd), ("Sent", tally.pri_zero_sent)])
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, counts: &[(&str, u64)]) -> fmt::Result {
    writeln!(f, "  {title}:")?;
    counts.iter().try_for_each(|(word, count)| writeln!(f, "    {word}: {count}"))
}
