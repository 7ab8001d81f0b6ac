//! The control socket, byte by byte.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use vrrp_tests::clock::until;
use vrrp_user::daemon::control::{self, Control, LINE_MAX, SocketGroups};
use vrrp_user::daemon::process::runtime_dir::RuntimeDir;
use vrrp_user::daemon::queue::{Input, Queue};
use vrrp_user::daemon::status::SharedContext;
use vrrp_user::daemon::steering::{Desk, Order, Steered};
use vrrp_user::driver::clock;
use vrrp_user::protocol::{Event, InstanceId, Priority, SteeringOrder};

use nix::unistd::Uid;

use crate::cli::binary;
use crate::setup::{Folder, filled};

/// Serves filled sources while clients run on their own thread.
fn with_daemon<T: Send + 'static>(folder: &Folder, clients: impl FnOnce(&Path) -> T + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let claimed = RuntimeDir::claim(folder.path()).unwrap();
        let control = Control::bind(&claimed, SocketGroups::default()).unwrap();
        let server = tokio::spawn(control.serve(filled()));
        let path = folder.path().to_owned();
        let outcome = tokio::task::spawn_blocking(move || clients(&path)).await.unwrap();
        server.abort();
        outcome
    })
}

fn connect(folder: &Path) -> BufReader<UnixStream> {
    BufReader::new(UnixStream::connect(folder.join("control.sock")).unwrap())
}

fn ask(client: &mut BufReader<UnixStream>, request: &[u8]) -> String {
    client.get_mut().write_all(request).unwrap();
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line
}

#[test]
fn one_connection_carries_many_requests_good_and_bad() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let mut client = connect(path);
        for bad in ["\n", "nonsense\n", "{\"command\":\"reboot\"}\n", "{\"command\":\n", "[[[[[\n", "\u{0}\n"]
        {
            let answer: serde_json::Value = serde_json::from_str(&ask(&mut client, bad.as_bytes())).unwrap();
            assert!(answer["error"].as_str().unwrap().starts_with("not a request: "), "{bad:?}: {answer}");
        }
        let answer: serde_json::Value =
            serde_json::from_str(&ask(&mut client, b"{\"command\":\"status\"}\n")).unwrap();
        assert_eq!(answer["status"]["instances"][0]["name"], "VI_1");
    });
}

#[test]
fn an_endless_line_is_refused_and_ends_the_connection() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let mut client = connect(path);
        let answer = ask(&mut client, &vec![b'x'; usize::try_from(LINE_MAX).unwrap()]);
        assert!(answer.contains("at most 4096 bytes"), "{answer}");
        let mut rest = Vec::new();
        assert_eq!(client.read_to_end(&mut rest).unwrap_or(0), 0);
    });
}

#[test]
fn a_hundred_clients_are_served_while_others_stay_silent() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let silent: Vec<_> = (0..20).map(|_| connect(path)).collect();
        let clients: Vec<_> = (0..100)
            .map(|_| {
                let path = path.to_owned();
                thread::spawn(move || control::status(&path).map(|status| status.instances.len()))
            })
            .collect();
        for client in clients {
            assert_eq!(client.join().unwrap().unwrap(), 2);
        }
        drop(silent);
    });
}

#[test]
fn idle_clients_give_way_to_those_that_ask() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let mut idle = Vec::new();
        for _ in 0..10 {
            idle.extend((0..40).map(|_| connect(path)));
            let asked = clock::now();
            assert_eq!(control::status(path).unwrap().instances.len(), 2);
            let took = clock::now().since(asked);
            // Idle clients are cut off after 5 s.
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
        let mut oldest = idle.swap_remove(0);
        let mut rest = Vec::new();
        assert_eq!(oldest.read_to_end(&mut rest).unwrap_or(0), 0, "the client idle for longest is closed");
    });
}

#[test]
fn a_socket_left_behind_is_replaced_and_ours_is_private() {
    let folder = Folder::new();
    drop(std::os::unix::net::UnixListener::bind(folder.file("control.sock")).unwrap());
    assert!(control::status(folder.path()).unwrap_err().to_string().starts_with("no vrrpx runs"));
    with_daemon(&folder, |path| {
        let mode = std::fs::metadata(path.join("control.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        control::status(path).unwrap();
    });
    assert!(!folder.file("control.sock").exists(), "removed at the end");
}

#[test]
fn a_folder_in_use_is_refused_with_the_pid() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let error = RuntimeDir::claim(path).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        control::status(path).unwrap();
    });
}

