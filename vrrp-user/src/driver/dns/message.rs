//! Messages of DNS (RFC 1035 §4): a query for addresses, and what of its answer matters.
//!
//! Addresses are taken from the whole answer section: a recursive server puts the chain of aliases before them, and
//! the message as a whole answers this query.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// The kind of addresses asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Record {
    A,
    Aaaa,
}

impl Record {
    const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }

    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Self::A => <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into()),
            Self::Aaaa => <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into()),
        }
    }
}

/// Addresses of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) addresses: Vec<IpAddr>,
    /// For how long all of them hold.
    pub(super) seconds: u32,
}

impl Default for Answer {
    fn default() -> Self {
        Self { addresses: Vec::new(), seconds: u32::MAX }
    }
}

/// What a server says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    Found(Answer),
    /// There is no such name.
    Unknown,
    /// It does not fit into a datagram.
    Truncated,
    Refused(ResponseCode),
    /// Not an answer to this query.
    Other,
}

/// Why a server does not answer the query: its response code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResponseCode(u8);

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("FORMERR"),
            2 => f.write_str("SERVFAIL"),
            4 => f.write_str("NOTIMP"),
            5 => f.write_str("REFUSED"),
            code => write!(f, "with code {code}"),
        }
    }
}

/// The message ends too early, or points where it must not.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("it is no DNS message")]
pub struct MessageError;

const INTERNET: u16 = 1;
const RECURSION_DESIRED: u16 = 0x0100;
const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
const CODE: u16 = 0x000f;
const NO_SUCH_NAME: u8 = 3;

/// Length of the fixed part of a message.
const HEAD: usize = 12;
const LABEL_MAX: usize = 63;
const NAME_MAX: usize = 255;
/// In the first octet of a name's part: the rest is elsewhere in the message.
const POINTER: u8 = 0xc0;

/// `None` if the name cannot be asked for.
pub(super) fn query(id: u16, name: &str, record: Record) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEAD + name.len() + 6);
    for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|_| (1..=LABEL_MAX).contains(&label.len()))?;
        message.push(length);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    if message.len() > HEAD + NAME_MAX {
        return None;
    }
    message.extend(record.number().to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    Some(message)
}

