//! `install`: binary, unit, man pages, completions and example configuration.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;
use crate::cargo::{built, root, run};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Install below this directory, for packaging [default: DESTDIR of the environment]
    #[arg(long)]
    destdir: Option<PathBuf>,
    #[arg(long, default_value = "/usr")]
    prefix: PathBuf,
    /// Install the debug information, stripped from the binary, under PREFIX/lib/debug, where debuggers find it
    #[arg(long)]
    debug: bool,
}

pub(crate) fn install(arguments: &Arguments) -> Result<()> {
    build::daemon(true)?;
    let dist = root()?.join("vrrp-user/dist");
    let environment = || PathBuf::from(std::env::var_os("DESTDIR").unwrap_or_default());
    let destdir = arguments.destdir.clone().unwrap_or_else(environment);
    let place = |path: &Path| below(&destdir, path);
    let prefix = &arguments.prefix;

    let program = prefix.join("sbin/vrrpx");
    let debug = below(&prefix.join("lib/debug"), &program).with_extension("debug");
    let debug = arguments.debug.then(|| place(&debug));
    strip(&built("vrrpx", true)?, &place(&program), debug.as_deref())?;
    let unit = fs::read_to_string(dist.join("vrrpx.service")).context("vrrp-user/dist/vrrpx.service")?;
    let unit = unit.replace("/usr/sbin/vrrpx", &program.display().to_string());
    write(&unit, &place(&prefix.join("lib/systemd/system/vrrpx.service")))?;

    for (from, to) in manual(&dist, "site-functions")? {
        copy(&from, &place(&prefix.join("share").join(to)), 0o644)?;
    }
    let example = dist.join("vrrpx.conf");
    copy(&example, &place(&prefix.join("share/doc/vrrpx/vrrpx.conf")), 0o644)?;
    // The daemon uses the first one that exists. None is written: its unit, or a package installed later, would start
    // with the addresses of an example.
    let configs = ["/etc/vrrpx/vrrpx.conf", "/etc/keepalived/keepalived.conf"];
    match configs.iter().find(|path| place(Path::new(path)).exists()) {
        Some(config) => println!("the daemon uses {config}"),
        None => println!("no configuration yet: write {}", configs[0]),
    }
    Ok(())
}

/// Man pages and completions, each with its place below `share`; `zsh` is the name of its folder for completions.
pub(crate) fn manual(dist: &Path, zsh: &str) -> Result<Vec<(PathBuf, String)>> {
    let completions = dist.join("completions");
    let mut files = vec![
        (completions.join("vrrpx.bash"), "bash-completion/completions/vrrpx".to_owned()),
        (completions.join("_vrrpx"), format!("zsh/{zsh}/_vrrpx")),
        (completions.join("vrrpx.fish"), "fish/vendor_completions.d/vrrpx.fish".to_owned()),
    ];
    let pages = dist.join("man");
    for page in fs::read_dir(&pages).with_context(|| pages.display().to_string())? {
        let page = page?.path();
        let (Some(name), Some(section)) = (page.file_name(), page.extension()) else { continue };
        let to = format!("man/man{}/{}", section.display(), name.display());
        files.push((page, to));
    }
    Ok(files)
}

/// `path` below `destdir`, which may be empty.
fn below(destdir: &Path, path: &Path) -> PathBuf {
    if destdir.as_os_str().is_empty() {
        return path.to_owned();
    }
    destdir.join(path.strip_prefix("/").unwrap_or(path))
}

/// Installs a program without its debug information, which is most of its size. `debug` receives that; the program
/// names the file for debuggers.
fn strip(from: &Path, to: &Path, debug: Option<&Path>) -> Result<()> {
    let fresh = fresh(to)?;
    objcopy(&["--strip-unneeded".as_ref(), from.as_os_str(), fresh.as_os_str()])?;
    if let Some(debug) = debug {
        prepare(debug)?;
        objcopy(&["--only-keep-debug".as_ref(), from.as_os_str(), debug.as_os_str()])?;
        fs::set_permissions(debug, fs::Permissions::from_mode(0o644))?;
        println!("{}", debug.display());
        let mut link = OsString::from("--add-gnu-debuglink=");
        link.push(debug);
        objcopy(&[&link, fresh.as_os_str()])?;
    }
    replace(&fresh, to, 0o755)
}

/// Runs objcopy of binutils, which the build's linker belongs to, or of LLVM.
fn objcopy(arguments: &[&OsStr]) -> Result<()> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let name = ["objcopy", "llvm-objcopy"].into_iter().find(is_there);
    let mut command = Command::new(name.context("objcopy is missing: install binutils")?);
    command.args(arguments);
    run(command)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let fresh = fresh(to)?;
    fs::copy(from, &fresh).with_context(|| format!("{} to {}", from.display(), fresh.display()))?;
    replace(&fresh, to, mode)
}

/// Path of the new file next to the old one: a running program cannot be written to, but it can be replaced.
fn fresh(to: &Path) -> Result<PathBuf> {
    prepare(to)?;
    Ok(to.with_extension("new"))
}

fn replace(fresh: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(fresh, fs::Permissions::from_mode(mode))?;
    fs::rename(fresh, to).with_context(|| to.display().to_string())?;
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

    #[test]
    fn pages_go_to_the_folder_of_their_section() {
        let files = manual(&root().unwrap().join("vrrp-user/dist"), "site-functions").unwrap();
        let places: Vec<&str> = files.iter().map(|(_, to)| to.as_str()).collect();
        let wanted = ["man/man8/vrrpx-run.8", "man/man5/vrrpx.conf.5", "zsh/site-functions/_vrrpx"];
        assert!(wanted.iter().all(|place| places.contains(place)), "{places:?}");
        assert!(files.iter().all(|(from, _)| from.is_file()));
    }

    #[test]
    fn a_program_is_stripped_and_its_debug_information_kept_apart() {
        let own = std::env::current_exe().unwrap();
        let folder = std::env::temp_dir().join(format!("xtask-install-{}", std::process::id()));
        let (program, debug) = (folder.join("sbin/program"), folder.join("lib/debug/program.debug"));
        let size = |file: &Path| fs::metadata(file).unwrap().len();
        strip(&own, &program, None).unwrap();
        let stripped = size(&program);
        assert!(stripped < size(&own) && !debug.exists(), "{stripped} bytes");
        strip(&own, &program, Some(&debug)).unwrap();
        let listed = Command::new(&program).arg("--list").output().unwrap();
        let sections = |file: &Path| {
            let shown = Command::new("readelf").args(["--sections", "--wide"]).arg(file).output().unwrap();
            String::from_utf8_lossy(&shown.stdout).into_owned()
        };
        let (program, debug) = (sections(&program), sections(&debug));
        fs::remove_dir_all(&folder).unwrap();
        assert!(listed.status.success());
        assert!(program.contains(".gnu_debuglink") && !program.contains(".debug_line"), "{program}");
        assert!(debug.contains(".debug_line"), "{debug}");
    }
}
