//! Recipe of PostgreSQL with a standby.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::clock::until;
use vrrp_tests::{needs, waits};

use crate::host::{PATIENCE, Recipe};

const ADDRESS: &str = "192.0.2.70";
const SCRIPT: &str = "/usr/local/sbin/vrrp-postgresql";
const STALE: &str = "/var/lib/vrrp-postgresql/stale";

/// Follows the page up to a primary on the first host and a standby on the second.
fn set_up(recipe: &mut Recipe) -> Result<()> {
    recipe.install("vrrpx.conf", "/etc/vrrpx/vrrpx.conf")?;
    recipe.install("vrrp-postgresql", SCRIPT)?;
    recipe.install("replication.conf", "/etc/postgresql/15/main/conf.d/replication.conf")?;
    recipe.install("pg_hba.conf", "/root/pg_hba.conf")?;
    for host in 0..2 {
        recipe.sh(host, "cat /root/pg_hba.conf >> /etc/postgresql/15/main/pg_hba.conf")?;
        let password = "umask 77; echo '*:*:*:*:secret' > /var/lib/postgresql/.pgpass; \
                        chown postgres: /var/lib/postgresql/.pgpass";
        recipe.sh(host, password)?;
        recipe.sh(host, "install -d -o postgres -g postgres -m 2775 /run/postgresql")?;
    }
    recipe.start(0, "pg_ctlcluster", &["15", "main", "start", "--foreground"])?;
    until("the first primary", PATIENCE, || sql(recipe, "SELECT 1").is_ok())?;
    for role in ["replicator REPLICATION LOGIN PASSWORD 'secret'", "app LOGIN PASSWORD 'secret'"] {
        sql(recipe, &format!("CREATE ROLE {role}"))?;
    }
    sql(recipe, "CREATE DATABASE app OWNER app")?;
    recipe.start_vrrpx(0)?;
    recipe.serves(0, ADDRESS)?;
    recipe.run(1, SCRIPT, &["rejoin"])?;
    recipe.start_vrrpx(1)
}

/// Runs a statement on the first host, as its administrator.
fn sql(recipe: &Recipe, statement: &str) -> Result<()> {
    recipe.run(0, "runuser", &["-u", "postgres", "--", "psql", "-qc", statement]).map(drop)
}

/// Result of a statement by an application at the address.
fn ask(recipe: &Recipe, statement: &str) -> Result<String> {
    let to = format!("host={ADDRESS} dbname=app user=app password=secret connect_timeout=2");
    let answer = recipe.lab.client.run("psql", &["-qtAX", &to, "-c", statement])?;
    Ok(answer.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Waits until an application may write, and writes a line.
fn write(recipe: &Recipe, number: u8) -> Result<()> {
    let statement = format!("INSERT INTO lines VALUES ({number})");
    until("a line written", PATIENCE, || ask(recipe, &statement).is_ok())
}

fn lines(recipe: &Recipe) -> Result<String> {
    ask(recipe, "SELECT number FROM lines ORDER BY number")
}

/// Waits until the standby has all changes of the primary.
fn caught_up(recipe: &Recipe, standby: usize) -> Result<()> {
    let count = |recipe: &Recipe| -> Result<String> {
        let query = "SELECT pg_is_in_recovery(), count(*) FROM lines";
        recipe.run(standby, "runuser", &["-u", "postgres", "--", "psql", "-qtAX", "app", "-c", query])
    };
    let wanted = format!("t|{}", lines(recipe)?.split(' ').count());
    until("a standby with all lines", PATIENCE, || count(recipe).is_ok_and(|it| it == wanted))
}

#[waits]
#[test]
#[needs("lab", "unshare", "pg_ctlcluster", "psql", "runuser")]
fn the_standby_is_promoted_and_the_primary_comes_back_as_a_standby_only() -> Result<()> {
    let recipe = Recipe::new("postgresql", &["db1", "db2"])?;
    recipe.check(|recipe| {
        set_up(recipe)?;
        ask(recipe, "CREATE TABLE lines (number int)")?;
        write(recipe, 1)?;
        caught_up(recipe, 1)?;
        // PostgreSQL of the primary dies.
        recipe.end(0, "pg_ctlcluster", Signal::SIGKILL)?;
        recipe.serves(1, ADDRESS)?;
        write(recipe, 2)?;
        ensure!(lines(recipe)? == "1 2", "{}", lines(recipe)?);
        // Started by hand, or by a reboot, it does not count.
        until("a mark", PATIENCE, || recipe.run(0, "test", &["-s", STALE]).is_ok())?;
        recipe.serves(1, ADDRESS)?;
        recipe.run(0, SCRIPT, &["rejoin"])?;
        caught_up(recipe, 0)?;
        // The host of the new primary is shut down.
        recipe.end(1, "vrrpx", Signal::SIGTERM)?;
        recipe.serves(0, ADDRESS)?;
        write(recipe, 3)?;
        ensure!(lines(recipe)? == "1 2 3", "{}", lines(recipe)?);
        // It boots with the data of a primary but without the mark, as after a power failure.
        recipe.sh(1, &format!("rm {STALE}; pg_ctlcluster 15 main start"))?;
        recipe.start_vrrpx(1)?;
        until("a mark", PATIENCE, || recipe.run(1, "test", &["-s", STALE]).is_ok())?;
        // The mark comes first, so that nothing can happen in between.
        let runs = |recipe: &Recipe| recipe.run(1, "pg_ctlcluster", &["15", "main", "status"]);
        until("the end of the second primary", PATIENCE, || runs(recipe).is_err())?;
        recipe.serves(0, ADDRESS)?;
        recipe.run(1, SCRIPT, &["rejoin"])?;
        caught_up(recipe, 1)
    })
}
