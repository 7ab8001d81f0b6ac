//! The program as a tc filter.
//!
//! For kernels without tcx, and for hosts where no pin outlives every process of the daemon.
//!
//! Enters: a program and an interface. Leaves: a filter at clsact ingress of the interface, which stays until it or its
//! interface is removed. Its name identifies its owner, so that a later daemon finds the filters of a killed one. Needs
//! CAP_NET_ADMIN, but no bpffs.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};

use super::socket::{Request, RouteSocket};

const KIND: &str = "bpf";
const CLSACT: &str = "clsact";
/// How the names of our filters begin.
pub const PREFIX: &str = "vrrpx:";
/// CLS_BPF_NAME_LEN of the kernel, with its NUL.
const NAME_MAX: usize = 256;
/// ETH_P_ALL of `linux/if_ether.h` in network byte order, as the kernel keeps it in `tcm_info`.
const ETH_P_ALL: u16 = 3_u16.to_be();
/// Tried in turn: all filters of one preference must be of one kind.
const PREFERENCES: std::ops::RangeInclusive<u16> = 1..=64;
/// Tried in turn; "vrrp" in ASCII. The kernel's own choice would be 1, which other programs name to replace their own
/// filter, and they would replace ours. A hot restart and each further daemon need another one.
const HANDLES: std::ops::Range<u32> = 0x7672_7270..0x7672_7280;
const INGRESS: TcHandle = TcHandle { major: u16::MAX, minor: TcHandle::MIN_INGRESS };

/// A filter added by a daemon with this name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Filter {
    pub ifindex: u32,
    handle: u32,
    /// Preference and protocol.
    info: u32,
    /// Id of its program.
    pub program: u32,
}

/// Owner of filters: one name for each runtime directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name(String);

impl Name {
    pub fn of(runtime_dir: &Path) -> Self {
        let bytes = runtime_dir.as_os_str().as_bytes();
        // The end of a path distinguishes more than its beginning.
        let room = NAME_MAX - 1 - PREFIX.len();
        let end = bytes.get(bytes.len().saturating_sub(room)..).unwrap_or_default();
        Self(format!("{PREFIX}{}", OsStr::from_bytes(end).to_string_lossy()))
    }

    /// The runtime directory, or the end of a long one.
    pub fn end(&self) -> &Path {
        Path::new(self.0.strip_prefix(PREFIX).unwrap_or_default())
    }
}

/// Adds the program before existing filters.
///
/// # Errors
/// The kernel's: ENOENT or EOPNOTSUPP if it was built without tc, EPERM without CAP_NET_ADMIN.
pub fn add(socket: &mut RouteSocket, ifindex: u32, program: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    match one(socket, RouteNetlinkMessage::NewQueueDiscipline(clsact(ifindex)), NLM_F_CREATE | NLM_F_EXCL) {
        // A qdisc of its kind exists already, and works too.
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
        other => other?,
    }
    let program = u32::try_from(program.as_raw_fd()).map_err(io::Error::other)?;
    let options = vec![
        TcOption::Bpf(TcFilterBpfOption::ProgFd(program)),
        TcOption::Bpf(TcFilterBpfOption::ProgName(name.0.clone())),
        TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
    ];
    let mut refused = io::Error::from_raw_os_error(libc::EBUSY);
    for preference in PREFERENCES {
        for handle in HANDLES {
            let mut message = filter(ifindex, info(preference));
            message.header.handle = handle.into();
            message.attributes.push(TcAttribute::Options(options.clone()));
            let Err(error) =
                one(socket, RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_CREATE | NLM_F_EXCL)
            else {
                return Ok(());
            };
            let errno = error.raw_os_error();
            refused = error;
            match errno {
                // The handle is in use.
                Some(libc::EEXIST) => {}
                // The preference is in use for filters of another kind or protocol.
                Some(libc::EINVAL | libc::ENOENT) => break,
                _ => return Err(refused),
            }
        }
    }
    Err(refused)
}

