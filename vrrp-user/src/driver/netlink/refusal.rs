//! Errors of netlink requests: the errno, and the kernel's message (extended acknowledgement, Linux 4.12).

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use nix::errno::Errno;
use rtnetlink::packet_core::NlasIterator;

/// The answer repeats only the header of the request.
const NLM_F_CAPPED: u16 = 0x100;
/// Attributes follow the request.
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const HEADER: usize = 16;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NetlinkError {
    pub errno: i32,
    /// The kernel's message, for example "Nexthop has invalid gateway".
    pub words: Option<Arc<str>>,
}

impl NetlinkError {
    /// Parses an answer: the flags of its message, and the bytes after the errno.
    pub(super) fn parse(errno: i32, flags: u16, rest: &[u8]) -> Self {
        Self { errno, words: words(flags, rest) }
    }

    /// Text without the name of the errno.
    pub fn plain(&self) -> String {
        let description = Errno::from_raw(self.errno).desc();
        self.words.as_ref().map_or_else(|| description.to_owned(), |words| format!("{description}: {words}"))
    }

    /// The errno of an error that came from a refusal.
    pub fn errno_of(error: &io::Error) -> Option<i32> {
        let refusal = || error.get_ref()?.downcast_ref::<Self>().map(|refusal| refusal.errno);
        error.raw_os_error().or_else(refusal)
    }
}

fn words(flags: u16, rest: &[u8]) -> Option<Arc<str>> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let request = match flags & NLM_F_CAPPED {
        0 => u32::from_ne_bytes(*rest.first_chunk()?) as usize,
        _ => HEADER,
    };
    let attributes = rest.get(request.checked_next_multiple_of(4)?..)?;
    let said = NlasIterator::new(attributes).flatten().find(|it| it.kind() == NLMSGERR_ATTR_MSG)?;
    let text = String::from_utf8_lossy(said.value());
    let text = text.trim_end_matches('\0').trim_end_matches('.').trim();
    (!text.is_empty()).then(|| text.into())
}

impl From<i32> for NetlinkError {
    fn from(errno: i32) -> Self {
        Self { errno, words: None }
    }
}

/// For errors of netlink itself.
impl From<&io::Error> for NetlinkError {
    fn from(error: &io::Error) -> Self {
        Self::from(Self::errno_of(error).unwrap_or(libc::EIO))
    }
}

impl From<NetlinkError> for io::Error {
    fn from(refusal: NetlinkError) -> Self {
        let plain = Self::from_raw_os_error(refusal.errno);
        if refusal.words.is_some() { Self::new(plain.kind(), refusal) } else { plain }
    }
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", Errno::from_raw(self.errno), self.plain())
    }
}

impl Error for NetlinkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn words_stand_behind_the_request_that_is_repeated() {
        let attributes = [attribute(2, &[8, 0, 0, 0]), attribute(1, b"Invalid scope value.\0")].concat();
        let header = [&20_u32.to_ne_bytes()[..], &[0; 12]].concat();
        let (capped, whole) =
            ([&header[..], &attributes].concat(), [&header[..], &[7; 4], &attributes].concat());
        for (flags, bytes) in [(NLM_F_ACK_TLVS | NLM_F_CAPPED, &capped), (NLM_F_ACK_TLVS, &whole)] {
            let refusal = NetlinkError::parse(libc::EINVAL, flags, bytes);
            assert_eq!(refusal.words.as_deref(), Some("Invalid scope value"));
            assert_eq!(refusal.plain(), "Invalid argument: Invalid scope value");
            assert_eq!(refusal.to_string(), "EINVAL: Invalid argument: Invalid scope value");
        }
    }

    #[test]
    fn without_words_the_errno_is_left() {
        let header = [&u32::MAX.to_ne_bytes()[..], &[0; 12]].concat();
        let cut = [&header[..], &[200, 0, 1, 0, b'x']].concat();
        for (flags, bytes) in [
            (0, &header[..]),
            (NLM_F_ACK_TLVS, &header),
            (NLM_F_ACK_TLVS, &[]),
            (NLM_F_ACK_TLVS | NLM_F_CAPPED, &cut),
            (NLM_F_ACK_TLVS | NLM_F_CAPPED, &[&header[..], &attribute(1, b"\0")].concat()),
        ] {
            assert_eq!(NetlinkError::parse(libc::EPERM, flags, bytes), NetlinkError::from(libc::EPERM));
        }
        assert_eq!(NetlinkError::from(libc::EPERM).to_string(), "EPERM: Operation not permitted");
    }

    #[test]
    fn an_error_keeps_its_errno() {
        let reported = NetlinkError { errno: libc::EBUSY, words: Some("Device is busy".into()) };
        for refusal in [reported, NetlinkError::from(libc::EBUSY)] {
            let error = io::Error::from(refusal.clone());
            assert_eq!(NetlinkError::errno_of(&error), Some(libc::EBUSY));
            assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
            assert!(error.to_string().contains(refusal.words.as_deref().unwrap_or("busy")), "{error}");
        }
    }
}
