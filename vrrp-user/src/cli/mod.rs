//! Command line.
//!
//! Enters: arguments. Leaves: an exit code, and text for display. Absent: logic; every command is one call into the
//! layers below.

mod announce;
mod check;
mod cleanup;
mod detect;
mod doctor;
mod events;
mod explain;
mod failover;
mod guard;
mod is_master;
mod keepalived;
mod log_level;
mod maintenance;
mod priority;
mod reload;
mod run;
mod span;
mod status;
mod steer;
#[cfg(feature = "top")]
pub mod top;
mod trace;
mod tune;

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use serde::Serialize;
use tracing::Level;

use crate::config::{folded, words};
use crate::daemon::log::{self, Sink};
use crate::daemon::process::runtime_dir;
use crate::daemon::run::RunError;
use crate::daemon::status::Status;
use crate::daemon::steering::unknown_name;
use crate::driver::terminal;

const RUNTIME_DIR: &str = runtime_dir::DEFAULT;

/// The command that a daemon starts its guard by; people have no use for it.
const GUARD: &str = "guard";

/// Least columns that a screen is made for.
const COLUMNS_MIN: usize = 20;

/// Exit code for a name that is not configured, as for other wrong arguments.
const UNKNOWN_NAME: u8 = 2;

/// VRRP daemon that detects a dead master in XDP and reads keepalived.conf as it is.
#[derive(Debug, Parser)]
#[command(name = "vrrpx", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run(run::Arguments),
    /// Check a configuration; exits with 0, 3 (cannot be read), 4 (errors) or 5 (lines left out, as keepalived does)
    Check(check::Arguments),
    /// Explain a configuration: effective values and their origins, election times, traps
    Explain(explain::Arguments),
    /// Show who is master, why, since when, and what is wrong; exits with 0 (all is well), 10 (a problem), 20 (an
    /// instance in FAULT, two masters, or an address of a master that is not answered) or 1 (no daemon)
    Status(status::Arguments),
    /// Show instances, peers, checks and events on the whole terminal, again each second
    #[cfg(feature = "top")]
    Top(top::Arguments),
    /// Exit with 0 if an instance or sync group is MASTER on this node, 1 if it is not, 3 without a daemon
    IsMaster(is_master::Arguments),
    /// Show events: transitions, checks, faults, reloads
    Events(events::Arguments),
    /// Make a running daemon reload its configuration; exits with 4 if that has errors
    Reload(reload::Arguments),
    /// Find known traps of this host for the configuration; exits with 0, 10 (warnings) or 20 (failures)
    Doctor(doctor::Arguments),
    /// List the virtual routers that are heard on an interface
    Detect(detect::Arguments),
    /// Show adverts as they come, each with the verdict of this node
    Trace(trace::Arguments),
    /// Derive the advert interval from the gaps that a running daemon has measured
    Tune(tune::Arguments),
    /// Keep instances out of the election, or let them take part again: a master hands over first, without a gap
    Maintenance(maintenance::Arguments),
    /// Hand the addresses of an instance over to its heir, without a gap, and compete with priority 1 for a while
    Failover(failover::Arguments),
    /// Change the base priority of an instance; tracked objects still add to it
    Priority(priority::Arguments),
    /// Announce the addresses of masters again: gratuitous ARP, unsolicited neighbour advertisements
    Announce(announce::Arguments),
    /// Change the daemon's log level
    Log(log_level::Arguments),
    /// Remove what killed daemons of this network namespace have left, if their guards died too; for a return to
    /// keepalived
    Cleanup(cleanup::Arguments),
    /// Accept keepalived's options and behave as it does, as this program also does under the name keepalived
    #[command(disable_help_flag = true)]
    Keepalived {
        /// Options of keepalived, as its manual has them
        #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<OsString>,
    },
}

/// The commands and their options, for man pages and completions.
pub fn commands() -> clap::Command {
    Cli::command()
}

/// keepalived's options, each with its effect here, for the man page.
pub fn keepalived_options() -> Vec<(String, String)> {
    keepalived::options()
}

