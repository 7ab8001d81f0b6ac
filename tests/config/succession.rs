//! Identity of instances over a reload.

use vrrp_user::config::{Config, NoRoom, parse, succeed};

/// Instances with these VRIDs.
fn config(vrids: impl IntoIterator<Item = u8>) -> Config {
    let instance = |vrid| {
        format!(
            "vrrp_instance V{vrid} {{ interface eth0; virtual_router_id {vrid}; virtual_ipaddress {{ 192.0.2.{vrid}/24 }} }}\n"
        )
    };
    let text: String = vrids.into_iter().map(instance).collect();
    parse("t", &text.replace("; ", "\n").replace("{ ", "{\n").replace(" }", "\n}")).unwrap().config
}

fn numbers(config: &Config) -> Vec<(u8, u32)> {
    config.instances.iter().map(|it| (it.settings.vrid.number(), it.id.0)).collect()
}

#[test]
fn an_instance_keeps_its_number_and_no_other_one_gets_it() {
    let before = config(1..=3);
    let mut after = config([4, 3, 1]);
    succeed(&before, &mut after, 6, |_| true).unwrap();
    assert_eq!(numbers(&after), [(4, 3), (3, 2), (1, 0)]);
}

/// A removed instance still exists when a new one is added.
#[test]
fn without_an_unused_number_there_is_no_room() {
    let before = config(1..=3);
    assert_eq!(succeed(&before, &mut config([1, 2, 4]), 3, |_| true), Err(NoRoom(3)));
    assert_eq!(succeed(&before, &mut config([1, 2]), 3, |_| true), Ok(()));
    let mut after = config([1, 2, 4]);
    succeed(&config([1, 2]), &mut after, 3, |_| true).unwrap();
    assert_eq!(numbers(&after), [(1, 0), (2, 1), (4, 2)]);
}
