//! Why the stack of this host does not receive adverts, or does not send them, in words with the command that mends it.
//!
//! Enters: an interface and the form of its adverts. Leaves: the cause, if the kernel shows one. Absent: rules of
//! firewalls, which `vrrpx doctor` reads.

use nix::errno::Errno;

use super::xdp::{DroppingFilter, Taker, TcHook};
use crate::config::InstanceSettings;

/// What keeps adverts from the sockets of this host.
pub fn unheard(settings: &InstanceSettings, ifindex: u32) -> Option<String> {
    let interface = &*settings.interface;
    let port = Taker::of(ifindex).ok().flatten().map(|taker| {
        let (what, fix) = taker.remedy(interface);
        format!("{what}: {fix}")
    });
    port.or_else(|| dropped(settings, ifindex, TcHook::Ingress))
}

/// What drops adverts on their way out of the interface.
pub fn unsent(settings: &InstanceSettings, ifindex: u32) -> Option<String> {
    dropped(settings, ifindex, TcHook::Egress)
}

/// What to look for after this error of a send, where no cause is known.
pub fn of_error(why: &str) -> Option<&'static str> {
    let firewall = (Errno::EPERM, "look for a firewall of this host");
    let filter =
        "the interface drops them: look for a filter on it (nftables' `netdev` family), or a full queue";
    [firewall, (Errno::ENOBUFS, filter)].into_iter().find(|(errno, _)| errno.desc() == why).map(|it| it.1)
}

fn dropped(settings: &InstanceSettings, ifindex: u32, hook: TcHook) -> Option<String> {
    let all = DroppingFilter::list(settings, ifindex, hook).ok()?;
    let filter = all.iter().find(|it| it.is_certain).or_else(|| all.first())?;
    let verb = if filter.is_certain { "drops" } else { "may drop" };
    Some(format!("a {filter} {verb} them: {}", filter.removal(&settings.interface)))
}
