//! The lower master that does not yield, and why it may not.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::wire::address::widen;

use super::peer::interval;
use super::{DaemonContext, Unyielding};
use crate::config;
use crate::config::InstanceSettings;
use crate::daemon::history::InstanceRecord;
use crate::daemon::live::LiveInstance;
use crate::protocol::{InstanceId, Priority, State};

impl DaemonContext {
    /// The lower master that an instance has heard last, with its interval. Two owners do not yield to each other.
    pub(in crate::daemon) fn lower_master(&self, id: InstanceId) -> Option<(IpAddr, Duration)> {
        let address = self.history.read().instance(id)?.contest?;
        let mut peers = self.maps.peers(id).map(|(_, peer)| peer);
        let peer = peers.find(|peer| peer.source == widen(address))?;
        Some((address, interval(&peer)?)).filter(|_| !Priority(peer.priority).is_owner())
    }

    /// The lower masters that do not yield, by instance.
    pub fn unyielding(&self) -> Vec<(&config::Instance, Unyielding)> {
        let history = self.history.read();
        let of = |(config, live)| Some((config, unyielding(config, live, history.instance(config.id)?)?));
        self.instances().filter_map(of).collect()
    }
}

pub(super) fn unyielding(
    config: &config::Instance,
    live: &LiveInstance,
    past: &InstanceRecord,
) -> Option<Unyielding> {
    let peer = past.unyielding.filter(|_| live.state() == State::Master)?;
    let detail = why_unyielding(&config.settings, peer).to_owned();
    Some(Unyielding { peer: peer.to_string(), detail })
}

/// What to look at if a master does not yield. It may have further addresses, of which another one is listed.
pub(in crate::daemon) fn why_unyielding(settings: &InstanceSettings, peer: IpAddr) -> &'static str {
    match &settings.unicast {
        Some(unicast) if unicast.peers.iter().all(|it| it.address != peer) => {
            "our adverts do not go to it, as it is no `unicast_peer` here: add it, or have it send from the address that \
             is listed (`unicast_src_ip`)"
        }
        Some(_) => {
            "it does not receive our adverts, or refuses them: look at its status, its `unicast_peer`, its firewall and \
             those between"
        }
        None => {
            "it does not receive our adverts, or refuses them: look at its status, its firewall, and at switches between \
             (IGMP or MLD snooping)"
        }
    }
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::wire::Family;

    use super::*;
    use crate::protocol::{Unicast, UnicastPeer, Vrid};

    #[test]
    fn a_peer_that_we_do_not_send_to_has_another_text_than_one_that_does_not_hear() {
        let mut settings = InstanceSettings::new("a", "eth0", Vrid::new(1).unwrap(), Family::V4);
        let of = |settings: &InstanceSettings| why_unyielding(settings, IpAddr::from([192, 0, 2, 2]));
        assert!(of(&settings).contains("snooping"));
        let peer = |last| UnicastPeer { address: [192, 0, 2, last].into(), min_ttl: 0, max_ttl: 255 };
        let unicast = |last| Some(Unicast { peers: vec![peer(last)], ttl: 255, checks_source: false });
        settings.unicast = unicast(2);
        assert!(of(&settings).contains("its `unicast_peer`"));
        settings.unicast = unicast(3);
        assert!(of(&settings).contains("no `unicast_peer` here"));
    }
}
