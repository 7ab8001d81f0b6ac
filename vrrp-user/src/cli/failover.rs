//! `vrrpx failover`.

use std::net::{IpAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::steer::{DaemonPlace, steer};
use super::{UNKNOWN_NAME, complain};
use crate::daemon::control::Request;
use crate::daemon::wall;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Instance or sync group that is MASTER on this node; the members of a sync group go together
    name: String,
    /// Router that is to become master: the address that status shows, or its host name. Exits with 4 if it would not
    /// win the election as far as is known, with 6 if another router became master; this node then competes as before
    #[arg(long, value_name = "PEER")]
    to: Option<String>,
    /// Compete with priority 1 for this time, such as 90s, 30m or 1h30m; `vrrpx priority NAME reset` ends it before
    #[arg(long = "for", value_name = "TIME", value_parser = wall::span, default_value = "30m")]
    span: Duration,
    /// Shown in status, events and log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Try even if no heir is known, or if PEER is not known or would not win; without an heir this node stays master
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: DaemonPlace,
}

pub(super) fn failover(arguments: Arguments) -> ExitCode {
    let Arguments { name, to, span, reason, force, place } = arguments;
    let to = match to.as_deref().map_or(Ok(Vec::new()), addresses) {
        Ok(to) => to,
        Err(text) => {
            complain(&text);
            return ExitCode::from(UNKNOWN_NAME);
        }
    };
    let seconds = Some(span.as_secs());
    steer(&place.runtime_dir, &Request::Failover { name, to, seconds, reason, force })
}

/// The addresses of a router by its name, or the one that is written.
fn addresses(peer: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = peer.parse() {
        return Ok(vec![address]);
    }
    let found = (peer, 0).to_socket_addrs();
    let found =
        found.map_err(|error| format!("--to {peer}: {error}; write the address that status shows"))?;
    let mut all: Vec<IpAddr> = found.map(|it| it.ip()).collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_is_named_by_address_or_by_name() {
        assert_eq!(addresses("192.0.2.12"), Ok(vec![IpAddr::from([192, 0, 2, 12])]));
        assert_eq!(addresses("fe80::1"), Ok(vec!["fe80::1".parse().unwrap()]));
        assert!(addresses("localhost").unwrap().contains(&IpAddr::from([127, 0, 0, 1])));
        assert!(addresses("no such host").unwrap_err().contains("write the address that status shows"));
    }
}
