//! Tolerance of wrong lines: left out as keepalived does, instead of refusing the file.
//!
//! Enters: the name the program runs under, the path of the file, and the lines left out by an earlier reading.
//! Leaves: whether a line is left out. A reload leaves out the lines that the start left out, and refuses new ones.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

/// keepalived's own path: a file there was written for it.
pub const KEEPALIVED_CONF: &str = "/etc/keepalived/keepalived.conf";

/// Wrong lines to leave out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Tolerance {
    /// None: each is an error.
    #[default]
    Strict,
    /// Those that keepalived reports as ignored.
    AsKeepalived,
    /// Of these, the ones that were left out before, by digest of their message.
    Known(Arc<HashSet<u64>>),
}

impl Tolerance {
    /// `AsKeepalived` if the program runs under keepalived's name or the file is at keepalived's own path.
    pub fn of(path: &Path, as_keepalived: bool) -> Self {
        if as_keepalived || path == Path::new(KEEPALIVED_CONF) { Self::AsKeepalived } else { Self::Strict }
    }

    pub(super) fn leaves_out(&self, message: &str) -> bool {
        match self {
            Self::Strict => false,
            Self::AsKeepalived => true,
            Self::Known(known) => known.contains(&digest(message)),
        }
    }
}

/// Without positions, as each edit of a file moves its lines.
pub(super) fn digest(message: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.hash(&mut hasher);
    hasher.finish()
}
