//! The order of signed adverts: 64 bits of time and counter, which wrap around (RFC 1982).

use super::TimeOfDay;

/// Seconds of UTC (32 bits), 1/65536 seconds (16 bits), a counter within them (16 bits); or the number of an
/// `AhVerifier`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The first sequence of a point in time. Seconds wrap around in 2106.
    #[expect(clippy::cast_possible_truncation, reason = "seconds wrap around")]
    pub fn at(time: TimeOfDay) -> Self {
        let fraction = (u64::from(time.subsec_nanos()) << 16) / 1_000_000_000;
        Self((time.as_secs() as u32 as u64) << 32 | fraction << 16)
    }

    /// Whether it is a number of an `AhVerifier`, which has 32 bits; every time since 1970 is above them.
    pub const fn is_counter(self) -> bool {
        self.0 >> 32 == 0
    }

    pub const fn following(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether it is newer (RFC 1982 §3.2).
    pub const fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// Whole seconds that it is ahead of `other`; negative if behind.
    pub const fn seconds_ahead(self, other: Self) -> i64 {
        let (seconds, others) = ((self.0 >> 32) as u32, (other.0 >> 32) as u32);
        seconds.wrapping_sub(others).cast_signed() as i64
    }

    /// Microseconds that it is ahead of `other`; negative if behind.
    pub const fn micros_ahead(self, other: Self) -> i64 {
        // In 1/65536 s, of which there are 48 bits.
        let ahead = self.0.wrapping_sub(other.0).cast_signed() >> 16;
        ahead.saturating_mul(15_625) >> 10
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn packs_the_time() {
        let time = Duration::new(0x6800_0000, 500_000_000);
        assert_eq!(Sequence::at(time), Sequence(0x6800_0000_8000_0000));
        assert_eq!(Sequence::at(Duration::new(0x1_0000_0001, 0)), Sequence(1 << 32));
        assert_eq!(Sequence::at(Duration::new(0, 999_999_999)), Sequence(0xffff_0000));
    }

    #[test]
    fn orders_around_the_end() {
        let end = Sequence(u64::MAX);
        assert!(end.following().is_after(end) && !end.is_after(end.following()));
        assert!(!end.is_after(end));
        assert_eq!(Sequence(0).seconds_ahead(Sequence(0xffff_ffff << 32)), 1);
    }

    #[test]
    fn measures() {
        let (one, other) = (Duration::new(100, 250_000_000), Duration::new(101, 750_000_000));
        let (one, other) = (Sequence::at(one), Sequence::at(other));
        assert_eq!((other.micros_ahead(one), one.micros_ahead(other)), (1_500_000, -1_500_000));
        assert_eq!((other.seconds_ahead(one), one.seconds_ahead(other)), (1, -1));
        let ages = Sequence(1 << 63);
        assert!(ages.micros_ahead(Sequence(0)) < 0);
    }
}
