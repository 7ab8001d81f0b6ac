//! `cargo xtask verify`: loads the BPF program on the running kernel and prints the verifier's work for each entry.
//!
//! An emulated machine measures no time. There the time is computed: the instructions that its kernel walks, at the
//! time for an instruction that another kernel took on real hardware (`--at`).

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use nix::sys::utsname::uname;
use vrrp_user::driver::xdp::{Entry, Program};

/// Every kernel since 5.2 refuses a program of more (BPF_COMPLEXITY_LIMIT_INSNS).
const INSTRUCTIONS: u32 = 1_000_000;
/// On the slowest kernel in use; the daemon's start waits for it.
const TIME: Duration = Duration::from_millis(100);
/// The shortest of so many loads counts: other work on the machine can only make one longer.
const LOADS: usize = 5;

#[derive(Debug, Parser)]
#[command(about = "Loads the BPF program and judges the verifier's work by the budget")]
struct Arguments {
    /// Print only the nanoseconds that this kernel takes for an instruction, on the slower entry
    #[arg(long)]
    per_instruction: bool,
    /// Compute the time of a load with this many nanoseconds an instruction instead of measuring it
    #[arg(long, value_name = "NS")]
    at: Option<f64>,
}

/// The verifier's work for an entry.
struct Work {
    entry: Entry,
    program: &'static str,
    instructions: u32,
    time: Duration,
}

impl Work {
    fn nanoseconds_an_instruction(&self) -> f64 {
        self.time.as_secs_f64() * 1e9 / f64::from(self.instructions)
    }

    /// The time that the budget judges.
    fn judged(&self, at: Option<f64>) -> Duration {
        let computed = |at| Duration::try_from_secs_f64(f64::from(self.instructions) * at / 1e9);
        at.map_or(self.time, |at| computed(at).unwrap_or(Duration::MAX))
    }
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

/// Whether every entry is within the budget.
fn run(arguments: &Arguments) -> Result<bool> {
    if arguments.per_instruction {
        let all = Entry::ALL.into_iter().map(|entry| work(entry, LOADS)).collect::<Result<Vec<_>>>()?;
        println!("{:.0}", all.iter().map(Work::nanoseconds_an_instruction).fold(0.0, f64::max));
        return Ok(true);
    }
    let release = uname().map(|it| it.release().to_string_lossy().into_owned()).unwrap_or_default();
    println!(
        "Linux {release}; the budget is {INSTRUCTIONS} instructions and {} ms an entry",
        TIME.as_millis()
    );
    let loads = match arguments.at {
        Some(at) => {
            println!("time: computed, at {at:.0} ns an instruction as measured on another kernel");
            1
        }
        None => {
            println!("time: of the processor, the shortest of {LOADS} loads");
            LOADS
        }
    };
    println!(
        "{:<6} {:<16} {:>12} {:>10} {:>15}",
        "entry", "program", "instructions", "time", "an instruction"
    );
    let mut is_within = true;
    for entry in Entry::ALL {
        let work = match work(entry, loads) {
            Ok(work) => work,
            Err(error) => {
                println!("{:<6} {error:#}", entry.as_str());
                is_within = false;
                continue;
            }
        };
        let time = work.judged(arguments.at);
        let each = arguments.at.unwrap_or_else(|| work.nanoseconds_an_instruction());
        println!(
            "{:<6} {:<16} {:>12} {:>7.1} ms {each:>12.0} ns",
            work.entry.as_str(),
            work.program,
            work.instructions,
            time.as_secs_f64() * 1e3
        );
        if work.instructions > INSTRUCTIONS || time > TIME {
            println!("{:<6} exceeds the budget", entry.as_str());
            is_within = false;
        }
    }
    Ok(is_within)
}

/// Loads an entry alone, so that the other one does not compete for the processors.
fn work(entry: Entry, loads: usize) -> Result<Work> {
    let mut best = None;
    for _ in 0..loads {
        let program = Program::load_only(1, &[entry])?;
        let verified = program.verification(entry).map_err(|error| anyhow!("{error}"))?;
        best = best.into_iter().chain([(verified, program)]).min_by_key(|(verified, _)| verified.duration);
    }
    let (verified, program) = best.context("no load")?;
    let instructions = program.instructions_by_log(entry).context("no count in the verifier's log")?;
    let reported = verified.instructions.unwrap_or(instructions);
    ensure!(reported == instructions, "the kernel reports {reported} instructions, its log {instructions}");
    Ok(Work { entry, program: verified.program, instructions, time: verified.duration })
}
