//! File of the ledgers in the runtime directory, which keeps a restart from accepting old adverts.
//!
//! One line per mark: `INTERFACE FAMILY VRID heard ADDRESS SEQUENCE`, and `INTERFACE FAMILY VRID sent SEQUENCE` for our
//! own adverts; the first line says whether the daemon that wrote it ended in order. Sequences are hexadecimal. Invalid
//! lines are skipped: without a mark, the window alone decides.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};
use vrrp_ebpf::wire::Family;

use super::ledger::{Ledger, Note};
use crate::config::{self, Config};
use crate::daemon::live::LiveState;
use crate::daemon::status::{DaemonContext, SharedContext, family};
use crate::driver::ownership;
use crate::protocol::Auth;
use crate::protocol::auth::{AntiReplay, HmacSettings, Mark, Sequence};

const NAME: &str = "marks";
const CLOSED: &str = "closed";
const RUNNING: &str = "running";

/// Between two writes, while any instance signs.
const PERIOD: Duration = Duration::from_millis(200);

/// Between two looks at whether any instance does.
const IDLE_PERIOD: Duration = Duration::from_secs(2);

/// One second, as a difference of sequences.
const SECOND: u64 = 1 << 32;

/// Senders whose marks are kept, per instance.
const SENDERS: usize = 64;

/// All known marks, by interface, family and VRID: also those of instances that a reload has removed, which may come
/// back.
#[derive(Debug)]
pub struct MarkStore {
    path: PathBuf,
    known: Mutex<BTreeMap<Key, Kept>>,
}

type Key = (Arc<str>, &'static str, u8);

#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    sent: Option<Sequence>,
    heard: BTreeMap<IpAddr, Sequence>,
}

fn key(instance: &config::Instance) -> Key {
    let settings = &instance.settings;
    (Arc::clone(&settings.interface), family(settings.family), settings.vrid.number())
}

fn signs(instance: &config::Instance) -> bool {
    matches!(instance.settings.auth, Auth::Hmac(_) | Auth::Ah(_))
}

fn hmac(instance: &config::Instance) -> Option<&HmacSettings> {
    match &instance.settings.auth {
        Auth::Hmac(hmac) => Some(hmac),
        _ => None,
    }
}

impl MarkStore {
    /// Reads what an earlier daemon has left.
    pub fn open(runtime_dir: &Path) -> Self {
        let path = runtime_dir.join(NAME);
        let known = match fs::read_to_string(&path) {
            Ok(text) => parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read the marks against replayed adverts");
                BTreeMap::new()
            }
        };
        Self { path, known: Mutex::new(known) }
    }

    /// Makes the ledgers of instances that have none yet, from the known marks. Call it before the engine learns of the
    /// instances.
    pub fn prepare(&self, config: &Config, live: &LiveState) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for instance in &config.instances {
            let Some(ledger) = live.ledgers.get(instance.id.index()).filter(|_| signs(instance)) else {
                continue;
            };
            let ledger = ledger.get_or_init(|| Arc::new(Ledger::new(SENDERS)));
            if ledger.notes().next().is_none()
                && let Some(kept) = known.get(&key(instance))
            {
                fill(ledger, kept, hmac(instance));
            }
        }
    }

    /// Reads again what the previous daemon has written last, for ledgers that this one has not used yet.
    pub fn refresh(&self, config: &Config, live: &LiveState) {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = parse(&text);
        for instance in &config.instances {
            if let Some(ledger) = live.ledger(instance.id) {
                ledger.clear();
            }
        }
        self.prepare(config, live);
    }

    /// Until it is dropped: writes the file when marks have changed, and warns of clocks that drift apart.
    pub async fn keep(self: Arc<Self>, shared: SharedContext) {
        let mut reported = HashSet::new();
        loop {
            let context = shared.now();
            let signs = context.config.instances.iter().any(signs);
            if signs {
                warn_of_skew(&context, &mut reported);
                self.write(&context, RUNNING);
            }
            sleep(if signs { PERIOD } else { IDLE_PERIOD }).await;
        }
    }

    /// Writes the final marks; the engine has ended.
    pub fn close(&self, context: &DaemonContext) {
        if context.config.instances.iter().any(signs) {
            self.write(context, CLOSED);
        }
    }

    fn write(&self, context: &DaemonContext, first: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // The other process has read the final marks, or is about to, and writes its own. The lock orders this after
        // them.
        if first != CLOSED && (ownership::is_leaving() || !ownership::is_ours()) {
            return;
        }
        let before = known.clone();
        for (instance, _) in context.instances() {
            if let Some(ledger) = context.live.ledger(instance.id).filter(|_| signs(instance)) {
                let kept = known.entry(key(instance)).or_default();
                kept.sent = ledger.sent().or(kept.sent);
                kept.heard.extend(ledger.notes().map(|note| (note.mark.source, note.mark.sequence)));
            }
        }
        if *known == before && first != CLOSED {
            return;
        }
        // Tried again when a mark has changed.
        let written = replace(&self.path, &text(&known, first));
        let has_turned = context.history.unwritten.note(NAME, &written);
        if let (Err(error), true) = (written, has_turned) {
            warn!(path = %self.path.display(), %error, "cannot write the marks against replayed adverts");
        }
    }
}

/// Fills a ledger that is not in use yet.
fn fill(ledger: &Ledger, kept: &Kept, hmac: Option<&HmacSettings>) {
    let marks = kept.heard.iter().map(|(source, sequence)| Mark { source: *source, sequence: *sequence });
    for (place, mark) in marks.take(ledger.room()).enumerate() {
        ledger.note(place, Note { mark, skew: None });
    }
    if let Some(sent) = kept.sent {
        ledger.note_sent(Sequence(sent.0.wrapping_add(margin(hmac))));
    }
}

