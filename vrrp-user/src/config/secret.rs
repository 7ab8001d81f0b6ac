//! Keys that a configuration names by a file.
//!
//! Enters: drafts, when a file is loaded. Leaves: the same with the bytes of the keys. They are read with the
//! configuration, and again with every reload of it.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::diagnostic::Report;
use super::schema::{Draft, Secret, not_hex};
use super::source::Position;
use crate::protocol::auth::KEY_MAX;

/// `hex:`, the digits of the longest key, and ends of lines.
const FILE_MAX: usize = 4 + 2 * KEY_MAX + 8;

/// Reads the files, or tells that a text alone opens none.
pub(super) fn open(draft: &mut Draft, opens_files: bool, report: &mut Report) {
    let hmacs = draft.instances.iter_mut().filter_map(|instance| instance.hmac.as_mut());
    for key in hmacs.flat_map(|hmac| &mut hmac.value.keys) {
        let Some(Secret::File(path)) = &key.secret.value else { continue };
        let at = key.secret.at;
        key.secret.value = if opens_files {
            file(path, at, report)
        } else {
            report.error(at, "a configuration that is no file itself names no key file");
            None
        };
    }
}

fn file(path: &Path, at: Position, report: &mut Report) -> Option<Secret> {
    let name = path.display();
    let (text, mode) = match read(path) {
        Ok(found) => found,
        Err(error) => {
            report.error(at, format!("the key file `{name}` cannot be read: {error}"));
            return None;
        }
    };
    if mode & 0o077 != 0 {
        report
            .warning(at, format!("the key file `{name}` is open to its group or to everybody"))
            .help(format!("chmod 600 {name}"));
    }
    if text.len() > FILE_MAX {
        report.error(at, format!("the key file `{name}` is too long: a key has at most {KEY_MAX} bytes"));
        return None;
    }
    let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    let secret = Secret::decode(text.get(..end).unwrap_or_default());
    if secret.is_none() {
        not_hex(at, report);
    }
    secret
}

/// The beginning of a file, and its mode. Waits for nobody who would have to write it.
fn read(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::with_capacity(FILE_MAX + 1);
    file.take(FILE_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok((text, found.mode()))
}
