//! Queues between the threads: bounded, never blocking, with an eventfd that wakes the reader.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};

use crossbeam_queue::ArrayQueue;
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::oneshot;
use vrrp_ebpf::time::Timestamp;

use super::hot_restart::{Leases, RouterSnapshot};
use crate::config::InstanceSettings;
use crate::driver::netlink::refusal::NetlinkError;
use crate::driver::socket::Listener;
use crate::driver::xdp::Attachment;
use crate::protocol::{
    Announcement, Epoch, Event, GroupId, GroupTransition, InstanceId, Loss, Missing, Priority, Transition,
};

/// RT_TABLE_MAIN: the table of routes that name none.
const MAIN: u32 = 254;

/// Difference between two configurations, as the engine receives it.
pub type ConfigurationChanges = crate::protocol::ConfigurationChanges<Arc<InstanceSettings>>;

/// To the engine, from any thread.
#[derive(Debug)]
pub enum Input {
    Event(Event),
    /// The instance's interface appeared, changed or went away (`None`).
    Interface {
        instance: InstanceId,
        ifindex: Option<u32>,
    },
    /// The interface with the virtual MAC address, which the instance's adverts leave from.
    Sender {
        instance: InstanceId,
        ifindex: Option<u32>,
    },
    /// Receive adverts of this interface on a packet socket.
    Listen {
        ifindex: u32,
        listener: Box<Listener>,
    },
    /// Close the packet socket of this interface.
    Unlisten(u32),
    /// The program's attachment to an interface; `None` if the kernel cannot report on it.
    Attachment {
        ifindex: u32,
        attachment: Option<Arc<Attachment>>,
    },
    /// Another configuration; [`Report::Reconfigured`] follows.
    Reconfigure(Box<ConfigurationChanges>),
    /// Report the state and leave it as it is, apart from the leases, until [`Input::GoOn`] or [`Input::Leave`] comes;
    /// the answer is `None` during a handover, and while others have no room for what the engine has reported.
    Pause(Leases, oneshot::Sender<Option<RouterSnapshot>>),
    GoOn,
    /// Note here that every command up to now is done.
    Note(Arc<AtomicBool>),
    /// End without releasing anything.
    Leave,
    /// Continue from the state of another daemon, which has paused. The answer follows once due adverts are sent.
    Restore(Box<RouterSnapshot>, Leases, mpsc::Sender<()>),
}

/// From the engine to the effect thread.
#[derive(Clone, Debug)]
pub enum Command {
    /// The instance may become master at this time: prepare for it, and be awake then if it is near.
    StandBy(InstanceId, Timestamp),
    /// The instance's settings from now on. While its addresses are set, new ones are set and others removed at once.
    SetEffects(InstanceId, Arc<InstanceSettings>),
    /// The addresses of the instance are set and announced already.
    Hold(InstanceId, Epoch),
    /// Set the addresses of the instance, then announce each once.
    Add(InstanceId, Epoch),
    Remove(InstanceId, Epoch),
    /// The addresses stay, and are no longer announced.
    StopAnnouncing(InstanceId),
    Announce(InstanceId, Announcement),
    /// Set what is missing, and announce each address that was.
    PutBack(InstanceId, Epoch, Missing),
    /// The state of another daemon is restored, and [`Self::Hold`] has come for every master. Once it is replaced,
    /// remove what it could not remove.
    Inherit,
    /// Note here that everything queued before is done.
    Note(Arc<AtomicBool>),
    /// Finish what is queued, then end.
    Stop,
}

/// From the engine to the ordinary threads.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    Transition(InstanceId, Transition),
    Priority(InstanceId, Priority),
    Contest(InstanceId, IpAddr),
    Group(GroupId, GroupTransition),
    /// Sending an advert failed with this errno; repeated at most once a second and instance.
    SendFailed(InstanceId, i32),
    /// A route or rule could not be removed, or an address not be announced; the first failure of a command.
    EffectFailed {
        instance: InstanceId,
        object: Object,
        refusal: NetlinkError,
    },
    /// An object was lost and is set again, and so are `more` others.
    PutBack {
        instance: InstanceId,
        object: Object,
        more: u64,
        loss: Loss,
    },
    /// Everything that the instance could not set, and retries. Once no longer master, it lacks nothing.
    Lacks {
        instance: InstanceId,
        lacks: Box<[Lack]>,
        is_master: bool,
    },
    /// All addresses that the instance has left and that could not be removed; they are tried again.
    Leftovers {
        instance: InstanceId,
        left: Box<[Lack]>,
    },
    /// Another process keeps removing routes and rules; they are not set again.
    Abandoned(InstanceId),
    /// All effects of a new configuration are decided and sent.
    Reconfigured,
    /// The engine has left its loop.
    Stopped,
}

/// An object that could not be set, or an address that could not be removed, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lack {
    pub object: Object,
    pub refusal: NetlinkError,
}

/// An object that the effect thread sets and removes for an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Object {
    Address(IpAddr),
    /// By destination and table.
    Route((IpAddr, u8), u32),
    /// By preference.
    Rule(u32),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "address {address}"),
            Self::Route((destination, prefix), MAIN) => write!(f, "route to {destination}/{prefix}"),
            Self::Route((destination, prefix), table) => {
                write!(f, "route to {destination}/{prefix} in table {table}")
            }
            Self::Rule(preference) => write!(f, "rule {preference}"),
        }
    }
}

/// One direction between two threads. A full one refuses the newest entry.
#[derive(Debug)]
pub struct Queue<T> {
    entries: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    ring: ArrayQueue<T>,
    wake: EventFd,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { entries: Arc::clone(&self.entries) }
    }
}

impl<T> Queue<T> {
    /// # Errors
    /// No file descriptor is left for the eventfd.
    pub fn new(capacity: usize) -> nix::Result<Self> {
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { entries: Arc::new(Shared { ring: ArrayQueue::new(capacity), wake }) })
    }

    /// Never blocks. False if the entry is lost.
    pub fn push(&self, entry: T) -> bool {
        self.offer(entry).is_ok()
    }

    /// As [`Self::push`], for callers that try again.
    ///
    /// # Errors
    /// The entry, as the queue is full.
    pub fn offer(&self, entry: T) -> Result<(), T> {
        let outcome = self.entries.ring.push(entry);
        self.wake();
        outcome
    }

    /// As [`Self::push`], without a system call: a reader that sleeps finds the entry after [`Self::wake`].
    pub fn push_unwoken(&self, entry: T) -> bool {
        self.entries.ring.push(entry).is_ok()
    }

    pub fn pop(&self) -> Option<T> {
        self.entries.ring.pop()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.ring.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.ring.is_empty()
    }

    /// Wakes the reader, for entries that it has left behind or was not woken for.
    pub fn wake(&self) {
        // Fails only when the counter is full, and then the reader is awake anyway.
        let _ = self.entries.wake.write(1);
    }

    /// Makes the descriptor unreadable; call it before draining.
    pub fn acknowledge(&self) {
        let _ = self.entries.wake.read();
    }
}

impl<T> AsFd for Queue<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.entries.wake.as_fd()
    }
}

impl<T> AsRawFd for Queue<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.entries.wake.as_fd().as_raw_fd()
    }
}
