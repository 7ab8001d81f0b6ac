//! Entries of the program: which of them the kernel verifies, and when.

use std::sync::Arc;

use vrrp_tests::needs;
use vrrp_user::driver::RxPath;
use vrrp_user::driver::xdp::{Entry, Mode, Program};

use crate::cable::{Cable, ifindex};

fn loaded(program: &Program) -> [bool; 2] {
    Entry::ALL.map(|entry| program.verification(entry).is_ok())
}

#[test]
#[needs("root", "ip")]
fn an_entry_is_loaded_when_a_receive_path_needs_it() {
    let cable = Cable::new();
    let check = || {
        let interfaces = [Arc::from("eth0"), Arc::from("missing")];
        let mut program = Program::load_for(1, &interfaces, Mode::Auto)?;
        assert_eq!(loaded(&program), [false, true], "a veth takes tcx or tc");
        // Its maps are in use by now.
        let maps = program.maps();
        maps.reach(1)?;
        drop(program.ring()?);
        let attached = program.attach(ifindex()?, "eth0", Mode::Generic)?;
        assert_eq!((attached.rx_path, loaded(&program)), (RxPath::Generic, [true, true]));
        let generic = Program::load_for(1, &interfaces, Mode::Generic)?;
        assert_eq!(loaded(&generic), [true, false]);
        let unknown = Program::load_for(1, &interfaces[1..], Mode::Auto)?;
        assert_eq!(loaded(&unknown), [true, true], "any interface may come");
        Ok(())
    };
    cable.left.enter(check).unwrap();
}