/// As [`with_daemon`], with a desk for orders; clients get the inputs that an engine would.
fn with_desk<T: Send + 'static>(
    folder: &Folder,
    clients: impl FnOnce(&Path, &Queue<Input>) -> T + Send + 'static,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let claimed = RuntimeDir::claim(folder.path()).unwrap();
        let (call, calls) = tokio::sync::mpsc::channel(1);
        let shared = SharedContext::from(filled());
        let inputs = Queue::new(64).unwrap();
        let (runtime_dir, path) = (folder.path().to_owned(), folder.path().to_owned());
        let desk = Desk {
            shared: shared.clone(),
            inputs: inputs.clone(),
            runtime_dir,
            calls,
            order_lock: Arc::default(),
        };
        let control = Control::bind(&claimed, SocketGroups::default()).unwrap().with_desk(call);
        let server = tokio::spawn(control.serve(shared));
        let desk = tokio::spawn(desk.run());
        let outcome = tokio::task::spawn_blocking(move || clients(&path, &inputs)).await.unwrap();
        server.abort();
        desk.abort();
        outcome
    })
}

fn vrrpx(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).arg("--runtime-dir").arg(folder).output().unwrap()
}

/// The latest orders for the first instance that the engine would get.
fn reported(inputs: &Queue<Input>) -> Option<SteeringOrder> {
    let mut latest = None;
    while let Some(input) = inputs.pop() {
        if let Input::Event(Event::Steer(orders)) = input {
            latest = orders.iter().find(|order| order.instance == InstanceId(0)).copied();
        }
    }
    latest
}

