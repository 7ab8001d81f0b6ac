//! What tests, the lab and the benches share: namespaces, packets, peers.

pub mod packet;
