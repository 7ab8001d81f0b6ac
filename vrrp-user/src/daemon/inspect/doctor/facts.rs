//! Facts about this host, read once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use nix::sys::resource::{Resource, getrlimit};
use procfs::net::TcpState;
use procfs::process::{FDTarget, all_processes};
use vrrp_ebpf::wire::Family;

use super::interfaces::{on, used};
use super::nftables;
use crate::config::{Config, KEEPALIVED_CONF, Reader, Tolerance};
use crate::daemon::process::fit::Host;
use crate::daemon::process::preflight::{self, Notice};
use crate::driver::netlink::link::Link;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::xdp::{self, Bridge, Card, DroppingFilter, Forecast, Mode, Survey, TcHook};
use crate::driver::{clock, firewall, realtime, time_namespace};

/// Settings of an interface, of IPv4 and of IPv6, below `/proc/sys/net`.
const OF_IPV4: [&str; 7] = [
    "accept_local",
    "arp_announce",
    "arp_ignore",
    "drop_gratuitous_arp",
    "forwarding",
    "proxy_arp",
    "rp_filter",
];
const OF_IPV6: [&str; 4] = ["accept_ra", "drop_unsolicited_na", "forwarding", "proxy_ndp"];

/// Settings of other interfaces, which may be in the same subnet.
const OF_OTHERS: [&str; 2] = ["arp_announce", "arp_ignore"];

/// Settings of the host.
const OF_HOST: [&str; 4] =
    ["ipv4/ip_forward", "ipv4/ip_nonlocal_bind", "ipv6/ip_nonlocal_bind", "ipv6/conf/all/forwarding"];

/// Processes that are asked whether they hold a listening socket.
const PROCESSES: usize = 4096;

/// Facts about this host.
#[derive(Debug, Default)]
pub struct Facts {
    /// Version of the kernel, such as `6.12.9-amd64`.
    pub kernel: String,
    /// Capabilities that are missing, and what each costs; `Err`: VRRP does not work at all.
    pub capabilities: Option<Result<Vec<String>, String>>,
    /// Bytes that this process may lock; `None` without a limit.
    pub memory_limit: Option<u64>,
    /// Why there is no real-time class, and why memory cannot be locked.
    pub realtime: Option<String>,
    pub memory: Option<String>,
    /// Why pins do not outlive a daemon.
    pub bpffs: Option<String>,
    /// Why the kernel takes no program.
    pub program: Option<String>,
    pub host: Host,
    /// By name, of the instances.
    pub interfaces: BTreeMap<String, InterfaceFacts>,
    /// By path below `/proc/sys/net`.
    pub settings: HashMap<String, i64>,
    pub listeners: Vec<ListeningService>,
    /// Rules of nftables, as `nft` writes them in JSON.
    pub nftables: Option<Result<String, String>>,
    /// Rules of iptables-nft with extensions, as iptables-save writes them.
    pub iptables_nft: Vec<(Family, Result<String, String>)>,
    /// Rules of the older iptables, as iptables-save writes them.
    pub iptables: Vec<(Family, Result<String, String>)>,
    pub keepalived: KeepalivedFacts,
    /// Scripts that do not run, or run as root.
    pub scripts: Vec<Notice>,
    /// Whether the clock is synchronised; `None` if the kernel did not say.
    pub synchronised: Option<bool>,
    /// Offset of the clock of this time namespace, ns.
    pub clock_offset: Option<Result<i64, String>>,
    /// Kind of the container, if this is one.
    pub container: Option<String>,
}

/// Facts about an interface.
#[derive(Debug, Default)]
pub struct InterfaceFacts {
    pub link: Option<Link>,
    pub card: Option<Card>,
    pub forecast: Option<Forecast>,
    /// The bridge that it is, or lies above.
    pub bridge: Option<Bridge>,
    /// tc filters on it that drop adverts, or may.
    pub dropping: Vec<DroppingFilter>,
    /// What systemd-networkd notes about it.
    pub networkd: Option<String>,
    /// What NetworkManager notes about it.
    pub network_manager: Option<String>,
}

/// A service that listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListeningService {
    pub address: SocketAddr,
    /// Name of its process, if it can be seen.
    pub process: Option<String>,
}

/// Facts about keepalived on this host.
#[derive(Debug, Default)]
pub struct KeepalivedFacts {
    /// Running processes in this network namespace, with their arguments.
    pub running: Vec<(i32, Vec<String>)>,
    /// systemd starts it at the boot.
    pub enabled: bool,
    /// Its configuration, by path: the default one and those of running processes, if they can be read.
    pub configs: BTreeMap<PathBuf, Arc<Config>>,
}

