//! `test`: the gate.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use crate::build::BUS;
use crate::cargo::{cargo, run};
use crate::guests::Scope;
use crate::tally::Tally;
use crate::{build, docs, guests, kernels, layers, lint, packages, prose};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Run only the tests for kernels, in a virtual machine with this one; may be repeated
    #[arg(long, value_name = "VERSION", value_parser = names())]
    kernel: Vec<String>,
    /// Run only this program there; may be repeated
    #[arg(long, value_name = "PROGRAM", requires = "kernel", value_parser = programs())]
    only: Vec<String>,
}

fn names() -> PossibleValuesParser {
    kernels::KERNELS.iter().map(|kernel| kernel.0).chain(["all"]).collect::<Vec<_>>().into()
}

fn programs() -> PossibleValuesParser {
    guests::programs().collect::<Vec<_>>().into()
}

/// End of the names of tests that mostly wait, by their attribute `waits`.
const WAITS: &str = "::waits";

/// Tests with these words in their names run alone: they see what all daemons of a machine share, pins in bpffs, or
/// keep its kernel busy. A flood fills the queue that a processor has for the frames of all namespaces.
const ALONE: [&str; 4] = ["orphans::", "interface_lock::", "forged_adverts", "a_flood"];

/// Prints what was skipped and what failed, and the sum as the last line.
pub(crate) fn test(arguments: &Arguments) -> Result<ExitCode> {
    let mut tally = Tally::default();
    if arguments.kernel.is_empty() {
        packages::install()?;
        tally.check("build", build::for_tests());
        everything(&mut tally)?;
    } else {
        packages::install_of(|program| packages::GUESTS.contains(&program))?;
        tally.check("build", build::daemon(false));
        let scope = if arguments.only.is_empty() { Scope::All } else { Scope::Only(&arguments.only) };
        guests::test(&mut tally, &kernels::chosen(&arguments.kernel), scope)?;
    }

    for skipped in &tally.skipped {
        println!("skipped: {skipped}");
    }
    for line in &tally.output {
        println!("{line}");
    }
    for failure in &tally.failures {
        println!("failed: {failure}");
    }
    println!("{}", tally.summary());
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn everything(tally: &mut Tally) -> Result<()> {
    for (name, command) in lint::checks()? {
        tally.check(name, run(command));
    }
    tally.check("layers", layers::check());
    tally.check("prose", prose::check());
    tally.check("docs", docs::check());

    let mut units = cargo()?;
    // Without the two whose features would have others built again.
    units.args(["test", "--workspace", "--exclude", "vrrp-tests", "--exclude", BUS, "--no-fail-fast"]);
    tally.run(units)?;
    tally.run(daemons(&["--test-threads=8", WAITS])?)?;
    // Most of these have to be on time, and wait for half of it: three of them leave two processors idle at times.
    let others = ALONE.iter().flat_map(|alone| ["--skip", alone]);
    let others: Vec<&str> = ["--test-threads=3", "--skip", WAITS].into_iter().chain(others).collect();
    tally.run(daemons(&others)?)?;
    tally.run(daemons(&[&["--test-threads=1", "--skip", WAITS], &ALONE[..]].concat())?)?;
    guests::test(tally, &guests::GATE, Scope::Gate)
}

fn daemons(arguments: &[&str]) -> Result<Command> {
    let mut command = cargo()?;
    command.args(["test", "--package", "vrrp-tests", "--no-fail-fast", "--"]).args(arguments);
    Ok(command)
}
