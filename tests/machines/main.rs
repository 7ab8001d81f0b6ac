//! Whole machines under a hypervisor, which can do to them what no program on them can.
//!
//! `cargo xtask test --kernel 6.1 --only machines` runs these; by hand: `VRRPX_KERNEL=6.1 cargo test -p vrrp-tests
//! --test machines -- --test-threads=1`. Both print the measured times. They boot two machines each by QEMU's emulator.
//! It makes a machine some ten times slower, so the times are bounds of the field.

mod asleep;
mod killed;
mod paused;
mod scene;
