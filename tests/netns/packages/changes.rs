//! Installations beside keepalived, in its place and after a removal, and upgrades of daemons that are not to change.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Instance, vrrpx};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::service::Machine;

use super::{KEEPALIVED_CONF, bare, config, deb, dpkg, manage, rpm};

const LINK: &str = "/etc/systemd/system/multi-user.target.wants/vrrpx.service";

/// Its package's unit, without what it would start on this machine.
fn start_keepalived(pair: &Pair, machine: &Machine) -> Result<()> {
    let folder = machine.path("/etc/systemd/system/keepalived.service.d");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("alone.conf"), "[Unit]\nDefaultDependencies=no\n")?;
    machine.run("ln", &["-sf", "/dev/null", "/run/systemd/system/network-online.target"])?;
    machine.run("systemctl", &["daemon-reload"])?;
    machine.run("systemctl", &["enable", "--quiet", "--now", "keepalived"])?;
    pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)
}

fn is_at_boot(machine: &Machine) -> bool {
    machine.path(LINK).is_symlink()
}

fn is_active(machine: &Machine) -> Result<bool> {
    Ok(machine.unit("ActiveState")? == "active")
}

#[test]
#[needs("ours", "xtask", "objcopy", "systemctl", "nsenter", "dpkg-deb", "dpkg-shlibdeps", "keepalived")]
fn vrrpx_keepalived_replaces_a_keepalived_that_is_enabled_and_runs() -> Result<()> {
    for at_once in [true, false] {
        bare(|pair, machine| {
            fs::write(machine.path(KEEPALIVED_CONF), config(200).to_string())?;
            start_keepalived(pair, machine)?;
            let (daemon, names) = (deb("vrrpx", 1)?, deb("vrrpx-keepalived", 1)?);
            if at_once {
                dpkg(machine, &["--install", &daemon, &names])?;
            } else {
                let reported = dpkg(machine, &["--install", &daemon])?;
                ensure!(reported.contains("not started, as keepalived is in use here"), "{reported}");
                ensure!(!is_at_boot(machine) && !is_active(machine)?, "started beside keepalived");
                dpkg(machine, &["--install", &names])?;
            }
            pair.wait_for_master(0)?;
            ensure!(is_active(machine)? && is_at_boot(machine), "it does not run, or not at boot");

            // Removed and installed again.
            dpkg(machine, &["--remove", "vrrpx-keepalived"])?;
            machine.run("systemctl", &["disable", "--quiet", "--now", "vrrpx"])?;
            dpkg(machine, &["--install", &names])?;
            ensure!(is_active(machine)? && is_at_boot(machine), "not after its removal");

            // An upgrade leaves what an operator has stopped and disabled.
            machine.run("systemctl", &["disable", "--quiet", "--now", "vrrpx"])?;
            dpkg(machine, &["--install", &deb("vrrpx", 2)?, &deb("vrrpx-keepalived", 2)?])?;
            ensure!(!is_active(machine)? && !is_at_boot(machine), "an upgrade has started it");
            dpkg(machine, &["--purge", "vrrpx-keepalived", "vrrpx"]).map(drop)
        })?;
    }
    Ok(())
}

#[test]
#[needs("ours", "xtask", "objcopy", "systemctl", "nsenter", "dpkg-deb", "dpkg-shlibdeps", "keepalived")]
fn a_removal_and_an_upgrade_leave_the_operators_choice() -> Result<()> {
    bare(|pair, machine| {
        let (first, second) = (deb("vrrpx", 1)?, deb("vrrpx", 2)?);
        fs::write(machine.path(KEEPALIVED_CONF), config(200).to_string())?;
        dpkg(machine, &["--install", &first])?;
        pair.wait_for_master(0)?;

        machine.run("systemctl", &["stop", "vrrpx"])?;
        let reported = dpkg(machine, &["--install", &second])?;
        ensure!(reported.contains("was stopped, and stays so"), "{reported}");
        ensure!(!is_active(machine)?, "an upgrade has started it");
        dpkg(machine, &["--remove", "vrrpx"])?;
        dpkg(machine, &["--install", &first])?;
        ensure!(is_active(machine)?, "an installation has not started it");

        dpkg(machine, &["--remove", "vrrpx"])?;
        start_keepalived(pair, machine)?;
        let reported = dpkg(machine, &["--install", &first])?;
        ensure!(reported.contains("not started, as keepalived is in use here"), "{reported}");
        ensure!(!is_active(machine)? && !is_at_boot(machine), "it starts beside keepalived");
        machine.run("systemctl", &["enable", "--quiet", "vrrpx"])?;
        let reported = dpkg(machine, &["--install", &second])?;
        ensure!(reported.contains("both are enabled"), "{reported}");
        dpkg(machine, &["--purge", "vrrpx"])?;

        // By hand, of a masked unit.
        machine.run("systemctl", &["disable", "--quiet", "--now", "keepalived"])?;
        machine.run("systemctl", &["mask", "--quiet", "keepalived"])?;
        machine.run("keepalived", &[])?;
        let reported = dpkg(machine, &["--install", &first])?;
        ensure!(reported.contains("not started, as keepalived is in use here"), "{reported}");
        dpkg(machine, &["--remove", "vrrpx"])?;
        machine.run("sh", &["-c", "kill $(cat /run/keepalived.pid)"])?;
        let is_gone = || machine.run("pgrep", &["--exact", "keepalived"]).is_err();
        until("the end of keepalived", SETTLE, is_gone)?;
        // Its files are there, and it is used no more. The note about the unit beside it is forgotten.
        dpkg(machine, &["--install", &first])?;
        ensure!(is_active(machine)? && is_at_boot(machine), "not beside a masked keepalived");
        dpkg(machine, &["--purge", "vrrpx"]).map(drop)
    })
}

