//! The daemon's work, from complete preparation to its end.
//!
//! Enters: configuration, folder, maps, program, queues, and in a hot restart the daemon to replace. Leaves: the
//! outcome, with the threads ended and the interfaces with virtual MAC addresses gone. Absent: the state of the host
//! before and after.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::os::unix::net::UnixListener;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc as blocking};
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::{mpsc, oneshot};
use tokio::task;
use tokio::time::timeout;
use tracing::{info, warn};

use super::error::RunError;
use super::loading::Loading;
use super::threads::{Queues, start_threads};
use crate::config::{Globals, Loaded, words};
use crate::daemon::auth::MarkStore;
use crate::daemon::essential::Unpanicked;
use crate::daemon::guard::Guard;
use crate::daemon::host::attach::Attachments;
use crate::daemon::host::firewall::Firewall;
use crate::daemon::host::interfaces::{Interfaces, Order};
use crate::daemon::host::leftovers::{outlive, remove_leftovers};
use crate::daemon::host::secondaries::Secondaries;
use crate::daemon::host::statics::Statics;
use crate::daemon::host::vmacs::Vmacs;
use crate::daemon::hot_restart::{Predecessor, RouterSnapshot};
use crate::daemon::neighbours::{self, Baton};
use crate::daemon::process::options::RunOptions;
use crate::daemon::process::runtime_dir::{self, RuntimeDir};
use crate::daemon::queue::Input;
use crate::daemon::service::Service;
use crate::daemon::status::{DaemonContext, SharedContext};
use crate::daemon::steering;
use crate::driver::clock;
use crate::driver::ownership;
use crate::driver::xdp::{Program, Ring};

/// How long the program stays attached after a master has left. To detach it, the kernel holds the lock under which
/// addresses are set for some 10 ms: a new master in another network namespace of this host would wait for it.
const LINGER: Duration = Duration::from_millis(100);

/// Time limit for reading the events of earlier runs.
const EVENTS_LIMIT: Duration = Duration::from_secs(3);

/// Everything that outlives the work.
pub(super) struct Prepared<'a> {
    pub(super) options: &'a RunOptions,
    pub(super) folder: &'a RuntimeDir,
    /// The configuration as read.
    pub(super) loaded: &'a Arc<Loaded>,
    pub(super) context: &'a Arc<DaemonContext>,
    pub(super) store: &'a Arc<MarkStore>,
    pub(super) queues: &'a Queues,
    pub(super) vmacs: &'a RefCell<Vmacs>,
    /// Empty while no guard could be started.
    pub(super) guard: &'a OnceCell<Guard>,
    /// Until others are answered; to the end if this daemon ends for another one.
    pub(super) baton: Cell<Option<Baton>>,
    /// Where they are answered, if they cannot reach the runtime folder.
    pub(super) present: Cell<Option<UnixListener>>,
}

