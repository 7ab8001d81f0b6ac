//! `vrrpx tune`: advice from the gaps in a status.

use std::fs;
use std::path::Path;

use vrrp_user::daemon::inspect::tune::{GAPS_MIN, TuneError, tune};
use vrrp_user::daemon::status::{Gaps, Instance};

use crate::setup::filled;

const MS: f64 = 0.001;

/// An instance of priority 100 at 100 ms, whose peer was heard with these gaps.
fn measured(gaps: &[(f64, u32)], longest: f64) -> Instance {
    let mut instance = filled().status().instances.remove(0);
    let peer = &mut instance.peers[0];
    peer.gaps =
        gaps.iter().map(|(below, count)| Gaps { below_seconds: Some(*below), count: *count }).collect();
    peer.gap_max_seconds = longest;
    instance
}

fn advice(gaps: &[(f64, u32)], longest: f64) -> String {
    let text = tune(&measured(gaps, longest), "late by 300µs at most").unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    text
}

#[test]
fn steady_gaps_allow_a_shorter_interval() {
    // Late by 20 ms at most: 10 ms × 3 and the skew of 6 ms are more than 10 ms and 20 ms.
    let text = advice(&[(131.0 * MS, 20_000)], 120.0 * MS);
    assert!(
        text.starts_with("VI_1, BACKUP: 20000 gaps between adverts of 10.0.0.2, which sends one every"),
        "{text}"
    );
    assert!(text.contains("near misses none: no gap was longer than 260.937ms"), "{text}");
    assert!(text.contains("advert_int 0.01 (shorter than now) would have kept the master"), "{text}");
    // Half as long again: 30 ms.
    assert!(text.contains("advice      advert_int 0.02 (shorter than now)"), "{text}");
}

#[test]
fn one_long_pause_counts_among_many_short_gaps() {
    // Late by 200 ms: intervals below 80 ms would have moved the address, 80 ms × 2.6 is longer than 200 ms.
    let text = advice(&[(131.0 * MS, 20_000), (524.0 * MS, 1)], 300.0 * MS);
    assert!(text.contains("near misses 1 gap longer than 260.937ms"), "{text}");
    assert!(text.contains("advert_int 0.08 (shorter than now) would have kept the master"), "{text}");
    assert!(text.contains("advice      advert_int 0.12 (longer than now)"), "{text}");
    assert!(text.contains("the longest gap was 83 % of what is allowed"), "{text}");
}

/// The screen of the page about it.
#[test]
fn the_page_shows_what_it_prints() {
    let gaps = [(16.777_216 * MS, 14_961), (33.554_432 * MS, 11)];
    let mut instance = Instance { name: "web".to_owned(), ..measured(&gaps, 21.529 * MS) };
    instance.peers[0].address = "192.0.2.11".to_owned();
    instance.peers[0].advert_interval_seconds = Some(10.0 * MS);
    let text = tune(&instance, "late by 25.036ms at most, p99 < 1.024ms").unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/doctor.md");
    assert!(fs::read_to_string(page).unwrap().contains(&format!("```\n{text}```\n")), "{text}");
}

/// The histogram has powers of two: a gap in the bucket of the limit may lie on either side of it.
#[test]
fn a_number_that_is_not_known_is_bounded() {
    let text = advice(&[(131.0 * MS, 20_000), (262.0 * MS, 3)], 250.0 * MS);
    assert!(text.contains("near misses 0 to 3 gaps longer than 260.937ms"), "{text}");
}

#[test]
fn too_few_gaps_give_no_advice() {
    let few = u32::try_from(GAPS_MIN).unwrap() - 1;
    let refused = tune(&measured(&[(131.0 * MS, few)], 0.1), "").unwrap_err();
    assert!(matches!(&refused, TuneError::TooFew { gaps, .. } if *gaps == u64::from(few)), "{refused}");
    assert!(refused.to_string().contains("only 9999 gaps"), "{refused}");
    assert_eq!(tune(&measured(&[], 0.0), ""), Err(TuneError::NoPeer { instance: "VI_1".to_owned() }));
}
