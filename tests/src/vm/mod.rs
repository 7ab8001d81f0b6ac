//! Virtual machines with kernels of their own, by QEMU's emulator, so that no support of the processor is needed.
//!
//! [`Kernel`] is one that `cargo xtask test --kernel` has got, [`Image`] the files of the machine: busybox as its shell, the
//! kernel's modules, programs of this host with their libraries. [`Guest::boot`] starts it on [`Hardware`]; it runs
//! programs, one or many at a time, tells what they print and how they end, and has QEMU's [`Monitor`]. A guest is
//! killed when dropped.
//!
//! Nothing of the host is seen inside but what is in the image; the network is what its [`Card`]s are joined to.
//! Emulation makes all some ten times slower: times in a guest are bounds of the field, not measurements.

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
