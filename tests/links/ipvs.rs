//! IPVS beside this daemon: `keepalived -C` reads the same file. keepalived maintains the table of servers, this daemon
//! moves the address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::poll;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, Running};
use vrrp_tests::lab::{Lab, Node, VIRTUAL_V4};
use vrrp_tests::needs;
use vrrp_tests::process::{Directory, Process};

use crate::{INTERVAL, SETTLE, wait_for};

/// Virtual address and port, as the kernel prints them.
const VIRTUAL_SERVER: &str = "0A4D00C8:0050";
const PATIENCE: Duration = Duration::from_secs(2);

/// A node with a server on its own address, both daemons, and one file for both.
struct Balancer<'a> {
    node: &'a Node,
    ours: Running,
    _checker: Process,
}

impl<'a> Balancer<'a> {
    fn start(node: &'a Node, priority: u8) -> Result<Self> {
        let own = format!("10.77.0.{}:8080", node.index + 1);
        let listener = node.namespace.enter(|| TcpListener::bind(&own).context("server"))?;
        let name = node.index.to_string();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // A closed connection has its answer or needs none.
                let _gone = client.and_then(|mut client| client.write_all(name.as_bytes()));
            }
        });
        let instances = vec![Instance::v3(priority).interval(INTERVAL)];
        let config = Config { instances, ..Config::default() };
        let real = own.replace(':', " ");
        let text = format!(
            "{config}\nvirtual_server {VIRTUAL_V4} 80 {{\n    delay_loop 1\n    lb_algo rr\n    lb_kind NAT\n    \
             protocol TCP\n    real_server {real} {{\n        TCP_CHECK {{\n            connect_timeout 2\n        \
             }}\n    }}\n}}\n"
        );
        let ours = Daemon::Vrrpx(Mode::Auto).start_with(node, &text)?;
        let directory = Directory::new()?;
        let file = directory.path().join("keepalived.conf");
        std::fs::write(&file, text)?;
        let mut checker = node.namespace.command("keepalived")?;
        checker.args(["--check", "--dont-fork", "--log-console", "--no-syslog", "--use-file"]).arg(&file);
        checker.arg("--pid").arg(directory.path().join("parent.pid"));
        checker.arg("--checkers_pid").arg(directory.path().join("checkers.pid"));
        let checker = Process::start_in(checker, directory)?;
        let balancer = Self { node, ours, _checker: checker };
        let waited = poll("a server in the table of IPVS", SETTLE, || {
            balancer.is_in_table().map(|is| is.then_some(()))
        });
        waited.with_context(|| balancer._checker.log())?;
        Ok(balancer)
    }

    /// Whether the kernel has the virtual server and its real server.
    fn is_in_table(&self) -> Result<bool> {
        // The table of the thread, which is in the node's namespace.
        let table =
            self.node.namespace.enter(|| Ok(std::fs::read_to_string("/proc/thread-self/net/ip_vs")?))?;
        Ok(table.contains(VIRTUAL_SERVER)
            && table.lines().any(|line| line.trim_start().starts_with("->") && line.contains(":1F90")))
    }
}

/// The node whose server answers a client at the virtual address.
fn served_by(lab: &Lab) -> Result<String> {
    poll("an answer to a client", SETTLE, || {
        lab.client.enter(|| {
            let address: SocketAddr = format!("{VIRTUAL_V4}:80").parse()?;
            let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) else { return Ok(None) };
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut name = String::new();
            Ok(stream.read_to_string(&mut name).ok().filter(|count| *count > 0).map(|_| name))
        })
    })
}

#[test]
#[needs("keepalived")]
fn the_address_moves_and_the_table_of_keepalived_stays() -> Result<()> {
    let lab = Lab::new(2)?;
    let (mut first, mut second) =
        (Balancer::start(&lab.nodes[0], 200)?, Balancer::start(&lab.nodes[1], 100)?);
    wait_for(&first.ours, "VI_1", "MASTER")?;
    wait_for(&second.ours, "VI_1", "BACKUP")?;
    ensure!(served_by(&lab)? == "0", "{}", first.ours.log());
    first.ours.kill();
    wait_for(&second.ours, "VI_1", "MASTER")?;
    ensure!(served_by(&lab)? == "1", "{}", second.ours.log());
    second.ours.stop()?;
    ensure!(first.is_in_table()? && second.is_in_table()?, "the table of IPVS is gone");
    ensure!(
        second.ours.log().contains("virtual_server"),
        "nothing is said of the load balancer: {}",
        second.ours.log()
    );
    Ok(())
}
