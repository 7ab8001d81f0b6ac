//! The names and labels of the usual exporter for keepalived, so that its dashboards and alerts go on.
//!
//! Enters: the values that keepalived.json and keepalived.data have. Absent: its metrics without a counterpart here:
//! `keepalived_script_state`, whether a script runs at that moment.

use std::fmt;
use std::sync::Arc;

use super::exposition::Exposition;
use super::family::{Labels, counter, gauge};
use crate::config::{CheckTarget, VirtualAddress};
use crate::daemon::dump::{InstanceTally, Tally, check_status, tallies};
use crate::daemon::status::DaemonContext;

#[derive(Debug)]
pub(super) struct Exporter {
    pub(super) context: Arc<DaemonContext>,
}

type Total = fn(&Tally) -> u64;

const TOTALS: [(&str, &str, Total); 14] = [
    ("keepalived_advertisements_received", "Advertisements received", |it| it.advert_rcvd),
    ("keepalived_advertisements_sent", "Advertisements sent", |it| it.advert_sent),
    ("keepalived_become_master", "Became master", |it| it.become_master),
    ("keepalived_release_master", "Released master", |it| it.release_master),
    ("keepalived_packet_length_errors", "Packet length errors", |it| it.packet_len_err),
    ("keepalived_advertisements_interval_errors", "Advertisement interval errors", |it| {
        it.advert_interval_err
    }),
    ("keepalived_ip_ttl_errors", "TTL errors", |it| it.ip_ttl_err),
    ("keepalived_invalid_type_received", "Invalid type errors", |it| it.invalid_type_rcvd),
    ("keepalived_address_list_errors", "Address list errors", |it| it.addr_list_err),
    ("keepalived_authentication_invalid", "Authentication invalid", |it| it.invalid_authtype),
    ("keepalived_authentication_mismatch", "Authentication mismatch", |it| it.authtype_mismatch),
    ("keepalived_authentication_failure", "Authentication failure", |it| it.auth_failure),
    ("keepalived_priority_zero_received", "Priority zero received", |it| it.pri_zero_rcvd),
    ("keepalived_priority_zero_sent", "Priority zero sent", |it| it.pri_zero_sent),
];

impl Exporter {
    pub(super) fn encode(&self, out: &mut Exposition) -> fmt::Result {
        let tallies = tallies(&self.context);
        gauge(out, "keepalived_up", "Status", |row| row(&vec![], 1.0))?;
        self.states(out, "keepalived_vrrp_state", "State of vrrp", |it| &it.advertised)?;
        self.states(out, "keepalived_vrrp_excluded_state", "State of vrrp with excluded VIP", |it| {
            &it.excluded
        })?;
        let help = "Gratuitous ARP delay";
        counter(out, "keepalived_gratuitous_arp_delay", help, |row| {
            self.context.config.instances.iter().try_for_each(|it| {
                let vrid = it.settings.vrid.to_string();
                let labels = labels(&it.settings.name, it.settings.address_interface(), &vrid);
                row(&labels, it.settings.announce.delay.as_secs())
            })
        })?;
        for (name, help, total) in TOTALS {
            counter(out, name, help, |row| self.totals(&tallies, |labels, tally| row(labels, total(tally))))?;
        }
        self.scripts(out)
    }
}

impl Exporter {
    fn states(
        &self,
        out: &mut Exposition,
        name: &str,
        help: &str,
        addresses: fn(&crate::config::Addresses) -> &Vec<VirtualAddress>,
    ) -> fmt::Result {
        gauge(out, name, help, |row| {
            for (instance, live) in self.context.instances() {
                let settings = &instance.settings;
                let vrid = settings.vrid.to_string();
                for entry in addresses(&settings.addresses) {
                    let address = written(entry);
                    let mut labels = labels(&settings.name, settings.device_of(entry), &vrid);
                    labels.push(("ip_address", &address));
                    row(&labels, f64::from(live.state() as u8))?;
                }
            }
            Ok(())
        })
    }

    fn totals(
        &self,
        tallies: &[InstanceTally],
        mut row: impl FnMut(&Labels<'_>, &Tally) -> fmt::Result,
    ) -> fmt::Result {
        for (id, tally) in tallies {
            let Some(instance) = self.context.config.instance(*id) else { continue };
            let settings = &instance.settings;
            let vrid = settings.vrid.to_string();
            row(&labels(&settings.name, settings.address_interface(), &vrid), tally)?;
        }
        Ok(())
    }

    fn scripts(&self, out: &mut Exposition) -> fmt::Result {
        let history = self.context.history.read();
        gauge(out, "keepalived_script_status", "Tracker Script Status", |row| {
            // Files and processes have names of their own, which scripts may have too.
            let is_script =
                |target: &CheckTarget| !matches!(target, CheckTarget::File(_) | CheckTarget::Process(_));
            self.context.config.checks.iter().filter(|it| is_script(&it.target)).try_for_each(|check| {
                let is_good = check_status(check, &history) == "GOOD";
                row(&vec![("name", &*check.name)], f64::from(u8::from(is_good)))
            })
        })
    }
}

fn labels<'a>(name: &'a str, interface: &'a str, vrid: &'a str) -> Labels<'a> {
    vec![("iname", name), ("intf", interface), ("vrid", vrid)]
}

/// The first word of an address in keepalived.json.
fn written(entry: &VirtualAddress) -> String {
    let whole = if entry.address.is_ipv4() { 32 } else { 128 };
    let prefix = if entry.prefix == whole { String::new() } else { format!("/{}", entry.prefix) };
    format!("{}{prefix}", entry.address)
}
