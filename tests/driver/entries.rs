//! Entries of the program: which of them the kernel verifies, and when.

use std::sync::Arc;

use aya::programs::SchedClassifier;
use aya::programs::tc::TcAttachType;
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

/// Names of the programs at tcx; `None` before Linux 6.6.
fn at_tcx() -> Option<Vec<String>> {
    let (_, programs) = SchedClassifier::query_tcx("eth0", TcAttachType::Ingress).ok()?;
    Some(programs.iter().map(|it| String::from_utf8_lossy(it.name()).into_owned()).collect())
}

#[test]
#[needs("root", "ip")]
fn a_place_at_tcx_is_taken_while_the_program_is_verified() {
    let cable = Cable::new();
    let check = || {
        if at_tcx().is_none() {
            return Ok(());
        }
        let load = || {
            let mut program = Program::open(Loader::new(), 1, 0)?;
            program.load_for(&["eth0".into()], Mode::Tcx).map(|()| program)
        };
        let attached = |mode| {
            let mut program = load()?;
            assert_eq!(at_tcx().unwrap(), ["empty_tc"], "no place was taken");
            let attached = program.attach(ifindex()?, "eth0", mode)?;
            anyhow::Ok((program, attached.rx_path))
        };
        let (program, rx_path) = attached(Mode::Tcx)?;
        assert_eq!((rx_path, at_tcx().unwrap()), (RxPath::Tcx, vec!["vrrp_tc".to_owned()]));
        drop(program);
        let (_program, rx_path) = attached(Mode::Generic)?;
        assert_eq!((rx_path, at_tcx().unwrap()), (RxPath::Generic, vec![]), "the place is kept");
        Ok(())
    };
    cable.left.enter(check).unwrap();
}
