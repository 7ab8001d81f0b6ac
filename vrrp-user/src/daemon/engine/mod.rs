//! The engine: one real-time thread that takes the turns of the protocol and owns the advert sockets.
//!
//! Enters: adverts from the ring or from packet sockets, inputs of other threads, the timer. Leaves: adverts, at once;
//! commands for the effect thread; reports for the ordinary threads. Absent: decisions, which are those of
//! [`crate::protocol::Turn`]; logs, files, names, netlink, and in the steady state allocation.
//!
//! [`ports`] has the descriptors and queues, and is the list of what a turn may do; the other files hold its parts.

mod hot_restart;
mod inputs;
mod link;
mod pace;
mod ports;
mod receive;
mod send;
mod show;
mod silence_socket;
mod stand_by;

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};

use self::ports::KernelPorts;
use self::stand_by::StandBy;
use super::essential::Essential;
use super::live::LiveState;
use super::queue::{Command, Input, Queue, Report};
use crate::config::InstanceSettings;
use crate::driver::clock;
use crate::driver::maps::Maps;
use crate::driver::realtime::{RealtimeError, STACK, become_realtime};
use crate::driver::xdp::Ring;
use crate::protocol::{ElectionSettings, GroupSettings, NextTurn, Turn};

/// Everything an engine is made of.
#[derive(Debug)]
pub struct EngineParts {
    pub instances: Vec<Arc<InstanceSettings>>,
    pub groups: Vec<GroupSettings>,
    pub maps: Arc<Maps>,
    pub live: Arc<LiveState>,
    pub ring: Option<Ring>,
    pub inputs: Queue<Input>,
    pub commands: Queue<Command>,
    pub reports: Queue<Report>,
}

#[derive(Debug)]
pub struct Engine {
    turn: Turn,
    ports: KernelPorts,
    next: NextTurn,
    stand_by: StandBy,
}

/// A running engine.
#[derive(Debug)]
pub struct Spawned {
    pub thread: JoinHandle<()>,
    /// Whether the thread entered the real-time class.
    pub class: Result<(), RealtimeError>,
}

impl Engine {
    /// # Errors
    /// No raw socket (CAP_NET_RAW), or no descriptor for the timer.
    pub fn new(parts: EngineParts) -> io::Result<Self> {
        let mut ports = KernelPorts::new(
            &parts.instances,
            parts.maps,
            parts.live,
            parts.ring,
            parts.inputs,
            parts.commands,
            parts.reports,
        )?;
        let mut turn = Turn::new(
            parts.instances.iter().map(|settings| ElectionSettings::from(&**settings)).collect(),
            parts.groups,
        );
        turn.begin(&mut ports);
        Ok(Self { next: turn.next(), turn, ports, stand_by: StandBy::default() })
    }

    /// Runs on a thread of its own, in the real-time class if `priority` is given. The result includes the outcome of
    /// that.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn spawn(self, priority: Option<i32>) -> io::Result<Spawned> {
        let (report, reported) = mpsc::channel();
        let thread = Builder::new().name("engine".to_owned()).stack_size(STACK).spawn(move || {
            let class = priority.map_or(Ok(()), become_realtime);
            // Cannot fail: `spawn` waits for it.
            let _ = report.send(class);
            let essential = Essential::new("the engine");
            let outcome = self.run();
            essential.end(&outcome);
        })?;
        let class = reported.recv().map_err(io::Error::other)?;
        Ok(Spawned { thread, class })
    }

    /// Turns until the router was shut down and the last handover is done; then stops the effect thread.
    ///
    /// # Errors
    /// The wait itself failed.
    fn run(mut self) -> io::Result<()> {
        // The first reading asks sysfs for the number of processors, for which no takeover should wait.
        let _ = self.ports.maps.counters(None);
        while !self.turn.has_ended() {
            self.step()?;
        }
        self.ports.end();
        Ok(())
    }

    /// Waits for the next turn, and takes it.
    ///
    /// # Errors
    /// The wait itself failed.
    #[inline(never)]
    pub fn step(&mut self) -> io::Result<()> {
        match self.next {
            NextTurn::Spin(due) => {
                while clock::now() < due {
                    std::hint::spin_loop();
                }
            }
            NextTurn::Sleep(due) => {
                let due = self.have_stand_by().or(due);
                self.ports.wait(due)?;
            }
        }
        self.next = self.turn.run(&mut self.ports);
        self.ports.write_leases(&self.turn);
        Ok(())
    }
}
