//! Verification and signing of one instance's adverts.

use alloc::sync::Arc;
use core::net::IpAddr;

use vrrp_ebpf::wire::vrrp::Header;
use vrrp_ebpf::wire::{Family, Reject, TRAILER_LEN, Trailer};

use super::{HmacSettings, Mark, SenderMarks, Senders, Sequence, TimeOfDay};

/// Verifies that adverts are signed as the settings require, and signs ours.
#[derive(Clone, Debug)]
pub struct Verifier {
    settings: Arc<HmacSettings>,
    family: Family,
    senders: Senders,
    marks: SenderMarks,
    /// The sequence of our latest advert.
    sent: Option<Sequence>,
}

/// A verified advert.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Admitted<'a> {
    /// Without its trailer.
    pub message: &'a [u8],
    pub proof: Proof,
}

/// How an advert was verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proof {
    /// It is not signed, and need not be.
    Tolerated,
    /// It is signed with a key.
    Signed {
        mark: Mark,
        /// Index of the mark in [`Verifier::marks`].
        place: usize,
        /// How far the sender's clock is ahead of ours, less the transit time of the advert, µs.
        skew: i64,
    },
    /// It is signed, and has a number instead of a time.
    Counted { mark: Mark, place: usize },
}

impl Verifier {
    /// `room` is the number of senders with a mark.
    pub fn new(settings: Arc<HmacSettings>, family: Family, senders: Senders, room: usize) -> Self {
        Self { settings, family, senders, marks: SenderMarks::new(room), sent: None }
    }

    pub fn settings(&self) -> &HmacSettings {
        &self.settings
    }

    /// Restores the marks and the sequence sent, from other settings or another process. Marks of senders that are no
    /// longer accepted are left out.
    pub fn recall(&mut self, marks: impl Iterator<Item = Mark>, sent: Option<Sequence>) {
        let Self { senders, marks: own, .. } = self;
        let may_send = |mark: &Mark| senders.as_ref().is_none_or(|senders| senders.contains(&mark.source));
        marks.filter(may_send).for_each(|mark| own.recall(mark));
        self.sent = self.sent.or(sent);
    }

    /// Leaves this many sequences out: another process may have sent with them.
    pub fn skip(&mut self, sequences: u64) {
        self.sent = self.sent.map(|sent| Sequence(sent.0.wrapping_add(sequences)));
    }

