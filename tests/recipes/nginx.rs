//! Recipe of an nginx pair.

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::host::Recipe;
use vrrp_tests::{needs, waits};

const ADDRESS: &str = "192.0.2.80";

fn start_nginx(recipe: &mut Recipe, host: usize) -> Result<()> {
    recipe.start(host, "nginx", &["-g", "daemon off;"])
}

#[waits]
#[test]
#[needs("lab", "unshare", "nginx")]
fn the_address_follows_nginx() -> Result<()> {
    let recipe = Recipe::new("nginx", &["web1", "web2"])?;
    recipe.check(|recipe| {
        recipe.install("vrrpx.conf", "/etc/vrrpx/vrrpx.conf")?;
        recipe.install("site.conf", "/etc/nginx/sites-enabled/default")?;
        for host in 0..2 {
            let page = format!(
                "rm -f /var/www/html/index*; echo {} > /var/www/html/index.html",
                recipe.hosts[host].name
            );
            recipe.sh(host, &page)?;
            start_nginx(recipe, host)?;
            recipe.start_vrrpx(host)?;
        }
        recipe.serves(0, ADDRESS)?;
        recipe.gets(ADDRESS, "web1")?;
        // nginx dies.
        recipe.end(0, "nginx", Signal::SIGKILL)?;
        recipe.serves(1, ADDRESS)?;
        recipe.gets(ADDRESS, "web2")?;
        start_nginx(recipe, 0)?;
        recipe.serves(0, ADDRESS)?;
        // nginx hangs.
        recipe.signal_all(0, "nginx", Signal::SIGSTOP)?;
        recipe.serves(1, ADDRESS)?;
        recipe.gets(ADDRESS, "web2")?;
        recipe.signal_all(0, "nginx", Signal::SIGCONT)?;
        recipe.serves(0, ADDRESS)?;
        // The host is shut down.
        recipe.end(0, "vrrpx", Signal::SIGTERM)?;
        recipe.serves(1, ADDRESS)?;
        // The other host loses its network.
        recipe.start_vrrpx(0)?;
        recipe.serves(0, ADDRESS)?;
        recipe.lab.set_cable(0, false)?;
        recipe.gets(ADDRESS, "web2")
    })
}
