//! Users and groups that commands run as.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid};
use thiserror::Error;

use super::accounts;
use crate::config::ScriptUser;

/// Runs scripts without a configured user, if it exists; as in keepalived.
const DEFAULT_USER: &str = "keepalived_script";

/// User and groups of a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    pub uid: Uid,
    pub gid: Gid,
    pub name: Arc<str>,
    /// Supplementary groups.
    pub groups: Vec<Gid>,
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum IdentityError {
    #[error("there is no user `{0}`")]
    User(Arc<str>),
    #[error("there is no group `{0}`")]
    Group(Arc<str>),
    #[error("cannot look up `{0}`: {1}")]
    Lookup(Arc<str>, Errno),
}

impl Identity {
    pub fn is_root(&self) -> bool {
        self.uid.is_root()
    }

    /// Whether the default user for scripts exists.
    pub fn has_default() -> bool {
        Self::of(&ScriptUser { name: DEFAULT_USER.into(), group: None }).is_ok()
    }

    /// Decided by the file mode alone.
    pub(super) fn may_run(&self, file: &Metadata) -> bool {
        let groups = || std::iter::once(&self.gid).chain(&self.groups);
        let bits = if self.is_root() {
            0o111
        } else if file.uid() == self.uid.as_raw() {
            0o100
        } else if groups().any(|group| group.as_raw() == file.gid()) {
            0o010
        } else {
            0o001
        };
        file.mode() & bits != 0
    }

    /// The user of the script itself, else of the whole configuration, else `keepalived_script` if that exists, else
    /// the daemon's.
    pub fn resolve(own: Option<&ScriptUser>, global: Option<&ScriptUser>) -> Result<Self, IdentityError> {
        if let Some(user) = own.or(global) {
            return Self::of(user);
        }
        let default = ScriptUser { name: DEFAULT_USER.into(), group: None };
        Ok(Self::of(&default).unwrap_or_else(|_| Self::daemon()))
    }

    /// Adds all groups of the user if `all`.
    ///
    /// # Errors
    /// The groups cannot be looked up.
    pub fn with_groups(mut self, all: bool) -> Result<Self, IdentityError> {
        if all {
            let failed = |errno| IdentityError::Lookup(Arc::clone(&self.name), errno);
            self.groups = accounts::groups_of(&self.name, self.gid).map_err(failed)?;
        }
        Ok(self)
    }

    pub fn daemon() -> Self {
        let uid = Uid::effective();
        let name = if uid.is_root() { "root".into() } else { uid.to_string().into() };
        Self { uid, gid: Gid::effective(), name, groups: Vec::new() }
    }

    fn of(user: &ScriptUser) -> Result<Self, IdentityError> {
        let found = accounts::user_named(&user.name)
            .map_err(|errno| IdentityError::Lookup(Arc::clone(&user.name), errno))?
            .ok_or_else(|| IdentityError::User(Arc::clone(&user.name)))?;
        let gid = match &user.group {
            None => found.gid,
            Some(group) => accounts::group_named(group)
                .map_err(|errno| IdentityError::Lookup(Arc::clone(group), errno))?
                .ok_or_else(|| IdentityError::Group(Arc::clone(group)))?,
        };
        Ok(Self { uid: found.uid, gid, name: Arc::clone(&user.name), groups: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_looked_up_by_name() {
        let user =
            |name: &str, group: Option<&str>| ScriptUser { name: name.into(), group: group.map(Into::into) };
        let nobody = Identity::resolve(Some(&user("nobody", None)), Some(&user("root", None))).unwrap();
        assert!(!nobody.is_root() && nobody.gid.as_raw() != 0);
        let mixed = Identity::resolve(None, Some(&user("nobody", Some("root")))).unwrap();
        assert!(!mixed.is_root() && mixed.gid.as_raw() == 0);
        let unknown = Identity::resolve(Some(&user("no such user", None)), None).unwrap_err();
        assert_eq!(unknown.to_string(), "there is no user `no such user`");
    }
}