impl Facts {
    /// Reads everything that the checks of this configuration need. A fact that cannot be read stays unknown.
    pub fn read(config: &Config) -> Self {
        let host = Host::read_for(config).unwrap_or_default();
        let survey = Survey::take();
        let nftables = firewall::ruleset().map_err(|error| error.to_string());
        let interfaces = used(config).into_iter();
        let interfaces = interfaces.map(|name| (name.to_owned(), interface(config, name, &survey)));
        Self {
            kernel: text("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            capabilities: Some(preflight::capabilities().map_err(|error| error.to_string())),
            memory_limit: getrlimit(Resource::RLIMIT_MEMLOCK).ok().map(|(soft, _)| soft).filter(is_finite),
            realtime: realtime_refusal(),
            memory: realtime::lock_memory().err().map(|error| error.to_string()),
            bpffs: xdp::bpffs().err().map(|error| error.to_string()),
            program: survey.refusal(),
            interfaces: interfaces.collect(),
            settings: settings(used(config), &host),
            listeners: listeners(),
            iptables_nft: translated_rules(&nftables),
            nftables: Some(nftables),
            iptables: legacy_rules(),
            keepalived: keepalived(),
            scripts: preflight::scripts(&mut config.clone()),
            synchronised: clock::is_synchronised(),
            clock_offset: Some(time_namespace::settle().map_err(|error| error.to_string())),
            container: container(),
            host,
        }
    }

    /// A setting, by its path below `/proc/sys/net`.
    pub fn setting(&self, path: &str) -> Option<i64> {
        self.settings.get(path).copied()
    }

    /// A setting of an interface of which the kernel takes the larger one of `all` and the interface's own.
    pub fn effective(&self, interface: &str, key: &str) -> Option<i64> {
        let [all, own] = ["all", interface].map(|of| self.setting(&format!("ipv4/conf/{of}/{key}")));
        all.max(own)
    }

    pub fn index(&self, interface: &str) -> Option<u32> {
        self.host.links.iter().find(|(_, name)| name == interface).map(|(index, _)| *index)
    }
}

fn is_finite(limit: &u64) -> bool {
    *limit != nix::sys::resource::RLIM_INFINITY
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Tried on a thread of its own, so that this one stays an ordinary one.
fn realtime_refusal() -> Option<String> {
    let tried = thread::spawn(|| realtime::become_realtime(realtime::ENGINE_PRIORITY)).join();
    tried.ok()?.err().map(|error| error.to_string())
}

fn interface(config: &Config, name: &str, survey: &Survey) -> InterfaceFacts {
    let link = RouteSocket::open().and_then(|mut socket| Link::by_name(&mut socket, name)).ok();
    let Some(ifindex) = link.as_ref().map(|link| link.ifindex) else { return InterfaceFacts::default() };
    InterfaceFacts {
        card: Card::of(ifindex).ok(),
        bridge: Bridge::below(ifindex).ok().flatten(),
        forecast: survey.of(ifindex, name, Mode::Auto).ok(),
        dropping: dropping(config, name, ifindex),
        networkd: text(format!("/run/systemd/netif/links/{ifindex}")),
        network_manager: text(format!("/run/NetworkManager/devices/{ifindex}")),
        link,
    }
}

/// For the adverts of each instance, each filter once.
fn dropping(config: &Config, name: &str, ifindex: u32) -> Vec<DroppingFilter> {
    let mut found = Vec::new();
    for hook in [TcHook::Ingress, TcHook::Egress] {
        for settings in on(config, name) {
            let all = DroppingFilter::list(settings, ifindex, hook).unwrap_or_default();
            found.extend(all.into_iter().filter(|it| !found.contains(it)).collect::<Vec<_>>());
        }
    }
    found
}

/// Of the interfaces of instances, and of the host; of others, those that are about ARP.
fn settings(used: BTreeSet<&str>, host: &Host) -> HashMap<String, i64> {
    let others = host.links.iter().map(|(_, name)| name).filter(|name| !used.contains(&***name));
    let of_others: Vec<String> =
        others.flat_map(|name| OF_OTHERS.map(|key| format!("ipv4/conf/{name}/{key}"))).collect();
    let names: Vec<&str> = used.into_iter().chain(["all"]).collect();
    let of = |family: &'static str, keys: &'static [&'static str]| {
        let names = names.clone();
        names
            .into_iter()
            .flat_map(move |name| keys.iter().map(move |key| format!("{family}/conf/{name}/{key}")))
    };
    let paths =
        of("ipv4", &OF_IPV4).chain(of("ipv6", &OF_IPV6)).chain(OF_HOST.map(str::to_owned)).chain(of_others);
    let value = |path: &str| text(format!("/proc/sys/net/{path}"))?.trim().parse().ok();
    paths.filter_map(|path| Some((path.clone(), value(&path)?))).collect()
}

fn listeners() -> Vec<ListeningService> {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let entries = tables.into_iter().flat_map(Result::unwrap_or_default);
    let found: Vec<_> = entries.filter(|entry| entry.state == TcpState::Listen).collect();
    let inodes: BTreeSet<u64> = found.iter().map(|entry| entry.inode).collect();
    let names = holders(&inodes);
    let of = |entry: procfs::net::TcpNetEntry| ListeningService {
        address: entry.local_address,
        process: names.get(&entry.inode).cloned(),
    };
    found.into_iter().map(of).collect()
}

/// Names of the processes that hold these sockets.
fn holders(inodes: &BTreeSet<u64>) -> HashMap<u64, String> {
    let mut names = HashMap::new();
    for process in all_processes().into_iter().flatten().flatten().take(PROCESSES) {
        let Ok(descriptors) = process.fd() else { continue };
        let sockets = descriptors.flatten().filter_map(|it| match it.target {
            FDTarget::Socket(inode) if inodes.contains(&inode) => Some(inode),
            _ => None,
        });
        let sockets: Vec<u64> = sockets.collect();
        if !sockets.is_empty()
            && let Ok(stat) = process.stat()
        {
            names.extend(sockets.into_iter().map(|inode| (inode, stat.comm.clone())));
        }
    }
    names
}

fn translated_rules(nftables: &Result<String, String>) -> Vec<(Family, Result<String, String>)> {
    let Ok(text) = nftables else { return Vec::new() };
    let tables = nftables::with_extensions(text);
    let has = |family: &Family| {
        let word = match family {
            Family::V4 => "ip ",
            Family::V6 => "ip6 ",
        };
        tables.iter().any(|table| table.starts_with(word))
    };
    let of = |family| (family, firewall::nft_rules(family).map_err(|error| error.to_string()));
    [Family::V4, Family::V6].into_iter().filter(has).map(of).collect()
}

fn legacy_rules() -> Vec<(Family, Result<String, String>)> {
    let of = |family| Some((family, firewall::legacy_rules(family)?.map_err(|error| error.to_string())));
    [Family::V4, Family::V6].into_iter().filter_map(of).collect()
}

fn keepalived() -> KeepalivedFacts {
    let running = keepalived_processes();
    let written = running.iter().filter_map(|(_, arguments)| named_file(arguments));
    let paths: BTreeSet<PathBuf> = written.chain([PathBuf::from(KEEPALIVED_CONF)]).collect();
    let reader = Reader::new(None).tolerating(Tolerance::AsKeepalived);
    let read = |path: PathBuf| Some((path.clone(), Arc::new(reader.load(&path).ok()?.config)));
    KeepalivedFacts {
        running,
        enabled: Path::new("/etc/systemd/system/multi-user.target.wants/keepalived.service").is_symlink(),
        configs: paths.into_iter().filter(|path| path.exists()).filter_map(read).collect(),
    }
}

/// The parents among the processes of keepalived in this network namespace. vrrpx under that name is none.
fn keepalived_processes() -> Vec<(i32, Vec<String>)> {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let own = namespace("thread-self");
    let mut found = BTreeMap::new();
    for process in all_processes().into_iter().flatten().flatten() {
        let Ok(stat) = process.stat() else { continue };
        let is_vrrpx = || process.exe().is_ok_and(|exe| exe.file_name().is_some_and(|name| name == "vrrpx"));
        if stat.comm == "keepalived" && !is_vrrpx() && namespace(&process.pid.to_string()) == own {
            found.insert(process.pid, (stat.ppid, process.cmdline().unwrap_or_default()));
        }
    }
    let parents: BTreeSet<i32> = found.keys().copied().collect();
    found.retain(|_, (parent, _)| !parents.contains(parent));
    found.into_iter().map(|(pid, (_, arguments))| (pid, arguments)).collect()
}

/// The configuration that these arguments of keepalived name.
fn named_file(arguments: &[String]) -> Option<PathBuf> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = match argument.as_str() {
            "-f" | "--use-file" => rest.next().map(String::as_str),
            other => other.strip_prefix("--use-file=").or_else(|| other.strip_prefix("-f")),
        };
        if let Some(value) = value {
            return Some(PathBuf::from(value));
        }
    }
    None
}

