//! Messages of D-Bus: calls as they are written, and what is read of results, errors and signals.
//!
//! Values are those of the few methods that are called: texts, object paths, numbers, and pairs of the last two, each
//! also in a variant.

use thiserror::Error;

/// Longest message that is read; longer ones are left out.
pub(super) const LONGEST: usize = 1 << 20;

/// Longest message of the bus itself.
const LONGEST_OF_BUS: usize = 128 << 20;

/// Length of the fixed part, with that of the fields.
const HEAD: usize = 16;

/// Depth of variants in variants.
const DEPTH: usize = 4;

/// Numbers of the fields in a head.
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR: u8 = 4;
    pub(super) const ANSWERS: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SIGNATURE: u8 = 8;
}

/// Bytes that are no message, or values of other types than expected.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the bus sent a malformed message")]
pub struct MalformedError;

/// A call of a method.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub destination: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
    pub method: &'a str,
    pub arguments: &'a [Argument<'a>],
}

#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    Text(&'a str),
    Number(u32),
}

/// The result of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    Nothing,
    /// Also an object path.
    Text(String),
    Number(u32),
    /// A number and an object path.
    Pair(u32, String),
}

impl Value {
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// # Errors
    /// It is another value.
    pub fn text(self) -> Result<String, MalformedError> {
        self.into_text().ok_or(MalformedError)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Result,
    Error,
    Signal,
    /// A call of ours by another client, or a kind that is not known.
    Other,
}

/// A message from the bus.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// Serial number of the call that it answers.
    pub(super) answers: Option<u32>,
    /// Name of an error.
    pub(super) error: Option<String>,
    member: Option<String>,
    signature: String,
    whole: Vec<u8>,
    /// Where the body begins.
    body: usize,
    is_big_endian: bool,
}

impl Message {
    pub(super) fn read(whole: Vec<u8>) -> Result<Self, MalformedError> {
        let mut rest = Reader::new(&whole)?;
        let kind = match whole.get(1) {
            Some(2) => Kind::Result,
            Some(3) => Kind::Error,
            Some(4) => Kind::Signal,
            _ => Kind::Other,
        };
        rest.at = 12;
        let end = HEAD.checked_add(rest.length()?).ok_or(MalformedError)?;
        let (mut answers, mut error, mut member, mut signature) = (None, None, None, String::new());
        while rest.at < end {
            rest.align(8)?;
            let code = rest.octet()?;
            let kind = rest.signature()?;
            match (code, &*kind) {
                (field::ANSWERS, "u") => answers = Some(rest.number()?),
                (field::ERROR, "s") => error = Some(rest.text()?),
                (field::MEMBER, "s") => member = Some(rest.text()?),
                (field::SIGNATURE, "g") => signature = rest.signature()?,
                (_, "s" | "o") => drop(rest.text()?),
                (_, "u") => drop(rest.number()?),
                (_, "g") => drop(rest.signature()?),
                _ => return Err(MalformedError),
            }
        }
        rest.align(8)?;
        let (body, is_big_endian) = (rest.at, rest.is_big_endian);
        Ok(Self { kind, answers, error, member, signature, body, is_big_endian, whole })
    }

    /// The first value of the body.
    pub(super) fn value(&self) -> Result<Value, MalformedError> {
        let mut body = Reader { whole: &self.whole, at: self.body, is_big_endian: self.is_big_endian };
        body.value(&self.signature, DEPTH)
    }

    /// A signal about changed properties, of an object that is followed.
    pub(super) fn is_of_property(&self) -> bool {
        self.kind == Kind::Signal && self.member.as_deref() == Some("PropertiesChanged")
    }
}

/// Length of the message that begins here; `None` before it is known.
pub(super) fn length(arrived: &[u8]) -> Result<Option<usize>, MalformedError> {
    if arrived.len() < HEAD {
        return Ok(None);
    }
    let mut head = Reader::new(arrived)?;
    head.at = 4;
    let body = head.length()?;
    head.at = 12;
    let fields = head.length()?.checked_next_multiple_of(8).ok_or(MalformedError)?;
    let whole = HEAD.checked_add(fields).and_then(|head| head.checked_add(body));
    whole.filter(|whole| *whole <= LONGEST_OF_BUS).map(Some).ok_or(MalformedError)
}

