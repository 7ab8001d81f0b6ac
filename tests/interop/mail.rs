//! Mail about changes: keepalived and ours send the same for the same file.

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::smtp::{Mail, Manner, Receiver};

const GROUP: &str = "vrrp_sync_group both {
    group {
        VI_1
        VI_52
    }
}
";

#[test]
#[needs("lab", "keepalived")]
fn the_same_file_sends_the_same_mail() -> Result<()> {
    let (ours, theirs) = (Daemon::Vrrpx(Mode::Auto), Daemon::Keepalived);
    let [ours, theirs] =
        [ours, theirs].map(|daemon| reported_by(daemon).with_context(|| format!("{daemon:?}")));
    let (ours, theirs) = (ours?, theirs?);
    ensure!(theirs.len() == 20, "keepalived sent {}: {theirs:#?}", theirs.len());
    ensure!(ours == theirs, "ours:\n{ours:#?}\nkeepalived's:\n{theirs:#?}");
    Ok(())
}

/// Mails from the start over a pulled and replugged cable, without the program's name and the time.
fn reported_by(daemon: Daemon) -> Result<Vec<Mail>> {
    let instances = vec![
        Instance::v3(200),
        Instance::v3(200).vrid(52).addresses(&["10.77.0.201/24"]),
        Instance::v3(200).vrid(53).addresses(&["10.77.0.202/24"]),
        Instance::v3(200).vrid(54).addresses(&["10.77.0.203/24"]).line("smtp_alert off"),
    ];
    let config = Config { blocks: GROUP.to_owned(), instances, ..Config::default() };
    let mut pair = Pair::idle([Role::new(daemon, config)])?;
    let receiver = Receiver::new(&pair.node(0)?.namespace, Manner::Takes)?;
    let globals = &mut pair.roles.first_mut().context("no node")?.config.globals;
    globals.extend(receiver.globals());
    globals.push("smtp_alert".to_owned());
    pair.check(|pair| {
        // Three instances and the group.
        let reported = |state: &str, times: usize| {
            let end = format!("Entering {state} state");
            until(&format!("mail about {state}"), SETTLE, || {
                receiver.subjects().iter().filter(|subject| subject.ends_with(&end)).count() == 4 * times
            })
        };
        pair.start(0)?;
        reported("MASTER", 1)?;
        pair.lab.set_cable(0, false)?;
        reported("FAULT", 1)?;
        pair.lab.set_cable(0, true)?;
        reported("MASTER", 2)?;
        // Mails may overtake each other.
        reported("BACKUP", 2)?;
        pair.ensure_alive()
    })?;
    let mut mails = receiver.mails();
    mails.sort_by_key(|mail| mail.subject().to_owned());
    for mail in &mut mails {
        mail.head.retain(|line| ["From", "To", "Subject"].iter().any(|name| line.starts_with(name)));
        mail.head.sort_unstable();
    }
    Ok(mails)
}
