//! The origin of addresses: VRRP, or something else on the host.
//!
//! Linux 5.18 and later report it (IFA_PROTO). Enters: the addresses of the host, and those that a configuration names.
//! Leaves: addresses marked as set by VRRP, by the kernel's word or, on an older kernel, by inference.

use std::fs;
use std::net::IpAddr;
use std::sync::OnceLock;

use super::table::Address;

/// The first kernel with IFA_PROTO.
const SINCE: (u32, u32) = (5, 18);

/// Whether this release of the kernel reports the origin.
pub fn is_supported() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| reports(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()))
}

/// Whether the kernel reports the origin. A distributor may have added that to an older one.
pub fn is_reported(all: &[Address]) -> bool {
    all.iter().any(|it| it.marked) || is_supported()
}

fn reports(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= SINCE
}

/// On a kernel that does not report the origin, marks the addresses that a configuration names. One without which its
/// interface has none to send from stays unmarked: it is probably the host's own.
pub fn infer(all: &mut [Address], is_named: impl Fn(&Address) -> bool) {
    if is_reported(all) {
        return;
    }
    let is_set_by_vrrp = |it: &Address| is_named(it) && !is_only_source(it, all, &is_named);
    let inferred: Vec<bool> = all.iter().map(is_set_by_vrrp).collect();
    for (address, marked) in all.iter_mut().zip(inferred) {
        address.marked = marked;
    }
}

/// Whether adverts of its family could not leave by its interface without this address. Addresses that the
/// configuration names do not count as others.
pub fn is_only_source(present: &Address, all: &[Address], is_named: impl Fn(&Address) -> bool) -> bool {
    let is_source = |it: &Address| match it.address {
        IpAddr::V4(_) => present.address.is_ipv4(),
        IpAddr::V6(address) => present.address.is_ipv6() && address.is_unicast_link_local(),
    };
    let others = all.iter().filter(|it| it.ifindex == present.ifindex && !is_named(it) && !it.marked);
    !present.marked && is_source(present) && !others.into_iter().any(is_source)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Address = Address {
        ifindex: 3,
        address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
        prefix: 24,
        peer: None,
        secondary: false,
        usable: true,
        marked: false,
    };

    fn is_named(it: &Address) -> bool {
        it.address == ONE.address
    }

    #[test]
    fn the_only_source_is_the_only_one_of_its_interface() {
        let other = Address { address: [192, 0, 2, 9].into(), ..ONE };
        assert!(is_only_source(&ONE, &[ONE], is_named));
        assert!(is_only_source(&ONE, &[ONE, Address { ifindex: 4, ..other }], is_named));
        assert!(is_only_source(&ONE, &[ONE, Address { marked: true, ..other }], is_named));
        assert!(!is_only_source(&ONE, &[ONE, other], is_named));
        assert!(!is_only_source(&Address { marked: true, ..ONE }, &[ONE], is_named));
    }

    #[test]
    fn kernels_report_the_origin_since_5_18() {
        for release in ["5.18.0", "6.1.0-56-cloud-amd64", "7.2.13+deb14"] {
            assert!(reports(release), "{release}");
        }
        for release in ["5.10.0-46-cloud-amd64", "5.14.0-570.el9.x86_64", "5.15.0-119-generic", ""] {
            assert!(!reports(release), "{release}");
        }
        // A kernel that has the feature all the same.
        assert!(is_reported(&[Address { marked: true, ..ONE }]));
    }

    #[test]
    fn a_reported_origin_is_not_inferred() {
        let other = Address { address: [192, 0, 2, 9].into(), ..ONE };
        let reported = [ONE, other, Address { ifindex: 4, marked: true, ..other }];
        let mut all = reported;
        infer(&mut all, is_named);
        assert_eq!(all, reported);
    }
}
