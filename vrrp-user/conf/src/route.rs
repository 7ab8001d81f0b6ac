//! Routes of an instance, set and removed with its addresses.

use std::net::IpAddr;
use std::sync::Arc;

/// A route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    pub kind: RouteKind,
    /// With its prefix; all zeros and 0 for the default route. Its family is the route's.
    pub destination: (IpAddr, u8),
    /// Only for packets from here; IPv6.
    pub from: Option<(IpAddr, u8)>,
    /// Source address of packets that this host sends over it.
    pub source: Option<IpAddr>,
    /// Empty for the kinds that forward nothing.
    pub hops: Vec<Hop>,
    pub table: u32,
    pub metric: Option<u32>,
    pub tos: u8,
    /// rtnetlink scope; `None`: global, and the least that the kernel takes for `local` and `broadcast`. IPv4 only.
    pub scope: Option<u8>,
    /// rtnetlink protocol: the origin of the route.
    pub protocol: u8,
    pub options: Vec<(RouteOption, u32)>,
    /// Options that the kernel must not adapt (`lock`).
    pub locked: Vec<RouteOption>,
    /// Of TCP connections over it.
    pub congestion_control: Option<Arc<str>>,
    /// Connections cannot choose another congestion control.
    pub congestion_locked: bool,
    /// Source realm in the upper half, destination realm in the lower one; IPv4.
    pub realms: Option<u32>,
    /// Among routers of the same metric; IPv6 (RFC 4191 §2.1).
    pub preference: Option<RoutePreference>,
    pub placement: Placement,
    /// Put back if another process removes it.
    pub tracked: bool,
}

impl Route {
    /// Whether the kernel keeps both as one route: removing either removes the other.
    pub fn is_one_with(&self, other: &Self) -> bool {
        if self.destination.0.is_ipv6() {
            // Options do not distinguish IPv6 routes.
            let named = |it: &Self| (it.kind, it.destination, it.from, it.table, it.metric, it.protocol);
            return named(self) == named(other) && self.hops == other.hops;
        }
        let Self { placement, tracked, .. } = *other;
        Self { placement, tracked, ..self.clone() } == *other
    }
}

/// Position among routes with the same destination, metric and TOS; IPv4.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Placement {
    /// Before them, so that it is used.
    #[default]
    Prepend,
    Append,
    /// Only if there is none.
    Alone,
}

/// Preference of an IPv6 route (RFC 4191 §2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RoutePreference {
    Low,
    Medium,
    High,
}

/// A next hop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hop {
    /// Of either family: IPv4 routes may lead over an IPv6 gateway (RFC 5549).
    pub gateway: Option<IpAddr>,
    pub device: Option<Arc<str>>,
    /// 1 to 256.
    pub weight: u16,
    /// The gateway counts as on the link, whatever addresses the interface has.
    pub onlink: bool,
}

/// Type of a route (RTN_*).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RouteKind {
    Unicast,
    Local,
    Broadcast,
    Multicast,
    Throw,
    Unreachable,
    Prohibit,
    Blackhole,
}

impl RouteKind {
    pub const ALL: [(&'static str, Self); 8] = [
        ("unicast", Self::Unicast),
        ("local", Self::Local),
        ("broadcast", Self::Broadcast),
        ("multicast", Self::Multicast),
        ("throw", Self::Throw),
        ("unreachable", Self::Unreachable),
        ("prohibit", Self::Prohibit),
        ("blackhole", Self::Blackhole),
    ];

    /// Whether it forwards packets.
    pub fn has_hops(self) -> bool {
        !matches!(self, Self::Throw | Self::Unreachable | Self::Prohibit | Self::Blackhole)
    }
}

/// Numeric route attributes of the kernel (RTAX_*), as in the configuration: times in milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RouteOption {
    Mtu,
    AdvMss,
    Window,
    Rtt,
    RttVar,
    SsThresh,
    Cwnd,
    Reordering,
    HopLimit,
    InitCwnd,
    InitRwnd,
    RtoMin,
    QuickAck,
    /// 1: TCP Fast Open without a cookie.
    FastOpenNoCookie,
    /// 1: explicit congestion notification (`features ecn`).
    Features,
}

impl RouteOption {
    /// The options whose value is written as a number.
    pub const ALL: [(&'static str, Self); 14] = [
        ("mtu", Self::Mtu),
        ("advmss", Self::AdvMss),
        ("window", Self::Window),
        ("rtt", Self::Rtt),
        ("rttvar", Self::RttVar),
        ("ssthresh", Self::SsThresh),
        ("cwnd", Self::Cwnd),
        ("reordering", Self::Reordering),
        ("hoplimit", Self::HopLimit),
        ("initcwnd", Self::InitCwnd),
        ("initrwnd", Self::InitRwnd),
        ("rto_min", Self::RtoMin),
        ("quickack", Self::QuickAck),
        ("fastopen_no_cookie", Self::FastOpenNoCookie),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: IpAddr, gateway: IpAddr) -> Route {
        Route {
            kind: RouteKind::Unicast,
            destination: (destination, 24),
            from: None,
            source: None,
            hops: vec![Hop { gateway: Some(gateway), device: None, weight: 1, onlink: false }],
            table: 254,
            metric: None,
            tos: 0,
            scope: None,
            protocol: 18,
            options: Vec::new(),
            locked: Vec::new(),
            congestion_control: None,
            congestion_locked: false,
            realms: None,
            preference: None,
            placement: Placement::Prepend,
            tracked: true,
        }
    }

    #[test]
    fn what_is_done_about_a_route_makes_no_other_of_it_and_where_it_leads_does() {
        let v4 = route([192, 0, 2, 0].into(), [10, 0, 0, 1].into());
        let v6 = route("2001:db8::".parse().unwrap(), "fd00::1".parse().unwrap());
        for route in [&v4, &v6] {
            let other = Route { tracked: false, placement: Placement::Append, ..route.clone() };
            assert!(route.is_one_with(&other));
            assert!(!route.is_one_with(&Route { table: 100, ..route.clone() }));
            assert!(!route.is_one_with(&Route { hops: Vec::new(), ..route.clone() }));
        }
        let options = vec![(RouteOption::Mtu, 1400)];
        assert!(!v4.is_one_with(&Route { options: options.clone(), ..v4.clone() }));
        assert!(v6.is_one_with(&Route { options, ..v6.clone() }));
    }
}