#[test]
fn an_order_is_kept_shown_and_reported_to_the_engine() {
    let folder = Folder::new();
    with_desk(&folder, |path, inputs| {
        let output = vrrpx(path, &["priority", "VI_1", "150", "--for", "1h30m", "--reason", "new disk"]);
        let line = String::from_utf8(output.stdout).unwrap();
        assert!(line.starts_with("VI_1: priority 150 instead of 100 until 20"), "{line}");
        assert_eq!(reported(inputs).unwrap().steering.priority, Some(Priority(150)));
        let status = control::status(path).unwrap();
        let order = &status.instances[0].steering[0];
        let uid = Uid::current();
        assert!(order.by.contains(&format!("uid {uid}")), "{}", order.by);
        assert_eq!((order.what.as_str(), order.value.as_deref()), ("priority", Some("150")));
        assert_eq!(order.reason.as_deref(), Some("new disk"));
        assert!((5390.0..=5400.0).contains(&order.seconds_left.unwrap()), "{order:?}");
        let kept = fs::read_to_string(path.join("steering.json")).unwrap();
        assert!(kept.contains("new disk") && kept.contains("\"boot\":"), "{kept}");
        let mode = fs::metadata(path.join("steering.json")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let events = String::from_utf8(vrrpx(path, &["events"]).stdout).unwrap();
        assert!(events.contains("VI_1: priority 150, by ") && events.contains(": new disk"), "{events}");

        assert!(vrrpx(path, &["priority", "VI_1", "reset"]).status.success());
        assert_eq!(reported(inputs).unwrap().steering.priority, None);
        assert!(!path.join("steering.json").exists(), "there are no orders any more");
    });
}

#[test]
fn each_wrong_order_has_one_clear_error_and_changes_nothing() {
    let folder = Folder::new();
    with_desk(&folder, |path, inputs| {
        let long = "x".repeat(201);
        for (order, code, error) in [
            (
                &["priority", "VI_l", "9"][..],
                2,
                "VI_l is neither an instance nor a sync group of the daemon; did you mean `VI_1`?",
            ),
            (
                &["events", "VI_l"][..],
                2,
                "VI_l is neither an instance, nor a sync group, nor a check of the daemon; did you mean `VI_1`?",
            ),
            (&["maintenance", "on", "bot"], 2, "did you mean `both`?"),
            (&["maintenance", "on"], 2, "name an instance or a sync group, or write --all"),
            (&["maintenance", "off", "VI_1", "--for", "1h"], 2, "are for `maintenance on`"),
            (
                &["maintenance", "on", "VI_1", "--for", "1x"],
                2,
                "`1x` is no time; write it as 90s, 30m, 1h30m or 2d",
            ),
            (&["maintenance", "on", "VI_1", "--reason", "a\nb"], 1, "write it as one line of text"),
            (&["maintenance", "on", "VI_1", "--reason", &long], 1, "longer than 200 characters"),
            (&["maintenance", "off", "VI_1"], 4, "VI_1 is not in maintenance"),
            (&["maintenance", "off", "--all"], 4, "no instance is in maintenance"),
            (&["priority", "VI_1", "255"], 2, "`255` is no priority; write 1 to 254, or reset"),
            (&["priority", "VI_1", "0"], 2, "write 1 to 254"),
            (&["priority", "VI_1", "256"], 2, "`256` is no priority; write 1 to 254, or reset"),
            (&["priority", "both", "9"], 4, "both is a sync group; name one of its members: VI_1, "),
            (&["priority", "VI_1", "reset"], 4, "VI_1 has the priority of the configuration"),
            (&["failover", "VI_1"], 4, "only the master can hand over"),
            (&["failover", "VI_1", "--to", "no.host.invalid"], 2, "write the address that status shows"),
            (&["announce", "VI_1"], 4, "VI_1 is BACKUP here; only the master announces"),
            (&["log", "loud"], 2, "`loud` is no level"),
            (&["log", "debug,foo="], 2, "`foo=` is no level"),
            (&["log", "a b=info"], 2, "`a b=info`: write one level, and one target=level for each module"),
        ] {
            let output = vrrpx(path, order);
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{order:?}: {text}");
            assert!(text.contains(error), "{order:?}: {text}");
            assert!(output.stdout.is_empty(), "{order:?}");
        }
        let unknown = vrrpx(path, &["events", "--json", "VI_l"]);
        assert_eq!(unknown.status.code(), Some(2), "the same with lines for programs");
        assert_eq!(reported(inputs), None);
        assert!(!path.join("steering.json").exists());
        let shown = String::from_utf8(vrrpx(path, &["maintenance", "show"]).stdout).unwrap();
        assert_eq!(shown, "no instance is in maintenance\n");
        for (name, code) in [("VI_1", 1), ("both", 1), ("VI_l", 2)] {
            let output = vrrpx(path, &["is-master", "--json", name]);
            assert_eq!(output.status.code(), Some(code), "{name}");
            let Ok(answer) = serde_json::from_slice::<Value>(&output.stdout) else {
                assert_eq!((name, output.stdout.len()), ("VI_l", 0));
                continue;
            };
            let state = if name == "both" { "FAULT" } else { "BACKUP" };
            assert_eq!((&answer["name"], &answer["state"]), (&json!(name), &json!(state)));
            assert_eq!(answer["is_master"], json!(false));
            // Of the fixture's peer, for as long as it counts as heard.
            assert!(answer["master"].is_null() || answer["master"] == "10.0.0.2", "{answer}");
            assert!(answer["since"].as_str().is_some_and(|it| it.ends_with('Z')), "{answer}");
        }
    });
    let output = vrrpx(folder.path(), &["maintenance", "on", "--all"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.starts_with("vrrpx: no vrrpx runs with runtime directory "), "{text}");
}

#[test]
fn an_order_that_cannot_be_kept_is_not_carried_out() {
    let folder = Folder::new();
    with_desk(&folder, |path, inputs| {
        // The file aside cannot be opened, as on a full disk.
        fs::create_dir(path.join(format!("steering.next.{}", std::process::id()))).unwrap();
        let output = vrrpx(path, &["priority", "VI_1", "150"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text.contains("nothing is changed, because it cannot be kept: "), "{text}");
        assert_eq!(reported(inputs), None);
        assert!(control::status(path).unwrap().instances[0].steering.is_empty());
    });
}

#[test]
fn the_status_socket_shows_and_takes_no_orders() {
    let folder = Folder::new();
    with_desk(&folder, |path, inputs| {
        let socket = path.join("status.sock");
        assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o666);
        let mut client = BufReader::new(UnixStream::connect(&socket).unwrap());
        let answer = ask(&mut client, b"{\"command\":\"status\"}\n");
        assert!(answer.starts_with("{\"status\":"), "{answer}");
        let answer = ask(&mut client, b"{\"command\":\"in_maintenance\"}\n");
        assert_eq!(answer, "{\"in_maintenance\":[]}\n");
        for order in [
            r#"{"command":"reload"}"#,
            r#"{"command":"hot_restart"}"#,
            r#"{"command":"maintenance","name":null,"on":true,"force":true}"#,
            r#"{"command":"log","level":"off"}"#,
        ] {
            let answer = ask(&mut client, format!("{order}\n").as_bytes());
            assert!(answer.contains("this socket answers only what changes nothing"), "{order}: {answer}");
        }
        assert_eq!(reported(inputs), None);
        if !Uid::effective().is_root() {
            return;
        }
        // A user who may not open the other one.
        let program = path.join("vrrpx");
        fs::copy(binary(), &program).unwrap();
        let nobody = |arguments: &[&str]| {
            Command::new(&program)
                .args(arguments)
                .arg("--runtime-dir")
                .arg(path)
                .uid(65534)
                .gid(65534)
                .output()
        };
        let shown = nobody(&["status", "--json"]).unwrap();
        assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        assert!(nobody(&["events"]).unwrap().status.success());
        assert_eq!(nobody(&["is-master", "VI_1"]).unwrap().status.code(), Some(1));
        let denied = nobody(&["maintenance", "on", "--all"]).unwrap();
        let text = String::from_utf8(denied.stderr).unwrap();
        let of_group = "control.sock: permission denied; be root, or in the group that the daemon was started with \
                        (--control-group)";
        assert!(text.contains(of_group), "{text}");
        assert_eq!((denied.status.code(), reported(inputs)), (Some(1), None));
        // The wrong thing to change may be the other group, or the folder. The program is in it.
        let [control, status] = ["control.sock", "status.sock"].map(|name| path.join(name));
        let apart = Folder::new();
        let program = apart.file("vrrpx");
        fs::copy(binary(), &program).unwrap();
        let shown = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command.args(arguments).arg("--runtime-dir").arg(path).uid(65534).gid(65534);
            String::from_utf8(command.output().unwrap().stderr).unwrap()
        };
        fs::set_permissions(&status, fs::Permissions::from_mode(0o660)).unwrap();
        let text = shown(&["status"]);
        assert!(
            text.contains("status.sock: permission denied;") && text.contains("(--status-group)"),
            "{text}"
        );
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        for arguments in [&["status"][..], &["events"], &["maintenance", "on", "--all"]] {
            let text = shown(arguments);
            let expected = format!("{}: permission denied to enter the runtime directory", path.display());
            assert!(text.contains(&expected) && text.contains("chmod a+x"), "{arguments:?}: {text}");
        }
        assert!(control.exists());
    });
    assert!(!folder.file("status.sock").exists(), "removed at the end");
}

#[test]
fn sockets_that_are_removed_are_made_again() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        assert!(control::status(path).is_ok());
        // While a descriptor refers to them, no new file gets their inode numbers.
        let held = ["control.sock", "status.sock"].map(|name| {
            let file = File::options().read(true).custom_flags(libc::O_PATH).open(path.join(name)).unwrap();
            (name, file.metadata().unwrap().ino(), file)
        });
        let begun = clock::now();
        let is_late = || clock::now().since(begun) >= Duration::from_secs(5);
        // The daemon may make a socket again in the middle of it.
        while let Err(error) = fs::remove_dir_all(path) {
            assert!(error.kind() == ErrorKind::DirectoryNotEmpty && !is_late(), "{error}");
        }
        let is_back = |(name, before, _): &(&str, u64, File)| {
            let socket = path.join(name);
            fs::metadata(&socket).is_ok_and(|it| it.ino() != *before) && UnixStream::connect(socket).is_ok()
        };
        until("both sockets again", Duration::from_secs(5), || held.iter().all(is_back)).unwrap();
        assert!(control::status(path).is_ok());
        let mode = |name: &str| fs::metadata(path.join(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("control.sock"), mode("status.sock"), mode("")), (0o600, 0o666, 0o755));
    });
}

