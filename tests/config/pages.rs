//! Agreement of the man pages and completions in `vrrp-user/dist` with the command line and the keywords.

use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};
use vrrp_user::cli::{commands, keepalived_options};
use vrrp_user::config::{Keyword, keywords};

const MANUAL: &str = "System Manager's Manual";
const SOURCE: &str = concat!("vrrpx ", env!("CARGO_PKG_VERSION"));
const EXAMPLE: &str = include_str!("../../vrrp-user/dist/vrrpx.conf");

/// Sections of vrrpx(8) behind those of its options: heading, and entries with their texts.
const SECTIONS: [(&str, &[(&str, &str)]); 4] = [
    (
        "FILES",
        &[
            ("/etc/vrrpx/vrrpx.conf", "Configuration; see `vrrpx.conf`(5)."),
            ("/etc/keepalived/keepalived.conf", "Configuration, if the file above does not exist."),
            ("/etc/default/vrrpx", "`VRRPX_OPTIONS`, further options of the daemon that systemd starts."),
            ("/run/vrrpx", "Lock, process id and control socket; `--runtime-dir` names another directory."),
            ("/sys/fs/bpf/vrrpx", "Pins of the BPF program and its maps, which outlive a killed daemon."),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            (
                "VRRPX_LOG",
                "Log level, or a filter such as `info,vrrp_user::driver=debug`; `--log` goes before it.",
            ),
            ("NO_COLOR", "No colours on terminals."),
        ],
    ),
    (
        "SIGNALS",
        &[
            ("SIGHUP", "Reload of the configuration, as by `vrrpx reload`."),
            ("SIGTERM, SIGINT", "Stop: masters hand over their addresses. A second one ends the wait."),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "Stopped on request, replaced by a hot restart, or done; see the pages of the commands."),
            ("1", "Could not start, the engine failed, or no daemon answers."),
            ("2", "Wrong option."),
            ("3", "The configuration cannot be read."),
            ("4", "The configuration has errors."),
        ],
    ),
];

