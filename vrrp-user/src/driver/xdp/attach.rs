//! Choice of the receive path of an interface, with the reasons against better ones.

use std::fmt;
use std::io;

use aya::programs::ProgramError;
use aya::programs::tc::TcError;
use aya::programs::xdp::{XdpError, XdpMode};
use nix::errno::Errno;

use super::card::Card;
use super::entry::Entry;
use super::occupant;
use crate::driver::RxPath;

/// The configured mode.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// The best path that the interface supports without harm.
    #[default]
    Auto,
    Native,
    Tcx,
    Tc,
    Generic,
}

/// Properties of an interface that determine the choice of its path.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Ground {
    /// The kind of a software device: `veth`, `bridge`, `vlan`. `None` for a network card.
    pub(super) kind: Option<String>,
    /// Frames begin with an Ethernet header.
    pub(super) has_ethernet: bool,
    /// VLAN tags may be stripped from frames before XDP.
    pub(super) strips_tags: bool,
    /// Pinned links outlive every process of the daemon.
    pub(super) keeps_pins: bool,
}

const BOND: &str = "bond";

impl Ground {
    pub(super) fn of(card: &Card, keeps_pins: bool) -> Self {
        let loopback = card.loopback.then(|| "loopback".to_owned());
        let kind = card.kind.clone().or(loopback);
        Self { kind, has_ethernet: card.ethernet, strips_tags: card.strips_tags, keeps_pins }
    }

    /// The paths to try, best first, and the reasons against better ones.
    pub(super) fn paths(&self, mode: Mode, interface: &str) -> (Vec<RxPath>, Vec<String>) {
        if !self.has_ethernet {
            let why = "its frames have no Ethernet header, with which the program begins to read";
            return (Vec::new(), vec![format!("no program on {interface}: {why}")]);
        }
        match mode {
            Mode::Auto => self.automatic(interface),
            Mode::Native if self.kind.as_deref() == Some(BOND) => {
                let why =
                    format!("native: XDP of {interface}, a bond, runs in its slaves and under their indexes");
                (vec![RxPath::Tcx, RxPath::Tc], vec![why])
            }
            Mode::Native => (vec![RxPath::Native], self.blind(RxPath::Native)),
            Mode::Tcx => (vec![RxPath::Tcx], Vec::new()),
            Mode::Tc => (vec![RxPath::Tc], Vec::new()),
            Mode::Generic => (vec![RxPath::Generic], self.blind(RxPath::Generic)),
        }
    }

    /// XDP is for network cards that keep tags in frames. On veth native XDP cuts bulk TCP to less than half; tcx costs
    /// nothing measurable. A tc filter outlives the daemon without a pin.
    fn automatic(&self, interface: &str) -> (Vec<RxPath>, Vec<String>) {
        let (mut paths, mut why) = (Vec::new(), Vec::new());
        match &self.kind {
            Some(kind) => why.push(format!("native: slows down bulk traffic of {interface}, a software device ({kind})")),
            None if self.strips_tags => why.push(
                "native: the card strips VLAN tags from frames (rx-vlan-offload), so that XDP cannot see which VLAN \
                 an advert belongs to"
                    .to_owned(),
            ),
            None => paths.push(RxPath::Native),
        }
        paths.extend([RxPath::Tcx, RxPath::Tc]);
        if !self.strips_tags {
            paths.push(RxPath::Generic);
        }
        if !self.keeps_pins {
            why.push("pins do not outlive the daemon here, but a tc filter does".to_owned());
            paths.retain(|rx_path| *rx_path != RxPath::Tc);
            paths.insert(0, RxPath::Tc);
        }
        (paths, why)
    }

    /// The XDP path that `mode` puts first, if any.
    pub(super) fn xdp_first(&self, mode: Mode) -> Option<RxPath> {
        let first = self.paths(mode, "").0.first().copied();
        first.filter(|rx_path| matches!(rx_path, RxPath::Native | RxPath::Generic))
    }

    /// The warning for an XDP mode configured explicitly.
    fn blind(&self, rx_path: RxPath) -> Vec<String> {
        let why = || {
            format!(
                "{}: VLAN tags are stripped before XDP, so that adverts of a VLAN with the same VRID count here; \
                 tcx and tc see the tag",
                rx_path.as_str()
            )
        };
        self.strips_tags.then(why).into_iter().collect()
    }
}

/// The program entry of a path.
pub(super) const fn entry(rx_path: RxPath) -> Entry {
    match rx_path {
        RxPath::Tcx | RxPath::Tc => Entry::Tc,
        _ => Entry::Xdp,
    }
}

