//! Sync groups: [`rows`] one node, [`reload`] changes by a reload, [`lan`] two nodes with a LAN for each member.

mod bench;
mod lan;
mod reload;
mod rows;
