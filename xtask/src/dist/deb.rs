//! Packages for Debian and its derivatives, by dpkg-deb: the daemon, its debug information, and keepalived's names.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::tree::Tree;
use super::{Glibc, Release, VERSION, output};

/// Fields of a package's control file, in its order, and its scripts.
struct Package<'a> {
    name: &'a str,
    architecture: &'a str,
    fields: Vec<(&'a str, String)>,
    description: &'a str,
    /// Name in the package, and file below `vrrp-user/dist/debian`.
    scripts: &'a [(&'a str, &'a str)],
}

const DAEMON: &str = "VRRP daemon that detects a dead master in the kernel
 Two or more hosts share an address: one of them, the master, answers for it;
 when it dies, another takes over (RFC 9568, RFC 3768).
 .
 vrrpx reads keepalived.conf as it is. An XDP or tcx program watches the
 master's adverts; a master holds its addresses on a lease, so that a killed
 or hanging daemon does not answer beside its heir; restarts and upgrades
 cause no failover.";

const KEEPALIVED: &str = "VRRP daemon that detects a dead master in the kernel - as keepalived
 The program and the unit of vrrpx under the names of keepalived, so that
 scripts and units that were written for keepalived keep working. It takes
 keepalived's place for VRRP; there is no load balancer (virtual_server).
 Its pid file is /run/vrrpx/vrrpx.pid, not /run/keepalived.pid.";

const SYMBOLS: &str = "debug symbols for vrrpx";

pub(super) fn make(release: &Release) -> Result<Vec<String>> {
    let mut architecture = Command::new("dpkg");
    architecture.arg("--print-architecture");
    let architecture = output(architecture)?.trim().to_owned();
    Ok(vec![
        daemon(release, &architecture)?,
        symbols(release, &architecture)?,
        in_place_of_keepalived(release)?,
    ])
}

fn daemon(release: &Release, architecture: &str) -> Result<String> {
    let tree = release.stage("vrrpx")?;
    release.program(&tree, "usr/sbin/vrrpx")?;
    Release::service(&tree)?;
    release.companions(&tree, "usr", "vendor-completions", Glibc::OfHost)?;
    about(release, &tree, "vrrpx")?;
    let depends = libraries(release, &tree)?;
    pack(
        release,
        &tree,
        &Package {
            name: "vrrpx",
            architecture,
            fields: vec![
                ("Section", "net".to_owned()),
                ("Pre-Depends", "init-system-helpers (>= 1.54~)".to_owned()),
                ("Depends", depends),
                // Webhooks and checks by https trust the certificates of the system.
                ("Recommends", "ca-certificates".to_owned()),
                ("Suggests", "vrrpx-keepalived".to_owned()),
            ],
            description: DAEMON,
            scripts: &[
                ("preinst", "preinst"),
                ("postinst", "postinst"),
                ("prerm", "prerm"),
                ("postrm", "postrm"),
            ],
        },
    )
}

