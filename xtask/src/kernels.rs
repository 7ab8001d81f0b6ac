//! Kernels for tests: Debian's, downloaded by package name, unpacked under `target/kernels`, never installed.
//!
//! apt runs with its own configuration, list of sources and state, so that the host's do not change. The mirror is that
//! of the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{run, show, target};

/// Name, and the Debian release that has it.
pub(crate) const KERNELS: [(&str, &str); 4] =
    [("5.10", "bullseye"), ("6.1", "bookworm"), ("6.12", "trixie"), ("7.2", "sid")];

/// Metapackage that depends on the current image.
const META: &str = "linux-image-cloud-amd64";
const IMAGE: &str = "linux-image-";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The kernels selected by `names`, which may contain `all`.
pub(crate) fn chosen(names: &[String]) -> Vec<&'static str> {
    let is_chosen = |name: &str| names.iter().any(|chosen| chosen == name || chosen == "all");
    KERNELS.into_iter().map(|(name, _)| name).filter(|name| is_chosen(name)).collect()
}

/// Downloads a kernel, unless it is there.
pub(crate) fn get(name: &str) -> Result<()> {
    let place = target()?.join("kernels").join(name);
    if place.join("vmlinuz").is_file() {
        return Ok(());
    }
    let got = Download::new(name, &place).and_then(|download| download.get());
    got.with_context(|| {
        format!(
            "kernel {name} is not in {} and cannot be downloaded. Run this on Debian with network, or copy that \
             directory from another machine",
            place.display()
        )
    })
}

/// A download, in a temporary directory next to its destination.
struct Download<'a> {
    name: &'a str,
    suite: &'a str,
    place: &'a Path,
    directory: PathBuf,
}

impl<'a> Download<'a> {
    fn new(name: &'a str, place: &'a Path) -> Result<Self> {
        let suite = KERNELS.into_iter().find(|kernel| kernel.0 == name).context("unknown kernel")?.1;
        let directory = place.with_file_name(format!("{name}.{}", std::process::id()));
        for part in ["lists/partial", "cache/archives/partial", "packages", "root", "kernel"] {
            fs::create_dir_all(directory.join(part)).with_context(|| directory.display().to_string())?;
        }
        Ok(Self { name, suite, place, directory })
    }

    fn get(&self) -> Result<()> {
        let mirror = mirror()?;
        eprintln!("test: downloading kernel {} from {mirror}, {}", self.name, self.suite);
        self.configure(&mirror)?;
        run(self.apt("apt-get", &["update", "--quiet=2"]))?;
        let image = dependencies(&self.show(META)?).into_iter().find(|name| name.starts_with(IMAGE));
        let image = image.with_context(|| format!("{META} of {} depends on no image", self.suite))?;
        let release = image.strip_prefix(IMAGE).unwrap_or_default().to_owned();
        ensure!(
            release.strip_prefix(self.name).is_some_and(|rest| rest.starts_with(['.', '-', '+'])),
            "Debian {} now has kernel {release}: update KERNELS in xtask/src/kernels.rs",
            self.suite
        );
        let mut packages = dependencies(&self.show(&image)?);
        packages.retain(|package| package.contains(&release));
        packages.push(image);
        let mut download = self.apt("apt-get", &["download", "--quiet=2"]);
        download.args(&packages).current_dir(self.directory.join("packages"));
        run(download)?;
        self.unpack(&release)
    }

