//! Recipe of a router pair: hosts inside, a provider outside, and a service behind it.

use anyhow::Result;
use nix::sys::signal::Signal;
use vrrp_tests::clock::until;
use vrrp_tests::netns::Namespace;
use vrrp_tests::{needs, waits};

use crate::host::{PATIENCE, Recipe, eventually};

const INSIDE: &str = "192.0.2.1";
const OUTSIDE: &str = "198.51.100.10";
/// A service beyond the provider.
const SERVICE: &str = "203.0.113.7";

/// The second network: a bridge at the provider, and `eth1` of each router.
fn provider(recipe: &Recipe) -> Result<Namespace> {
    let provider = Namespace::new("provider")?;
    provider.ip(&format!(
        "link add br1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set br1 up\n\
         address add 198.51.100.1/24 dev br1\naddress add {SERVICE}/32 dev lo\n\
         route add 192.0.2.0/24 via {OUTSIDE}"
    ))?;
    for host in 0..2 {
        let router = recipe.namespace(host);
        provider.ip(&format!(
            "link add port{host} type veth peer name eth1 netns {}\nlink set port{host} master br1 up",
            router.name()
        ))?;
        router.ip(&format!("link set eth1 up\naddress add 198.51.100.{}/24 dev eth1", host + 11))?;
    }
    Ok(provider)
}

fn reaches(namespace: &Namespace, address: &str) -> bool {
    namespace.run("ping", &["-c", "1", "-W", "1", address]).is_ok()
}

#[waits]
#[test]
#[needs("lab", "unshare", "ping")]
fn hosts_inside_reach_the_outside_by_the_active_router() -> Result<()> {
    let recipe = Recipe::new("router", &["router1", "router2"])?;
    let provider = provider(&recipe)?;
    recipe.check(|recipe| {
        recipe.install("vrrpx.conf", "/etc/vrrpx/vrrpx.conf")?;
        recipe.install("sysctl.conf", "/etc/sysctl.d/90-router.conf")?;
        recipe.lab.client.ip(&format!("route add default via {INSIDE}"))?;
        for host in 0..2 {
            recipe.run(host, "sysctl", &["-p", "/etc/sysctl.d/90-router.conf"])?;
            recipe.start_vrrpx(host)?;
        }
        let works = |recipe: &Recipe, host: usize| -> Result<()> {
            recipe.serves(host, INSIDE)?;
            recipe.serves(host, OUTSIDE)?;
            until("an echo from outside", PATIENCE, || reaches(&recipe.lab.client, SERVICE))?;
            // From the standby router through the active one.
            until("an echo from the standby router", PATIENCE, || {
                reaches(recipe.namespace(1 - host), SERVICE)
            })?;
            eventually("the route", || {
                recipe.run(host, "ip", &["route", "show", "default", "metric", "50"])
            })?;
            let at_rest = recipe.run(1 - host, "ip", &["route", "show", "default", "metric", "50"])?;
            anyhow::ensure!(at_rest.is_empty(), "the router at rest has {at_rest}");
            Ok(())
        };
        works(recipe, 0)?;
        // The line to the provider is cut: both addresses move.
        provider.ip("link set port0 down")?;
        recipe.serves(1, INSIDE)?;
        recipe.serves(1, OUTSIDE)?;
        until("an echo from outside", PATIENCE, || reaches(&recipe.lab.client, SERVICE))?;
        provider.ip("link set port0 up")?;
        works(recipe, 0)?;
        // The router is shut down.
        recipe.end(0, "vrrpx", Signal::SIGTERM)?;
        recipe.serves(1, INSIDE)?;
        recipe.serves(1, OUTSIDE)?;
        until("an echo from outside", PATIENCE, || reaches(&recipe.lab.client, SERVICE))
    })
}
