//! Rooms of the daemon: modules directly below `daemon`, and those that each uses.
//!
//! Enters: the table of docs/architecture.md, and the sources. Leaves: what a room uses beside the table, and what the
//! table has that no room uses, so that it says what is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use crate::circles;

const PAGE: &str = "docs/architecture.md";
/// Head of the table.
const HEAD: &str = "| room | uses |";

type Rooms = BTreeMap<String, BTreeSet<String>>;

/// Differences, each as a line.
pub(crate) fn faults(root: &Path) -> Result<Vec<String>> {
    let page = std::fs::read_to_string(root.join(PAGE)).context(PAGE)?;
    Ok(differences(&table(&page), &circles::rooms(root, &["vrrp_user", "daemon"])?))
}

/// Rows name one room or several that use the same; names are in backquotes.
fn table(page: &str) -> Rooms {
    let names =
        |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let lines = page.lines().skip_while(|line| *line != HEAD).skip(2);
    let rows = lines.map_while(|line| line.strip_prefix('|')?.split_once('|'));
    rows.flat_map(|(rooms, used)| names(rooms).into_iter().map(move |room| (room, names(used)))).collect()
}

fn differences(table: &Rooms, present: &Rooms) -> Vec<String> {
    let rooms: BTreeSet<&String> = table.keys().chain(present.keys()).collect();
    let lines = rooms.into_iter().flat_map(|room| {
        let (Some(written), Some(used)) = (table.get(room), present.get(room)) else {
            return vec![format!("`{room}` is in one of {PAGE} and vrrp-user/src/daemon only")];
        };
        let beyond = used.difference(written).map(|other| format!("{room} must not use {other}: see {PAGE}"));
        let idle = written.difference(used).map(|other| format!("{PAGE}: {room} does not use {other}"));
        beyond.chain(idle).collect()
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_sources_must_agree() {
        let page = "text\n\n| room | uses |\n|---|---|\n| `a`, `b` | `c`, `d` |\n| `c` | – |\n| `d` | `c` |\n\ntext `e`\n";
        let written = table(page);
        assert_eq!(written.len(), 4);
        assert!(differences(&written, &written).is_empty());
        let mut present = written.clone();
        present.get_mut("c").unwrap().insert("a".to_owned());
        present.get_mut("d").unwrap().clear();
        present.insert("e".to_owned(), BTreeSet::new());
        let found = differences(&written, &present);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("c must not use a") && found[1].contains("d does not use c"), "{found:?}");
    }
}
