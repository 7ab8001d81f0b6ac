//! Kinds of interfaces, in the namespace of the calling thread.

use nix::net::if_::if_nametoindex;
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;
use vrrp_user::driver::xdp::Card;

fn namespace(role: &str) -> Namespace {
    Namespace::new(role).unwrap()
}

fn card(namespace: &Namespace, interface: &str) -> Card {
    namespace.enter(|| Ok(Card::of(if_nametoindex(interface)?)?)).unwrap()
}

fn index(namespace: &Namespace, interface: &str) -> u32 {
    namespace.enter(|| Ok(if_nametoindex(interface)?)).unwrap()
}

/// An interface with a device in this process's sysfs, which shows the namespace of its mount.
fn card_of_the_host() -> Option<String> {
    let names = std::fs::read_dir("/sys/class/net").ok()?.flatten();
    let mut names = names.filter(|entry| entry.path().join("device").exists());
    names.next()?.file_name().into_string().ok()
}

#[test]
#[needs("root", "ip")]
fn a_veth_by_the_name_of_a_card_is_a_veth() {
    let namespace = namespace("cards");
    let name = card_of_the_host().unwrap_or_else(|| "eth0".to_owned());
    namespace.ip(&format!("link add {name} type veth peer name other")).unwrap();
    let veth = card(&namespace, &name);
    assert_eq!(veth.kind.as_deref(), Some("veth"));
    assert!(!veth.is_hardware() && veth.strips_tags);
    // The other end of a veth is not its parent.
    assert_eq!((veth.parent, veth.master), (None, None));
}

#[test]
fn a_card_of_the_host_is_hardware() {
    // A container sees devices of its host in sysfs, and has none of them.
    let Some(index) = card_of_the_host().and_then(|name| if_nametoindex(&*name).ok()) else { return };
    let card = Card::of(index).unwrap();
    assert!(card.is_hardware() && card.kind.is_none(), "{card:?}");
    assert_eq!(card.parent, None);
}

#[test]
#[needs("root", "ip")]
fn software_devices_have_their_parents() {
    let namespace = namespace("stack");
    namespace
        .ip("link add br0 type bridge\n\
             link add eth0 type veth peer name other\n\
             link set eth0 master br0\n\
             link add link br0 name mv0 type macvlan mode private\n\
             link add link mv0 name mv1 type macvlan mode private")
        .unwrap();
    let bridge = index(&namespace, "br0");
    for (name, kind, parent, master) in [
        ("br0", "bridge", None, None),
        ("eth0", "veth", None, Some(bridge)),
        ("mv0", "macvlan", Some(bridge), None),
        ("mv1", "macvlan", Some(bridge), None),
    ] {
        let card = card(&namespace, name);
        assert_eq!((card.kind.as_deref(), card.parent, card.master), (Some(kind), parent, master), "{name}");
        assert!(!card.is_hardware() && !card.loopback && card.strips_tags, "{name}");
    }
    let loopback = card(&namespace, "lo");
    assert!(loopback.loopback && !loopback.is_hardware());
    assert_eq!((loopback.kind, loopback.parent), (None, None));
}

#[test]
fn a_parent_in_another_namespace_is_none_here() {
    let (host, container) = (namespace("host"), namespace("container"));
    // In the container another interface has the index that the parent has on its host.
    host.ip("link add eth0 index 77 type bridge").unwrap();
    container.ip("link add other index 77 type bridge").unwrap();
    host.ip(&format!("link add link eth0 name mv0 netns {} type macvlan mode bridge", container.name()))
        .unwrap();
    let macvlan = card(&container, "mv0");
    assert_eq!((macvlan.kind.as_deref(), macvlan.parent), (Some("macvlan"), None));
}
