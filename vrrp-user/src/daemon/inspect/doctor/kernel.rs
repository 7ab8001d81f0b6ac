//! The kernel, and what it permits this process.

use super::{Facts, Findings};
use crate::config::Config;

/// The oldest kernel that takes the program.
const OLDEST: (u32, u32) = (5, 10);
/// From here on, maps do not count against RLIMIT_MEMLOCK.
const UNCOUNTED: (u32, u32) = (5, 11);
/// tcx.
const TCX: (u32, u32) = (6, 6);
/// Frames of several buffers in XDP.
const FRAGS: (u32, u32) = (5, 18);

/// Room for the maps of some hundred instances.
const MAPS: u64 = 64 << 20;

const CAPABILITIES: &str = "run as root, or grant them (AmbientCapabilities= of systemd, setcap, --cap-add)";

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

pub(super) fn release(_: &Config, facts: &Facts, findings: &mut Findings) {
    let Some(version) = version(&facts.kernel) else {
        findings.skip("kernel: its version cannot be read");
        return;
    };
    let number = format!("kernel {}.{}", version.0, version.1);
    if let (true, Some(limit)) = (version < UNCOUNTED, facts.memory_limit.filter(|limit| *limit < MAPS)) {
        findings.warn(
            format!("{number}: BPF maps count against RLIMIT_MEMLOCK, {} KiB in this shell", limit >> 10),
            "LimitMEMLOCK=infinity in the unit, as the package's has it, or ulimit -l unlimited",
        );
    }
    match &facts.program {
        Some(why) if version < OLDEST => findings.warn(
            format!("{number} takes no BPF program: adverts are heard on sockets, without a fence"),
            format!("Linux 5.10 or later ({why})"),
        ),
        Some(why) => findings.warn(
            format!("{number}, and no BPF program: adverts are heard on sockets, without a fence"),
            why.clone(),
        ),
        None => {
            let has =
                |since, what: &str| format!("{} {what}", if version >= since { "has" } else { "lacks" });
            findings.ok(format!(
                "{number}: the BPF program loads; {}, {}",
                has(TCX, "tcx"),
                has(FRAGS, "XDP frags")
            ));
        }
    }
}

pub(super) fn capabilities(_: &Config, facts: &Facts, findings: &mut Findings) {
    match &facts.capabilities {
        None => findings.skip("capabilities: unknown"),
        Some(Err(why)) => {
            let missing = why.split(';').next().unwrap_or_default();
            findings.fail(format!("capabilities of this process: {missing}"), CAPABILITIES);
        }
        Some(Ok(missing)) if missing.is_empty() => findings.ok("capabilities: all that are used"),
        Some(Ok(missing)) => missing.iter().for_each(|line| findings.warn(line.clone(), CAPABILITIES)),
    }
}

pub(super) fn bpffs(_: &Config, facts: &Facts, findings: &mut Findings) {
    match &facts.bpffs {
        None => findings.ok("bpffs: a killed daemon's fence stays"),
        Some(_) => findings.warn(
            "no bpffs of the host: pins end with this mount namespace, so tc is used",
            "in a container, mount the host's: --volume /sys/fs/bpf:/sys/fs/bpf",
        ),
    }
}

pub(super) fn realtime(_: &Config, facts: &Facts, findings: &mut Findings) {
    if let Some(why) = &facts.realtime {
        let why = why.split(';').next().unwrap_or_default();
        findings.warn(
            format!("{why}: adverts are late under load"),
            "CAP_SYS_NICE, or LimitRTPRIO=50 in the unit; under cgroup real-time scheduling a cpu.rt_runtime_us above 0",
        );
    }
    if let Some(why) = &facts.memory {
        let why = why.split(&[':', ';'][..]).next().unwrap_or_default();
        findings.warn(
            format!("{why}: adverts are late when memory is short"),
            "CAP_IPC_LOCK, or LimitMEMLOCK=infinity in the unit",
        );
    }
    if findings.is_well() {
        findings.ok("real time: SCHED_FIFO 50 and locked memory are permitted");
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::judged;
    use super::*;

    fn facts(kernel: &str) -> Facts {
        Facts { kernel: kernel.to_owned(), ..Facts::default() }
    }

    #[test]
    fn what_a_kernel_lacks_is_named() {
        let of = |facts: &Facts| judged(release, &Config::default(), facts).join("\n");
        assert_eq!(
            of(&facts("6.1.0-56-amd64")),
            "ok kernel 6.1: the BPF program loads; lacks tcx, has XDP frags"
        );
        let old = Facts { program: Some("it needs Linux 5.10".to_owned()), ..facts("5.4.0") };
        assert!(of(&old).contains("adverts are heard on sockets, without a fence | Linux 5.10 or later"));
        let short = Facts { memory_limit: Some(64 << 10), ..facts("5.10.0") };
        let reported = "warn kernel 5.10: BPF maps count against RLIMIT_MEMLOCK, 64 KiB in this shell";
        assert!(of(&short).starts_with(reported));
        assert!(of(&Facts { memory_limit: Some(64 << 10), ..facts("5.15.0") }).starts_with("ok"));
    }

    #[test]
    fn a_missing_capability_is_a_failure_only_if_nothing_works_without_it() {
        let of = |reported| {
            let facts = Facts { capabilities: Some(reported), ..Facts::default() };
            judged(capabilities, &Config::default(), &facts).join("\n")
        };
        assert_eq!(of(Ok(vec![])), "ok capabilities: all that are used");
        assert!(
            of(Ok(vec!["no CAP_BPF: adverts arrive by socket".to_owned()])).starts_with("warn no CAP_BPF")
        );
        let missing = "missing CAP_NET_RAW (adverts cannot be sent); run as root";
        assert!(
            of(Err(missing.to_owned())).starts_with("FAIL capabilities of this process: missing CAP_NET_RAW")
        );
    }

    #[test]
    fn real_time_and_memory_are_distinguished() {
        let of = |realtime: Option<&str>, memory: Option<&str>| {
            let [realtime, memory] = [realtime, memory].map(|it| it.map(str::to_owned));
            judged(super::realtime, &Config::default(), &Facts { realtime, memory, ..Facts::default() })
        };
        assert_eq!(of(None, None), ["ok real time: SCHED_FIFO 50 and locked memory are permitted"]);
        assert_eq!(of(Some("no real-time class: EPERM; this needs"), None).len(), 1);
        let both =
            of(Some("no real-time class: EPERM; this needs"), Some("memory is not locked: this needs"));
        assert!(
            both[0].starts_with("warn no real-time class: EPERM: adverts are late under load"),
            "{both:?}"
        );
        assert!(both[1].starts_with("warn memory is not locked: adverts are late when memory"), "{both:?}");
    }
}
