//! Receive checks: one variant each, which is also the counter, the metric label and the log word.

crate::words! {
    /// The first receive check that an advert failed, in the order of the checks (RFC 9568 §7.1).
    ///
    /// A rejected advert leaves states, timers and peers as they are.
    #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
    #[repr(u8)]
    pub enum Reject {
        /// The IP header has another version than the ethertype says, or less than the minimum length. The stack drops
        /// the packet.
        IpHeader = 0 => "ip_header",
        /// The checksum of the IPv4 header is wrong (RFC 791 §3.1). The stack drops the packet.
        IpChecksum = 1 => "ip_checksum",
        /// Fewer bytes than the IP header announces, or fewer than 8 bytes of VRRP.
        Truncated = 2 => "truncated",
        /// Multicast with TTL or hop limit other than 255 (RFC 9568 §5.1.1.3, §5.1.2.3), or unicast outside a peer's
        /// bounds.
        Ttl = 3 => "ttl",
        /// Unicast to a multicast instance, or the reverse.
        Destination = 4 => "destination",
        /// The source is unspecified, multicast, broadcast or loopback.
        Source = 5 => "source",
        /// The source is our own address: a loop, or another host that has it too. [`crate::map::Rejected`] says
        /// which.
        OwnSource = 6 => "own_source",
        /// CARP, which shares protocol number, group and virtual MAC with VRRP.
        Carp = 7 => "carp",
        /// Neither version 2 nor 3, or version 2 over IPv6.
        Version = 8 => "version",
        /// Version 2 or 3, but this instance does not speak it.
        VersionMismatch = 9 => "version_mismatch",
        /// Not an advertisement (RFC 9568 §5.2.2).
        Type = 10 => "type",
        /// It has no address (RFC 9568 erratum 8299).
        CountZero = 11 => "count_zero",
        /// Longer or shorter than its address count and version say (RFC 9568 §7.1).
        Length = 12 => "length",
        /// Longer than the maps hold; see [`super::PAYLOAD_MAX`].
        TooLong = 13 => "too_long",
        /// The checksum is wrong in every form in use; see [`super::ChecksumForm`].
        Checksum = 14 => "checksum",
        /// Authentication of another type than ours (RFC 2338 §5.3.6).
        AuthType = 15 => "auth_type",
        /// The password is another one (RFC 2338 §5.3.10).
        AuthData = 16 => "auth_data",
        /// Interval 0 (RFC 9568 erratum 8301).
        IntervalZero = 17 => "interval_zero",
        /// A unicast sender that is none of the peers, on an instance that accepts only those.
        Peer = 18 => "peer",
        /// The message has no trailer, which the instance requires; see [`super::Trailer`].
        AuthMissing = 19 => "auth_missing",
        /// A trailer of another type, or with reserved bits set.
        AuthMalformed = 20 => "auth_malformed",
        /// Signed with a key that is not configured.
        AuthKey = 21 => "auth_key",
        /// The signature is not that of its key.
        AuthHmac = 22 => "auth_hmac",
        /// Signed too long ago, or by a clock too far ahead.
        AuthStale = 23 => "auth_stale",
        /// Not newer than an advert already received from its sender.
        AuthReplay = 24 => "auth_replay",
    }
}

impl Reject {
    /// Number of checks.
    pub const COUNT: usize = Self::ALL.len();
}

impl core::fmt::Display for Reject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
