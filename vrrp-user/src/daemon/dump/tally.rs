//! Counters of keepalived's statistics, from ours.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use vrrp_ebpf::wire::Reject;

use crate::daemon::status::DaemonContext;
use crate::protocol::{Auth, InstanceId};

/// Counters of one instance; the names are those of keepalived.json.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(in crate::daemon) struct Tally {
    pub(in crate::daemon) advert_rcvd: u64,
    pub(in crate::daemon) advert_sent: u64,
    pub(in crate::daemon) become_master: u64,
    pub(in crate::daemon) release_master: u64,
    pub(in crate::daemon) packet_len_err: u64,
    pub(in crate::daemon) advert_interval_err: u64,
    pub(in crate::daemon) ip_ttl_err: u64,
    pub(in crate::daemon) invalid_type_rcvd: u64,
    /// Always 0: an advert with other addresses is a valid one.
    pub(in crate::daemon) addr_list_err: u64,
    /// Always 0: an unknown type is just another one than ours.
    pub(in crate::daemon) invalid_authtype: u64,
    pub(in crate::daemon) authtype_mismatch: u64,
    pub(in crate::daemon) auth_failure: u64,
    pub(in crate::daemon) auth_ext_missing: u64,
    pub(in crate::daemon) auth_ext_malformed: u64,
    pub(in crate::daemon) auth_ext_unknown_key: u64,
    pub(in crate::daemon) auth_ext_invalid_hmac: u64,
    pub(in crate::daemon) auth_ext_stale: u64,
    pub(in crate::daemon) auth_ext_replay: u64,
    pub(in crate::daemon) pri_zero_rcvd: u64,
    pub(in crate::daemon) pri_zero_sent: u64,
}

/// The counters of an instance.
pub(in crate::daemon) type InstanceTally = (InstanceId, Tally);

/// Tallies of all instances, in the order of the file.
pub(in crate::daemon) fn all(context: &DaemonContext) -> Vec<InstanceTally> {
    let past = |id: InstanceId| {
        let history = context.history.read();
        history.instance(id).map_or((0, 0), |past| (past.became_master, past.released_master))
    };
    context
        .instances()
        .map(|(instance, live)| {
            let (become_master, release_master) = past(instance.id);
            let counters = context.maps.counters(Some(instance.id));
            let rejects = |words: &[Reject]| words.iter().map(|&word| counters.reject(word)).sum();
            // keepalived has one counter for all errors of an AH header.
            let is_ah = matches!(instance.settings.auth, Auth::Ah(_));
            let tally = Tally {
                advert_rcvd: live.adverts_received(&counters),
                advert_sent: live.adverts_sent.load(Relaxed),
                become_master,
                release_master,
                packet_len_err: rejects(&[
                    Reject::Truncated,
                    Reject::Length,
                    Reject::TooLong,
                    Reject::CountZero,
                ]),
                advert_interval_err: rejects(&[Reject::IntervalZero]),
                ip_ttl_err: rejects(&[Reject::Ttl]),
                invalid_type_rcvd: rejects(&[Reject::Type]),
                addr_list_err: 0,
                invalid_authtype: 0,
                authtype_mismatch: rejects(&[Reject::AuthType]),
                auth_failure: rejects(if is_ah {
                    &[Reject::AuthHmac, Reject::AuthReplay]
                } else {
                    &[Reject::AuthData]
                }),
                auth_ext_missing: rejects(&[Reject::AuthMissing]),
                auth_ext_malformed: rejects(&[Reject::AuthMalformed]),
                auth_ext_unknown_key: rejects(&[Reject::AuthKey]),
                auth_ext_invalid_hmac: if is_ah { 0 } else { rejects(&[Reject::AuthHmac]) },
                auth_ext_stale: rejects(&[Reject::AuthStale]),
                auth_ext_replay: if is_ah { 0 } else { rejects(&[Reject::AuthReplay]) },
                pri_zero_rcvd: live.release_heard.load(Relaxed),
                pri_zero_sent: live.release_sent.load(Relaxed),
            };
            (instance.id, tally)
        })
        .collect()
}

impl Tally {
    /// The counts since an earlier moment.
    pub(in crate::daemon) fn since(self, before: &Self) -> Self {
        Self {
            advert_rcvd: self.advert_rcvd.saturating_sub(before.advert_rcvd),
            advert_sent: self.advert_sent.saturating_sub(before.advert_sent),
            become_master: self.become_master.saturating_sub(before.become_master),
            release_master: self.release_master.saturating_sub(before.release_master),
            packet_len_err: self.packet_len_err.saturating_sub(before.packet_len_err),
            advert_interval_err: self.advert_interval_err.saturating_sub(before.advert_interval_err),
            ip_ttl_err: self.ip_ttl_err.saturating_sub(before.ip_ttl_err),
            invalid_type_rcvd: self.invalid_type_rcvd.saturating_sub(before.invalid_type_rcvd),
            addr_list_err: 0,
            invalid_authtype: 0,
            authtype_mismatch: self.authtype_mismatch.saturating_sub(before.authtype_mismatch),
            auth_failure: self.auth_failure.saturating_sub(before.auth_failure),
            auth_ext_missing: self.auth_ext_missing.saturating_sub(before.auth_ext_missing),
            auth_ext_malformed: self.auth_ext_malformed.saturating_sub(before.auth_ext_malformed),
            auth_ext_unknown_key: self.auth_ext_unknown_key.saturating_sub(before.auth_ext_unknown_key),
            auth_ext_invalid_hmac: self.auth_ext_invalid_hmac.saturating_sub(before.auth_ext_invalid_hmac),
            auth_ext_stale: self.auth_ext_stale.saturating_sub(before.auth_ext_stale),
            auth_ext_replay: self.auth_ext_replay.saturating_sub(before.auth_ext_replay),
            pri_zero_rcvd: self.pri_zero_rcvd.saturating_sub(before.pri_zero_rcvd),
            pri_zero_sent: self.pri_zero_sent.saturating_sub(before.pri_zero_sent),
        }
    }
}
