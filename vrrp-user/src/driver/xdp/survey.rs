//! Survey of an interface: the receive path that a daemon would take, and the programs of others, with nothing
//! attached.
//!
//! Enters: an interface. Leaves: a [`Forecast`]. The program is loaded for it, so that the verifier has its say, and
//! unloaded again. Since Linux 6.3 the kernel reports whether a card's driver has native XDP; before, it shows only as
//! a program is attached.

use std::io;

use aya::programs::tc::TcAttachType;
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, loaded_programs};

use super::attach::{self, Ground, Mode};
use super::card::Card;
use super::entry::Entry;
use super::load_error::LoadError;
use super::netdev::DriverXdp;
use super::occupant;
use super::pin;
use super::program::Program;
use crate::driver::RxPath;
use crate::driver::netlink::filter;
use crate::driver::netlink::socket::RouteSocket;

/// Names of our programs, as the kernel keeps them: 15 bytes.
const OURS: [&str; 4] = ["vrrp_xdp", "vrrp_xdp_linear", "vrrp_tc", Entry::Tc.empty()];

/// The program as this kernel loads it.
#[derive(Debug)]
pub struct Survey {
    program: Result<Program, LoadError>,
    keeps_pins: bool,
    loaded: Vec<(u32, String)>,
}

/// The receive path that a daemon would take, as far as that shows without attaching.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Forecast {
    pub rx_path: RxPath,
    /// The path that follows if the driver of the card refuses native XDP.
    pub otherwise: Option<RxPath>,
    /// Reasons against better paths, a sentence each.
    pub skipped: Vec<String>,
    /// What the driver allows; `None` if the kernel does not report it.
    pub driver: Option<DriverXdp>,
    /// Programs of others on the interface.
    pub others: Vec<Other>,
}

/// A program on an interface that is not ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Other {
    /// `XDP`, `tcx` or `tc`.
    pub hook: &'static str,
    pub id: u32,
    /// As the kernel keeps it: 15 bytes.
    pub name: String,
}

impl Survey {
    /// Loads the program, if the kernel takes it.
    pub fn take() -> Self {
        let loaded = loaded_programs().filter_map(Result::ok).map(|it| (it.id(), name(&it))).collect();
        Self { program: Program::load(1), keeps_pins: pin::bpffs().is_ok(), loaded }
    }

    /// Why the kernel takes no program at all.
    pub fn refusal(&self) -> Option<String> {
        self.program.as_ref().err().map(ToString::to_string)
    }

    /// # Errors
    /// There is no such interface.
    pub fn of(&self, ifindex: u32, interface: &str, mode: Mode) -> io::Result<Forecast> {
        let card = Card::of(ifindex)?;
        let ground = Ground::of(&card, self.keeps_pins);
        let others = self.others(ifindex, interface);
        let tcx = SchedClassifier::query_tcx(interface, TcAttachType::Ingress).map(drop);
        // Where it is not known, the driver is tried.
        let driver = DriverXdp::of(ifindex).ok().flatten();
        Ok(self.forecast(&ground, interface, mode, (others, driver), tcx))
    }

    fn forecast(
        &self,
        ground: &Ground,
        interface: &str,
        mode: Mode,
        (others, driver): (Vec<Other>, Option<DriverXdp>),
        tcx: Result<(), ProgramError>,
    ) -> Forecast {
        let (paths, mut skipped) = ground.paths(mode, interface);
        let obstacle = |rx_path: RxPath| match (&self.program, rx_path) {
            (Err(error), _) => Some(error.to_string()),
            (Ok(program), _) if program.entries.get(attach::entry(rx_path)).is_err() => {
                let refused = program.entries.get(attach::entry(rx_path)).err();
                Some(format!(
                    "{}: {}",
                    rx_path.as_str(),
                    refused.map_or_else(String::new, ToString::to_string)
                ))
            }
            (Ok(_), RxPath::Native) if driver.is_some_and(|driver| !driver.is_native) => {
                Some(format!("native: the driver of {interface} has no native XDP"))
            }
            (Ok(_), RxPath::Native | RxPath::Generic) => {
                others.iter().find(|it| it.hook == "XDP").map(|it| {
                    format!(
                        "{}: another XDP program is attached ({}, id {})",
                        rx_path.as_str(),
                        it.name,
                        it.id
                    )
                })
            }
            (Ok(_), RxPath::Tcx) if tcx.is_err() => Some("tcx: the kernel has no tcx (Linux 6.6)".to_owned()),
            _ => None,
        };
        let mut usable = Vec::new();
        for rx_path in paths {
            match obstacle(rx_path) {
                None => usable.push(rx_path),
                // One reason for all paths.
                Some(_) if self.program.is_err() => {}
                Some(why) if usable.is_empty() => skipped.push(why),
                Some(_) => {}
            }
        }
        skipped.extend(self.refusal());
        let rx_path = usable.first().copied().unwrap_or(RxPath::Socket);
        let next = || usable.get(1).copied().unwrap_or(RxPath::Socket);
        let otherwise = (rx_path == RxPath::Native && mode == Mode::Auto).then(next);
        Forecast { rx_path, otherwise, skipped, driver, others }
    }

    /// Programs of others on the interface, as far as this process may see them.
    fn others(&self, ifindex: u32, interface: &str) -> Vec<Other> {
        let known =
            |id: u32| self.loaded.iter().find(|(other, _)| *other == id).map(|(_, name)| name.clone());
        let named = |hook, id| Other { hook, id, name: known(id).unwrap_or_default() };
        let mut found: Vec<Other> =
            occupant::xdp_program(ifindex).map(|id| named("XDP", id)).into_iter().collect();
        if let Ok((_, programs)) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress) {
            found.extend(programs.iter().map(|it| Other { hook: "tcx", id: it.id(), name: name(it) }));
        }
        let filters = RouteSocket::open().and_then(|mut socket| filter::programs(&mut socket, ifindex));
        found.extend(filters.unwrap_or_default().into_iter().map(|id| named("tc", id)));
        found.retain(|it| !OURS.contains(&it.name.as_str()));
        found
    }
}

fn name(program: &ProgramInfo) -> String {
    String::from_utf8_lossy(program.name()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey() -> Survey {
        Survey { program: Err(LoadError::NotBuilt), keeps_pins: true, loaded: Vec::new() }
    }

    #[test]
    fn without_a_program_the_socket_is_left_and_the_reason_is_reported_once() {
        let kind = Some("veth".to_owned());
        let ground = Ground { kind, has_ethernet: true, strips_tags: true, keeps_pins: true };
        let forecast = survey().forecast(&ground, "eth7", Mode::Auto, (Vec::new(), None), Ok(()));
        assert_eq!((forecast.rx_path, forecast.otherwise), (RxPath::Socket, None));
        assert_eq!(forecast.skipped.len(), 2, "{:?}", forecast.skipped);
        assert!(forecast.skipped[1].starts_with("no BPF program in this build"), "{:?}", forecast.skipped);
    }
}