fn container() -> Option<String> {
    let reported =
        text("/run/systemd/container").map(|kind| kind.trim().to_owned()).filter(|it| !it.is_empty());
    let by_file = || {
        let marks = [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")];
        marks.into_iter().find(|(path, _)| Path::new(path).exists()).map(|(_, kind)| kind.to_owned())
    };
    reported.or_else(by_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_keepalived_is_found_in_each_form() {
        let named =
            |arguments: &[&str]| named_file(&arguments.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let expected = Some(PathBuf::from("/a.conf"));
        for arguments in [
            &["keepalived", "-n", "-f", "/a.conf"][..],
            &["keepalived", "-f/a.conf"],
            &["keepalived", "--use-file=/a.conf"],
        ] {
            assert_eq!(named(arguments), expected, "{arguments:?}");
        }
        assert_eq!(named(&["keepalived", "-D"]), None);
    }

    #[test]
    fn the_larger_one_of_both_settings_counts() {
        let settings = [("ipv4/conf/all/rp_filter", 0), ("ipv4/conf/eth0/rp_filter", 2)];
        let settings = settings.map(|(path, value)| (path.to_owned(), value)).into();
        let facts = Facts { settings, ..Facts::default() };
        assert_eq!(facts.effective("eth0", "rp_filter"), Some(2));
        assert_eq!(facts.effective("eth1", "rp_filter"), Some(0));
        assert_eq!(facts.effective("eth0", "arp_ignore"), None);
    }
}