/// The current path of an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attached {
    pub rx_path: RxPath,
    /// Reasons against each better path, and limits of this one; a sentence each.
    pub skipped: Vec<String>,
}

/// No path is left; the caller continues with a socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttachError {
    pub interface: String,
    /// Reason against each path, a sentence each.
    pub refusals: Vec<String>,
    /// Whether a hook that another program has is among the reasons.
    pub is_busy: bool,
}

impl std::error::Error for AttachError {}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: no program attached: {}", self.interface, self.refusals.join("; "))
    }
}

/// Why a path is not available.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// The kernel refused to load the program of this path.
    NotLoaded(String),
    /// The kernel refused to attach it.
    Refused(Errno),
}

impl From<ProgramError> for Obstacle {
    fn from(error: ProgramError) -> Self {
        let raw = match error {
            ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
            ProgramError::NetlinkError(error)
            | ProgramError::XdpError(XdpError::NetlinkError(error))
            | ProgramError::TcError(TcError::NetlinkError(error)) => error.raw_os_error(),
            _ => None,
        };
        Self::Refused(raw.map_or(Errno::EIO, Errno::from_raw))
    }
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        Self::Refused(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

/// A path that is not available.
#[derive(Debug)]
struct NotAttached {
    rx_path: RxPath,
    obstacle: Obstacle,
    /// The program on the XDP hook of the interface, if any.
    occupant: Option<u32>,
}

impl fmt::Display for NotAttached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rx_path = self.rx_path;
        write!(f, "{}: ", rx_path.as_str())?;
        let errno = match &self.obstacle {
            Obstacle::NotLoaded(why) => return f.write_str(why),
            Obstacle::Refused(errno) => *errno,
        };
        match errno {
            Errno::EBUSY | Errno::EEXIST => match self.occupant {
                Some(id) => write!(f, "another XDP program is attached (id {id})")?,
                None => f.write_str(
                    "an upper or lower interface has an XDP program, and this kernel allows no second one here \
                     (before Linux 6.6 put instances on the lower interface, or use tc)",
                )?,
            },
            Errno::EOPNOTSUPP if rx_path == RxPath::Native => f.write_str("the driver has no native XDP")?,
            Errno::ERANGE => f.write_str("the MTU is larger than the driver supports with XDP")?,
            Errno::EPERM | Errno::EACCES => f.write_str("not permitted; CAP_NET_ADMIN and CAP_BPF are needed")?,
            Errno::ENODEV => f.write_str("the interface is gone")?,
            Errno::EINVAL if rx_path == RxPath::Tcx => f.write_str("the kernel has no tcx (Linux 6.6)")?,
            Errno::ENOENT | Errno::EOPNOTSUPP if rx_path == RxPath::Tc => {
                f.write_str("the kernel has no tc filters (CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF)")?;
            }
            other => f.write_str(other.desc())?,
        }
        write!(f, " ({errno:?})")
    }
}

/// Tries the paths of `mode` in order with `take`.
///
/// # Errors
/// Every path was refused.
pub(super) fn climb(
    ifindex: u32,
    interface: &str,
    mode: Mode,
    ground: &Ground,
    mut take: impl FnMut(RxPath) -> Result<(), Obstacle>,
) -> Result<Attached, AttachError> {
    let (paths, mut skipped) = ground.paths(mode, interface);
    let mut is_busy = false;
    for rx_path in paths {
        match take(rx_path) {
            Ok(()) => return Ok(Attached { rx_path, skipped }),
            Err(obstacle) => {
                let busy = matches!(obstacle, Obstacle::Refused(Errno::EBUSY | Errno::EEXIST));
                is_busy |= busy;
                let occupant = if busy { occupant::xdp_program(ifindex) } else { None };
                skipped.push(NotAttached { rx_path, obstacle, occupant }.to_string());
            }
        }
    }
    Err(AttachError { interface: interface.to_owned(), refusals: skipped, is_busy })
}

