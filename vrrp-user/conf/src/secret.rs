//! Key files named by a configuration.
//!
//! Enters: drafts, when a file is loaded. Leaves: the same with the bytes of the keys. They are read with the
//! configuration, and again with every reload.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::diagnostic::Report;
use super::file::{self, FileError};
use super::schema::{Draft, Secret, not_hex};
use super::source::{Position, Sources};
use vrrp_proto::auth::KEY_MAX;

/// `hex:`, the digits of the longest key, and ends of lines.
const FILE_MAX: u64 = 4 + 2 * KEY_MAX as u64 + 8;

/// Reads the files; an error if the configuration is a text alone, which opens none.
pub(super) fn open(draft: &mut Draft, opens_files: bool, sources: &Sources, report: &mut Report) {
    let hmacs = draft.instances.iter_mut().filter_map(|instance| instance.hmac.as_mut());
    for key in hmacs.flat_map(|hmac| &mut hmac.value.keys) {
        let Some(Secret::File(path)) = &key.secret.value else { continue };
        let at = key.secret.at;
        key.secret.value = if opens_files {
            sources
                .waits_for(|| format!("the key file `{}` (named by {})", path.display(), sources.place(at)));
            read(path, at, report)
        } else {
            report.error(at, "a configuration that is not a file cannot name a key file");
            None
        };
    }
}

fn read(path: &Path, at: Position, report: &mut Report) -> Option<Secret> {
    let name = path.display();
    let (text, metadata) = match file::read(path, FILE_MAX) {
        Ok(found) => found,
        Err(FileError::TooLong(_)) => {
            report.error(at, format!("the key file `{name}` is too long: a key has at most {KEY_MAX} bytes"));
            return None;
        }
        Err(error) => {
            report
                .error(at, format!("the key file `{name}` cannot be read: {error}"))
                .help_maybe(error.help());
            return None;
        }
    };
    if metadata.mode() & 0o077 != 0 {
        report
            .warning(at, format!("the key file `{name}` is accessible to its group or to others"))
            .help(format!("chmod 600 {name}"));
    }
    let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    let secret = Secret::decode(text.get(..end).unwrap_or_default());
    if secret.is_none() {
        not_hex(at, report);
    }
    secret
}
