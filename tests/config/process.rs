//! Settings of the process from the keywords.

use std::time::Duration;

use vrrp_user::config::{ProcessSettings, parse};

fn settings(globals: &str) -> (ProcessSettings, Vec<String>) {
    let loaded = parse("t", &format!("global_defs {{\n{globals}\n}}\n")).unwrap();
    let findings = loaded.diagnostics.iter().map(|finding| finding.message.clone());
    let findings = findings.filter(|finding| !finding.starts_with("there is no vrrp_instance"));
    (loaded.config.globals.process, findings.collect())
}

#[test]
fn every_keyword_reaches_its_setting() {
    let (process, findings) = settings(
        "vrrp_rt_priority 60\nvrrp_rlimit_rttime 20000\nvrrp_priority -5\nvrrp_cpu_affinity 0 2\nvrrp_process_name web\numask 0177\n\
         set_supplementary_groups\nstartup_script \"/bin/first now\" one\nstartup_script_timeout 20\n\
         shutdown_script /bin/last\nreload_file",
    );
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!((process.realtime, process.nice, process.cpus), (Some(60), Some(-5), vec![0, 2]));
    assert_eq!(process.unbroken, Some(Duration::from_millis(20)));
    assert_eq!((process.name.as_deref(), process.umask), (Some("web"), Some(0o177)));
    assert!(process.supplementary_groups);
    let startup = process.startup.unwrap();
    assert_eq!((&*startup.command.user.unwrap().name, startup.limit), ("one", Duration::from_secs(20)));
    assert_eq!(process.shutdown.unwrap().limit, Duration::from_secs(10));
    assert_eq!(process.reload_file.as_deref(), Some("/run/keepalived.reload"));
}

#[test]
fn a_daemon_among_several_has_files_of_its_own() {
    let of = |text: &str| parse("t", text).unwrap().config.globals.process;
    let named = of("instance blue\nglobal_defs {\n data_use_instance\n}\n");
    assert_eq!(
        (named.instance.as_deref(), named.pid_folder, named.dumps_by_instance),
        (Some("blue"), true, true)
    );
    let plain = of("use_pid_dir\nchild_wait_time 3\n");
    assert_eq!((plain.instance, plain.pid_folder, plain.dumps_by_instance), (None, true, false));
    assert!(parse("t", "instance a/b\n").is_err());
}

#[test]
fn the_nearest_name_counts() {
    for (globals, expected) in [
        ("", None),
        ("process_names", Some("keepalived_vrrp")),
        ("process_names\nprocess_name one", Some("one")),
        ("vrrp_process_name two\nprocess_name one", Some("two")),
    ] {
        assert_eq!(settings(globals).0.name.as_deref(), expected, "{globals}");
    }
}

#[test]
fn defaults_cause_no_finding_and_unsupported_keywords_do() {
    let (_, findings) = settings("vrrp_no_swap\nmax_auto_priority 99\nuse_symlink_paths off");
    assert_eq!(findings, Vec::<String>::new());
    let (_, findings) = settings("bfd_rlimit_rttime 10000");
    assert_eq!(findings, ["`bfd_rlimit_rttime` has no effect: there is no BFD"]);
    for line in ["vrrp_rt_priority 0", "vrrp_cpu_affinity x", "umask 01000", "reload_file here"] {
        assert!(parse("t", &format!("global_defs {{\n{line}\n}}\n")).is_err(), "{line}");
    }
}
