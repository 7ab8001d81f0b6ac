//! Arguments for bpf-linker, which generates the program's code.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_CFG_TARGET_ARCH").is_some_and(|arch| arch == "bpf") {
        // Packets and addresses are aligned to two bytes at best; without this option each of their words would be
        // loaded byte by byte. The verifier accepts unaligned loads on machines that support them, as x86-64 and arm64.
        println!("cargo::rustc-link-arg-bins=--cpu-features=+allows-misaligned-mem-access");
    }
}
