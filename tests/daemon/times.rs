//! Times: local with the zone for people, UTC for programs, whatever the zone is.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use vrrp_user::daemon::control::{Control, SocketGroups};
use vrrp_user::daemon::events::EventKind;
use vrrp_user::daemon::process::runtime_dir::RuntimeDir;
use vrrp_user::daemon::reload::{Cause, StaleConfiguration};
use vrrp_user::daemon::steering::{Order, Steered};
use vrrp_user::daemon::wall::{parse_rfc3339, rfc3339};

use crate::cli::binary;
use crate::http::Server;
use crate::setup::{Folder, filled};

/// Zones that need no file: the value of `TZ`, the name, and the offset in seconds.
const ZONES: [(&str, &str, i64); 3] =
    [("NPT-5:45", "NPT", 345 * 60), ("NST3:30", "NST", -210 * 60), ("UTC0", "UTC", 0)];

/// A moment as people in a zone read it.
fn local(at: SystemTime, (_, name, offset): (&str, &str, i64)) -> String {
    let span = Duration::from_secs(offset.unsigned_abs());
    let shifted = if offset < 0 { at - span } else { at + span };
    format!("{} {name}", rfc3339(shifted)[..19].replace('T', " "))
}

fn vrrpx(folder: &Path, zone: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(binary());
    let output = command.args(arguments).arg("--runtime-dir").arg(folder).env("TZ", zone).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Broken lines as one.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn commands_show_the_time_of_their_zone_and_json_that_of_none() {
    let folder = Folder::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let claimed = RuntimeDir::claim(folder.path()).unwrap();
        let context = filled();
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_251_199);
        context.history.stale(StaleConfiguration {
            since,
            cause: Cause::Refused,
            findings: vec!["a fault".to_owned()],
        });
        let until = Some(1_000_000_000_000);
        let order = Order { until, by: "root".to_owned(), reason: None };
        let steered = Steered { maintenance: Some(order), ..Steered::default() };
        context.history.write().steerings.instances.insert("VI_1".to_owned(), steered);
        let steered = |until| EventKind::Steered {
            name: "VI_1".to_owned(),
            what: "in maintenance".to_owned(),
            by: "root".to_owned(),
            until: Some(until),
            why: None,
        };
        context.history.events.push(steered(rfc3339(since)));
        let server = tokio::spawn(Control::bind(&claimed, SocketGroups::default()).unwrap().serve(context));
        let path = folder.path().to_owned();
        let clients = tokio::task::spawn_blocking(move || {
            let json: Value = serde_json::from_str(&vrrpx(&path, "NPT-5:45", &["status", "--json"])).unwrap();
            assert_eq!(json["configuration"]["stale_since"], rfc3339(since), "UTC for programs");
            let loaded = parse_rfc3339(json["configuration"]["loaded"].as_str().unwrap()).unwrap();
            let event = vrrpx(&path, "NPT-5:45", &["events", "--kind", "steered", "--json"]);
            let event = event.lines().find(|line| line.starts_with("{\"seq\"")).unwrap();
            let event: Value = serde_json::from_str(event).unwrap();
            assert_eq!(event["until"], rfc3339(since));
            let at = parse_rfc3339(event["time"].as_str().unwrap()).unwrap();
            for zone in ZONES {
                let run = |arguments: &[&str]| words(&vrrpx(&path, zone.0, arguments));
                let status = run(&["status"]);
                let loaded = local(loaded, zone);
                let minute = format!("{}{}", &loaded[..16], &loaded[19..]);
                assert!(status.contains(&format!("configuration of {minute}, ")), "{minute} in {status}");
                assert!(status.contains(&format!("refused at {}; ", local(since, zone))), "{status}");
                assert!(
                    run(&["maintenance", "show"]).contains(&format!(" {}, by root", zone.1)),
                    "{}",
                    zone.1
                );
                let verbose = run(&["status", "--verbose"]);
                assert!(
                    verbose.contains(&format!("STALE: refused at {}; ", local(since, zone))),
                    "{verbose}"
                );
                let events = run(&["events", "--kind", "steered"]);
                assert!(events.starts_with(&local(at, zone)[..19]), "{events}");
                assert!(events.contains(&format!(" {} VI_1: in maintenance", zone.1)), "{events}");
                assert!(events.ends_with(&format!(", until {}", local(since, zone))), "{events}");
                // A time as it is printed is one that is read.
                let shown = local(at + Duration::from_secs(1), zone);
                assert_eq!(run(&["events", "--kind", "steered", "--since", &shown]), "", "{shown}");
                let shown = local(at, zone);
                assert_eq!(run(&["events", "--kind", "steered", "--since", &shown]), events, "{shown}");
            }
        });
        clients.await.unwrap();
        server.abort();
    });
}

/// In a process of its own for each zone, as the zone is read once.
#[tokio::test(flavor = "current_thread")]
async fn the_page_shows_the_time_of_the_daemon() {
    const NAME: &str = "times::the_page_shows_the_time_of_the_daemon";
    const CASE: &str = "VRRPX_TEST_ZONE";
    let Ok(case) = std::env::var(CASE) else {
        for (zone, name, _) in ZONES {
            let mut again = Command::new(std::env::current_exe().unwrap());
            let output = again.args([NAME, "--exact"]).env("TZ", zone).env(CASE, name).output().unwrap();
            assert!(output.status.success(), "{zone}: {}", String::from_utf8_lossy(&output.stdout));
        }
        return;
    };
    let zone = ZONES.into_iter().find(|(_, name, _)| *name == case).unwrap();
    let context = filled();
    let status = context.status();
    let times = [&status.configuration.loaded, status.instances[0].since.as_ref().unwrap()];
    let server = Server::of(context).await;
    let page = server.get("/").await;
    for time in times {
        let at = parse_rfc3339(time).unwrap();
        let has = |at| page.text().contains(&format!("\">{}</time>", local(at, zone)));
        // One that is computed again may be a second off.
        assert!(has(at) || has(at + Duration::from_secs(1)), "{}: {}", local(at, zone), page.text());
        assert!(page.text().contains("<time datetime=\"2") && page.text().contains("Z\">"));
    }
    let begin = format!("title=\"{}", local(parse_rfc3339(times[1]).unwrap(), zone).get(..10).unwrap());
    assert!(page.text().contains(&begin), "{begin}");
}