/// Runs the command of the arguments. The first argument is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Started by the daemon. Its memory is locked, and the parser would be in it.
    if matches!(&arguments[..], [_, command] if command == GUARD) {
        return guard::guard();
    }
    let mut arguments = arguments.into_iter().peekable();
    let name = arguments.peek().and_then(|name| Path::new(name).file_name()).map(OsStr::to_owned);
    if name.is_some_and(|name| name == keepalived::NAME) {
        return keepalived::main(arguments.skip(1));
    }
    match Cli::try_parse_from(arguments) {
        Ok(Cli { command: Command::Run(arguments) }) => run::run(arguments),
        Ok(Cli { command: Command::Check(arguments) }) => check::check(&arguments),
        Ok(Cli { command: Command::Explain(arguments) }) => explain::explain(&arguments),
        Ok(Cli { command: Command::Status(arguments) }) => status::status(&arguments),
        #[cfg(feature = "top")]
        Ok(Cli { command: Command::Top(arguments) }) => top::top(&arguments),
        Ok(Cli { command: Command::IsMaster(arguments) }) => is_master::is_master(&arguments),
        Ok(Cli { command: Command::Events(arguments) }) => events::events(&arguments),
        Ok(Cli { command: Command::Reload(arguments) }) => reload::reload(&arguments),
        Ok(Cli { command: Command::Doctor(arguments) }) => doctor::doctor(&arguments),
        Ok(Cli { command: Command::Detect(arguments) }) => detect::detect(&arguments),
        Ok(Cli { command: Command::Trace(arguments) }) => trace::trace(&arguments),
        Ok(Cli { command: Command::Tune(arguments) }) => tune::tune(&arguments),
        Ok(Cli { command: Command::Maintenance(arguments) }) => maintenance::maintenance(arguments),
        Ok(Cli { command: Command::Failover(arguments) }) => failover::failover(arguments),
        Ok(Cli { command: Command::Priority(arguments) }) => priority::priority(arguments),
        Ok(Cli { command: Command::Announce(arguments) }) => announce::announce(arguments),
        Ok(Cli { command: Command::Log(arguments) }) => log_level::log(arguments),
        Ok(Cli { command: Command::Cleanup(arguments) }) => cleanup::cleanup(&arguments),
        Ok(Cli { command: Command::Keepalived { options } }) => keepalived::main(options),
        Err(error) => {
            let text = error.render().to_string();
            let text = text.trim_end();
            // Help and version are errors to clap too; they go to stdout with code 0. Text that fits has colours.
            match error.use_stderr() {
                true if folded_to_stderr(text) != text => report(text),
                false if folded_to_screen(text).trim_end() != text => drop(print(&folded_to_screen(text))),
                _ => drop(error.print()),
            }
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

/// Writes to stdout; false if the text is lost.
fn print(text: &str) -> bool {
    !is_lost(&write_stdout(text))
}

/// Columns of the terminal that stdout is, or that a program shows it on which says so, such as `watch`. Without
/// either, lines have the width that a screen is made for.
fn screen_columns() -> usize {
    let set = || std::env::var("COLUMNS").ok()?.parse().ok();
    let columns = terminal::columns(&io::stdout()).or_else(set);
    columns.map_or(usize::MAX, |columns: usize| columns.max(COLUMNS_MIN))
}

/// A text that is made for no width.
fn folded_to_screen(text: &str) -> String {
    folded(screen_columns(), text)
}

/// The same for stderr, without a line feed at the end.
fn folded_to_stderr(text: &str) -> String {
    let columns = terminal::columns(&io::stderr()).map_or(usize::MAX, |columns| columns.max(COLUMNS_MIN));
    let folded = folded(columns, text);
    folded.strip_suffix('\n').unwrap_or(&folded).to_owned()
}

/// A line of JSON; `None` after an error, which is reported.
fn json(value: &impl Serialize) -> Option<String> {
    let json = serde_json::to_string(value).inspect_err(|error| complain(&error.to_string()));
    Some(json.ok()? + "\n")
}

/// Why a command that prints again and again ends.
enum Unprinted {
    /// An error of stdout, which is reported.
    Lost,
    /// The reader has closed the pipe.
    Closed,
}

/// Prints one of many outputs.
fn print_next(text: &str) -> Result<(), Unprinted> {
    let written = write_stdout(text);
    match is_lost(&written) {
        true => Err(Unprinted::Lost),
        false => written.map_err(|_| Unprinted::Closed),
    }
}

fn write_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// Reports an error of stdout and returns whether there was one. A closed pipe is no error.
fn is_lost(written: &io::Result<()>) -> bool {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("stdout: {error}"));
            true
        }
        _ => false,
    }
}

/// Rejects a name that the daemon does not know.
fn unknown(name: &str, status: &Status) -> ExitCode {
    let instances = status.instances.iter().map(|it| it.name.as_str());
    let names = instances.chain(status.groups.iter().map(|it| it.name.as_str()));
    complain(&unknown_name(name, names));
    ExitCode::from(UNKNOWN_NAME)
}

/// Why an interface could not be listened on.
fn unheard(interface: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENODEV) => format!("there is no interface {interface}"),
        Some(libc::EPERM | libc::EACCES) => {
            format!("{interface}: listening needs CAP_NET_RAW; run as root")
        }
        _ => format!("{interface}: {error}"),
    }
}

fn complain(text: &str) {
    write_stderr(&log::plain(Level::ERROR, &folded_to_stderr(&words(format!("vrrpx: {text}")))));
}

/// Reports why the daemon ends: in its log, one line for each finding, and on stderr if that is not the log.
fn give_up(error: &RunError, sink: Sink) -> ExitCode {
    if sink != Sink::Stderr {
        error.findings().iter().for_each(|finding| tracing::error!("{finding}"));
    }
    if sink != Sink::Journal {
        log::write_plain(Level::ERROR, &format!("vrrpx: {error}"));
    }
    ExitCode::from(error.exit_code())
}

/// Writes a line to stderr and ignores errors, as its reader may be gone. The line is formatted first: stderr is
/// unbuffered and would get one write for each piece.
fn report(line: impl Display) {
    write_stderr(&format!("{}\n", folded_to_stderr(&words(line))));
}

fn write_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_that_has_gone_loses_nothing() {
        assert!(!is_lost(&Ok(())));
        assert!(!is_lost(&Err(io::ErrorKind::BrokenPipe.into())));
        assert!(is_lost(&Err(io::ErrorKind::StorageFull.into())));
    }
}
