//! Agreement of docs/commands.md with the command line.

use std::path::Path;

use clap::builder::StyledStr;
use clap::{Arg, Command};
use vrrp_user::cli::commands;
use vrrp_user::config::wrapped_at;

const HEAD: &str = "# Commands

All commands of `vrrpx` with their options, as `--help` prints them. [Operations](operations.md) says when to use which.
Exit codes: 0 done; 1 failed, or no daemon answers; 2 wrong option; 3 the configuration cannot be read; 4 it has errors;
`status` and `is-master` have [codes of their own](operations.md#status).
";

#[test]
fn the_page_of_commands_is_that_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
    let page = page();
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/commands.md is behind the program; run with UPDATE_EXPECTED=1");
}

/// Of each command, also of those that the page does not show.
#[test]
fn every_command_argument_and_value_has_a_help_text() {
    let mut all = commands();
    all.build();
    let mut lacking = Vec::new();
    without_help("vrrpx", &all, &mut lacking);
    assert_eq!(lacking, [""; 0]);
}

fn without_help(name: &str, command: &Command, lacking: &mut Vec<String>) {
    let is_empty = |text: Option<&StyledStr>| text.is_none_or(|it| it.to_string().trim().is_empty());
    if is_empty(command.get_about()) {
        lacking.push(name.to_owned());
    }
    for arg in command.get_arguments() {
        if is_empty(arg.get_help()) {
            lacking.push(format!("{name} {}", arg.get_id()));
        }
        let takes_values = arg.get_action().takes_values();
        for value in arg.get_possible_values().iter().filter(|_| takes_values) {
            if is_empty(value.get_help()) {
                lacking.push(format!("{name} {} {}", arg.get_id(), value.get_name()));
            }
        }
    }
    for inner in command.get_subcommands() {
        without_help(&format!("{name} {}", inner.get_name()), inner, lacking);
    }
}

fn page() -> String {
    let mut all = commands();
    all.build();
    let mut text = HEAD.to_owned();
    for command in all.get_subcommands().filter(|command| shown(command)) {
        section(&mut text, "vrrpx", command, 2);
    }
    text
}

fn shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn section(text: &mut String, above: &str, command: &Command, level: usize) {
    let name = format!("{above} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).unwrap().to_string();
    text.push_str(&format!("\n{} {name}\n\n", "#".repeat(level)));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    text.push_str(&format!("```text\n{usage}\n```\n\n"));
    text.push_str(&wrapped(&sentence(&about)));
    let arguments: Vec<&Arg> = command.get_arguments().filter(|arg| has_row(arg)).collect();
    if !arguments.is_empty() {
        text.push_str("\n| argument | meaning |\n|---|---|\n");
        arguments.iter().for_each(|arg| text.push_str(&row(arg)));
    }
    for inner in command.get_subcommands().filter(|inner| shown(inner)) {
        section(text, &name, inner, level + 1);
    }
}

/// Not `--help`, which every command has.
fn has_row(arg: &Arg) -> bool {
    !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

fn row(arg: &Arg) -> String {
    let flags = [arg.get_short().map(|it| format!("-{it}")), arg.get_long().map(|it| format!("--{it}"))];
    let flags = flags.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let takes =
        arg.get_action().takes_values() && arg.get_num_args().is_none_or(|number| number.takes_values());
    let values =
        arg.get_value_names().unwrap_or_default().iter().map(|it| it.to_string()).collect::<Vec<_>>();
    let values = if takes { values.join(" ") } else { String::new() };
    let name = format!("{flags} {values}");
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut more = Vec::new();
    let possible = arg.get_possible_values();
    let possible: Vec<_> =
        possible.iter().filter(|it| !it.is_hide_set()).map(|it| format!("`{}`", it.get_name())).collect();
    if takes && !possible.is_empty() {
        more.push(format!("one of {}", possible.join(", ")));
    }
    let default =
        arg.get_default_values().iter().map(|it| it.to_string_lossy().into_owned()).collect::<Vec<_>>();
    if takes && !default.is_empty() {
        more.push(format!("default `{}`", default.join(" ")));
    }
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join("; ")) };
    let cell = format!("{help}{more}").replace('|', "\\|").replace('\n', " ");
    format!("| `{}` | {cell} |\n", name.trim())
}

fn sentence(about: &str) -> String {
    let about = about.trim().trim_end_matches('.');
    format!("{about}.")
}

/// In lines of at most 120 characters.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.split("\n\n") {
        if !lines.is_empty() {
            lines.push('\n');
        }
        let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        wrapped_at(120, &mut lines, "", &words, 0);
    }
    lines
}
