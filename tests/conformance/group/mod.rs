//! Sync groups: [`rows`] what one node does, [`reload`] what a reload makes of them, [`lan`] two nodes with a LAN for each
//! member.

mod bench;
mod lan;
mod node;
mod reload;
mod rows;
mod world;
