//! Masters that another configuration would move, as far as this node knows.
//!
//! Enters: the state of the daemon, and a configuration that is not in use. Leaves: lines for people. A master hears no
//! backups, so a peer is known by the last advert that it has sent, and may be gone.

use crate::config::{Config, Instance, InstanceSettings};
use crate::daemon::status::{self, DaemonContext};
use crate::protocol::Priority;

/// One line for each instance that would change hands.
pub(super) fn handovers(context: &DaemonContext, after: &Config) -> Vec<String> {
    let status = context.status();
    let mut lines = Vec::new();
    for (shown, before) in status.instances.iter().zip(&context.config.instances) {
        let next = after.instances.iter().find(|it| is_same(&it.settings, &before.settings));
        let line = match (&*shown.state, next) {
            ("MASTER", None) => Some(format!("would give its addresses up{}", heir(shown, 0, "; known is "))),
            ("MASTER", Some(next)) => of_master(shown, before, next),
            ("BACKUP", Some(next)) => of_backup(shown, before, next),
            _ => None,
        };
        lines.extend(line.map(|line| format!("{}: {line}", shown.name)));
    }
    lines
}

fn is_same(one: &InstanceSettings, other: &InstanceSettings) -> bool {
    (&one.interface, one.vrid, one.family) == (&other.interface, other.vrid, other.family)
}

fn of_master(shown: &status::Instance, before: &Instance, next: &Instance) -> Option<String> {
    let priority = effective(shown, before, next);
    if priority >= shown.priority.effective {
        return None;
    }
    let heir = heir(shown, priority, "would hand over to ");
    Some(if heir.is_empty() {
        format!("stays MASTER unless another router has more than {priority}; none is known")
    } else {
        heir
    })
}

fn of_backup(shown: &status::Instance, before: &Instance, next: &Instance) -> Option<String> {
    let master = shown.peers.iter().find(|peer| Some(&peer.address) == shown.master.as_ref())?;
    let is_above = |priority: u8, preempt: bool| preempt && priority > master.priority;
    let was = is_above(shown.priority.effective, before.settings.preempt);
    let is = is_above(effective(shown, before, next), next.settings.preempt);
    (is && !was).then(|| format!("would take over from {} ({})", master.address, master.priority))
}

/// The known router with the highest priority above this one.
fn heir(shown: &status::Instance, above: u8, words: &str) -> String {
    let better = shown.peers.iter().filter(|peer| peer.priority > above);
    let best = better.max_by_key(|peer| peer.priority);
    best.map(|peer| format!("{words}{} ({})", peer.address, peer.priority)).unwrap_or_default()
}

/// The priority that it would have, with what it tracks as it is now.
fn effective(shown: &status::Instance, before: &Instance, next: &Instance) -> u8 {
    let base = next.settings.priority;
    let is_tracked_alike = before.settings.tracks.len() == next.settings.tracks.len();
    if base.is_owner() || before.settings.priority.is_owner() || !is_tracked_alike {
        return base.0;
    }
    let Priority(configured) = before.settings.priority;
    base.weighted(i32::from(shown.priority.effective) - i32::from(configured)).0
}
