//! The program's rules for an instance: the form of its adverts, and its allowed senders.

use std::net::IpAddr;

use vrrp_ebpf::map::{AllowedPeer, AllowedPeerKey, InstanceRules};
use vrrp_ebpf::wire::address::widen;

use crate::config::InstanceSettings;
use crate::protocol::{Auth, InstanceId, UnicastPeer, Version};

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
