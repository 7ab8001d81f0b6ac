//! The command line of the built binary: exit codes, and one clear line for each mistake.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use vrrp_tests::needs;

use crate::setup::Folder;

/// The binary in this test's build directory, built first.
pub(crate) fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "vrrp-user", "--bin", "vrrpx"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success());
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(2).unwrap().join("vrrpx")
    })
}

fn vrrpx(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).env_remove("VRRPX_LOG").output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn wrong_use_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["fly"],
        &["run", "--xdp-mode", "fast"],
        &["run", "--metrics", "localhost"],
        &["run", "--log", "x=y=z"],
        &["log", "loud"],
        &["priority", "web", "reset", "--for", "10s"],
    ] {
        let output = vrrpx(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    let by_its_other_name = stderr(&vrrpx(&["run", "--http", "localhost"]));
    assert!(by_its_other_name.contains("invalid value 'localhost' for '--metrics"), "{by_its_other_name}");
    assert!(
        stderr(&vrrpx(&["run", "--xdp-mode", "fast"]))
            .contains("use auto, native, tcx, tc, generic or socket")
    );
}

/// What to write instead stands in the error.
#[test]
fn a_wrong_value_is_answered_by_a_right_one() {
    for (arguments, answer) in [
        (
            &["run", "--metrics", "9112"][..],
            "`9112` is not ADDR:PORT: write an address and a port, as 127.0.0.1:9112",
        ),
        (&["run", "--metrics", "localhost:9112"], "as 127.0.0.1:9112 or [::1]:9112"),
        (&["priority", "web", "0"], "`0` is no priority; write 1 to 254, or reset"),
        (&["priority", "web", "255"], "`255` is no priority; write 1 to 254, or reset"),
        (&["maintenance", "on", "web", "--for", "3"], "`3` is no time; write it as 90s, 30m, 1h30m or 2d"),
    ] {
        let output = vrrpx(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(answer), "{arguments:?}: {}", stderr(&output));
    }
    let output = vrrpx(&["detect", "none0", "--for", "1s"]);
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(1), "vrrpx: there is no interface none0\n")
    );
}

