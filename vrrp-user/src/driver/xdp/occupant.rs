//! The program on the XDP hook of an interface, named in the message about an unavailable receive path.

use super::getlink::{Description, attribute, number};

const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;

/// The id of the XDP program of an interface, if one is attached and the kernel reports it.
pub(super) fn xdp_program(ifindex: u32) -> Option<u32> {
    let description = Description::of(ifindex).ok()?;
    number(attribute(description.attribute(IFLA_XDP)?, IFLA_XDP_PROG_ID)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_has_none() {
        assert_eq!(xdp_program(u32::MAX >> 1), None);
    }
}
