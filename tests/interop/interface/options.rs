//! Options that end at once: the check of a file, signal numbers, the version.

use std::fs;

use anyhow::{Context, Result, ensure};
use vrrp_tests::lab::Lab;
use vrrp_tests::needs;
use vrrp_tests::process::Directory;

use super::{BOTH, Program, signum};

const SOUND: &str = "global_defs {
    script_user root
    enable_script_security
}
vrrp_script chk {
    script /bin/true
}
vrrp_instance VI_1 {
    interface lan0
    virtual_router_id 51
    priority 100
    track_script {
        chk
    }
    virtual_ipaddress {
        10.77.0.200/24
    }
}
";

/// Exit code of keepalived; its manual gives one less.
const ERRORS: i32 = 5;
const INSECURE: i32 = 6;

#[test]
#[needs("lab", "keepalived")]
fn the_check_of_a_file_ends_as_keepalived_s_does() -> Result<()> {
    let lab = Lab::new(1)?;
    let namespace = &lab.nodes.first().context("no node")?.namespace;
    let folder = Directory::private()?;
    let with = |from: &str, to: &str| SOUND.replacen(from, to, 1);
    for (text, expected, what) in [
        (SOUND.to_owned(), 0, "sound"),
        (String::new(), 0, "empty"),
        (with("priority", "prioriy"), ERRORS, "unknown keyword"),
        (with("router_id 51", "router_id 300"), ERRORS, "out of range"),
        (with("    priority 100\n", "    weird {\n        x\n    }\n"), ERRORS, "unknown block"),
        (SOUND.trim_end().trim_end_matches('}').to_owned(), ERRORS, "brace missing"),
        (with("    interface lan0\n", ""), ERRORS, "interface missing"),
        (with("/bin/true", "/nonexistent/script"), ERRORS, "script missing"),
        (with("    script_user root\n", ""), ERRORS, "no user of scripts"),
        (with("global_defs", "include /nonexistent/*.conf\nglobal_defs"), 0, "nothing to include"),
        (with("    enable_script_security\n", ""), INSECURE, "security not enabled"),
    ] {
        let file = folder.path().join("checked.conf");
        fs::write(&file, &text)?;
        let [ours, theirs] = BOTH.map(|program| -> Result<_> {
            let output = program.command(Some(namespace))?.args(["-t", "-f"]).arg(&file).output()?;
            let reported = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            Ok((output.status.code().context("a signal")?, reported))
        });
        let ((ours, reported), (theirs, _)) = (ours?, theirs?);
        ensure!(ours == expected, "{what}: ours ends with {ours}: {reported}");
        ensure!(theirs == expected, "{what}: keepalived ends with {theirs}");
    }
    Ok(())
}

#[test]
#[needs("lab", "keepalived")]
fn findings_go_to_the_log_file() -> Result<()> {
    let folder = Directory::private()?;
    let (file, found) = (folder.path().join("checked.conf"), folder.path().join("found"));
    fs::write(&file, "global_defs {\n    bogus\n}\n")?;
    for program in BOTH {
        let attached = format!("--config-test={}", found.display());
        let output = program.command(None)?.arg(attached).arg("-f").arg(&file).output()?;
        ensure!(output.stderr.is_empty() && output.stdout.is_empty(), "{program:?} prints: {output:?}");
        let text = fs::read_to_string(&found)?;
        ensure!(text.contains("bogus"), "{program:?}: {text}");
        fs::remove_file(&found)?;
    }
    Ok(())
}

#[test]
#[needs("lab", "keepalived")]
fn numbers_of_signals_are_the_same() -> Result<()> {
    for word in ["STOP", "RELOAD", "DATA", "STATS", "STATS_CLEAR", "JSON"] {
        let [ours, theirs] = BOTH.map(|program| signum(program, word));
        let (ours, theirs) = (ours?, theirs?);
        ensure!(ours == theirs, "{word}: {ours}, and {theirs} with keepalived");
    }
    for program in BOTH {
        let output = program.command(None)?.arg("--signum=bogus").output()?;
        ensure!(output.status.code() == Some(1), "{program:?}: {output:?}");
    }
    Ok(())
}

#[test]
#[needs("lab", "keepalived")]
fn the_version_has_the_form_that_programs_look_for() -> Result<()> {
    for program in BOTH {
        for option in ["-v", "--version"] {
            let output = program.command(None)?.arg(option).output()?;
            ensure!(output.status.success() && output.stdout.is_empty(), "{program:?}: {output:?}");
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let first = text.lines().next().unwrap_or_default();
            let number = first.strip_prefix("Keepalived v").and_then(|rest| rest.split_once(" ("));
            let number = number.with_context(|| format!("{program:?}: {first}"))?.0;
            let parts: Vec<u32> = number.split('.').map(str::parse).collect::<Result<_, _>>()?;
            ensure!(parts.len() == 3 && first.ends_with(')'), "{program:?}: {first}");
        }
    }
    Ok(())
}

#[test]
#[needs("lab", "keepalived")]
fn unknown_options_are_refused() -> Result<()> {
    for program in [Program::Ours, Program::Theirs] {
        let output = program.command(None)?.arg("--bogus").output()?;
        ensure!(output.status.code() == Some(1), "{program:?}: {output:?}");
    }
    Ok(())
}
