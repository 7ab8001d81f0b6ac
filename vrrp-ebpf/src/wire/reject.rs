//! Why an advert was refused: one variant per receive check, which is also its counter, metric label and log word.

/// The first receive check that an advert failed, in the order in which they are made (RFC 9568 §7.1).
///
/// Any of them leaves states, timers and peers as they are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Reject {
    /// Fewer bytes than the IP header announces, or fewer than 8 bytes of VRRP.
    Truncated = 0,
    /// Multicast with TTL or hop limit other than 255 (RFC 9568 §5.1.1.3, §5.1.2.3), or unicast outside a peer's
    /// bounds.
    Ttl = 1,
    /// A group's instance was addressed by unicast, or the reverse.
    Destination = 2,
    /// The source is unspecified, multicast, broadcast or loopback.
    Source = 3,
    /// The source is our own address: a loop, or a duplicate address.
    OwnSource = 4,
    /// CARP, which shares protocol number, group and virtual MAC with VRRP.
    Carp = 5,
    /// Neither version 2 nor 3, or version 2 over IPv6.
    Version = 6,
    /// A version that this instance does not speak.
    VersionMismatch = 7,
    /// Not an advertisement (RFC 9568 §5.2.2).
    Type = 8,
    /// No address in it (RFC 9568 erratum 8299).
    CountZero = 9,
    /// Longer or shorter than its address count and version say (RFC 9568 §7.1).
    Length = 10,
    /// More than the maps hold; see [`super::PAYLOAD_MAX`].
    TooLong = 11,
    /// Wrong in every form met in the field; see [`super::ChecksumForm`].
    Checksum = 12,
    /// Authentication of another type than ours (RFC 2338 §5.3.6).
    AuthType = 13,
    /// The password is another one (RFC 2338 §5.3.10).
    AuthData = 14,
    /// Interval 0 (RFC 9568 erratum 8301).
    IntervalZero = 15,
    /// A unicast sender that is none of the peers, where only those are heard.
    Peer = 16,
    /// No trailer behind the message, where one must be; see [`super::Trailer`].
    AuthMissing = 17,
    /// A trailer of another type, or with reserved bits set.
    AuthMalformed = 18,
    /// Signed with a key that is not configured.
    AuthKey = 19,
    /// The signature is not that of its key.
    AuthHmac = 20,
    /// Signed too long ago, or by a clock too far ahead.
    AuthStale = 21,
    /// Not newer than what was heard of its sender.
    AuthReplay = 22,
}

impl Reject {
    pub const COUNT: usize = Self::ALL.len();

    pub const ALL: [Self; 23] = [
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
