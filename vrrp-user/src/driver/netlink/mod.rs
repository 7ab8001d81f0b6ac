//! rtnetlink: addresses on and off, and what becomes of links and addresses.
//!
//! Enters: addresses to set or to remove; changes told by the kernel. Leaves: requests, many in one send; and for each
//! instance, what of those changes matters to it. Absent: decisions, threads.
//!
//! [`socket`] carries messages, and [`refusal`] tells why the kernel refuses one. [`address`] writes them for the effect thread, [`link`] reads interfaces, [`vmac`]
//! makes those with virtual MAC addresses, [`filter`] attaches the program by tc, [`devconf`] writes IPv4 settings, [`residue`] removes what an earlier run
//! has left. [`monitor`] keeps [`table`], the picture of links and addresses, which [`tracker`] turns into events of
//! instances, where [`removal`] finds what instances have lost and [`debounce`] lets what bounces come to rest first.

pub mod address;
pub mod culprit;
pub mod debounce;
pub mod devconf;
pub mod filter;
pub mod link;
pub mod monitor;
pub mod refusal;
pub mod removal;
pub mod residue;
pub mod route;
pub mod rule;
pub mod socket;
pub mod table;
pub mod tracker;
pub mod vmac;