#[test]
fn help_and_version_go_to_stdout() {
    let version = vrrpx(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), format!("vrrpx {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(vrrpx(&["run", "--help"]).status.code(), Some(0));
}

#[test]
fn a_status_without_a_daemon_is_one_line_and_exit_code_1() {
    let folder = Folder::new();
    let output = vrrpx(&["status", "--runtime-dir", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        format!(
            "vrrpx: no vrrpx runs with runtime directory {}; start it, or name its --runtime-dir\n",
            folder.path().display()
        )
    );
}

#[test]
fn a_missing_file_is_exit_code_3_and_a_wrong_one_4() {
    let folder = Folder::new();
    let file = folder.file("vrrpx.conf");
    let path = file.to_str().unwrap();
    for arguments in [&["check", path][..], &["run", "--config", path]] {
        let output = vrrpx(arguments);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stderr(&output).contains(path), "{}", stderr(&output));
    }
    std::fs::write(&file, "vrrp_instance VI_1 {\n    prioirty 100\n}\n").unwrap();
    for arguments in [&["check", path][..], &["run", "--config", path]] {
        let output = vrrpx(arguments);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(stderr(&output).contains("vrrpx.conf:"), "{}", stderr(&output));
    }
}

/// For editors and pipelines: the same findings and codes.
#[test]
fn findings_are_json_too() {
    let folder = Folder::new();
    let file = folder.file("vrrpx.conf");
    let path = file.to_str().unwrap();
    let found = |text: Option<&str>, more: &[&str], code: i32| -> Value {
        text.into_iter().for_each(|text| std::fs::write(&file, text).unwrap());
        let output = vrrpx(&[&["check", "--json", path], more].concat());
        assert_eq!((output.status.code(), stderr(&output)), (Some(code), String::new()));
        let answer = String::from_utf8(output.stdout).unwrap();
        assert_eq!(answer.lines().count(), 1, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((&answer["file"], &answer["ok"]), (&json!(path), &json!(code == 0)));
        answer
    };
    let missing = &found(None, &[], 3)["findings"][0];
    assert_eq!((&missing["level"], &missing["line"]), (&json!("error"), &Value::Null));

    let text = "vrrp_instance VI_1 {\n    interface none9\n    virtual_router_id 51\n    prioirty 100\n    \
                virtual_ipaddress {\n        192.0.2.1/24\n    }\n}\n";
    let wrong = &found(Some(text), &[], 4)["findings"][0];
    assert_eq!((&wrong["file"], &wrong["line"], &wrong["column"]), (&json!(path), &json!(4), &json!(5)));
    assert_eq!(wrong["level"], "error");
    assert!(wrong["text"].as_str().unwrap().contains("prioirty"), "{wrong}");
    assert!(wrong["help"].as_str().unwrap().contains("priority"), "{wrong}");
    let tolerated = found(None, &["--keepalived"], 5);
    assert!(
        tolerated["findings"].as_array().unwrap().iter().any(|it| it["level"] == "left_out"),
        "{tolerated}"
    );

    let good = found(Some(&text.replace("prioirty", "priority")), &[], 0);
    assert_eq!(good["instances"], 1);
    let of_host = |answer: &Value, level: &str| {
        let all = answer["findings"].as_array().unwrap().clone();
        all.into_iter().any(|it| it["level"] == level && it["text"].as_str().unwrap().contains("none9"))
    };
    assert!(of_host(&good, "note"), "{good}");
    assert!(of_host(&found(None, &["--host"], 0), "warning"));
    assert!(of_host(&found(None, &["--host", "--strict"], 4), "warning"));
}

#[test]
fn a_good_file_is_exit_code_0() {
    let folder = Folder::new();
    let file = folder.file("vrrpx.conf");
    let text = "vrrp_instance VI_1 {\n    interface eth0\n    virtual_router_id 51\n    priority 100\n    \
                virtual_ipaddress {\n        192.0.2.1/24\n    }\n}\n";
    std::fs::write(&file, text).unwrap();
    let output = vrrpx(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn check_reports_ignored_lines_by_severity() {
    let folder = Folder::new();
    let check = |text: &str, options: &[&str]| {
        let file = folder.file("k.conf");
        std::fs::write(&file, text).unwrap();
        let output = vrrpx(&[&["check"], options, &[file.to_str().unwrap()]].concat());
        (output.status.code(), stderr(&output))
    };
    let sound =
        "vrrp_instance a {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1\n}\n}\n";
    assert_eq!(check(sound, &[]).0, Some(0));
    assert_eq!(check(sound, &["--strict"]).0, Some(0));
    let lost = sound.replace("eth0", "eth0\ngarp_interval 2");
    assert_eq!(check(&lost, &[]).0, Some(4));
    let (code, text) = check(&lost, &["--keepalived"]);
    assert_eq!(code, Some(5), "{text}");
    assert!(
        text.contains("k.conf:3:1: left out: unknown keyword `garp_interval` in vrrp_instance"),
        "{text}"
    );
    assert_eq!(check(&lost, &["--keepalived", "--strict"]).0, Some(4));
    // Under keepalived's name, without `--keepalived`.
    let file = folder.file("k.conf");
    let test = vrrpx(&["keepalived", "-t", "-f", file.to_str().unwrap()]);
    assert_eq!(test.status.code(), Some(5), "{}", stderr(&test));
    let broken = sound.replace("virtual_router_id 1", "virtual_router_id");
    std::fs::write(&file, broken).unwrap();
    let test = vrrpx(&["keepalived", "-t", "-f", file.to_str().unwrap()]);
    assert_eq!(test.status.code(), Some(5), "{}", stderr(&test));
    let test = vrrpx(&["keepalived", "-t", "-f", folder.file("gone").to_str().unwrap()]);
    assert_eq!(test.status.code(), Some(2), "{}", stderr(&test));
}

#[test]
fn check_reports_mismatches_with_this_host() {
    let folder = Folder::new();
    let file = folder.file("k.conf");
    let text = "vrrp_script gone {\nscript /no/such/script\n}\nvrrp_instance a {\ninterface gone0\nvirtual_router_id 1\n\
                track_script {\ngone\n}\ntrack_interface {\ngone1\n}\nvirtual_ipaddress {\n192.0.2.1/24\n}\n}\n";
    std::fs::write(&file, text).unwrap();
    let output = vrrpx(&["check", "--strict", file.to_str().unwrap()]);
    let lines = [
        "vrrp_instance a: interface gone0 not found: the instance stays in FAULT until it appears",
        "track_interface: interface gone1 not found: it counts as down",
        "vrrp_script gone is disabled: /no/such/script: No such file or directory",
    ]
    .map(|line| format!("note: on this host: {line}\n"));
    assert_eq!(stderr(&output), lines.concat());
    assert_eq!(output.status.code(), Some(0), "the file may be for another host");
}

#[test]
fn findings_about_this_host_count_if_asked_for() {
    let folder = Folder::new();
    let file = folder.file("k.conf");
    let text =
        "vrrp_instance a {\ninterface gone0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1/24\n}\n}\n";
    std::fs::write(&file, text).unwrap();
    let check = |options: &[&str]| vrrpx(&[&["check"], options, &[file.to_str().unwrap()]].concat());
    let reported = check(&["--host"]);
    assert_eq!(reported.status.code(), Some(0));
    assert!(stderr(&reported).contains("warning: on this host: vrrp_instance a: interface gone0 not found"));
    assert_eq!(check(&["--host", "--strict"]).status.code(), Some(4));
}

#[test]
fn standard_input_is_checked_like_a_file() {
    let check = |text: &str| {
        let mut child = Command::new(binary())
            .args(["check", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let sound =
        "vrrp_instance a {\ninterface lo\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1/24\n}\n}\n";
    let output = check(sound);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "stdin: ok, 1 instance\n");
    let output = check(&sound.replace("interface", "intrface"));
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("stdin:2:1: error: unknown keyword `intrface`"), "{}", stderr(&output));
}

#[test]
fn findings_of_a_wrong_file_are_limited() {
    let folder = Folder::new();
    let file = folder.file("k.conf");
    std::fs::write(&file, "foo bar\n".repeat(400_000)).unwrap();
    let output = vrrpx(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).lines().count() <= 202, "{}", stderr(&output).lines().count());
}

#[test]
#[needs("script")]
fn a_finding_has_its_line_below_it_on_a_terminal() {
    let folder = Folder::new();
    let file = folder.file("k.conf");
    std::fs::write(&file, "vrrp_instance a {\n    intrface lo\n}\n").unwrap();
    let line = format!("{} check {}", binary().display(), file.display());
    let output =
        Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().replace('\r', "");
    let expected = format!(
        "{}:2:5: error: unknown keyword `intrface` in vrrp_instance\n  2 |     intrface lo\n    |     ^^^^^^^^\nhelp: did you mean `interface`?\n",
        file.display()
    );
    assert!(text.contains(&expected), "{text}");
    assert!(!stderr(&vrrpx(&["check", file.to_str().unwrap()])).contains('^'), "programs read lines");
}
