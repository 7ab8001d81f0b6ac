//! Pairs from common guides to keepalived, with their configurations as published: a pair of Docker hosts, of nginx, of
//! HAProxy, and two nodes that are both active. And the guides of this project: what its pages print.
//!
//! A flag file stands for the service that each check tests.

mod pages;
mod pair;

use anyhow::{Result, ensure};

use crate::pair::{Guide, VIRTUAL};
use vrrp_tests::{needs, waits};

const SERVICE: &str = "192.168.1.100";

/// `state MASTER` and `BACKUP`, version 2 with a password longer than 8 bytes, a check with weight -20, one `notify`
/// for every state.
#[waits]
#[test]
#[needs("lab")]
fn docker_hosts() -> Result<()> {
    let node = |state: &str, priority: u8| {
        format!(
            "vrrp_script check_docker {{
    script \"@DIRECTORY@/check.sh\"
    interval 5          # Check every 5 seconds
    weight -20
    fall 2
    rise 2
}}

vrrp_instance DOCKER_HA {{
    state {state}                # The other server has the other word
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int 1
    authentication {{
        auth_type PASS
        auth_pass docker_ha_secret
    }}
    virtual_ipaddress {{
        {SERVICE}/24        # The virtual IP address
    }}
    track_script {{
        check_docker             # Use the health check script
    }}
    notify @DIRECTORY@/notify.sh
}}
"
        )
    };
    let mut guide = Guide::new([node("MASTER", 100), node("BACKUP", 90)])?;
    guide.check(|guide| {
        guide.serves(0, SERVICE)?;
        guide.fails(0)?;
        guide.serves(1, SERVICE)?;
        guide.recovers(0)?;
        guide.serves(0, SERVICE)?;
        guide.stop(0)?;
        guide.serves(1, SERVICE)?;
        // Four arguments: kind, name, state, priority.
        guide.notified(0, &["INSTANCE DOCKER_HA MASTER 100", "INSTANCE DOCKER_HA BACKUP 80"])?;
        guide.notified(1, &["INSTANCE DOCKER_HA BACKUP 90", "INSTANCE DOCKER_HA MASTER 90"])
    })
}

/// A label, `enable_script_security`, `preempt` on one node and `nopreempt` on the other, words in any column.
#[waits]
#[test]
#[needs("lab")]
fn nginx_pair() -> Result<()> {
    let node = |router: &str, state: &str, priority: u8, preempt: &str| {
        format!(
            "global_defs {{
router_id {router}
script_user root
enable_script_security
}}

vrrp_script check_nginx {{
script \"@DIRECTORY@/check.sh\"
interval 2 # Execute every 2 seconds
weight -20
fall 2
rise 2
timeout 5
}}

vrrp_instance VI_1 {{
state {state}
interface eth0
virtual_router_id 51
priority {priority}
advert_int 1
{preempt}

authentication {{
auth_type PASS
auth_pass secret123 # Password up to 8 characters
}}

virtual_ipaddress {{
{SERVICE}/24 dev eth0 label eth0:1
}}

track_script {{
check_nginx
}}
notify @DIRECTORY@/notify.sh
}}
"
        )
    };
    let nodes =
        [node("NGINX_MASTER", "MASTER", 100, "preempt"), node("NGINX_BACKUP", "BACKUP", 90, "nopreempt")];
    let mut guide = Guide::new(nodes)?;
    guide.check(|guide| {
        guide.serves(0, SERVICE)?;
        ensure!(guide.label(0, SERVICE)? == "eth0:1", "the label");
        guide.fails(0)?;
        // 100 - 20 is less than 90, but the other node must not preempt: it waits for the master to fall silent.
        guide.keeps_serving(0, SERVICE)?;
        guide.stop(0)?;
        guide.serves(1, SERVICE)?;
        ensure!(guide.label(1, SERVICE)? == "eth0:1", "the label");
        guide.recovers(0)?;
        guide.start(0)?;
        guide.serves(0, SERVICE)
    })
}

/// Both nodes start as `BACKUP`, and the check adds 20 while it passes.
#[waits]
#[test]
#[needs("lab")]
fn haproxy_pair() -> Result<()> {
    let node = |priority: u8| {
        format!(
            "vrrp_script haproxy_check {{
script \"@DIRECTORY@/check.sh\"
interval 2
weight 20
fall 2
rise 2
}}
vrrp_instance VI_1 {{
state BACKUP
interface eth0
virtual_router_id 51
priority {priority}
advert_int 1
authentication {{
auth_type PASS
auth_pass mysecretpassword
}}
virtual_ipaddress {{
{SERVICE}/24 dev eth0
}}
track_script {{
haproxy_check
}}
}}
"
        )
    };
    let mut guide = Guide::new([node(100), node(90)])?;
    guide.check(|guide| {
        guide.serves(0, SERVICE)?;
        guide.fails(0)?;
        guide.serves(1, SERVICE)?;
        guide.recovers(0)?;
        guide.serves(0, SERVICE)?;
        guide.stop(0)?;
        guide.serves(1, SERVICE)
    })
}

/// Two instances with opposite priorities: each node serves one address, and the survivor both.
#[waits]
#[test]
#[needs("lab")]
fn active_active() -> Result<()> {
    let instance = |name: &str, state: &str, vrid: u8, priority: u8, address: &str| {
        format!(
            "vrrp_instance {name} {{
    state {state}
    interface eth0
    virtual_router_id {vrid}
    priority {priority}
    advert_int 1
    virtual_ipaddress {{
        {address}/24
    }}
}}
"
        )
    };
    let [first, second] = VIRTUAL;
    let nodes = [
        instance("VI_1", "MASTER", 51, 100, first) + &instance("VI_2", "BACKUP", 52, 90, second),
        instance("VI_1", "BACKUP", 51, 90, first) + &instance("VI_2", "MASTER", 52, 100, second),
    ];
    let mut guide = Guide::new(nodes)?;
    guide.check(|guide| {
        guide.serves(0, first)?;
        guide.serves(1, second)?;
        guide.dies(1)?;
        guide.serves(0, first)?;
        guide.holds(0, second)?;
        guide.returns(1)?;
        guide.serves(0, first)?;
        guide.serves(1, second)
    })
}
