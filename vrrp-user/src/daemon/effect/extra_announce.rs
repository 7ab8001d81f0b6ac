//! Periodic announcements on interfaces without adverts, where a switch would forget an unused MAC address.
//!
//! Enters: the addresses of an instance that are on other interfaces. Leaves: when they are due. Absent: sending,
//! clocks.

use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use crate::config::InstanceSettings;

#[derive(Clone, Debug)]
pub(super) struct Refresh {
    period: Duration,
    /// By address, the advertised ones first.
    chosen: Vec<bool>,
    due: Timestamp,
}

impl Refresh {
    /// `None` if no address needs periodic announcements.
    pub(super) fn of(settings: &InstanceSettings) -> Option<Self> {
        let extra_announce = settings.extra_announce?;
        let addresses = settings.addresses.advertised.iter().chain(&settings.addresses.excluded);
        let chosen: Vec<_> =
            addresses.map(|address| settings.is_elsewhere(address, extra_announce)).collect();
        let any = chosen.contains(&true);
        any.then_some(Self { period: extra_announce.period, chosen, due: Timestamp::ZERO })
    }

    /// The addresses are announced for the first time, now.
    pub(super) fn start(&mut self, now: Timestamp) {
        self.due = now + self.period;
    }

    pub(super) fn due(&self) -> Timestamp {
        self.due
    }

    /// Whether they are due; if so, they are due again a period from now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.start(now);
        }
        is_due
    }

    pub(super) fn chosen(&self) -> &[bool] {
        &self.chosen
    }
}
