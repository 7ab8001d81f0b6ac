//! The desk: it takes the requests of operators one at a time.
//!
//! Enters: requests, each with its author. Leaves: the orders in the file, in the history and at the engine, and the
//! answer. Orders are written before they count, so that a full disk leaves everything as it was.

mod candidates;
mod failover;
mod heir;
mod maintenance;
mod scope;

pub(crate) use scope::{unknown_name, unknown_of};

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use self::heir::{Heir, heir, refuse_owners};
use self::scope::{named, scope, single};
use super::audit::{LOG, audit};
use super::order::now;
use super::text::check_reason;
use super::{Kind, Order, OrderLock, Steerings, file};
use crate::config::Instance;
use crate::daemon::control::{Request, Response};
use crate::daemon::live::LiveInstance;
use crate::daemon::log;
use crate::daemon::queue::{Input, Queue};
use crate::daemon::status::{DaemonContext, SharedContext};
use crate::daemon::wall::shown;
use crate::driver::{clock, ownership};
use crate::protocol::{Event, State};

/// Between two looks for the heir.
const LOOK: Duration = Duration::from_millis(1);

/// Longest wait for an heir: the protocol waits 10 s at most.
const HEIR_LIMIT: Duration = Duration::from_secs(15);

/// Longest wait for announcements to leave.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(1);

/// Longest sleep: the end of an order is a time of another clock.
const NAP_MAX: Duration = Duration::from_secs(60);

/// A request and its author.
#[derive(Debug)]
pub struct Call {
    pub request: Request,
    pub by: String,
    pub answer: oneshot::Sender<Response>,
}

#[derive(Debug)]
pub struct Desk {
    pub shared: SharedContext,
    pub inputs: Queue<Input>,
    pub runtime_dir: PathBuf,
    pub calls: mpsc::Receiver<Call>,
    pub order_lock: Arc<OrderLock>,
}

/// The answer to an operator in a hot restart.
const REPLACED: &str = "another daemon takes the place of this one; try again";

/// Why a request is not carried out.
enum No {
    /// No instance or group has the name.
    Unknown(String),
    /// One reason a line.
    Refused(Vec<String>),
    /// Another router than the named one became master; what came of it, one line each.
    OtherMaster(Vec<String>),
    Failed(String),
}

type Answer = Result<Vec<String>, No>;

/// An order that is to begin.
struct Begin<'a> {
    seconds: Option<u64>,
    by: &'a str,
    reason: Option<String>,
    force: bool,
}

impl Begin<'_> {
    fn order(&self) -> Order {
        let until = self.seconds.map(|seconds| now().saturating_add(seconds.saturating_mul(1000)));
        Order { until, by: self.by.to_owned(), reason: self.reason.clone() }
    }
}

impl Desk {
    /// Works until the daemon ends.
    pub async fn run(mut self) {
        loop {
            let nap = self.until_next_end();
            tokio::select! {
                Some(Call { request, by, answer }) = self.calls.recv() => {
                    // The client has given up.
                    if answer.is_closed() {
                        continue;
                    }
                    // Until the answer is on its way.
                    let Some(_entered) = self.order_lock.enter() else {
                        let _ = answer.send(Response::Error(REPLACED.to_owned()));
                        continue;
                    };
                    let response = match self.carry_out(request, &by).await {
                        Ok(lines) => Response::Steered(lines),
                        Err(No::Unknown(text)) => Response::Unknown(text),
                        Err(No::Refused(lines)) => Response::Refused(lines),
                        Err(No::OtherMaster(lines)) => Response::OtherMaster(lines),
                        Err(No::Failed(text)) => Response::Error(text),
                    };
                    // The client may have gone.
                    let _ = answer.send(response);
                }
                () = sleep(nap) => self.end_due().await,
            }
        }
    }

