//! Where bytes meet the kernel. Drivers take no decisions: they turn packets and messages into events, and actions
//! into packets and messages.

pub mod clock;
