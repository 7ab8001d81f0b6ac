//! The order to keep instances out of the election.

use super::heir::{Heir, not_taken, refuse_without_heir};
use super::scope::scope;
use super::{Answer, Begin, Desk, No, state, until};
use crate::config::Instance;
use crate::daemon::status::DaemonContext;
use crate::daemon::steering::audit::audit;
use crate::daemon::steering::text::check_reason;
use crate::daemon::steering::{Order, Steerings};
use crate::protocol::State;

impl Desk {
    /// Keeps instances out. Masters among them hand over first; if no heir comes, they stay masters.
    pub(super) async fn begin_maintenance(&self, name: Option<&str>, begin: &Begin<'_>) -> Answer {
        begin.reason.as_deref().map_or(Ok(()), check_reason).map_err(No::Failed)?;
        let context = self.shared.now();
        let scope = scope(&context.config, name)?;
        if !begin.force {
            refuse_without_heir(&context, &scope, "maintenance on")?;
        }
        let order = begin.order();
        let before = context.history.read().steerings.clone();
        let heirs =
            if begin.force { Vec::new() } else { self.free(&context, &scope, &order, &before).await? };
        let kept = self.commit(|steerings| {
            for instance in &scope {
                let steered = steerings.instances.entry(instance.settings.name.to_string()).or_default();
                steered.maintenance = Some(order.clone());
                steered.failover = None;
            }
        });
        if let Err(no) = kept {
            self.restore(before, &scope).await;
            return Err(no);
        }
        self.steer().await;
        let mut lines = Vec::new();
        for instance in &scope {
            let name = &instance.settings.name;
            audit(&context, name, "in maintenance", &order);
            let heir = heirs.iter().find(|heir| heir.name == **name).map(Heir::text);
            let heir = heir.map(|heir| format!("; {heir}")).unwrap_or_default();
            lines.push(format!("{name}: in maintenance {}{heir}", until(&order)));
        }
        Ok(lines)
    }

    /// Has the masters among `scope` hand over before they are kept out, and those that become master meanwhile. Until
    /// their heirs are there, this is a failover, which no reload and no kill takes out of the election.
    async fn free(
        &self,
        context: &DaemonContext,
        scope: &[&Instance],
        order: &Order,
        before: &Steerings,
    ) -> Result<Vec<Heir>, No> {
        let mut heirs = Vec::new();
        loop {
            let is_master = |it: &&Instance| state(context, it) == Some(State::Master);
            let masters: Vec<&Instance> = scope.iter().copied().filter(is_master).collect();
            if masters.is_empty() {
                return Ok(heirs);
            }
            self.commit(|steerings| {
                for instance in &masters {
                    let name = instance.settings.name.to_string();
                    steerings.instances.entry(name).or_default().failover = Some(order.clone());
                }
            })?;
            match self.hand_over(context, &masters).await {
                Ok(found) => heirs.extend(found),
                Err(alone) => {
                    self.restore(before.clone(), scope).await;
                    return Err(No::Refused(not_taken(&alone, "not in maintenance", "maintenance on")));
                }
            }
        }
    }

    pub(super) async fn end_maintenance(&self, name: Option<&str>, by: &str) -> Answer {
        let context = self.shared.now();
        let scope = scope(&context.config, name)?;
        let steerings = context.history.read().steerings.clone();
        let is_out = |it: &&Instance| {
            steerings.of(&it.settings.name).is_some_and(|steered| steered.maintenance.is_some())
        };
        let out: Vec<&Instance> = scope.into_iter().filter(is_out).collect();
        match (out.is_empty(), name) {
            (true, Some(name)) => return Err(No::Refused(vec![format!("{name} is not in maintenance")])),
            (true, None) => return Err(No::Refused(vec!["no instance is in maintenance".to_owned()])),
            (false, _) => {}
        }
        self.commit(|steerings| {
            for instance in &out {
                if let Some(steered) = steerings.instances.get_mut(&*instance.settings.name) {
                    steered.maintenance = None;
                }
            }
        })?;
        self.steer().await;
        let ended = Order { until: None, by: by.to_owned(), reason: None };
        Ok(out
            .iter()
            .map(|instance| {
                audit(&context, &instance.settings.name, "maintenance ended", &ended);
                format!("{}: takes part in the election again", instance.settings.name)
            })
            .collect())
    }
}
