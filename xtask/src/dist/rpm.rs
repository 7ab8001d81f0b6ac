//! Package for Fedora and other distributions with RPM, by rpmbuild.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::tree::Tree;
use super::{Glibc, Release, VERSION, output};

pub(super) fn make(release: &Release) -> Result<Vec<String>> {
    let tree = release.stage("rpm")?;
    release.program(&tree, "usr/sbin/vrrpx")?;
    Release::service(&tree)?;
    release.companions(&tree, "usr", "site-functions", Glibc::OfHost)?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let from = crate::cargo::root()?.join(licence);
        tree.copy(&from, &format!("usr/share/licenses/vrrpx/{licence}"), 0o644)?;
    }
    tree.settle(&release.epoch)?;

    let work = release.stage("rpmbuild")?;
    work.write(&list(&tree)?, "files", 0o644)?;
    let mut build = Command::new("rpmbuild");
    build.arg("-bb").env("SOURCE_DATE_EPOCH", &release.epoch);
    let payload = if release.is_quick { "w1.gzdio" } else { "w9.gzdio" };
    for (name, value) in [
        ("_topdir", work.root().display().to_string()),
        ("_binary_payload", payload.to_owned()),
        ("vrrpx_version", VERSION.to_owned()),
        ("vrrpx_revision", release.revision.to_string()),
        ("vrrpx_stage", tree.root().display().to_string()),
        ("vrrpx_files", work.root().join("files").display().to_string()),
        ("clamp_mtime_to_source_date_epoch", "1".to_owned()),
        ("use_source_date_epoch_as_buildtime", "1".to_owned()),
    ] {
        build.arg("--define").arg(format!("{name} {value}"));
    }
    build.arg(Release::source("rpm/vrrpx.spec")?);
    output(build)?;

    let name = format!("vrrpx-{VERSION}-{}.{}.rpm", release.revision, std::env::consts::ARCH);
    let (made, path) =
        (work.root().join("RPMS").join(std::env::consts::ARCH).join(&name), release.out.join(&name));
    fs::rename(&made, &path).with_context(|| format!("{} to {}", made.display(), path.display()))?;
    Ok(vec![path.display().to_string()])
}

/// Lines of `%files`.
fn list(tree: &Tree) -> Result<String> {
    let mut lines = String::from(
        "%defattr(-,root,root,-)\n%dir /etc/vrrpx\n%dir /usr/lib/vrrpx\n%config(noreplace) /etc/default/vrrpx\n\
         %license /usr/share/licenses/vrrpx\n%doc /usr/share/doc/vrrpx\n",
    );
    let elsewhere = ["etc/", "usr/share/licenses/", "usr/share/doc/"];
    for file in tree.list()?.iter().filter(|file| !elsewhere.iter().any(|start| file.starts_with(start))) {
        lines.push_str(&format!("/{file}\n"));
    }
    Ok(lines)
}
