//! Tests in virtual machines with other kernels: programs, receive paths, and the part in the gate.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::{built, cargo, show};
use crate::tally::Tally;
use crate::{kernels, verify};

/// Kernels that the gate boots: those of the two Debian releases in use.
pub(crate) const GATE: [&str; 2] = ["6.1", "6.12"];

/// Receive paths, each with the oldest kernel here that has it. `None`: the daemon chooses.
const PATHS: [(Option<&str>, &str); 6] = [
    (None, "5.10"),
    (Some("native"), "5.10"),
    (Some("generic"), "5.10"),
    (Some("tcx"), "6.12"),
    (Some("tc"), "5.10"),
    (Some("socket"), "5.10"),
];

/// One test program in a guest.
struct GuestRow {
    program: &'static str,
    /// Runs on each receive path, instead of once.
    on_paths: bool,
    threads: u8,
    /// Names of tests, or parts of them; empty: all.
    tests: &'static [&'static str],
    /// Tests that the gate runs, on the receive path that the daemon chooses; empty: none.
    gate: &'static [&'static str],
}

/// Network cards of a guest, on one wire, for the labs of `links`.
const CARDS: [&str; 4] = ["vmxnet3", "virtio-net-pci", "virtio-net-pci", "virtio-net-pci"];

const ROWS: [GuestRow; 5] = [
    // The gate runs a check of each kind on each entry.
    GuestRow { program: "xdp", on_paths: false, threads: 2, tests: &[], gate: &["fence::tags"] },
    // The behaviour of this kernel with addresses, routes, rules, interfaces and sockets.
    GuestRow { program: "driver", on_paths: false, threads: 2, tests: &[], gate: &[] },
    // Written for emulation, with generous times.
    GuestRow {
        program: "kernel",
        on_paths: true,
        threads: 1,
        tests: &[],
        // A boot and these tests take a minute or two; the others run with `--kernel`.
        gate: &["load::", "fence::a_killed_master_answers_no_more_when_its_heir_does"],
    },
    // Needs devices that only a guest has.
    GuestRow {
        program: "links",
        on_paths: false,
        threads: 1,
        tests: &[],
        gate: &["each_lan_elects_its_own_master"],
    },
    // Tests without fine timing: routes, rules, and messages about missing things. Tests with adverts of 20 ms or
    // bounds in milliseconds would measure the emulation.
    GuestRow {
        program: "netns",
        on_paths: false,
        threads: 1,
        tests: &[
            "addresses::the_only_address_of_an_interface_is_not_taken_for_a_leftover",
            "addresses::addresses_set_by_vrrp_are_not_taken_for_the_host_s_own",
            "election::",
            "paths::",
            "receive_paths::daemons_with_separate_runtime_directories_share_an_interface",
            "receive_paths::a_runtime_directory_serves_one_daemon",
            "receive_paths::a_taken_hook_is_reported_and_bypassed",
            "receive_paths::without_cap_bpf_the_daemon_uses_sockets_and_logs_why",
            "receive_paths::without_cap_net_raw_the_daemon_exits_and_logs_why",
            "faults::an_interface_may_appear_late",
            "faults::a_recreated_interface_is_used_again",
            "faults::an_interface_that_is_renamed_is_gone_until_it_has_its_name_again",
            "faults::the_source_address_may_appear_late",
            "faults::another_mtu_changes_nothing",
        ],
        gate: &[],
    },
];

/// The load of each entry, and the verifier's work for it. Not a test program of cargo.
const VERIFY: &str = "verify";

/// More than any host has taken for an instruction.
const NANOSECONDS: &str = "1000";

/// Tests that boot their own machines, two of a kernel.
const MACHINES: &str = "machines";

/// Programs of a guest by name.
pub(crate) fn programs() -> impl Iterator<Item = &'static str> {
    [VERIFY, MACHINES].into_iter().chain(ROWS.iter().map(|row| row.program))
}

/// What to run in a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    /// The part in the gate.
    Gate,
    /// Everything.
    All,
    /// These programs.
    Only(&'a [String]),
}

impl Scope<'_> {
    fn has(self, program: &str) -> bool {
        match self {
            Self::Gate => program != MACHINES,
            Self::All => true,
            Self::Only(programs) => programs.iter().any(|chosen| chosen == program),
        }
    }

    fn is_gate(self) -> bool {
        matches!(self, Self::Gate)
    }
}

/// Downloads these kernels and runs the tests in each.
pub(crate) fn test(tally: &mut Tally, names: &[&str], scope: Scope<'_>) -> Result<()> {
    let mut programs = Vec::new();
    let mut verification = None;
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
            match scope.has(VERIFY).then(|| verify_command(scope)).transpose() {
                Ok(command) => verification = command,
                Err(error) => tally.skip(VERIFY, &format!("{error:#}")),
            }
        }
        if self::programs().any(|program| program != MACHINES && scope.has(program)) {
            tally.run(guest(name, &programs, verification.as_deref(), scope)?)?;
        }
        if scope.has(MACHINES) {
            tally.run(machines(name, &programs)?)?;
        }
    }
    Ok(())
}

