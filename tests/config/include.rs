//! Included files.

use std::path::{Path, PathBuf};

use vrrp_user::config::{self, Diagnostic, Instance, Reader, Severity};

#[test]
fn patterns_are_relative_to_the_file_that_includes() {
    let files = Files::new("[patterns]");
    files.write("main.conf", "include conf.d/*.conf\ninclude {b,c}.conf\n");
    files.write("conf.d/one.conf", &instance("one", 1));
    files.write("conf.d/two.conf", "include ../deep.conf\n");
    files.write("conf.d/ignored.txt", &instance("ignored", 9));
    files.write("deep.conf", &instance("deep", 2));
    files.write("b.conf", &instance("b", 3));
    files.write("c.conf", &instance("c", 4));
    let loaded = config::load(&files.path("main.conf")).unwrap();
    let names: Vec<&str> = loaded.config.instances.iter().map(|instance| &*instance.settings.name).collect();
    assert_eq!(names, ["one", "deep", "b", "c"]);
    assert_eq!(loaded.diagnostics, []);
}

#[test]
fn a_block_may_be_continued_in_an_included_file() {
    let files = Files::new("inside");
    files.write("main.conf", "vrrp_instance a {\n  interface eth0\n  include rest.conf\n}\n");
    files.write("rest.conf", "virtual_router_id 7\nvirtual_ipaddress { 192.0.2.7/24 }\n");
    let loaded = config::load(&files.path("main.conf")).unwrap();
    assert_eq!(loaded.config.instances[0].settings.vrid.number(), 7);
}

#[test]
fn findings_name_the_included_file() {
    let files = Files::new("places");
    files.write("main.conf", "include bad.conf\n");
    files.write("bad.conf", "\n  vrrp_instnace x { }\n");
    let findings = config::load(&files.path("main.conf")).unwrap_err();
    let bad = files.path("bad.conf").display().to_string();
    assert_eq!(
        shown(&findings),
        [format!(
            "{bad}:2:3: error: unknown block `vrrp_instnace` at the top level\nhelp: did you mean `vrrp_instance`?"
        )]
    );
}

#[test]
fn a_missing_file_is_a_warning_unless_it_is_required() {
    let files = Files::new("missing");
    files.write("main.conf", &format!("include nowhere.conf\n{}", instance("a", 1)));
    let loaded = config::load(&files.path("main.conf")).unwrap();
    assert_eq!(loaded.diagnostics.len(), 1);
    assert!(loaded.diagnostics[0].message.contains("`nowhere.conf` matches no file"));

    files.write("strict.conf", &format!("includea nowhere.conf\n{}", instance("a", 1)));
    assert_eq!(config::load(&files.path("strict.conf")).unwrap_err()[0].severity, Severity::Error);
}

#[test]
fn each_strict_form_of_include_requires_what_its_letter_means() {
    let files = Files::new("strict");
    files.write("there.conf", "");
    std::fs::create_dir_all(files.path("folder.conf")).unwrap();
    // The patterns that are errors; the others are warnings, or no finding.
    let patterns = ["plain", "none*.conf", "{there.conf,not}", "folder.conf", "there.conf"];
    let rows = [
        ("include", [false, false, false, false, false]),
        ("includer", [false, false, false, true, false]),
        ("includem", [true, false, false, true, false]),
        ("includew", [true, true, false, true, false]),
        ("includeb", [false, false, true, true, false]),
        ("includea", [true, true, true, true, false]),
    ];
    for (keyword, errors) in rows {
        for (pattern, is_error) in patterns.iter().zip(errors) {
            files.write("main.conf", &format!("{keyword} {pattern}\n{}", instance("a", 1)));
            let loaded = config::load(&files.path("main.conf"));
            assert_eq!(loaded.is_err(), is_error, "{keyword} {pattern}: {loaded:?}");
        }
    }
}

#[test]
fn include_check_applies_to_later_includes_of_its_file() {
    let files = Files::new("check");
    files.write("sets.conf", "global_defs { include_check }\n");
    let rows = [
        ("", false),
        ("include_check", true),
        ("include_check match", true),
        ("include_check readable", false),
        ("include_check wildcard_match brace_match", false),
        ("include_check\ninclude_check -match", false),
        ("include_check +match +brace_match", true),
    ];
    for (check, is_error) in rows {
        let text = format!("global_defs {{\n{check}\n}}\ninclude sets.conf\ninclude nowhere\n");
        files.write("main.conf", &(text + &instance("a", 1)));
        let loaded = config::load(&files.path("main.conf"));
        assert_eq!(loaded.is_err(), is_error, "{check}: {loaded:?}");
    }
    files.write("main.conf", "global_defs {\n  include_check match readible\n}\n");
    let findings = config::load(&files.path("main.conf")).unwrap_err();
    assert!(findings.iter().any(|found| (found.line, found.column) == (2, 23)), "{findings:?}");
}