    fn configure(&self, mirror: &str) -> Result<()> {
        let path = |part: &str| self.directory.join(part).display().to_string();
        fs::write(path("status"), "")?;
        fs::write(path("sources"), format!("deb [signed-by={KEYS}] {mirror} {} main\n", self.suite))?;
        let settings = [
            ("Dir::State::lists", path("lists")),
            ("Dir::State::status", path("status")),
            ("Dir::Cache", path("cache")),
            ("Dir::Etc::sourcelist", path("sources")),
            ("Dir::Etc::sourceparts", "-".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            // apt's own user cannot write here.
            ("APT::Sandbox::User", "root".to_owned()),
        ];
        let lines = settings.map(|(key, value)| format!("{key} \"{value}\";\n"));
        Ok(fs::write(path("apt.conf"), lines.concat())?)
    }

    fn apt(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("APT_CONFIG", self.directory.join("apt.conf"));
        command
    }

    /// apt's description of a package.
    fn show(&self, package: &str) -> Result<String> {
        text(self.apt("apt-cache", &["show", "--no-all-versions", package]))
    }

    fn unpack(&self, release: &str) -> Result<()> {
        let root = self.directory.join("root");
        for package in fs::read_dir(self.directory.join("packages"))? {
            let mut command = Command::new("dpkg-deb");
            command.arg("--extract").arg(package?.path()).arg(&root);
            run(command)?;
        }
        let modules = ["lib/modules", "usr/lib/modules"].map(|path| root.join(path).join(release));
        let modules = modules.into_iter().find(|path| path.is_dir()).context("no modules in the packages")?;
        let images = [root.join("boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
        let image = images.into_iter().find(|path| path.is_file()).context("no image in the packages")?;
        let kernel = self.directory.join("kernel");
        fs::rename(image, kernel.join("vmlinuz"))?;
        fs::create_dir_all(kernel.join("lib/modules"))?;
        fs::rename(modules, kernel.join("lib/modules").join(release))?;
        // In sid, modules.dep is not in the image's package.
        let mut depmod = Command::new("depmod");
        depmod.arg("--basedir").arg(&kernel).arg(release);
        run(depmod)?;
        fs::rename(&kernel, self.place).with_context(|| self.place.display().to_string())
    }
}

impl Drop for Download<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("cannot remove {}: {error}", self.directory.display());
        }
    }
}

/// Address of the host's Debian mirror.
fn mirror() -> Result<String> {
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    ensure!(field(&system, "ID") == Some("debian"), "this is not Debian");
    let release = field(&system, "VERSION_CODENAME").unwrap_or("sid");
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]);
    let targets = text(command)?;
    let source = source(&targets, release);
    let source = source.with_context(|| format!("apt has no source for {release}: check /etc/apt"))?;
    Ok(source.to_owned())
}

/// A field of a file with lines `NAME=VALUE`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    lines.find_map(|(key, value)| (key == name).then_some(value.trim_matches('"')))
}

/// The first source of a release.
fn source<'a>(targets: &'a str, release: &str) -> Option<&'a str> {
    let mut lines = targets.lines().filter_map(|line| line.split_once(' '));
    lines.find_map(|(name, address)| (name == release).then_some(address.trim()))
}

/// Names of the packages that a package depends on.
fn dependencies(shown: &str) -> Vec<String> {
    let lists = shown.lines().filter_map(|line| line.strip_prefix("Depends: "));
    let parts = lists.flat_map(|list| list.split([',', '|']));
    parts.filter_map(|part| part.split_whitespace().next()).map(str::to_owned).collect()
}

fn text(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", show(&command)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", show(&command), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_the_release_itself() {
        let targets = "bookworm-updates http://a.example/debian/\nbookworm http://b.example/debian/\n\
             bookworm http://c.example/x/\n";
        assert_eq!(source(targets, "bookworm"), Some("http://b.example/debian/"));
        assert_eq!(source(targets, "sid"), None);
        assert_eq!(field("ID=debian\nVERSION_CODENAME=\"bookworm\"\n", "VERSION_CODENAME"), Some("bookworm"));
    }

    #[test]
    fn dependencies_are_names_alone() {
        let shown = "Package: linux-image-7.2.13\nDepends: dracut | initramfs-tools (>= 0.120), linux-base-7.2.13 (= 1)\n";
        assert_eq!(dependencies(shown), ["dracut", "initramfs-tools", "linux-base-7.2.13"]);
    }

    #[test]
    fn all_are_all_and_order_is_that_of_age() {
        let names = |names: &[&str]| chosen(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["6.12", "6.1"]), ["6.1", "6.12"]);
        assert_eq!(names(&["all"]).len(), KERNELS.len());
    }
}
