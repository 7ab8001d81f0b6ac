//! Virtual MAC addresses: interface names, MAC addresses and placement of addresses from a configuration.

use std::sync::Arc;

use vrrp_user::config::{InstanceSettings, Loaded, VmacSettings, parse};

fn instance(name: &str, vrid: u8, lines: &str, addresses: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth0\nversion 3\nvirtual_router_id {vrid}\npriority 100\n{lines}\n\
         virtual_ipaddress {{\n{addresses}\n}}\n}}\n"
    )
}

fn settings(text: &str) -> (Vec<Arc<InstanceSettings>>, Vec<String>) {
    let Loaded { config, diagnostics, .. } = parse("t", text).unwrap();
    let settings = config.instances.into_iter().map(|instance| instance.settings);
    (settings.collect(), diagnostics.iter().map(ToString::to_string).collect())
}

/// Name, parent and MAC address of each.
fn shown(vmacs: &VmacSettings) -> Vec<String> {
    let mac = |mac: [u8; 6]| mac.map(|octet| format!("{octet:02x}")).join(":");
    vmacs.all().map(|vmac| format!("{} {} {}", vmac.name.as_arc(), vmac.parent, mac(vmac.mac))).collect()
}

/// Interface of each address.
fn places(settings: &InstanceSettings) -> Vec<String> {
    let addresses = settings.addresses.advertised.iter().chain(&settings.addresses.excluded);
    let device = |device: Option<&Arc<str>>| device.unwrap_or(settings.address_interface()).to_string();
    addresses.map(|address| format!("{} {}", address.address, device(address.device.as_ref()))).collect()
}

#[test]
fn names_are_keepalived_s() {
    let text = instance("a", 51, "use_vmac", "192.0.2.1/24")
        + &instance("b", 51, "use_vmac", "fe80::1/64")
        + &instance("c", 7, "use_vmac web0", "192.0.2.2/24")
        + &instance("d", 8, "use_vmac name web1 02:00:00:00:00 group 5 netlink_notify_msg", "192.0.2.3/24")
        + &instance("e", 9, "", "192.0.2.4/24");
    let (settings, found) = settings(&text);
    assert_eq!(found, [""; 0]);
    let all: Vec<_> = settings.iter().map(|settings| shown(&settings.vmacs)).collect();
    assert_eq!(all[0], ["vrrp.51 eth0 00:00:5e:00:01:33"]);
    assert_eq!(all[1], ["vrrp6.51 eth0 00:00:5e:00:02:33"]);
    assert_eq!(all[2], ["web0 eth0 00:00:5e:00:01:07"]);
    assert_eq!(all[3], ["web1 eth0 02:00:00:00:00:08"]);
    assert_eq!(all[4], [""; 0]);
    let own = settings[3].vmacs.own.as_ref().unwrap();
    assert_eq!((own.group, own.notify), (5, true));
    assert_eq!(settings[4].address_interface(), &settings[4].interface);
}

#[test]
fn names_in_the_file_are_left_free() {
    let globals = "global_defs {\nvmac_prefix vip\nvmac_addr_prefix far\n}\n";
    let text = globals.to_owned()
        + &instance("a", 51, "use_vmac", "192.0.2.1/24")
        + &instance("b", 52, "use_vmac vip.51", "192.0.2.2/24 dev eth1 use_vmac\n192.0.2.3/24 dev vip1.51");
    let (settings, _) = settings(&text);
    assert_eq!(shown(&settings[0].vmacs), ["vip1.51 eth0 00:00:5e:00:01:33"]);
    assert_eq!(shown(&settings[1].vmacs), ["vip.51 eth0 00:00:5e:00:01:34", "far.52 eth1 00:00:5e:00:01:34"]);
}

#[test]
fn addresses_go_where_keepalived_puts_them() {
    let addresses = "192.0.2.1/24\n192.0.2.2/24 dev eth0\n192.0.2.3/24 dev eth1";
    let more = "virtual_ipaddress_excluded {\n2001:db8::1/64\n}";
    let text = instance("a", 1, &format!("use_vmac\n{more}"), addresses)
        + &instance("b", 2, &format!("use_vmac\nuse_vmac_addr\n{more}"), &addresses.replace("192", "198"));
    let (settings, _) = settings(&text.replacen("2001:db8::1", "2001:db8::2", 1));
    assert_eq!(
        places(&settings[0]),
        ["192.0.2.1 vrrp.1", "192.0.2.2 vrrp.1", "192.0.2.3 eth1", "2001:db8::2 eth0"]
    );
    assert_eq!(
        places(&settings[1]),
        ["198.0.2.1 vrrp.2", "198.0.2.2 vrrp.2", "198.0.2.3 vrrp1.2", "2001:db8::1 vrrp6.2"]
    );
}

