//! Signals, pid files and the background.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;
use vrrp_tests::clock::until;
use vrrp_tests::lab::Lab;
use vrrp_tests::needs;
use vrrp_tests::process::Directory;

use super::{BOTH, SOON, is_running, send, written_pid};

fn config(address: &str) -> String {
    format!(
        "global_defs {{\n    router_id lab\n}}\nvrrp_instance VI_1 {{\n    interface lan0\n    version 3\n    \
         virtual_router_id 51\n    priority 150\n    advert_int 0.1\n    virtual_ipaddress {{\n        \
         {address}/24\n    }}\n}}\n"
    )
}

#[test]
#[needs("lab", "keepalived")]
fn a_signal_reads_the_file_again_and_another_ends_the_daemon() -> Result<()> {
    for program in BOTH {
        let lab = Lab::new(1)?;
        let node = lab.nodes.first().context("no node")?;
        let mut started = program.start(node, &config("10.77.0.200"))?;
        let holds = |address: &str| lab.has_address(0, address).is_ok_and(|held| held);
        let scenario = |what: &str, done: &dyn Fn() -> bool| {
            until(what, SOON, done).with_context(|| format!("{program:?}"))
        };
        scenario("the first address", &|| holds("10.77.0.200"))?;
        let pid = started.pid()?;
        fs::write(started.path("keepalived.conf"), config("10.77.0.201"))?;
        started.signal(libc::SIGHUP)?;
        scenario("the second address alone", &|| holds("10.77.0.201") && !holds("10.77.0.200"))?;
        ensure!(started.pid()? == pid, "{program:?}: a reload changes the pid file");
        let vrrp = written_pid(&started.path("vrrp.pid"))?;
        ensure!(is_running(vrrp), "{program:?}: no process has the pid in the file of -r");
        // No reader of the pipe: the daemon must not end.
        started.signal(libc::SIGPIPE)?;
        ensure!(started.stop()? == Some(0), "{program:?}: {}", started.log());
        ensure!(!holds("10.77.0.201"), "{program:?} leaves its address");
        for file in ["parent.pid", "vrrp.pid"] {
            ensure!(!started.path(file).exists(), "{program:?} leaves {file}");
        }
    }
    Ok(())
}

/// A daemon in the background, killed by its pid when dropped.
struct Background(Pid);

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended.
        let _gone = send(self.0, libc::SIGKILL);
    }
}

#[test]
#[needs("lab", "keepalived")]
fn without_n_the_daemon_runs_in_the_background_with_its_pid_file() -> Result<()> {
    for program in BOTH {
        let lab = Lab::new(1)?;
        let node = lab.nodes.first().context("no node")?;
        let folder = Directory::private()?;
        let file = |name: &str| folder.path().join(name);
        let start = || -> Result<_> {
            let mut command = program.at(node, &config("10.77.0.200"), folder.path())?;
            Ok(command.arg("-G").stdin(std::process::Stdio::null()).output()?)
        };
        let output = start()?;
        ensure!(output.status.code() == Some(0), "{program:?}: {output:?}");
        let pid = written_pid(&file("parent.pid"))?;
        let background = Background(pid);
        until("the address", SOON, || lab.has_address(0, "10.77.0.200").is_ok_and(|held| held))?;
        ensure!(own_session(pid)?, "{program:?} stays in its parent's session");
        let second = start()?;
        let code = second.status.code();
        ensure!(written_pid(&file("parent.pid"))? == pid, "{program:?}: a second daemon takes the pid file");
        ensure!(is_running(pid) && code.is_some(), "{program:?}: {second:?}");
        send(pid, libc::SIGTERM)?;
        until("the end", SOON, || !is_running(pid))?;
        drop(background);
        ensure!(!file("parent.pid").exists(), "{program:?} leaves its pid file");
    }
    Ok(())
}

/// Whether a process leads a session.
fn own_session(pid: Pid) -> Result<bool> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(") ").context("form of stat")?.1.split(' ').collect();
    Ok(fields.get(3) == Some(&pid.to_string().as_str()))
}
