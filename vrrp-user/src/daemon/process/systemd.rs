//! Notifications to systemd: sd_notify(3). Without systemd nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::interval;
use tracing::warn;

use crate::daemon::status::{DaemonContext, SharedContext};
use crate::protocol::State;

/// Between two updates of the status that systemd shows.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Of the status, which `systemctl status` prints after `Status: "` on a terminal of 80 columns.
const WIDTH: usize = 64;

/// For the rest of a start or a stop.
const AFTERWARDS: Duration = Duration::from_secs(30);

pub(crate) fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot notify systemd");
    }
}

/// Keeps systemd from ending a start or a stop that takes longer than the unit's limits: for this time, and for what
/// comes after it.
pub(crate) fn extend_timeout(time: Duration) {
    let micros = time.saturating_add(AFTERWARDS).as_micros();
    notify(&[NotifyState::ExtendTimeoutUsec(u32::try_from(micros).unwrap_or(u32::MAX))]);
}

/// Keeps the status line of the unit up to date.
pub(crate) async fn keep_status(shared: SharedContext) {
    let mut due = interval(STATUS_EVERY);
    let mut reported = String::new();
    loop {
        due.tick().await;
        let summary = summary(&shared.now());
        if summary != reported {
            notify(&[NotifyState::Status(&summary)]);
            reported = summary;
        }
    }
}

fn summary(context: &DaemonContext) -> String {
    let names = |state| {
        let of = context.instances().filter(move |(_, live)| live.state() == state);
        of.map(|(config, _)| &*config.settings.name).collect()
    };
    line(State::ALL.map(|state| (state, names(state))))
}

/// The number of instances in each state, and their names as far as there is room, FAULT first.
fn line(states: [(State, Vec<&str>); 4]) -> String {
    let mut words: Vec<_> = states
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(state, names)| {
            let word = format!("{} {}", names.len(), state.as_str());
            (state, format!("{word} ({})", names.join(", ")), word)
        })
        .collect();
    let joined = |words: &[(State, String, String)]| {
        words.iter().map(|(_, _, word)| &**word).collect::<Vec<_>>().join(", ")
    };
    for state in [State::Fault, State::Master, State::Backup, State::Init] {
        let Some(place) = words.iter().position(|it| it.0 == state) else { continue };
        let mut named = words.clone();
        if let Some(word) = named.get_mut(place) {
            word.2.clone_from(&word.1);
        }
        if joined(&named).chars().count() <= WIDTH {
            words = named;
        }
    }
    joined(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_instances_as_far_as_there_is_room() {
        let of = |backup: &[&'static str], master: &[&'static str], fault: &[&'static str]| {
            line([
                (State::Init, vec![]),
                (State::Backup, backup.to_vec()),
                (State::Master, master.to_vec()),
                (State::Fault, fault.to_vec()),
            ])
        };
        assert_eq!(of(&[], &["web"], &[]), "1 MASTER (web)");
        assert_eq!(of(&["db", "lb"], &["web"], &["nfs"]), "2 BACKUP (db, lb), 1 MASTER (web), 1 FAULT (nfs)");
        let many = ["an-instance-with-a-name"; 3];
        assert_eq!(of(&many, &["web"], &["nfs"]), "3 BACKUP, 1 MASTER (web), 1 FAULT (nfs)");
        assert_eq!(of(&["db"], &many, &many), "1 BACKUP (db), 3 MASTER, 3 FAULT");
        assert_eq!(of(&[], &[], &[]), "");
    }
}
