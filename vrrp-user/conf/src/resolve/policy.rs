//! Strict mode, and the senders that an instance accepts and answers.

use std::time::Duration;

use vrrp_ebpf::wire::Family;

use super::super::diagnostic::Report;
use super::super::schema::{AddressDraft, AuthType, GlobalsDraft, InstanceDraft};
use super::super::source::{At, Position};
use vrrp_proto::auth::HmacMode;
use vrrp_proto::{Order, Priority};

/// Settings that strict mode decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) accept: bool,
    pub(super) owner_ignores: bool,
    pub(super) checks_source: bool,
    pub(super) handover: Order,
}

pub(crate) fn is_strict(draft: &InstanceDraft, globals: &GlobalsDraft) -> bool {
    draft.policy.strict.or(globals.policies.strict).is_some_and(|strict| strict.value)
}

impl Policy {
    /// Changes the draft as strict mode requires.
    pub(super) fn new(
        draft: &mut InstanceDraft,
        priority: Priority,
        globals: &GlobalsDraft,
        report: &mut Report,
    ) -> Self {
        let strict = is_strict(draft, globals);
        if strict {
            restrict(draft, priority, globals, report);
        }
        let has_limits = draft.peers.iter().any(|peer| (peer.min_ttl, peer.max_ttl) != (0, u8::MAX));
        let policies = &globals.policies;
        let accept = draft.policy.accept.map_or(!strict, |accept| accept.value);
        let owner_ignores = draft.policy.owner_ignores.map(|on| on.value).or(policies.owner_ignores);
        Self {
            accept: accept || priority.is_owner(),
            owner_ignores: owner_ignores.unwrap_or(strict) || strict,
            handover: draft.policy.handover.unwrap_or(policies.handover),
            checks_source: draft.policy.check_source.map_or(policies.check_source, |on| on.value)
                || has_limits
                || draft.hmac.as_ref().is_some_and(|hmac| hmac.value.demands()),
        }
    }
}

/// A setting that strict mode forbids is an error if keepalived leaves the instance out for it, else it is reset.
fn restrict(draft: &mut InstanceDraft, priority: Priority, globals: &GlobalsDraft, report: &mut Report) {
    let at = draft.policy.strict.or(globals.policies.strict).map_or(draft.name.at, |strict| strict.at);
    if draft.addresses.is_empty() && !draft.flawed {
        report
            .error(draft.name.at, format!("strict mode: `{}` needs a `virtual_ipaddress`", draft.name.value))
            .help("an advert names at least one address (RFC 9568 §5.2.5)");
        draft.no_addresses = true;
    }
    if let Some(at) = draft.unicast {
        report
            .warning(at, "strict mode: the RFC has no unicast; adverts are still sent to the peers")
            .help("newer versions of keepalived leave the instance out; write `strict_mode off` in it");
    }
    if let Some(hmac) = &mut draft.hmac
        && let Some(mode) = hmac.value.mode.take_if(|mode| mode.value != HmacMode::Enforce)
    {
        report.warning(mode.at, "strict mode: `mode` of `auth_hmac` is enforce, as with keepalived");
    }
    let mut reset = |at: Position, keyword: &str| {
        report.warning(at, format!("strict mode: `{keyword}` is not used, as with keepalived"));
    };
    if let Some(master) = draft.master.filter(|master| master.value != priority.is_owner()) {
        reset(master.at, "state");
    }
    draft.master = Some(At { value: priority.is_owner(), at });
    if let Some(auth) =
        draft.auth.take_if(|auth| auth.value.kind.is_some_and(|it| it.value != AuthType::None))
    {
        reset(auth.at, "authentication");
    }
    if let Some(delay) = draft.preempt_delay.take_if(|delay| !delay.value.is_zero()) {
        reset(delay.at, "preempt_delay");
    }
    if let Some(at) = draft.vmacs.transmit_base.take() {
        reset(at, "vmac_xmit_base");
    }
    if let Some(count) = draft.down_timer_adverts.filter(|count| count.value != 3) {
        reset(count.at, "down_timer_adverts");
    }
    if let Some(repeat) = draft.announce.lower_prio_repeat.filter(|repeat| repeat.value != 0) {
        reset(repeat.at, "garp_lower_prio_repeat");
    }
    if let Some(delay) = draft.announce.lower_prio_delay.filter(|delay| !delay.value.is_zero()) {
        reset(delay.at, "garp_lower_prio_delay");
    }
    for (written, keyword) in [
        (draft.lower_prio_no_advert, "lower_prio_no_advert"),
        (draft.policy.owner_ignores, "owner_ignore_adverts"),
    ] {
        if let Some(off) = written.filter(|on| !on.value) {
            reset(off.at, keyword);
        }
    }
    draft.down_timer_adverts = Some(At { value: 3, at });
    draft.announce.lower_prio_repeat = Some(At { value: 0, at });
    draft.announce.lower_prio_delay = Some(At { value: Duration::ZERO, at });
    draft.lower_prio_no_advert = Some(At { value: true, at });
    if let Some(accept) = draft.policy.accept.filter(|accept| accept.value && is_version_2(draft, globals)) {
        // RFC 3768 §6.4.3: only the address owner accepts packets.
        report
            .warning(accept.at, "strict mode: version 2 has no `accept`; it is not used, as with keepalived");
        draft.policy.accept = None;
    }
    if draft.policy.accept.is_none() && !priority.is_owner() {
        let name = &draft.name.value;
        report.warning_once(
            "strict",
            at,
            format!(
                "strict mode: `{name}` drops packets to its addresses, even ping; if that is not intended, write \
                 `accept` and `version 3` in it, or turn strict mode off"
            ),
        );
    }
}

fn is_version_2(draft: &InstanceDraft, globals: &GlobalsDraft) -> bool {
    let version = draft.version.or(globals.version).map_or(2, |version| version.value);
    version == 2 && super::family(draft) == Family::V4
}

/// Position of the first IPv6 address if it is not link-local (RFC 9568 §5.2.9).
pub(crate) fn lacks_link_local(draft: &InstanceDraft) -> Option<Position> {
    let AddressDraft { address: At { value: std::net::IpAddr::V6(first), at }, .. } =
        draft.addresses.first()?
    else {
        return None;
    };
    (!first.is_unicast_link_local()).then_some(*at)
}
