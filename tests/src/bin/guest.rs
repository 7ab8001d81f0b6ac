//! Runs inside a virtual machine and does what the host asks for; see `vrrp_tests::vm`.

fn main() -> anyhow::Result<()> {
    vrrp_tests::vm::serve()
}
