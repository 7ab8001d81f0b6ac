//! Notice of changes in this network namespace, for readers that need not read it each time.
//!
//! Enters: the kernel's notifications. Leaves: yes or no. Absent: what has changed.

use std::io;

use super::socket::RouteSocket;

#[derive(Debug)]
pub struct Changes(RouteSocket);

impl Changes {
    /// Of links and their addresses.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn of_addresses() -> io::Result<Self> {
        Self::of(&[libc::RTMGRP_LINK, libc::RTMGRP_IPV4_IFADDR, libc::RTMGRP_IPV6_IFADDR])
    }

    /// Of tc: queueing disciplines and filters.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn of_filters() -> io::Result<Self> {
        Self::of(&[libc::RTMGRP_TC])
    }

    fn of(groups: &[libc::c_int]) -> io::Result<Self> {
        let groups = groups.iter().fold(0, |groups, group| groups | group.unsigned_abs());
        RouteSocket::subscribe(groups).map(Self)
    }

    /// Whether anything has changed since the last call. In doubt, as after lost notifications, it has.
    pub fn take(&mut self) -> bool {
        let mut has_changed = false;
        loop {
            match self.0.receive(|_, _| ()) {
                Ok(true) => has_changed = true,
                Ok(false) => return has_changed,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => has_changed = true,
                Err(_) => return true,
            }
        }
    }
}
