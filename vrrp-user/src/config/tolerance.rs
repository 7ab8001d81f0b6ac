//! What is wrong in a file and is left out, as keepalived does, instead of refusing the file.
//!
//! Enters: the name that the program runs under and the path of the file; and what an earlier reading has left out.
//! Leaves: whether one more line is left out. A reload leaves out what the start has left out, and refuses what is new.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

/// keepalived's own path: a file there was written for it.
pub const KEEPALIVED_CONF: &str = "/etc/keepalived/keepalived.conf";

/// Which wrong lines are left out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Tolerance {
    /// None: each is an error.
    #[default]
    Strict,
    /// Those of which keepalived says that it ignores them.
    AsKeepalived,
    /// Of these, those that were left out before, by a digest of what was said of them.
    Known(Arc<HashSet<u64>>),
}

impl Tolerance {
    /// Of a file that is read under keepalived's name, or lies at keepalived's own path.
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

/// Lines move with each edit of a file, so places are no part of it.
pub(super) fn digest(message: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.hash(&mut hasher);
    hasher.finish()
}
