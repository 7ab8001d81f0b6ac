//! Scripts that cannot be run safely: they are removed from the configuration, with a warning.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use vrrp_user::config::{
    CheckSettings, CheckTarget, Config, Globals, NotifyCommand, NotifySettings, ScriptCommand, ScriptUser,
};
use vrrp_user::daemon::process::preflight;
use vrrp_user::protocol::{TrackId, TrackSettings, TrackedObject, Weight};

use crate::setup::{Folder, config, hook, instance, script};

fn tracking(scripts: Vec<CheckSettings>, notify: NotifySettings) -> Config {
    let mut tracker = instance("VI_1", 51, notify);
    let track = |id, object| TrackSettings { id, object, weight: Weight(0), reverse: false, initial: None };
    Arc::make_mut(&mut tracker.settings).tracks = scripts
        .iter()
        .map(|script| track(script.id, TrackedObject::Script("check".into())))
        .chain([track(TrackId(90), TrackedObject::Interface("eth1".into()))])
        .collect();
    config(vec![tracker], scripts)
}

/// The findings about the scripts of a configuration, as lines.
fn notices(config: &mut Config) -> Vec<String> {
    preflight::scripts(config).iter().map(ToString::to_string).collect()
}

fn user(name: &str) -> Option<ScriptUser> {
    Some(ScriptUser { name: name.into(), group: None })
}

#[test]
fn a_script_of_an_unknown_user_is_removed_with_its_tracks() {
    let unknown = CheckSettings { user: user("no such user"), ..script(1, "true") };
    let known = CheckSettings { user: user("nobody"), ..script(2, "true") };
    let mut config = tracking(vec![unknown, known], NotifySettings::default());
    let warnings = notices(&mut config);
    assert_eq!(warnings, ["vrrp_script check is disabled: there is no user `no such user`"]);
    let tracks: Vec<TrackId> = config.instances[0].settings.tracks.iter().map(|track| track.id).collect();
    assert_eq!(tracks, [TrackId(2), TrackId(90)]);
    assert_eq!(config.checks.len(), 1);
}

#[test]
fn script_security_keeps_root_from_scripts_that_others_may_change() {
    if !Uid::effective().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let folder = Folder::new();
    let path = folder.file("check.sh");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    let name = path.display().to_string();
    let check = |user| CheckSettings {
        target: CheckTarget::Command(ScriptCommand::Direct(vec![name.as_str().into()])),
        user,
        timeout: Duration::from_secs(1),
        ..script(1, "")
    };
    let secure = |scripts, notify| {
        let mut config = tracking(scripts, notify);
        config.globals = Globals { script_security: true, ..config.globals };
        let warnings = notices(&mut config);
        (config, warnings)
    };

    let command = ScriptCommand::Direct(vec![name.as_str().into(), "up".into()]);
    let master = Some(NotifyCommand { command, user: user("root") });
    let notify = NotifySettings { master, ..NotifySettings::default() };
    let (refused, warnings) = secure(vec![check(user("root"))], notify);
    assert!(refused.checks.is_empty() && refused.instances[0].notify.master.is_none());
    assert_eq!(refused.instances[0].settings.tracks.len(), 1);
    let why = format!("{name} is world-writable; chmod o-w {name}");
    assert_eq!(
        warnings,
        [
            format!("vrrp_script check is disabled: it runs as root and is not secure: {name}: {why}"),
            format!("notify_master of VI_1 is disabled: it runs as root and is not secure: {name}: {why}"),
        ]
    );

    let (kept, warnings) = secure(vec![check(user("nobody"))], NotifySettings::default());
    assert_eq!((kept.checks.len(), warnings.len()), (1, 0), "{warnings:?}");
}

/// Only an unprivileged user may run a command whose program cannot be checked.
#[test]
fn with_script_security_a_line_for_a_shell_is_not_run_as_root() {
    let line = "cd /open && ./p";
    let check = |name| CheckSettings {
        target: CheckTarget::Command(ScriptCommand::Shell(line.into())),
        user: user(name),
        ..script(1, "")
    };
    let mut config = tracking(vec![check("root")], NotifySettings::default());
    config.globals.script_security = true;
    let why =
        format!("`{line}` is a shell command line, which may run anything; configure a script file instead");
    let expected = format!("vrrp_script check is disabled: it runs as root and is not secure: {why}");
    assert_eq!(notices(&mut config), [expected]);
    let mut config = tracking(vec![check("nobody")], NotifySettings::default());
    config.globals.script_security = true;
    assert_eq!(notices(&mut config), [""; 0]);
}

#[test]
fn scripts_that_cannot_run_are_removed() {
    let folder = Folder::new();
    let path = folder.file("check.sh");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    let (name, gone) = (path.display().to_string(), folder.file("gone").display().to_string());
    let direct = |words: &[&str]| ScriptCommand::Direct(words.iter().map(|word| (*word).into()).collect());
    let check =
        |command, user| CheckSettings { target: CheckTarget::Command(command), user, ..script(1, "") };
    let rows = [
        (direct(&[&gone, "x"]), user("root"), Some(format!("{gone}: No such file or directory"))),
        (direct(&["no-such-program"]), user("root"), Some("no-such-program: not found in PATH".to_owned())),
        (direct(&[&name]), user("root"), None),
        (direct(&[&name]), user("nobody"), Some(format!("{name}: not executable for `nobody`"))),
        (ScriptCommand::Shell(format!("{gone} | true").into()), user("root"), None),
    ];
    for (command, user, expected) in rows {
        let notify = NotifySettings {
            any: Some(NotifyCommand { command: command.clone(), user: user.clone() }),
            ..NotifySettings::default()
        };
        let mut config = tracking(vec![check(command, user)], notify);
        let warnings = notices(&mut config);
        let both =
            |why| ["vrrp_script check", "notify of VI_1"].map(|what| format!("{what} is disabled: {why}"));
        assert_eq!(warnings, expected.clone().map(both).into_iter().flatten().collect::<Vec<_>>());
        assert_eq!(config.checks.is_empty(), expected.is_some());
        assert_eq!(config.instances[0].settings.tracks.len(), 2 - usize::from(expected.is_some()));
    }
}

#[test]
fn script_security_keeps_scripts_without_a_user_from_root() {
    if nix::unistd::User::from_name("keepalived_script").unwrap().is_some() {
        eprintln!("skipped: there is a user keepalived_script");
        return;
    }
    let notify = NotifySettings { any: hook("true"), ..NotifySettings::default() };
    let mut config = tracking(vec![script(1, "true")], notify);
    config.globals.script_security = true;
    let warnings = notices(&mut config.clone());
    let why = "is disabled: enable_script_security needs a user for it: there is neither `script_user` in global_defs \
               nor a user keepalived_script on this host";
    assert_eq!(warnings, [format!("vrrp_script check {why}"), format!("notify of VI_1 {why}")]);
    config.globals.script_user = user("nobody");
    assert_eq!(notices(&mut config), [""; 0]);
}

#[test]
fn scripts_run_as_root_for_lack_of_a_user_are_reported_once() {
    if !Uid::effective().is_root() || nix::unistd::User::from_name("keepalived_script").unwrap().is_some() {
        eprintln!("skipped: needs root, and no user keepalived_script");
        return;
    }
    let notify = NotifySettings { any: hook("true"), ..NotifySettings::default() };
    let warnings = notices(&mut tracking(vec![script(1, "true")], notify));
    assert_eq!(
        warnings,
        [
            "run as root because no user is given (script_user in global_defs): vrrp_script check, notify of VI_1"
        ]
    );
}
