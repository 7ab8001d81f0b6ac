//! FIFO lines over failovers, byte for byte.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use vrrp_tests::clock::until;
use vrrp_tests::lab::Lab;
use vrrp_tests::needs;
use vrrp_tests::process::Directory;

use super::{BOTH, Program, SOON};

/// The reading end of a FIFO that existed before the daemon.
struct Reader {
    file: File,
    text: String,
}

impl Reader {
    fn new(path: &Path) -> Result<Self> {
        mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(Self { file, text: String::new() })
    }

    /// Text so far, without `MASTER_RX_LOWER_PRI`: it depends on milliseconds whether the lower master is heard.
    fn text(&mut self) -> String {
        let mut bytes = Vec::new();
        // Nothing more to read, or no writer.
        let _empty = self.file.read_to_end(&mut bytes);
        self.text.push_str(&String::from_utf8_lossy(&bytes));
        let lines = self.text.split_inclusive('\n');
        lines.filter(|line| !line.contains("MASTER_RX_LOWER_PRI")).collect()
    }

    fn wait_for(&mut self, end: &str) -> Result<()> {
        let waited = until(&format!("{end:?}"), SOON, || self.text().ends_with(end));
        waited.with_context(|| format!("read: {:?}", self.text))
    }
}

/// Instance or group with priority 200 and 100; `bad` lowers it by 150.
fn config(priority: u8, fifo: &Path, bad: &Path, grouped: bool) -> String {
    let instance = |vrid: u8| {
        format!(
            "vrrp_instance VI_{vrid} {{
    interface lan0
    version 3
    virtual_router_id {vrid}
    priority {priority}
    advert_int 0.1
    track_script {{
        chk
    }}
    virtual_ipaddress {{
        10.77.0.{vrid}/24
    }}
}}
"
        )
    };
    let (second, group) = if grouped {
        let group = "vrrp_sync_group G1 {\n    group {\n        VI_51\n        VI_52\n    }\n    sync_group_tracking_weight\n}\n";
        (instance(52), group)
    } else {
        (String::new(), "")
    };
    format!(
        "global_defs {{
    router_id lab
    script_user root
    enable_script_security
    vrrp_notify_fifo {}
    vrrp_notify_priority_changes on
}}
vrrp_script chk {{
    script \"/usr/bin/test ! -e {}\"
    interval 1
    weight -150
}}
{group}{}{second}",
        fifo.display(),
        bad.display(),
        instance(51),
    )
}

/// FIFO output of the node of higher priority from its start to its end, over a check that fails and recovers, and a
/// cable that is pulled and plugged in. The other node is always keepalived.
fn reported_by(program: Program, grouped: bool) -> Result<String> {
    let folder = Directory::private()?;
    let path = |name: &str| folder.path().join(name);
    let lab = Lab::new(2)?;
    let (node, peer) = (lab.nodes.first().context("no node")?, lab.nodes.get(1).context("no peer")?);
    let mut reader = Reader::new(&path("reported"))?;
    let (subject, whole) = if grouped { ("GROUP \"G1\"", 0) } else { ("INSTANCE \"VI_51\"", 200) };
    let line =
        |state: &str, priority: u8| format!("{subject} {state} {}\n", if grouped { 0 } else { priority });
    let _peer = Program::Theirs.start(peer, &config(100, &path("peer"), &path("never"), grouped))?;
    let mut started = program.start(node, &config(200, &path("reported"), &path("bad"), grouped))?;
    let scenario = |reader: &mut Reader| -> Result<()> {
        reader.wait_for(&line("MASTER", whole))?;
        fs::write(path("bad"), "")?;
        reader.wait_for(&line("BACKUP", 50))?;
        fs::remove_file(path("bad"))?;
        reader.wait_for(&line("MASTER", whole))?;
        lab.set_cable(0, false)?;
        reader.wait_for(&line("FAULT", whole))?;
        lab.set_cable(0, true)?;
        reader.wait_for(&line("MASTER", whole))
    };
    scenario(&mut reader).with_context(|| started.log())?;
    started.stop()?;
    Ok(reader.text())
}

#[test]
#[needs("lab", "keepalived")]
fn an_instance_writes_the_same_bytes() -> Result<()> {
    let [ours, theirs] =
        BOTH.map(|program| reported_by(program, false).with_context(|| format!("{program:?}")));
    let (ours, theirs) = (ours?, theirs?);
    ensure!(theirs.lines().count() == 10, "keepalived writes:\n{theirs}");
    ensure!(ours == theirs, "ours:\n{ours}\nkeepalived's:\n{theirs}");
    Ok(())
}

/// In keepalived the order of the lines of a group and its members varies from case to case.
#[test]
#[needs("lab", "keepalived")]
fn a_group_and_its_members_write_the_same_lines_each() -> Result<()> {
    let [ours, theirs] =
        BOTH.map(|program| reported_by(program, true).with_context(|| format!("{program:?}")));
    let (ours, theirs) = (ours?, theirs?);
    ensure!(each(&ours) == each(&theirs), "ours:\n{ours}\nkeepalived's:\n{theirs}");
    Ok(())
}

/// Lines by their subject.
fn each(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut each: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in text.lines() {
        each.entry(line.split('"').nth(1).unwrap_or_default()).or_default().push(line);
    }
    each
}
