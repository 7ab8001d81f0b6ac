//! Requirements one by one, with their numbers in `docs/requirements.md`; `own` marks behaviour that no RFC specifies
//! and that page does not list.

mod backup;
mod handover;
mod heir;
mod hot_restart;
mod init;
mod lost;
mod master;
mod reload;
mod steering;
mod suspended;
mod track;

use vrrp_user::protocol::{ElectionSettings, Priority};

use super::script;
use super::setup::Variant;

struct Row {
    number: &'static str,
    what: &'static str,
    variants: &'static [Variant],
    settings: fn(&mut ElectionSettings),
    script: &'static str,
}

const ALL: &[Variant] = &Variant::ALL;
const V3: &[Variant] = &[Variant::V3Ipv4, Variant::V3Ipv6];
const V2: &[Variant] = &[Variant::V2];

fn plain(_: &mut ElectionSettings) {}

fn owner(settings: &mut ElectionSettings) {
    settings.priority = Priority::OWNER;
}

fn no_preempt(settings: &mut ElectionSettings) {
    settings.preempt = false;
}

fn rows() -> impl Iterator<Item = &'static Row> {
    [
        init::ROWS,
        backup::ROWS,
        master::ROWS,
        track::ROWS,
        suspended::ROWS,
        lost::ROWS,
        handover::ROWS,
        heir::ROWS,
        hot_restart::ROWS,
        reload::ROWS,
        steering::ROWS,
    ]
    .into_iter()
    .flatten()
}

#[test]
fn all_rows_hold() {
    for row in rows() {
        for &variant in row.variants {
            let mut settings = variant.settings();
            (row.settings)(&mut settings);
            script::run(&format!("{} ({})", row.number, row.what), variant, settings, row.script);
        }
    }
}

#[test]
fn the_state_tables_are_covered() {
    let numbers =
        |prefix: &'static str, from: u8, to: u8| (from..=to).map(move |n| format!("{prefix}{n:02}"));
    let wanted = numbers("S", 1, 4).chain(numbers("B", 5, 14)).chain(numbers("A", 7, 17));
    for number in wanted {
        assert!(rows().any(|row| row.number == number), "{number} has no row");
    }
}
