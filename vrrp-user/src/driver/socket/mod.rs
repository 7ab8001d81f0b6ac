//! Raw sockets: adverts and announcements out, and adverts in where no program is attached.
//!
//! Enters: messages to send, frames from an interface. Leaves: packets, and judged adverts. Absent: decisions, state
//! of instances, waiting: every socket is non-blocking, and a packet that cannot leave now is reported and gone.
//!
//! `advert` sends adverts, `announce` gratuitous ARP and unsolicited neighbour advertisements, each as one `batch`.
//! `membership` lets the group through to us; where no program does it, `listen` hears it and `sight` judges. `witness`
//! tells what others on this host hear.

mod advert;
mod announce;
mod batch;
mod listen;
mod membership;
pub(in crate::driver) mod option;
mod sight;
mod witness;

pub use advert::{AdvertSender, Outgoing};
pub use announce::{Announcer, Station};
pub use listen::Listener;
pub use membership::{Membership, is_member};
pub use sight::{Sighted, sight};
pub use witness::{Heard, Testimony, Witness};