    async fn carry_out(&self, request: Request, by: &str) -> Answer {
        match request {
            Request::Maintenance { name, on: true, seconds, reason, force } => {
                let begin = Begin { seconds, by, reason, force };
                self.begin_maintenance(name.as_deref(), &begin).await
            }
            Request::Maintenance { name, .. } => self.end_maintenance(name.as_deref(), by).await,
            Request::Failover { name, to, seconds, reason, force } => {
                self.fail_over(&name, &to, &Begin { seconds, by, reason, force }).await
            }
            Request::Priority { name, priority: Some(base), seconds, reason } => {
                self.set_priority(&name, base, &Begin { seconds, by, reason, force: false }).await
            }
            Request::Priority { name, .. } => self.reset_priority(&name, by).await,
            Request::Announce { name } => self.announce(name.as_deref(), by).await,
            Request::Log { level, seconds } => self.set_log(level, seconds, by),
            Request::Status
            | Request::Ping
            | Request::InMaintenance { .. }
            | Request::Reload { .. }
            | Request::HotRestart
            | Request::Events { .. } => Err(No::Failed("not an order".to_owned())),
        }
    }

    async fn set_priority(&self, name: &str, base: u8, begin: &Begin<'_>) -> Answer {
        begin.reason.as_deref().map_or(Ok(()), check_reason).map_err(No::Failed)?;
        let context = self.shared.now();
        let instance = single(&context.config, name)?;
        match base {
            0 => return Err(No::Failed("priority 0 releases the addresses; write 1 to 254".to_owned())),
            255 => {
                let text = "priority 255 is for the router whose interface has the addresses (the owner), and is set \
                            in the configuration only; write 1 to 254";
                return Err(No::Failed(text.to_owned()));
            }
            _ => {}
        }
        refuse_owners(&[instance], "its priority is 255 for as long as the configuration says so")?;
        let failover = context.history.read().steerings.of(name).and_then(|it| it.failover.clone());
        if let Some(failover) = failover {
            let text = format!(
                "{name} has handed over and competes with priority 1 {}, by {}; end that first: vrrpx priority \
                 {name} reset",
                until(&failover),
                failover.by
            );
            return Err(No::Refused(vec![text]));
        }
        let order = begin.order();
        self.commit(|steerings| {
            steerings.instances.entry(name.to_owned()).or_default().priority = Some((base, order.clone()));
        })?;
        self.steer().await;
        audit(&context, name, &format!("priority {base}"), &order);
        let configured = instance.settings.priority;
        Ok(vec![format!("{name}: priority {base} instead of {configured} {}", until(&order))])
    }

    /// Also ends a failover.
    async fn reset_priority(&self, name: &str, by: &str) -> Answer {
        let context = self.shared.now();
        let instance = single(&context.config, name)?;
        let steered = context.history.read().steerings.of(name).cloned().unwrap_or_default();
        if steered.priority.is_none() && steered.failover.is_none() {
            return Err(No::Refused(vec![format!("{name} has the priority of the configuration")]));
        }
        // Members of a sync group have handed over together.
        let members = scope(&context.config, Some(name))?;
        self.commit(|steerings| {
            for member in &members {
                if let Some(steered) = steerings.instances.get_mut(&*member.settings.name) {
                    steered.failover = None;
                }
            }
            if let Some(steered) = steerings.instances.get_mut(name) {
                steered.priority = None;
            }
        })?;
        self.steer().await;
        let configured = instance.settings.priority;
        let ended = Order { until: None, by: by.to_owned(), reason: None };
        audit(&context, name, &format!("priority {configured} of the configuration"), &ended);
        Ok(vec![format!("{name}: priority {configured}, as configured")])
    }

