//! The gate of an instance in the engine: verifies and signs adverts, and writes the ledger.

use std::net::IpAddr;
use std::sync::Arc;

use vrrp_ebpf::map::Peer;
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Reject;

use super::ledger::{Ledger, Note};
use super::store::margin;
use crate::config::InstanceSettings;
use crate::driver::clock;
use crate::driver::socket::{AdvertSender, Outgoing};
use crate::protocol::auth::{Admitted, AhVerifier, GROUP_SENDERS, Mark, Proof, Verifier};
use crate::protocol::{Auth, InstanceId, Priority};

#[derive(Debug)]
pub struct Gate {
    verifier: Kind,
    ledger: Arc<Ledger>,
}

#[derive(Debug)]
enum Kind {
    Hmac(Verifier),
    Ah(AhVerifier),
}

impl Gate {
    /// Starts from the ledger. `None` for an instance whose adverts are not signed.
    pub fn open(settings: &InstanceSettings, ledger: Option<&Arc<Ledger>>) -> Option<Self> {
        let ledger = Arc::clone(ledger?);
        let unicast = settings.unicast.as_ref();
        let known: Vec<Note> = ledger.notes().collect();
        let mut verifier = match &settings.auth {
            Auth::Hmac(hmac) => {
                let senders = unicast.map(|unicast| unicast.peers.iter().map(|peer| peer.address).collect());
                let room = if unicast.is_some() { ledger.room() } else { GROUP_SENDERS };
                Kind::Hmac(Verifier::new(Arc::clone(hmac), settings.family, senders, room))
            }
            Auth::Ah(password) => Kind::Ah(AhVerifier::new(password, unicast.is_some(), ledger.room())?),
            Auth::None | Auth::Pass(_) => return None,
        };
        let is_ah = matches!(verifier, Kind::Ah(_));
        let marks = known.iter().map(|note| note.mark).filter(|mark| mark.sequence.is_counter() == is_ah);
        let sent = ledger.sent().filter(|sent| sent.is_counter() == is_ah);
        match &mut verifier {
            Kind::Hmac(verifier) => verifier.recall(marks, sent),
            Kind::Ah(verifier) => verifier.recall(marks, sent),
        }
        let this = Self { verifier, ledger };
        this.write_down(&known);
        Some(this)
    }

    /// Writes all marks to the ledger: some may have been dropped, and places may have changed.
    fn write_down(&self, known: &[Note]) {
        let marks: Vec<Mark> = match &self.verifier {
            Kind::Hmac(verifier) => verifier.marks().collect(),
            Kind::Ah(verifier) => verifier.marks().collect(),
        };
        for (place, mark) in marks.iter().enumerate() {
            let skew = known.iter().find(|note| note.mark.source == mark.source).and_then(|note| note.skew);
            self.ledger.note(place, Note { mark: *mark, skew });
        }
        self.ledger.vacate(marks.len());
    }

