//! `vrrp_check`: each target, and refused targets.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_user::config::{
    CheckTarget, Containers, Damping, DnsTarget, DockerTarget, FileTarget, HaproxyTarget, HoldSettings, Host,
    HttpTarget, Matching, ProcessTarget, Processes, ScriptCommand, parse,
};
use vrrp_user::protocol::TrackedObject;

fn file(body: &str) -> String {
    format!(
        "vrrp_check c {{\n{body}\n}}\nvrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\n\
        virtual_ipaddress {{ 192.0.2.1/24 }}\ntrack_check {{ c weight -5 }}\n}}\n"
    )
}

#[test]
fn every_target_is_read() {
    let http = HttpTarget {
        url: "http://localhost/".into(),
        method: "GET".into(),
        headers: vec![],
        status: 200..=399,
        body: None,
        verify_tls: true,
    };
    let docker =
        |containers| CheckTarget::Docker(DockerTarget { socket: "/var/run/docker.sock".into(), containers });
    let haproxy = |backend| CheckTarget::Haproxy(HaproxyTarget { socket: "/run/h.sock".into(), backend });
    let server: IpAddr = "192.0.2.53".parse().unwrap();
    let dns = |server| CheckTarget::Dns(DnsTarget { name: "example.org".into(), server });
    let rows = [
        ("tcp 192.0.2.1:80", CheckTarget::Tcp("192.0.2.1:80".parse().unwrap())),
        ("tcp [2001:db8::1]:443", CheckTarget::Tcp("[2001:db8::1]:443".parse().unwrap())),
        ("unix /run/x.sock", CheckTarget::Unix("/run/x.sock".into())),
        ("http http://localhost/", CheckTarget::Http(http.clone())),
        (
            "status 204\nheader \"Host: example.org\"\nheader \"X-A:b:c\"\nhttp http://localhost/\nmethod HEAD\n\
            body \"all well\"\ntls_verify off",
            CheckTarget::Http(HttpTarget {
                method: "HEAD".into(),
                headers: vec![("Host".into(), "example.org".into()), ("X-A".into(), "b:c".into())],
                status: 204..=204,
                body: Some("all well".into()),
                verify_tls: false,
                ..http
            }),
        ),
        ("haproxy /run/h.sock", haproxy(None)),
        ("haproxy /run/h.sock app", haproxy(Some(("app".into(), 1)))),
        ("haproxy /run/h.sock app 2", haproxy(Some(("app".into(), 2)))),
        ("docker web db", docker(Containers::Named(vec!["web".into(), "db".into()]))),
        ("docker label app=shop", docker(Containers::Labelled("app=shop".into()))),
        (
            "docker_socket /run/d.sock\ndocker web",
            CheckTarget::Docker(DockerTarget {
                socket: "/run/d.sock".into(),
                containers: Containers::Named(vec!["web".into()]),
            }),
        ),
        (
            "docker web\ndocker_socket unix:///run/d.sock",
            CheckTarget::Docker(DockerTarget {
                socket: "/run/d.sock".into(),
                containers: Containers::Named(vec!["web".into()]),
            }),
        ),
        ("systemd nginx", CheckTarget::Systemd("nginx.service".into())),
        ("systemd nginx.socket", CheckTarget::Systemd("nginx.socket".into())),
        ("dns example.org", dns(None)),
        ("dns example.org 192.0.2.53", dns(Some((server, 53)))),
        ("dns example.org 192.0.2.53:5353", dns(Some((server, 5353)))),
        ("ping 192.0.2.9", CheckTarget::Ping(Host::Address("192.0.2.9".parse().unwrap()))),
        ("ping gate.example.org", CheckTarget::Ping(Host::Name("gate.example.org".into()))),
        (
            "exec /bin/test -e \"/run/a b\"",
            CheckTarget::Command(ScriptCommand::Direct(
                ["/bin/test", "-e", "/run/a b"].map(Into::into).to_vec(),
            )),
        ),
    ];
    for (body, expected) in rows {
        let loaded = parse("t", &file(body)).unwrap_or_else(|findings| panic!("{body}: {findings:?}"));
        assert_eq!(loaded.config.checks[0].target, expected, "{body}");
        assert_eq!(loaded.diagnostics, [], "{body}");
        assert_eq!(loaded.config.instances[0].settings.tracks[0].weight.0, -5);
    }
}