/// Filters of this name on one interface.
///
/// # Errors
/// Netlink's; ENODEV if the interface is gone.
pub fn find(socket: &mut RouteSocket, ifindex: u32, name: &Name) -> io::Result<Vec<Filter>> {
    let all = on_interface(socket, ifindex)?.into_iter();
    Ok(all.filter_map(|(found, filter)| (found == *name).then_some(filter)).collect())
}

fn on_interface(socket: &mut RouteSocket, ifindex: u32) -> io::Result<Vec<(Name, Filter)>> {
    let mut found = Vec::new();
    each(socket, ifindex, |message| found.extend(read(message)))?;
    Ok(found)
}

/// Ids of the programs of all BPF filters at ingress of one interface, ours among them.
///
/// # Errors
/// As [`find`].
pub fn programs(socket: &mut RouteSocket, ifindex: u32) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    each(socket, ifindex, |message| found.extend(options(message).and_then(program)))?;
    Ok(found)
}

/// Filters of others that get a frame before this one does, each by its place and kind, in their order.
///
/// # Errors
/// As [`find`].
pub fn before(socket: &mut RouteSocket, it: Filter) -> io::Result<Vec<Other>> {
    let (mut found, mut is_before) = (Vec::new(), true);
    each(socket, it.ifindex, |message| {
        is_before &= options(message).and_then(program) != Some(it.program);
        let place = (message.header.info, u32::from(message.header.handle));
        let kind = message.attributes.iter().find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(kind.clone()),
            _ => None,
        });
        // The kernel lists each preference itself too, without a handle.
        if is_before && place.1 != 0 && read(message).is_none() {
            found.push(Other { place, kind: kind.unwrap_or_default() });
        }
    })?;
    Ok(found)
}

/// A filter of another program: preference and protocol, handle; kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Other {
    place: (u32, u32),
    pub kind: String,
}

/// Has all filters at ingress of one interface, in the order in which they get a frame.
fn each(socket: &mut RouteSocket, ifindex: u32, mut see: impl FnMut(&TcMessage)) -> io::Result<()> {
    let asked = TcMessage::from_parts(head(ifindex, INGRESS), Vec::new());
    socket.dump(RouteNetlinkMessage::GetTrafficFilter(asked), |message| {
        if let RouteNetlinkMessage::NewTrafficFilter(message) = message {
            see(&message);
        }
    })
}

/// Filters of this name on all interfaces.
///
/// # Errors
/// Netlink's.
pub fn find_all(socket: &mut RouteSocket, name: &Name) -> io::Result<Vec<Filter>> {
    let all = find_of_every_daemon(socket)?.into_iter();
    Ok(all.filter_map(|(found, filter)| (found == *name).then_some(filter)).collect())
}

/// Filters of every daemon on all interfaces, each with its name.
///
/// # Errors
/// Netlink's.
pub fn find_of_every_daemon(socket: &mut RouteSocket) -> io::Result<Vec<(Name, Filter)>> {
    let mut indexes = Vec::new();
    let everywhere = TcMessage::with_index(0);
    socket.dump(RouteNetlinkMessage::GetQueueDiscipline(everywhere), |message| {
        if let RouteNetlinkMessage::NewQueueDiscipline(message) = message
            && message.header.parent == TcHandle::CLSACT
        {
            indexes.extend(u32::try_from(message.header.index));
        }
    })?;
    let mut found = Vec::new();
    for ifindex in indexes {
        match on_interface(socket, ifindex) {
            Ok(filters) => found.extend(filters),
            // The interface has been removed, and its filters with it.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Removes a filter; a missing one counts as removed, and so does one whose place another program has taken.
///
/// # Errors
/// The kernel's.
pub fn remove(socket: &mut RouteSocket, filter: Filter) -> io::Result<()> {
    if !is_there(socket, filter) {
        return Ok(());
    }
    let Request { message, flags } = removal(filter);
    match one(socket, message, flags) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT | libc::EINVAL)) => {
            Ok(())
        }
        other => other,
    }
}