impl Prepared<'_> {
    /// Works until the daemon is stopped. `ready` is called when it has started and, in a hot restart, has replaced the
    /// other daemon.
    ///
    /// # Errors
    /// It could not start, or its engine or the reading of interfaces failed.
    pub(super) async fn serve(
        &self,
        loading: Loading,
        ring: Option<Ring>,
        predecessor: Option<Predecessor>,
        ready: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), RunError> {
        let (orders, ordered) = mpsc::channel(1);
        let mut service = self.service(&orders).await?;
        if predecessor.is_none() {
            let faults = &self.context.history.host_faults;
            remove_leftovers(&self.context.config, None, self.folder.path(), faults)?;
        }
        let threads = start_threads(self.options, self.context, self.queues, ring)?;
        if predecessor.is_none() {
            let orders = steering::resume(self.context, self.folder.path(), &[]);
            self.queues.inputs.push(Input::Event(orders));
        }
        let mut program = loading.end()?;
        #[cfg(feature = "bpf-log")]
        if let Ok(program) = &mut program {
            match program.log() {
                Ok(log) => drop(tokio::spawn(log)),
                Err(error) => warn!("{error}"),
            }
        }
        if program.is_err() {
            self.context.history.unpinned("adverts are heard on sockets".to_owned());
        }
        if let Ok(program) = &mut program {
            program.belong_to(self.folder.path());
        }
        if predecessor.is_none() {
            self.outlive(&mut program);
        }
        let interfaces = self.interfaces(program)?;
        let mut interfaces = pin!(interfaces.follow(self.delay(predecessor.is_none()), ordered));
        info!(
            version = env!("CARGO_PKG_VERSION"),
            router_id = &*self.context.router_id,
            instances = self.context.config.instances.len(),
            "started"
        );
        let work = async {
            if let Some(predecessor) = predecessor {
                service.restore(&self.follow(predecessor, &orders).await?);
            }
            self.keep_events().await;
            ready()?;
            let (has_baton, shared) = (self.baton.take().is_some(), service.shared());
            tokio::select! {
                outcome = service.run(self.folder) => outcome.map_err(RunError::from),
                clashes = self.look_again(shared), if !has_baton => Err(RunError::Neighbours(clashes)),
            }
        };
        // Destructors of the rest could wait, while adverts go on.
        let _unpanicked = Unpanicked("the main thread");
        let outcome = tokio::select! {
            outcome = work => outcome,
            Err(error) = &mut interfaces => Err(RunError::Interfaces(error)),
        };
        threads.end(self.queues);
        if self.context.live.instances.iter().any(|instance| instance.release_sent.load(Relaxed) > 0) {
            tokio::time::sleep(LINGER).await;
        }
        // Before the program on them is detached, which corrects what they send until then.
        self.vmacs.borrow_mut().clear();
        let context = Arc::clone(self.context);
        let _ = task::spawn_blocking(move || context.history.events.close()).await;
        outcome
    }

    /// What another daemon has as well that has started meanwhile, if this one is to end for it.
    async fn look_again(&self, shared: SharedContext) -> Vec<String> {
        let (clashes, baton) = neighbours::look_again(shared, self.options.runtime_dir.clone()).await;
        if clashes.is_empty() {
            return pending().await;
        }
        // Another one that looks waits until this one has ended, and so stays.
        self.baton.set(baton);
        clashes
    }

    /// After a predecessor has gone, which writes to the same file.
    async fn keep_events(&self) {
        let (context, folder) = (Arc::clone(self.context), runtime_dir::state(&self.options.runtime_dir));
        let opened = task::spawn_blocking(move || context.history.keep_events(&folder, &context.config));
        match timeout(EVENTS_LIMIT, opened).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => warn!(%error, "events are lost at a restart"),
            Ok(Err(_)) | Err(_) => warn!("the file of events cannot be read: its disk does not answer"),
        }
    }

    async fn service(&self, orders: &mpsc::Sender<Order>) -> Result<Service, RunError> {
        let (inputs, reports) = (self.queues.inputs.clone(), self.queues.reports.clone());
        let (context, store) = (Arc::clone(self.context), Arc::clone(self.store));
        let service =
            Service::open(self.options, self.folder, context, inputs, reports, orders.clone(), store).await?;
        let service = service.running(Arc::clone(self.loaded)).with_effect(self.queues.commands.clone());
        match self.present.take() {
            Some(listener) => Ok(service.with_neighbours(listener)?),
            None => Ok(service),
        }
    }

    /// Replaces what an earlier daemon has pinned. After the leftovers: addresses that an earlier program has fenced
    /// are gone.
    fn outlive(&self, program: &mut Result<Program, String>) {
        if let Err(error) = outlive(program, self.folder.path(), &self.context.history.host_faults) {
            warn!(%error, "a killed daemon's addresses are answered for until they are removed");
            self.context.history.unpinned(words(error));
        }
    }

    /// Time until instances take part; `None` if those of another daemon do.
    fn delay(&self, is_first: bool) -> Option<Duration> {
        let delay = is_first.then(|| startup_delay(&self.context.config.globals));
        if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
            info!(seconds = delay.as_secs_f64(), "instances wait before they take part");
        }
        delay
    }

    fn interfaces(&self, program: Result<Program, String>) -> io::Result<Interfaces<'_>> {
        let Self { options, context, queues, .. } = self;
        let config = &context.config;
        let settings = config.instances.iter().map(|instance| (instance.id, Arc::clone(&instance.settings)));
        let attachments = Attachments::new(
            settings.collect(),
            program,
            options.mode,
            Arc::clone(&context.maps),
            Arc::clone(&context.live),
            Arc::clone(&context.history),
            queues.inputs.clone(),
        );
        Ok(Interfaces {
            context,
            inputs: queues.inputs.clone(),
            attachments,
            vmacs: self.vmacs,
            statics: Statics::new(&config.statics)?,
            secondaries: Secondaries::new(config, &options.runtime_dir)?,
            store: Arc::clone(self.store),
            firewall: Firewall::new(&options.runtime_dir, config, &context.history.host_faults),
            retried: clock::now(),
            guard: self.guard,
            config: Arc::clone(config),
            former: Vec::new(),
            missing: BTreeSet::new(),
            runtime_dir: options.runtime_dir.clone(),
            kin: RefCell::default(),
        })
    }

    /// Replaces the other daemon once everything is ready.
    async fn follow(
        &self,
        predecessor: Predecessor,
        orders: &mpsc::Sender<Order>,
    ) -> Result<RouterSnapshot, RunError> {
        let gone = || io::Error::other("interface monitoring has stopped");
        let (answer, reported) = oneshot::channel();
        orders.send(Order::Report(answer)).await.map_err(|_| gone())?;
        reported.await.map_err(|_| gone())?;
        let (context, inputs) = (Arc::clone(self.context), self.queues.inputs.clone());
        let (store, runtime_dir) = (Arc::clone(self.store), self.folder.path().to_owned());
        let followed = task::spawn_blocking(move || {
            let mut taken = RouterSnapshot::default();
            let lock = predecessor.follow(&context.config, |snapshot, leases| {
                store.refresh(&context.config, &context.live);
                taken = snapshot.clone();
                let orders = Input::Event(steering::resume(&context, &runtime_dir, &snapshot.names));
                let (answer, restored) = blocking::channel();
                for mut input in [orders, Input::Restore(Box::new(snapshot), leases, answer)] {
                    while let Err(refused) = inputs.offer(input) {
                        input = refused;
                        thread::sleep(Duration::from_millis(1));
                    }
                }
                // The other daemon sends until then. Fails only with the engine, and the process with it.
                let _ = restored.recv();
            });
            // Ends an engine that may have begun to send.
            if lock.is_err() {
                while !inputs.push(Input::Leave) {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            lock.map(|lock| (lock, taken))
        });
        let (lock, snapshot) = followed.await.map_err(io::Error::other)??;
        ownership::set_ours(true);
        if let Some(Err(error)) = self.guard.get().map(Guard::succeed) {
            warn!(%error, "cannot register the guard: the next daemon will not find it");
        }
        self.folder.inherit(lock)?;
        if snapshot.has_renamed(&self.context.config) {
            steering::keep(self.context, self.folder.path());
        }
        let sources = snapshot.instances.iter().filter_map(|(id, it)| Some((*id, it.source?))).collect();
        let start = Order::Start(self.folder.path().to_owned(), sources);
        orders.send(start).await.map_err(|_| gone())?;
        info!(instances = snapshot.instances.len(), "continues in place of the previous daemon");
        Ok(snapshot)
    }
}

/// The rest of the startup delay; CLOCK_BOOTTIME counts from the boot.
fn startup_delay(globals: &Globals) -> Duration {
    let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from);
    globals.startup_delay.max(globals.delay_after_boot.saturating_sub(since_boot))
}
