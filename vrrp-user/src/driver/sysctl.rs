//! Settings of an interface below `/proc/sys/net`, of the network namespace that the calling thread is in.

use std::fs;
use std::io;
use std::path::PathBuf;

use vrrp_ebpf::wire::Family;

use super::ownership;

/// Whether the interface forwards. False where it is unknown, gone, or without the family.
pub fn forwards(family: Family, interface: &str) -> bool {
    read(family, interface, "forwarding").is_ok_and(|value| value != "0")
}

/// # Errors
/// ENOENT: the interface or the setting is not there, or the kernel lacks the family.
pub fn read(family: Family, interface: &str, key: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(family, interface, key))?.trim().to_owned())
}

/// Writes nothing where the value stands there already: containers may be given settings that they cannot write.
///
/// # Errors
/// As [`read`]; EINVAL for a value that the kernel does not take, EROFS where `/proc/sys` may not be written.
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

/// A setting that is changed for as long as this lives, and set back then.
#[derive(Debug)]
pub struct Changed {
    path: PathBuf,
    before: String,
    value: &'static str,
}

impl Changed {
    /// `None` where the setting is so already, and `earlier` does not know it otherwise: the value before a run that
    /// was killed.
    ///
    /// # Errors
    /// As [`write`].
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
    /// As [`write`].
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

impl Drop for Changed {
    fn drop(&mut self) {
        // Who has changed it since wants it so. An interface that is gone took its settings along.
        if ownership::is_ours() && fs::read_to_string(&self.path).is_ok_and(|now| now.trim() == self.value) {
            let _ = fs::write(&self.path, &self.before);
        }
    }
}
