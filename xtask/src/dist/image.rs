//! Container image, by a Docker engine: program, its libraries, CA certificates.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Glibc, Release, VERSION, licences, output};

/// Where distributions keep the certificates that they trust.
const CERTIFICATES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Users for `script_user`, and where names are looked up.
const FILES: [(&str, &str); 3] = [
    ("passwd", "root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"),
    ("group", "root:x:0:\nnogroup:x:65534:\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

pub(super) fn make(release: &Release) -> Result<Vec<String>> {
    let context = release.stage("image")?;
    release.program(&context, "root/usr/sbin/vrrpx")?;
    let libraries = libraries(&release.binary)?;
    // Before glibc 2.34, users and groups are looked up by a library that the program is not linked with.
    let glibc = libraries.iter().find(|it| it.ends_with("libc.so.6"));
    let accounts = glibc.map(|it| it.with_file_name("libnss_files.so.2")).filter(|it| it.exists());
    for library in libraries.iter().cloned().chain(accounts) {
        context.copy(&library, &format!("root{}", library.display()), 0o755)?;
    }
    let certificates = CERTIFICATES.iter().map(Path::new).find(|path| path.exists());
    let certificates =
        certificates.context("this machine has no CA certificates: install ca-certificates")?;
    let [place, _] = CERTIFICATES;
    context.copy(certificates, &format!("root{place}"), 0o644)?;
    for (name, text) in FILES {
        context.write(text, &format!("root/etc/{name}"), 0o644)?;
    }
    context.gzip_text(&licences::text(Glibc::Shared)?, "root/usr/share/doc/vrrpx/third-party.gz")?;
    // Mount points: the image is used read-only.
    for place in ["etc/vrrpx", "run/vrrpx", "sys/fs/bpf", "tmp"] {
        context.directory(&format!("root/{place}"))?;
    }
    context.copy(&Release::source("image/Dockerfile")?, "Dockerfile", 0o644)?;
    context.settle(&release.epoch)?;

    let (tag, latest) = (format!("vrrpx:{VERSION}"), "vrrpx:latest");
    let mut build = Command::new("docker");
    // The classic builder needs no further program.
    build.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--tag", &tag, "--tag", latest]);
    build.args(["--label", &format!("org.opencontainers.image.version={VERSION}")]);
    build.args(["--label", "org.opencontainers.image.title=vrrpx"]).arg(context.root());
    let is_there = "it needs a Docker engine, and DOCKER_HOST if that is not the usual one";
    output(build).context(is_there)?;
    let path = release.out.join(format!("vrrpx-{VERSION}-image-{}.tar", std::env::consts::ARCH));
    let mut save = Command::new("docker");
    save.args(["save", "--output"]).arg(&path).args([&tag, latest]);
    output(save)?;
    Ok(vec![format!("{tag}, in the engine"), format!("{} (docker load --input)", path.display())])
}

/// The shared libraries of a program, with the dynamic loader, as the loader finds them here.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    let mut list = Command::new("ldd");
    list.arg(binary);
    Ok(paths(&output(list)?))
}

fn paths(listed: &str) -> Vec<PathBuf> {
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    listed.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_have_paths() {
        let listed =
            "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n";
        assert_eq!(paths(listed), [Path::new("/lib/x/libc.so.6"), Path::new("/lib64/ld.so.2")]);
    }
}
