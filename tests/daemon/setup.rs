//! Configurations, filled sources and folders for these tests.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vrrp_ebpf::map::{Counter, Peer};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm, Family, Reject};
use vrrp_tests::FIRST;
use vrrp_tests::clock::task::until;
use vrrp_tests::process::Directory;
use vrrp_user::config::{
    Addresses, CheckSettings, CheckTarget, Config, Globals, Group, HoldSettings, Instance, InstanceSettings,
    NotifyCommand, NotifySettings, ScriptCommand, VirtualAddress,
};
use vrrp_user::daemon::history::{History, Realtime, RxPathNote};
use vrrp_user::daemon::live::LiveState;
use vrrp_user::daemon::status::DaemonContext;
use vrrp_user::driver::maps::Maps;
use vrrp_user::driver::{RxPath, clock};
use vrrp_user::protocol::{
    Epoch, GroupId, GroupSettings, GroupTransition, InstanceId, Interval, Priority, Reason, State, TrackId,
    TrackSettings, TrackedObject, Transition, Version, Vrid, Weight,
};

/// A folder for one test, removed when dropped.
pub(crate) struct Folder(Directory);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(Directory::new().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Lines of a file; none if it does not exist.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

pub(crate) fn shell(line: impl AsRef<str>) -> ScriptCommand {
    ScriptCommand::Shell(line.as_ref().into())
}

pub(crate) fn hook(line: impl AsRef<str>) -> Option<NotifyCommand> {
    Some(NotifyCommand { command: shell(line), user: None })
}

pub(crate) fn script(id: u32, line: impl AsRef<str>) -> CheckSettings {
    CheckSettings {
        id: TrackId(id),
        name: "check".into(),
        target: CheckTarget::Command(shell(line)),
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(5),
        weight: Weight(0),
        reverse: false,
        rise: 1,
        fall: 1,
        user: None,
        init_fail: false,
        hold: HoldSettings::default(),
    }
}

pub(crate) fn instance(name: &str, vrid: u8, notify: NotifySettings) -> Instance {
    let address = VirtualAddress::new(Ipv4Addr::new(192, 0, 2, vrid).into(), 24);
    let settings = InstanceSettings {
        advert_interval: Interval::new(Duration::from_millis(100), Version::V3).unwrap(),
        addresses: Arc::new(Addresses { advertised: vec![address], excluded: vec![] }),
        higher_prio_send_advert: Some(false),
        ..InstanceSettings::new(name, "eth0", Vrid::new(vrid).unwrap(), Family::V4)
    };
    Instance {
        id: InstanceId(0),
        settings: settings.into(),
        notify: notify.into(),
        promote_secondaries: false,
        is_strict: false,
    }
}

pub(crate) fn group(name: &str, members: Vec<InstanceId>, notify: NotifySettings) -> Group {
    Group { settings: GroupSettings { name: name.into(), members }, notify: notify.into() }
}

/// A transition of a group, caused by its second member.
pub(crate) fn moved(to: State, at: Timestamp, epoch: u64) -> GroupTransition {
    let (from, reason, member) = (State::Backup, Reason::LinkDown, InstanceId(1));
    GroupTransition { from, to, reason, member, epoch: Epoch(epoch), at }
}

pub(crate) fn config(instances: Vec<Instance>, scripts: Vec<CheckSettings>) -> Config {
    let globals = Globals { router_id: Some("node1".into()), ..Globals::default() };
    let numbered = instances.into_iter().zip((0..).map(InstanceId));
    let instances = numbered.map(|(instance, id)| Instance { id, ..instance }).collect();
    Config { globals, instances, checks: scripts, ..Config::default() }
}

pub(crate) fn context(config: Config) -> Arc<DaemonContext> {
    let count = config.instances.len();
    Arc::new(DaemonContext {
        gone: Default::default(),
        live: Arc::new(LiveState::new(count).with_groups(config.groups.len())),
        maps: Arc::new(Maps::anonymous(u32::try_from(count.max(1)).unwrap()).unwrap()),
        history: Arc::new(History::new(count)),
        router_id: config.globals.router_id.clone().unwrap(),
        started: clock::now(),
        config: Arc::new(config),
    })
}

/// Two instances in a group in Fault: `VI_1` is a backup that hears 10.0.0.2 and rejects the adverts of 10.0.0.3,
/// `VI "2"` is still in Init.
pub(crate) fn filled() -> Arc<DaemonContext> {
    let mut first = instance("VI_1", 51, NotifySettings::default());
    Arc::make_mut(&mut first.settings).tracks = vec![TrackSettings {
        id: TrackId(7),
        object: TrackedObject::Script("check".into()),
        weight: Weight(-20),
        reverse: false,
        initial: None,
    }];
    let both = group("both", vec![InstanceId(0), InstanceId(1)], NotifySettings::default());
    let context = context(Config {
        groups: vec![both],
        ..config(vec![first, instance("VI \"2\"", 52, NotifySettings::default())], vec![script(7, "false")])
    });
    let now = clock::now();
    let failed = moved(State::Fault, now - Duration::from_secs(90), 2);
    context.live.groups[0].record(&failed);
    context.history.group_transition(GroupId(0), &failed);
    let transition = backup(now - Duration::from_secs(90), 3);
    context.live.record(InstanceId(0), &transition);
    let live = &context.live.instances[0];
    live.adverts_sent.store(12, Ordering::Relaxed);
    live.set_priority(Priority(80));
    context.history.transition(InstanceId(0), transition);
    context.live.engine_lateness.record(Duration::from_micros(5));
    context.live.engine_lateness.record(Duration::from_micros(300));
    let mut source = [0; 16];
    source[..4].copy_from_slice(&[10, 0, 0, 2]);
    let info = AdvertInfo { source, interval: 10, version: 3, vrid: 51, priority: 150, address_count: 1 };
    for back in [300, 200, 100, 0] {
        let stamp = now - Duration::from_millis(back);
        context.maps.count(Some(FIRST), Counter::Event as usize);
        context.maps.note(FIRST, &info, ChecksumForm::Plain, Peer::FORM, stamp);
    }
    let refused = widen([10, 0, 0, 3].into());
    for _ in 0..3 {
        context.maps.reject(FIRST, Reject::Checksum, refused, now);
    }
    context.maps.count(None, Counter::UnknownVrid as usize);
    context.history.rx_path("eth0".into(), RxPathNote { rx_path: RxPath::Socket, why: "no CAP_BPF".into() });
    let why = "no CAP_SYS_NICE".into();
    context.history.realtime(Realtime { scheduled: false, memory_locked: true, why });
    context
}

pub(crate) fn backup(at: Timestamp, epoch: u64) -> Transition {
    Transition {
        from: State::Master,
        to: State::Backup,
        reason: Reason::HigherPriority,
        epoch: Epoch(epoch),
        at,
        priority: Priority(100),
        peer: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))),
    }
}

/// Longest wait of a test for a state.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `holds` returns true.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, PATIENCE, async || holds()).await;
}

/// Whether a process exists and is not a zombie.
pub(crate) fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
