//! Any text, by the body of the fuzz target: no panic, and every finding points into the text.

#[path = "../fuzz/src/config.rs"]
#[expect(unreachable_pub, reason = "the fuzzer calls it from outside")]
mod target;

use std::path::Path;

use proptest::prelude::*;

const SOUND: [&str; 4] = [
    include_str!("../corpus/valid/everything.conf"),
    include_str!("../corpus/valid/grammar.conf"),
    include_str!("../corpus/valid/sample.conf"),
    include_str!("../corpus/valid/traps.conf"),
];

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        target::read(&text);
    }

    #[test]
    fn any_sequence_of_the_languages_parts(
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..60)
    ) {
        target::read(&parts.concat());
    }

    #[test]
    fn sound_files_with_damage(
        file in 0..SOUND.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, prop::sample::select(PARTS)), 1..6)
    ) {
        let mut letters: Vec<char> = SOUND[file].chars().collect();
        for (at, removed, inserted) in damage {
            let at = at.index(letters.len() + 1);
            let end = (at + removed).min(letters.len());
            letters.splice(at..end, inserted.chars());
        }
        target::read(&letters.into_iter().collect::<String>());
    }
}

#[test]
fn seeds() {
    let folders = ["fuzz/seeds/config", "corpus/valid", "corpus/broken", "corpus/guides", "corpus/compared"];
    for folder in folders {
        let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
        let texts: Vec<String> =
            entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
        assert!(!texts.is_empty(), "{folder}");
        for text in texts {
            target::read(&text);
        }
    }
}

const PARTS: &[&str] = &[
    "\n",
    " ",
    "{",
    "}",
    "\"",
    "'",
    "\\",
    "#",
    "!",
    "$A=",
    "$A",
    "${A}",
    "$B= \\\n",
    "${B}",
    "${_RANDOM 1 5}",
    "${_",
    "${",
    "\\\n",
    ",",
    ")",
    "~SEQ(A,",
    "~SEQx(A,1,9)",
    "~SEQ(A,1,99) ",
    "~LST({A,B},{1,2},{3,4}) ",
    "@x ",
    "@^x ",
    "-1",
    "0",
    "255",
    "99999999999999999999",
    "0.01",
    "192.0.2.1/24",
    "fe80::1/64",
    "/",
    "é",
    "\u{0}",
    "\r\n",
    "global_defs {\n",
    "vrrp_instance x {\n",
    "vrrp_script x {\n",
    "script ",
    "interface eth0\n",
    "virtual_router_id 1\n",
    "virtual_ipaddress {\n",
    "auth_pass ",
    "authentication {\n",
    "auth_type PASS\n",
    "track_script {\nx\n}\n",
    "weight ",
    "advert_int ",
    "notify ",
    "version ",
    "unicast_peer {\n",
    "include ",
    "virtual_server {\n",
    "brd +",
    "label ",
    "reverse",
];
