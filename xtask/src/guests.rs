//! Tests in virtual machines with other kernels: which, on which path, and what of it belongs to the gate.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::{built, cargo, show};
use crate::kernels;
use crate::tally::Tally;

/// Those that the gate boots: of the two releases of Debian that are in use.
pub(crate) const GATE: [&str; 2] = ["6.1", "6.12"];

/// Paths, and the oldest kernel of those here that has them. Without one the daemon chooses.
const PATHS: [(Option<&str>, &str); 6] = [
    (None, "5.10"),
    (Some("native"), "5.10"),
    (Some("generic"), "5.10"),
    (Some("tcx"), "6.12"),
    (Some("tc"), "5.10"),
    (Some("socket"), "5.10"),
];

/// One program of tests in a guest.
struct Row {
    program: &'static str,
    /// On each path, or once.
    on_paths: bool,
    threads: u8,
    /// Names, or parts of them; none are all.
    tests: &'static [&'static str],
    /// What of them the gate runs, on the path that the daemon chooses; none are none.
    gate: &'static [&'static str],
}

/// Network cards of a guest, on one wire: what `links` has its labs of.
const CARDS: [&str; 4] = ["vmxnet3", "virtio-net-pci", "virtio-net-pci", "virtio-net-pci"];

const ROWS: [Row; 4] = [
    // The verifier takes seconds for each load, and each of these loads it several times. For the gate: a check of each kind
    // on each entry.
    Row { program: "xdp", on_paths: false, threads: 2, tests: &[], gate: &["fence::tags"] },
    // Made for emulation: wide times.
    Row {
        program: "kernel",
        on_paths: true,
        threads: 1,
        tests: &[],
        // A boot and these take a minute or two; the rest is for `--kernel`.
        gate: &["load::", "fence::a_killed_master_answers_no_more_when_its_heir_does"],
    },
    // Made of what only a guest has.
    Row {
        program: "links",
        on_paths: false,
        threads: 1,
        tests: &[],
        gate: &["each_lan_elects_its_own_master"],
    },
    // What needs no time finer than that: routes, rules, and what is told where something is missing. Those of 20 ms
    // adverts, and with bounds in milliseconds, would measure the emulation.
    Row {
        program: "netns",
        on_paths: false,
        threads: 1,
        tests: &[
            "election::",
            "paths::",
            "rungs::daemons_of_their_own_runtime_directories_share_an_interface",
            "rungs::a_runtime_directory_serves_one_daemon",
            "rungs::a_taken_hook_is_told_and_gone_around",
            "rungs::without_cap_bpf_it_works_on_sockets_and_says_why",
            "rungs::without_cap_net_raw_it_ends_and_says_so",
            "faults::an_interface_may_appear_late",
            "faults::an_interface_that_is_deleted_and_made_anew_is_used_again",
            "faults::an_interface_that_is_renamed_is_gone_until_it_has_its_name_again",
            "faults::the_source_address_may_appear_late",
            "faults::another_mtu_changes_nothing",
        ],
        gate: &[],
    },
];

/// Tests that boot machines of their own, with one kernel: what they show is none of the kernel's.
const MACHINES: &str = "machines";
const MACHINES_KERNEL: &str = "6.12";

/// Gets these kernels and runs the tests in each; those of the gate only, if so wanted.
pub(crate) fn test(tally: &mut Tally, names: &[&str], is_gate: bool) -> Result<()> {
    let mut programs = Vec::new();
    for name in names {
        if let Err(error) = kernels::get(name) {
            tally.skip(&format!("kernel {name}"), &format!("{error:#}"));
            continue;
        }
        if let Err(error) = usable() {
            tally.skip(&format!("kernel {name}"), &format!("{error:#}"));
            continue;
        }
        if programs.is_empty() {
            programs = build()?;
        }
        tally.run(guest(name, &programs, is_gate)?)?;
        if !is_gate && *name == MACHINES_KERNEL {
            tally.run(machines(&programs)?)?;
        }
    }
    Ok(())
}

