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

use super::script;

/// Number, what the row shows, and its script.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let files = [
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
    ];
    files.into_iter().flat_map(script::rows).map(|(header, script)| {
        let (number, what) = header.split_once(": ").unwrap();
        (number, what, script)
    })
}

#[test]
fn all_rows_hold() {
    for (number, what, script) in rows() {
        script::run(&format!("{number} ({what})"), script);
    }
}

#[test]
fn the_state_tables_are_covered() {
    let numbers =
        |prefix: &'static str, from: u8, to: u8| (from..=to).map(move |n| format!("{prefix}{n:02}"));
    let wanted = numbers("S", 1, 4).chain(numbers("B", 5, 14)).chain(numbers("A", 7, 17));
    for number in wanted {
        assert!(rows().any(|(cited, ..)| cited == number), "{number} has no row");
    }
}
