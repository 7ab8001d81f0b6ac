//! `cargo xtask verify`: loads the BPF program on the running kernel and prints the verifier's work for each entry.

use std::process::ExitCode;
use std::time::Duration;

use nix::sys::utsname::uname;
use vrrp_user::driver::xdp::{Entry, Program};

/// Every kernel since 5.2 refuses a program of more (BPF_COMPLEXITY_LIMIT_INSNS).
const INSTRUCTIONS: u32 = 1_000_000;
/// On the slowest kernel in use; the daemon's start waits for it.
const TIME: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let release = uname().map(|it| it.release().to_string_lossy().into_owned()).unwrap_or_default();
    println!(
        "Linux {release}; the budget is {INSTRUCTIONS} instructions and {} ms an entry",
        TIME.as_millis()
    );
    let program = match Program::load(1) {
        Ok(program) => program,
        Err(error) => {
            println!("no entry can be loaded: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut outcome = ExitCode::SUCCESS;
    println!("{:<6} {:<16} {:>12} {:>10}", "entry", "program", "instructions", "time");
    for entry in Entry::ALL {
        match program.verification(entry) {
            Ok(it) => {
                let instructions = it.instructions.map_or("-".to_owned(), |count| count.to_string());
                let time = format!("{:.1} ms", it.duration.as_secs_f64() * 1e3);
                println!("{:<6} {:<16} {instructions:>12} {time:>10}", entry.as_str(), it.program);
            }
            Err(error) => {
                println!("{:<6} {error}", entry.as_str());
                outcome = ExitCode::FAILURE;
            }
        }
    }
    outcome
}
