//! Periodic announcements where no adverts are sent: a switch forgets a MAC address that it does not hear.
//!
//! Enters: which addresses of an instance stand elsewhere. Leaves: when they are due. Absent: sending, clocks.

use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use crate::protocol::InstanceSettings;

#[derive(Clone, Debug)]
pub(super) struct Refresh {
    period: Duration,
    /// By address, the advertised ones first.
    chosen: Vec<bool>,
    due: Timestamp,
}

impl Refresh {
    /// `None` where nothing is to be announced so.
    pub(super) fn of(settings: &InstanceSettings) -> Option<Self> {
        let elsewhere = settings.announce.elsewhere?;
        let addresses = settings.addresses.advertised.iter().chain(&settings.addresses.excluded);
        let chosen: Vec<_> = addresses.map(|address| settings.is_elsewhere(address, elsewhere)).collect();
        let any = chosen.contains(&true);
        any.then_some(Self { period: elsewhere.period, chosen, due: Timestamp::ZERO })
    }

    /// The addresses are announced now, for the first time.
    pub(super) fn start(&mut self, now: Timestamp) {
        self.due = now + self.period;
    }

    pub(super) fn due(&self) -> Timestamp {
        self.due
    }

    /// Whether it is time; if so, the next time is a period from now.
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
