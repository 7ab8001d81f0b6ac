//! The loader of the object, which does not read the kernel's types.
//!
//! The program has no relocations against them. To parse them takes longer than the rest of a start, and 40 MB.

use std::fmt;
use std::io;
use std::thread;

use aya::EbpfLoader;

/// System calls by which the C libraries open files.
#[cfg(target_arch = "x86_64")]
const OPEN: [libc::c_long; 2] = [libc::SYS_openat, libc::SYS_open];
#[cfg(not(target_arch = "x86_64"))]
const OPEN: [libc::c_long; 2] = [libc::SYS_openat, libc::SYS_openat2];

/// A loader without the kernel's types, which knows what the kernel can do.
pub struct Loader(EbpfLoader<'static>);

impl Loader {
    /// aya reads the kernel's types when it makes a loader, whether they are wanted or not, and goes on without them if
    /// it cannot: so the loader is made on a thread that can open no file. Takes about a millisecond.
    pub fn new() -> Self {
        let made = thread::Builder::new().spawn(|| {
            // If the kernel refuses, the types are read.
            let _ = open_no_files();
            EbpfLoader::new()
        });
        // Some twenty questions to the kernel, of which aya keeps the answers.
        let _ = aya::features();
        let made = made.ok().and_then(|thread| thread.join().ok());
        let mut loader = made.unwrap_or_default();
        loader.btf(None);
        Self(loader)
    }

    pub(super) fn into_inner(self) -> EbpfLoader<'static> {
        self.0
    }
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").finish_non_exhaustive()
    }
}

/// Has every attempt of the calling thread to open a file fail (seccomp(2)); other threads are not affected.
fn open_no_files() -> io::Result<()> {
    let step = |code: u32, jt, jf, k| {
        let code = u16::try_from(code).unwrap_or_default();
        libc::sock_filter { code, jt, jf, k }
    };
    let is = |call: libc::c_long, jt, jf| {
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, u32::try_from(call).unwrap_or(u32::MAX))
    };
    let [first, second] = OPEN;
    let mut filter = [
        // The number of the call is the first field of what the filter reads.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        is(first, 1, 0),
        is(second, 0, 1),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EACCES.cast_unsigned()),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: 5, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the filter, which lives across the call.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_the_thread_that_asks_for_it_opens_no_files() {
        let refused =
            thread::spawn(|| open_no_files().map(|()| File::open("/dev/null").is_err())).join().unwrap();
        assert!(refused.unwrap());
        assert!(File::open("/dev/null").is_ok());
    }
}
