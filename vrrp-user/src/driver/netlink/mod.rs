//! rtnetlink: changes of addresses, routes, rules and interfaces, and notifications about them.
//!
//! Enters: addresses to add or remove; notifications of the kernel. Leaves: requests, many in one send; and for each
//! instance the changes that matter to it. Absent: decisions, threads.
//!
//! [`socket`] carries messages, and [`refusal`] holds the kernel's reason for an error. [`address`] writes addresses
//! for the effect thread, [`link`] reads interfaces, [`vmac`] creates those with virtual MAC addresses, [`filter`]
//! attaches the program by tc, [`devconf`] writes IPv4 settings, [`leftovers`] removes the leftovers of an earlier run,
//! [`origin`] distinguishes the host's own addresses.
//! [`monitor`] keeps [`table`], the state of links and addresses. [`tracker`] turns it into events of instances,
//! [`removal`] finds what instances have lost, [`debounce`] delays changes of links, and [`source_hold`] those of
//! sources. [`removed_by`] and [`kin`] name processes. [`changes`] says that something has changed.

pub mod address;
pub mod changes;
pub mod debounce;
pub mod devconf;
pub mod filter;
pub mod kin;
pub mod leftovers;
pub mod link;
pub mod monitor;
pub mod neighbour;
pub mod origin;
pub mod refusal;
pub mod removal;
pub mod removed_by;
pub mod route;
pub mod rule;
pub mod socket;
pub mod source_hold;
pub mod table;
pub mod tracker;
pub mod vmac;
