//! The verifier accepts the program, and the receive path is the requested one.

use anyhow::{Result, ensure};
use vrrp_tests::daemon::Mode;

use crate::{rung, settled, subject};

#[test]
fn the_receive_path_is_the_requested_one() -> Result<()> {
    let Some(mode) = subject() else { return Ok(()) };
    settled(mode)?.check(|pair| {
        for node in [0, 1] {
            let rung = rung(pair, node)?;
            match mode {
                Mode::Auto => ensure!(rung != Mode::Socket.word(), "no program is loaded"),
                _ => ensure!(rung == mode.word(), "receive path {rung} instead of {}", mode.word()),
            }
        }
        Ok(())
    })
}
