//! Users and groups of this host.
//!
//! By the C library, which asks what `/etc/nsswitch.conf` names. A statically linked program cannot load the modules of
//! another C library safely: it reads `/etc/passwd` and `/etc/group` alone.

use std::ffi::CString;
use std::fs;
use std::io;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// A user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    pub name: String,
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self { name: user.name, uid: user.uid, gid: user.gid }
    }
}

/// # Errors
/// Users cannot be looked up.
pub fn user_named(name: &str) -> Result<Option<Account>, Errno> {
    if is_static() {
        return Ok(users(&read(PASSWD)?).find(|user| user.name == name));
    }
    Ok(User::from_name(name)?.map(Account::from))
}

/// # Errors
/// Users cannot be looked up.
pub fn user(uid: Uid) -> Result<Option<Account>, Errno> {
    if is_static() {
        return Ok(users(&read(PASSWD)?).find(|user| user.uid == uid));
    }
    Ok(User::from_uid(uid)?.map(Account::from))
}

/// # Errors
/// Groups cannot be looked up.
pub fn group_named(name: &str) -> Result<Option<Gid>, Errno> {
    if is_static() {
        return Ok(groups(&read(GROUP)?).find(|group| group.name == name).map(|group| group.gid));
    }
    Ok(Group::from_name(name)?.map(|group| group.gid))
}

/// All groups of a user, its primary one first.
///
/// # Errors
/// Groups cannot be looked up.
pub fn groups_of(name: &str, primary: Gid) -> Result<Vec<Gid>, Errno> {
    if is_static() {
        let text = read(GROUP)?;
        let mut all = vec![primary];
        all.extend(
            groups(&text).filter(|group| group.has(name) && group.gid != primary).map(|group| group.gid),
        );
        return Ok(all);
    }
    getgrouplist(&CString::new(name).map_err(|_| Errno::EINVAL)?, primary)
}

/// Whether no dynamic loader has started this program: the kernel then knows no place of one.
fn is_static() -> bool {
    // SAFETY: it only reads the vector that the kernel has passed to the process.
    unsafe { libc::getauxval(libc::AT_BASE) == 0 }
}

fn read(path: &str) -> Result<String, Errno> {
    match fs::read(path) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
    }
}

/// The lines of passwd(5); others are left out.
fn users(text: &str) -> impl Iterator<Item = Account> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Account { name, uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) })
    })
}

struct Named<'a> {
    name: &'a str,
    gid: Gid,
    members: &'a str,
}

impl Named<'_> {
    fn has(&self, user: &str) -> bool {
        self.members.split(',').any(|member| member.trim() == user)
    }
}

/// The lines of group(5); others are left out.
fn groups(text: &str) -> impl Iterator<Item = Named<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Named { name, gid: Gid::from_raw(gid), members: fields.next().unwrap_or_default() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_users_and_groups() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n# no user\n+::::::\nbad:x:y:0::/:\nalice:x:1000:100::/:/bin/sh";
        let found: Vec<_> =
            users(passwd).map(|user| (user.name, user.uid.as_raw(), user.gid.as_raw())).collect();
        assert_eq!(found, [("root".to_owned(), 0, 0), ("alice".to_owned(), 1000, 100)]);
        let text = "root:x:0:\nvrrp:x:7:alice,bob\n\nbroken\nwheel:x:10:bob, alice\n";
        let of = |user| groups(text).filter(|it| it.has(user)).map(|it| it.gid.as_raw()).collect::<Vec<_>>();
        assert_eq!((of("alice"), of("ali")), (vec![7, 10], vec![]));
        assert_eq!(groups(text).map(|it| it.name).collect::<Vec<_>>(), ["root", "vrrp", "wheel"]);
    }

    /// The C library finds the same entries as the files have.
    #[test]
    fn both_ways_find_the_same() {
        assert!(!is_static(), "tests are linked dynamically");
        for account in users(&read(PASSWD).unwrap()) {
            assert_eq!(user_named(&account.name).unwrap().as_ref(), Some(&account));
        }
        for group in groups(&read(GROUP).unwrap()) {
            assert_eq!(group_named(group.name).unwrap(), Some(group.gid));
        }
        assert_eq!(user_named("no-such-user").unwrap(), None);
    }
}
