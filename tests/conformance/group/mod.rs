//! Sync groups: [`rows`] what one node does, [`lan`] two nodes with a LAN for each member.

mod lan;
mod node;
mod rows;
mod world;
