//! Places at tcx, taken while the kernel verifies the program that will have them.
//!
//! To attach a program, the kernel waits until no processor runs the former list of the interface, about 10 ms, and
//! other changes of interfaces wait with it. To exchange the program of a link it waits for nothing. So a program that
//! leaves every frame to the next one is attached first.

use std::collections::HashMap;
use std::sync::Arc;

use aya::programs::tc::{SchedClassifierLink, TcAttachOptions, TcAttachType};
use aya::programs::{LinkOrder, Program, ProgramError, SchedClassifier};

/// Interfaces by index, each with its place, which is given up on drop.
#[derive(Debug, Default)]
pub(super) struct Places {
    wanted: Vec<(u32, Arc<str>)>,
    taken: HashMap<u32, SchedClassifierLink>,
}

impl Places {
    /// Places on these interfaces.
    pub(super) fn on(wanted: Vec<(u32, Arc<str>)>) -> Self {
        Self { wanted, taken: HashMap::new() }
    }

    /// Takes what is wanted, with a program that does nothing. A refusal is met again when the program is attached.
    pub(super) fn take(&mut self, empty: Option<&mut Program>) {
        let Some(Program::SchedClassifier(program)) = empty else { return };
        if self.wanted.is_empty() || program.load().is_err() {
            return;
        }
        for (ifindex, interface) in std::mem::take(&mut self.wanted) {
            // The interface may be gone; before Linux 6.6 there are no places at all.
            if let Ok(link) = first(program, &interface) {
                self.taken.insert(ifindex, link);
            }
        }
    }

    /// The place on an interface, for another program.
    pub(super) fn give(&mut self, ifindex: u32) -> Option<SchedClassifierLink> {
        self.taken.remove(&ifindex)
    }
}

/// Attaches a program before all others, so that one which ends the chain does not hide the adverts.
pub(super) fn first(
    program: &mut SchedClassifier,
    interface: &str,
) -> Result<SchedClassifierLink, ProgramError> {
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(interface, TcAttachType::Ingress, order)?;
    program.take_link(id)
}