/// Where gdb and perf look for the debug information of a program with this build id.
fn symbols(release: &Release, architecture: &str) -> Result<String> {
    let mut notes = Command::new("readelf");
    notes.args(["--notes", "--wide"]).arg(&release.binary);
    let notes = output(notes)?;
    let id = notes.split("Build ID: ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let id = id.context("the program has no build id: link it with -Wl,--build-id")?;
    let (folder, file) = id.split_at_checked(2).context("the build id is too short")?;
    let tree = release.stage("vrrpx-dbgsym")?;
    let to = tree.place(&format!("usr/lib/debug/.build-id/{folder}/{file}.debug"))?;
    let mut keep = Command::new("objcopy");
    keep.args(["--only-keep-debug", "--compress-debug-sections"]).arg(&release.binary).arg(&to);
    output(keep)?;
    super::tree::set_mode(&to, 0o644)?;
    tree.link("vrrpx", "usr/share/doc/vrrpx-dbgsym")?;
    pack(
        release,
        &tree,
        &Package {
            name: "vrrpx-dbgsym",
            architecture,
            fields: vec![
                ("Section", "debug".to_owned()),
                ("Source", "vrrpx".to_owned()),
                ("Auto-Built-Package", "debug-symbols".to_owned()),
                ("Build-Ids", id.to_owned()),
                ("Depends", format!("vrrpx (= {})", version(release))),
            ],
            description: SYMBOLS,
            scripts: &[],
        },
    )
}

fn in_place_of_keepalived(release: &Release) -> Result<String> {
    let tree = release.stage("vrrpx-keepalived")?;
    tree.link("vrrpx", "usr/sbin/keepalived")?;
    tree.link("vrrpx-keepalived.8.gz", "usr/share/man/man8/keepalived.8.gz")?;
    tree.link("vrrpx.conf.5.gz", "usr/share/man/man5/keepalived.conf.5.gz")?;
    about(release, &tree, "vrrpx-keepalived")?;
    pack(
        release,
        &tree,
        &Package {
            name: "vrrpx-keepalived",
            architecture: "all",
            fields: vec![
                ("Section", "net".to_owned()),
                ("Source", "vrrpx".to_owned()),
                ("Pre-Depends", "init-system-helpers (>= 1.54~)".to_owned()),
                ("Depends", format!("vrrpx (= {})", version(release))),
                ("Provides", "keepalived".to_owned()),
                ("Conflicts", "keepalived".to_owned()),
                ("Replaces", "keepalived".to_owned()),
            ],
            description: KEEPALIVED,
            scripts: &[
                ("preinst", "preinst"),
                ("postinst", "keepalived.postinst"),
                ("postrm", "keepalived.postrm"),
            ],
        },
    )
}

fn version(release: &Release) -> String {
    format!("{VERSION}-{}", release.revision)
}

/// Copyright and changelog.
fn about(release: &Release, tree: &Tree, package: &str) -> Result<()> {
    let documents = format!("usr/share/doc/{package}");
    let licence = fs::read_to_string(crate::cargo::root()?.join("LICENSE-MIT")).context("LICENSE-MIT")?;
    let indented = licence.lines().skip(4).map(|line| if line.is_empty() { " ." } else { line });
    let indented = indented.map(|line| format!(" {}", line.trim_start())).collect::<Vec<_>>().join("\n");
    let copyright = Release::text("debian/copyright")?.replace("@MIT@", &indented);
    tree.write(&copyright, &format!("{documents}/copyright"), 0o644)?;
    let overrides = Release::source(&format!("debian/{package}.lintian-overrides"))?;
    tree.copy(&overrides, &format!("usr/share/lintian/overrides/{package}"), 0o644)?;
    let mut date = Command::new("date");
    date.args(["--utc", "--rfc-email", "--date", &format!("@{}", release.epoch)]);
    let changelog = format!(
        "vrrpx ({}) unstable; urgency=medium\n\n  * Version {VERSION}; its changes are in changelog.gz of vrrpx.\n\n \
         -- {}  {}\n",
        version(release),
        release.maintainer,
        output(date)?.trim()
    );
    tree.gzip_text(&changelog, &format!("{documents}/changelog.Debian.gz"))
}

/// Packages of the libraries that the program is linked with, in the versions that have the symbols it uses.
fn libraries(release: &Release, tree: &Tree) -> Result<String> {
    // dpkg-shlibdeps reads the names of packages from a source tree.
    let source = release.stage("source")?;
    source.write("Source: vrrpx\n\nPackage: vrrpx\nArchitecture: any\n", "debian/control", 0o644)?;
    let mut find = Command::new("dpkg-shlibdeps");
    find.arg("-O").arg(tree.root().join("usr/sbin/vrrpx")).current_dir(source.root());
    let found = output(find)?;
    let depends = found.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    depends.map(str::to_owned).context("dpkg-shlibdeps has found no libraries")
}

fn pack(release: &Release, tree: &Tree, package: &Package) -> Result<String> {
    let listed = tree.list()?;
    let files = listed.iter().filter(|name| !tree.root().join(name).is_symlink());
    let mut sums = Command::new("md5sum");
    sums.args(files).current_dir(tree.root());
    tree.write(&output(sums)?, "DEBIAN/md5sums", 0o644)?;
    let settings: String =
        listed.iter().filter(|name| name.starts_with("etc/")).map(|name| format!("/{name}\n")).collect();
    if !settings.is_empty() {
        tree.write(&settings, "DEBIAN/conffiles", 0o644)?;
    }
    for (name, script) in package.scripts {
        tree.copy(&Release::source("debian")?.join(script), &format!("DEBIAN/{name}"), 0o755)?;
    }
    tree.write(&control(release, package, size(tree.root(), &listed)?), "DEBIAN/control", 0o644)?;
    tree.settle(&release.epoch)?;
    let name = format!("{}_{}_{}.deb", package.name, version(release), package.architecture);
    let path = release.out.join(name);
    let mut build = Command::new("dpkg-deb");
    build.env("SOURCE_DATE_EPOCH", &release.epoch).args(["--build", "--root-owner-group"]);
    build.args(if release.is_quick { ["-Zgzip", "-z1"] } else { ["-Zxz", "-z6"] });
    build.arg(tree.root()).arg(&path);
    output(build)?;
    Ok(path.display().to_string())
}

/// KiB.
fn size(root: &Path, files: &[String]) -> Result<u64> {
    let sizes = files.iter().map(|name| Ok(fs::symlink_metadata(root.join(name))?.len().div_ceil(1024)));
    sizes.sum::<Result<u64>>()
}

fn control(release: &Release, package: &Package, size: u64) -> String {
    let mut text = format!(
        "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: {}\nInstalled-Size: {size}\n\
         Priority: optional\n",
        package.name,
        version(release),
        package.architecture,
        release.maintainer
    );
    for (field, value) in &package.fields {
        text.push_str(&format!("{field}: {value}\n"));
    }
    text.push_str(&format!("Description: {}\n", package.description));
    text
}