/// A block, and an instance that tracks it.
fn tracking(block: &str, keyword: &str) -> String {
    format!(
        "{block}\nvrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\n\
        virtual_ipaddress {{ 192.0.2.1/24 }}\n{keyword} {{ c }}\n}}\n"
    )
}

#[test]
fn processes_and_files_are_read() {
    let process = |which| ProcessTarget {
        which,
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    };
    let called = |arguments: &[&str], matching| Processes::Called {
        program: "/usr/sbin/nginx".into(),
        arguments: arguments.iter().map(|&word| word.into()).collect(),
        matching,
    };
    let rows = [
        ("process nginx", process(Processes::Named("nginx".into()))),
        ("process /usr/sbin/nginx -g x", process(called(&["-g", "x"], Matching::Exact))),
        ("process \"/usr/sbin/nginx -g x\"", process(called(&["-g", "x"], Matching::Exact))),
        ("full_command\nprocess /usr/sbin/nginx", process(called(&[], Matching::Exact))),
        ("process /usr/sbin/nginx -g\nparam_match initial", process(called(&["-g"], Matching::Initial))),
        ("param_match partial\nprocess /usr/sbin/nginx -g", process(called(&["-g"], Matching::Partial))),
        (
            "process nginx\nquorum 2\nquorum_max 4\ndelay 0.5\nterminate_delay 2",
            ProcessTarget {
                quorum: 2,
                quorum_max: Some(4),
                fork_delay: Duration::from_millis(500),
                terminate_delay: Duration::from_secs(2),
                ..process(Processes::Named("nginx".into()))
            },
        ),
    ];
    for (body, expected) in rows {
        let text = tracking(&format!("vrrp_track_process c {{\n{body}\nweight -7\n}}"), "track_process");
        let loaded = parse("t", &text).unwrap_or_else(|findings| panic!("{body}: {findings:?}"));
        assert_eq!(loaded.config.checks[0].target, CheckTarget::Process(expected), "{body}");
        assert_eq!(loaded.diagnostics, [], "{body}");
        let track = &loaded.config.instances[0].settings.tracks[0];
        assert_eq!((&track.object, track.weight.0), (&TrackedObject::Process("c".into()), -7));
    }
    let files = [
        ("", None, 1),
        ("init_file", Some((0, false)), 1),
        ("init_file 5 overwrite\nweight 254", Some((5, true)), 254),
    ];
    for (body, initial, weight) in files {
        let text = tracking(&format!("track_file c {{\nfile /run/number\n{body}\n}}"), "track_file");
        let loaded = parse("t", &text).unwrap_or_else(|findings| panic!("{body}: {findings:?}"));
        let expected = CheckTarget::File(FileTarget { path: "/run/number".into(), initial });
        assert_eq!(loaded.config.checks[0].target, expected, "{body}");
        let track = &loaded.config.instances[0].settings.tracks[0];
        assert_eq!((&track.object, track.weight.0), (&TrackedObject::File("c".into()), weight));
    }
    let unknown = parse("t", &tracking("track_file c {\nfile /run/number\n}", "track_process")).unwrap_err();
    assert!(unknown.iter().any(|found| found.message == "there is no vrrp_track_process `c`"), "{unknown:?}");
}

#[test]
fn hold_settings_are_read_in_each_kind_of_block() {
    let seconds = Duration::from_secs;
    let damping = |changes, within, quiet| Some(Damping { changes, within, quiet });
    let rows = [
        ("", HoldSettings::default()),
        ("min_hold 2.5", HoldSettings { least: Duration::from_millis(2500), damping: None }),
        (
            "damping 5 60",
            HoldSettings { damping: damping(5, seconds(60), seconds(60)), ..Default::default() },
        ),
        (
            "damping 2 10 hold 300\nmin_hold 1",
            HoldSettings { least: seconds(1), damping: damping(2, seconds(10), seconds(300)) },
        ),
    ];
    let blocks = [
        ("vrrp_check", "unix /run/x", "track_check"),
        ("vrrp_script", "script /bin/true", "track_script"),
        ("vrrp_track_process", "process nginx", "track_process"),
    ];
    for ((body, hold), (block, target, keyword)) in
        rows.iter().flat_map(|row| blocks.map(|block| (row, block)))
    {
        let text = tracking(&format!("{block} c {{\n{target}\n{body}\n}}"), keyword);
        let loaded = parse("t", &text).unwrap_or_else(|findings| panic!("{body}: {findings:?}"));
        assert_eq!(
            (loaded.config.checks[0].hold, &loaded.diagnostics[..]),
            (*hold, &[][..]),
            "{block}: {body}"
        );
    }
}

