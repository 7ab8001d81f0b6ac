//! Routes that go with the addresses of an instance.

use std::net::IpAddr;
use std::sync::Arc;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    pub kind: RouteKind,
    /// With its prefix; all zeros and 0 for the default route. Its family is the route's.
    pub destination: (IpAddr, u8),
    /// Only for packets from here; IPv6.
    pub from: Option<(IpAddr, u8)>,
    /// Source address of what this host sends over it.
    pub source: Option<IpAddr>,
    /// None for the kinds that forward nothing.
    pub hops: Vec<Hop>,
    pub table: u32,
    pub metric: Option<u32>,
    pub tos: u8,
    /// rtnetlink scope; `None`: link where there is no gateway, else global. IPv4 only.
    pub scope: Option<u8>,
    /// rtnetlink protocol: who has set it.
    pub protocol: u8,
    pub options: Vec<(RouteOption, u32)>,
    /// Those that the kernel is not to change by what it learns.
    pub locked: Vec<RouteOption>,
    /// Of TCP connections over it.
    pub congestion_control: Option<Arc<str>>,
    /// The congestion control is not to be chosen by a connection.
    pub congestion_locked: bool,
    /// Source realm in the upper half, destination realm in the lower one; IPv4.
    pub realms: Option<u32>,
    /// Among routers of the same metric; IPv6 (RFC 4191 §2.1).
    pub preference: Option<RoutePreference>,
    pub placement: Placement,
    /// Put back when somebody else removes it.
    pub tracked: bool,
}

/// Where it goes among those with the same destination, metric and TOS; IPv4.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Placement {
    /// Before them, so that it is the one that counts.
    #[default]
    Prepend,
    Append,
    /// Only where there is none.
    Alone,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RoutePreference {
    Low,
    Medium,
    High,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hop {
    /// Of either family: IPv4 routes may lead over an IPv6 gateway (RFC 5549).
    pub gateway: Option<IpAddr>,
    pub device: Option<Arc<str>>,
    /// 1 to 256.
    pub weight: u16,
    /// The gateway counts as on the link, whatever the addresses there are.
    pub onlink: bool,
}

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

    /// Whether it leads anywhere.
    pub fn has_hops(self) -> bool {
        !matches!(self, Self::Throw | Self::Unreachable | Self::Prohibit | Self::Blackhole)
    }
}

/// Numbers that the kernel keeps with a route (RTAX_*), as they are written: times in milliseconds.
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
    /// Those whose value is a number.
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