/// Whether there is an emulator.
fn usable() -> Result<()> {
    let output = Command::new("qemu-system-x86_64").arg("--version").output();
    output.context("qemu-system-x86_64 is not installed").map(drop)
}

/// One guest, in which all that is wanted of this kernel runs in turn.
fn guest(name: &str, programs: &[(String, String)], is_gate: bool) -> Result<Command> {
    let mut command = Command::new(built("vm", false)?);
    command.args(["--kernel", name]);
    command.args(CARDS.iter().flat_map(|card| ["--card", card]));
    for row in &ROWS {
        let path = programs.iter().find(|(known, _)| known == row.program);
        let path = &path.with_context(|| format!("{} is not built", row.program))?.1;
        let tests = if is_gate { row.gate } else { row.tests };
        if is_gate && tests.is_empty() {
            continue;
        }
        for (rung, since) in PATHS {
            let is_chosen = rung.is_none() || (row.on_paths && !is_gate);
            if is_chosen && age(name) >= age(since) {
                let subject = rung.map(|rung| format!("VRRPX_SUBJECT={rung} ")).unwrap_or_default();
                let words = tests.join(" ");
                command.arg("--run");
                command.arg(format!("{subject}{path} --test-threads={} {words}", row.threads));
            }
        }
    }
    Ok(command)
}

fn machines(programs: &[(String, String)]) -> Result<Command> {
    let (_, path) = programs.iter().find(|(known, _)| known == MACHINES).context("machines is not built")?;
    let mut command = Command::new(path);
    command.arg("--test-threads=1").env("VRRPX_KERNEL", MACHINES_KERNEL);
    Ok(command)
}

/// Its place among the kernels, by age.
fn age(name: &str) -> Option<usize> {
    kernels::KERNELS.iter().position(|kernel| kernel.0 == name)
}

/// Test programs by name, built.
fn build() -> Result<Vec<(String, String)>> {
    let mut command = cargo()?;
    command.args([
        "test",
        "--package",
        "vrrp-tests",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ]);
    command.args(ROWS.iter().flat_map(|row| ["--test", row.program]));
    command.args(["--test", MACHINES]);
    let output = command.stderr(std::process::Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "{} failed ({})", show(&command), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(program).collect())
}

/// Name and file of a program that a line of cargo tells of.
fn program(line: &str) -> Option<(String, String)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let file = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), file.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str, is_gate: bool) -> String {
        let programs = ROWS.map(|row| (row.program.to_owned(), format!("/built/{}", row.program)));
        show(&guest(name, &programs, is_gate).unwrap())
    }

    #[test]
    fn a_kernel_is_asked_for_the_paths_that_it_has() {
        assert!(words("6.12", false).contains("VRRPX_SUBJECT=tcx /built/kernel"));
        assert!(!words("6.1", false).contains("VRRPX_SUBJECT=tcx"));
        assert!(words("5.10", false).contains("VRRPX_SUBJECT=generic /built/kernel"));
        assert!(words("5.10", false).contains("--run /built/xdp --test-threads=2 "));
    }

    #[test]
    fn the_gate_loads_and_fences() {
        for name in GATE {
            let words = words(name, true);
            assert!(words.contains(" load:: ") && words.contains(" fence::a_killed"), "{words}");
            assert!(!words.contains("netns"), "{words}");
        }
    }

    #[test]
    fn cargo_tells_where_programs_are() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"xdp"},"executable":"/x/deps/xdp-1"}"#;
        assert_eq!(program(line), Some(("xdp".to_owned(), "/x/deps/xdp-1".to_owned())));
        assert_eq!(
            program(r#"{"reason":"compiler-artifact","target":{"name":"x"},"executable":null}"#),
            None
        );
        assert_eq!(program("   Compiling x"), None);
    }
}
