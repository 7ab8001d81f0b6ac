//! Refused routers that should be peers: each may be a second master.
//!
//! Enters: the latest refusals of the program and the daemon, and the unknown routers. Leaves: the routers that are
//! refused now, and why. Absent: routers whose adverts the network stack drops, and CARP, which is listed with the
//! unknown routers.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use vrrp_ebpf::map::{self, UnknownRouter};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::{narrow, widen};
use vrrp_ebpf::wire::{Family, Reject};

use super::peer::lasts;
use super::wire_records::UnknownRouters;
use super::{DaemonContext, Rejected};
use crate::config;
use crate::config::InstanceSettings;
use crate::daemon::live::LiveInstance;
use crate::driver::clock;
use crate::driver::maps::Rejections;

/// The reason if an address of the instance is advertised under another VRID.
const OTHER_VRID: &str = "other_vrid";

/// What the maps hold of routers that are no peers.
#[derive(Debug)]
pub(super) struct Refusals<'a> {
    rejections: Rejections<'a>,
    pub(super) unknown_routers: UnknownRouters,
}

impl DaemonContext {
    pub(super) fn refusals(&self) -> Refusals<'_> {
        Refusals { rejections: self.maps.rejections(), unknown_routers: self.unknown_entries() }
    }

    /// The routers that are refused now, by instance.
    pub fn rejected(&self) -> Vec<(&config::Instance, &LiveInstance, Rejected)> {
        let (now, refusals) = (clock::now(), self.refusals());
        let of = |(config, live)| {
            let found = self.rejected_by(config, live, &refusals, now);
            found.into_iter().map(move |it| (config, live, it))
        };
        self.instances().flat_map(of).collect()
    }

    pub(super) fn rejected_by(
        &self,
        config: &config::Instance,
        live: &LiveInstance,
        refusals: &Refusals<'_>,
        now: Timestamp,
    ) -> Vec<Rejected> {
        let settings = &config.settings;
        let since = |last_seen| {
            let silence = now.since(Timestamp::from_nanos(last_seen));
            (silence <= lasts(settings)).then_some(silence.as_secs_f64())
        };
        let senders = |(reject, latest): (Reject, map::Rejected)| {
            latest.senders().map(move |(source, last_seen)| (reject, source, last_seen))
        };
        let refused =
            refusals.rejections.of(config.id).flat_map(senders).filter_map(|(reject, source, last_seen)| {
                Some(Rejected {
                    peer: narrow(settings.family, source).to_string(),
                    reason: reject.as_str().to_owned(),
                    detail: detail(reject)?.to_owned(),
                    last_advert_seconds: since(last_seen)?,
                })
            });
        let ifindex = live.ifindex.load(Relaxed);
        let of_instance = refusals.unknown_routers.iter().filter(|(key, _)| {
            key.ifindex == ifindex && key.vlan == 0 && key.family == settings.family as u8
        });
        let claimants = of_instance.filter_map(|(key, unknown_router)| {
            let address = claimed_of(settings, unknown_router)?;
            Some(Rejected {
                peer: narrow(settings.family, unknown_router.source).to_string(),
                reason: OTHER_VRID.to_owned(),
                detail: format!("it has {address} under VRID {}", key.vrid),
                last_advert_seconds: since(unknown_router.last_seen)?,
            })
        });
        // One row, however many VRIDs are made up: the latest one.
        let claimant =
            claimants.min_by(|one, other| one.last_advert_seconds.total_cmp(&other.last_advert_seconds));
        refused.chain(claimant).collect()
    }
}

/// The first address of the instance that an unknown router claims to have.
fn claimed_of(settings: &InstanceSettings, unknown_router: &UnknownRouter) -> Option<IpAddr> {
    let length = match settings.family {
        Family::V4 => 4,
        Family::V6 => 16,
    };
    let addresses = &settings.addresses;
    let own = || addresses.advertised.iter().chain(&addresses.excluded).map(|entry| entry.address);
    unknown_router
        .claimed(length)
        .find_map(|claimed| own().find(|own| widen(*own).get(..length) == Some(claimed)))
}

/// What to compare on the two nodes. `None` if the reject names no router.
pub(in crate::daemon) const fn detail(reject: Reject) -> Option<&'static str> {
    Some(match reject {
        // Damaged on the way, or listed with the unknown routers.
        Reject::IpHeader | Reject::IpChecksum | Reject::Carp => return None,
        Reject::Truncated => "its adverts are cut short",
        Reject::Ttl => "the TTL of its adverts is not 255, or not that of its `unicast_peer`",
        Reject::Destination => "it sends by unicast where we do not, the reverse, or to another group",
        Reject::Source => "the source of its adverts is not a host address",
        Reject::OwnSource => "it sends from our own address: a duplicate address, or a loop",
        Reject::Version => "it speaks a version that is neither 2 nor 3, or 2 over IPv6",
        Reject::VersionMismatch => "it speaks another version of VRRP (`vrrp_version`)",
        Reject::Type => "its messages are not adverts",
        Reject::CountZero => "its adverts have no addresses, and ours have some",
        Reject::Length => "its adverts are longer or shorter than they say, or signed",
        Reject::TooLong => "its adverts are too long to be checked",
        Reject::Checksum => "the checksum of its adverts is wrong in every known form",
        Reject::AuthType => "it has another `auth_type`",
        Reject::AuthData => "it has another password (`auth_pass`)",
        Reject::IntervalZero => "its advert interval is 0",
        Reject::Peer => "it is not a `unicast_peer` of ours",
        Reject::AuthMissing => "its adverts are not signed (`auth_hmac`)",
        Reject::AuthMalformed => "its adverts are signed in an unknown way",
        Reject::AuthKey => "its adverts are signed with a key that is not configured here",
        Reject::AuthHmac => "its adverts are signed with another secret, or forged",
        Reject::AuthStale => "its clock differs by more than `time_window`, or adverts are replayed",
        Reject::AuthReplay => "its adverts are no newer than those heard before",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reject but those that are listed elsewhere has a detail, short enough for a line with two names.
    #[test]
    fn every_reject_has_words() {
        let silent = [Reject::IpHeader, Reject::IpChecksum, Reject::Carp];
        for reject in Reject::ALL {
            assert_eq!(detail(reject).is_none(), silent.contains(&reject), "{reject}");
            assert!(detail(reject).is_none_or(|text| text.len() < 70 && !text.ends_with('.')), "{reject}");
        }
    }
}
