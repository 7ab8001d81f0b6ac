//! Files that the daemon writes, makes or removes, and that have another purpose in the same configuration; and
//! addresses that are virtual and static.
//!
//! Enters: the drafts, and the names of the files that were read. Leaves: errors and warnings. Absent: the file system;
//! two paths are one file if they are written alike.

use std::path::{Path, PathBuf};

use super::check::CheckTarget;
use super::diagnostic::Report;
use super::schema::{Draft, Written};
use super::source::{At, Sources};

pub(super) fn check(draft: &Draft, sources: &Sources, report: &mut Report) {
    let read: Vec<PathBuf> =
        sources.names().iter().filter_map(|name| std::path::absolute(&**name).ok()).collect();
    let written = &draft.globals.written;
    for (index, Written { keyword, path: At { value: path, at } }) in written.iter().enumerate() {
        let is_it = |other: &Path| other == Path::new(&**path);
        if read.iter().any(|name| is_it(name)) {
            report
                .error(*at, format!("`{path}` is a file of this configuration: `{keyword}` would destroy it"))
                .help("give each its own path");
        }
        let tracked = draft.scripts.iter().find(|script| {
            let target = script.target.as_ref().map(|target| &target.value);
            matches!(target, Some(CheckTarget::File(file)) if is_it(&file.path))
        });
        if let Some(script) = tracked {
            let name = &script.name.value;
            report
                .error(
                    *at,
                    format!("`{path}` is the file that `{name}` tracks: `{keyword}` would overwrite it"),
                )
                .help("give each its own path");
        }
        let earlier = written.iter().take(index).find(|it| it.keyword != *keyword && it.path.value == *path);
        if let Some(earlier) = earlier {
            report
                .error(*at, format!("`{path}` is already the file of `{}`", earlier.keyword))
                .help("give each its own path");
        }
    }
    statics(draft, sources, report);
}

/// Addresses that a host would have in every state although they are virtual.
fn statics(draft: &Draft, sources: &Sources, report: &mut Report) {
    for instance in &draft.instances {
        for address in instance.addresses.iter().chain(&instance.excluded) {
            let At { value, at } = address.address;
            let other = draft.static_addresses.iter().find(|it| it.address.value == value);
            if let Some(other) = other {
                report
                    .warning(
                        at,
                        format!(
                            "{value} is in `static_ipaddress` too: this host has it in every state, beside the master"
                        ),
                    )
                    .help(format!("remove the one at {}", sources.place(other.address.at)));
            }
        }
    }
}
