//! What must be known of an instance to judge an advert's form.

/// Form expected of the adverts of one instance. Written by the daemon before the slot's key, so that the program
/// never meets a half-written one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Slot {
    /// Our own source address, IPv4 in the first four bytes: hearing it means a loop or a duplicate address.
    pub source: [u8; 16],
    /// Authentication data that a version 2 advert must carry when `auth_type` is 1.
    pub auth_data: [u8; 8],
    /// Where multicast adverts go, IPv4 in the first four bytes; zeros: the group of the family (RFC 9568 §5.1.1.2,
    /// §5.1.2.2).
    pub group: [u8; 16],
    /// 2 or 3.
    pub version: u8,
    /// 0 none, 1 simple password, 2 the authentication header of IPsec (RFC 2338 §5.3.6); version 2 only.
    pub auth_type: u8,
    /// 0: adverts are multicast with TTL 255; 1: they are unicast, whatever their TTL; [`Self::LISTED`]: they are
    /// unicast, and each sender needs a [`super::Permit`].
    pub unicast: u8,
    /// Whether a [`super::Trailer`] lies behind the message: [`Self::UNSIGNED`], [`Self::SIGNED`] or
    /// [`Self::MAYBE_SIGNED`]. With one, the daemon decides what is heard, and the program records no peers.
    pub trailer: u8,
    /// Heard as well, for a migration (RFC 9568 §8.4); 0: no other.
    pub other_version: u8,
    /// The instance's own, as configured: who has a lower one cannot be its master.
    pub priority: u8,
    /// 1: the instance advertises no addresses, and hears adverts without any as well.
    pub no_addresses: u8,
    pub reserved: u8,
}

const _: () = assert!(size_of::<Slot>() == 48);

impl Slot {
    pub const LISTED: u8 = 2;

    /// In `auth_type`.
    pub const AH: u8 = 2;

    pub const UNSIGNED: u8 = 0;
    pub const SIGNED: u8 = 1;
    pub const MAYBE_SIGNED: u8 = 2;

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

    /// Whether it takes a key to tell whose an advert is: then the daemon does, and the program records no peers.
    #[inline(always)]
    pub const fn is_signed(&self) -> bool {
        self.trailer != Self::UNSIGNED || self.auth_type == Self::AH
    }
}
