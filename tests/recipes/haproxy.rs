//! Recipe of an HAProxy pair.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use vrrp_tests::clock::{pace, until};
use vrrp_tests::netns::Namespace;
use vrrp_tests::{needs, waits};

use crate::host::{PATIENCE, Recipe};

const ADDRESS: &str = "192.0.2.90";

/// A server behind HAProxy, in place of an application.
struct Server {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers all requests with the last part of its address.
    fn start(namespace: &Namespace, address: &str) -> Result<Self> {
        let listener = namespace.enter(|| Ok(TcpListener::bind(address)?))?;
        listener.set_nonblocking(true)?;
        let ends = Arc::new(AtomicBool::new(false));
        let (ended, name) = (Arc::clone(&ends), address.to_owned());
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let Ok((mut client, _)) = listener.accept() else {
                    pace(Duration::from_millis(5));
                    continue;
                };
                // A client may disconnect at any time.
                let _left = client
                    .set_nonblocking(false)
                    .and_then(|()| client.read(&mut [0; 1024]))
                    .and_then(|_| write!(client, "HTTP/1.0 200 OK\r\n\r\n{name}"));
            }
        });
        Ok(Self { ends, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed by the thread.
            let _outcome = thread.join();
        }
    }
}

fn start_haproxy(recipe: &mut Recipe, host: usize) -> Result<()> {
    recipe.run(host, "mkdir", &["-p", "/run/haproxy"])?;
    recipe.start(host, "haproxy", &["-W", "-f", "/etc/haproxy/haproxy.cfg", "-p", "/run/haproxy.pid"])
}

#[waits]
#[test]
#[needs("lab", "unshare", "haproxy")]
fn the_address_follows_haproxy_and_its_servers() -> Result<()> {
    let recipe = Recipe::new("haproxy", &["lb1", "lb2"])?;
    recipe.check(|recipe| {
        recipe.lab.client.ip("address add 192.0.2.201/24 dev lan0\naddress add 192.0.2.202/24 dev lan0")?;
        let [first, second] = ["192.0.2.201:8080", "192.0.2.202:8080"];
        let one = Server::start(&recipe.lab.client, first)?;
        let other = Server::start(&recipe.lab.client, second)?;
        recipe.install("vrrpx.conf", "/etc/vrrpx/vrrpx.conf")?;
        recipe.install("haproxy.cfg", "/etc/haproxy/haproxy.cfg")?;
        for host in 0..2 {
            start_haproxy(recipe, host)?;
            recipe.start_vrrpx(host)?;
        }
        recipe.serves(0, ADDRESS)?;
        recipe.gets(ADDRESS, first)?;
        // A server dies: HAProxy itself takes it out of rotation.
        drop(one);
        recipe.gets(ADDRESS, second)?;
        recipe.serves(0, ADDRESS)?;
        // HAProxy dies.
        recipe.end(0, "haproxy", Signal::SIGKILL)?;
        recipe.serves(1, ADDRESS)?;
        recipe.gets(ADDRESS, second)?;
        start_haproxy(recipe, 0)?;
        recipe.serves(0, ADDRESS)?;
        // This host cannot reach the servers, the other one can.
        recipe
            .namespace(0)
            .ip("route add unreachable 192.0.2.202/32\nroute add unreachable 192.0.2.201/32")?;
        recipe.serves(1, ADDRESS)?;
        recipe.gets(ADDRESS, second)?;
        recipe.namespace(0).ip("route del 192.0.2.202/32\nroute del 192.0.2.201/32")?;
        recipe.serves(0, ADDRESS)?;
        // Without any server the address stays, and HAProxy answers the clients with an error.
        drop(other);
        until("no answer", PATIENCE, || recipe.get(ADDRESS).is_err_and(|it| it.to_string() == "status 503"))?;
        recipe.serves(0, ADDRESS)
    })
}