#[test]
fn man_pages_and_completions_are_those_of_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vrrp-user/dist");
    let made = [man_pages(), completions()].concat();
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        for (name, text) in &made {
            std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    for (name, text) in &made {
        let written = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(&written == text, "{name} is behind the program; run with UPDATE_EXPECTED=1");
    }
    let names = made.iter().map(|(name, _)| folder.join(name)).collect::<Vec<_>>();
    for present in ["man", "completions"].iter().flat_map(|place| files(&folder.join(place))) {
        assert!(names.contains(&present), "{} belongs to no command; remove it", present.display());
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Path below `dist`, and text.
type Made = Vec<(String, String)>;

fn completions() -> Made {
    let shells = [(Shell::Bash, "vrrpx.bash"), (Shell::Zsh, "_vrrpx"), (Shell::Fish, "vrrpx.fish")];
    let made = shells.map(|(shell, name)| {
        let mut text = Vec::new();
        generate(shell, &mut visible(commands()), "vrrpx", &mut text);
        (format!("completions/{name}"), String::from_utf8(text).unwrap())
    });
    made.to_vec()
}

/// Without the commands that the program starts itself.
fn visible(all: Command) -> Command {
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect::<Vec<_>>();
    let about = all.get_about().cloned().unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    Command::new("vrrpx")
        .about(about)
        .version(version)
        .disable_help_subcommand(true)
        .subcommand_help_heading("COMMANDS")
        .subcommand_value_name("COMMAND")
        .subcommands(shown)
}

fn man_pages() -> Made {
    let mut all = visible(commands());
    all.build();
    let mut made = vec![("man/vrrpx.8".to_owned(), main_page(&all))];
    for command in all.get_subcommands() {
        let name = format!("man/vrrpx-{}.8", command.get_name());
        made.push((name, command_page(command)));
    }
    made.push(("man/vrrpx.conf.5".to_owned(), keyword_page()));
    made
}

fn main_page(all: &Command) -> String {
    let mut text = head(all);
    man(all).render_options_section(&mut text).unwrap();
    man(all).render_subcommands_section(&mut text).unwrap();
    let mut more = Roff::new();
    for (heading, entries) in SECTIONS {
        more.control("SH", [heading]);
        entries.iter().for_each(|(name, meaning)| entry(&mut more, name, meaning));
    }
    let pages = all.get_subcommands().map(|command| format!("`vrrpx-{}`(8)", command.get_name()));
    see_also(&mut more, pages.chain(["`vrrpx.conf`(5)".to_owned()]));
    finished(text, &more)
}

fn command_page(command: &Command) -> String {
    let mut text = head(command);
    man(command).render_options_section(&mut text).unwrap();
    let mut more = Roff::new();
    if command.get_name() == "keepalived" {
        more.control("SH", ["OPTIONS OF KEEPALIVED"]);
        keepalived_options().iter().for_each(|(option, meaning)| entry(&mut more, option, meaning));
    }
    see_also(&mut more, ["`vrrpx`(8)", "`vrrpx.conf`(5)"].map(str::to_owned));
    finished(text, &more)
}

fn man(command: &Command) -> Man {
    Man::new(command.clone()).section("8").source(SOURCE).manual(MANUAL)
}

/// Title, name, synopsis and description. The name goes with the first clause of the description.
fn head(command: &Command) -> Vec<u8> {
    let about = command.get_about().unwrap().to_string();
    let clause = about.split([';', ':']).next().unwrap_or_default().to_owned();
    let command = command.clone().about(clause).long_about(format!("{about}."));
    let mut text = Vec::new();
    man(&command).render_title(&mut text).unwrap();
    man(&command).render_name_section(&mut text).unwrap();
    man(&command).render_synopsis_section(&mut text).unwrap();
    man(&command).render_description_section(&mut text).unwrap();
    text
}

fn finished(mut text: Vec<u8>, more: &Roff) -> String {
    more.to_writer(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn see_also(page: &mut Roff, pages: impl IntoIterator<Item = String>) {
    page.control("SH", ["SEE ALSO"]);
    // No hyphens in names.
    page.control("nh", []);
    page.control("ad", ["l"]);
    page.text(inline(&pages.into_iter().collect::<Vec<_>>().join(", ")));
}

fn keyword_page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["vrrpx.conf", "5", "", SOURCE, "File Formats Manual"]);
    page.control("SH", ["NAME"]);
    page.text([roman("vrrpx.conf - configuration of the VRRP daemon vrrpx")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text(inline(
        "The language is that of `keepalived.conf`: a statement per line, a keyword with its values, blocks in \
         braces, comments from `#` or `!` to the end of the line. An existing file can be used unchanged. \
         `vrrpx check` finds its faults, `vrrpx explain` shows what it comes to.",
    ));
    page.control("PP", []);
    page.text(inline(
        "The daemon reads `/etc/vrrpx/vrrpx.conf`, or `/etc/keepalived/keepalived.conf` if that does not exist.",
    ));
    page.control("SH", ["EXAMPLE"]);
    page.control("nf", []);
    EXAMPLE.lines().for_each(|line| {
        page.text([roman(line)]);
    });
    page.control("fi", []);
    page.control("SH", ["KEYWORDS"]);
    page.text(inline(
        "Each entry has the keyword with its other spellings, its value, its meaning and its default. Keywords of \
         `keepalived.conf` that have no effect here are marked with what that means.",
    ));
    for table in keywords() {
        page.control("SS", [table.block]);
        table.keywords.iter().for_each(|keyword| keyword_entry(&mut page, keyword));
    }
    see_also(&mut page, ["`vrrpx`(8)", "`vrrpx-check`(8)", "`vrrpx-explain`(8)"].map(str::to_owned));
    page.render()
}

fn keyword_entry(page: &mut Roff, keyword: &Keyword) {
    let Keyword { names, value, default, state, meaning } = keyword;
    let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    page.control("TP", []);
    page.text(inline(format!("{names} {value}").trim_end()));
    let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
    let state = if state == "works" { String::new() } else { format!(" ({state})") };
    page.text(inline(&format!("{meaning}{default}{state}")));
}

fn entry(page: &mut Roff, name: &str, meaning: &str) {
    page.control("TP", []);
    page.text([bold(name)]);
    page.text(inline(meaning));
}

/// Markdown of one line: words in backquotes become bold, links their text.
fn inline(markdown: &str) -> Vec<Inline> {
    let plain = without_links(markdown).replace("\\|", "|");
    let style = |(number, part): (usize, &str)| if number % 2 == 0 { roman(part) } else { bold(part) };
    plain.split('`').enumerate().filter(|(_, part)| !part.is_empty()).map(style).collect()
}

fn without_links(markdown: &str) -> String {
    let Some((before, rest)) = markdown.split_once("](") else { return markdown.to_owned() };
    let (Some((start, text)), Some((_, after))) = (before.rsplit_once('['), rest.split_once(')')) else {
        return markdown.to_owned();
    };
    format!("{start}{text}{}", without_links(after))
}
