//! Sending parts of an instance: interface, source, checksum form, signature.

use std::net::IpAddr;
use std::sync::Arc;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::ChecksumForm;

use crate::config::InstanceSettings;
use crate::daemon::auth::Gate;
use crate::daemon::live::LiveState;
use crate::driver::socket::Outgoing;
use crate::protocol::InstanceId;

/// Sending parts of an instance.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// `None` once the instance is removed.
    pub(super) settings: Option<Arc<InstanceSettings>>,
    pub(super) ifindex: Option<u32>,
    /// Index of the interface with the virtual MAC address that adverts leave from.
    pub(super) sender: Option<u32>,
    pub(super) source: Option<IpAddr>,
    pub(super) outgoing: Option<Outgoing>,
    /// Form of the checksum that was heard last.
    pub(super) heard_form: Option<ChecksumForm>,
    pub(super) failure_reported: Option<Timestamp>,
    /// The signature's gate, if its adverts are signed.
    pub(super) gate: Option<Gate>,
}

impl Link {
    /// Builds the adverts of the present settings.
    pub(super) fn build(&mut self) {
        let Some(settings) = &self.settings else { return };
        let ifindex = if settings.vmacs.sender().is_some() { self.sender } else { self.ifindex };
        self.outgoing = match (ifindex, self.source) {
            // Fails only for settings that the configuration refuses.
            (Some(ifindex), Some(source)) => Outgoing::new(settings, ifindex, source).ok(),
            _ => None,
        };
        self.answer_checksum();
    }

    pub(super) fn answer_checksum(&mut self) {
        let answers = self.settings.as_ref().is_some_and(|settings| settings.answers_checksum);
        if let (true, Some(form), Some(outgoing)) = (answers, self.heard_form, &mut self.outgoing) {
            outgoing.set_checksum(form);
        }
    }
}

pub(super) fn gate(live: &LiveState, id: InstanceId, settings: &InstanceSettings) -> Option<Gate> {
    Gate::open(settings, live.ledger(id))
}