    async fn announce(&self, name: Option<&str>, by: &str) -> Answer {
        let context = self.shared.now();
        let scope = match name {
            Some(name) => named(&context.config, name)?,
            None => context.config.instances.iter().collect(),
        };
        let (masters, others): (Vec<&Instance>, Vec<&Instance>) =
            scope.into_iter().partition(|it| state(&context, it) == Some(State::Master));
        if let (Some(other), Some(_), true) = (others.first(), name, masters.is_empty()) {
            let (name, state) = (&other.settings.name, state(&context, other).unwrap_or_default());
            let text = format!("{name} is {} here; only the master announces", state.as_str());
            return Err(No::Refused(vec![text]));
        }
        if masters.is_empty() {
            return Ok(vec!["no instance is master here".to_owned()]);
        }
        let sent = |it: &Instance| live(&context, it).map(|live| live.announcements_sent.load(Relaxed));
        let before: Vec<Option<u64>> = masters.iter().map(|it| sent(it)).collect();
        for instance in &masters {
            self.push(Event::Announce(instance.id)).await;
        }
        let all_sent = async {
            while masters.iter().zip(&before).any(|(it, before)| sent(it) <= *before) {
                if self.order_lock.is_awaited() {
                    return false;
                }
                sleep(LOOK).await;
            }
            true
        };
        let is_sent = timeout(ANNOUNCE_LIMIT, all_sent).await.unwrap_or(false);
        let order = Order { until: None, by: by.to_owned(), reason: None };
        let mut lines = Vec::new();
        for (instance, before) in masters.iter().zip(&before) {
            let name = &instance.settings.name;
            if !is_sent && sent(instance) <= *before {
                return Err(No::Failed(match self.order_lock.is_awaited() {
                    true => REPLACED.to_owned(),
                    false => format!("{name}: no announcement has left within {ANNOUNCE_LIMIT:?}"),
                }));
            }
            audit(&context, name, "announced", &order);
            let count = instance.settings.addresses.all().count();
            let addresses = if count == 1 { "address" } else { "addresses" };
            lines.push(format!("{name}: {count} {addresses} announced"));
        }
        Ok(lines)
    }

    fn set_log(&self, level: Option<String>, seconds: Option<u64>, by: &str) -> Answer {
        let context = self.shared.now();
        if let Some(level) = &level {
            log::check_level(level).map_err(|error| No::Failed(error.to_string()))?;
        }
        let order = Begin { seconds, by, reason: None, force: false }.order();
        self.commit(|steerings| steerings.log = level.clone().map(|level| (level, order.clone())))?;
        let name = level.as_ref().map(|level| format!("level {level}"));
        let what = name.unwrap_or_else(|| "level of the start".to_owned());
        // Before the change, as the new level may hide it.
        audit(&context, LOG, &what, &order);
        log::set_level(level.as_deref()).map_err(|error| No::Failed(error.to_string()))?;
        let until = level.map_or_else(String::new, |_| format!(" {}", until(&order)));
        Ok(vec![format!("log: {what}{until}")])
    }

    /// Writes changed orders, then keeps them. Returns those before.
    fn commit(&self, change: impl FnOnce(&mut Steerings)) -> Result<Steerings, No> {
        // A new daemon reads the file, or has read it already.
        if ownership::is_leaving() || !ownership::is_ours() {
            return Err(No::Failed(REPLACED.to_owned()));
        }
        let context = self.shared.now();
        let mut inner = context.history.write();
        let mut next = inner.steerings.clone();
        change(&mut next);
        next.tidy();
        let failed = |error| No::Failed(format!("nothing is changed, because it cannot be kept: {error}"));
        file::save(&self.runtime_dir, &next).map_err(failed)?;
        Ok(std::mem::replace(&mut inner.steerings, next))
    }

    /// Gives instances their earlier orders back.
    async fn restore(&self, before: Steerings, scope: &[&Instance]) {
        let back = |steerings: &mut Steerings| {
            for name in scope.iter().map(|it| it.settings.name.to_string()) {
                let earlier = before.of(&name).cloned().unwrap_or_default();
                steerings.instances.insert(name, earlier);
            }
        };
        if let Err(No::Failed(error)) = self.commit(back) {
            warn!(error, "an order that was not carried out stays in the file");
            back(&mut self.shared.now().history.write().steerings);
        }
        self.steer().await;
    }

    /// Sends all orders to the engine.
    async fn steer(&self) {
        let context = self.shared.now();
        let orders = context.history.read().steerings.orders(&context.config);
        self.push(Event::Steer(orders)).await;
    }

    async fn push(&self, event: Event) {
        let mut input = Input::Event(event);
        while let Err(refused) = self.inputs.offer(input) {
            input = refused;
            sleep(LOOK).await;
        }
    }

