//! The guard: a separate process that removes what the daemon has set, if the daemon dies and cannot do so itself.
//!
//! Enters: the runtime directory, configurations, interfaces. Leaves: a child process, and its plan, in a file that
//! both have mapped ([`crate::driver::cleanup_plan`]). Absent: the fence, which holds without it; see
//! [`super::host::fence`].
//!
//! The guard keeps the lock on that file: it shares the descriptor, and so the lock outlives the daemon. A new daemon
//! that finds the file locked ends the guard of the dead one, and does the removal itself.

mod plan;
pub mod process;

use std::cell::{Cell, RefCell};
use std::env;
use std::ffi::CString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;
use tracing::{info, warn};
use vrrp_ebpf::time::Timestamp;

use super::log::JOURNAL_STREAM;
use super::process::runtime_dir;
use crate::config::{Config, InstanceSettings, words};
use crate::driver::cleanup_plan::{CleanupPlan, End};
use crate::driver::netlink::filter::Filter;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::table::Table;
use crate::driver::{clock, ownership, pidfd};
use crate::protocol::InstanceId;

const FILE: &str = "guard";
const PROGRAM: &str = "/proc/self/exe";
const LOOK: Duration = Duration::from_millis(5);

/// Shortest time between two guards, in case another process keeps killing them.
const PAUSE: Duration = Duration::from_secs(1);

/// Bytes of a process's line in /proc up to its state, and more: its number, and a name of 64 at most.
const STAT: usize = 128;

/// Between two looks at whether the guard is stopped.
const CHECK: Duration = Duration::from_secs(1);

/// The daemon's side.
#[derive(Debug)]
pub struct Guard {
    plan: CleanupPlan,
    is_silent: bool,
    child: RefCell<Option<Child>>,
    exit: RefCell<Option<Rc<AsyncFd<OwnedFd>>>>,
    /// When the next guard is started, while there is none.
    next: Cell<Option<Timestamp>>,
    /// When it was last looked at whether the guard is stopped.
    checked: Cell<Timestamp>,
    /// Why the guard would not do its work now, and what to do.
    fault: RefCell<Option<String>>,
    netlink: RefCell<RouteSocket>,
    written: RefCell<Option<Written>>,
    refused: Cell<bool>,
    /// The runtime directory, until the previous daemon has been replaced.
    beside: RefCell<Option<PathBuf>>,
}

/// Everything that the latest plan was made from; one that found no room is made again.
#[derive(Debug, PartialEq)]
struct Written {
    config: *const Config,
    former: Vec<*const InstanceSettings>,
    interfaces: Vec<Option<u32>>,
    fenced: Vec<bool>,
    /// Which addresses are the host's own.
    own: Vec<bool>,
    pins: Vec<PathBuf>,
    filters: Vec<Filter>,
}

/// Ends the guard of a killed daemon; the caller must remove what that guard would have.
///
/// # Errors
/// The guard has not ended in time, or the runtime directory cannot be written.
pub async fn relieve(runtime_dir: &Path, within: Duration) -> io::Result<CleanupPlan> {
    relieve_at(&runtime_dir.join(FILE), within).await
}

