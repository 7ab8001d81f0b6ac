//! The agent inside a virtual machine, which runs what the host requests; see `vrrp_tests::vm`.

fn main() -> anyhow::Result<()> {
    vrrp_tests::vm::serve()
}