/// Its file is another one than the usual, which is broken.
fn upgrades_leave_what_an_operator_decides(
    pair: &mut Pair,
    machine: &Machine,
    upgrade: &dyn Fn(&str) -> Result<String>,
    [first, second]: [&str; 2],
) -> Result<()> {
    let write = |config: &Config| fs::write(machine.path("/etc/vrrpx/other.conf"), config.to_string());
    fs::create_dir_all(machine.path("/etc/vrrpx"))?;
    machine.write_config("nonsense\n")?;
    write(&config(200))?;
    upgrade(first)?;
    let options = "VRRPX_OPTIONS=--config /etc/vrrpx/other.conf --config-id one\n";
    fs::write(machine.path("/etc/default/vrrpx"), options)?;
    machine.run("systemctl", &["restart", "vrrpx"])?;
    pair.wait_for_master(0)?;
    let pid = machine.unit("MainPID")?;
    let refused = |part: &str| -> Result<()> {
        let reported = upgrade(second)?;
        ensure!(reported.contains("goes on with the old version") && reported.contains(part), "{reported}");
        ensure!(machine.unit("MainPID")? == pid, "replaced: {reported}");
        Ok(())
    };
    let configuration = || machine.status().map(|mut status| status["configuration"].take());

    write(&config(210))?;
    machine.run("vrrpx", &["reload", "--confirm", "600s"])?;
    refused("vrrpx reload --keep")?;
    ensure!(configuration()?["keep_by"].is_string(), "{}", configuration()?);
    machine.run("vrrpx", &["reload", "--keep"])?;

    write(&config(220))?;
    machine.run("vrrpx", &["reload", "--confirm", "1s"])?;
    until("the end of the reload", SETTLE, || {
        configuration().is_ok_and(|it| it["stale_cause"] == "not_kept")
    })?;
    refused("does not use the present configuration file")?;
    ensure!(configuration()?["stale_cause"] == "not_kept", "{}", configuration()?);
    write(&config(210))?;
    machine.run("systemctl", &["reload", "vrrpx"])?;

    write(&Config::of(Instance::v3(210).line("nonsense")))?;
    refused("unknown keyword `nonsense`")?;
    write(&config(210))?;
    upgrade(second)?;
    ensure!(machine.unit("MainPID")? != pid, "not replaced");
    ensure!(machine.status()?["instances"][0]["priority"]["effective"] == 210, "another configuration");

    // Another unit comes before that of the package.
    let unit = "/usr/lib/systemd/system/vrrpx.service";
    machine.run("cp", &[unit, "/etc/systemd/system/vrrpx.service"])?;
    let reported = upgrade(second)?;
    ensure!(reported.contains("systemd uses /etc/systemd/system/vrrpx.service"), "{reported}");
    Ok(())
}

#[test]
#[needs("ours", "xtask", "objcopy", "systemctl", "nsenter", "dpkg-deb", "dpkg-shlibdeps")]
fn an_upgrade_of_a_debian_package_leaves_what_an_operator_decides() -> Result<()> {
    bare(|pair, machine| {
        let upgrade = |package: &str| dpkg(machine, &["--install", package]);
        upgrades_leave_what_an_operator_decides(
            pair,
            machine,
            &upgrade,
            [&deb("vrrpx", 1)?, &deb("vrrpx", 2)?],
        )
    })
}

#[test]
#[needs("ours", "xtask", "objcopy", "systemctl", "nsenter", "rpmbuild", "rpm")]
fn an_upgrade_of_an_rpm_leaves_what_an_operator_decides() -> Result<()> {
    bare(|pair, machine| {
        let upgrade = |package: &str| manage(machine, &["rpm", "--upgrade", "--nodeps", "--force", package]);
        upgrades_leave_what_an_operator_decides(pair, machine, &upgrade, [&rpm(1)?, &rpm(2)?])
    })
}

#[test]
#[needs("ours", "systemctl", "nsenter")]
fn the_script_of_the_archive_leaves_no_link_of_its_unit() -> Result<()> {
    bare(|_, machine| {
        let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../vrrp-user/dist"), "/opt/archive");
        for folder in ["sbin", "share/doc"] {
            fs::create_dir_all(machine.path(to).join(folder))?;
        }
        fs::copy(vrrpx(), machine.path(to).join("sbin/vrrpx"))?;
        for file in ["vrrpx.service", "tarball/install.sh"] {
            let name = Path::new(file).file_name().unwrap_or_default();
            fs::copy(from.join(file), machine.path(to).join(name))?;
        }
        machine.run("sh", &["/opt/archive/install.sh"])?;
        machine.run("systemctl", &["daemon-reload"])?;
        machine.run("systemctl", &["enable", "--quiet", "vrrpx"])?;
        ensure!(is_at_boot(machine), "not enabled");
        machine.run("sh", &["/opt/archive/install.sh", "--uninstall"])?;
        ensure!(!is_at_boot(machine), "its link is left");
        ensure!(machine.unit("LoadState")? == "not-found", "{}", machine.unit("LoadState")?);
        Ok(())
    })
}
