//! What is odd on the wire, told once in the log: peers that differ, CARP, and routers that nobody here knows.
//!
//! Enters: the maps. Leaves: lines of the log. It looks every few seconds and wakes nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::status::{Live, Stranger};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Lines told about strangers in all: they can be made up.
const STRANGERS_TOLD: usize = 64;

/// Tells for ever.
pub(super) async fn tell(live: Live) {
    let mut due = interval(EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut notices = Notices::default();
    loop {
        due.tick().await;
        notices.look(&live);
    }
}

#[derive(Debug, Default)]
struct Notices {
    /// Detail by instance, peer and word.
    differences: BTreeMap<[String; 3], String>,
    /// By interface, VRID and kind.
    strangers: BTreeSet<(String, u8, String)>,
}

impl Notices {
    fn look(&mut self, live: &Live) {
        let sources = live.now();
        let differing = sources.differing().into_iter();
        self.compare(differing.map(|(instance, it)| ([instance.to_owned(), it.peer, it.what], it.detail)));
        for Stranger { interface, vrid, source, kind, .. } in sources.strangers() {
            let is_carp = kind == "carp";
            if (is_carp || sources.config.globals.log_unknown_vrids)
                && self.strangers.len() < STRANGERS_TOLD
                && self.strangers.insert((interface.clone(), vrid, kind.clone()))
            {
                if is_carp {
                    warn!(
                        interface,
                        vrid, source, "CARP is spoken here, with the virtual MAC address of this VRID"
                    );
                } else {
                    info!(
                        interface,
                        vrid, source, kind, "adverts of a virtual router that is not configured here"
                    );
                }
            }
        }
    }

    fn compare(&mut self, found: impl Iterator<Item = ([String; 3], String)>) {
        let found: BTreeMap<_, _> = found.collect();
        for (key, detail) in &found {
            let [instance, peer, what] = key;
            if self.differences.get(key) != Some(detail) {
                warn!(instance, peer, what, "{detail}");
            }
        }
        for [instance, peer, what] in self.differences.keys().filter(|key| !found.contains_key(*key)) {
            info!(instance, peer, what, "no difference any more");
        }
        self.differences = found;
    }
}
