//! XDP programs of others before ours: whether they let adverts through.
//!
//! Enters: an interface, and an advert as a peer would send it. Leaves: the program on the interface's XDP hook, and
//! whether it passes the advert, by a test run (BPF_PROG_TEST_RUN, Linux 4.12), which reaches no network but counts in
//! the program's own statistics. Absent: programs on lower interfaces, and a remedy.

use std::io;
use std::os::fd::OwnedFd;

use super::occupant;
use super::syscall::{open_program, program_name, test_run};

const XDP_PASS: u32 = 2;

/// A program and its verdict on an advert.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Foreign {
    pub id: u32,
    /// As the kernel keeps it: 15 bytes; empty if it has none.
    pub name: String,
    /// `None` if the kernel gives no verdict: without CAP_SYS_ADMIN, for example.
    pub passes: Option<bool>,
}

/// The program of libxdp that calls those of several users of an interface, one after the other.
pub const LIBXDP: &str = "xdp_dispatcher";

/// How the names of our entries begin.
const OUR_NAME: &str = "vrrp_xdp";

/// `struct xdp_md`.
#[derive(Debug)]
#[repr(C)]
struct Context {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

impl Foreign {
    /// The id of the program on the XDP hook of an interface.
    pub fn id_on(ifindex: u32) -> Option<u32> {
        occupant::xdp_program(ifindex)
    }

    /// The program of this id, and its verdict on a frame that arrives on the interface.
    pub fn judge(id: u32, ifindex: u32, frame: &[u8]) -> Self {
        let name = program_name(id).unwrap_or_default();
        // Another daemon of this program passes adverts, and would take this one for a real one.
        if name.starts_with(OUR_NAME) {
            return Self { id, name, passes: Some(true) };
        }
        let passes = open_program(id).and_then(|program| verdict(&program, ifindex, frame));
        Self { id, name, passes: passes.ok().map(|verdict| verdict == XDP_PASS) }
    }
}

fn verdict(program: &OwnedFd, ifindex: u32, frame: &[u8]) -> io::Result<u32> {
    // The kernel takes no interface of a device without XDP queues, nor before Linux 5.14.
    run(program, Some(ifindex), frame).or_else(|_| run(program, None, frame))
}

fn run(program: &OwnedFd, ifindex: Option<u32>, frame: &[u8]) -> io::Result<u32> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    let context = ifindex.map(|ingress_ifindex| Context {
        data: 0,
        data_end: length,
        data_meta: 0,
        ingress_ifindex,
        rx_queue_index: 0,
        egress_ifindex: 0,
    });
    test_run(program, frame, context.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_has_no_verdict() {
        assert_eq!(Foreign::id_on(u32::MAX >> 1), None);
        let gone = Foreign::judge(u32::MAX >> 1, 1, &[0; 64]);
        assert_eq!((gone.name.as_str(), gone.passes), ("", None));
    }
}
