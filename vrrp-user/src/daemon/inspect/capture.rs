//! Frames of an interface for a time.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::Config;
use crate::driver::clock;
use crate::driver::netlink::link::Link;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::socket::{CapturedFrame, Tap};

/// Longest wait at a time.
const WAIT: Duration = Duration::from_secs(1);

/// The index of an interface.
///
/// # Errors
/// ENODEV: there is none of this name.
pub fn index(interface: &str) -> io::Result<u32> {
    Ok(Link::by_name(&mut RouteSocket::open()?, interface)?.ifindex)
}

/// Groups of the configuration on an interface, besides the usual ones.
pub fn groups(config: &Config, interface: &str) -> Vec<IpAddr> {
    let here = config.instances.iter().map(|it| &it.settings).filter(|it| &*it.interface == interface);
    here.filter_map(|settings| settings.group).collect()
}

/// Passes frames to `f` until it returns false, or the time is over; without a time, for ever.
///
/// # Errors
/// The interface is gone or down, or CAP_NET_RAW is missing.
pub fn capture(
    ifindex: u32,
    groups: &[IpAddr],
    span: Option<Duration>,
    mut f: impl FnMut(&CapturedFrame<'_>) -> bool,
) -> io::Result<()> {
    let tap = Tap::open(ifindex, groups)?;
    let end = span.map(|span| clock::now() + span);
    let mut goes_on = true;
    while goes_on {
        let rest = end.map_or(WAIT, |end| end.since(clock::now()).min(WAIT));
        if rest.is_zero() {
            break;
        }
        tap.next(rest, |caught| goes_on = f(&caught))?;
    }
    Ok(())
}