/// By how much sequences that another process has sent since the last write may be ahead of those that it wrote.
pub(super) fn margin(hmac: Option<&HmacSettings>) -> u64 {
    match hmac.map(|hmac| hmac.anti_replay) {
        Some(AntiReplay::Monotonic) => SECOND,
        Some(AntiReplay::Time) => 0,
        // In a hot restart the other daemon sends until this one does, at most one advert a second.
        None => 4,
    }
}

fn text(known: &BTreeMap<Key, Kept>, first: &str) -> String {
    let mut text = format!("{first}\n");
    for ((interface, family, vrid), kept) in known {
        // Writing to a string cannot fail.
        if let Some(sent) = kept.sent {
            let _ = writeln!(text, "{interface} {family} {vrid} sent {:x}", sent.0);
        }
        for (source, sequence) in &kept.heard {
            let _ = writeln!(text, "{interface} {family} {vrid} heard {source} {:x}", sequence.0);
        }
    }
    text
}

/// After a crash, advances the marks by the time since the last write: adverts that were heard within it are older than
/// any that are sent from now on.
fn parse(text: &str) -> BTreeMap<Key, Kept> {
    let mut lines = text.lines();
    let lost = if lines.next() == Some(CLOSED) { 0 } else { SECOND / 5 };
    let mut known: BTreeMap<Key, Kept> = BTreeMap::new();
    for words in lines.map(|line| line.split(' ').collect::<Vec<_>>()) {
        let [interface, family, vrid, rest @ ..] = words.as_slice() else { continue };
        let family = [Family::V4, Family::V6].map(self::family).into_iter().find(|word| word == family);
        let (Some(family), Ok(vrid)) = (family, vrid.parse()) else { continue };
        let kept = known.entry(((*interface).into(), family, vrid)).or_default();
        let sequence = |digits| u64::from_str_radix(digits, 16).ok();
        match rest {
            ["sent", digits] => kept.sent = sequence(digits).map(Sequence),
            ["heard", source, digits] => {
                if let (Ok(source), Some(sequence)) = (source.parse(), sequence(digits)) {
                    // A counter is independent of time.
                    let lost = if Sequence(sequence).is_counter() { 0 } else { lost };
                    kept.heard.insert(source, Sequence(sequence.wrapping_add(lost)));
                }
            }
            _ => {}
        }
    }
    known
}

/// Replaces a file as a whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&aside, path)
}

/// Warns once when a sender's clock comes to be more than half of the window off, and reports once when it is back.
fn warn_of_skew(context: &DaemonContext, reported: &mut HashSet<(u32, IpAddr)>) {
    for (instance, _) in context.instances() {
        let (Some(hmac), Some(ledger)) = (hmac(instance), context.live.ledger(instance.id)) else { continue };
        for Note { mark, skew } in ledger.notes() {
            let Some(skew) = skew else { continue };
            let (name, peer) = (&*instance.settings.name, mark.source);
            let (seconds, window) =
                (Duration::from_micros(skew.unsigned_abs()).as_secs_f64(), hmac.window.as_secs());
            let key = (instance.id.0, peer);
            if hmac.is_near_the_edge(skew) {
                if reported.insert(key) {
                    warn!(
                        instance = name, %peer, seconds, window,
                        "the clock of a peer differs much from ours; beyond the window its adverts are refused"
                    );
                }
            } else if reported.remove(&key) {
                info!(instance = name, %peer, seconds, window, "the clock of a peer agrees with ours again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeMap<Key, Kept> {
        let kept = Kept {
            sent: Some(Sequence(0x6800_0000_8000_0001)),
            heard: [("192.0.2.1", 5 << 32), ("192.0.2.2", u64::MAX)]
                .map(|(source, sequence)| (source.parse().unwrap(), Sequence(sequence)))
                .into(),
        };
        let six = Kept { sent: None, heard: [("fe80::1".parse().unwrap(), Sequence(1))].into() };
        BTreeMap::from([(("eth0".into(), "ipv4", 51), kept), (("br-lan".into(), "ipv6", 255), six)])
    }

    #[test]
    fn both_ways() {
        assert_eq!(parse(&text(&known(), CLOSED)), known());
    }

    #[test]
    fn a_crash_moves_marks_on() {
        let found = parse(&text(&known(), RUNNING));
        let kept = &found[&("eth0".into(), "ipv4", 51)];
        let mark = kept.heard[&"192.0.2.1".parse::<IpAddr>().unwrap()];
        assert_eq!(
            (mark.seconds_ahead(Sequence(5 << 32)), mark.micros_ahead(Sequence(5 << 32))),
            (0, 199_996)
        );
        assert_eq!(kept.sent, known()[&("eth0".into(), "ipv4", 51)].sent);
    }

    #[test]
    fn what_means_nothing_is_passed_over() {
        let text = "closed\n\neth0\neth0 ipv4 51\neth0 ipx 51 sent 1\neth0 ipv4 999 sent 1\neth0 ipv4 51 heard x 1\n\
                    eth0 ipv4 51 heard 192.0.2.1 g\neth0 ipv4 51 heard 192.0.2.1 7\neth0 ipv4 51 sent 9\n";
        let found = parse(text);
        let kept = &found[&("eth0".into(), "ipv4", 51)];
        assert_eq!((found.len(), kept.heard.len(), kept.sent), (1, 1, Some(Sequence(9))));
    }
}
