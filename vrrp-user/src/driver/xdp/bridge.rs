//! Bridges of this host, and whether they snoop multicast.

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fs, io};

use super::Card;
use super::getlink::{Description, attribute};

const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_BR_MCAST_QUERIER: u16 = 25;
/// Since Linux 5.16.
const IFLA_BR_MCAST_QUERIER_STATE: u16 = 47;
const BRIDGE_QUERIER_IP_ADDRESS: u16 = 1;
const BRIDGE_QUERIER_IPV6_ADDRESS: u16 = 5;

/// Interfaces above each other that are followed to a bridge.
const DEPTH: usize = 4;

/// A bridge, as far as multicast is concerned.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bridge {
    pub name: String,
    /// It forwards a group to the ports that have joined it, as soon as it knows a querier.
    pub snoops: bool,
    /// It sends queries itself.
    pub queries: bool,
    /// Queriers that it has heard, itself included; `None`: the kernel does not tell, before 5.16.
    pub queriers: Option<Vec<IpAddr>>,
}

impl Bridge {
    /// The bridge that an interface is, is a port of, or lies above.
    ///
    /// # Errors
    /// ENODEV: no such interface.
    pub fn below(ifindex: u32) -> io::Result<Option<Self>> {
        let mut next = Some(ifindex);
        for _ in 0..DEPTH {
            let Some(ifindex) = next else { break };
            let card = Card::of(ifindex)?;
            if card.kind.as_deref() == Some("bridge") {
                return Ok(Some(Self::parse(&Description::of(ifindex)?, tells_queriers())));
            }
            next = card.master.or(card.parent);
        }
        Ok(None)
    }

    /// `is_told`: the kernel leaves the queriers out only if it knows none.
    fn parse(description: &Description, is_told: bool) -> Self {
        let name = description.attribute(IFLA_IFNAME).and_then(|it| CStr::from_bytes_until_nul(it).ok());
        let info = description.attribute(IFLA_LINKINFO).unwrap_or_default();
        let data = attribute(info, IFLA_INFO_DATA).unwrap_or_default();
        let is_on = |kind| attribute(data, kind).and_then(<[u8]>::first).is_some_and(|it| *it != 0);
        let state = attribute(data, IFLA_BR_MCAST_QUERIER_STATE).or(is_told.then_some(&[]));
        let queriers = state.map(|state| {
            let v4 = attribute(state, BRIDGE_QUERIER_IP_ADDRESS).and_then(|it| it.first_chunk::<4>());
            let v6 = attribute(state, BRIDGE_QUERIER_IPV6_ADDRESS).and_then(|it| it.first_chunk::<16>());
            let v4 = v4.map(|octets| IpAddr::from(Ipv4Addr::from(*octets)));
            let v6 = v6.map(|octets| IpAddr::from(Ipv6Addr::from(*octets)));
            v4.into_iter().chain(v6).filter(|it| !it.is_unspecified()).collect()
        });
        Self {
            name: name.map(|it| it.to_string_lossy().into_owned()).unwrap_or_default(),
            snoops: is_on(IFLA_BR_MCAST_SNOOPING),
            queries: is_on(IFLA_BR_MCAST_QUERIER),
            queriers,
        }
    }
}

fn tells_queriers() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(5), Some(16))
}

#[cfg(test)]
mod tests {
    use super::super::getlink::written;
    use super::*;

    #[test]
    fn a_bridge_says_whether_it_snoops_and_which_querier_it_knows() {
        let of = |settings: &[Vec<u8>]| {
            let data = written(IFLA_INFO_DATA, &settings.concat());
            let mut bytes = vec![0; 32];
            bytes[4..6].copy_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
            bytes.extend(written(IFLA_IFNAME, b"br0\0"));
            bytes.extend(written(IFLA_LINKINFO, &data));
            Bridge::parse(&Description::parse(bytes).unwrap(), false)
        };
        let alone = of(&[written(IFLA_BR_MCAST_SNOOPING, &[1]), written(IFLA_BR_MCAST_QUERIER, &[0])]);
        assert_eq!(alone, Bridge { name: "br0".to_owned(), snoops: true, ..Bridge::default() });
        let state = written(BRIDGE_QUERIER_IP_ADDRESS, &[192, 0, 2, 1]);
        let heard =
            of(&[written(IFLA_BR_MCAST_SNOOPING, &[1]), written(IFLA_BR_MCAST_QUERIER_STATE, &state)]);
        assert_eq!(heard.queriers, Some(vec![IpAddr::from([192, 0, 2, 1])]));
    }
}
