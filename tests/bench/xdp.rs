//! `cargo xtask bench xdp`.

fn main() -> anyhow::Result<()> {
    vrrp_tests::bench_xdp::run()
}
