//! Loading of the BPF program, on a thread of its own beside the rest of the start.
//!
//! Enters: the receive path that was asked for, and, once the configuration is read, its instances and interfaces.
//! Leaves: first the maps, then the program, which takes the kernel some 20 ms to verify. Without a program, adverts
//! are heard on sockets.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::daemon::process::options::XdpMode;
use crate::driver::maps::Maps;
use crate::driver::time_namespace::UnknownOffset;
use crate::driver::xdp::{LoadError, Loader, Mode, Program, Ring};

/// What of the configuration the program is loaded for.
#[derive(Debug)]
pub(super) struct Needs {
    pub(super) instances: usize,
    /// Room for instances.
    pub(super) slots: u32,
    /// Bytes of the ring that an event of each takes.
    pub(super) events: u32,
    pub(super) interfaces: Vec<Arc<str>>,
}

/// The maps, in the kernel or in private memory, and the ring of the former.
type Made = (Arc<Maps>, Option<Ring>);

#[derive(Debug)]
pub(super) struct Loading {
    needs: SyncSender<Needs>,
    made: Receiver<io::Result<Made>>,
    thread: JoinHandle<Result<Program, String>>,
}

impl Loading {
    /// Begins with all that does not depend on the configuration. If the offset of the clock is unknown, the program's
    /// stamps would mean nothing here, and there is none.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn begin(mode: XdpMode, offset: Result<(), UnknownOffset>) -> io::Result<Self> {
        let (needs, needed) = sync_channel(1);
        let (making, made) = sync_channel(1);
        let thread = thread::Builder::new().name("loader".to_owned());
        let thread = thread.spawn(move || load(mode.of_program(), offset, &needed, &making))?;
        Ok(Self { needs, made, thread })
    }

    /// Loads for this configuration.
    pub(super) fn go_on(&self, needs: Needs) {
        // The thread waits for it; if it has panicked, `made` fails.
        let _ = self.needs.send(needs);
    }

    /// The maps, before the program is verified.
    ///
    /// # Errors
    /// No memory could be mapped.
    pub(super) fn made(&self) -> io::Result<Made> {
        self.made.recv().map_err(|_| panicked())?
    }

    /// The program, or why there is none.
    ///
    /// # Errors
    /// The thread has panicked.
    pub(super) fn end(self) -> io::Result<Result<Program, String>> {
        self.thread.join().map_err(|_| panicked())
    }
}

fn panicked() -> io::Error {
    io::Error::other("the loader has panicked")
}

fn load(
    mode: Option<Mode>,
    offset: Result<(), UnknownOffset>,
    needed: &Receiver<Needs>,
    making: &SyncSender<io::Result<Made>>,
) -> Result<Program, String> {
    let loader = mode.map(|mode| (mode, Loader::new()));
    let needs = needed.recv().map_err(|_| "the start was given up".to_owned())?;
    let opened = match loader {
        Some((mode, loader)) => match (open(loader, &needs), offset) {
            (Ok(_), Err(unknown)) => Err(unknown.to_string()),
            (opened, _) => opened.map(|opened| (mode, opened)).map_err(|error| error.to_string()),
        },
        None => Err("the socket was requested".to_owned()),
    };
    // The main thread may have ended.
    let make = |made| _ = making.send(made);
    match opened {
        Ok((mode, (mut program, ring))) => {
            make(Ok((program.maps(), Some(ring))));
            program.load_for(&needs.interfaces, mode).map_err(|error| error.to_string())?;
            Ok(program)
        }
        Err(reason) => {
            make(Maps::anonymous(needs.slots).map(|maps| (Arc::new(maps), None)));
            Err(reason)
        }
    }
}

fn open(loader: Loader, needs: &Needs) -> Result<(Program, Ring), LoadError> {
    let mut program = Program::open(loader, needs.slots, needs.events)?;
    program.reach(needs.instances)?;
    let ring = program.ring()?;
    Ok((program, ring))
}
