//! Interface settings below `/proc/sys/net`, of the network namespace of the calling thread.

use std::fs;
use std::io;
use std::path::PathBuf;

use vrrp_ebpf::wire::Family;

use super::ownership;

/// Whether forwarding is on. False if unknown, or if the interface or the family does not exist.
pub fn forwards(family: Family, interface: &str) -> bool {
    read(family, interface, "forwarding").is_ok_and(|value| value != "0")
}

/// Whether IPv6 is turned off on an interface. False if that cannot be read.
pub fn is_v6_off(interface: &str) -> bool {
    read(Family::V6, interface, "disable_ipv6").is_ok_and(|value| value != "0")
}

/// The command that turns IPv6 on.
pub fn v6_on(interface: &str) -> String {
    format!("sysctl -w {}=0", named("ipv6", interface, "disable_ipv6"))
}

/// A setting of an interface as sysctl(8) takes it: a name may have dots.
pub fn named(family: &str, interface: &str, key: &str) -> String {
    ["net", family, "conf", interface, key].join(if interface.contains('.') { "/" } else { "." })
}

/// # Errors
/// ENOENT: the interface or the setting does not exist, or the kernel lacks the family.
pub fn read(family: Family, interface: &str, key: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(family, interface, key))?.trim().to_owned())
}

/// Does not write a value that is already set: in a container `/proc/sys` may be read-only.
///
/// # Errors
/// As [`read`]; EINVAL for a value that the kernel refuses, EROFS if `/proc/sys` is read-only.
pub fn write(family: Family, interface: &str, key: &str, value: &str) -> io::Result<()> {
    if read(family, interface, key)? == value {
        return Ok(());
    }
    fs::write(path(family, interface, key), value)
}

fn path(family: Family, interface: &str, key: &str) -> PathBuf {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    format!("/proc/sys/net/{family}/conf/{interface}/{key}").into()
}

/// A setting changed during the life of this value and restored on drop.
#[derive(Debug)]
pub struct ChangedSysctl {
    path: PathBuf,
    before: String,
    value: &'static str,
}

impl ChangedSysctl {
    /// `None` if the setting already has the value, unless `earlier` gives the value before a run that was killed.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn of_interface(
        family: Family,
        interface: &str,
        key: &str,
        value: &'static str,
        earlier: Option<String>,
    ) -> io::Result<Option<Self>> {
        Self::at(path(family, interface, key), value, earlier)
    }

    /// The same for a path below `/proc/sys/net`.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn of_host(key: &str, value: &'static str, earlier: Option<String>) -> io::Result<Option<Self>> {
        Self::at(PathBuf::from("/proc/sys/net").join(key), value, earlier)
    }

    pub fn before(&self) -> &str {
        &self.before
    }

    fn at(path: PathBuf, value: &'static str, earlier: Option<String>) -> io::Result<Option<Self>> {
        let now = fs::read_to_string(&path)?.trim().to_owned();
        if now == value {
            return Ok(earlier.map(|before| Self { path, before, value }));
        }
        fs::write(&path, value)?;
        Ok(Some(Self { path, before: now, value }))
    }
}

impl Drop for ChangedSysctl {
    fn drop(&mut self) {
        // Another process may have changed it since: its value stays. The settings of a removed interface are gone with
        // it.
        if ownership::is_ours() && fs::read_to_string(&self.path).is_ok_and(|now| now.trim() == self.value) {
            let _ = fs::write(&self.path, &self.before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_dot_is_one_word_for_sysctl() {
        assert_eq!(named("ipv4", "eth0", "rp_filter"), "net.ipv4.conf.eth0.rp_filter");
        assert_eq!(named("ipv4", "eth0.10", "rp_filter"), "net/ipv4/conf/eth0.10/rp_filter");
    }
}
