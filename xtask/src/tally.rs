//! Counts of test results, from the output of test programs.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::cargo::show;

/// Results so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Lines `skipped: NAME (reason)`.
    pub(crate) skipped: Vec<String>,
    /// Names of failed tests and checks.
    pub(crate) failures: Vec<String>,
    /// Output of the failed tests, to repeat it next to the summary.
    pub(crate) output: Vec<String>,
    /// Whether the next line belongs to it.
    in_output: bool,
    /// Guest that the tests run in, if any.
    place: String,
}

impl Tally {
    /// Counts a check that is not a test program.
    pub(crate) fn check(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                self.fail(name);
            }
        }
    }

    /// Counts tests that cannot run here, which in CI is a failure.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        if std::env::var_os("CI").is_some() {
            eprintln!("{name} cannot be skipped in CI: {reason}");
            self.fail(name);
        } else {
            // Counted as passed, as libtest counts skipped tests.
            self.passed += 1;
            self.skipped.push(format!("{name} ({reason})"));
        }
    }

    /// Runs a command and counts its tests.
    pub(crate) fn run(&mut self, mut command: Command) -> Result<()> {
        let name = show(&command);
        println!("\n$ {name}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|output| Box::new(output) as _),
            child.stderr.take().map(|output| Box::new(output) as _),
        ];
        let failed_before = self.failed;
        self.place.clear();
        let shared = Mutex::new(&mut *self);
        std::thread::scope(|scope| {
            for output in outputs.into_iter().flatten() {
                scope.spawn(|| {
                    for line in BufReader::new(output).lines().map_while(Result::ok) {
                        println!("{line}");
                        shared.lock().unwrap_or_else(PoisonError::into_inner).line(&line);
                    }
                });
            }
        });
        // It may fail without a failed test: it did not compile, or a test program crashed.
        if !child.wait()?.success() && self.failed == failed_before {
            self.fail(&name);
        }
        Ok(())
    }

    /// The last line.
    pub(crate) fn summary(&self) -> String {
        // libtest cannot skip a test at run time: it counts one that returns at once as passed.
        format!("{} passed, {} failed", self.passed.saturating_sub(self.skipped.len()), self.failed)
    }

    fn fail(&mut self, name: &str) {
        self.failed += 1;
        self.failures.push(name.to_owned());
    }

    fn line(&mut self, line: &str) {
        if line.starts_with("---- ") && line.ends_with(" stdout ----") {
            self.in_output = true;
        } else if line == "failures:" {
            self.in_output = false;
        }
        if self.in_output {
            self.output.push(line.to_owned());
        }
        // When tests run one at a time, libtest's `test NAME ... ` may precede it.
        if let Some((_, skip)) = line.split_once("skipped: ") {
            self.skipped.push(skip.to_owned());
        } else if let Some(test) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(format!("{test}{}", self.place));
        } else if let Some(place) = line.strip_prefix("guest: ") {
            self.place = format!(" (in {place})");
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
        }
    }
}

/// The number before `word` in `ok. 3 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> usize {
    let words: Vec<_> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let pair = words.windows(2).find(|pair| pair.last() == Some(&word));
    pair.and_then(|pair| pair.first()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_add_up() {
        let mut tally = Tally::default();
        for line in [
            "test wire::vrrp::tests::short ... FAILED",
            "test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2.00s",
            "test v2 ... skipped: v2 (keepalived is not installed)",
            "guest: Linux 6.1, /usr/bin/xdp",
            "test fence::tags ... FAILED",
            "failures:",
            "---- fence::tags stdout ----",
            "Error: node 0 answers",
            "failures:",
            "    fence::tags",
        ] {
            tally.line(line);
        }
        assert_eq!(tally.summary(), "14 passed, 1 failed");
        assert_eq!(tally.failures, ["wire::vrrp::tests::short", "fence::tags (in Linux 6.1, /usr/bin/xdp)"]);
        assert_eq!(tally.skipped, ["v2 (keepalived is not installed)"]);
        assert_eq!(tally.output, ["---- fence::tags stdout ----", "Error: node 0 answers"]);
    }

    #[test]
    fn a_program_that_fails_without_a_result_counts_as_one_failure() {
        let mut tally = Tally::default();
        tally.run(Command::new("false")).unwrap();
        assert_eq!(tally.summary(), "0 passed, 1 failed");
    }
}
