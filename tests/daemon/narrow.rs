//! Screens on a narrow terminal, with names and reasons of wide and combining characters.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use vrrp_user::config::{explain_text, folded, parse, width};
use vrrp_user::daemon::status::{Status, View, overview, table_at};

use crate::setup::filled;

/// A status with names of several scripts, and a problem.
fn status() -> Status {
    let mut status = Arc::clone(&filled()).status();
    status.node.router_id = "Zu\u{308}rich-1".to_owned();
    (status.node.version, status.node.pid, status.node.uptime_seconds) = ("0.1.0".to_owned(), 7, 124.0);
    "2026-11-29T07:06:00.000Z".clone_into(&mut status.configuration.loaded);
    status.instances[0].history[0].at = "2026-11-29T07:06:34.000Z".to_owned();
    status.fence.guard = Some(8);
    for (instance, name) in status.instances.iter_mut().zip(["数据库主机", "Zu\u{308}rich"]) {
        name.clone_into(&mut instance.name);
        instance.since_seconds = Some(90.0);
        instance.peers.iter_mut().for_each(|peer| peer.last_advert_seconds = 0.065);
    }
    status.checks[0].name = "检查数据库".to_owned();
    status.checks[0].up = Some(false);
    status.checks[0].output = Some("数据库系统正在启动，请稍后再试，连接被拒绝，没有可用的副本".to_owned());
    status
}

/// Compares with the screen of this name.
fn is(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("daemon/narrow/{name}.txt"));
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{name} differs; UPDATE_EXPECTED=1 rewrites it:\n{text}");
}

fn fits(text: &str, columns: usize) {
    let wide: Vec<&str> = text.lines().filter(|line| width(line) > columns).collect();
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn a_status_fits_in_40_columns() {
    let of = |columns| overview(&status(), View { width: columns, ..View::default() });
    for columns in [40, 60, 80] {
        fits(&of(columns), columns);
        is(&format!("status-{columns}"), &of(columns));
    }
    let text = table_at(&status(), 40);
    fits(&text, 40);
    is("table-40", &text);
}

/// A name that is longer than its column has a line of its own.
#[test]
fn a_status_cuts_no_name() {
    let mut status = status();
    let names = ["production-frontend-a-ipv4", "production-frontend-a-ipv6"];
    for (instance, name) in status.instances.iter_mut().zip(names) {
        name.clone_into(&mut instance.name);
    }
    for columns in [40, 80, 100, 200] {
        let text = overview(&status, View { width: columns, ..View::default() });
        assert!(names.iter().all(|name| text.lines().any(|line| line == *name)), "{text}");
        fits(&text, columns);
    }
}

#[test]
fn columns_stand_below_each_other_whatever_the_names() {
    let text = overview(&status(), View::default());
    let place = |line: &str, word: &str| line.find(word).map(|at| width(&line[..at]));
    let head = text.lines().find(|line| line.starts_with("INSTANCE")).unwrap();
    let state = place(head, "STATE").unwrap();
    for (name, word) in [("数据库主机", "BACKUP"), ("Zu\u{308}rich ", "INIT")] {
        let row = text.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(place(row, word), Some(state), "{text}");
    }
}

#[test]
fn an_explanation_has_columns_and_fits() {
    let file = "vrrp_script 检查数据库 {\nscript /bin/true\nweight -20\n}\nvrrp_instance 数据库 {\ninterface eth0\n\
                virtual_router_id 51\npriority 110\ntrack_script {\n检查数据库\n}\nvirtual_ipaddress {\n192.0.2.80/24\n}\n}\n";
    let loaded = parse("t", file).unwrap();
    let text = explain_text(&loaded.explain(vrrp_user::config::Surroundings::default()), false);
    is("explain", &text);
    let narrow = folded(40, &text);
    fits(&narrow, 40);
    is("explain-40", &narrow);
}