/// The request that removes a filter.
pub fn removal(it: Filter) -> Request {
    let mut message = filter(it.ifindex, it.info);
    message.header.handle = it.handle.into();
    Request { message: RouteNetlinkMessage::DelTrafficFilter(message), flags: 0 }
}

/// Whether an encoded message is such a request.
pub fn is_removal(message: &[u8]) -> bool {
    message.get(4..6) == Some(&libc::RTM_DELTFILTER.to_ne_bytes())
}

/// Whether the filter is in its place with its own program; true if the kernel does not say.
pub fn is_there(socket: &mut RouteSocket, it: Filter) -> bool {
    let mut message = filter(it.ifindex, it.info);
    message.header.handle = it.handle.into();
    match socket.query(RouteNetlinkMessage::GetTrafficFilter(message), |bytes| TcMessage::parse(bytes).ok()) {
        Ok(message) => options(&message).and_then(program) == Some(it.program),
        // EINVAL: its clsact, or its preference, is gone.
        Err(error) => !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::EINVAL)),
    }
}

/// The filter, if it is a daemon's.
fn read(message: &TcMessage) -> Option<(Name, Filter)> {
    let options = options(message)?;
    let name = options.iter().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) if name.starts_with(PREFIX) => Some(name.clone()),
        _ => None,
    })?;
    let program = program(options)?;
    let ifindex = u32::try_from(message.header.index).ok()?;
    let filter = Filter { ifindex, handle: message.header.handle.into(), info: message.header.info, program };
    Some((Name(name), filter))
}

fn options(message: &TcMessage) -> Option<&[TcOption]> {
    message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options.as_slice()),
        _ => None,
    })
}

fn program(options: &[TcOption]) -> Option<u32> {
    options.iter().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
        _ => None,
    })
}

fn clsact(ifindex: u32) -> TcMessage {
    let mut message = TcMessage::from_parts(head(ifindex, TcHandle::CLSACT), Vec::new());
    message.header.handle = TcHandle { major: u16::MAX, minor: 0 };
    message.attributes.push(TcAttribute::Kind(CLSACT.to_owned()));
    message
}

fn filter(ifindex: u32, info: u32) -> TcMessage {
    let mut message = TcMessage::from_parts(head(ifindex, INGRESS), Vec::new());
    message.header.info = info;
    message.attributes.push(TcAttribute::Kind(KIND.to_owned()));
    message
}

fn head(ifindex: u32, parent: TcHandle) -> rtnetlink::packet_route::tc::TcHeader {
    let mut head = TcMessage::with_index(ifindex.cast_signed()).header;
    head.parent = parent;
    head
}

fn info(preference: u16) -> u32 {
    u32::from(preference) << 16 | u32::from(ETH_P_ALL)
}

fn one(socket: &mut RouteSocket, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut refused = None;
    socket.perform(vec![Request { message, flags }], |_, refusal| refused = Some(refusal.errno))?;
    refused.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_and_distinguishes_directories() {
        let long = |end: &str| format!("/{}/{end}", "x".repeat(400));
        let name = |path: &str| Name::of(Path::new(path));
        assert!(name(&long("a")).0.len() < NAME_MAX);
        assert_ne!(name(&long("a")), name(&long("b")));
        assert_eq!(name("/run/vrrpx").0, "vrrpx:/run/vrrpx");
    }

    #[test]
    fn only_filters_of_our_names_are_ours() {
        let mut message = filter(7, info(1));
        message.header.handle = 1.into();
        let with = |name: &str| {
            let options = vec![
                TcOption::Bpf(TcFilterBpfOption::ProgName(name.to_owned())),
                TcOption::Bpf(TcFilterBpfOption::ProgId(42)),
            ];
            let mut message = message.clone();
            message.attributes.push(TcAttribute::Options(options));
            read(&message)
        };
        let (name, found) = with("vrrpx:/run/vrrpx").unwrap();
        assert_eq!((name.end(), found.ifindex, found.program), (Path::new("/run/vrrpx"), 7, 42));
        assert_eq!(with("cilium:/run/vrrpx"), None);
        assert_eq!(read(&message), None);
    }
}
