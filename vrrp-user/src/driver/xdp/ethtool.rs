//! Features of a device, by the ethtool ioctl.
//!
//! Every kernel has the ioctl; its generic netlink interface came in pieces. Queries the network namespace of the
//! thread, and needs no capability.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;

use crate::driver::socket::option;

/// `linux/ethtool.h`, `linux/sockios.h`.
const SIOCETHTOOL: u64 = 0x8946;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETH_SS_FEATURES: u32 = 4;
const ETH_GSTRING_LEN: usize = 32;
/// Features of a block: available, requested, active, never changed.
const BLOCK: usize = 4;

/// State of a feature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Feature {
    On,
    Off,
    /// Off, and cannot be switched on.
    Never,
}

/// The features with these names, in order. A feature unknown to the kernel is `Never`.
///
/// # Errors
/// ENODEV: no such interface. EOPNOTSUPP: the kernel does not report features.
pub(super) fn features<const N: usize>(interface: &str, names: [&str; N]) -> io::Result<[Feature; N]> {
    let asker = Asker::open(interface)?;
    let known = asker.names()?;
    let blocks = known.len().div_ceil(32);
    let mut words = vec![0; 2 + BLOCK * blocks];
    set(&mut words, 0, ETHTOOL_GFEATURES);
    set(&mut words, 1, u32::try_from(blocks).map_err(io::Error::other)?);
    asker.ask(&mut words)?;
    let of = |name| known.iter().position(|it| it == name).map_or(Feature::Never, |at| read(&words, at));
    Ok(names.map(of))
}

/// The feature of this number in the answer to ETHTOOL_GFEATURES. It is fixed by ethtool(8)'s rule: not available, or
/// never changed.
fn read(words: &[u32], number: usize) -> Feature {
    let [available, _, active, never] = std::array::from_fn(|place| {
        let block = words.get(2 + number / 32 * BLOCK + place).copied().unwrap_or(0);
        block >> (number % 32) & 1 == 1
    });
    match (active, available && !never) {
        (true, _) => Feature::On,
        (false, true) => Feature::Off,
        (false, false) => Feature::Never,
    }
}

struct Asker {
    socket: OwnedFd,
    name: [libc::c_char; libc::IFNAMSIZ],
}

impl Asker {
    fn open(interface: &str) -> io::Result<Self> {
        let mut name = [0; libc::IFNAMSIZ];
        // The last byte stays 0.
        if interface.len() >= name.len() {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (place, byte) in name.iter_mut().zip(interface.bytes()) {
            *place = libc::c_char::from_ne_bytes([byte]);
        }
        let socket = option::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
        Ok(Self { socket, name })
    }

    /// Names of all features known to the kernel, by number.
    fn names(&self) -> io::Result<Vec<String>> {
        // cmd, reserved, mask (u64), then a length for each set of the mask.
        let mut sizes = [ETHTOOL_GSSET_INFO, 0, 0, 0, 0];
        let mask = (1_u64 << ETH_SS_FEATURES).to_ne_bytes();
        for (place, half) in sizes.iter_mut().skip(2).zip(mask.as_chunks().0) {
            *place = u32::from_ne_bytes(*half);
        }
        self.ask(&mut sizes)?;
        let [.., count] = sizes;
        // The number of features is a constant of the running kernel: the next call has the same.
        let words = count as usize * ETH_GSTRING_LEN / size_of::<u32>();
        let mut strings = vec![0; 3 + words];
        set(&mut strings, 0, ETHTOOL_GSTRINGS);
        set(&mut strings, 1, ETH_SS_FEATURES);
        set(&mut strings, 2, count);
        self.ask(&mut strings)?;
        let bytes: Vec<u8> = strings.iter().skip(3).flat_map(|word| word.to_ne_bytes()).collect();
        let name = |bytes| CStr::from_bytes_until_nul(bytes).unwrap_or_default().to_string_lossy().into();
        Ok(bytes.chunks(ETH_GSTRING_LEN).map(name).collect())
    }

    /// Sends the request in `words`, which is as long as the answer that the kernel writes there.
    fn ask(&self, words: &mut [u32]) -> io::Result<()> {
        let mut request = libc::ifreq {
            ifr_name: self.name,
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: words.as_mut_ptr().cast() },
        };
        // The type of the number differs between C libraries.
        let number = SIOCETHTOOL as _;
        // SAFETY: request and words live through the call; the kernel writes no more than the request says.
        let result = unsafe { libc::ioctl(self.socket.as_fd().as_raw_fd(), number, &raw mut request) };
        Errno::result(result)?;
        Ok(())
    }
}

fn set(words: &mut [u32], at: usize, value: u32) {
    if let Some(place) = words.get_mut(at) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_read_from_its_block() {
        let mut words = vec![0; 2 + 2 * BLOCK];
        let [mut available, mut active, mut never] = [0_u32; 3];
        // 32: on and fixed. 33: off. 34: off, never to change. 35: on. 36: unknown.
        for bit in [1, 2, 3] {
            available |= 1 << bit;
        }
        for bit in [0, 3] {
            active |= 1 << bit;
        }
        never |= 1 << 2;
        words[6..].copy_from_slice(&[available, 0, active, never]);
        let found: Vec<_> = (32..37).map(|number| read(&words, number)).collect();
        assert_eq!(found, [Feature::On, Feature::Off, Feature::Never, Feature::On, Feature::Never]);
        assert_eq!(read(&words, 1), Feature::Never);
        assert_eq!(read(&words, 64), Feature::Never);
    }

    #[test]
    fn an_interface_is_asked_by_name() {
        let features_of_lo = features("lo", ["loopback", "no-such-feature"]).unwrap();
        assert_eq!(features_of_lo, [Feature::On, Feature::Never]);
        for name in ["no-such", "a-name-that-is-too-long"] {
            assert_eq!(features(name, []).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        }
    }
}
