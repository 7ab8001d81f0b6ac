//! Properties of every advert, and of every other sequence of bytes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::PAYLOAD_MAX;
use crate::wire::advert::Advert;

/// The one's complement sum as RFC 1071 §1 describes it, word by word.
fn naive_sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u16;
    for word in parts.concat().chunks(2) {
        let (added, carry) = sum.overflowing_add(u16::from_be_bytes([word[0], word[1]]));
        sum = added + u16::from(carry);
    }
    sum
}

fn is_naively_right(case: &Case) -> bool {
    let length = u16::try_from(case.message.len()).unwrap().to_be_bytes();
    let with = naive_sum(&[&case.message, &case.frame.source, &case.frame.destination, &length, &[0, 112]]);
    let without = naive_sum(&[&case.message]);
    match (case.message[0] >> 4, case.frame.family) {
        (2, _) => without == 0xffff,
        (_, Family::V4) => with == 0xffff || without == 0xffff,
        (_, Family::V6) => with == 0xffff,
    }
}

prop_compose! {
    fn form()(plain in any::<bool>()) -> ChecksumForm {
        if plain { ChecksumForm::Plain } else { ChecksumForm::Pseudo }
    }
}

fn dialect() -> impl Strategy<Value = Dialect> {
    let auth = prop_oneof![Just(Auth::None), any::<[u8; 8]>().prop_map(Auth::Pass)];
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    prop_oneof![
        (1_u8.., auth).prop_map(|(seconds, auth)| Dialect::V2 { seconds, auth }),
        (family, 1_u16..4096).prop_map(|(family, centiseconds)| Dialect::V3 { family, centiseconds }),
    ]
}

/// A dialect with addresses of its family, as many as the maps hold.
fn content() -> impl Strategy<Value = (Dialect, Vec<IpAddr>)> {
    dialect().prop_flat_map(|dialect| {
        let (address, most) = match dialect.family() {
            Family::V4 => (any::<Ipv4Addr>().prop_map(IpAddr::V4).boxed(), 255),
            Family::V6 => (any::<Ipv6Addr>().prop_map(IpAddr::V6).boxed(), 92),
        };
        (Just(dialect), vec(address, 1..=most))
    })
}

proptest! {
    /// A written advert is valid, and is read back as it was.
    #[test]
    fn round_trip(vrid in 1_u8.., priority in any::<u8>(), (dialect, addresses) in content(), form in form()) {
        let repr = AdvertRepr::new(vrid, priority, dialect, &addresses).unwrap();
        let case = Case::of(&repr, form);
        prop_assert!(case.message.len() <= PAYLOAD_MAX);
        let (info, _) = case.judge().unwrap();
        prop_assert_eq!((info.vrid, info.priority), (vrid, priority));
        prop_assert_eq!(info.version, dialect.version());
        let advert = Advert::parse(&case.message, dialect.family()).unwrap();
        prop_assert_eq!(advert.addresses().len(), usize::from(info.address_count));
        prop_assert_eq!(advert.interval(), info.interval);
        let read: Vec<_> = advert.addresses().collect();
        prop_assert_eq!(&read, &addresses);
        prop_assert_eq!(advert.to_repr(&read), Some(repr));
    }

    /// A flipped bit is detected, unless the checksum is correct again.
    #[test]
    fn flipped_bit((dialect, addresses) in content(), form in form(), at in any::<prop::sample::Index>()) {
        let repr = AdvertRepr::new(51, 100, dialect, &addresses).unwrap();
        let mut case = Case::of(&repr, form);
        let bit = at.index(case.message.len() * 8);
        case.message[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(case.judge().is_err() || is_naively_right(&case));
    }

    /// Any checksum is correct exactly if it is by the definition.
    #[test]
    fn any_checksum((dialect, addresses) in content(), sum in any::<[u8; 2]>()) {
        let repr = AdvertRepr::new(51, 100, dialect, &addresses).unwrap();
        let mut case = Case::of(&repr, ChecksumForm::Pseudo);
        case.message[6..8].copy_from_slice(&sum);
        prop_assert_eq!(case.judge().is_ok(), is_naively_right(&case));
    }

    /// No input causes a panic, and an advert that passes is well-formed.
    #[test]
    fn any_bytes(
        bytes in vec(any::<u8>(), 0..200),
        first in prop_oneof![Just(0x21_u8), Just(0x31), any::<u8>()],
        dialect in dialect(),
        length in 0_usize..300,
    ) {
        let mut case = Case::new(dialect, 1, ChecksumForm::Pseudo);
        case.message = bytes;
        if let Some(byte) = case.message.first_mut() {
            *byte = first;
        }
        case.frame.length = length;
        if let Ok((info, _)) = case.judge() {
            prop_assert_eq!(info.version, first >> 4);
        }
        if let Ok(advert) = Advert::parse(&case.message, dialect.family()) {
            prop_assert_eq!(advert.addresses().count(), usize::from(advert.address_count()));
        }
    }
}
