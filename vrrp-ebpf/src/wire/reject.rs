//! Receive checks: one variant each, which is also the counter, the metric label and the log word.

/// The first receive check that an advert failed, in the order of the checks (RFC 9568 §7.1).
///
/// A rejected advert leaves states, timers and peers as they are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Reject {
    /// The IP header has another version than the ethertype says, or less than the minimum length. The stack drops the
    /// packet.
    IpHeader = 0,
    /// The checksum of the IPv4 header is wrong (RFC 791 §3.1). The stack drops the packet.
    IpChecksum = 1,
    /// Fewer bytes than the IP header announces, or fewer than 8 bytes of VRRP.
    Truncated = 2,
    /// Multicast with TTL or hop limit other than 255 (RFC 9568 §5.1.1.3, §5.1.2.3), or unicast outside a peer's
    /// bounds.
    Ttl = 3,
    /// Unicast to a multicast instance, or the reverse.
    Destination = 4,
    /// The source is unspecified, multicast, broadcast or loopback.
    Source = 5,
    /// The source is our own address: a loop, or a duplicate address.
    OwnSource = 6,
    /// CARP, which shares protocol number, group and virtual MAC with VRRP.
    Carp = 7,
    /// Neither version 2 nor 3, or version 2 over IPv6.
    Version = 8,
    /// Version 2 or 3, but this instance does not speak it.
    VersionMismatch = 9,
    /// Not an advertisement (RFC 9568 §5.2.2).
    Type = 10,
    /// It has no address (RFC 9568 erratum 8299).
    CountZero = 11,
    /// Longer or shorter than its address count and version say (RFC 9568 §7.1).
    Length = 12,
    /// Longer than the maps hold; see [`super::PAYLOAD_MAX`].
    TooLong = 13,
    /// The checksum is wrong in every form in use; see [`super::ChecksumForm`].
    Checksum = 14,
    /// Authentication of another type than ours (RFC 2338 §5.3.6).
    AuthType = 15,
    /// The password is another one (RFC 2338 §5.3.10).
    AuthData = 16,
    /// Interval 0 (RFC 9568 erratum 8301).
    IntervalZero = 17,
    /// A unicast sender that is none of the peers, on an instance that accepts only those.
    Peer = 18,
    /// The message has no trailer, which the instance requires; see [`super::Trailer`].
    AuthMissing = 19,
    /// A trailer of another type, or with reserved bits set.
    AuthMalformed = 20,
    /// Signed with a key that is not configured.
    AuthKey = 21,
    /// The signature is not that of its key.
    AuthHmac = 22,
    /// Signed too long ago, or by a clock too far ahead.
    AuthStale = 23,
    /// Not newer than an advert already received from its sender.
    AuthReplay = 24,
}

impl Reject {
    /// Number of checks.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::IpHeader,
        Self::IpChecksum,
        Self::Truncated,
        Self::Ttl,
        Self::Destination,
        Self::Source,
        Self::OwnSource,
        Self::Carp,
        Self::Version,
        Self::VersionMismatch,
        Self::Type,
        Self::CountZero,
        Self::Length,
        Self::TooLong,
        Self::Checksum,
        Self::AuthType,
        Self::AuthData,
        Self::IntervalZero,
        Self::Peer,
        Self::AuthMissing,
        Self::AuthMalformed,
        Self::AuthKey,
        Self::AuthHmac,
        Self::AuthStale,
        Self::AuthReplay,
    ];

    /// The word in metrics, status and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IpHeader => "ip_header",
            Self::IpChecksum => "ip_checksum",
            Self::Truncated => "truncated",
            Self::Ttl => "ttl",
            Self::Destination => "destination",
            Self::Source => "source",
            Self::OwnSource => "own_source",
            Self::Carp => "carp",
            Self::Version => "version",
            Self::VersionMismatch => "version_mismatch",
            Self::Type => "type",
            Self::CountZero => "count_zero",
            Self::Length => "length",
            Self::TooLong => "too_long",
            Self::Checksum => "checksum",
            Self::AuthType => "auth_type",
            Self::AuthData => "auth_data",
            Self::IntervalZero => "interval_zero",
            Self::Peer => "peer",
            Self::AuthMissing => "auth_missing",
            Self::AuthMalformed => "auth_malformed",
            Self::AuthKey => "auth_key",
            Self::AuthHmac => "auth_hmac",
            Self::AuthStale => "auth_stale",
            Self::AuthReplay => "auth_replay",
        }
    }
}

impl core::fmt::Display for Reject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