    /// Has the masters among `scope` hand over, all with priority 1, and waits for their heirs.
    ///
    /// # Errors
    /// The names of those that no other router has taken over from: they are masters again.
    async fn hand_over(
        &self,
        context: &DaemonContext,
        scope: &[&Instance],
    ) -> Result<Vec<Heir>, Vec<String>> {
        let began = clock::now();
        let mut orders = context.history.read().steerings.orders(&context.config);
        let leaving: Vec<(&Instance, &LiveInstance, u64)> = scope
            .iter()
            .filter(|it| state(context, it) == Some(State::Master))
            .filter_map(|it| live(context, it).map(|live| (*it, live, live.epoch.load(Acquire))))
            .collect();
        for order in orders.iter_mut().filter(|order| scope.iter().any(|it| it.id == order.instance)) {
            order.hands_over = true;
        }
        self.push(Event::Steer(orders)).await;
        let taken = async {
            loop {
                sleep(LOOK).await;
                let heirs: Vec<Option<Heir>> =
                    leaving.iter().map(|(it, ..)| heir(context, it, began)).collect();
                let has_left = |(_, live, epoch): &(&Instance, &LiveInstance, u64)| {
                    live.epoch.load(Acquire) > *epoch && live.state() != State::Master
                };
                if leaving.iter().all(has_left) && heirs.iter().all(Option::is_some) {
                    return Ok(heirs.into_iter().flatten().collect());
                }
                let is_back = |(_, live, epoch): &&(&Instance, &LiveInstance, u64)| {
                    live.epoch.load(Acquire) > *epoch && live.state() == State::Master
                };
                if leaving.iter().any(|it| is_back(&it)) {
                    return Err(());
                }
            }
        };
        let names = || leaving.iter().map(|(it, ..)| it.settings.name.to_string()).collect();
        timeout(HEIR_LIMIT, taken).await.unwrap_or(Err(())).map_err(|()| names())
    }

    fn until_next_end(&self) -> Duration {
        let next = self.shared.now().history.read().steerings.next_end();
        let left = next.map(|end| Duration::from_millis(end.saturating_sub(now())));
        left.unwrap_or(NAP_MAX).min(NAP_MAX)
    }

    /// Ends orders whose time is over.
    async fn end_due(&self) {
        let context = self.shared.now();
        let now = now();
        let mut ended: Vec<(String, &str, Order)> = Vec::new();
        {
            let mut inner = context.history.write();
            for (name, steered) in &mut inner.steerings.instances {
                for (kind, order) in steered.take_over(now) {
                    ended.push((name.clone(), over(kind), order));
                }
            }
            if let Some((_, order)) = inner.steerings.log.take_if(|(_, order)| order.is_over(now)) {
                ended.push((LOG.to_owned(), "its time is over: level of the start", order));
                // The filter of the start can be read.
                let _ = log::set_level(None);
            }
            if ended.is_empty() {
                return;
            }
            inner.steerings.tidy();
            // In memory they are over in any case; a later start finds their time over.
            // Another daemon that has taken the state writes the file itself.
            if !ownership::is_leaving()
                && let Err(error) = file::save(&self.runtime_dir, &inner.steerings)
            {
                warn!(%error, "cannot write the orders that remain");
            }
        }
        self.steer().await;
        for (name, what, order) in &ended {
            audit(&context, name, what, &Order { until: None, ..order.clone() });
        }
        info!(orders = ended.len(), "the time of orders is over");
    }
}

const fn over(kind: Kind) -> &'static str {
    match kind {
        Kind::Maintenance => "its time is over: maintenance ended",
        Kind::Failover => "its time is over: failover ended",
        Kind::Priority => "its time is over: priority of the configuration",
    }
}

fn live<'a>(context: &'a DaemonContext, instance: &Instance) -> Option<&'a LiveInstance> {
    context.live.instances.get(instance.id.index())
}

fn state(context: &DaemonContext, instance: &Instance) -> Option<State> {
    live(context, instance).map(LiveInstance::state)
}

/// Whether the sync group of an instance in Fault goes on without it.
fn is_apart(context: &DaemonContext, instance: &Instance) -> bool {
    let mut groups = context.config.groups.iter().zip(context.live.groups.iter());
    state(context, instance) == Some(State::Fault)
        && groups.any(|(group, live)| {
            group.settings.members.contains(&instance.id)
                && !matches!(live.state(), State::Fault | State::Init)
        })
}

fn until(order: &Order) -> String {
    order.end().map_or_else(|| "until it is taken back".to_owned(), |end| format!("until {}", shown(end)))
}
