//! Targets of health checks.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::model::ScriptCommand;

/// One way to check a service.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckTarget {
    /// Good on exit status 0. A `vrrp_script`, or `exec`, which never uses a shell.
    Command(ScriptCommand),
    /// Good if a connection is accepted.
    Tcp(Endpoint),
    Unix(PathBuf),
    Http(HttpTarget),
    Haproxy(HaproxyTarget),
    Dns(DnsTarget),
    /// Good if an ICMP echo request is answered.
    Ping(Host),
    Docker(DockerTarget),
    /// Good if the systemd unit is active.
    Systemd(Arc<str>),
    Process(ProcessTarget),
    /// Adds the number in a file, times the weight, to the priority.
    File(FileTarget),
}

impl CheckTarget {
    /// The keyword, for display.
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

/// Host and port of a service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    pub host: Host,
    pub port: u16,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    Address(IpAddr),
    /// Resolved again for each attempt.
    Name(Arc<str>),
}

/// A request and the answer it must get.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpTarget {
    pub url: Arc<str>,
    pub method: Arc<str>,
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    pub status: RangeInclusive<u16>,
    /// Text that the first [`BODY`] bytes of the body must contain.
    pub body: Option<Arc<str>>,
    pub verify_tls: bool,
}

/// Bytes of an answer's body that are searched.
pub const BODY: usize = 64 * 1024;

/// An HAProxy process, by its `stats socket`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HaproxyTarget {
    pub socket: PathBuf,
    /// A backend that must be up too, and the least number of its servers that must be.
    pub backend: Option<(Arc<str>, u32)>,
}

/// A name that a DNS server must resolve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DnsTarget {
    pub name: Arc<str>,
    /// `None`: the servers of `resolv.conf`.
    pub server: Option<(IpAddr, u16)>,
}

/// Containers of a Docker engine; all must run and be healthy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DockerTarget {
    pub socket: PathBuf,
    pub containers: Containers,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Containers {
    /// By name or id.
    Named(Vec<Arc<str>>),
    /// All containers with this label, `KEY` or `KEY=VALUE`; at least one must exist.
    Labelled(Arc<str>),
}

/// Processes; at least `quorum` of them must run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProcessTarget {
    pub which: Processes,
    pub quorum: u32,
    /// Most processes that may run.
    pub quorum_max: Option<u32>,
    /// Time for which enough processes must run before the check is good.
    pub fork_delay: Duration,
    /// Time for which too few must run before it has failed.
    pub terminate_delay: Duration,
}

/// The processes to count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Processes {
    /// By name, as in `/proc/PID/comm`: the first 15 bytes of the program's name.
    Named(Arc<str>),
    /// By program (`argv[0]`, or its last path component) and arguments.
    Called { program: Arc<str>, arguments: Vec<Arc<str>>, matching: Matching },
    /// Text anywhere in the command line.
    CommandLine(Arc<str>),
    /// The process whose pid is in this file.
    PidFile(PathBuf),
}

/// Comparison of arguments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Matching {
    /// Exactly these.
    Exact,
    /// These come first; others may follow.
    Initial,
    /// As `Initial`, and the last of these needs to match a prefix only.
    Partial,
}

/// A file with a number in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileTarget {
    pub path: PathBuf,
    /// Number to write if the file does not exist; `true`: also if it does.
    pub initial: Option<(i32, bool)>,
}

/// Conditions under which a failed check stays failed although its results are good.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HoldSettings {
    /// Least time for which it counts as failed.
    pub least: Duration,
    pub damping: Option<Damping>,
}

/// Flap damping: after `changes` within a span, the check counts as failed until `quiet` passes without a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Damping {
    pub changes: u32,
    pub within: Duration,
    pub quiet: Duration,
}

/// The text is not `HOST:PORT`, with IPv6 addresses in brackets.
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
        // Without brackets, the end of an IPv6 address is ambiguous.
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