    pub fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.marks.iter()
    }

    pub fn sent(&self) -> Option<Sequence> {
        self.sent
    }

    /// Verifies an advert that came from `source` at `now`. The hash follows the cheaper checks, so that replayed
    /// adverts cost none, and only adverts that a sender signed move its mark.
    ///
    /// # Errors
    /// [`Reject::AuthMissing`] to [`Reject::AuthReplay`]; [`Reject::Peer`] for a unicast sender that is none of the
    /// peers; [`Reject::Truncated`] if there is no complete message.
    pub fn admit<'a>(
        &mut self,
        octets: &'a [u8],
        source: IpAddr,
        now: TimeOfDay,
    ) -> Result<Admitted<'a>, Reject> {
        let Self { settings, family, senders, marks, .. } = self;
        let header = Header(*octets.first_chunk().ok_or(Reject::Truncated)?);
        let length = header.message_len(*family);
        let (message, behind) = octets.split_at_checked(length).ok_or(Reject::Truncated)?;
        let Ok(trailer) = <&[u8; TRAILER_LEN]>::try_from(behind) else {
            return if settings.demands() {
                Err(Reject::AuthMissing)
            } else {
                Ok(Admitted { message, proof: Proof::Tolerated })
            };
        };
        if senders.as_ref().is_some_and(|senders| !senders.contains(&source)) {
            return Err(Reject::Peer);
        }
        let trailer = Trailer::parse(trailer).ok_or(Reject::AuthMalformed)?;
        let (sequence, clock) = (Sequence(trailer.sequence), Sequence::at(now));
        let window = settings.window_seconds();
        let is_far =
            |sequence: Sequence| window.is_some_and(|window| sequence.seconds_ahead(clock).abs() > window);
        if is_far(sequence) {
            return Err(Reject::AuthStale);
        }
        if marks.is_behind(source, sequence, is_far) {
            return Err(Reject::AuthReplay);
        }
        let key = settings.key(trailer.key_id).ok_or(Reject::AuthKey)?;
        if !key.verifies(message, source, &trailer) {
            return Err(Reject::AuthHmac);
        }
        // A mark outside the window rejects only adverts that the window rejects anyway. Ignored, it lets us accept a
        // sender again whose clock was corrected.
        let place = marks.advance(source, sequence, is_far).map_err(|_| Reject::AuthReplay)?;
        let skew = sequence.micros_ahead(clock);
        Ok(Admitted { message, proof: Proof::Signed { mark: Mark { source, sequence }, place, skew } })
    }

    /// The trailer of an advert that leaves from `source` at `now`; the same for all its destinations.
    pub fn sign(&mut self, message: &[u8], source: IpAddr, now: TimeOfDay) -> [u8; TRAILER_LEN] {
        let sequence = self.next(now);
        self.sent = Some(sequence);
        let mut trailer = Trailer { key_id: self.settings.active, sequence: sequence.0, hmac: [0; 16] };
        if let Some(key) = self.settings.key(self.settings.active) {
            key.sign(message, source, &mut trailer);
        }
        trailer.emit()
    }

    /// The sequence of the time, or the one after the latest sent. After the clock was set back, peers that check the
    /// time refuse a sequence ahead of it by more than the window; peers that do not accept only growing ones.
    fn next(&self, now: TimeOfDay) -> Sequence {
        let clock = Sequence::at(now);
        let Some(sent) = self.sent.filter(|sent| !clock.is_after(*sent)) else { return clock };
        let window = self.settings.window_seconds();
        if window.is_some_and(|window| sent.seconds_ahead(clock) > window) {
            return clock;
        }
        sent.following()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::auth::{AntiReplay, GROUP_SENDERS, HmacMode, Key};

    const NOW: TimeOfDay = Duration::from_secs(0x6800_0000);
    const SOURCE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
    const MESSAGE: [u8; 12] = [0x31, 51, 100, 1, 0, 100, 0, 0, 192, 0, 2, 100];

    fn settings(keys: &[u8], mode: HmacMode, anti_replay: AntiReplay) -> HmacSettings {
        HmacSettings {
            keys: keys.iter().map(|id| Key::new(*id, &[*id; 32]).unwrap()).collect(),
            active: keys[0],
            window: Duration::from_secs(5),
            anti_replay,
            mode,
        }
    }

    fn verifier(keys: &[u8], mode: HmacMode) -> Verifier {
        let settings = settings(keys, mode, AntiReplay::Time);
        Verifier::new(Arc::new(settings), Family::V4, None, GROUP_SENDERS)
    }

    fn signed(verifier: &mut Verifier, now: TimeOfDay) -> Vec<u8> {
        let trailer = verifier.sign(&MESSAGE, SOURCE, now);
        [MESSAGE.as_slice(), &trailer].concat()
    }

    fn judge(verifier: &mut Verifier, octets: &[u8], now: TimeOfDay) -> Result<(), Reject> {
        verifier.admit(octets, SOURCE, now).map(drop)
    }

    #[test]
    fn hears_what_a_peer_signs_and_nothing_twice() {
        let (mut sender, mut hearer) = (verifier(&[1], HmacMode::Enforce), verifier(&[1], HmacMode::Enforce));
        let later = NOW + Duration::from_millis(250);
        let advert = signed(&mut sender, later);
        let admitted = hearer.admit(&advert, SOURCE, NOW).unwrap();
        assert_eq!(admitted.message, MESSAGE);
        assert!(matches!(admitted.proof, Proof::Signed { place: 0, skew: 250_000, .. }), "{admitted:?}");
        assert_eq!(judge(&mut hearer, &advert, NOW), Err(Reject::AuthReplay));
        let next = signed(&mut sender, later);
        assert_eq!(judge(&mut hearer, &next, NOW), Ok(()), "the same time, another count");
        assert_eq!(judge(&mut hearer, &advert, NOW), Err(Reject::AuthReplay));
    }

    /// Each check alone, and of two the earlier one.
    #[test]
    fn order() {
        type Fault = (Reject, fn(&mut Vec<u8>));
        let faults: [Fault; 4] = [
            (Reject::AuthMalformed, |advert| advert[12] = 2),
            (Reject::AuthStale, |advert| advert[16] ^= 1),
            (Reject::AuthKey, |advert| advert[13] = 9),
            (Reject::AuthHmac, |advert| advert[2] ^= 1),
        ];
        let advert = signed(&mut verifier(&[1], HmacMode::Enforce), NOW);
        for (index, (later, late)) in faults.iter().enumerate() {
            for (first, early) in &faults[..=index] {
                let mut hearer = verifier(&[1], HmacMode::Enforce);
                let mut changed = advert.clone();
                early(&mut changed);
                if first != later {
                    late(&mut changed);
                }
                assert_eq!(judge(&mut hearer, &changed, NOW), Err(*first), "{later}");
                assert_eq!(hearer.marks().count(), 0, "{first}");
                assert_eq!(judge(&mut hearer, &advert, NOW), Ok(()), "no mark was moved by {first}");
            }
        }
    }

    /// A forged advert with the number of a valid one does not displace it, whether sent before or after it; an old
    /// number is refused before the key is looked up.
    #[test]
    fn a_forged_number_takes_nothing_from_the_right_one() {
        let (mut sender, mut hearer) = (verifier(&[1], HmacMode::Enforce), verifier(&[1], HmacMode::Enforce));
        let first = signed(&mut sender, NOW);
        let forged = |advert: &[u8]| {
            let mut forged = advert.to_vec();
            *forged.last_mut().unwrap() ^= 1;
            forged
        };
        for _ in 0..1000 {
            assert_eq!(judge(&mut hearer, &forged(&first), NOW), Err(Reject::AuthHmac));
        }
        assert_eq!(judge(&mut hearer, &first, NOW), Ok(()));
        assert_eq!(judge(&mut hearer, &forged(&first), NOW), Err(Reject::AuthReplay));
        let unknown_key = signed(&mut verifier(&[9], HmacMode::Enforce), NOW);
        assert_eq!(judge(&mut hearer, &unknown_key, NOW), Err(Reject::AuthReplay));
        let next = signed(&mut sender, NOW);
        assert_eq!(judge(&mut hearer, &forged(&next), NOW), Err(Reject::AuthHmac));
        assert_eq!(judge(&mut hearer, &next, NOW), Ok(()));
    }

    #[test]
    fn the_window_counts_whole_seconds_both_ways() {
        let advert = signed(&mut verifier(&[1], HmacMode::Enforce), NOW);
        for (distance, outcome) in [(5, Ok(())), (6, Err(Reject::AuthStale))] {
            let span = Duration::from_secs(distance);
            assert_eq!(judge(&mut verifier(&[1], HmacMode::Enforce), &advert, NOW + span), outcome);
            assert_eq!(judge(&mut verifier(&[1], HmacMode::Enforce), &advert, NOW - span), outcome);
        }
        let monotonic = settings(&[1], HmacMode::Enforce, AntiReplay::Monotonic);
        let mut monotonic = Verifier::new(Arc::new(monotonic), Family::V4, None, GROUP_SENDERS);
        assert_eq!(judge(&mut monotonic, &advert, NOW + Duration::from_hours(1)), Ok(()));
    }

    #[test]
    fn modes() {
        let advert = signed(&mut verifier(&[1], HmacMode::Enforce), NOW);
        let foreign = signed(&mut verifier(&[2], HmacMode::Enforce), NOW);
        for (mode, unsigned) in [
            (HmacMode::Enforce, Err(Reject::AuthMissing)),
            (HmacMode::Permissive, Ok(())),
            (HmacMode::ReceiveOnly, Ok(())),
        ] {
            let mut hearer = verifier(&[1], mode);
            assert_eq!(judge(&mut hearer, &MESSAGE, NOW), unsigned, "{mode:?}");
            assert_eq!(judge(&mut hearer, &foreign, NOW), Err(Reject::AuthKey), "{mode:?}");
            assert_eq!(judge(&mut hearer, &advert, NOW), Ok(()), "{mode:?}");
            assert_eq!(hearer.settings().signs(), mode != HmacMode::ReceiveOnly);
        }
    }

    #[test]
    fn any_key_is_heard_and_the_active_one_signs() {
        let (mut old, mut new) = (verifier(&[1, 2], HmacMode::Enforce), verifier(&[2, 1], HmacMode::Enforce));
        let (first, second) = (signed(&mut old, NOW), signed(&mut new, NOW));
        assert_eq!((first[13], second[13]), (1, 2));
        assert_eq!(judge(&mut new, &first, NOW), Ok(()));
        assert_eq!(judge(&mut old, &second, NOW), Ok(()));
        assert_eq!(judge(&mut verifier(&[2], HmacMode::Enforce), &first, NOW), Err(Reject::AuthKey));
    }

    #[test]
    fn by_unicast_only_peers_are_heard() {
        let advert = signed(&mut verifier(&[1], HmacMode::Enforce), NOW);
        let settings = Arc::new(settings(&[1], HmacMode::Enforce, AntiReplay::Time));
        let other: IpAddr = [192, 0, 2, 2].into();
        for (peers, outcome) in [([SOURCE, other], Ok(())), ([other, other], Err(Reject::Peer))] {
            let senders: Senders = Some(peers.into());
            let mut hearer = Verifier::new(Arc::clone(&settings), Family::V4, senders, peers.len());
            assert_eq!(judge(&mut hearer, &advert, NOW), outcome);
        }
    }

    #[test]
    fn marks_are_kept_over_another_guard() {
        let mut sender = verifier(&[1], HmacMode::Enforce);
        let (first, second) = (signed(&mut sender, NOW), signed(&mut sender, NOW));
        let mut before = verifier(&[1], HmacMode::Enforce);
        judge(&mut before, &first, NOW).unwrap();
        let mut after = verifier(&[1], HmacMode::Enforce);
        after.recall(before.marks(), None);
        assert_eq!(judge(&mut after, &first, NOW), Err(Reject::AuthReplay));
        assert_eq!(judge(&mut after, &second, NOW), Ok(()));
    }

    /// In time mode a sender whose clock was set back restarts from the clock, and is accepted: its old mark is outside
    /// the window by then. In monotonic mode its sequence keeps growing.
    #[test]
    fn a_clock_put_back() {
        let back = NOW - Duration::from_secs(100);
        let (mut sender, mut hearer) = (verifier(&[1], HmacMode::Enforce), verifier(&[1], HmacMode::Enforce));
        judge(&mut hearer, &signed(&mut sender, NOW), NOW).unwrap();
        assert_eq!(judge(&mut hearer, &signed(&mut sender, back), back), Ok(()));
        assert_eq!(sender.sent(), Some(Sequence::at(back)));

        let monotonic = Arc::new(settings(&[1], HmacMode::Enforce, AntiReplay::Monotonic));
        let mut sender = Verifier::new(monotonic, Family::V4, None, GROUP_SENDERS);
        signed(&mut sender, NOW);
        signed(&mut sender, back);
        assert_eq!(sender.sent(), Some(Sequence::at(NOW).following()));
        let mut restarted = sender.clone();
        restarted.sent = None;
        restarted.recall(core::iter::empty(), sender.sent());
        signed(&mut restarted, back);
        assert!(restarted.sent().unwrap().is_after(sender.sent().unwrap()));
    }

    /// A little ahead of the clock, the counter continues.
    #[test]
    fn many_in_one_moment() {
        let mut sender = verifier(&[1], HmacMode::Enforce);
        let mut last = Sequence(0);
        for _ in 0..70_000 {
            let next = sender.next(NOW);
            sender.sent = Some(next);
            assert!(next.is_after(last));
            last = next;
        }
        assert_eq!(last.0, Sequence::at(NOW).0 + 69_999);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let mut hearer = verifier(&[1], HmacMode::Permissive);
        for length in 0..12 {
            assert_eq!(judge(&mut hearer, &MESSAGE[..length], NOW), Err(Reject::Truncated));
        }
    }
}
