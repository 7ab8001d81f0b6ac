//! Named numbers, as in the `ip` command: a number, a well-known name, or a name from its files.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::diagnostic::{Report, did_you_mean};
use super::super::file;
use super::super::lexer::Word;
use super::super::source::Position;

/// Names of one kind.
#[derive(Debug)]
pub(super) struct Names {
    what: &'static str,
    /// Built in.
    known: &'static [(&'static str, u32)],
    /// File in the folders of iproute2: `NUMBER NAME` per line. Files `FILE.d/*.conf` count too.
    file: &'static str,
    most: u32,
}

/// Most bytes of a file of names.
const FILE_MAX: u64 = 1 << 20;

/// RT_TABLE_MAIN.
pub(super) const MAIN: u32 = 254;

/// Default protocol of routes and rules: RTPROT_KEEPALIVED.
pub(super) const KEEPALIVED: u8 = 18;

pub(super) const TABLES: Names = Names {
    what: "table",
    known: &[("local", 255), ("main", MAIN), ("default", 253)],
    file: "rt_tables",
    most: u32::MAX,
};

pub(super) const PROTOCOLS: Names = Names {
    what: "protocol",
    known: &[
        ("redirect", 1),
        ("kernel", 2),
        ("boot", 3),
        ("static", 4),
        ("ra", 9),
        ("keepalived", KEEPALIVED as u32),
    ],
    file: "rt_protos",
    most: 255,
};

pub(super) const TOS: Names = Names { what: "tos", known: &[], file: "rt_dsfield", most: 255 };

pub(super) const REALMS: Names = Names { what: "realm", known: &[], file: "rt_realms", most: 0xffff };

pub(super) const GROUPS: Names =
    Names { what: "interface group", known: &[("default", 0)], file: "group", most: u32::MAX };

pub(super) const IP_PROTOCOLS: Names = Names {
    what: "IP protocol",
    known: &[
        ("icmp", 1),
        ("igmp", 2),
        ("tcp", 6),
        ("udp", 17),
        ("dccp", 33),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("ipv6-icmp", 58),
        ("ospf", 89),
        ("vrrp", 112),
        ("sctp", 132),
        ("udplite", 136),
    ],
    file: "",
    most: 255,
};

/// In order of precedence: the administrator's files before the distribution's.
const FOLDERS: [&str; 3] = ["/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"];

impl Names {
    pub(super) fn number(&self, word: &Word, report: &mut Report) -> Option<u32> {
        let Self { what, known, most, .. } = self;
        let found = digits(&word.text)
            .or_else(|| known.iter().find(|(name, _)| *name == word.text).map(|(_, number)| *number))
            .or_else(|| self.of_files(&word.text))
            .filter(|number| number <= most);
        if found.is_none() {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let mut help = "write its number".to_owned();
            if !names.is_empty() {
                help.push_str(&format!(", or one of {}", names.join(", ")));
            }
            if !self.file.is_empty() {
                help.push_str(&format!(", or a name from {}/{}", FOLDERS[0], self.file));
            }
            report
                .left_out(word.at, format!("unknown {what} `{}`", word.text))
                .help_with(|| did_you_mean(&word.text, names).or(Some(help)));
        }
        found
    }

    /// As [`Self::number`], for eight bits.
    pub(super) fn octet(&self, word: &Word, report: &mut Report) -> Option<u8> {
        u8::try_from(self.number(word, report)?).ok()
    }

    /// Looks in the files; unreadable ones are skipped.
    fn of_files(&self, name: &str) -> Option<u32> {
        if self.file.is_empty() {
            return None;
        }
        let paths = FOLDERS.iter().flat_map(|folder| files(Path::new(folder), self.file));
        paths
            .filter_map(|path| file::read(&path, FILE_MAX).ok())
            .find_map(|(text, _)| named(&String::from_utf8_lossy(&text), name))
    }
}

fn files(folder: &Path, file: &str) -> Vec<PathBuf> {
    let mut paths = vec![folder.join(file)];
    let further = fs::read_dir(folder.join(format!("{file}.d"))).into_iter().flatten().flatten();
    paths.extend(
        further.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "conf")),
    );
    paths
}

/// Number of a name in the text of a file.
fn named(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let number = words.next()?;
        (words.next() == Some(name)).then(|| digits(number)).flatten()
    })
}

/// Decimal, or hexadecimal after `0x`.
pub(super) fn digits(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

pub(super) fn number(text: &str, at: Position, report: &mut Report) -> Option<u32> {
    let number = digits(text);
    if number.is_none() {
        report.left_out(at, format!("`{text}` is not a number"));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_names_are_read_as_ip_reads_them() {
        let text = "#\n255\tlocal\n0x64  dmz # of the firewall\n#7 out\nx y\n300\n301 a b\n";
        let found = ["local", "dmz", "out", "y", "a"].map(|name| named(text, name));
        assert_eq!(found, [Some(255), Some(100), None, None, Some(301)]);
    }
}
