//! A Compose application, with Debian's docker-compose and an engine on each host.
//!
//! The image is imported from busybox, as there is no registry here; pulling fails.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::clock::until;
use vrrp_tests::{needs, waits};

use crate::host::{PATIENCE, Recipe, answers, start_engine};

const ADDRESS: &str = "192.0.2.60";

/// Waits for the end of a killed engine's containerd: the next engine would take it for its own, and wait for it in
/// vain.
fn is_gone(recipe: &Recipe, host: usize) -> Result<()> {
    let line = "! kill -0 $(cat /run/docker/containerd/containerd.pid) 2>/dev/null";
    until("the end of containerd", PATIENCE, || recipe.sh(host, line).is_ok())
}

/// Imports a web server that answers with its host.
fn import(recipe: &Recipe, host: usize) -> Result<()> {
    let line = format!(
        "mkdir -p /var/lib/tree/bin /var/lib/tree/www; cp /bin/busybox /var/lib/tree/bin\n\
         echo {} > /var/lib/tree/www/index.html\n\
         tar -C /var/lib/tree -c . | docker import --change \
         'CMD [\"/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]' - registry.example.org/web:1",
        recipe.hosts[host].name
    );
    recipe.sh(host, &line).map(drop)
}

fn rests(recipe: &Recipe, host: usize) -> Result<()> {
    until("no container", PATIENCE, || {
        recipe.run(host, "docker", &["ps", "-q"]).is_ok_and(|it| it.is_empty())
    })
}

#[waits]
#[test]
#[needs("lab", "unshare", "dockerd", "docker", "docker-compose", "busybox")]
fn containers_run_on_the_host_with_the_address() -> Result<()> {
    let recipe = Recipe::new("compose", &["app1", "app2"])?;
    recipe.check(|recipe| {
        recipe.install("vrrpx.conf", "/etc/vrrpx/vrrpx.conf")?;
        recipe.install("vrrp-app", "/usr/local/sbin/vrrp-app")?;
        recipe.install("compose.yaml", "/srv/app/compose.yaml")?;
        start_engine(recipe, 0)?;
        start_engine(recipe, 1)?;
        for host in 0..2 {
            answers(recipe, host)?;
            import(recipe, host)?;
            recipe.start_vrrpx(host)?;
            recipe.serves(0, ADDRESS)?;
        }
        recipe.gets(ADDRESS, "app1")?;
        rests(recipe, 1)?;
        // The engine dies.
        recipe.end(0, "dockerd", Signal::SIGKILL)?;
        recipe.serves(1, ADDRESS)?;
        recipe.gets(ADDRESS, "app2")?;
        is_gone(recipe, 0)?;
        start_engine(recipe, 0)?;
        answers(recipe, 0)?;
        rests(recipe, 0)?;
        ensure!(recipe.lab.has_address(1, ADDRESS)?, "the address is back");
        // A container is removed for good.
        recipe.sh(1, "docker kill $(docker ps -q)")?;
        recipe.serves(0, ADDRESS)?;
        recipe.gets(ADDRESS, "app1")?;
        // The host is shut down: no host is left.
        recipe.end(0, "vrrpx", Signal::SIGTERM)?;
        rests(recipe, 0)?;
        (0..2).try_for_each(|host| recipe.end(host, "dockerd", Signal::SIGTERM))
    })
}
