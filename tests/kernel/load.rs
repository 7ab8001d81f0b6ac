//! The verifier accepts the program, and the receive path is the requested one.

use anyhow::{Result, ensure};
use vrrp_tests::daemon::Mode;
use vrrp_tests::needs;

use crate::{settled, subject};

#[test]
#[needs("lab")]
fn the_receive_path_is_the_requested_one() -> Result<()> {
    let mode = subject();
    settled(mode)?.check(|pair| {
        for node in [0, 1] {
            let rx_path = pair.running(node)?.rx_path()?;
            match mode {
                Mode::Auto => ensure!(rx_path != Mode::Socket.as_str(), "no program is loaded"),
                _ => ensure!(rx_path == mode.as_str(), "receive path {rx_path} instead of {}", mode.as_str()),
            }
        }
        Ok(())
    })
}
