//! Batches of messages for one `sendmmsg`.
//!
//! Enters: messages with destination and control data. Leaves: packets, and the refused messages. Buffers keep their
//! size: a batch no larger than an earlier one does not allocate.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, iovec, mmsghdr, msghdr, socklen_t};

/// Most tries of a message that an error of another one has kept from being sent. Each takes a microsecond or two, in
/// which one of several forged ICMP errors a microsecond apart would have to come each time.
const TRIES: u8 = 8;

/// Queued messages, each with a tag for its report, a destination of type `N` and control messages `C`.
pub(super) struct Batch<T, N, C> {
    bytes: Vec<u8>,
    messages: Vec<Message<T, N, C>>,
    vectors: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

// SAFETY: every flush writes the pointers in `vectors` and `headers` before the kernel reads them, and they point into
// the batch itself.
unsafe impl<T: Send, N: Send, C: Send> Send for Batch<T, N, C> {}

struct Message<T, N, C> {
    tag: T,
    start: usize,
    length: usize,
    name: N,
    control: C,
}

/// One control message, laid out as the kernel reads it: CMSG_DATA directly follows the header, and the next header
/// is aligned like this one.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Control<T> {
    header: libc::cmsghdr,
    data: T,
}

impl<T: Copy> Control<T> {
    pub(super) const fn new(level: c_int, kind: c_int, data: T) -> Self {
        let header = libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + size_of::<T>(),
            cmsg_level: level,
            cmsg_type: kind,
        };
        Self { header, data }
    }
}

impl<T: Copy, N, C> Batch<T, N, C> {
    pub(super) const fn new() -> Self {
        Self { bytes: Vec::new(), messages: Vec::new(), vectors: Vec::new(), headers: Vec::new() }
    }

    /// Queues a message of `length` zeros and returns it, to be written in place.
    pub(super) fn push(&mut self, tag: T, name: N, control: C, length: usize) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.resize(start + length, 0);
        self.messages.push(Message { tag, start, length, name, control });
        self.bytes.get_mut(start..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Sends everything and reports the result of each message to `outcome`, by its tag. Empties the batch. A socket
    /// with IP_RECVERR returns an ICMP error about an earlier message in place of the next send, which is tried again.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>, mut outcome: impl FnMut(T, Result<(), i32>)) {
        self.lay_out();
        let (mut next, mut tries) = (0, 0);
        while let (Some(rest), Some(messages)) = (self.headers.get_mut(next..), self.messages.get(next..))
            && let Some(first) = messages.first()
        {
            let count = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            // SAFETY: `rest` holds `count` headers, whose pointers `lay_out` has just aimed at memory that self keeps.
            let result =
                unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
            if let Ok(sent) = usize::try_from(result)
                && sent > 0
            {
                // If an error ended the call early, the next call returns it first.
                messages.iter().take(sent).for_each(|message| outcome(message.tag, Ok(())));
                (next, tries) = (next + sent, 0);
                continue;
            }
            let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            tries += 1;
            if errno != libc::EINTR && (is_own(errno) || tries >= TRIES) {
                outcome(first.tag, Err(errno));
                (next, tries) = (next + 1, 0);
            }
        }
        self.messages.clear();
        self.bytes.clear();
    }

    /// Drops everything and calls `refused` for each tag.
    pub(super) fn refuse(&mut self, mut refused: impl FnMut(T)) {
        self.bytes.clear();
        self.messages.drain(..).for_each(|message| refused(message.tag));
    }

    fn lay_out(&mut self) {
        let Self { bytes, messages, vectors, headers } = self;
        vectors.clear();
        vectors.extend(messages.iter().filter_map(|message| {
            let bytes = bytes.get_mut(message.start..)?.get_mut(..message.length)?;
            Some(iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: message.length })
        }));
        headers.clear();
        headers.extend(messages.iter_mut().zip(vectors.iter_mut()).map(|(message, vector)| {
            // SAFETY: a header of zeros names nothing.
            let mut header: msghdr = unsafe { std::mem::zeroed() };
            header.msg_name = (&raw mut message.name).cast();
            header.msg_namelen = socklen_t::try_from(size_of::<N>()).unwrap_or(0);
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control =
                if size_of::<C>() == 0 { ptr::null_mut() } else { (&raw mut message.control).cast() };
            header.msg_controllen = size_of::<C>();
            mmsghdr { msg_hdr: header, msg_len: 0 }
        }));
    }
}

/// Whether the error is one of the send itself: no ICMP error becomes it.
fn is_own(errno: c_int) -> bool {
    matches!(errno, libc::EPERM | libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN)
}

impl<T, N, C> std::fmt::Debug for Batch<T, N, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}
