//! `auth_hmac` of an instance.

use std::fmt;
use std::path::PathBuf;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::source::{At, Position};
use super::super::tree::Statement;
use super::auth::password;
use super::table::{self, Kind, Row};
use super::value;
use vrrp_proto::auth::{AntiReplay, HmacMode};

#[derive(Debug, Default)]
pub(crate) struct HmacDraft {
    pub(crate) keys: Vec<KeyDraft>,
    pub(crate) active: Option<At<i64>>,
    /// In seconds.
    pub(crate) window: Option<At<i64>>,
    pub(crate) anti_replay: Option<AntiReplay>,
    pub(crate) mode: Option<At<HmacMode>>,
}

impl HmacDraft {
    /// Whether unsigned adverts are refused.
    pub(crate) fn demands(&self) -> bool {
        self.mode.is_none_or(|mode| mode.value == HmacMode::Enforce)
    }
}

#[derive(Debug)]
pub(crate) struct KeyDraft {
    /// From 1.
    pub(crate) id: At<u8>,
    /// `None` after an error, which has been reported.
    pub(crate) secret: At<Option<Secret>>,
}

/// Source of a key's bytes.
pub(crate) enum Secret {
    Bytes(Vec<u8>),
    /// Read later by [`crate::secret`].
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(_) => f.write_str("Bytes"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Secret {
    /// Decodes `hex:` and digits, or the text itself. `None` if the digits are not hexadecimal pairs.
    pub(crate) fn decode(text: &[u8]) -> Option<Self> {
        let Some(digits) = text.strip_prefix(b"hex:") else { return Some(Self::Bytes(text.to_vec())) };
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        let byte = |pair: &[u8; 2]| {
            let digit = |letter: u8| char::from(letter).to_digit(16);
            u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()
        };
        pairs.iter().map(byte).collect::<Option<Vec<u8>>>().map(Self::Bytes)
    }
}

pub(super) const ROWS: &[Row<HmacDraft>] = &[
    Row::works(
        "key",
        Kind::Own("ID `hex:`DIGITS, ID TEXT or ID `file:`PATH", key),
        "required",
        "a key of 32 to 64 bytes and its id, 1 to 255; may be repeated",
    ),
    Row::works(
        "active_key",
        Kind::Integer(1, 255, |it, id| it.active = Some(id)),
        "the first key",
        "id of the key that signs",
    ),
    Row::works(
        "time_window",
        Kind::Integer(1, 300, |it, seconds| it.window = Some(seconds)),
        "3 × `advert_int`, at least 5",
        "seconds by which a sender's clock may differ from this node's",
    ),
    Row::works(
        "anti_replay",
        Kind::Own("time or monotonic", anti_replay),
        "time",
        "how replayed adverts are detected: by time and order, or by order alone",
    ),
    Row::works(
        "mode",
        Kind::Own("enforce, permissive or receive-only", mode),
        "enforce",
        "permissive also accepts unsigned adverts; receive-only, in addition, does not sign",
    ),
];

pub(super) fn read(
    slot: &mut Option<At<HmacDraft>>,
    statement: &Statement,
    inner: &[Statement],
    report: &mut Report,
) {
    let at = statement.keyword.at;
    let hmac = slot.get_or_insert_with(|| At { value: HmacDraft::default(), at });
    table::read_block(&[ROWS], "auth_hmac", inner, &mut hmac.value, report);
}

/// No finding quotes the line: it may hold a part of the key.
fn key(it: &mut HmacDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let [id, secret, extra @ ..] = args else {
        report
            .error(keyword.at, "`key` needs an id and a key")
            .help("write `key 1 hex:…`, `key 1 TEXT` or `key 1 file:PATH`");
        return;
    };
    if let Some(extra) = extra.first() {
        report
            .error(extra.at, "`key` takes an id and one word")
            .help("put a key that contains blanks in double quotes");
    }
    let Some(number) = id.text.parse().ok().filter(|id| *id > 0) else {
        report.error(id.at, "the id of a key is a number from 1 to 255");
        return;
    };
    if it.keys.iter().any(|other| other.id.value == number) {
        report.error(id.at, format!("there are two keys with id {number}"));
        return;
    }
    let text = password(secret, "key", report);
    let value = match text.strip_prefix("file:") {
        Some(path) => Some(Secret::File(path.into())),
        None => Secret::decode(text.as_bytes()),
    };
    if value.is_none() {
        not_hex(secret.at, report);
    }
    it.keys.push(KeyDraft { id: At { value: number, at: id.at }, secret: At { value, at: secret.at } });
}

pub(crate) fn not_hex(at: Position, report: &mut Report) {
    report.error(at, "after `hex:` a key has pairs of hexadecimal digits only");
}

fn anti_replay(it: &mut HmacDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let known = [AntiReplay::Time, AntiReplay::Monotonic].map(|known| (known.as_str(), known));
    it.anti_replay = value::read_choice(&known, keyword, args, report).map(|it| it.value);
}

fn mode(it: &mut HmacDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let known = [HmacMode::Enforce, HmacMode::Permissive, HmacMode::ReceiveOnly];
    it.mode = value::read_choice(&known.map(|known| (known.as_str(), known)), keyword, args, report);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<Vec<u8>> {
        match Secret::decode(text.as_bytes())? {
            Secret::Bytes(bytes) => Some(bytes),
            Secret::File(_) => None,
        }
    }

    #[test]
    fn hexadecimal_or_text() {
        assert_eq!(bytes("hex:00fFa0"), Some(vec![0, 255, 160]));
        assert_eq!(bytes("plain"), Some(b"plain".to_vec()));
        for broken in ["hex:0", "hex:0g", "hex: 00", "hex:+1", "hex:ä"] {
            assert_eq!(bytes(broken), None, "{broken}");
        }
    }

    #[test]
    fn shows_nothing() {
        assert_eq!(format!("{:?}", Secret::Bytes(b"secret".to_vec())), "Bytes");
    }
}
