//! Inspection from the command line: of this host, of a link, of what a daemon has measured.
//!
//! Enters: a configuration, the state of the host, frames of an interface, a status. Leaves: findings and tables for a
//! person. Absent: a running daemon ([`tune`] alone asks one), and any effect: nothing is set or attached, and
//! nothing sent but the kernel's reports of joined groups, and the echo requests of `doctor --probe`.
//!
//! [`doctor`] judges the host, [`detect`] lists the virtual routers on a link, [`trace`] shows adverts as they come,
//! [`tune`] derives an advert interval from measured gaps. [`capture`] reads the frames of an interface, [`sighting`]
//! one of them.

pub mod capture;
pub mod detect;
pub mod doctor;
pub mod sighting;
pub mod trace;
pub mod tune;