/// Whether the message that begins here is a signal, which any client may send.
pub(super) fn is_signal(arrived: &[u8]) -> bool {
    arrived.get(1) == Some(&4)
}

/// A call, in the order of bytes of little-endian machines, which every client reads.
pub(super) fn written(call: &Call<'_>, serial: u32) -> Vec<u8> {
    let mut body = Writer::default();
    let mut signature = String::new();
    for argument in call.arguments {
        match argument {
            Argument::Text(text) => {
                signature.push('s');
                body.text(text);
            }
            Argument::Number(number) => {
                signature.push('u');
                body.number(*number);
            }
        }
    }
    let mut whole = Writer::default();
    // Little-endian, a call, no flags, version 1.
    whole.0.extend([b'l', 1, 0, 1]);
    whole.count(body.0.len());
    whole.number(serial);
    whole.number(0);
    for (code, kind, text) in [
        (field::PATH, "o", call.path),
        (field::INTERFACE, "s", call.interface),
        (field::MEMBER, "s", call.method),
        (field::DESTINATION, "s", call.destination),
        (field::SIGNATURE, "g", &*signature),
    ] {
        if text.is_empty() {
            continue;
        }
        whole.align(8);
        whole.0.push(code);
        whole.signature(kind);
        if kind == "g" { whole.signature(text) } else { whole.text(text) }
    }
    let fields = u32::try_from(whole.0.len().saturating_sub(HEAD)).unwrap_or(u32::MAX);
    if let Some(place) = whole.0.get_mut(12..HEAD) {
        place.copy_from_slice(&fields.to_le_bytes());
    }
    whole.align(8);
    whole.0.extend(body.0);
    whole.0
}

#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.number(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend(text.bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.bytes());
        self.0.push(0);
    }
}

struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
    is_big_endian: bool,
}

impl<'a> Reader<'a> {
    fn new(whole: &'a [u8]) -> Result<Self, MalformedError> {
        match whole.first() {
            Some(b'l') => Ok(Self { whole, at: 0, is_big_endian: false }),
            Some(b'B') => Ok(Self { whole, at: 0, is_big_endian: true }),
            _ => Err(MalformedError),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], MalformedError> {
        let end = self.at.checked_add(length).ok_or(MalformedError)?;
        let taken = self.whole.get(self.at..end).ok_or(MalformedError)?;
        self.at = end;
        Ok(taken)
    }

    fn align(&mut self, to: usize) -> Result<(), MalformedError> {
        self.at = self.at.checked_next_multiple_of(to).ok_or(MalformedError)?;
        Ok(())
    }

    fn octet(&mut self) -> Result<u8, MalformedError> {
        self.take(1)?.first().copied().ok_or(MalformedError)
    }

    fn number(&mut self) -> Result<u32, MalformedError> {
        self.align(4)?;
        let octets = self.take(4)?.try_into().map_err(|_| MalformedError)?;
        Ok(if self.is_big_endian { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) })
    }

    fn length(&mut self) -> Result<usize, MalformedError> {
        usize::try_from(self.number()?).map_err(|_| MalformedError)
    }

    fn text(&mut self) -> Result<String, MalformedError> {
        let length = self.length()?;
        self.ended(length)
    }

    fn signature(&mut self) -> Result<String, MalformedError> {
        let length = self.octet()?;
        self.ended(length.into())
    }

