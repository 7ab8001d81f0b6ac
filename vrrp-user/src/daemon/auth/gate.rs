//! The engine's side: what one instance admits and signs, written down as it happens.

use std::net::IpAddr;
use std::sync::Arc;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::{Reject, TRAILER_LEN};

use super::ledger::{Ledger, Note};
use crate::driver::clock;
use crate::protocol::auth::{Admitted, GROUP_SENDERS, Guard, Proof};
use crate::protocol::{Auth, InstanceSettings};

#[derive(Debug)]
pub struct Gate {
    guard: Guard,
    ledger: Arc<Ledger>,
}

impl Gate {
    /// With what the ledger knows. `None` for an instance whose adverts are not signed.
    pub fn open(settings: &InstanceSettings, ledger: Option<&Arc<Ledger>>) -> Option<Self> {
        let (Auth::Hmac(hmac), Some(ledger)) = (&settings.auth, ledger) else { return None };
        let peers = settings.unicast.as_ref();
        let senders = peers.map(|unicast| unicast.peers.iter().map(|peer| peer.address).collect());
        let room = if peers.is_some() { ledger.room() } else { GROUP_SENDERS };
        let mut guard = Guard::new(Arc::clone(hmac), settings.family, senders, room);
        let known: Vec<Note> = ledger.notes().collect();
        guard.recall(known.iter().map(|note| note.mark), ledger.sent());
        // Some may have been left out, and places be others.
        let mut places = 0;
        for mark in guard.marks() {
            let skew = known.iter().find(|note| note.mark.source == mark.source).and_then(|note| note.skew);
            ledger.note(places, Note { mark, skew });
            places += 1;
        }
        ledger.vacate(places);
        Some(Self { guard, ledger: Arc::clone(ledger) })
    }

    /// Judges an advert that the kernel saw at `stamp`.
    ///
    /// # Errors
    /// As [`Guard::admit`].
    pub fn admit<'a>(
        &mut self,
        octets: &'a [u8],
        source: IpAddr,
        stamp: Timestamp,
    ) -> Result<Admitted<'a>, Reject> {
        // What waited to be handled is no older for that.
        let seen = clock::time_of_day().saturating_sub(clock::now().since(stamp));
        let admitted = self.guard.admit(octets, source, seen)?;
        if let Proof::Signed { place, mark, skew } = admitted.proof {
            self.ledger.note(place, Note { mark, skew: Some(skew) });
        }
        Ok(admitted)
    }

    /// Whether our adverts are signed.
    pub fn signs(&self) -> bool {
        self.guard.settings().signs()
    }

    /// The trailer of an advert that leaves now.
    pub fn sign(&mut self, message: &[u8], source: IpAddr) -> [u8; TRAILER_LEN] {
        let trailer = self.guard.sign(message, source, clock::time_of_day());
        if let Some(sequence) = self.guard.sent() {
            self.ledger.note_sent(sequence);
        }
        trailer
    }

    /// The least proof for which a record of a peer may be believed.
    pub fn least_proof(&self) -> u8 {
        least_proof(self.guard.settings().demands())
    }
}

fn least_proof(demands: bool) -> u8 {
    use vrrp_ebpf::map::Peer;
    if demands { Peer::SIGNED } else { Peer::TOLERATED }
}