/// What is in maintenance is answered although no document can be made: the part that makes them does not run.
#[test]
fn maintenance_is_shown_without_a_document() {
    let folder = Folder::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let claimed = RuntimeDir::claim(folder.path()).unwrap();
        let context = filled();
        let order = Order { until: None, by: "root (uid 0)".to_owned(), reason: Some("disk".to_owned()) };
        let steered = Steered { maintenance: Some(order), ..Steered::default() };
        context.history.write().steerings.instances.insert("VI_1".to_owned(), steered);
        let control = Control::bind(&claimed, SocketGroups::default()).unwrap();
        let (steering, _reading) = control.split(SharedContext::from(context));
        let server = tokio::spawn(steering);
        let path = folder.path().to_owned();
        let asked = tokio::task::spawn_blocking(move || {
            let line = "VI_1: maintenance until it is taken back, by root (uid 0): disk";
            for name in [None, Some("VI_1"), Some("both")] {
                let orders = control::in_maintenance(&path, name).unwrap();
                assert_eq!(orders.iter().map(ToString::to_string).collect::<Vec<_>>(), [line], "{name:?}");
            }
            assert_eq!(control::in_maintenance(&path, Some("VI \"2\"")).unwrap(), []);
            let error = control::in_maintenance(&path, Some("VI_l")).unwrap_err().to_string();
            assert!(error.ends_with("did you mean `VI_1`?"), "{error}");
            let shown = vrrpx(&path, &["maintenance", "show", "VI_1"]);
            assert_eq!(String::from_utf8(shown.stdout).unwrap(), format!("{line}\n"));
            assert_eq!(vrrpx(&path, &["maintenance", "show", "VI_l"]).status.code(), Some(2));
            assert!(control::status(&path).is_err(), "a document was made");
        });
        asked.await.unwrap();
        server.abort();
    });
}

