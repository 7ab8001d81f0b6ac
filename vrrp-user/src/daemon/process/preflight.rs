//! Preflight checks: capabilities, and scripts that are safe to run.

use std::sync::Arc;
use std::{fmt, fs};

use thiserror::Error;

use crate::config::{
    CheckSettings, CheckTarget, Config, Globals, NotifyCommand, NotifySettings, ScriptCommand, ScriptUser,
    words,
};
use crate::driver::process::Identity;
use crate::driver::security;
use crate::protocol::{TrackSettings, TrackedObject};

/// A capability that the daemon uses, with its number (`linux/capability.h`) and what its absence costs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capability {
    pub name: &'static str,
    bit: u32,
    cost: &'static str,
    needed: bool,
}

const CAPABILITIES: [Capability; 9] = [
    needed("CAP_NET_ADMIN", 12, "addresses cannot be set"),
    needed("CAP_NET_RAW", 13, "adverts and announcements cannot be sent"),
    wanted("CAP_BPF", 39, "no program is loaded; adverts arrive by socket"),
    wanted("CAP_PERFMON", 38, "no program is loaded; adverts arrive by socket"),
    wanted("CAP_SYS_NICE", 23, "no real-time scheduling; adverts are late under load"),
    wanted("CAP_IPC_LOCK", 14, "memory is not locked; adverts are late when memory is short"),
    wanted("CAP_SETUID", 7, "scripts cannot run as other users"),
    wanted("CAP_SETGID", 6, "scripts cannot run as other users"),
    wanted("CAP_KILL", 5, "scripts of other users cannot be ended at their time limit"),
];

const CAP_SYS_ADMIN: u32 = 21;

const fn needed(name: &'static str, bit: u32, cost: &'static str) -> Capability {
    Capability { name, bit, cost, needed: true }
}

const fn wanted(name: &'static str, bit: u32, cost: &'static str) -> Capability {
    Capability { name, bit, cost, needed: false }
}

#[derive(Debug, Error)]
#[error("missing {missing}; run as root, or grant them (AmbientCapabilities= of systemd, setcap, --cap-add)")]
pub struct MissingCapabilities {
    missing: String,
}

/// Checks the capabilities of this process. Returns one line per missing capability that is not essential.
///
/// # Errors
/// Without `CAP_NET_ADMIN` or `CAP_NET_RAW` the daemon cannot work.
pub fn capabilities() -> Result<Vec<String>, MissingCapabilities> {
    // Without /proc nothing is known; a missing capability then fails when it is used.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective(&status).map_or_else(|| Ok(Vec::new()), judge)
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn judge(effective: u64) -> Result<Vec<String>, MissingCapabilities> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    // CAP_SYS_ADMIN includes what CAP_BPF and CAP_PERFMON were split from (Linux 5.8).
    let split = |bit| matches!(bit, 38 | 39) && has(CAP_SYS_ADMIN);
    let missing = || CAPABILITIES.iter().filter(|capability| !has(capability.bit) && !split(capability.bit));
    let needed: Vec<String> = missing()
        .filter(|capability| capability.needed)
        .map(|capability| format!("{} ({})", capability.name, capability.cost))
        .collect();
    if !needed.is_empty() {
        return Err(MissingCapabilities { missing: needed.join(", ") });
    }
    Ok(missing().map(|capability| format!("no {}: {}", capability.name, capability.cost)).collect())
}

/// A script that was removed from a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disabled {
    /// Such as `vrrp_script web`, or `notify of VI_1`.
    pub script: String,
    pub why: String,
}

/// A finding about scripts; displayed as a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    Disabled(Disabled),
    /// These run as root, and no user is configured.
    AsRoot(Vec<String>),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled(Disabled { script, why }) => write!(f, "{script} is disabled: {why}"),
            Self::AsRoot(scripts) => {
                let scripts = scripts.join(", ");
                write!(f, "run as root because no user is given (script_user in global_defs): {scripts}")
            }
        }
    }
}

/// The disabled scripts among the findings.
pub fn disabled(notices: &[Notice]) -> Vec<Disabled> {
    let disabled = notices.iter().filter_map(|notice| match notice {
        Notice::Disabled(disabled) => Some(disabled.clone()),
        Notice::AsRoot(_) => None,
    });
    disabled.collect()
}

