//! Compiles the BPF program of `vrrp-ebpf` into `$OUT_DIR/vrrp-ebpf`.
//!
//! Enters: the sources of `vrrp-ebpf`, the pinned toolchain, bpf-linker. Leaves: the object, and `cfg(bpf_object)`
//! unless it is empty. Without bpf-linker or rust-src the object is empty: the daemon then runs on sockets and logs so.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use aya_build::{Package, Toolchain};

const PACKAGE: &str = "vrrp-ebpf";
const LINKER: &str = "bpf-linker";
/// Set to leave the order of the code to the linker: one that takes no linker script, such as mold, fails with it. The
/// daemon then keeps all its code in memory.
const UNPLACED: &str = "VRRPX_UNPLACED";
/// The release that links with the LLVM of the pinned toolchain.
const LINKER_VERSION: &str = "0.10.3";

fn main() -> Result<()> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = package.parent().ok_or_else(|| anyhow!("{} has no parent", package.display()))?;
    let source = root.join(PACKAGE);
    let pin = root.join("rust-toolchain.toml");

    println!("cargo::rustc-check-cfg=cfg(bpf_object)");
    println!("cargo::rerun-if-env-changed=PATH");
    for path in [&package.join("build.rs"), &source, &pin, &root.join("Cargo.lock")] {
        println!("cargo::rerun-if-changed={}", path.display());
    }

    let order = package.join("realtime.ld");
    println!("cargo::rerun-if-changed={}", order.display());
    println!("cargo::rerun-if-env-changed={UNPLACED}");
    if env::var_os(UNPLACED).is_none() {
        for argument in ["-Xlinker", "-T", "-Xlinker", &order.display().to_string()] {
            println!("cargo::rustc-link-arg={argument}");
        }
    }

    let object = PathBuf::from(variable("OUT_DIR")?).join(PACKAGE);
    // An object of an earlier build must not be taken for one of this build.
    fs::write(&object, []).with_context(|| format!("cannot write {}", object.display()))?;
    let toolchain = pinned_toolchain(&pin)?;
    let missing = missing_tools(root, &toolchain)?;
    if missing.is_empty() {
        compile(&source, &toolchain)?;
        strip(&object, &sysroot(&toolchain)?)?;
    } else {
        println!("cargo::warning=the BPF program is not built: the daemon will work on sockets only");
        println!("cargo::warning=`cargo xtask setup` installs what is missing, or by hand:");
        for command in missing {
            println!("cargo::warning=  {command}");
        }
    }
    // It also stays empty if AYA_BUILD_SKIP is set.
    if fs::metadata(&object).is_ok_and(|file| file.len() > 0) {
        println!("cargo::rustc-cfg=bpf_object");
    }
    Ok(())
}

/// The commands that install missing tools. Puts the project's own bpf-linker in front of PATH.
fn missing_tools(root: &Path, toolchain: &str) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    let own = root.join("target").join(LINKER);
    let bin = own.join("bin");
    let before = env::var_os("PATH").unwrap_or_default();
    let path: OsString =
        env::join_paths([bin.clone()].into_iter().chain(env::split_paths(&before))).context("PATH")?;
    // SAFETY: a build script has one thread here.
    unsafe { env::set_var("PATH", path) };
    match which::which(LINKER) {
        Ok(linker) => println!("cargo::rerun-if-changed={}", linker.display()),
        Err(_) => {
            // Cargo treats a path that does not exist as changed, so that the next build checks again.
            println!("cargo::rerun-if-changed={}", bin.join(LINKER).display());
            missing.push(format!(
                "cargo install {LINKER} --version {LINKER_VERSION} --locked --root {}",
                own.display()
            ));
        }
    }
    let sources = sysroot(toolchain)?.join("lib/rustlib/src/rust/library/Cargo.lock");
    println!("cargo::rerun-if-changed={}", sources.display());
    if !sources.exists() {
        missing.push(format!("rustup component add rust-src --toolchain {toolchain}"));
    }
    Ok(missing)
}

fn compile(source: &Path, toolchain: &str) -> Result<()> {
    let features: &[&str] = if env::var_os("CARGO_FEATURE_BPF_LOG").is_some() { &["log"] } else { &[] };
    let root_dir = source.to_str().ok_or_else(|| anyhow!("{} is not UTF-8", source.display()))?;
    // The standard library is built for BPF from its sources, which stable cargo does only with RUSTC_BOOTSTRAP. All
    // these variables end with this script: they reach the build of the program and no other crate.
    // SAFETY: a build script has one thread here.
    unsafe {
        env::set_var("RUSTC_BOOTSTRAP", "1");
        // aya-build turns each line of progress into a warning, which cargo then repeats in every build.
        env::set_var("CARGO_TERM_QUIET", "true");
        // Incremental compilation splits the crate into units, whose program the verifier refuses.
        env::set_var("CARGO_INCREMENTAL", "0");
        // The program's libraries are not built for size, as the daemon's are.
        env::set_var("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3");
    }
    let package = Package { name: PACKAGE, root_dir, features, ..Package::default() };
    aya_build::build_ebpf([package], Toolchain::Custom(toolchain))
}

/// Removes DWARF, three quarters of the object, which the daemon would contain. BTF stays. Without the toolchain's
/// objcopy, as in distributions' packages of Rust, the object is larger.
fn strip(object: &Path, sysroot: &Path) -> Result<()> {
    let host = variable("HOST")?;
    let objcopy = sysroot.join("lib/rustlib").join(host).join("bin/rust-objcopy");
    if !objcopy.exists() || fs::metadata(object).is_ok_and(|file| file.len() == 0) {
        return Ok(());
    }
    let mut run = Command::new(&objcopy);
    // It is linked with the toolchain's LLVM.
    run.arg("--strip-debug").arg(object).env("LD_LIBRARY_PATH", sysroot.join("lib"));
    let status = run.status();
    let status = status.with_context(|| objcopy.display().to_string())?;
    ensure!(status.success(), "{} failed ({status})", objcopy.display());
    Ok(())
}

/// The channel of `rust-toolchain.toml`: bpf-linker links only the output of an LLVM of its own age.
fn pinned_toolchain(pin: &Path) -> Result<String> {
    let text = fs::read_to_string(pin).with_context(|| format!("cannot read {}", pin.display()))?;
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| key.trim() == "channel")
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        .ok_or_else(|| anyhow!("{} names no channel", pin.display()))
}

/// The root of the toolchain that compiles the program: the pinned one if rustup exists, else the one in use.
fn sysroot(toolchain: &str) -> Result<PathBuf> {
    let mut rustc = match which::which("rustup") {
        Ok(rustup) => {
            let mut run = Command::new(rustup);
            run.args(["run", toolchain, "rustc"]);
            run
        }
        Err(_) => Command::new(variable("RUSTC")?),
    };
    let output = rustc.args(["--print", "sysroot"]).output().context("cannot ask rustc for its sysroot")?;
    Ok(PathBuf::from(String::from_utf8(output.stdout).context("sysroot")?.trim()))
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).ok_or_else(|| anyhow!("{name} is not set; cargo sets it for build scripts"))
}
