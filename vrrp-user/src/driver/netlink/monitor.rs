//! Monitoring of links and addresses.
//!
//! Enters: the kernel's notifications. Leaves: a current [`Table`]. If notifications are lost to a full buffer,
//! everything is read again; the table is never stale.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::socket::RouteSocket;
use super::table::{Removed, Stir, Table};

const GROUPS: [libc::c_int; 3] = [libc::RTMGRP_LINK, libc::RTMGRP_IPV4_IFADDR, libc::RTMGRP_IPV6_IFADDR];

#[derive(Debug)]
pub struct Monitor {
    requests: RouteSocket,
    changes: AsyncFd<RouteSocket>,
    table: Table,
}

impl Monitor {
    /// Reads links and addresses of the network namespace of the calling thread. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// No file descriptor is left, or reading failed.
    pub fn open() -> io::Result<Self> {
        let groups = GROUPS.iter().fold(0, |groups, group| groups | group.unsigned_abs());
        // Subscribed before reading, so that no change falls between the two.
        let changes = RouteSocket::subscribe(groups)?;
        // SAFETY: the socket owns its descriptor and keeps it for life.
        let changes = unsafe { AsyncFd::register_with_interest(changes, Interest::READABLE)? };
        let mut requests = RouteSocket::open()?;
        let table = read(&mut requests)?;
        Ok(Self { requests, changes, table })
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    pub fn take_removed(&mut self) -> Removed {
        self.table.take_removed()
    }

    pub fn take_stirred(&mut self) -> BTreeMap<String, Stir> {
        self.table.take_stirred()
    }

    pub fn take_setters(&mut self) -> BTreeSet<u32> {
        self.table.take_setters()
    }

    /// Waits for the next change, and processes all that have arrived by then.
    ///
    /// # Errors
    /// Reading failed.
    pub async fn changed(&mut self) -> io::Result<()> {
        let mut changed = false;
        while !changed {
            let mut ready = self.changes.readable_mut().await?;
            let taken = take(ready.get_inner_mut(), &mut self.requests, &mut self.table);
            ready.clear_ready();
            changed = taken?;
        }
        Ok(())
    }

    /// Processes all changes that have arrived.
    ///
    /// # Errors
    /// Reading failed.
    pub fn catch_up(&mut self) -> io::Result<()> {
        take(self.changes.get_mut(), &mut self.requests, &mut self.table).map(|_| ())
    }
}

/// Returns whether anything arrived.
fn take(changes: &mut RouteSocket, requests: &mut RouteSocket, table: &mut Table) -> io::Result<bool> {
    let (mut changed, mut overrun) = (false, false);
    loop {
        match changes.receive(|message, port| table.apply_from(&message, port)) {
            Ok(true) => changed = true,
            Ok(false) => break,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => overrun = true,
            Err(error) => return Err(error),
        }
    }
    if overrun {
        tracing::warn!("netlink notifications were lost; reading all links and addresses again");
        let before = std::mem::replace(table, read(requests)?);
        table.replace(&before);
    }
    Ok(changed || overrun)
}

fn read(requests: &mut RouteSocket) -> io::Result<Table> {
    let mut table = Table::default();
    requests.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| table.apply(&message))?;
    requests
        .dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message| table.apply(&message))?;
    Ok(table)
}
