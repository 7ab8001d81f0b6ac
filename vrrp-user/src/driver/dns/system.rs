//! The system's DNS servers and names: `/etc/resolv.conf` and `/etc/hosts`, read again for each lookup.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const PORT: u16 = 53;

/// As in resolv.conf(5).
const SERVERS_MAX: usize = 3;
const NDOTS_MAX: usize = 15;
const PATIENCE: u64 = 5;
const PATIENCE_MAX: u64 = 30;
const ATTEMPTS: u32 = 2;
const ATTEMPTS_MAX: u32 = 5;

/// Whom to ask, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Servers {
    pub(super) addresses: Vec<SocketAddr>,
    /// Domains in which a short name may lie.
    pub(super) search: Vec<String>,
    /// From this number of dots on, a name is looked up as it is before it is searched.
    pub(super) ndots: usize,
    /// Time limit of an attempt, in which the query is sent several times.
    pub(super) patience: Duration,
    pub(super) attempts: u32,
}

impl Servers {
    /// Those of `resolv.conf`; without the file, or any in it, the one on this host.
    pub fn of_system() -> Self {
        let mut servers = Self::parse(&read("/etc/resolv.conf"));
        if servers.addresses.is_empty() {
            servers.addresses.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        servers
    }

    /// One server, without domains to be searched.
    pub fn one(address: SocketAddr) -> Self {
        Self { addresses: vec![address], ..Self::parse("") }
    }

    fn parse(text: &str) -> Self {
        let mut servers = Self {
            addresses: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            patience: Duration::from_secs(PATIENCE),
            attempts: ATTEMPTS,
        };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if servers.addresses.len() < SERVERS_MAX => {
                    servers.addresses.extend(words.next().and_then(server));
                }
                Some("search") => {
                    servers.search = words.map(|it| it.trim_end_matches('.').to_owned()).collect();
                }
                Some("domain") => {
                    servers.search = words.take(1).map(|it| it.trim_end_matches('.').to_owned()).collect();
                }
                Some("options") => words.for_each(|option| servers.set(option)),
                _ => {}
            }
        }
        servers.search.retain(|domain| !domain.is_empty());
        servers
    }

    fn set(&mut self, option: &str) {
        let Some((name, number)) = option.split_once(':') else { return };
        let Ok(number) = number.parse::<u32>() else { return };
        match name {
            "ndots" => self.ndots = usize::try_from(number).unwrap_or(NDOTS_MAX).min(NDOTS_MAX),
            "timeout" => self.patience = Duration::from_secs(u64::from(number).clamp(1, PATIENCE_MAX)),
            "attempts" => self.attempts = number.clamp(1, ATTEMPTS_MAX),
            _ => {}
        }
    }

    /// The full names that a name may stand for, in the order in which they are looked up.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let mut all: Vec<String> = self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let is_first = name.bytes().filter(|letter| *letter == b'.').count() >= self.ndots;
        let place = if is_first { 0 } else { all.len() };
        all.insert(place, name.to_owned());
        all
    }
}

/// An address; a link-local one may name its interface.
fn server(word: &str) -> Option<SocketAddr> {
    let (address, scope) = word.split_once('%').unwrap_or((word, ""));
    let index = || nix::net::if_::if_nametoindex(scope).ok().or_else(|| scope.parse().ok());
    match address.parse().ok()? {
        IpAddr::V4(address) => Some((address, PORT).into()),
        IpAddr::V6(address) if scope.is_empty() => Some((address, PORT).into()),
        IpAddr::V6(address) => Some(std::net::SocketAddrV6::new(address, PORT, 0, index()?).into()),
    }
}

/// Addresses of a name in `/etc/hosts`; `localhost` always has some (RFC 6761 §6.3).
pub fn hosts(name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let found = in_hosts(name, &read("/etc/hosts"));
    let last = name.rsplit('.').next().unwrap_or_default();
    if found.is_empty() && last.eq_ignore_ascii_case("localhost") {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    found
}

/// Empty without the file. Its comments may be in any character set.
fn read(path: &str) -> String {
    fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

fn in_hosts(name: &str, text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_names_servers_domains_and_options() {
        let servers = Servers::parse(
            "# a comment\nnameserver 192.0.2.1 # one\nnameserver 2001:db8::1\nnameserver nowhere\n\
             nameserver 192.0.2.3\nnameserver 192.0.2.4\ndomain old.example\nsearch a.example. b.example\n\
             options rotate ndots:2 timeout:90 attempts:0\n; the end",
        );
        let expected = ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"].map(|it| it.parse().unwrap());
        assert_eq!(servers.addresses, expected);
        assert_eq!(servers.search, ["a.example", "b.example"]);
        assert_eq!((servers.ndots, servers.attempts, servers.patience), (2, 1, Duration::from_secs(30)));
        let defaults = Servers::parse("");
        assert_eq!((defaults.ndots, defaults.attempts, defaults.patience), (1, 2, Duration::from_secs(5)));
        assert_eq!(server("fe80::1%1").unwrap().to_string(), "[fe80::1%1]:53");
    }

    #[test]
    fn short_names_are_searched_first() {
        let servers = Servers::parse("search a.example b.example\noptions ndots:2");
        assert_eq!(servers.candidates("web"), ["web.a.example", "web.b.example", "web"]);
        assert_eq!(servers.candidates("x.y.z"), ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]);
        assert_eq!(servers.candidates("web."), ["web."]);
    }

    #[test]
    fn hosts_have_all_addresses_of_a_name() {
        let text = "127.0.0.1 localhost\n192.0.2.1\tweb.example Web # www\nbad web\n2001:db8::1 web\n192.0.2.1 web\n";
        let expected = ["192.0.2.1", "2001:db8::1"].map(|it| it.parse::<IpAddr>().unwrap());
        assert_eq!(in_hosts("WEB", text), expected);
        assert_eq!(in_hosts("www", text), Vec::<IpAddr>::new());
        assert_eq!(hosts("a.localhost.").len(), 2);
    }
}