    /// Judges an advert that the kernel saw at `stamp`.
    ///
    /// # Errors
    /// As [`Verifier::admit`] and [`AhVerifier::admit`].
    pub fn admit<'a>(
        &mut self,
        octets: &'a [u8],
        source: IpAddr,
        stamp: Timestamp,
    ) -> Result<Admitted<'a>, Reject> {
        let admitted = match &mut self.verifier {
            Kind::Hmac(verifier) => {
                // The age counts from the arrival, not from the handling.
                let seen = clock::time_of_day().saturating_sub(clock::now().since(stamp));
                verifier.admit(octets, source, seen)?
            }
            Kind::Ah(verifier) => verifier.admit(octets, source)?,
        };
        match admitted.proof {
            Proof::Tolerated => {}
            Proof::Signed { mark, place, skew } => self.ledger.note(place, Note { mark, skew: Some(skew) }),
            Proof::Counted { mark, place } => self.ledger.note(place, Note { mark, skew: None }),
        }
        Ok(admitted)
    }

    /// Queues an advert, signed at this moment.
    pub fn send(
        &mut self,
        sender: &mut AdvertSender,
        outgoing: &Outgoing,
        instance: InstanceId,
        priority: Priority,
    ) {
        let sent = match &mut self.verifier {
            Kind::Hmac(verifier) if !verifier.settings().signs() => {
                sender.queue(outgoing, instance, priority);
                return;
            }
            Kind::Hmac(verifier) => {
                sender.queue_signed(outgoing, instance, priority, |message, source| {
                    verifier.sign(message, source, clock::time_of_day())
                });
                verifier.sent()
            }
            Kind::Ah(verifier) => {
                let IpAddr::V4(source) = outgoing.source() else { return };
                let header = verifier.next(source);
                sender.queue_sealed(outgoing, instance, priority, &header, |packet| verifier.seal(packet));
                Some(verifier.sent())
            }
        };
        sent.into_iter().for_each(|sequence| self.ledger.note_sent(sequence));
    }

    /// Goes on after another process, which has begun with the margin, and may have sent as many adverts as fit into
    /// another one.
    pub fn go_on(&mut self) {
        match &mut self.verifier {
            Kind::Hmac(verifier) => verifier.skip(2 * margin(Some(verifier.settings()))),
            Kind::Ah(verifier) => verifier.skip(2 * margin(None)),
        }
    }

    /// The least proof with which a peer's record may be believed.
    pub fn least_proof(&self) -> u8 {
        match &self.verifier {
            Kind::Hmac(verifier) if !verifier.settings().demands() => Peer::TOLERATED,
            Kind::Hmac(_) | Kind::Ah(_) => Peer::SIGNED,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vrrp_ebpf::wire::Family;

    use super::*;
    use crate::protocol::auth::{AntiReplay, HmacMode, HmacSettings, Key, Sequence};

    fn gates() -> [Gate; 2] {
        let settings = HmacSettings {
            keys: vec![Key::new(1, &[1; 32]).unwrap()],
            active: 1,
            window: Duration::from_secs(5),
            anti_replay: AntiReplay::Monotonic,
            mode: HmacMode::Enforce,
        };
        let hmac = Verifier::new(Arc::new(settings), Family::V4, None, GROUP_SENDERS);
        let ah = AhVerifier::new(b"s3cret\0\0", false, GROUP_SENDERS).unwrap();
        [Kind::Hmac(hmac), Kind::Ah(ah)]
            .map(|verifier| Gate { verifier, ledger: Arc::new(Ledger::new(GROUP_SENDERS)) })
    }

    fn sign(gate: &mut Gate, seconds: u64) -> Sequence {
        let source = [192, 0, 2, 1];
        match &mut gate.verifier {
            Kind::Hmac(verifier) => {
                verifier.sign(&[0; 12], source.into(), Duration::from_secs(0x6800_0000 + seconds));
                verifier.sent().unwrap()
            }
            Kind::Ah(verifier) => {
                verifier.next(source.into());
                verifier.sent()
            }
        }
    }

    #[test]
    fn after_a_failed_hot_restart_no_advert_is_behind_those_of_the_other_process() {
        for (mut old, mut new) in gates().into_iter().zip(gates()) {
            let sent = sign(&mut old, 0);
            match &mut new.verifier {
                Kind::Hmac(verifier) => {
                    let margin = margin(Some(verifier.settings()));
                    verifier.recall(std::iter::empty(), Some(Sequence(sent.0 + margin)));
                }
                Kind::Ah(verifier) => {
                    verifier.recall(std::iter::empty(), Some(Sequence(sent.0 + margin(None))));
                }
            }
            let others = [1, 1].map(|seconds| sign(&mut new, seconds));
            old.go_on();
            assert!(sign(&mut old, 1).is_after(others[1]), "{old:?}, {others:?}");
        }
    }
}
