//! Units as types: only legal values can be constructed.

use core::error::Error;
use core::fmt;
use core::num::NonZeroU8;
use core::time::Duration;

/// Index of an instance in the router, and of its slot in the maps.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// Most instances of one router; the maps have room for as many.
    pub const COUNT_MAX: u32 = 4096;

    /// All ids, in the order of the router's instances.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..u32::MAX).map(Self)
    }

    pub fn index(self) -> usize {
        self.0 as usize
    }

    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Index of a sync group in the router.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GroupId(pub u32);

impl GroupId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Number of a mastership: incremented by every transition, carried by hooks, metrics and effects.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u64);

/// Virtual router identifier, 1–255 (RFC 9568 §5.2.3).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Vrid(NonZeroU8);

impl Vrid {
    pub fn new(number: u8) -> Option<Self> {
        NonZeroU8::new(number).map(Self)
    }

    pub fn number(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Protocol version of an instance.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Version {
    V2 = 2,
    V3 = 3,
}

/// Priority, 0–255 (RFC 9568 §5.2.4): 255 owns the addresses, 0 releases them, the others elect.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Priority(pub u8);

impl Priority {
    /// Sent by a master that leaves.
    pub const RELEASE: Self = Self(0);
    pub const DEFAULT: Self = Self(100);
    pub const OWNER: Self = Self(255);

    pub fn is_owner(self) -> bool {
        self == Self::OWNER
    }

    /// Priority plus the sum of weights, clamped to 1–254; an owner's never changes.
    pub fn weighted(self, sum: i32) -> Self {
        if self.is_owner() {
            return self;
        }
        let total = i32::from(self.0).saturating_add(sum).clamp(1, 254);
        Self(u8::try_from(total).unwrap_or(254))
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Effect of a tracked object on the priority, −253…253; 0 means Fault while it is down.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Weight(pub i16);

/// Time between two adverts of a master, in one unit for both versions. The wire has seconds in version 2 and
/// centiseconds in version 3 (RFC 9568 §5.2.7, RFC 3768 §5.3.7).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Interval(Duration);

/// An interval that the wire cannot carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IntervalError {
    V2,
    V3,
}

impl fmt::Display for IntervalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "version 2 counts whole seconds, 1 to 255; use version 3 for shorter ones",
            Self::V3 => "version 3 counts multiples of 10 ms, 10 ms to 40.95 s",
        })
    }
}

impl Error for IntervalError {}

impl Interval {
    pub const SECOND: Self = Self(Duration::from_secs(1));

    /// # Errors
    /// The version cannot carry this interval.
    pub fn new(span: Duration, version: Version) -> Result<Self, IntervalError> {
        let nanos = span.as_nanos();
        match version {
            Version::V2 if !nanos.is_multiple_of(1_000_000_000) || !(1..=255).contains(&span.as_secs()) => {
                Err(IntervalError::V2)
            }
            Version::V3
                if !nanos.is_multiple_of(10_000_000) || !(1..=4095).contains(&(nanos / 10_000_000)) =>
            {
                Err(IntervalError::V3)
            }
            _ => Ok(Self(span)),
        }
    }

    /// From the field of an advert: seconds in version 2, centiseconds in version 3. `None` for 0.
    pub fn from_wire(field: u16, version: Version) -> Option<Self> {
        let span = match version {
            Version::V2 => Duration::from_secs(u64::from(field)),
            Version::V3 => Duration::from_millis(10 * u64::from(field)),
        };
        (field != 0).then_some(Self(span))
    }

    /// The field of an advert, in the unit of the version.
    pub fn to_wire(self, version: Version) -> u16 {
        let field = match version {
            Version::V2 => self.0.as_secs(),
            Version::V3 => u64::try_from(self.0.as_millis() / 10).unwrap_or(u64::MAX),
        };
        u16::try_from(field).unwrap_or(u16::MAX)
    }

    pub fn duration(self) -> Duration {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t01_version_3_counts_centiseconds_in_12_bits() {
        let interval = |millis| Interval::new(Duration::from_millis(millis), Version::V3);
        assert_eq!(interval(10).unwrap().to_wire(Version::V3), 1);
        assert_eq!(interval(40_950).unwrap().to_wire(Version::V3), 4095);
        for millis in [0, 5, 15, 40_960] {
            assert_eq!(interval(millis), Err(IntervalError::V3), "{millis} ms");
        }
    }

    #[test]
    fn v05_version_2_counts_whole_seconds() {
        let interval = |millis| Interval::new(Duration::from_millis(millis), Version::V2);
        assert_eq!(interval(1_000).unwrap().to_wire(Version::V2), 1);
        assert_eq!(interval(255_000).unwrap().to_wire(Version::V2), 255);
        for millis in [0, 500, 1_500, 256_000] {
            assert_eq!(interval(millis), Err(IntervalError::V2), "{millis} ms");
        }
    }

    #[test]
    fn an_interval_survives_the_wire() {
        for version in [Version::V2, Version::V3] {
            assert_eq!(Interval::from_wire(0, version), None);
            for field in 1..=255 {
                assert_eq!(Interval::from_wire(field, version).unwrap().to_wire(version), field);
            }
        }
    }

    #[test]
    fn p13_weights_stay_within_1_and_254_and_leave_the_owner_alone() {
        assert_eq!(Priority(100).weighted(-30), Priority(70));
        assert_eq!(Priority(100).weighted(-253), Priority(1));
        assert_eq!(Priority(100).weighted(i32::MAX), Priority(254));
        assert_eq!(Priority::OWNER.weighted(-253), Priority::OWNER);
    }
}
