//! The order to hand over: to the router that wins the election, or to one that the operator names.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use vrrp_ebpf::time::Timestamp;

use super::candidates::wanted;
use super::heir::{Heir, heir, not_taken, refuse_in_maintenance, refuse_without_heir};
use super::scope::scope;
use super::{Answer, Begin, Desk, LOOK, No, is_apart, refuse_owners, state, until};
use crate::config::{Instance, InstanceSettings};
use crate::daemon::status::{DaemonContext, rough};
use crate::daemon::steering::Steerings;
use crate::daemon::steering::audit::audit;
use crate::daemon::steering::text::check_reason;
use crate::driver::clock;
use crate::protocol::State;

/// Intervals within which the named router preempts another one that was faster.
const OVERTAKES: u32 = 4;

/// Longest wait for it, and for this node's return.
const WAIT_MAX: Duration = Duration::from_secs(8);

/// The end of the wait for a named router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    NamedIsMaster,
    OtherIsMaster,
    /// Another router is master, and a hot restart ended the wait.
    EndedEarly,
}

impl Desk {
    /// Hands over, and competes with priority 1 after it. If another router than that with one of the addresses `to`
    /// becomes master, the order ends: this node competes as before.
    pub(super) async fn fail_over(&self, name: &str, to: &[IpAddr], begin: &Begin<'_>) -> Answer {
        begin.reason.as_deref().map_or(Ok(()), check_reason).map_err(No::Failed)?;
        let context = self.shared.now();
        let scope = scope(&context.config, Some(name))?;
        refuse_in_maintenance(&context, &scope)?;
        refuse_owners(&scope, "cannot compete with a lower priority; maintenance takes it out")?;
        // A group hands over without a member that it goes on without.
        let takes_part = |it: &&&Instance| *it.settings.name == *name || !is_apart(&context, it);
        let others = scope.iter().filter(takes_part);
        let others = others.filter_map(|it| Some((&it.settings.name, state(&context, it)?)));
        if let Some((name, state)) = others.into_iter().find(|(_, state)| *state != State::Master) {
            let text = format!("{name} is {} here; only the master can hand over", state.as_str());
            return Err(No::Refused(vec![text]));
        }
        let wanted = match to {
            [] => Vec::new(),
            to => wanted(&context, &scope, to, begin.force)?,
        };
        if !begin.force {
            refuse_without_heir(&context, &scope, "failover")?;
        }
        let order = begin.order();
        let before = self.commit(|steerings| {
            for instance in &scope {
                let steered = steerings.instances.entry(instance.settings.name.to_string()).or_default();
                steered.failover = Some(order.clone());
            }
        })?;
        let began = clock::now();
        let mut heirs = match self.hand_over(&context, &scope).await {
            Ok(heirs) => heirs,
            Err(alone) => {
                self.restore(before, &scope).await;
                return Err(No::Refused(not_taken(&alone, "master again", "failover")));
            }
        };
        for instance in wanted {
            let Some(heir) = heirs.iter_mut().find(|heir| heir.name == *instance.settings.name) else {
                continue;
            };
            let outcome = self.await_named(&context, instance, to, began, heir).await;
            if outcome == Outcome::NamedIsMaster {
                continue;
            }
            let is_early = outcome == Outcome::EndedEarly;
            let what = format!("handed over to {}, which was not asked for", heir.address);
            audit(&context, &heir.name, &what, &order);
            let named = (to, heir.address);
            return Err(self.take_back(&context, instance, named, before, &scope, is_early).await);
        }
        let mut lines = Vec::new();
        for heir in &heirs {
            let what = format!("handed over to {}, competes with priority 1", heir.address);
            audit(&context, &heir.name, &what, &order);
            lines.push(format!("{}: {}", heir.name, heir.text()));
            lines.push(format!("{}: competes with priority 1 {}", heir.name, until(&order)));
        }
        Ok(lines)
    }

    /// Ends the order, as another router than the named one is master. The answer says what this node does then, and
    /// whether a hot restart ended the order early, in the wait for the named router or in that for this node's return.
    async fn take_back(
        &self,
        context: &DaemonContext,
        instance: &Instance,
        (to, heir): (&[IpAddr], IpAddr),
        before: Steerings,
        scope: &[&Instance],
        mut is_early: bool,
    ) -> No {
        self.restore(before, scope).await;
        let settings = &instance.settings;
        let name = &settings.name;
        let returns = settings.preempt && settings.preempt_delay.is_zero();
        let is_master = || state(context, instance) == Some(State::Master);
        if returns {
            let returned = async {
                let mut is_early = is_early;
                while !is_master() && !is_early {
                    sleep(LOOK).await;
                    is_early = self.order_lock.yields();
                }
                is_early
            };
            // The answer has the state in any case.
            is_early = timeout(WAIT_MAX, returned).await.unwrap_or(is_early);
        }
        let fate = match (state(context, instance), settings.preempt) {
            (Some(State::Master), _) => "it is master again".to_owned(),
            (Some(State::Backup), false) => format!("it is a backup, and nopreempt leaves {heir} alone"),
            (Some(State::Backup), true) if !returns => {
                let delay = rough(settings.preempt_delay.as_secs_f64());
                format!("it is a backup, and takes over from {heir} after preempt_delay, {delay}")
            }
            (Some(State::Backup), true) => {
                format!("it is a backup, and takes over from {heir} if its priority is higher")
            }
            (other, _) => format!("it is {}", other.map_or("gone", State::as_str)),
        };
        let named = to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        let mut lines = vec![
            format!("{name}: {heir} became master, not {named}"),
            format!("{name}: this node competes as before the order: {fate}"),
        ];
        lines.extend(unlisted(settings, to, heir));
        if is_early {
            lines.push(format!("{name}: a hot restart ended the order early; vrrpx status shows the master"));
        }
        No::OtherMaster(lines)
    }

    /// Waits until a named router is heard as master: one that is better than the first heir preempts it. A hot restart
    /// ends the wait: the new daemon would not know that the order is for that router alone.
    async fn await_named(
        &self,
        context: &DaemonContext,
        instance: &Instance,
        to: &[IpAddr],
        began: Timestamp,
        heir: &mut Heir,
    ) -> Outcome {
        let patience = (instance.settings.advert_interval.duration() * OVERTAKES).min(WAIT_MAX);
        let named = async {
            while !to.contains(&heir.address) {
                if self.order_lock.yields() {
                    return Outcome::EndedEarly;
                }
                sleep(LOOK).await;
                if let Some(next) = self::heir(context, instance, began) {
                    *heir = next;
                }
            }
            Outcome::NamedIsMaster
        };
        timeout(patience, named).await.unwrap_or(Outcome::OtherIsMaster)
    }
}

/// What to do if the named router has sent from an address that no `unicast_peer` has. Whether it was that router is
/// not known: anyone may send from it.
fn unlisted(settings: &InstanceSettings, to: &[IpAddr], heir: IpAddr) -> Option<String> {
    let peers = &settings.unicast.as_ref()?.peers;
    let is_peer = |address: IpAddr| peers.iter().any(|peer| peer.address == address);
    let named = to.iter().find(|address| is_peer(**address)).filter(|_| !is_peer(heir))?;
    let name = &settings.name;
    Some(format!(
        "{name}: {heir} is no unicast_peer here; if it is another address of {named}, write unicast_src_ip {named} \
         there, or {heir} in the place of {named} in unicast_peer here; until then: vrrpx failover {name} --to {heir}"
    ))
}
