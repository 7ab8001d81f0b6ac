//! Adverts signed with a shared key: keepalived's `auth_hmac` (2.4.2 and later).
//!
//! Enters: adverts with the bytes behind them, their source address, and the time of day. Leaves: verified adverts, or
//! the check that failed; and trailers for our own adverts. Absent: clocks, sockets, maps; the meaning of an advert.
//!
//! [`Key`] signs and verifies, [`Sequence`] orders adverts, [`SenderMarks`] keep the newest sequence of each sender.
//! [`Verifier`] joins them for one instance. [`AhVerifier`] does the same for `auth_type AH`.

mod ah;
mod key;
mod marks;
mod sequence;
mod settings;
mod verifier;

pub use ah::AhVerifier;
pub use key::{KEY_MAX, KEY_MIN, Key};
pub use marks::{GROUP_SENDERS, Mark, SenderMarks};
pub use sequence::Sequence;
pub use settings::{AntiReplay, HmacMode, HmacSettings, Senders, TimeOfDay, WINDOW_MAX};
pub use verifier::{Admitted, Proof, Verifier};