/// Removes scripts that cannot be run safely from a configuration, as keepalived does, and returns a finding for each.
/// A check that is removed counts nowhere, as if it were not tracked.
///
/// A script is removed if it or its user does not exist, or if this user may not run it; and, with
/// `enable_script_security`, if it runs as root and others may change it, or if it has no user.
pub fn scripts(config: &mut Config) -> Vec<Notice> {
    let mut notices = Vec::new();
    let globals = config.globals.clone();
    let mut as_root = Vec::new();
    let mut verdict = |what: String, command: &ScriptCommand, user: Option<&ScriptUser>| match trusted(
        command, user, &globals,
    ) {
        Ok(identity) => {
            if identity.is_root() && user.is_none() && globals.script_user.is_none() {
                as_root.push(what);
            }
            true
        }
        Err(problem) => {
            notices.push(Notice::Disabled(Disabled { script: what, why: problem }));
            false
        }
    };
    config.checks.retain(|script| {
        let CheckTarget::Command(command) = &script.target else { return true };
        verdict(format!("vrrp_script {}", script.name), command, script.user.as_ref())
    });
    let process = &mut config.globals.process;
    for (what, lifecycle_script) in
        [("startup_script", &mut process.startup), ("shutdown_script", &mut process.shutdown)]
    {
        lifecycle_script.take_if(|lifecycle_script| {
            let NotifyCommand { command, user } = &lifecycle_script.command;
            !verdict(what.to_owned(), command, user.as_ref())
        });
    }
    for fifo in &mut config.globals.fifos {
        let what = format!("the script of the FIFO {}", fifo.path);
        fifo.script.take_if(|hook| !verdict(what, &hook.command, hook.user.as_ref()));
    }
    for instance in &mut config.instances {
        hooks(&instance.settings.name, &mut instance.notify, &mut verdict);
        let kept = &config.checks;
        let is_kept = |track: &TrackSettings| {
            !matches!(track.object, TrackedObject::Script(_))
                || kept.iter().any(|script| script.id == track.id)
        };
        if !instance.settings.tracks.iter().all(is_kept) {
            Arc::make_mut(&mut instance.settings).tracks.retain(is_kept);
        }
    }
    for group in &mut config.groups {
        hooks(&group.settings.name, &mut group.notify, &mut verdict);
    }
    if !as_root.is_empty() {
        notices.push(Notice::AsRoot(as_root));
    }
    notices
}

/// Findings of keepalived's configuration test about its scripts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ScriptFindings {
    /// One each.
    pub lines: Vec<String>,
    /// There are scripts, and `enable_script_security` is not written.
    pub unguarded: bool,
}

pub fn script_findings(config: &Config) -> ScriptFindings {
    let mut checked = config.clone();
    let mut lines: Vec<String> = scripts(&mut checked).iter().map(ToString::to_string).collect();
    if config.globals.script_security {
        if checked == *config {
            // They run as root, but no other user can change them.
            lines.clear();
        }
        return ScriptFindings { lines, unguarded: false };
    }
    let mut hooked = config.instances.iter().map(|instance| &*instance.notify);
    let mut grouped = config.groups.iter().map(|group| &*group.notify);
    let is_script = |check: &CheckSettings| matches!(check.target, CheckTarget::Command(_));
    let any = config.checks.iter().any(is_script)
        || hooked.any(NotifySettings::has_hooks)
        || grouped.any(NotifySettings::has_hooks)
        || config.globals.fifos.iter().any(|fifo| fifo.script.is_some())
        || config.globals.process.startup.is_some()
        || config.globals.process.shutdown.is_some();
    if !any {
        return ScriptFindings::default();
    }
    lines.push("scripts are configured without enable_script_security in global_defs".to_owned());
    ScriptFindings { lines, unguarded: true }
}

/// Removes the hooks of one instance or group that do not pass.
fn hooks(
    name: &str,
    notify: &mut Arc<NotifySettings>,
    verdict: &mut impl FnMut(String, &ScriptCommand, Option<&ScriptUser>) -> bool,
) {
    let mut passed = NotifySettings::clone(notify);
    for (keyword, hook) in passed.hooks() {
        hook.take_if(|it| !verdict(format!("{keyword} of {name}"), &it.command, it.user.as_ref()));
    }
    // Other instances may share them.
    if passed != **notify {
        *notify = Arc::new(passed);
    }
}

fn trusted(
    command: &ScriptCommand,
    user: Option<&ScriptUser>,
    globals: &Globals,
) -> Result<Identity, String> {
    let has_user = user.or(globals.script_user.as_ref()).is_some();
    if globals.script_security && !has_user && !Identity::has_default() {
        return Err("enable_script_security needs a user for it: there is neither `script_user` in global_defs nor a \
                    user keepalived_script on this host"
            .to_owned());
    }
    let identity = Identity::resolve(user, globals.script_user.as_ref())
        .and_then(|identity| identity.with_groups(globals.process.supplementary_groups))
        .map_err(words)?;
    security::is_runnable(command, &identity).map_err(words)?;
    if globals.script_security && identity.is_root() {
        security::check(command)
            .map_err(|error| words(format_args!("it runs as root and is not secure: {error}")))?;
    }
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = (1 << 41) - 1;

    #[test]
    fn reads_the_effective_set() {
        assert_eq!(effective("Name:\tx\nCapPrm:\t01\nCapEff:\t000001ffffffffff\n"), Some(ALL));
        assert_eq!(effective("Name:\tx\n"), None);
    }

    #[test]
    fn names_what_is_missing_and_what_it_costs() {
        assert!(judge(ALL).unwrap().is_empty());
        let error = judge(ALL & !(1 << 12)).unwrap_err().to_string();
        assert!(error.starts_with("missing CAP_NET_ADMIN (addresses cannot be set); run as root"), "{error}");
        let lines = judge(ALL & !(1 << 23)).unwrap();
        assert_eq!(lines, ["no CAP_SYS_NICE: no real-time scheduling; adverts are late under load"]);
        assert!(judge(ALL & !(1 << 39)).unwrap().is_empty(), "CAP_SYS_ADMIN includes CAP_BPF");
        assert_eq!(judge(ALL & !(1 << 39) & !(1 << 21)).unwrap().len(), 1);
    }
}
