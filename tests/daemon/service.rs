//! The ordinary thread as a whole, with a test thread in the engine's place.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use vrrp_ebpf::time::Timestamp;
use vrrp_tests::FIRST;
use vrrp_tests::clock::poll;
use vrrp_tests::clock::task::watch;
use vrrp_user::config::{Config, NotifySettings, Tolerance};
use vrrp_user::daemon::auth::MarkStore;
use vrrp_user::daemon::control;
use vrrp_user::daemon::last_good::LastGoodSaver;
use vrrp_user::daemon::process::options::{ProcessOptions, RunOptions, XdpMode};
use vrrp_user::daemon::process::runtime_dir::RuntimeDir;
use vrrp_user::daemon::queue::{Input, Queue, Report};
use vrrp_user::daemon::service::{Service, ServiceError};
use vrrp_user::daemon::status::{DaemonContext, table};
use vrrp_user::daemon::unwritten::Unwritten;
use vrrp_user::driver::clock;
use vrrp_user::protocol::{Event, InstanceId, State, TrackId, Transition};

use crate::setup::{Folder, backup, config, context, eventually, hook, instance, script};

/// A signal reaches every service of the process, so these tests run one after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn options(folder: &Folder) -> RunOptions {
    RunOptions {
        config: folder.file("none"),
        tolerance: Tolerance::Strict,
        config_id: None,
        runtime_dir: folder.path().to_owned(),
        metrics: None,
        mode: XdpMode::Auto,
        strict_start: false,
        hot_restart: false,
        bridge: None,
        realtime: false,
        control_group: None,
        status_group: None,
        process: ProcessOptions::default(),
    }
}

async fn open(
    folder: &Folder,
    config: Config,
) -> (Service, RuntimeDir, Arc<DaemonContext>, Queue<Input>, Queue<Report>) {
    let options = options(folder);
    let context = context(config);
    let (inputs, reports) = (Queue::new(64).unwrap(), Queue::new(64).unwrap());
    let claimed = RuntimeDir::claim(folder.path()).unwrap();
    let store = Arc::new(MarkStore::open(folder.path()));
    // No reload takes place.
    let (orders, _) = tokio::sync::mpsc::channel(1);
    let service = Service::open(
        &options,
        &claimed,
        Arc::clone(&context),
        inputs.clone(),
        reports.clone(),
        orders,
        store,
    )
    .await
    .unwrap();
    (service, claimed, context, inputs, reports)
}

/// Waits for an input for which `wanted` is true, outside of the runtime.
fn await_input(inputs: &Queue<Input>, wanted: impl Fn(&Input) -> bool) {
    let next = || Ok(std::iter::from_fn(|| inputs.pop()).find(&wanted).map(drop));
    poll("an input", Duration::from_secs(10), next).unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn from_the_first_check_to_the_stop_hook() {
    let _alone = ALONE.lock().await;
    let folder = Folder::new();
    let line = format!("echo $VRRPX_STATE >> {}; true", folder.file("log").display());
    let notify = NotifySettings { any: hook(line), ..NotifySettings::default() };
    let config = config(vec![instance("VI_1", 51, notify)], vec![script(9, "echo broken; exit 1")]);
    let (service, claimed, context, inputs, reports) = open(&folder, config).await;

    let engine = thread::spawn(move || {
        await_input(&inputs, |input| matches!(input, Input::Event(Event::Track(TrackId(9), false))));
        let now = clock::now();
        reports.push(Report::Transition(FIRST, Transition { to: State::Master, ..backup(now, 1) }));
        await_input(&inputs, |input| matches!(input, Input::Event(Event::Shutdown)));
        reports.push(Report::Stopped);
    });
    let path = folder.path().to_owned();
    let driver = async {
        eventually("the hook ran", || folder.lines("log") == ["MASTER"]).await;
        let status = tokio::task::spawn_blocking(move || control::status(&path)).await.unwrap().unwrap();
        let check = &status.checks[0];
        assert_eq!((check.ended.as_deref(), check.exit_code), (Some("exit 1"), Some(1)));
        assert_eq!((check.output.as_deref(), &check.held), (Some("broken"), &None));
        assert!(table(&status).contains(&format!("  {}: printed: broken\n", check.name)));
        assert_eq!(status.instances[0].history.len(), 1);
        assert_eq!(status.instances[0].hooks[0].state, "MASTER");
        // Neither signal ends the service.
        raise(Signal::SIGHUP).unwrap();
        raise(Signal::SIGUSR1).unwrap();
        watch(Duration::from_millis(50)).await;
        raise(Signal::SIGTERM).unwrap();
    };
    let (outcome, ()) = tokio::join!(service.run(&claimed), driver);
    outcome.unwrap();
    engine.join().unwrap();
    assert_eq!(folder.lines("log"), ["MASTER", "STOP"]);
    assert!(context.history.read().checks.contains_key(&TrackId(9)));
}

#[tokio::test(flavor = "current_thread")]
async fn an_engine_that_stops_by_itself_is_an_error() {
    let _alone = ALONE.lock().await;
    let folder = Folder::new();
    let (service, claimed, _sources, _inputs, reports) = open(&folder, config(vec![], vec![])).await;
    reports.push(Report::Transition(InstanceId(5), backup(Timestamp::ZERO, 1)));
    reports.push(Report::Stopped);
    assert!(matches!(service.run(&claimed).await, Err(ServiceError::EngineStopped)));
}

/// A daemon that ends does not wait for threads whose work has not begun.
#[test]
fn a_copy_of_the_configuration_that_waits_is_written_at_the_end() {
    let folder = Folder::new();
    let file = folder.file("vrrpx.conf");
    let text =
        "vrrp_instance a {\ninterface lo\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1/24\n}\n}\n";
    std::fs::write(&file, text).unwrap();
    let options = RunOptions { config: file.clone(), ..options(&folder) };
    let loaded = Arc::new(options.reader().load(&file).unwrap());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || ended.recv());
        let saver = LastGoodSaver::of(&options, Unwritten::default()).unwrap();
        saver.save(loaded, false);
        assert!(!folder.file("last-good.json").exists(), "the only thread is busy");
        saver.finish();
        assert!(folder.file("last-good.json").exists());
        drop(end);
        let _ended = busy.await;
    });
}
