//! Inputs of other threads: those for the router go to the turn, those for descriptors stay here.

use vrrp_ebpf::time::Timestamp;

use super::ports::{DRAIN_MAX, KernelPorts, TOKEN_LISTENER};
use crate::daemon::queue::{Command, Input};
use crate::protocol::Turn;

impl KernelPorts {
    pub(super) fn drain_inputs(&mut self, turn: &mut Turn, now: Timestamp) {
        self.inputs.acknowledge();
        for _ in 0..DRAIN_MAX {
            let Some(input) = self.inputs.pop() else { return };
            self.take_or_keep(turn, input, now);
        }
        self.inputs.wake();
    }

    /// Keeps an input for later while this engine pauses.
    pub(super) fn take_or_keep(&mut self, turn: &mut Turn, input: Input, now: Timestamp) {
        if turn.is_paused() && !matches!(input, Input::GoOn | Input::Leave) {
            self.kept.push(input);
        } else {
            self.take_input(turn, input, now);
        }
    }

    fn take_input(&mut self, turn: &mut Turn, input: Input, now: Timestamp) {
        match input {
            Input::Interface { instance, ifindex } => self.set_interface(instance, ifindex),
            Input::Sender { instance, ifindex } => self.set_sender(instance, ifindex),
            Input::Listen { ifindex, listener } => {
                if self.wait.add(&*listener, TOKEN_LISTENER).is_ok() {
                    self.listeners.push((ifindex, *listener));
                    self.pace.mind_new_queue();
                }
            }
            Input::Attachment { ifindex, attachment } => {
                self.attachments.retain(|(known, _)| *known != ifindex);
                self.attachments.extend(attachment.map(|attachment| (ifindex, attachment)));
            }
            Input::Unlisten(gone) => {
                for (_, listener) in self.listeners.extract_if(.., |(ifindex, _)| *ifindex == gone) {
                    // The main thread keeps a descriptor of it for a while.
                    let _ = self.wait.remove(&listener);
                }
            }
            Input::Event(event) => {
                turn.take_event(self, &event, now);
                self.show_affected(turn.router(), &event);
            }
            Input::Reconfigure(changes) => {
                turn.reconfigure(self, *changes, now);
                self.show_all(turn.router());
            }
            Input::Pause(leases, answer) => {
                // The requester has gone: no daemon replaces this one.
                if answer.send(self.pause(turn, leases, now)).is_err() {
                    self.go_on(turn, now);
                }
            }
            Input::GoOn => self.go_on(turn, now),
            Input::Note(done) => self.commands.push(Command::Note(done)),
            Input::Leave => self.leave(turn),
            Input::Restore(snapshot, leases, answer) => {
                self.restore(turn, *snapshot, leases, now);
                self.show_all(turn.router());
                // The requester may have gone.
                let _ = answer.send(());
            }
        }
    }
}