/// Readers that wait together get one status, and an order is answered meanwhile.
#[test]
fn a_thousand_readers_delay_no_operator() {
    const READERS: usize = 1000;
    let folder = Folder::new();
    let (answers, slowest) = with_daemon(&folder, |path| {
        let socket = path.join("status.sock");
        // The kernel queues them, and more than fit are cut off.
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let socket = socket.clone();
                thread::Builder::new().stack_size(128 << 10).spawn(move || {
                    let mut client = BufReader::new(UnixStream::connect(&socket).ok()?);
                    client.get_mut().write_all(b"{\"command\":\"status\"}\n").ok()?;
                    let mut line = String::new();
                    client.read_line(&mut line).ok().filter(|length| *length > 0)?;
                    Some(line)
                })
            })
            .map(Result::unwrap)
            .collect();
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let asked = clock::now();
            control::status(path).unwrap();
            slowest = slowest.max(clock::now().since(asked));
        }
        let answers: Vec<String> = readers.into_iter().filter_map(|it| it.join().unwrap()).collect();
        (answers, slowest)
    });
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    assert!(answers.iter().all(|line| line.starts_with("{\"status\":")), "a part of an answer");
    let mut different = answers.clone();
    different.sort_unstable();
    different.dedup();
    assert!(answers.len() >= 128, "{} answers", answers.len());
    assert!(different.len() * 2 < answers.len(), "{} of {} are different", different.len(), answers.len());
}

#[test]
fn a_status_of_the_readers_socket_is_made_after_it_is_asked_for() {
    let folder = Folder::new();
    with_daemon(&folder, |path| {
        let mut reader = control::StatusReader::connect(path).unwrap();
        let uptimes: Vec<f64> = (0..5).map(|_| reader.read().unwrap().status.node.uptime_seconds).collect();
        assert!(uptimes.is_sorted() && uptimes.windows(2).all(|two| two[0] < two[1]), "{uptimes:?}");
    });
}
