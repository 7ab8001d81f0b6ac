//! Refused routers that should be peers: each may be a second master.
//!
//! Enters: the latest refusals of the program and the daemon, and the unknown routers. Leaves: the routers that are
//! refused now, and why. Absent: routers whose adverts the network stack drops, and CARP, which is listed with the
//! unknown routers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use vrrp_ebpf::map::{self, UnknownRouter};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::{narrow, widen};
use vrrp_ebpf::wire::ethernet::Mac;
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

/// The reason if another host sends from the address that the instance sends from: the checks refuse it as
/// [`Reject::OwnSource`], as they do our own adverts that come back.
const DUPLICATE_ADDRESS: &str = "duplicate_address";

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
        let own = self.maps.slot(config.id).source;
        let mut refused = Vec::new();
        for (reject, latest) in refusals.rejections.of(config.id) {
            let senders = latest.senders().filter_map(|(sender, seen)| Some((sender, since(seen)?)));
            let mut senders: Vec<_> = senders.collect();
            if reject == Reject::OwnSource {
                refused.extend(duplicate(settings.family, own, &senders));
                senders.retain(|(sender, _)| *sender == own);
            }
            let Some(detail) = detail(reject) else { continue };
            refused.extend(senders.into_iter().map(|(source, last_advert_seconds)| Rejected {
                peer: narrow(settings.family, source).to_string(),
                reason: reject.as_str().to_owned(),
                detail: detail.to_owned(),
                last_advert_seconds,
            }));
        }
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
        refused.extend(claimant);
        refused
    }
}

/// Other hosts that send from our `own` address, in one row. Two copies of this host take turns to be the latest.
fn duplicate(family: Family, own: [u8; 16], senders: &[([u8; 16], f64)]) -> Option<Rejected> {
    let of = |(sender, seconds): &([u8; 16], f64)| {
        Some((map::Rejected::mac_of_duplicate(*sender, own)?, *seconds))
    };
    let hosts: BTreeMap<[u8; 6], f64> = senders.iter().filter_map(of).collect();
    let last_advert_seconds = hosts.values().copied().min_by(f64::total_cmp)?;
    let macs: Vec<String> = hosts.keys().map(|mac| Mac(*mac).to_string()).collect();
    let macs = macs.join(", ");
    Some(Rejected {
        peer: narrow(family, own).to_string(),
        reason: DUPLICATE_ADDRESS.to_owned(),
        detail: format!(
            "another host ({macs}) sends from our own address too; give each an address of its own"
        ),
        last_advert_seconds,
    })
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

    #[test]
    fn another_host_with_our_address_is_one_row() {
        let [own, other] = ["192.0.2.1", "192.0.2.2"].map(|it| widen(it.parse().unwrap()));
        let from = |address, last: u8| map::Rejected::duplicate(address, [2, 0, 0, 0, 0, last]);
        let row = |senders: &[_]| duplicate(Family::V4, own, senders);
        assert_eq!(
            row(&[(own, 1.0), (from(other, 7), 1.0)]),
            None,
            "a loop, and one before our address changed"
        );
        let found = row(&[(from(own, 9), 0.5), (own, 1.0)]).unwrap();
        let detail = "another host (02:00:00:00:00:09) sends from our own address too; give each an address of its own";
        assert_eq!(
            (&*found.peer, &*found.reason, &*found.detail),
            ("192.0.2.1", "duplicate_address", detail)
        );
        let found = [[9, 8], [8, 9]].map(|hosts| row(&hosts.map(|it| (from(own, it), 0.5))).unwrap());
        assert_eq!(found[0], found[1], "the same text, whichever was the latest");
        assert!(found[0].detail.contains("(02:00:00:00:00:08, 02:00:00:00:00:09)"), "{}", found[0].detail);
    }
}
