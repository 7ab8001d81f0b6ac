//! The order of programs at tcx (Linux 6.6): one before ours may drop adverts, or end the chain.
//!
//! Enters: an interface and the id of our program there. Leaves: the name of a program of others before it. Absent: a
//! test run of that program, as XDP has ([`super::Foreign`]): it would send what it redirects to the network.

use super::entry::Entry;
use super::syscall::{bpf, program_name};

const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_TCX_INGRESS: u32 = 46;

/// How the names of our entries begin: another daemon of this program passes adverts on.
const OUR_NAME: &str = "vrrp_";

/// Programs that are looked at: of more, the first ones. The kernel takes 64.
const LOOKED: usize = 64;

/// Leading part of the attributes of BPF_PROG_QUERY.
#[derive(Debug)]
#[repr(C)]
struct Query {
    ifindex: u32,
    hook: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    reserved: u32,
    rest: [u64; 4],
}

/// Name of a program that gets frames of the interface before the program of this id does.
pub(super) fn other_before(ifindex: u32, ours: u32) -> Option<String> {
    let mut ids = [0_u32; LOOKED];
    let mut query = Query {
        ifindex,
        hook: BPF_TCX_INGRESS,
        flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr().expose_provenance() as u64,
        count: u32::try_from(LOOKED).ok()?,
        reserved: 0,
        rest: [0; 4],
    };
    bpf(BPF_PROG_QUERY, &mut query).ok()?;
    let before: Vec<u32> =
        std::hint::black_box(&ids).iter().copied().take_while(|id| ![ours, 0].contains(id)).collect();
    // One without a name that can be read may be ours: two daemons would come before each other for ever.
    let is_ours = |name: &str| name.starts_with(OUR_NAME) || name == Entry::Tc.empty();
    before.into_iter().filter_map(|id| program_name(id).ok()).find(|name| !is_ours(name))
}
