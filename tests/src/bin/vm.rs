//! Runs programs of this host, mostly tests, in a virtual machine with its own kernel; see `vrrp_tests::vm`.
//!
//! As cargo's runner for the host's target it runs any test program: docs/testing.md has the command.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use vrrp_tests::lab::card_address;
use vrrp_tests::vm::{Card, Guest, Hardware, Image, Kernel};

#[derive(Debug, Parser)]
#[command(about = "Runs programs in a virtual machine with a kernel of its own")]
struct Arguments {
    /// Name of a directory under target/kernels, such as 6.1
    #[arg(long)]
    kernel: String,
    #[arg(long, default_value_t = 2)]
    processors: u32,
    /// MiB
    #[arg(long, default_value_t = 1024)]
    memory: u32,
    /// Seconds that a program may take
    #[arg(long, default_value_t = 900)]
    within: u64,
    /// Add a network card of this model, card0 the first one; all are on one hub
    #[arg(long)]
    card: Vec<String>,
    /// Another program of this host
    #[arg(long)]
    with: Vec<String>,
    /// Another module of the kernel
    #[arg(long)]
    module: Vec<String>,
    /// A program with its arguments, separated by spaces, after variables as NAME=VALUE; several run in turn
    #[arg(long)]
    run: Vec<String>,
    /// A program with its arguments, run last
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<String>,
}

/// A program to run in the guest.
#[derive(Debug)]
struct Run {
    environment: Vec<(String, String)>,
    program: String,
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all have exited successfully.
fn run(arguments: &Arguments) -> Result<bool> {
    let words = |run: &String| run.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut lines: Vec<Vec<String>> = arguments.run.iter().map(words).collect();
    lines.push(arguments.program.clone());
    lines.retain(|line| !line.is_empty());
    let runs = lines.into_iter().map(Run::new).collect::<Result<Vec<_>>>()?;

    let kernel = Kernel::find(&arguments.kernel)?;
    let mut image = Image::new(&kernel)?;
    for program in arguments.with.iter().chain(runs.iter().map(|run| &run.program)) {
        image = image.program(program)?;
    }
    for module in &arguments.module {
        image = image.module(module);
    }
    let cards = (0..).zip(&arguments.card).map(|(index, model)| Card {
        name: format!("card{index}"),
        model: model.clone(),
        address: card_address(index),
        wire: "hubport,hubid=0".to_owned(),
    });
    let hardware = Hardware {
        processors: arguments.processors,
        memory: arguments.memory,
        cards: cards.collect(),
        ..Hardware::default()
    };
    let guest = Guest::boot(&image, &hardware)?;
    let mut is_well = true;
    for run in &runs {
        println!("guest: Linux {}, {run}", guest.release());
        let status = run.go(&guest, Duration::from_secs(arguments.within))?;
        println!("guest ended with status {status}");
        is_well &= status == 0;
    }
    Ok(is_well)
}

impl Run {
    fn new(words: Vec<String>) -> Result<Self> {
        let is_variable = |word: &String| word.contains('=') && !word.starts_with(['-', '/']);
        let count = words.iter().take_while(|word| is_variable(word)).count();
        let mut words = words.into_iter();
        let mut environment: Vec<_> = words
            .by_ref()
            .take(count)
            .filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        // In CI no test is skipped.
        environment.extend(std::env::var("CI").ok().map(|value| ("CI".to_owned(), value)));
        let program = words.next().context("no program to run")?;
        Ok(Self { environment, program, arguments: words.collect() })
    }

    fn go(&self, guest: &Guest, within: Duration) -> Result<i32> {
        let place = Image::place(Path::new(&self.program));
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let job = guest.start_program(&place.to_string_lossy(), &arguments, &environment)?;
        job.follow(within, |line, is_error| {
            // The reader may have gone.
            let _closed = if is_error {
                std::io::stderr().write_all(line.as_bytes())
            } else {
                std::io::stdout().write_all(line.as_bytes())
            };
        })
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{name}={value} ")?;
        }
        write!(f, "{}", Image::place(Path::new(&self.program)).display())?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}