async fn relieve_at(file: &Path, within: Duration) -> io::Result<CleanupPlan> {
    let plan = CleanupPlan::open(file)?;
    let started = clock::now();
    let mut is_first = true;
    while clock::now().since(started) < within {
        match plan.file().try_lock() {
            Ok(()) => {
                plan.clear();
                return Ok(plan);
            }
            Err(TryLockError::Error(error)) => return Err(error),
            // The daemon that set this number is dead or has left, for its directory is ours.
            Err(TryLockError::WouldBlock) if is_first => {
                is_first = false;
                let _ = plan.guard().map(|guard| kill(guard, Signal::SIGKILL));
            }
            Err(TryLockError::WouldBlock) => sleep(LOOK).await,
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Does what the guard of a dead daemon has not done, as it died too, all at once, apart from filters and pins. The
/// caller has made sure that no daemon has the directory. False if no plan is in force.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`]: the guard is at work. Otherwise, the plan is for another network namespace, it cannot
/// be read, or nothing can be sent.
pub fn carry_out_left_plan(runtime_dir: &Path) -> io::Result<bool> {
    let file = match File::options().read(true).write(true).open(runtime_dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    file.try_lock()?;
    let plan = CleanupPlan::inherit(file)?;
    // SAFETY: the lock is taken and the directory has no daemon, so no other process writes.
    let steps = (!plan.is_deactivated()).then(|| unsafe { plan.read() }).flatten();
    let Some((stages, _)) = steps else { return Ok(false) };
    if !plan.is_of_this_namespace() {
        return Err(io::Error::other(
            "its addresses are in another network namespace: run vrrpx cleanup --runtime-dir there (nsenter --net=…)",
        ));
    }
    process::carry_out_now(stages)?;
    plan.deactivate();
    Ok(true)
}

/// Whether another process has stopped it, by a signal or as a debugger.
fn is_stopped(pid: u32) -> bool {
    let mut stat = [0; STAT];
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut stat));
    let stat = stat.get(..read.unwrap_or(0)).unwrap_or_default();
    // The name before may have anything in it.
    let state = stat.iter().rposition(|byte| *byte == b')').and_then(|end| stat.get(end + 2));
    matches!(state, Some(b'T' | b't'))
}

impl Guard {
    /// Starts the guard. Must be called within a runtime.
    ///
    /// # Errors
    /// No process can be started.
    pub fn start(plan: CleanupPlan, is_silent: bool) -> io::Result<Self> {
        let this = Self {
            plan,
            is_silent,
            child: RefCell::default(),
            exit: RefCell::default(),
            next: Cell::default(),
            checked: Cell::new(clock::now()),
            fault: RefCell::default(),
            netlink: RefCell::new(RouteSocket::open()?),
            written: RefCell::default(),
            refused: Cell::default(),
            beside: RefCell::default(),
        };
        this.spawn()?;
        Ok(this)
    }

    /// Starts a guard for a daemon that is about to replace another one, whose guard holds the lock of its own file.
    /// The new guard does nothing before [`Self::succeed`].
    ///
    /// # Errors
    /// As [`relieve`] and [`Self::start`].
    pub async fn start_beside(runtime_dir: &Path, within: Duration, is_silent: bool) -> io::Result<Self> {
        let plan = relieve_at(&runtime_dir::next(runtime_dir, FILE), within).await?;
        plan.deactivate();
        let this = Self::start(plan, is_silent)?;
        this.beside.replace(Some(runtime_dir.to_owned()));
        Ok(this)
    }

    /// The other daemon has been replaced: activates this plan, and deactivates that daemon's, however it ends.
    ///
    /// # Errors
    /// The file cannot be renamed over the other one.
    pub fn succeed(&self) -> io::Result<()> {
        let Some(folder) = self.beside.take() else { return Ok(()) };
        self.plan.activate();
        CleanupPlan::open(&folder.join(FILE))?.deactivate();
        fs::rename(runtime_dir::next(&folder, FILE), folder.join(FILE))
    }

    /// Process id of the guard, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.borrow().as_ref().map(Child::id)
    }

    /// Why the guard would not remove the addresses if the daemon died now, and what to do.
    pub fn fault(&self) -> Option<String> {
        self.fault.borrow().clone()
    }

    fn spawn(&self) -> io::Result<()> {
        let daemon = pidfd::open(std::process::id().cast_signed())?;
        let child = Command::new(PROGRAM)
            .arg0("vrrpx")
            .arg("guard")
            .env_clear()
            .envs(env::var_os(JOURNAL_STREAM).map(|stream| (JOURNAL_STREAM, stream)))
            .current_dir("/")
            .stdin(Stdio::from(self.plan.file().try_clone()?))
            .stdout(Stdio::from(daemon))
            .stderr(if self.is_silent { Stdio::null() } else { Stdio::inherit() })
            .spawn()?;
        let pid = child.id();
        self.plan.set_guard(pid);
        let exit = pidfd::open(pid.cast_signed())?;
        // SAFETY: the descriptor is owned by what is returned, and closed with it.
        let exit = unsafe { AsyncFd::register_with_interest(exit, Interest::READABLE) }?;
        self.child.replace(Some(child));
        self.exit.replace(Some(Rc::new(exit)));
        Ok(())
    }

    /// Starts another guard when one ends, looks at whether it is stopped, and returns each time its state has changed.
    /// May be dropped and called again at any time.
    pub async fn keep(&self) {
        let exit = self.exit.borrow().clone();
        if let Some(exit) = exit {
            loop {
                let due = self.checked.get() + CHECK;
                tokio::select! {
                    // Cannot fail for an open descriptor.
                    _ = exit.readable() => break,
                    () = sleep(due.since(clock::now())) => if self.check() {
                        return;
                    },
                }
            }
            self.fault.replace(None);
            self.exit.replace(None);
            if let Some(mut child) = self.child.take() {
                let _ = child.wait();
            }
            if ownership::is_ours() {
                warn!("the guard has ended; starting another one");
            }
            return;
        }
        // The caller drops this future more often than a guard is started.
        let next = self.next.get().unwrap_or_else(|| clock::now() + PAUSE);
        self.next.set(Some(next));
        sleep(next.since(clock::now())).await;
        self.next.set(None);
        if ownership::is_ours() {
            // If it fails, it is tried again, and the status names it until then.
            let failed = self.spawn().err().map(|error| {
                let why = words(error);
                format!("cannot be started: {why}; the addresses of a killed daemon stay set; tried again every second")
            });
            self.note(failed);
        }
    }

    /// Logs a fault that is new.
    fn note(&self, fault: Option<String>) {
        let before = self.fault.replace(fault.clone());
        if let Some(fault) = fault.filter(|fault| before.as_ref() != Some(fault)) {
            warn!("guard: {fault}");
        }
    }

    /// Looks at whether the guard is stopped. True if that has changed.
    fn check(&self) -> bool {
        self.checked.set(clock::now());
        let Some(pid) = self.pid() else { return false };
        let (is_stopped, was_stopped) = (is_stopped(pid), self.fault.borrow().is_some());
        if is_stopped == was_stopped {
            return false;
        }
        self.note(is_stopped.then(|| {
            format!(
                "is stopped: the addresses of a killed daemon stay set; continue it (kill -CONT {pid}), or end it \
                 (kill -KILL {pid}), and another one is started"
            )
        }));
        if was_stopped {
            info!(pid, "the guard goes on");
        }
        true
    }

    /// Updates the plan: this configuration is in use, and addresses of former settings are still set, on these
    /// interfaces, with these pins and tc filters. False if it is to be tried again.
    pub fn update_plan(
        &self,
        config: &Arc<Config>,
        former: &[&InstanceSettings],
        table: &Table,
        is_fenced: impl Fn(InstanceId) -> bool,
        pins: Vec<PathBuf>,
        filters: Vec<Filter>,
    ) -> bool {
        let settings = || config.instances.iter().map(|instance| &*instance.settings);
        let with_addresses = settings().chain(former.iter().copied());
        let devices = with_addresses.flat_map(|it| it.addresses.all().map(|address| it.device_of(address)));
        let vmacs = settings().flat_map(|it| it.vmacs.all().map(|vmac| vmac.name.as_arc()));
        let hops = settings().flat_map(|it| &*it.routes).flat_map(|route| &route.hops);
        let devices = devices.chain(vmacs).chain(hops.filter_map(|hop| hop.device.as_ref()));
        let written = Written {
            config: Arc::as_ptr(config),
            former: former.iter().map(|settings| std::ptr::from_ref(*settings)).collect(),
            interfaces: devices.map(|name| Some(table.link(name)?.ifindex)).collect(),
            fenced: config.instances.iter().map(|instance| is_fenced(instance.id)).collect(),
            own: settings()
                .flat_map(|it| it.addresses.all().map(move |address| plan::is_own(it, table, address)))
                .collect(),
            pins,
            filters,
        };
        if self.written.borrow().as_ref() == Some(&written) {
            return true;
        }
        let stages =
            plan::stages(&mut self.netlink.borrow_mut(), config, former, table, is_fenced, &written.filters);
        let pin_paths: Vec<CString> = written
            .pins
            .iter()
            .filter_map(|pin| CString::new(pin.clone().into_os_string().into_vec()).ok())
            .collect();
        let outcome = self.plan.write(&stages, pin_paths.iter().map(CString::as_c_str));
        // A plan that is too long stays so; a file system may have room again.
        let is_final = outcome.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::FileTooLarge);
        match outcome {
            Err(error) if !self.refused.replace(true) => {
                warn!(%error, "cannot update the guard's plan: it will not remove everything if the daemon is killed");
            }
            outcome => self.refused.set(outcome.is_err()),
        }
        self.written.replace(is_final.then_some(written));
        is_final
    }

    /// The daemon ends, and leaves the rest to the guard.
    pub fn leave_to(self, has_failed: bool) {
        self.plan.note_end(if has_failed { End::Failure } else { End::Stop });
    }

    /// The daemon has removed everything itself.
    pub fn dismiss(self) {
        self.plan.deactivate();
        if let Some(mut child) = self.child.take() {
            // Fails if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(folder) = self.beside.take() {
            // No other process looks for it.
            let _ = fs::remove_file(runtime_dir::next(&folder, FILE));
        }
    }
}