#[test]
fn definitions_and_conditions_reach_into_included_files_and_out_of_them() {
    let files = Files::new("names");
    files.write("main.conf", "$ID=7\n@node1 include one.conf\n@node2 include two.conf\n$BODY\n}\n");
    files.write("one.conf", "$BODY= \\\nvirtual_ipaddress { 192.0.2.${ID}/24 ${MORE} } \\\ninclude d/${_INSTANCE}.conf\n$MORE=dev eth1\nvrrp_instance a {\nvirtual_router_id $ID\n");
    files.write("d/node1.conf", "notify ${_PWD}/hook\ninterface eth0\n");
    files.write("two.conf", "not read\n");
    let config = Reader::new(Some("node1")).load(&files.path("main.conf")).unwrap().config;
    let Instance { settings, notify, .. } = &config.instances[0];
    assert_eq!((settings.vrid.number(), &*settings.interface), (7, "eth0"));
    assert_eq!(settings.addresses.advertised[0].device.as_deref(), Some("eth1"));
    let hook = files.path("d/hook").display().to_string();
    assert!(format!("{notify:?}").contains(&hook), "{notify:?}");
}

#[test]
fn a_loop_is_an_error_where_it_closes() {
    let files = Files::new("loop");
    files.write("a.conf", "include b.conf\n");
    files.write("b.conf", "\ninclude a.conf\n");
    let findings = config::load(&files.path("a.conf")).unwrap_err();
    assert_eq!(findings[0].line, 2);
    assert!(findings[0].file.ends_with("b.conf"));
    assert!(findings[0].message.ends_with("a.conf` includes itself"));
}

#[test]
fn the_file_itself_must_be_readable() {
    let files = Files::new("unreadable");
    let findings = config::load(&files.path("nowhere.conf")).unwrap_err();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].severity, Severity::Unreadable);
}

#[test]
fn only_regular_files_are_read_and_none_is_waited_for() {
    let files = Files::new("kinds");
    std::fs::create_dir_all(&files.0).unwrap();
    let fifo = files.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let socket = files.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let help = "help: copy its contents to a regular file, and name that file";
    for (path, kind) in [(&*fifo, "a FIFO"), (&socket, "a socket"), (Path::new("/dev/zero"), "a device")] {
        let path = path.display();
        files.write("main.conf", &format!("\n  include {path}\n{}", instance("a", 1)));
        let main = files.path("main.conf");
        assert_eq!(
            shown(&config::load(&main).unwrap_err()),
            [format!(
                "{}:2:3: error: `{path}` cannot be read: it is {kind}, not a regular file\n{help}",
                main.display()
            )]
        );
        let findings = config::load(Path::new(&path.to_string())).unwrap_err();
        assert_eq!(findings[0].severity, Severity::Unreadable);
        assert_eq!(
            shown(&findings),
            [format!("{path}: error: the file cannot be read: it is {kind}, not a regular file\n{help}")]
        );
    }
    let findings = config::load(&files.0).unwrap_err();
    assert!(findings[0].message.ends_with("it is a directory, not a regular file"), "{findings:?}");
}

#[test]
fn a_file_that_is_too_long_is_refused() {
    let files = Files::new("long");
    files.write("main.conf", "");
    let file = std::fs::OpenOptions::new().write(true).open(files.path("main.conf")).unwrap();
    file.set_len((64 << 20) + 1).unwrap();
    let findings = config::load(&files.path("main.conf")).unwrap_err();
    assert_eq!(findings[0].severity, Severity::Unreadable);
    assert!(findings[0].message.ends_with("it is longer than 64 MiB"), "{findings:?}");
}

#[test]
fn a_text_without_a_file_opens_none() {
    let loaded = config::parse("text", &format!("include /etc/hostname\n{}", instance("a", 1))).unwrap();
    assert!(loaded.diagnostics[0].message.contains("is not included"));
}

fn instance(name: &str, vrid: u8) -> String {
    format!(
        "vrrp_instance {name} {{\n  interface eth0\n  virtual_router_id {vrid}\n  virtual_ipaddress {{ 192.0.2.{vrid}/24 }}\n}}\n"
    )
}

fn shown(findings: &[Diagnostic]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// A directory, removed when dropped.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("vrrpx-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