/// Checks that the emulator is installed.
fn usable() -> Result<()> {
    let output = Command::new("qemu-system-x86_64").arg("--version").output();
    output.context("qemu-system-x86_64 is not installed").map(drop)
}

/// One guest, in which all tests for this kernel run in turn.
fn guest(
    name: &str,
    programs: &[(String, String)],
    verification: Option<&str>,
    scope: Scope<'_>,
) -> Result<Command> {
    let is_gate = scope.is_gate();
    let mut command = Command::new(built("vm", false)?);
    command.args(["--kernel", name]);
    command.args(CARDS.iter().flat_map(|card| ["--card", card]));
    if let Some(verification) = verification {
        command.arg("--run").arg(verification);
    }
    for row in ROWS.iter().filter(|row| scope.has(row.program)) {
        let path = programs.iter().find(|(known, _)| known == row.program);
        let path = &path.with_context(|| format!("{} is not built", row.program))?.1;
        let tests = if is_gate { row.gate } else { row.tests };
        if is_gate && tests.is_empty() {
            continue;
        }
        for (rx_path, since) in PATHS {
            let is_chosen = rx_path.is_none() || (row.on_paths && !is_gate);
            if is_chosen && age(name) >= age(since) {
                let subject = rx_path.map(|rx_path| format!("VRRPX_SUBJECT={rx_path} ")).unwrap_or_default();
                let words = tests.join(" ");
                command.arg("--run");
                command.arg(format!("{subject}{path} --test-threads={} {words}", row.threads));
            }
        }
    }
    Ok(command)
}

/// The verifier's work in a guest. The emulator measures no time, so it is computed with that of this host's kernel; in
/// the gate with a fixed one, so that a busy host fails no test.
fn verify_command(scope: Scope<'_>) -> Result<String> {
    let nanoseconds = match scope {
        Scope::Gate => NANOSECONDS.to_owned(),
        _ => verify::nanoseconds_an_instruction().context("no time for an instruction from this host")?,
    };
    Ok(format!("{} --at {nanoseconds}", built(VERIFY, false)?.display()))
}

fn machines(name: &str, programs: &[(String, String)]) -> Result<Command> {
    let (_, path) = programs.iter().find(|(known, _)| known == MACHINES).context("machines is not built")?;
    let mut command = Command::new(path);
    command.arg("--test-threads=1").env("VRRPX_KERNEL", name);
    Ok(command)
}

/// Position among the kernels, by age.
fn age(name: &str) -> Option<usize> {
    kernels::KERNELS.iter().position(|kernel| kernel.0 == name)
}

/// Builds the test programs; names and paths.
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

/// Name and path of the program that a line of cargo's output reports.
fn program(line: &str) -> Option<(String, String)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let file = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), file.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str, scope: Scope<'_>) -> String {
        let programs = ROWS.map(|row| (row.program.to_owned(), format!("/built/{}", row.program)));
        let verification = scope.has(VERIFY).then_some("/built/verify --at 900");
        show(&guest(name, &programs, verification, scope).unwrap())
    }

    #[test]
    fn a_kernel_is_asked_for_the_paths_that_it_has() {
        assert!(words("6.12", Scope::All).contains("VRRPX_SUBJECT=tcx /built/kernel"));
        assert!(!words("6.1", Scope::All).contains("VRRPX_SUBJECT=tcx"));
        assert!(words("5.10", Scope::All).contains("VRRPX_SUBJECT=generic /built/kernel"));
        assert!(words("5.10", Scope::All).contains("--run /built/xdp --test-threads=2 "));
    }

    #[test]
    fn chosen_programs_run_alone() {
        let chosen = ["kernel".to_owned()];
        let words = words("7.2", Scope::Only(&chosen));
        assert!(words.contains("VRRPX_SUBJECT=native /built/kernel"), "{words}");
        assert!(!words.contains("/built/xdp") && !words.contains("/verify"), "{words}");
    }

    #[test]
    fn the_gate_loads_and_fences() {
        for name in GATE {
            let words = words(name, Scope::Gate);
            assert!(words.contains(" load:: ") && words.contains(" fence::a_killed"), "{words}");
            assert!(words.contains("--run /built/verify --at 900 "), "{words}");
            assert!(!words.contains("netns"), "{words}");
        }
    }

    #[test]
    fn cargo_says_where_programs_are() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"xdp"},"executable":"/x/deps/xdp-1"}"#;
        assert_eq!(program(line), Some(("xdp".to_owned(), "/x/deps/xdp-1".to_owned())));
        assert_eq!(
            program(r#"{"reason":"compiler-artifact","target":{"name":"x"},"executable":null}"#),
            None
        );
        assert_eq!(program("   Compiling x"), None);
    }
}
