//! Counts and times of announcements: defaults, what `global_defs` says, what an instance says.

use std::time::Duration;

use vrrp_proto::AnnounceSettings;

use super::super::diagnostic::Report;
use super::super::schema::{AnnounceDraft, GlobalsDraft};
use super::super::settings::{AnnouncePauses, ExtraAnnounce};
use super::super::source::At;

/// Defaults for instances that set nothing themselves.
pub(super) fn defaults(globals: &GlobalsDraft, report: &mut Report) -> Announcing {
    let standard = AnnounceSettings::default();
    let base = if globals.min_garp {
        AnnounceSettings { delay: Duration::ZERO, repeat: 1, ..standard }
    } else {
        standard
    };
    let delay = globals.announce.delay.map_or(base.delay, |span| span.value);
    let repeat = globals.announce.repeat.map_or(base.repeat, |count| clamped_u32(count.value).max(1));
    let span = |span: Option<At<Duration>>| span.map_or(Duration::ZERO, |span| span.value);
    let base = Announcing {
        settings: AnnounceSettings { lower_prio_delay: delay, lower_prio_repeat: repeat, ..base },
        pauses: AnnouncePauses { garp: span(globals.garp_interval), gna: span(globals.gna_interval) },
        extra: None,
    };
    announce(&globals.announce, &base, report)
}

/// Announcements, as instances inherit them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcing {
    pub(super) settings: AnnounceSettings,
    pub(super) pauses: AnnouncePauses,
    pub(super) extra: Option<ExtraAnnounce>,
}

/// What an instance inherits, with what it sets itself.
pub(super) fn announce(draft: &AnnounceDraft, inherited: &Announcing, report: &mut Report) -> Announcing {
    let span = |span: Option<At<Duration>>, base| span.map_or(base, |span| span.value);
    let base = &inherited.settings;
    let settings = AnnounceSettings {
        delay: span(draft.delay, base.delay),
        repeat: draft.repeat.map_or(base.repeat, |count| at_least_one(count, report)),
        refresh: span(draft.refresh, base.refresh),
        refresh_repeat: draft.refresh_repeat.map_or(base.refresh_repeat, |count| at_least_one(count, report)),
        lower_prio_delay: span(draft.lower_prio_delay, base.lower_prio_delay),
        lower_prio_repeat: draft
            .lower_prio_repeat
            .map_or(base.lower_prio_repeat, |count| clamped_u32(count.value)),
    };
    let extra = draft.extra_announce.map_or(inherited.extra, |it| Some(it).filter(|it| !it.period.is_zero()));
    Announcing { settings, extra, ..*inherited }
}

fn at_least_one(count: At<i64>, report: &mut Report) -> u32 {
    if count.value == 0 {
        report.warning(count.at, "0 announcements are raised to 1, as with keepalived");
    }
    clamped_u32(count.value).max(1)
}

pub(super) fn clamped_u32(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