#[test]
fn impossible_targets_are_refused_with_their_place() {
    let rows = [
        ("tcp localhost", (2, 5), "`tcp` needs HOST:PORT, not `localhost`"),
        ("tcp 2001:db8::1:80", (2, 5), "`tcp` needs HOST:PORT, not `2001:db8::1:80`"),
        ("unix run/x.sock", (2, 6), "`unix` needs an absolute path, not `run/x.sock`"),
        ("http localhost", (2, 6), "`http` needs a URL, not `localhost`"),
        ("http http://", (2, 6), "`http` needs a URL, not `http://`"),
        ("http http://a/\nmethod \"GET /\"", (3, 8), "`GET /` is not an HTTP method"),
        ("http http://a/\nheader X", (3, 8), "`header` needs NAME: VALUE, not `X`"),
        ("http http://a/\nheader \"X Y: z\"", (3, 8), "`header` needs NAME: VALUE, not `X Y: z`"),
        ("http http://a/\nstatus 20", (3, 8), "`status` is a code or a range from 100 to 599, not `20`"),
        (
            "http http://a/\nstatus 300-200",
            (3, 8),
            "`status` is a code or a range from 100 to 599, not `300-200`",
        ),
        ("tcp a:1\nbody x", (3, 6), "`body` belongs to `http`, which this check does not have"),
        (
            "tcp a:1\ndocker_socket /x",
            (3, 15),
            "`docker_socket` belongs to `docker`, which this check does not have",
        ),
        ("tcp a:1\nunix /x", (3, 1), "a check has one target; `unix` is a second one"),
        ("haproxy /x app many", (2, 16), "`many` is not a number of servers"),
        ("docker", (2, 1), "`docker` needs container names, or `label KEY=VALUE`"),
        ("dns 192.0.2.1", (2, 5), "`192.0.2.1` is not a host name"),
        ("dns a.example.org ns.example.org", (2, 19), "`ns.example.org` is not the address of a DNS server"),
        ("ping \"a b\"", (2, 6), "`ping` needs a host, not `a b`"),
        ("exec test", (2, 6), "`exec` needs an absolute path, not `test`"),
        ("unix /x\ndamping 5", (3, 1), "`damping` needs a number of changes and a time"),
        ("unix /x\ndamping 1 60", (3, 9), "`damping` takes 2 to 100 changes, not `1`"),
        (
            "unix /x\ndamping 2 0",
            (3, 11),
            "`damping` is a number of seconds from 0.000000001 to 4294, not `0`",
        ),
        ("unix /x\ndamping 2 9 hole 3", (3, 13), "unknown option `hole` of `damping`"),
        ("min_hold 3\nfile /x", (2, 10), "`min_hold` has no effect with `file`: its number counts as it is"),
        ("script /bin/true", (2, 1), "unknown keyword `script` in vrrp_check"),
        ("interval 1", (1, 12), "vrrp_check `c` has no target"),
    ];
    for (body, place, message) in rows {
        let findings = parse("t", &file(body)).unwrap_err();
        let found = findings.first().unwrap();
        assert_eq!((found.line, found.column), place, "{body}: {findings:?}");
        assert_eq!(found.message, message, "{body}");
    }
}

#[test]
fn a_quorum_max_of_0_forbids_the_process() {
    let text = file("process nginx\nquorum_max 0");
    let config = parse("t", &text).unwrap().config;
    let CheckTarget::Process(target) = &config.checks[0].target else { panic!("{:?}", config.checks) };
    assert_eq!((target.quorum, target.quorum_max), (0, Some(0)));
}

/// Without a weight, it decides whether the instance is in Fault.
#[test]
fn a_reversed_file_fails_while_it_holds_0() {
    let text = file("file /run/ready").replace("weight -5", "weight 0 reverse");
    let config = parse("t", &text).unwrap().config;
    let track = &config.instances[0].settings.tracks[0];
    assert_eq!([0, 1, -1].map(|number| track.fails(number)), [true, false, false]);
}

#[test]
fn checks_that_a_group_ignores_are_dropped() {
    let group = "vrrp_sync_group G {\ngroup { a }\n}\n";
    let text = format!("{}{group}", file("tcp 192.0.2.1:80"));
    assert_eq!(parse("t", &text).unwrap().config.checks, []);
}