pub(super) const fn xdp_mode(rx_path: RxPath) -> XdpMode {
    match rx_path {
        RxPath::Generic => XdpMode::Skb,
        _ => XdpMode::Driver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: Errno) -> Result<(), Obstacle> {
        Err(Obstacle::Refused(errno))
    }

    fn card(strips_tags: bool) -> Ground {
        Ground { kind: None, has_ethernet: true, strips_tags, keeps_pins: true }
    }

    fn software(kind: &str) -> Ground {
        Ground { kind: Some(kind.to_owned()), has_ethernet: true, strips_tags: true, keeps_pins: true }
    }

    fn automatic(ground: &Ground) -> Vec<RxPath> {
        ground.paths(Mode::Auto, "eth7").0
    }

    #[test]
    fn xdp_is_for_cards_that_leave_tags_in_place() {
        assert_eq!(automatic(&card(false)), [RxPath::Native, RxPath::Tcx, RxPath::Tc, RxPath::Generic]);
        assert_eq!(automatic(&card(true)), [RxPath::Tcx, RxPath::Tc]);
        assert_eq!(automatic(&software("veth")), [RxPath::Tcx, RxPath::Tc]);
    }

    #[test]
    fn without_pins_a_filter_of_tc_comes_first() {
        let ground = Ground { keeps_pins: false, ..card(false) };
        assert_eq!(automatic(&ground), [RxPath::Tc, RxPath::Native, RxPath::Tcx, RxPath::Generic]);
    }

    #[test]
    fn xdp_by_name_says_what_it_does_not_see() {
        let (paths, why) = software("veth").paths(Mode::Generic, "eth7");
        assert_eq!(paths, [RxPath::Generic]);
        assert!(why[0].starts_with("generic: VLAN tags are stripped before XDP"), "{why:?}");
        assert_eq!(card(false).paths(Mode::Native, "eth7"), (vec![RxPath::Native], vec![]));
    }

    #[test]
    fn a_program_reads_ethernet_alone() {
        let tunnel = Ground { has_ethernet: false, ..software("wireguard") };
        for mode in [Mode::Auto, Mode::Native, Mode::Tcx, Mode::Tc, Mode::Generic] {
            let (paths, why) = tunnel.paths(mode, "wg0");
            assert_eq!(paths, [], "{mode:?}");
            assert!(why[0].starts_with("no program on wg0: its frames have no Ethernet"), "{why:?}");
        }
        let refused = climb(u32::MAX, "wg0", Mode::Auto, &tunnel, |_| Ok(())).unwrap_err();
        assert_eq!(refused.refusals.len(), 1);
    }

    #[test]
    fn native_on_a_bond_is_tc() {
        let (paths, why) = software(BOND).paths(Mode::Native, "bond0");
        assert_eq!(paths, [RxPath::Tcx, RxPath::Tc]);
        assert!(why[0].contains("runs in its slaves"), "{why:?}");
    }

    #[test]
    fn the_first_path_that_takes_it_wins_and_names_the_others() {
        let tried = climb(u32::MAX, "eth7", Mode::Auto, &software("veth"), |rx_path| {
            if rx_path == RxPath::Tc { Ok(()) } else { refused(Errno::EINVAL) }
        });
        let attached = tried.unwrap();
        assert_eq!(attached.rx_path, RxPath::Tc);
        assert_eq!(
            attached.skipped,
            [
                "native: slows down bulk traffic of eth7, a software device (veth)",
                "tcx: the kernel has no tcx (Linux 6.6) (EINVAL)"
            ]
        );
    }

    #[test]
    fn an_entry_that_was_refused_takes_its_own_path_only() {
        let attached = climb(u32::MAX, "eth7", Mode::Auto, &card(false), |rx_path| match entry(rx_path) {
            Entry::Xdp => Err(Obstacle::NotLoaded("the verifier of this kernel refuses it".to_owned())),
            Entry::Tc => Ok(()),
        });
        let attached = attached.unwrap();
        assert_eq!(attached.rx_path, RxPath::Tcx);
        assert_eq!(attached.skipped, ["native: the verifier of this kernel refuses it"]);
    }

    #[test]
    fn every_refusal_is_in_the_message() {
        let error =
            climb(u32::MAX, "eth7", Mode::Native, &card(false), |_| refused(Errno::ERANGE)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "eth7: no program attached: native: the MTU is larger than the driver supports with XDP (ERANGE)"
        );
    }

    #[test]
    fn a_hook_of_another_program_differs_from_other_refusals() {
        let is_busy = |errno| {
            let tried = climb(u32::MAX, "eth7", Mode::Generic, &card(false), |_| refused(errno));
            tried.unwrap_err().is_busy
        };
        assert_eq!([Errno::EBUSY, Errno::EEXIST, Errno::ERANGE].map(is_busy), [true, true, false]);
    }

    #[test]
    fn a_hook_without_an_occupant_names_none() {
        let refusal = NotAttached {
            rx_path: RxPath::Generic,
            obstacle: Obstacle::Refused(Errno::EEXIST),
            occupant: None,
        };
        assert!(refusal.to_string().contains("an upper or lower interface has an XDP program"), "{refusal}");
    }
}
