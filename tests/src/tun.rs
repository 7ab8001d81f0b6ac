//! Devices of tun(4): what the test writes arrives at the interface, and what the host sends can be read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use anyhow::{Result, ensure};

/// `struct ifreq` with flags.
#[derive(Debug)]
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: i16,
    rest: [u8; 22],
}

/// A device of tun(4) in the namespace of the calling thread, as long as the file is open.
pub fn device(name: &str, flags: i32) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut request =
        Request { name: [0; libc::IFNAMSIZ], flags: i16::try_from(flags | libc::IFF_NO_PI)?, rest: [0; 22] };
    for (place, byte) in request.name.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    // SAFETY: the request lives across the call and has the size of an ifreq.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    ensure!(result == 0, "TUNSETIFF: {}", io::Error::last_os_error());
    Ok(file)
}
