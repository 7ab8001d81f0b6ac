//! `cargo xtask`: one file for each verb.

mod bench;
mod build;
mod cargo;
mod ci;
mod circles;
mod dist;
mod docs;
mod glossary;
mod guests;
mod install;
mod kernels;
mod lab;
mod layers;
mod lint;
mod packages;
mod prose;
mod rooms;
mod run;
mod setup;
mod tally;
mod test;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Builds, runs, tests and measures the project")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install missing build dependencies: rust-src, and bpf-linker under target/
    Setup,
    /// Build the daemon with its BPF program
    Build(build::Arguments),
    /// Show a failover in a lab of network namespaces; with --config, run the daemon on this host
    Run(run::Arguments),
    /// Load the BPF program on the running kernel, as root, and print the verifier's statistics for each entry
    Verify,
    /// Check and test everything; with --kernel, test in virtual machines with other kernels
    Test(test::Arguments),
    /// Measure cost and failover times
    Bench(bench::Arguments),
    /// Check formatting and lints, for the host and for BPF
    Lint,
    /// Check the text of comments and Markdown: width, words, heads; and public types against the glossary
    Prose,
    /// Check everything that needs neither root nor a kernel: lints, layers, prose, documentation, dependencies,
    /// spelling
    Ci,
    /// Make the documentation a site under target/site, with mdBook
    Docs,
    /// Check that each layer uses only the layers it may use
    Layers,
    /// Install binary, unit, man pages, completions and example configuration
    Install(install::Arguments),
    /// Make packages: deb, rpm, tarball, container image
    Dist(dist::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().verb.act() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Verb {
    fn act(self) -> Result<ExitCode> {
        match self {
            Self::Setup => setup::setup()?,
            Self::Build(arguments) => build::build(&arguments)?,
            Self::Run(arguments) => run::run(&arguments)?,
            Self::Verify => return verify::verify(),
            Self::Test(arguments) => return test::test(&arguments),
            Self::Bench(arguments) => bench::bench(&arguments)?,
            Self::Lint => lint::lint()?,
            Self::Prose => prose::check()?,
            Self::Ci => ci::ci()?,
            Self::Docs => docs::docs()?,
            Self::Layers => layers::check()?,
            Self::Install(arguments) => install::install(&arguments)?,
            Self::Dist(arguments) => dist::dist(&arguments)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
