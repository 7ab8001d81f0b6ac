//! Netlink sockets: requests in one send, answers matched by sequence number.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::refusal::NetlinkError;
use crate::driver::socket::option::{set, set_buffer};

/// Requests per send. Even if each fails, the answers fit into a receive buffer of default size.
const BATCH: usize = 256;
/// The kernel's longest datagram is 32 KiB.
const BUFFER: usize = 64 * 1024;
const RECEIVE_BUFFER: libc::c_int = 8 << 20;
/// The kernel answers within the sending call; a longer wait means a lost answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Of each message, with the places of its type and its sequence number.
const HEADER: usize = 16;
const KIND: usize = 4;
const SEQUENCE: usize = 8;
const NLMSG_ERROR: u16 = 2;
/// Attempts at a dump that the kernel reports as interrupted. It does so for each change meanwhile, so on a host that
/// changes all the time the last attempt counts as whole.
const ATTEMPTS: usize = 16;

thread_local! {
    /// For the datagram that is read, of whichever socket of the thread: most sockets rest.
    static DATAGRAM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Makes the memory that reads of this thread need, before it must not wait for memory. Zeroes would be promised by the
/// allocator, and be there at the first touch only.
pub fn warm_up() {
    DATAGRAM.set(vec![u8::MAX; BUFFER]);
}

/// Ports of this process: its own requests come back as notifications.
static OWN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Whether a notification with this port reports a change by this process.
pub fn is_own(port: u32) -> bool {
    port != 0 && OWN.lock().unwrap_or_else(PoisonError::into_inner).contains(&port)
}

/// A request and its flags, for example NLM_F_CREATE.
#[derive(Clone, Debug)]
pub struct Request {
    pub message: RouteNetlinkMessage,
    pub flags: u16,
}

/// Requests that one send carries, with the socket's next sequence numbers.
#[derive(Debug)]
pub struct EncodedRequests {
    bytes: Vec<u8>,
    first: u32,
    count: usize,
}

#[derive(Debug)]
pub struct RouteSocket {
    socket: Socket,
    port: u32,
    sequence: u32,
}

impl RouteSocket {
    /// For requests; blocks while it waits for answers.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn open() -> io::Result<Self> {
        let socket = Self::with_groups(0)?;
        let timeout = libc::timeval {
            tv_sec: i64::try_from(TIMEOUT.as_secs()).unwrap_or(1),
            tv_usec: i64::from(TIMEOUT.subsec_micros()),
        };
        set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, timeout)?;
        Ok(socket)
    }

    /// For notifications of these groups (`RTMGRP_*`); never blocks.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn subscribe(groups: u32) -> io::Result<Self> {
        let socket = Self::with_groups(groups)?;
        socket.socket.set_non_blocking(true)?;
        Ok(socket)
    }

    fn with_groups(groups: u32) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, groups))?;
        // Answers to failed requests omit the request.
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        set_buffer(socket.as_fd(), libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER)?;
        let mut address = SocketAddr::new(0, 0);
        socket.get_address(&mut address)?;
        let port = address.port_number();
        OWN.lock().unwrap_or_else(PoisonError::into_inner).push(port);
        Ok(Self { socket, port, sequence: 0 })
    }

    /// Sends all requests together and calls `failed` for each refused one with its index and the reason.
    ///
    /// # Errors
    /// Sending failed, or answers were lost: the outcome of the requests is then unknown.
    pub fn perform(
        &mut self,
        requests: Vec<Request>,
        mut failed: impl FnMut(usize, NetlinkError),
    ) -> io::Result<()> {
        let mut requests = requests.into_iter().peekable();
        let mut done = 0;
        while requests.peek().is_some() {
            let encoded = self.encode_all(requests.by_ref().take(BATCH).collect());
            self.exchange(&encoded, |index, refusal| failed(done + index, refusal))?;
            done += encoded.count;
        }
        Ok(())
    }

    /// Encodes requests for one [`Self::exchange`]. Only the last requests an acknowledgement: the kernel works in
    /// order, so all refusals precede it.
    pub fn encode_all(&mut self, requests: Vec<Request>) -> EncodedRequests {
        let (first, count) = (self.sequence.wrapping_add(1), requests.len());
        let mut bytes = Vec::new();
        for (number, request) in (1..).zip(requests) {
            self.encode(request, if number == count { NLM_F_ACK } else { 0 }, &mut bytes);
        }
        EncodedRequests { bytes, first, count }
    }

    /// Sends encoded requests, once, and reports as [`Self::perform`].
    ///
    /// # Errors
    /// As in [`Self::perform`].
    pub fn exchange(
        &mut self,
        EncodedRequests { bytes, first, count }: &EncodedRequests,
        mut failed: impl FnMut(usize, NetlinkError),
    ) -> io::Result<()> {
        let Some(others) = u32::try_from(*count).unwrap_or(0).checked_sub(1) else { return Ok(()) };
        self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0)?;
        self.answers(first.wrapping_add(others), |header, answer| {
            let index = header.sequence_number.wrapping_sub(*first) as usize;
            if let NetlinkPayload::Error(error) = answer
                && let Some(code) = error.code
                && index < *count
            {
                failed(index, NetlinkError::parse(-code.get(), header.flags, &error.header));
            }
        })
    }

    /// The encoded requests, one message after the other, without requests for acknowledgement.
    pub fn encoded(&mut self, requests: Vec<Request>) -> Vec<u8> {
        let mut bytes = Vec::new();
        requests.into_iter().for_each(|request| self.encode(request, 0, &mut bytes));
        bytes
    }

    /// The one object that the request asks for: what `parse` makes of the message behind its netlink header.
    ///
    /// # Errors
    /// The kernel's refusal: ENODEV for a missing interface.
    pub fn query<T>(
        &mut self,
        message: RouteNetlinkMessage,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<T> {
        let mut bytes = Vec::new();
        self.encode(Request { message, flags: NLM_F_ACK }, 0, &mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        let (sequence, mut found, mut refused) = (self.sequence, None, None);
        while refused.is_none() {
            self.datagram(|message| {
                let number =
                    |at| message.get(at..).and_then(<[u8]>::first_chunk).map(|it| i32::from_ne_bytes(*it));
                let kind =
                    message.get(KIND..).and_then(<[u8]>::first_chunk).map(|it| u16::from_ne_bytes(*it));
                if number(SEQUENCE) != Some(sequence.cast_signed()) {
                    return;
                }
                match kind {
                    // An acknowledgement is the error 0.
                    Some(NLMSG_ERROR) => refused = Some(number(HEADER).unwrap_or_default()),
                    _ => found = message.get(HEADER..).and_then(&parse),
                }
            })?;
        }
        match refused {
            Some(code) if code < 0 => Err(io::Error::from_raw_os_error(-code)),
            _ => found.ok_or_else(|| io::ErrorKind::InvalidData.into()),
        }
    }

    /// All objects of the kind that the request asks for. Asks again if the list has changed meanwhile: the kernel goes
    /// on by position, and may have left out an object that was there all along.
    ///
    /// # Errors
    /// Sending failed, an answer was lost, or the kernel gave up.
    pub fn dump(
        &mut self,
        message: RouteNetlinkMessage,
        f: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        let dump = whole(|| {
            let mut bytes = Vec::new();
            self.encode(Request { message: message.clone(), flags: NLM_F_DUMP }, 0, &mut bytes);
            self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
            let mut dump = Dump::default();
            self.answers(self.sequence, |header, answer| dump.take(header, answer))?;
            Ok(dump)
        })?;
        dump.objects.into_iter().for_each(f);
        Ok(())
    }

    /// Reads one datagram of notifications, each with the port that caused it, or 0. False: none is queued.
    ///
    /// # Errors
    /// ENOBUFS: the buffer overran, and notifications are lost.
    pub fn receive(&mut self, mut f: impl FnMut(RouteNetlinkMessage, u32)) -> io::Result<bool> {
        match self.messages(|header, payload| {
            if let NetlinkPayload::InnerMessage(message) = payload {
                f(message, header.port_number);
            }
        }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Reads until the final answer to request `last`: its acknowledgement, its refusal, or the end of its dump.
    fn answers(
        &mut self,
        last: u32,
        mut f: impl FnMut(&NetlinkHeader, NetlinkPayload<RouteNetlinkMessage>),
    ) -> io::Result<()> {
        let mut ended = false;
        while !ended {
            self.messages(|header, payload| {
                ended |= header.sequence_number == last
                    && matches!(payload, NetlinkPayload::Error(_) | NetlinkPayload::Done(_));
                f(header, payload);
            })?;
        }
        Ok(())
    }

    /// Reads one datagram, and parses each message in it.
    fn messages(
        &mut self,
        mut f: impl FnMut(&NetlinkHeader, NetlinkPayload<RouteNetlinkMessage>),
    ) -> io::Result<()> {
        self.datagram(|message| {
            // A message unknown to this version of the parser is not among those requested.
            if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
                f(&message.header, message.payload);
            }
        })
    }

    fn datagram(&mut self, f: impl FnMut(&[u8])) -> io::Result<()> {
        // Another one if `f` reads from a socket as well.
        let mut buffer = DATAGRAM.take();
        if buffer.is_empty() {
            buffer = vec![0; BUFFER];
        }
        let outcome = self.datagram_into(&mut buffer, f);
        DATAGRAM.set(buffer);
        outcome
    }

    fn datagram_into(&mut self, buffer: &mut [u8], mut f: impl FnMut(&[u8])) -> io::Result<()> {
        let length = loop {
            match self.socket.recv(&mut &mut *buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        let mut rest = buffer.get(..length).unwrap_or_default();
        while let Some(bytes) = rest.first_chunk::<4>() {
            let length = u32::from_ne_bytes(*bytes) as usize;
            let Some(message) = rest.get(..length).filter(|_| length >= HEADER) else { break };
            f(message);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    fn encode(&mut self, request: Request, flags: u16, bytes: &mut Vec<u8>) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request.message);
        message.header.flags = NLM_F_REQUEST | request.flags | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        if let Some(room) = bytes.get_mut(start..) {
            message.serialize(room);
        }
    }
}

/// The answer to the request for a list.
#[derive(Debug, Default)]
struct Dump {
    objects: Vec<RouteNetlinkMessage>,
    /// The list has changed meanwhile.
    is_interrupted: bool,
    refused: Option<i32>,
}

impl Dump {
    fn take(&mut self, header: &NetlinkHeader, answer: NetlinkPayload<RouteNetlinkMessage>) {
        self.is_interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
        match answer {
            NetlinkPayload::InnerMessage(object) => self.objects.push(object),
            NetlinkPayload::Error(error) => self.refused = error.code.map(|code| -code.get()),
            // The end, or why the kernel gave up.
            NetlinkPayload::Done(done) if done.code < 0 => self.refused = Some(-done.code),
            _ => {}
        }
    }
}

/// The first answer of `attempt` that was not interrupted, or else the last one.
fn whole(mut attempt: impl FnMut() -> io::Result<Dump>) -> io::Result<Dump> {
    let mut dump = attempt()?;
    for _ in 1..ATTEMPTS {
        if !dump.is_interrupted {
            break;
        }
        dump = attempt()?;
    }
    dump.refused.map_or(Ok(dump), |errno| Err(io::Error::from_raw_os_error(errno)))
}

impl Drop for RouteSocket {
    fn drop(&mut self) {
        let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = own.iter().position(|port| *port == self.port) {
            own.swap_remove(index);
        }
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for RouteSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::DoneMessage;
    use rtnetlink::packet_route::link::LinkMessage;

    use super::*;

    type Payload = NetlinkPayload<RouteNetlinkMessage>;

    fn link(ifindex: u32) -> Payload {
        let mut message = LinkMessage::default();
        message.header.index = ifindex;
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message))
    }

    fn done(code: i32) -> Payload {
        let mut message = DoneMessage::default();
        message.code = code;
        NetlinkPayload::Done(message)
    }

    /// The answer with these messages, each with its flags.
    fn dump(messages: Vec<(u16, Payload)>) -> Dump {
        let mut dump = Dump::default();
        for (flags, payload) in messages {
            let mut header = NetlinkHeader::default();
            header.flags = flags;
            dump.take(&header, payload);
        }
        dump
    }

    #[test]
    fn an_interrupted_list_is_asked_for_again() {
        // The kernel marks the messages from the change on, and perhaps the end alone.
        for interrupted in [
            vec![(0, link(1)), (NLM_F_DUMP_INTR, link(3)), (NLM_F_DUMP_INTR, done(0))],
            vec![(0, link(1)), (NLM_F_DUMP_INTR, done(0))],
        ] {
            let whole_one = vec![(0, link(1)), (0, link(2)), (0, link(3)), (0, done(0))];
            let mut answers = vec![whole_one, interrupted.clone(), interrupted];
            let found = whole(|| Ok(dump(answers.pop().unwrap()))).unwrap();
            assert_eq!((found.objects.len(), answers.len()), (3, 0));
        }
    }

    #[test]
    fn a_host_that_changes_all_the_time_gets_an_answer() {
        let mut attempts = 0;
        let found = whole(|| {
            attempts += 1;
            Ok(dump(vec![(NLM_F_DUMP_INTR, link(1)), (NLM_F_DUMP_INTR, done(0))]))
        });
        assert_eq!((found.unwrap().objects.len(), attempts), (1, ATTEMPTS));
    }

    #[test]
    fn a_list_that_the_kernel_gave_up_is_an_error() {
        let found = whole(|| Ok(dump(vec![(0, link(1)), (0, done(-libc::EMSGSIZE))])));
        assert_eq!(found.unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    }
}
