//! Rules of an instance for the form of adverts.

/// The form that the adverts of one instance must have. The daemon writes it before the slot's key; a reload, or
/// another source address, puts another copy in force, see [`crate::map::RulesPair`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct InstanceRules {
    /// Our own source address, IPv4 in the first four bytes: an advert from it means a loop or a duplicate address.
    pub source: [u8; 16],
    /// Authentication data that a version 2 advert must carry when `auth_type` is 1.
    pub auth_data: [u8; 8],
    /// Destination of multicast adverts, IPv4 in the first four bytes; zeros: the group of the family
    /// (RFC 9568 §5.1.1.2, §5.1.2.2).
    pub group: [u8; 16],
    /// 2 or 3.
    pub version: u8,
    /// 0: none; 1: simple password; 2: authentication header of IPsec (RFC 2338 §5.3.6); version 2 only.
    pub auth_type: u8,
    /// 0: adverts are multicast with TTL 255; 1: unicast with any TTL; [`Self::ALLOWED_PEERS_ONLY`]: unicast, and each
    /// sender needs a [`super::AllowedPeer`].
    pub unicast: u8,
    /// Whether a [`super::Trailer`] follows the message: [`Self::UNSIGNED`], [`Self::SIGNED`] or
    /// [`Self::MAYBE_SIGNED`]. Unless unsigned, the daemon verifies adverts, and the program records no peers.
    pub trailer: u8,
    /// A second version that is accepted, for a migration (RFC 9568 §8.4); 0: none.
    pub other_version: u8,
    /// The instance's own priority, as configured: a sender with a lower one cannot be its master.
    pub priority: u8,
    /// 1: the instance advertises no addresses, and accepts adverts without any too.
    pub no_addresses: u8,
    /// 0.
    pub reserved: u8,
}

const _: () = assert!(size_of::<InstanceRules>() == 48);

impl InstanceRules {
    /// In `unicast`: from listed peers only.
    pub const ALLOWED_PEERS_ONLY: u8 = 2;

    /// In `auth_type`: the authentication header of IPsec.
    pub const AH: u8 = 2;

    /// In `trailer`: never.
    pub const UNSIGNED: u8 = 0;
    /// In `trailer`: always.
    pub const SIGNED: u8 = 1;
    /// In `trailer`: adverts without one are accepted too.
    pub const MAYBE_SIGNED: u8 = 2;

    /// A slot without an instance.
    pub const UNUSED: Self = Self {
        source: [0; 16],
        auth_data: [0; 8],
        group: [0; 16],
        version: 0,
        auth_type: 0,
        unicast: 0,
        trailer: Self::UNSIGNED,
        other_version: 0,
        priority: 0,
        no_addresses: 0,
        reserved: 0,
    };

    /// Whether verifying the sender takes a key: then the daemon does it, and the program records no peers.
    #[inline(always)]
    pub const fn is_signed(&self) -> bool {
        self.trailer != Self::UNSIGNED || self.auth_type == Self::AH
    }
}
