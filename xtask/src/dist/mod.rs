//! `dist`: packages of the daemon. Each is made from a tree that is staged under `target/dist`.

mod deb;
mod image;
mod licences;
mod rpm;
mod tarball;
mod tree;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use self::licences::Glibc;
use self::tree::Tree;
use crate::cargo::{built_in, root, show, target};
use crate::{build, install};

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Kinds of packages
    #[arg(required = true)]
    kinds: Vec<Kind>,
    /// Package the debug build, quickly, for tests
    #[arg(long)]
    debug: bool,
    /// Package this program instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Revision of the packages of this version
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    revision: u32,
    /// Directory for the packages [default: target/dist]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// vrrpx, vrrpx-dbgsym and vrrpx-keepalived for Debian
    Deb,
    /// For Fedora and the like; needs rpmbuild (Debian: apt install rpm)
    Rpm,
    /// With an installation script
    Tarball,
    /// A container image; needs a Docker engine
    Image,
}

impl Arguments {
    /// Builds the program for a kind of package, unless it is there.
    fn program(&self, kind: Kind) -> Result<PathBuf> {
        if let Some(binary) = &self.binary {
            return binary.canonicalize().with_context(|| binary.display().to_string());
        }
        let profile = if self.debug { "debug" } else { "dist" };
        match (kind, self.debug) {
            (Kind::Tarball, debug) => {
                build::dist_static(debug)?;
                return built_in(profile, "examples/vrrpx-static");
            }
            (_, true) => build::daemon(false)?,
            (_, false) => build::dist()?,
        }
        built_in(profile, "vrrpx")
    }
}

/// What is packaged, and how.
struct Release {
    /// Unstripped.
    binary: PathBuf,
    revision: u32,
    out: PathBuf,
    /// Weak compression.
    is_quick: bool,
    /// Name and address in packages.
    maintainer: String,
    /// Seconds since 1970 that all files are dated, so that packages of the same commit are equal.
    epoch: String,
}

pub(crate) fn dist(arguments: &Arguments) -> Result<()> {
    let out = match &arguments.out {
        Some(out) => std::path::absolute(out)?,
        None => target()?.join("dist"),
    };
    let mut release = Release {
        binary: PathBuf::new(),
        revision: arguments.revision,
        out,
        is_quick: arguments.debug,
        maintainer: maintainer(),
        epoch: epoch()?,
    };
    for kind in &arguments.kinds {
        release.binary = arguments.program(*kind)?;
        let made = match kind {
            Kind::Deb => deb::make(&release)?,
            Kind::Rpm => rpm::make(&release)?,
            Kind::Tarball => tarball::make(&release)?,
            Kind::Image => image::make(&release)?,
        };
        made.iter().for_each(|package| println!("{package}"));
    }
    Ok(())
}

impl Release {
    /// An empty tree for a package.
    fn stage(&self, package: &str) -> Result<Tree> {
        Tree::new(self.out.join("stage").join(package))
    }

    /// A file of the product's packaging.
    fn source(name: &str) -> Result<PathBuf> {
        Ok(root()?.join("vrrp-user/dist").join(name))
    }

    fn text(name: &str) -> Result<String> {
        let path = Self::source(name)?;
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// The program without its debug information.
    fn program(&self, tree: &Tree, to: &str) -> Result<()> {
        let to = tree.place(to)?;
        let mut strip = Command::new("objcopy");
        strip.args(["--strip-unneeded", "--remove-section=.comment"]).arg(&self.binary).arg(&to);
        output(strip)?;
        tree::set_mode(&to, 0o755)
    }

    /// Man pages, completions and documents below `usr`; `zsh` is its directory for completions.
    fn companions(&self, tree: &Tree, usr: &str, zsh: &str, glibc: Glibc) -> Result<()> {
        for (from, to) in install::manual(&Self::source("")?, zsh)? {
            let to = format!("{usr}/share/{to}");
            if to.contains("/share/man/") {
                tree.gzip(&from, &format!("{to}.gz"))?;
            } else {
                tree.copy(&from, &to, 0o644)?;
            }
        }
        let (root, documents) = (root()?, format!("{usr}/share/doc/vrrpx"));
        tree.copy(&root.join("README.md"), &format!("{documents}/README.md"), 0o644)?;
        tree.copy_all(&root.join("docs"), &format!("{documents}/docs"))?;
        tree.gzip(&root.join("CHANGELOG.md"), &format!("{documents}/changelog.gz"))?;
        let examples = [
            "vrrpx.conf",
            "vrrpx.rules.yml",
            "vrrpx.dashboard.json",
            "status.schema.json",
            "image/compose.yaml",
            "image/vrrpx.container",
        ];
        for example in examples {
            let name = example.rsplit('/').next().unwrap_or_default();
            tree.copy(&Self::source(example)?, &format!("{documents}/examples/{name}"), 0o644)?;
        }
        tree.gzip_text(&licences::text(glibc)?, &format!("{documents}/third-party.gz"))
    }

    /// Unit, defaults and functions for the scripts of a package of the system.
    fn service(tree: &Tree) -> Result<()> {
        tree.copy(&Self::source("package.sh")?, "usr/lib/vrrpx/package.sh", 0o644)?;
        tree.copy(&Self::source("vrrpx.service")?, "usr/lib/systemd/system/vrrpx.service", 0o644)?;
        tree.copy(&Self::source("default")?, "etc/default/vrrpx", 0o644)?;
        tree.directory("etc/vrrpx")
    }
}

/// Of `DEBFULLNAME` and `DEBEMAIL`, as with Debian's tools.
fn maintainer() -> String {
    let or = |variable: &str, default: &str| std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    let (name, address) =
        (or("DEBFULLNAME", "The vrrpx authors"), or("DEBEMAIL", "maintainers@vrrpx.invalid"));
    format!("{name} <{address}>")
}

/// `SOURCE_DATE_EPOCH`, or the time of the commit.
fn epoch() -> Result<String> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(epoch);
    }
    let mut log = Command::new("git");
    log.args(["log", "-1", "--format=%ct"]).current_dir(root()?);
    let epoch = output(log).context("without git, set SOURCE_DATE_EPOCH to the seconds since 1970")?;
    Ok(epoch.trim().to_owned())
}

/// Runs a command and returns what it prints.
fn output(mut command: Command) -> Result<String> {
    let run = command.output();
    let output = match run {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("{} is missing; on Debian: apt install binutils dpkg-dev rpm", show(&command))
        }
        other => other.with_context(|| show(&command))?,
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed ({}): {}", show(&command), output.status, complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
