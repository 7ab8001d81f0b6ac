//! Archive with an installation script, for any distribution: the program needs no library.

use std::process::Command;

use anyhow::{Result, ensure};

use super::{Glibc, Release, VERSION, output};

pub(super) fn make(release: &Release) -> Result<Vec<String>> {
    let architecture = std::env::consts::ARCH;
    let name = format!("vrrpx-{VERSION}-linux-{architecture}");
    let mut segments = Command::new("readelf");
    segments.args(["--segments", "--wide"]).arg(&release.binary);
    let is_static = !output(segments)?.contains("INTERP");
    ensure!(is_static, "{} is not linked statically", release.binary.display());
    let tree = release.stage(&name)?;
    release.program(&tree, "sbin/vrrpx")?;
    release.companions(&tree, ".", "site-functions", Glibc::Static)?;
    tree.copy(&Release::source("vrrpx.service")?, "vrrpx.service", 0o644)?;
    tree.copy(&Release::source("tarball/install.sh")?, "install.sh", 0o755)?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        tree.copy(&crate::cargo::root()?.join(licence), licence, 0o644)?;
    }
    let readme = Release::text("tarball/README")?;
    let readme = readme.replace("@VERSION@", VERSION).replace("@ARCH@", architecture);
    tree.write(&readme, "README", 0o644)?;
    tree.settle(&release.epoch)?;

    let path = release.out.join(format!("{name}.tar.gz"));
    let mut pack = Command::new("tar");
    pack.args(["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    pack.arg(format!("--use-compress-program=gzip --no-name -{}", if release.is_quick { 1 } else { 9 }));
    pack.arg("--file").arg(&path).arg("--directory").arg(release.out.join("stage")).arg(&name);
    output(pack)?;
    Ok(vec![path.display().to_string()])
}