/// What `message` says to `query`.
pub(super) fn reply(message: &[u8], query: &[u8], record: Record) -> Result<Reply, MessageError> {
    // Only a message with our id and question is judged: any host can send others.
    if message.len() < HEAD {
        return Ok(Reply::Other);
    }
    let mut rest = Reader { message, at: 0 };
    let (id, flags) = (rest.word()?, rest.word()?);
    let [questions, answers, _, _] = [rest.word()?, rest.word()?, rest.word()?, rest.word()?];
    let asked = query.get(HEAD..).unwrap_or_default();
    let is_ours = query.starts_with(&id.to_be_bytes()) && flags & RESPONSE != 0;
    let code = u8::try_from(flags & CODE).unwrap_or_default();
    // Some servers refuse without repeating the question.
    let repeats = questions == 1 && rest.take(asked.len()).is_ok_and(|it| it.eq_ignore_ascii_case(asked));
    if !is_ours || !(repeats || questions == 0 && code != 0) {
        return Ok(Reply::Other);
    }
    match code {
        0 if flags & TRUNCATED != 0 => return Ok(Reply::Truncated),
        0 => {}
        NO_SUCH_NAME => return Ok(Reply::Unknown),
        code => return Ok(Reply::Refused(ResponseCode(code))),
    }
    let mut answer = Answer::default();
    for _ in 0..answers {
        rest.skip_name()?;
        let (kind, class) = (rest.word()?, rest.word()?);
        let seconds = u32::from(rest.word()?) << 16 | u32::from(rest.word()?);
        let length = rest.word()?;
        let data = rest.take(length.into())?;
        if class != INTERNET {
            continue;
        }
        // An alias that holds for less limits the addresses behind it.
        answer.seconds = answer.seconds.min(seconds);
        if kind == record.number() {
            answer.addresses.push(record.address(data).ok_or(MessageError)?);
        }
    }
    Ok(Reply::Found(answer))
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], MessageError> {
        let end = self.at.checked_add(length).ok_or(MessageError)?;
        let taken = self.message.get(self.at..end).ok_or(MessageError)?;
        self.at = end;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u16, MessageError> {
        let octets = self.take(2)?;
        octets.try_into().map(u16::from_be_bytes).map_err(|_| MessageError)
    }

    /// Names are not read: what a pointer points at need not be followed.
    fn skip_name(&mut self) -> Result<(), MessageError> {
        loop {
            let &[length] = self.take(1)? else { return Err(MessageError) };
            match length {
                0 => return Ok(()),
                _ if length & POINTER == POINTER => return self.take(1).map(drop),
                _ if length & POINTER != 0 => return Err(MessageError),
                _ => self.take(length.into())?,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags, questions, answers, and what stands behind the question.
    fn message(flags: u16, questions: u16, answers: u16, behind: &[u8]) -> Vec<u8> {
        let query = query(7, "a.example", Record::A).unwrap();
        let mut message = query[..2].to_vec();
        for word in [flags, questions, answers, 0, 0] {
            message.extend(word.to_be_bytes());
        }
        if questions == 1 {
            message.extend(&query[HEAD..]);
        }
        message.extend(behind);
        message
    }

    const ALIAS: &[u8] = &[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'b', 0xc0, 14];
    const ADDRESS: &[u8] = &[1, b'b', 0xc0, 14, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7];
    const SHORT: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 3, 192, 0, 2];
    const CHAOS: &[u8] = &[0xc0, 12, 0, 1, 0, 3, 0, 0, 0, 1, 0, 4, 192, 0, 2, 8];

    fn read(message: &[u8]) -> Result<Reply, MessageError> {
        reply(message, &query(7, "A.example.", Record::A).unwrap(), Record::A)
    }

    #[test]
    fn names_are_labels_of_bounded_length() {
        let expected =
            b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x1c\x00\x01";
        assert_eq!(query(7, "a.example.", Record::Aaaa).unwrap(), expected);
        let long = "x".repeat(63);
        assert!(query(7, &long, Record::A).is_some());
        assert!(query(7, &[&*long; 3].join("."), Record::A).is_some());
        for bad in ["", ".", "a..b", ".a", &"x".repeat(64), &[&*long; 4].join(".")] {
            assert_eq!(query(7, bad, Record::A), None, "{bad}");
        }
    }

    #[test]
    fn addresses_stand_behind_aliases() {
        let whole = message(0x8180, 1, 3, &[ALIAS, ADDRESS, CHAOS].concat());
        let addresses = vec![IpAddr::from([192, 0, 2, 7])];
        assert_eq!(read(&whole), Ok(Reply::Found(Answer { addresses, seconds: 9 })));
        assert_eq!(read(&message(0x8180, 1, 0, &[])), Ok(Reply::Found(Answer::default())));
    }

    #[test]
    fn what_is_no_address_has_a_reason() {
        for (flags, questions, expected) in [
            (0x8183, 1, Reply::Unknown),
            (0x8182, 1, Reply::Refused(ResponseCode(2))),
            (0x8185, 0, Reply::Refused(ResponseCode(5))),
            (0x8380, 1, Reply::Truncated),
            (0x0100, 1, Reply::Other),
            (0x8180, 0, Reply::Other),
        ] {
            assert_eq!(read(&message(flags, questions, 0, &[])), Ok(expected), "{flags:x}");
        }
        let mut other = message(0x8180, 1, 1, ADDRESS);
        other[1] = 8;
        assert_eq!(read(&other), Ok(Reply::Other));
        let mut other = message(0x8180, 1, 1, ADDRESS);
        other[13] = b'b';
        assert_eq!(read(&other), Ok(Reply::Other));
        assert_eq!(read(&message(0x8180, 1, 1, SHORT)), Err(MessageError));
    }

    #[test]
    fn no_message_is_read_beyond_its_end() {
        let whole = message(0x8180, 1, 2, &[ALIAS, ADDRESS].concat());
        for end in 0..whole.len() {
            let cut = read(&whole[..end]);
            assert!(matches!(cut, Err(MessageError) | Ok(Reply::Other)), "{end}: {cut:?}");
        }
        for at in 0..whole.len() {
            for octet in [0, 0x3f, 0x40, 0xc0, 0xff] {
                let mut changed = whole.clone();
                changed[at] = octet;
                let _any = read(&changed);
            }
        }
    }
}
