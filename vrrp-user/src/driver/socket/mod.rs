//! Raw sockets: sending of adverts and announcements, and adverts received without a program.
//!
//! Enters: messages to send, frames from an interface. Leaves: packets, and judged adverts. Absent: decisions, state of
//! instances, waiting: every socket is non-blocking, and a packet that cannot be sent now is reported and dropped.
//!
//! `advert` sends adverts, `announce` gratuitous ARP and unsolicited neighbour advertisements, each as one `batch`.
//! `membership` joins the group; if no program is attached, `listen` receives adverts and `classify` judges them.
//! `reference` observes which adverts other programs of this host receive. `sample` writes an advert that is not sent.
//! For a person who inspects a link, `tap` shows every advert on it, `echo` asks other hosts, `queries` shows the
//! queriers of multicast, and `probe` is what two hosts send each other to see that adverts would pass.

mod advert;
mod announce;
mod batch;
mod classify;
mod echo;
mod listen;
mod membership;
pub(crate) mod option;
mod probe;
mod queries;
mod reference;
mod sample;
mod tap;

pub use advert::{AdvertSender, Outgoing};
pub use announce::{Announcer, Station};
pub use classify::{ReceivedAdvert, classify};
pub use echo::{EchoAnswers, EchoSocket};
pub use listen::Listener;
pub use membership::{Membership, Memberships, is_member};
pub use probe::{HeardProbe, PROBE_VRID, ProbeMessage};
pub use queries::QueryTap;
pub use reference::{HeardVrid, HeardVrids, ReferenceSocket};
pub use sample::advert_of_peer;
pub use tap::{CapturedFrame, Tap};
