//! Tests of adverts: writing and reading, receive checks, random input.

mod judged;
mod random;
mod written;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{AdvertRepr, Auth, Dialect, fill_checksum, judge, judge_envelope, judge_length, judge_message};
use crate::wire::address::widen;
use crate::wire::frame::Frame;
use crate::wire::{AdvertInfo, ChecksumForm, Family, InstanceRules, Reject, checksum};

const PASSWORD: [u8; 8] = *b"s3cret\0\0";
const V2: Dialect = Dialect::V2 { seconds: 1, auth: Auth::Pass(PASSWORD) };
const V2_PLAIN: Dialect = Dialect::V2 { seconds: 1, auth: Auth::None };
const V3_CS: Dialect = Dialect::V3 { family: Family::V4, centiseconds: 100 };
const V3_V6: Dialect = Dialect::V3 { family: Family::V6, centiseconds: 100 };

/// A received advert.
#[derive(Clone, Debug)]
struct Case {
    message: Vec<u8>,
    frame: Frame,
    slot: InstanceRules,
}

impl Case {
    /// A valid one.
    fn new(dialect: Dialect, address_count: u8, form: ChecksumForm) -> Self {
        let addresses = addresses(dialect.family(), address_count);
        Self::of(&AdvertRepr::new(51, 100, dialect, &addresses).unwrap(), form)
    }

    fn of(repr: &AdvertRepr<'_>, form: ChecksumForm) -> Self {
        let dialect = repr.dialect();
        let (source, destination) = ends(dialect.family());
        let mut buffer = vec![0xa5; repr.buffer_len()];
        let message = repr.emit(&mut buffer).unwrap();
        fill_checksum(message, form, source, destination);
        let (auth_type, auth_data) = match dialect {
            Dialect::V2 { auth, .. } => auth.encode(),
            Dialect::V3 { .. } => (0, [0; 8]),
        };
        Self {
            frame: Frame {
                family: dialect.family(),
                ttl: 255,
                vlan: 0,
                version_ihl: if matches!(dialect.family(), Family::V4) { 0x45 } else { 0x60 },
                source: widen(source),
                destination: widen(destination),
                ip: 0,
                at: 0,
                length: buffer.len(),
                prefix: 0,
                vrid: repr.vrid(),
            },
            slot: InstanceRules { version: dialect.version(), auth_type, auth_data, ..InstanceRules::UNUSED },
            message: buffer,
        }
    }

    fn judge(&self) -> Result<(AdvertInfo, ChecksumForm), Reject> {
        self.judge_with(|length| self.message.get(..length).map(checksum::sum))
    }

    /// Without `judge_header`: the case has no IP header.
    fn judge_with(
        &self,
        sum: impl FnOnce(usize) -> Option<u64>,
    ) -> Result<(AdvertInfo, ChecksumForm), Reject> {
        judge_length(self.message.as_slice(), &self.frame)?;
        judge_envelope(&self.frame, &self.slot)?;
        judge_message(self.message.as_slice(), &self.frame, &self.slot, sum)
    }

    /// Corrects the checksum after a change.
    fn sealed(mut self, form: ChecksumForm) -> Self {
        let (source, destination) = ends(self.frame.family);
        fill_checksum(&mut self.message, form, source, destination);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn ends(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(224, 0, 0, 18).into()),
        Family::V6 => (
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12).into(),
        ),
    }
}

fn addresses(family: Family, count: u8) -> Vec<IpAddr> {
    let one = |last| match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, last.into())),
    };
    (0..count).map(one).collect()
}
