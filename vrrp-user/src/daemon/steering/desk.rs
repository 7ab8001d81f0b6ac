//! The desk: it takes the requests of operators one at a time.
//!
//! Enters: requests, each with its author. Leaves: the orders in the file, in the history and at the engine, and the
//! answer. Orders are written before they count, so that a full disk leaves everything as it was.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use vrrp_ebpf::map::Peer;
use vrrp_ebpf::time::Timestamp;

use super::text::check_reason;
use super::{Kind, LOG, Order, Steerings, audit, file, now};
use crate::config::{Config, Instance, did_you_mean};
use crate::daemon::control::{Request, Response};
use crate::daemon::live::LiveInstance;
use crate::daemon::log;
use crate::daemon::queue::{Input, Queue};
use crate::daemon::status::{self, DaemonContext, SharedContext};
use crate::driver::{clock, ownership};
use crate::protocol::{self, Event, NoHeir, Standing, State};

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
}

/// Why a request is not carried out.
enum No {
    /// No instance or group has the name.
    Unknown(String),
    /// One reason a line.
    Refused(Vec<String>),
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
                    let response = match self.carry_out(request, &by).await {
                        Ok(lines) => Response::Steered(lines),
                        Err(No::Unknown(text)) => Response::Unknown(text),
                        Err(No::Refused(lines)) => Response::Refused(lines),
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
            Request::Failover { name, seconds, reason, force } => {
                self.fail_over(&name, &Begin { seconds, by, reason, force }).await
            }
            Request::Priority { name, priority: Some(base), seconds, reason } => {
                self.set_priority(&name, base, &Begin { seconds, by, reason, force: false }).await
            }
            Request::Priority { name, .. } => self.reset_priority(&name, by).await,
            Request::Announce { name } => self.announce(name.as_deref(), by).await,
            Request::Log { level, seconds } => self.set_log(level, seconds, by),
            Request::Status | Request::Reload { .. } | Request::HotRestart | Request::Events { .. } => {
                Err(No::Failed("not an order".to_owned()))
            }
        }
    }

    /// Keeps instances out. Masters among them hand over first; if no heir comes, they stay masters.
    async fn begin_maintenance(&self, name: Option<&str>, begin: &Begin<'_>) -> Answer {
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

    async fn end_maintenance(&self, name: Option<&str>, by: &str) -> Answer {
        let context = self.shared.now();
        let scope = scope(&context.config, name)?;
        let steerings = context.history.read().steerings.clone();
        let is_out = |it: &&Instance| {
            steerings.of(&it.settings.name).is_some_and(|steered| steered.maintenance.is_some())
        };
        let out: Vec<&Instance> = scope.into_iter().filter(is_out).collect();
        match (out.is_empty(), name) {
            (true, Some(name)) => return Err(No::Refused(vec![format!("{name} is not in maintenance")])),
            (true, None) => return Ok(vec!["no instance is in maintenance".to_owned()]),
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

    /// Hands over, and competes with priority 1 after it.
    async fn fail_over(&self, name: &str, begin: &Begin<'_>) -> Answer {
        begin.reason.as_deref().map_or(Ok(()), check_reason).map_err(No::Failed)?;
        let context = self.shared.now();
        let scope = scope(&context.config, Some(name))?;
        refuse_in_maintenance(&context, &scope)?;
        refuse_owners(&scope, "cannot compete with a lower priority; maintenance takes it out")?;
        let others = scope.iter().filter_map(|it| Some((&it.settings.name, state(&context, it)?)));
        if let Some((name, state)) = others.into_iter().find(|(_, state)| *state != State::Master) {
            let text = format!("{name} is {} here; only the master can hand over", state.as_str());
            return Err(No::Refused(vec![text]));
        }
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
        let heirs = match self.hand_over(&context, &scope).await {
            Ok(heirs) => heirs,
            Err(alone) => {
                self.restore(before, &scope).await;
                return Err(No::Refused(not_taken(&alone, "master again", "failover")));
            }
        };
        let mut lines = Vec::new();
        for heir in &heirs {
            let what = format!("handed over to {}, competes with priority 1", heir.address);
            audit(&context, &heir.name, &what, &order);
            lines.push(format!("{}: {}", heir.name, heir.text()));
            lines.push(format!("{}: competes with priority 1 {}", heir.name, until(&order)));
        }
        Ok(lines)
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
                sleep(LOOK).await;
            }
        };
        let is_sent = timeout(ANNOUNCE_LIMIT, all_sent).await.is_ok();
        let order = Order { until: None, by: by.to_owned(), reason: None };
        let mut lines = Vec::new();
        for (instance, before) in masters.iter().zip(&before) {
            let name = &instance.settings.name;
            if !is_sent && sent(instance) <= *before {
                return Err(No::Failed(format!(
                    "{name}: no announcement has left within {ANNOUNCE_LIMIT:?}"
                )));
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
        Ok(vec![format!("log: {what} {}", until(&order))])
    }

    /// Writes changed orders, then keeps them. Returns those before.
    fn commit(&self, change: impl FnOnce(&mut Steerings)) -> Result<Steerings, No> {
        // A new daemon has read the file already.
        if !ownership::is_ours() {
            return Err(No::Failed("another daemon continues in place of this one; try again".to_owned()));
        }
        let context = self.shared.now();
        let mut inner = context.history.read();
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
            back(&mut self.shared.now().history.read().steerings);
        }
        self.steer().await;
    }

    /// Tells the engine all orders.
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
            let mut inner = context.history.read();
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
            if let Err(error) = file::save(&self.runtime_dir, &inner.steerings) {
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

/// The router that was heard as master after a handover.
struct Heir {
    name: String,
    address: IpAddr,
    after: Duration,
}

impl Heir {
    fn text(&self) -> String {
        format!("{} is master after {} ms", self.address, self.after.as_millis())
    }
}

fn heir(context: &DaemonContext, instance: &Instance, began: Timestamp) -> Option<Heir> {
    let family = instance.settings.family;
    let peers = context.maps.peers(instance.id.0).map(|(_, peer)| peer);
    let is_heir = |peer: &Peer| peer.priority > 0 && Timestamp::from_nanos(peer.last_seen) > began;
    let peer = peers.filter(is_heir).max_by_key(|peer| peer.priority)?;
    let address = status::source(&peer, family).parse().ok()?;
    let after = Timestamp::from_nanos(peer.last_seen).since(began);
    Some(Heir { name: instance.settings.name.to_string(), address, after })
}

/// What is known of other routers of an instance.
fn standing(context: &DaemonContext, instance: &Instance, state: State) -> Standing {
    let settings = &instance.settings;
    let peers: Vec<Peer> = context.maps.peers(instance.id.0).map(|(_, peer)| peer).collect();
    let address = |peer: &Peer| status::source(peer, settings.family).parse().ok();
    Standing {
        state,
        master: status::master(&peers, clock::now()).and_then(address),
        heard: peers.iter().max_by_key(|peer| peer.last_seen).and_then(address),
        peer: settings.unicast.as_ref().and_then(|unicast| unicast.peers.first()).map(|peer| peer.address),
    }
}

/// Refuses what would leave the addresses of an instance without a router that serves them.
fn refuse_without_heir(context: &DaemonContext, scope: &[&Instance], command: &str) -> Result<(), No> {
    let mut lines = Vec::new();
    for instance in scope {
        let Some(state) = state(context, instance) else { continue };
        let (name, interface) = (&instance.settings.name, &instance.settings.interface);
        let vrid = instance.settings.vrid.number();
        match protocol::may_leave(&standing(context, instance, state)) {
            Ok(()) => {}
            Err(NoHeir::Alone) => lines.push(format!(
                "{name} is master, and no router is known that would serve its addresses: no other router of VRID {vrid} \
                 has sent an advert on {interface} since this daemon started, and it has no unicast_peer; a backup \
                 sends none, so one may be there: vrrpx failover {name} --force tries, and stays master if none is"
            )),
            Err(NoHeir::NoMaster) => lines.push(format!(
                "{name} is a backup that hears no master of VRID {vrid} on {interface}: no router would serve its addresses"
            )),
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    lines.push(format!("nothing is changed; vrrpx {command} --force does it nevertheless"));
    Err(No::Refused(lines))
}

fn refuse_in_maintenance(context: &DaemonContext, scope: &[&Instance]) -> Result<(), No> {
    let inner = context.history.read();
    for name in scope.iter().map(|it| &it.settings.name) {
        if let Some(order) = inner.steerings.of(name).and_then(|steered| steered.maintenance.as_ref()) {
            let (until, by) = (until(order), &order.by);
            return Err(No::Refused(vec![format!(
                "{name} is in maintenance {until}, by {by}; end that first: vrrpx maintenance off {name}"
            )]));
        }
    }
    Ok(())
}

fn refuse_owners(scope: &[&Instance], why: &str) -> Result<(), No> {
    let owner = scope.iter().find(|it| it.settings.priority.is_owner());
    owner.map_or(Ok(()), |owner| {
        let name = &owner.settings.name;
        Err(No::Refused(vec![format!("{name} owns its addresses (priority 255): {why}")]))
    })
}

fn not_taken(names: &[String], outcome: &str, command: &str) -> Vec<String> {
    let line = |name: &String| format!("{name}: no other router took over in time, and it is {outcome}");
    let mut lines: Vec<String> = names.iter().map(line).collect();
    if command == "maintenance on" {
        lines.push(
            "vrrpx maintenance on --force takes it out although no router serves its addresses then"
                .to_owned(),
        );
    }
    lines
}

/// The instances that an order concerns: all, or those of the name and the other members of their sync groups.
fn scope<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a Instance>, No> {
    let Some(name) = name else { return Ok(config.instances.iter().collect()) };
    let mut scope = named(config, name)?;
    let groups = config.groups.iter().filter(|group| {
        group.settings.members.iter().any(|member| scope.iter().any(|instance| instance.id == *member))
    });
    let members: Vec<&Instance> =
        groups.flat_map(|group| &group.settings.members).filter_map(|id| config.instance(*id)).collect();
    for member in members {
        if !scope.iter().any(|known| known.id == member.id) {
            scope.push(member);
        }
    }
    Ok(scope)
}

/// The instance, or the members of the sync group, of this name.
fn named<'a>(config: &'a Config, name: &str) -> Result<Vec<&'a Instance>, No> {
    if let Some(instance) = config.instances.iter().find(|it| *it.settings.name == *name) {
        return Ok(vec![instance]);
    }
    let group = config.groups.iter().find(|group| *group.settings.name == *name);
    match group {
        Some(group) => {
            Ok(group.settings.members.iter().filter_map(|member| config.instance(*member)).collect())
        }
        None => Err(unknown(config, name)),
    }
}

/// The instance of this name; a sync group has no priority of its own.
fn single<'a>(config: &'a Config, name: &str) -> Result<&'a Instance, No> {
    if let Some(instance) = config.instances.iter().find(|it| *it.settings.name == *name) {
        return Ok(instance);
    }
    let members = named(config, name)?;
    let members: Vec<&str> = members.iter().map(|it| &*it.settings.name).collect();
    Err(No::Refused(vec![format!("{name} is a sync group; name one of its members: {}", members.join(", "))]))
}

fn unknown(config: &Config, name: &str) -> No {
    let instances = config.instances.iter().map(|it| &*it.settings.name);
    let names = instances.chain(config.groups.iter().map(|group| &*group.settings.name));
    let mut text = format!("{name} is neither an instance nor a sync group of the daemon");
    if let Some(near) = did_you_mean(name, names) {
        let _ = write!(text, "; {near}");
    }
    No::Unknown(text)
}

fn live<'a>(context: &'a DaemonContext, instance: &Instance) -> Option<&'a LiveInstance> {
    context.live.instances.get(instance.id.index())
}

fn state(context: &DaemonContext, instance: &Instance) -> Option<State> {
    live(context, instance).map(LiveInstance::state)
}

fn until(order: &Order) -> String {
    order.end().map_or_else(
        || "until it is taken back".to_owned(),
        |end| format!("until {} UTC", end.get(..19).unwrap_or(&end).replace('T', " ")),
    )
}
