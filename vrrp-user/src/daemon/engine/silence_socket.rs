//! Reference sockets beside the program, while the silence of a master is in doubt.
//!
//! Enters: instances whose master is overdue. Leaves: how many adverts the host's own stack has received. Absent: the
//! comparison with the program's counters, which is the protocol's; remedies, which are the main thread's work.
//!
//! From the first suspicion until the master is heard or replaced, an ordinary raw socket is open on the interface. A
//! steady master costs nothing here.

use std::sync::Arc;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;

use super::link::Link;
use super::ports::KernelPorts;
use crate::driver::locals::Locals;
use crate::driver::socket::{HeardVrid, ReferenceSocket};
use crate::protocol::{InstanceId, SocketCount};

/// The reference socket of an interface and what it has received.
#[derive(Debug)]
pub(super) struct SilenceSocket {
    ifindex: u32,
    family: Family,
    reference: ReferenceSocket,
    /// Adverts by VRID. A backup's own are not among them: it sends none.
    heard: Box<[u64; 256]>,
    /// Turn in which they were counted last.
    listened: Option<Timestamp>,
}

impl KernelPorts {
    /// Adverts that sockets have received; `None` if the interface has no program, or the comparison cannot be made.
    pub(super) fn count_by_socket(&mut self, id: InstanceId, now: Timestamp) -> Option<SocketCount> {
        let Link { ifindex: Some(ifindex), settings: Some(settings), .. } = self.links.get(id.index())?
        else {
            return None;
        };
        let (ifindex, settings) = (*ifindex, Arc::clone(settings));
        let Self { listeners, silence_sockets, maps, .. } = self;
        let has_program = listeners.iter().all(|(known, _)| *known != ifindex);
        if !has_program || !settings.reaches_sockets() {
            return None;
        }
        let socket = SilenceSocket::of(silence_sockets, (ifindex, settings.family))?;
        let is_current = socket.listen(maps.locals(), now);
        let adverts = socket.heard.get(usize::from(settings.vrid.number())).copied().unwrap_or(0);
        Some(SocketCount { adverts, is_current })
    }
}

impl SilenceSocket {
    /// Opens the socket if it is not open yet. `None` if that fails: then nothing speaks against the silence.
    fn of(silence_sockets: &mut Vec<Self>, (ifindex, family): (u32, Family)) -> Option<&mut Self> {
        let known =
            silence_sockets.iter().position(|socket| (socket.ifindex, socket.family) == (ifindex, family));
        let index = match known {
            Some(index) => index,
            None => {
                let reference = ReferenceSocket::open(family, ifindex).ok()?;
                silence_sockets.push(Self {
                    ifindex,
                    family,
                    reference,
                    heard: Box::new([0; 256]),
                    listened: None,
                });
                silence_sockets.len() - 1
            }
        };
        silence_sockets.get_mut(index)
    }

    /// Counts what has arrived, once in a turn. False if that fails, as when the interface goes.
    fn listen(&mut self, locals: &Locals, now: Timestamp) -> bool {
        let Self { reference, heard, listened, .. } = self;
        if listened.replace(now) == Some(now) {
            return true;
        }
        let count = |advert: HeardVrid| {
            if let Some(count) = heard.get_mut(usize::from(advert.vrid)) {
                *count += 1;
            }
        };
        reference.drain(locals, count).is_ok()
    }
}
