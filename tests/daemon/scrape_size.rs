//! Size of a scrape: rows of an instance, and bytes of a crowd of instances.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use vrrp_ebpf::map::{Counter, Peer};
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm, Reject};
use vrrp_user::config::{Addresses, CheckSettings, NotifySettings, VirtualAddress};
use vrrp_user::daemon::history::HookRun;
use vrrp_user::daemon::metrics::{Format, render};
use vrrp_user::daemon::probe::check::{Outcome, ProbeResult};
use vrrp_user::daemon::probe::watch::NoticedBy;
use vrrp_user::daemon::status::DaemonContext;
use vrrp_user::driver::clock;
use vrrp_user::driver::process::{End, Run};
use vrrp_user::protocol::{Epoch, InstanceId, Priority, Reason, State, TrackId, Transition};

use crate::setup::{config, context, hook, instance, script};

/// 250 instances on one interface, master and backup in turn. Each has two peers, two addresses, a check, a hook, and
/// the transitions, the FAULT, the rejected advert and the removed address of a long life.
pub(crate) fn crowd() -> Arc<DaemonContext> {
    let mut checks = Vec::new();
    let instances = (0..250_u8).map(|number| {
        let notify = NotifySettings { master: hook("true"), ..NotifySettings::default() };
        let mut instance = instance(&format!("VI_{number}"), number + 1, notify);
        let addresses = [[192, 0, 2, number], [198, 51, 100, number]].map(Ipv4Addr::from);
        let advertised = addresses.map(|address| VirtualAddress::new(address.into(), 24)).to_vec();
        let settings = Arc::make_mut(&mut instance.settings);
        settings.addresses = Arc::new(Addresses { advertised, excluded: vec![] });
        let name = format!("check_{number}");
        checks.push(CheckSettings { name: name.into(), ..script(number.into(), "true") });
        instance
    });
    let instances = instances.collect();
    let context = context(config(instances, checks));
    let now = clock::now();
    for (id, live) in InstanceId::all().zip(&context.live.instances) {
        let slot = id.0;
        let mut life = vec![
            (State::Backup, Reason::Startup),
            (State::Master, Reason::MasterSilent),
            (State::Backup, Reason::HigherPriority),
            (State::Master, Reason::Preempted),
            (State::Fault, Reason::LinkDown),
            (State::Backup, Reason::Recovered),
            (State::Master, Reason::Preempted),
        ];
        if slot % 2 == 1 {
            life.push((State::Backup, Reason::HigherPriority));
        }
        let mut state = State::Init;
        for (to, reason) in life {
            let (epoch, priority) = (Epoch(1), Priority(100));
            let transition = Transition { from: state, to, reason, epoch, at: now, priority, peer: None };
            context.live.record(id, &transition);
            context.history.transition(id, transition);
            state = to;
        }
        live.takeover_nanos.store(2_345_678 + u64::from(slot), Relaxed);
        live.adverts_sent.store(1_234_567 + 17 * u64::from(slot), Relaxed);
        live.announcements_sent.store(5, Relaxed);
        live.put_back.store(1, Relaxed);
        let run = Run { end: End::Exited(0), lasted: Duration::from_millis(5) };
        context.history.hook(id, "notify_master", HookRun::ended("MASTER", run, None));
        context.history.check(ProbeResult {
            track: TrackId(slot),
            outcome: Outcome::Well,
            lasted: Duration::from_micros(1234 + u64::from(slot)),
            printed: None,
            by: NoticedBy::Polling,
            runs: 7,
            up: true,
            held: None,
            news: false,
            skipped: None,
            is_known: true,
        });
        context.maps.reject(id, Reject::Ttl, [0; 16], now);
        for peer in [2, 3] {
            let mut source = [0; 16];
            source[..4].copy_from_slice(&[10, 0, 0, peer]);
            for back in [210, 100, 0] {
                let vrid = u8::try_from(slot + 1).unwrap();
                let info =
                    AdvertInfo { source, interval: 10, version: 3, vrid, priority: 90, address_count: 2 };
                let stamp = now - Duration::from_millis(back);
                context.maps.count(Some(id), Counter::Event as usize);
                context.maps.note(id, &info, ChecksumForm::Plain, Peer::FORM, stamp);
            }
        }
    }
    context
}

/// Most rows of an instance, with those of its check.
const ROWS: usize = 30;

#[test]
fn a_crowd_of_instances_stays_small() {
    let text = render(&crowd(), Format::Text).unwrap();
    for number in [0, 1, 249] {
        let labels = [format!("vrrp_instance=\"VI_{number}\""), format!("check=\"check_{number}\"")];
        let is_of = |line: &&str| labels.iter().any(|label| line.contains(label));
        let rows: Vec<&str> = text.lines().filter(is_of).collect();
        assert!(rows.len() <= ROWS, "{} rows:\n{}", rows.len(), rows.join("\n"));
        for name in [
            "vrrpx_check_up",
            "vrrpx_put_back_total",
            "vrrpx_peer_jitter_seconds",
            "reason=\"preempted\"",
            "reason=\"ttl\"",
            "to=\"FAULT\"",
        ] {
            assert!(rows.iter().any(|row| row.contains(name)), "{name}");
        }
    }
    let all = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(all <= 250 * ROWS + 60, "{all} rows");
    let gzip = vrrp_user::daemon::http::gzip(text.as_bytes()).len();
    eprintln!("{all} rows, {} bytes, {gzip} compressed", text.len());
    assert!(gzip <= 100_000, "{gzip} bytes");
}
