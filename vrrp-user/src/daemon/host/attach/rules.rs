//! The program's rules for an instance: the form of its adverts, and its allowed senders.

use std::net::IpAddr;

use tracing::warn;
use vrrp_ebpf::map::{AllowedPeer, AllowedPeerKey, InstanceRules};
use vrrp_ebpf::wire::address::widen;

use super::Attachments;
use crate::config::InstanceSettings;
use crate::protocol::{Auth, InstanceId, UnicastPeer, Version};

impl Attachments {
    /// Changes the rules after new senders are allowed and before others no longer are, so that the program never
    /// judges by the new rules and the old list.
    pub(super) fn write_slot(&mut self, instance: InstanceId) {
        let Some(settings) = self.instances.get(&instance) else { return };
        let source = self.places.get(&instance).and_then(|place| place.source);
        let known = allowed_peers(instance, settings);
        let mut slot = expected(settings, source);
        self.maps.allow_peers(&known);
        if let Some(program) = &mut self.program
            && let Err(error) = program.allow_peers(&known)
        {
            warn!(instance = %settings.name, %error, "adverts of any unicast sender are heard");
            slot.unicast = slot.unicast.min(1);
        }
        self.maps.set_slot(instance, &slot);
        self.retain_allowed_peers(instance, &known);
    }

    pub(super) fn retain_allowed_peers(
        &mut self,
        instance: InstanceId,
        known: &[(AllowedPeerKey, AllowedPeer)],
    ) {
        let gone = self.maps.retain_allowed_peers(instance, known);
        if let Some(program) = &mut self.program {
            program.remove_peers(&gone);
        }
    }
}

/// The form that adverts of an instance must have.
pub(in crate::daemon) fn expected(settings: &InstanceSettings, source: Option<IpAddr>) -> InstanceRules {
    let (auth_type, auth_data) = match settings.auth {
        Auth::None | Auth::Hmac(_) => (0, [0; 8]),
        Auth::Pass(password) => (1, password),
        Auth::Ah(_) => (InstanceRules::AH, [0; 8]),
    };
    let trailer = match &settings.auth {
        Auth::Hmac(hmac) if hmac.demands() => InstanceRules::SIGNED,
        Auth::Hmac(_) => InstanceRules::MAYBE_SIGNED,
        Auth::None | Auth::Pass(_) | Auth::Ah(_) => InstanceRules::UNSIGNED,
    };
    InstanceRules {
        source: source.map_or([0; 16], widen),
        auth_data,
        group: settings.group.map_or([0; 16], widen),
        version: settings.version as u8,
        auth_type,
        unicast: match &settings.unicast {
            None => 0,
            Some(unicast) if unicast.checks_source => InstanceRules::ALLOWED_PEERS_ONLY,
            Some(_) => 1,
        },
        trailer,
        other_version: if settings.also_v2 { Version::V2 as u8 } else { 0 },
        priority: settings.priority.0,
        no_addresses: u8::from(settings.addresses.advertised.is_empty()),
        reserved: 0,
    }
}

/// The unicast peers, if no other sender is accepted.
pub(in crate::daemon) fn allowed_peers(
    instance: InstanceId,
    settings: &InstanceSettings,
) -> Vec<(AllowedPeerKey, AllowedPeer)> {
    let unicast = settings.unicast.as_ref().filter(|unicast| unicast.checks_source);
    let peers = unicast.into_iter().flat_map(|unicast| &unicast.peers);
    let allowed_peer = |peer: &UnicastPeer| {
        let key = AllowedPeerKey { slot: instance.0, source: widen(peer.address) };
        (key, AllowedPeer { min_ttl: peer.min_ttl, max_ttl: peer.max_ttl })
    };
    peers.map(allowed_peer).collect()
}
