//! Part of the program that outlives the daemon: pins, and the succession of another daemon.
//!
//! Enters: a folder of pins, empty or another daemon's. Leaves: pinned maps and links, and what a guard has to remove.

use std::fs;
use std::path::PathBuf;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpLink;

use super::attach::Mode;
use super::entry::{Entry, xdp};
use super::link::Link;
use super::orphan::Claim;
use super::pin::{PinError, Pins};
use super::program::Program;
use crate::driver::RxPath;
use crate::driver::netlink::filter::Filter;

impl Program {
    /// Pins the maps now, and links when attached. No pins may exist yet; see [`Pins::clear`].
    ///
    /// # Errors
    /// A map could not be pinned; nothing is pinned then.
    pub fn pin(&mut self, pins: Pins) -> Result<(), PinError> {
        if let Err(error) = self.all.iter().try_for_each(|(name, map)| pins.pin_map(name, map)) {
            // The refusal is the error to report.
            let _ = pins.clear();
            return Err(error);
        }
        self.claim = Claim::on(pins.owner()).ok();
        self.pins = Some(pins);
        Ok(())
    }

    /// Replaces the program of another daemon that has handed over. If `mode` puts XDP first, takes its XDP links
    /// of `wanted` interfaces in one step each. Detaches its program from all others, and pins again what it had
    /// pinned. Returns the interfaces whose hook it has taken, with their paths, and the first failure to remove
    /// or pin something.
    pub fn follow(
        &mut self,
        pins: Pins,
        mode: Mode,
        wanted: impl Fn(u32) -> bool,
    ) -> (Vec<(u32, RxPath)>, Result<(), PinError>) {
        let mut taken = Vec::new();
        let outcome = self.succeed(pins, mode, wanted, &mut taken);
        (taken, outcome)
    }

    fn succeed(
        &mut self,
        pins: Pins,
        mode: Mode,
        wanted: impl Fn(u32) -> bool,
        taken: &mut Vec<(u32, RxPath)>,
    ) -> Result<(), PinError> {
        for (ifindex, path) in pins.links()?.into_iter().filter(|(ifindex, _)| wanted(*ifindex)) {
            let Some(rx_path) = self.ground(ifindex).xdp_first(mode) else { continue };
            // A tcx link runs beside ours, and is removed with the rest.
            let Ok(Ok(link)) = PinnedLink::from_pin(&path).map(|it| XdpLink::try_from(FdLink::from(it)))
            else {
                continue;
            };
            let Ok(loaded) = self.entries.ensure(&mut self.ebpf, Entry::Xdp) else { break };
            let replaced = xdp(&mut self.ebpf, loaded.name)
                .and_then(|program| program.attach_to_link(link).and_then(|id| program.take_link(id)));
            if let Ok(link) = replaced
                && fs::remove_file(&path).is_ok()
            {
                self.detach(ifindex);
                self.links.insert(ifindex, Link::Xdp(link));
                taken.push((ifindex, rx_path));
            }
        }
        pins.clear()?;
        self.pin(pins)?;
        let Self { pins: Some(pins), links, .. } = self else { return Ok(()) };
        let mut outcome = Ok(());
        for (ifindex, link) in std::mem::take(links) {
            match link.pin(ifindex, pins) {
                Ok(pinned) => drop(links.insert(ifindex, pinned)),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Whether it stays attached to the interface when the daemon is killed.
    pub fn outlives(&self, ifindex: u32) -> bool {
        self.links.get(&ifindex).is_some_and(Link::outlives)
    }

    /// Its tc filters, which stay until they are removed.
    pub fn filters(&self) -> Vec<Filter> {
        let filters = self.links.values().filter_map(|link| match link {
            Link::Filter(filter) => Some(*filter),
            Link::Xdp(_) | Link::Tcx(_) | Link::Pinned(_) => None,
        });
        let mut all: Vec<Filter> = filters.collect();
        all.sort_unstable();
        all
    }

    /// Whether pinned links outlive every process of the daemon.
    pub fn keeps_pins(&self) -> bool {
        self.keeps_pins
    }

    /// All pins, followed by their folders.
    pub fn pinned(&self) -> Vec<PathBuf> {
        let Some(pins) = &self.pins else { return Vec::new() };
        let links = self.links.values().filter_map(|link| match link {
            Link::Pinned(path) => Some(path.clone()),
            Link::Xdp(_) | Link::Tcx(_) | Link::Filter(_) => None,
        });
        let maps = self.all.iter().map(|(name, _)| pins.folder().join(name));
        let mut all: Vec<PathBuf> = links.collect();
        all.sort_unstable();
        all.into_iter().chain(maps).chain(pins.folder().ancestors().take(2).map(PathBuf::from)).collect()
    }

    /// Its pins, if any.
    pub fn pins(&self) -> Option<&Pins> {
        self.pins.as_ref()
    }
}
