//! `install`: binary, unit and example configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::build;
use crate::cargo::{built, root};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Put everything below this directory, as packagers do [default: DESTDIR of the environment]
    #[arg(long)]
    destdir: Option<PathBuf>,
    #[arg(long, default_value = "/usr")]
    prefix: PathBuf,
}

pub(crate) fn install(arguments: &Arguments) -> Result<()> {
    build::daemon(true)?;
    let dist = root()?.join("vrrp-user/dist");
    let environment = || PathBuf::from(std::env::var_os("DESTDIR").unwrap_or_default());
    let destdir = arguments.destdir.clone().unwrap_or_else(environment);
    let place = |path: &Path| below(&destdir, path);
    let prefix = &arguments.prefix;

    copy(&built("vrrpx", true)?, &place(&prefix.join("sbin/vrrpx")), 0o755)?;
    let unit = fs::read_to_string(dist.join("vrrpx.service")).context("vrrp-user/dist/vrrpx.service")?;
    let program = prefix.join("sbin/vrrpx");
    let unit = unit.replace("/usr/sbin/vrrpx", &program.display().to_string());
    write(&unit, &place(&prefix.join("lib/systemd/system/vrrpx.service")))?;

    let example = dist.join("vrrpx.conf");
    copy(&example, &place(&prefix.join("share/doc/vrrpx/vrrpx.conf")), 0o644)?;
    // The daemon takes the first of them that is there.
    let configs = ["/etc/vrrpx/vrrpx.conf", "/etc/keepalived/keepalived.conf"];
    if let Some(config) = configs.iter().map(|path| place(Path::new(path))).find(|path| path.exists()) {
        println!("{} is there already: kept, and used", config.display());
        return Ok(());
    }
    copy(&example, &place(Path::new(configs[0])), 0o644)
}

/// `path` below `destdir`, which may be empty.
fn below(destdir: &Path, path: &Path) -> PathBuf {
    if destdir.as_os_str().is_empty() {
        return path.to_owned();
    }
    destdir.join(path.strip_prefix("/").unwrap_or(path))
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    prepare(to)?;
    // A running program cannot be written to, but it can be replaced.
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh).with_context(|| format!("{} to {}", from.display(), fresh.display()))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
    fs::rename(&fresh, to).with_context(|| to.display().to_string())?;
    println!("{}", to.display());
    Ok(())
}

fn write(text: &str, to: &Path) -> Result<()> {
    prepare(to)?;
    fs::write(to, text).with_context(|| to.display().to_string())?;
    println!("{}", to.display());
    Ok(())
}

fn prepare(file: &Path) -> Result<()> {
    let directory = file.parent().context("a file lies in a directory")?;
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destdir_goes_before_absolute_paths() {
        assert_eq!(below(Path::new("/tmp/x"), Path::new("/usr/sbin/a")), Path::new("/tmp/x/usr/sbin/a"));
        assert_eq!(below(Path::new(""), Path::new("/usr/sbin/a")), Path::new("/usr/sbin/a"));
    }
}
