//! Link delays, limited to what the instances on the link allow.

use std::sync::Arc;
use std::time::Duration;

use super::super::diagnostic::Report;
use super::super::model::{Instance, LinkDelays};
use super::super::source::At;
use super::instance::interface_name;

/// A backup must notice a lost link before its master_down_interval ends. A down delay is therefore limited to
/// `down_timer_adverts` − 1 advert intervals less 1/256 of one, as with keepalived.
pub(super) fn resolve(
    written: &[(At<Arc<str>>, LinkDelays)],
    instances: &[Instance],
    report: &mut Report,
) -> Vec<(Arc<str>, LinkDelays)> {
    let mut resolved: Vec<(Arc<str>, LinkDelays)> = Vec::with_capacity(written.len());
    for (name, delays) in written {
        let interface = interface_name(name, report);
        let mut delays = *delays;
        for Instance { settings, .. } in instances.iter().filter(|it| it.settings.interface == interface) {
            let interval = settings.advert_interval.duration();
            let adverts = u32::from(settings.down_timer_adverts).saturating_sub(1);
            let most = (interval * adverts).saturating_sub(interval / 256);
            if delays.down <= most && (adverts > 0 || delays.up.is_zero()) {
                continue;
            }
            let both = delays.up == delays.down || adverts == 0;
            delays = LinkDelays { down: delays.down.min(most), up: if both { most } else { delays.up } };
            report.warning(
                name.at,
                format!(
                    "the delay of `{interface}` is cut to {1} s, as with keepalived: the master_down_interval of \
                     vrrp_instance `{0}` would end before it",
                    settings.name,
                    most.as_secs_f64()
                ),
            );
        }
        resolved.retain(|(known, _)| *known != interface);
        if delays != (LinkDelays { down: Duration::ZERO, up: Duration::ZERO }) {
            resolved.push((interface, delays));
        }
    }
    resolved
}
