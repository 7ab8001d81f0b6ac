//! Entries of the program: which of them the kernel verifies, and when.

use std::sync::Arc;

use vrrp_tests::needs;
use vrrp_user::driver::RxPath;
use vrrp_user::driver::xdp::{Entry, Loader, Mode, Program};

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
        let load_for = |interfaces: &[Arc<str>], mode| {
            let mut program = Program::open(Loader::new(), 1, 0)?;
            program.load_for(interfaces, mode).map(|()| program)
        };
        let mut program = load_for(&interfaces, Mode::Auto)?;
        assert_eq!(loaded(&program), [false, true], "a veth takes tcx or tc");
        // Its maps are in use by now.
        let maps = program.maps();
        maps.reach(1)?;
        drop(program.ring()?);
        let attached = program.attach(ifindex()?, "eth0", Mode::Generic)?;
        assert_eq!((attached.rx_path, loaded(&program)), (RxPath::Generic, [true, true]));
        let generic = load_for(&interfaces, Mode::Generic)?;
        assert_eq!(loaded(&generic), [true, false]);
        let unknown = load_for(&interfaces[1..], Mode::Auto)?;
        assert_eq!(loaded(&unknown), [true, true], "any interface may come");
        Ok(())
    };
    cable.left.enter(check).unwrap();
}