    /// A text with the zero that ends it.
    fn ended(&mut self, length: usize) -> Result<String, MalformedError> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| MalformedError)?;
        match self.octet()? {
            0 => Ok(text.to_owned()),
            _ => Err(MalformedError),
        }
    }

    fn value(&mut self, signature: &str, depth: usize) -> Result<Value, MalformedError> {
        match signature.as_bytes() {
            [] => Ok(Value::Nothing),
            [b's' | b'o', ..] => self.text().map(Value::Text),
            [b'u', ..] => self.number().map(Value::Number),
            [b'(', b'u', b'o', b')', ..] => {
                self.align(8)?;
                Ok(Value::Pair(self.number()?, self.text()?))
            }
            [b'v', ..] if depth > 0 => {
                let inner = self.signature()?;
                self.value(&inner, depth.saturating_sub(1))
            }
            _ => Err(MalformedError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> = Call {
        destination: "a.b",
        path: "/o",
        interface: "a.I",
        method: "M",
        arguments: &[Argument::Text("x"), Argument::Number(7)],
    };

    /// A result of the call 9, by the same rules as a call.
    fn result(signature: &str, body: &[u8]) -> Vec<u8> {
        let mut whole = Writer::default();
        whole.0.extend([b'l', 2, 1, 1]);
        whole.count(body.len());
        whole.number(3);
        whole.number(0);
        whole.align(8);
        whole.0.extend([field::ANSWERS, 1, b'u', 0]);
        whole.number(9);
        if !signature.is_empty() {
            whole.align(8);
            whole.0.extend([field::SIGNATURE, 1, b'g', 0]);
            whole.signature(signature);
        }
        let fields = u32::try_from(whole.0.len() - HEAD).unwrap();
        whole.0[12..16].copy_from_slice(&fields.to_le_bytes());
        whole.align(8);
        whole.0.extend(body);
        whole.0
    }

    #[test]
    fn a_call_is_written_as_specified() {
        let expected = b"l\x01\x00\x01\x0c\x00\x00\x00\x05\x00\x00\x00\x48\x00\x00\x00\
            \x01\x01o\x00\x02\x00\x00\x00/o\x00\x00\x00\x00\x00\x00\
            \x02\x01s\x00\x03\x00\x00\x00a.I\x00\x00\x00\x00\x00\
            \x03\x01s\x00\x01\x00\x00\x00M\x00\x00\x00\x00\x00\x00\x00\
            \x06\x01s\x00\x03\x00\x00\x00a.b\x00\x00\x00\x00\x00\
            \x08\x01g\x00\x02su\x00\
            \x01\x00\x00\x00x\x00\x00\x00\x07\x00\x00\x00";
        let call = written(&CALL, 5);
        assert_eq!(call.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_eq!(length(&call), Ok(Some(call.len())));
    }

    #[test]
    fn values_are_read_with_their_types() {
        let rows: [(&str, &[u8], Value); 5] = [
            ("", b"", Value::Nothing),
            ("s", b"\x02\0\0\0hi\0", Value::Text("hi".to_owned())),
            ("o", b"\x02\0\0\0/a\0", Value::Text("/a".to_owned())),
            ("v", b"\x01s\0\0\x02\0\0\0hi\0", Value::Text("hi".to_owned())),
            ("v", b"\x04(uo)\0\0\0\x07\0\0\0\x02\0\0\0/j\0", Value::Pair(7, "/j".to_owned())),
        ];
        for (signature, body, expected) in rows {
            let message = Message::read(result(signature, body)).unwrap();
            assert_eq!((message.kind, message.answers), (Kind::Result, Some(9)));
            assert_eq!(message.value(), Ok(expected), "{signature}");
        }
        let other = Message::read(result("d", &[0; 8])).unwrap();
        assert_eq!(other.value(), Err(MalformedError));
    }

    #[test]
    fn no_message_is_read_beyond_its_end() {
        let whole = result("v", b"\x04(uo)\0\0\0\x07\0\0\0\x02\0\0\0/j\0");
        for end in 0..whole.len() {
            let read = Message::read(whole[..end].to_vec()).and_then(|message| message.value());
            assert_eq!(read, Err(MalformedError), "{end}");
        }
        for at in 0..whole.len() {
            for octet in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = octet;
                let _any = Message::read(changed).and_then(|message| message.value());
            }
        }
        let mut long = whole;
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(length(&long), Err(MalformedError));
        assert_eq!(length(&long[..15]), Ok(None));
    }
}