#[test]
fn adverts_leave_from_the_virtual_mac_address_unless_they_cannot() {
    let sender = |lines: &str| {
        let (settings, found) = settings(&instance("a", 1, lines, "192.0.2.1/24"));
        (settings[0].vmacs.sender().map(ToString::to_string), found)
    };
    assert_eq!(sender("use_vmac"), (Some("vrrp.1".to_owned()), vec![]));
    assert_eq!(sender("use_vmac\nvmac_xmit_base"), (None, vec![]));
    let (from, found) = sender("use_vmac\nunicast_peer {\n192.0.2.9\n}");
    assert_eq!(from, None);
    assert_eq!(
        found,
        ["t:6:1: warning: unicast adverts leave from `interface` itself, as with keepalived\n\
          help: write `vmac_xmit_base`"]
    );
    assert_eq!(
        sender("vmac_xmit_base"),
        (None, vec!["t:6:1: warning: `vmac_xmit_base` has no effect without `use_vmac`".to_owned()])
    );
}

#[test]
fn impossible_virtual_mac_addresses_are_reported() {
    let found = |lines: &str| -> Vec<String> {
        let text = instance("a", 1, lines, "192.0.2.1/24");
        let found = parse("t", &text).map_or_else(|found| found, |loaded| loaded.diagnostics);
        found.iter().map(|found| found.to_string().lines().next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(
        found("use_vmac 01:00:00:00:00:01"),
        ["t:6:10: warning: the MAC address is ignored, as with keepalived: it is a multicast address"]
    );
    assert_eq!(
        found("use_vmac 00:00:5e:00:01:07"),
        [
            "t:6:10: warning: the MAC address is ignored, as with keepalived: the VRID determines an RFC 9568 address"
        ]
    );
    assert_eq!(found("use_vmac 02:00"), ["t:6:10: error: `02:00` is not a MAC address"]);
    assert_eq!(
        found("use_vmac eth0"),
        ["t:6:1: error: `eth0` cannot be created on itself: `use_vmac` needs another name"]
    );
    assert_eq!(
        found("use_ipvlan"),
        [
            "t:6:1: error: `use_ipvlan` is not supported: no ipvlan is created; without the line the addresses are \
             on `interface`, with the same MAC address"
        ]
    );
}

#[test]
fn garp_extra_if_selects_addresses_that_adverts_do_not_cover() {
    let extra_announce = |globals: &str, lines: &str| {
        let text = format!("global_defs {{\n{globals}\n}}\n") + &instance("a", 1, lines, "192.0.2.1/24");
        let settings = settings(&text).0.remove(0);
        settings.extra_announce.map(|it| (it.period.as_secs(), it.all))
    };
    assert_eq!(extra_announce("", ""), None);
    assert_eq!(extra_announce("vrrp_garp_extra_if all 100", ""), Some((100, true)));
    assert_eq!(extra_announce("vrrp_garp_extra_if 100", "garp_extra_if all 7"), Some((7, true)));
    assert_eq!(extra_announce("vrrp_garp_extra_if 100", "garp_extra_if 0"), None);
    assert_eq!(extra_announce("vrrp_vmac_garp_intvl 5", "vmac_garp_intvl 6"), Some((6, false)));
    let addresses = "192.0.2.1/24\n192.0.2.2/24 dev eth1\n192.0.2.3/24 dev eth2 use_vmac";
    let chosen = |lines: &str| {
        let settings = settings(&instance("a", 1, lines, addresses)).0.remove(0);
        let extra_announce = settings.extra_announce.unwrap();
        let is_chosen = |address| settings.is_elsewhere(address, extra_announce);
        settings.addresses.advertised.iter().map(is_chosen).collect::<Vec<_>>()
    };
    assert_eq!(chosen("use_vmac\ngarp_extra_if 1"), [false, false, true]);
    assert_eq!(chosen("use_vmac\ngarp_extra_if all 1"), [false, true, true]);
    assert_eq!(chosen("use_vmac\nvmac_xmit_base\ngarp_extra_if 1"), [true, false, true]);
    assert_eq!(chosen("garp_extra_if all 1"), [false, true, true]);
}
