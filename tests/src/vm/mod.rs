//! Virtual machines with their own kernels, by QEMU's emulator, so that no virtualisation support of the processor is
//! needed.
//!
//! [`Kernel`] is a kernel that `cargo xtask test --kernel` has fetched, [`Image`] the files of the machine: busybox as
//! its shell, the kernel's modules, programs of this host with their libraries. [`Guest::boot`] starts it on
//! [`Hardware`]. It runs programs, one or many at a time, reports their output and exit status, and has QEMU's
//! [`Monitor`]. A guest is killed when dropped.
//!
//! The guest sees no file of the host except those in the image; its network is what its [`Card`]s are connected to.
//! Emulation is some ten times slower: times in a guest are bounds of the field, not measurements.

mod agent;
mod archive;
mod guest;
mod image;
mod kernel;
mod monitor;
mod protocol;

pub use agent::serve;
pub use guest::{Card, Finished, Guest, Hardware, Job};
pub use image::Image;
pub use kernel::Kernel;
pub use monitor::Monitor;
