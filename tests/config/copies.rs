//! Copies of configurations: the same settings at the same places, without the files.

use std::fs;

use vrrp_user::config::Reader;

#[test]
fn a_copy_means_what_its_files_meant() {
    let folder = std::env::temp_dir().join(format!("vrrpx-copies-{}", std::process::id()));
    fs::create_dir_all(folder.join("parts")).unwrap();
    let file = folder.join("vrrpx.conf");
    let text = "$PRIO=120\ninclude parts/*.conf\nvrrp_script odd {\n\
                script \"/bin/sh -c 'echo \\\"# !\\\"; exit 0'\" # a comment\n}\n";
    fs::write(&file, text).unwrap();
    for n in 1..=3 {
        let part = format!(
            "vrrp_instance V{n} {{\ninterface eth0\nvirtual_router_id {n}\nversion 2\npriority $PRIO\n\
             authentication {{\nauth_type PASS\nauth_pass \"a # b\"\n}}\ntrack_script {{\nodd\n}}\n\
             virtual_ipaddress {{\n192.0.2.{n}\n}}\n}}\n"
        );
        fs::write(folder.join(format!("parts/{n}.conf")), part).unwrap();
    }
    let reader = Reader::new(None).copying();
    let loaded = reader.load(&file).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(loaded.config.instances.len(), 3);
    assert_eq!(loaded.config.checks.len(), 1);
    let restored = reader.restore(&loaded.copy().unwrap()).unwrap();
    assert_eq!(restored.config, loaded.config);
    assert_eq!(restored.diagnostics, loaded.diagnostics);
    assert_eq!(loaded.changes_to(&restored), []);
    assert_eq!(restored.copy(), loaded.copy());
}

#[test]
fn a_damaged_copy_is_an_error() {
    let reader = Reader::new(None).copying();
    for copy in [
        "",
        "{}",
        r#"{"form":2,"files":[],"statements":[]}"#,
        r#"{"form":1,"files":[],"statements":[{"words":[["a","a",0,1,1,false]],"block":null}]}"#,
        r#"{"form":1,"files":["t"],"statements":[{"words":[],"block":null}]}"#,
        r#"{"form":1,"files":["t"],"statements":[{"words":[["nonsense","nonsense",0,1,1,false]],"block":null}]}"#,
    ] {
        assert!(reader.restore(copy).is_err(), "{copy}");
    }
}
