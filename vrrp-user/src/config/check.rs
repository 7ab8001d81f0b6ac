//! What a check looks at.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::model::ScriptCommand;

/// One way to learn whether a service is well.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckTarget {
    /// Exit status 0 is good. A `vrrp_script`, or `exec`, which never takes a shell.
    Command(ScriptCommand),
    /// A connection is accepted.
    Tcp(Endpoint),
    Unix(PathBuf),
    Http(HttpTarget),
    Haproxy(HaproxyTarget),
    Dns(DnsTarget),
    /// An echo request is answered.
    Ping(Host),
    Docker(DockerTarget),
    /// A unit of systemd is active.
    Systemd(Arc<str>),
    Process(ProcessTarget),
    /// The number in a file counts, times the weight.
    File(FileTarget),
}

impl CheckTarget {
    /// The keyword, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Tcp(_) => "tcp",
            Self::Unix(_) => "unix",
            Self::Http(_) => "http",
            Self::Haproxy(_) => "haproxy",
            Self::Dns(_) => "dns",
            Self::Ping(_) => "ping",
            Self::Docker(_) => "docker",
            Self::Systemd(_) => "systemd",
            Self::Process(_) => "process",
            Self::File(_) => "file",
        }
    }
}

/// Where a service listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    pub host: Host,
    pub port: u16,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    Address(IpAddr),
    /// Looked up anew for each attempt.
    Name(Arc<str>),
}

/// A request, and what its answer must be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpTarget {
    pub url: Arc<str>,
    pub method: Arc<str>,
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    pub status: RangeInclusive<u16>,
    /// Text that the body must hold within its first [`BODY`] bytes.
    pub body: Option<Arc<str>>,
    pub verify_tls: bool,
}

/// Bytes of an answer's body that are looked at.
pub const BODY: usize = 64 * 1024;

/// An HAProxy process, by the socket of its `stats socket` line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HaproxyTarget {
    pub socket: PathBuf,
    /// A backend that must be up too, and how many of its servers.
    pub backend: Option<(Arc<str>, u32)>,
}

/// A name that a DNS server must resolve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DnsTarget {
    pub name: Arc<str>,
    /// As in `resolv.conf` where none is given.
    pub server: Option<(IpAddr, u16)>,
}

/// Containers of a Docker engine, all of which must run and be healthy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DockerTarget {
    pub socket: PathBuf,
    pub containers: Containers,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Containers {
    /// By name or id.
    Named(Vec<Arc<str>>),
    /// All that carry this label, `KEY` or `KEY=VALUE`, and at least one.
    Labelled(Arc<str>),
}

/// Processes, at least `quorum` of which must run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProcessTarget {
    pub which: Processes,
    pub quorum: u32,
    /// And no more than these.
    pub quorum_max: Option<u32>,
    /// How long there must be enough of them before that counts, and how long too few of them.
    pub fork_delay: Duration,
    pub terminate_delay: Duration,
}

/// Which processes are meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Processes {
    /// By name, as in `/proc/PID/comm`: the first 15 bytes of the program's.
    Named(Arc<str>),
    /// By program, as it was called or its last part, and by arguments.
    Called { program: Arc<str>, arguments: Vec<Arc<str>>, matching: Matching },
    /// Text anywhere in the command line.
    CommandLine(Arc<str>),
    /// The one whose number is in this file.
    PidFile(PathBuf),
}

/// How arguments are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Matching {
    /// These and no others.
    Exact,
    /// The first ones are these.
    Initial,
    /// The first ones are these, and the last of these may go on.
    Partial,
}

/// A file with a number in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileTarget {
    pub path: PathBuf,
    /// Written where there is no such file; and even where there is one.
    pub initial: Option<(i32, bool)>,
}

/// What keeps a check that has failed from counting as good again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HoldSettings {
    /// Least time that it counts as failed.
    pub least: Duration,
    pub damping: Option<Damping>,
}

/// So many changes within a span are too many: it counts as failed until there was none for `quiet`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Damping {
    pub changes: u32,
    pub within: Duration,
    pub quiet: Duration,
}

/// A place that is not `HOST:PORT`, with IPv6 addresses in brackets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAnEndpoint;

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let (host, port) = text.rsplit_once(':').ok_or(NotAnEndpoint)?;
        let port = port.parse().ok().filter(|&port| port > 0).ok_or(NotAnEndpoint)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => Host::Address(address.parse::<Ipv6Addr>().map_err(|_| NotAnEndpoint)?.into()),
            None => host.parse()?,
        };
        // Without brackets nobody can say where the address ends.
        let is_clear = text.starts_with('[') || !matches!(host, Host::Address(IpAddr::V6(_)));
        if is_clear { Ok(Self { host, port }) } else { Err(NotAnEndpoint) }
    }
}

impl FromStr for Host {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let is_name = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let labels = text.strip_suffix('.').unwrap_or(text);
        if text.len() <= 253 && labels.split('.').all(is_name) {
            Ok(Self::Name(text.into()))
        } else {
            Err(NotAnEndpoint)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written_alike() {
        for text in ["192.0.2.1:80", "[2001:db8::1]:443", "localhost:6379", "db-1.example.org.:5432"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in [
            "",
            ":80",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "2001:db8::1:80",
            "[192.0.2.1]:80",
            "a b:1",
            "a..b:1",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(NotAnEndpoint), "{text}");
        }
    }
}
