//! Configuration files that every daemon of the tests reads.
//!
//! Enters: instances, one setting at a time. Leaves: the text of a file, and the times that follow from it
//! (RFC 9568 §6.1).

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::Duration;

use crate::lab::{INTERFACE, VIRTUAL_V4, VIRTUAL_V6};

/// One of many virtual addresses, by its number from 0 on: all are in 10.77.128.0/17.
pub fn many(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 77, 128 + high, low)
}

/// A configuration file.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Lines of `global_defs`.
    pub globals: Vec<String>,
    /// Blocks before the instances, such as `vrrp_script`.
    pub blocks: String,
    pub instances: Vec<Instance>,
}

impl Config {
    /// With one instance.
    pub fn of(instance: Instance) -> Self {
        Self { instances: vec![instance], ..Self::default() }
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "global_defs {{\n    router_id lab")?;
        for line in &self.globals {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "}}\n{}", self.blocks)?;
        self.instances.iter().try_for_each(|instance| instance.fmt(f))
    }
}

/// A `vrrp_instance`.
#[derive(Clone, Debug)]
pub struct Instance {
    name: String,
    interface: &'static str,
    pub(super) version: u8,
    pub(super) vrid: u8,
    pub(super) priority: u8,
    pub(super) interval: Duration,
    state: &'static str,
    pub(super) addresses: Vec<String>,
    lines: Vec<String>,
}

impl Instance {
    /// Version 3 over IPv4, VRID 51, adverts each 100 ms, one virtual address.
    pub fn v3(priority: u8) -> Self {
        Self {
            name: "VI_1".to_owned(),
            interface: INTERFACE,
            version: 3,
            vrid: 51,
            priority,
            interval: Duration::from_millis(100),
            state: "BACKUP",
            addresses: vec![format!("{VIRTUAL_V4}/24")],
            lines: Vec::new(),
        }
    }

    /// Version 3 over IPv6, with a link-local address first.
    pub fn v6(priority: u8) -> Self {
        let addresses = vec!["fe80::200/64".to_owned(), format!("{VIRTUAL_V6}/64")];
        Self { addresses, ..Self::v3(priority) }
    }

    /// Version 2, whose intervals are whole seconds.
    pub fn v2(priority: u8) -> Self {
        Self { version: 2, interval: Duration::from_secs(1), ..Self::v3(priority) }
    }

    /// `state MASTER`, which matters only to address owners.
    #[must_use]
    pub fn master(mut self) -> Self {
        self.state = "MASTER";
        self
    }

    #[must_use]
    pub fn interval(mut self, millis: u64) -> Self {
        self.interval = Duration::from_millis(millis);
        self
    }

    #[must_use]
    pub fn vrid(mut self, vrid: u8) -> Self {
        self.vrid = vrid;
        self.name = format!("VI_{vrid}");
        self
    }

    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    #[must_use]
    pub fn addresses(mut self, addresses: &[&str]) -> Self {
        self.addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        self
    }

    /// This many addresses, see [`many`]; 20 are in the adverts, the others are excluded.
    #[must_use]
    pub fn many_addresses(self, count: u16) -> Self {
        const ADVERTISED: u16 = 20;
        let texts = |numbers: Range<u16>| numbers.map(|it| format!("{}/32", many(it))).collect::<Vec<_>>();
        let instance = Self { addresses: texts(0..count.min(ADVERTISED)), ..self };
        if count <= ADVERTISED {
            return instance;
        }
        let excluded = texts(ADVERTISED..count).join("\n        ");
        instance.line(&format!("virtual_ipaddress_excluded {{\n        {excluded}\n    }}"))
    }

    /// On an interface other than the lab's.
    #[must_use]
    pub fn on(mut self, interface: &'static str) -> Self {
        self.interface = interface;
        self
    }

    /// Authentication with a password, of version 2.
    #[must_use]
    pub fn pass(self, password: &str) -> Self {
        self.line(&format!("authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}"))
    }

    /// Authentication by an IPsec header (AH), of version 2.
    #[must_use]
    pub fn ah(self, password: &str) -> Self {
        self.line(&format!("authentication {{\n        auth_type AH\n        auth_pass {password}\n    }}"))
    }

    /// Signed adverts, with these lines in the block.
    #[must_use]
    pub fn hmac(self, lines: &[&str]) -> Self {
        self.line(&format!("auth_hmac {{\n        {}\n    }}", lines.join("\n        ")))
    }

    /// Sends to `peer` alone instead of to the group.
    #[must_use]
    pub fn unicast(self, own: &str, peer: &str) -> Self {
        self.line(&format!("unicast_src_ip {own}\n    unicast_peer {{\n        {peer}\n    }}"))
    }

    /// Another line, or block, as it stands in the file.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Master_Down_Interval of a backup of this priority: three intervals and the skew (RFC 9568 §6.1; in version 2 a
    /// part of one second).
    pub fn master_down_interval(&self) -> Duration {
        let base = if self.version == 2 { Duration::from_secs(1) } else { self.interval };
        3 * self.interval + self.skew_of(base)
    }

    /// Skew_Time, the wait of a backup after a master's priority 0.
    pub fn skew(&self) -> Duration {
        let base = if self.version == 2 { Duration::from_secs(1) } else { self.interval };
        self.skew_of(base)
    }

    pub fn advert_interval(&self) -> Duration {
        self.interval
    }

    pub(super) fn is_ipv6(&self) -> bool {
        self.virtual_addresses().first().is_some_and(IpAddr::is_ipv6)
    }

    fn skew_of(&self, base: Duration) -> Duration {
        base * (256 - u32::from(self.priority)) / 256
    }

    /// Virtual addresses without prefix lengths and options.
    pub fn virtual_addresses(&self) -> Vec<IpAddr> {
        self.addresses.iter().filter_map(|text| text.split(['/', ' ']).next()?.parse().ok()).collect()
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, interface, version, vrid, priority, state, .. } = self;
        writeln!(f, "vrrp_instance {name} {{\n    state {state}\n    interface {interface}")?;
        writeln!(f, "    version {version}\n    virtual_router_id {vrid}\n    priority {priority}")?;
        writeln!(f, "    advert_int {}", self.interval.as_secs_f64())?;
        for line in &self.lines {
            writeln!(f, "    {line}")?;
        }
        let mut block = String::new();
        for address in &self.addresses {
            writeln!(block, "        {address}")?;
        }
        writeln!(f, "    virtual_ipaddress {{\n{block}    }}\n}}")
    }
}
