//! Comparison of a printed screen with a real one: what differs from run to run is a wildcard.
//!
//! Both texts become words. Times, dates, lengths of time, process ids, large numbers and the like become the name of
//! their kind; all else is compared as it is. Line breaks do not count, since such a word may be longer or shorter.

/// Numbers from this length on are counters or ids.
const LONG: usize = 7;

/// The words of a text, each that differs from run to run as its kind.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = &without_process(line);
        let mut of_line: Vec<String> = line.split_whitespace().map(kind).collect();
        // The head of an HTTP answer.
        if line.starts_with("date: ") {
            of_line.truncate(1);
        }
        // Of metrics, those that count or measure.
        let is_measured = line.starts_with("vrrpx_")
            && !["_state{", "_info{", "_priority{"].iter().any(|it| line.contains(it));
        if let ([_, value], true) = (&mut of_line[..], is_measured) {
            *value = "<value>".to_owned();
        }
        // Counts of `uniq -c`, and whether a request went unanswered at all.
        if let [count, rest @ ..] = &mut of_line[..]
            && count.bytes().all(|it| it.is_ascii_digit())
            && !rest.is_empty()
            && line.starts_with("     ")
        {
            if rest == ["no", "answer"] {
                continue;
            }
            *count = "<count>".to_owned();
        }
        // Losses of ping in a takeover; none, and more than a few, are as printed.
        if let [_, _, "transmitted,", _, "received,", lost, ..] =
            of_line.iter().map(String::as_str).collect::<Vec<_>>()[..]
            && lost
                .strip_suffix('%')
                .and_then(|it| it.parse().ok())
                .is_some_and(|it: u8| (1..=10).contains(&it))
        {
            of_line[3] = "<most>".to_owned();
            of_line[5] = "<few>".to_owned();
        }
        words.extend(of_line);
    }
    for place in 1..words.len() {
        // Lengths with a blank before the unit: whole ones are measured, others computed.
        let is_whole = |word: &String| word.bytes().all(|it| it.is_ascii_digit());
        let is_unit = matches!(words[place].trim_end_matches([',', ';', '.', ':']), "ms" | "s");
        if is_unit && is_whole(&words[place - 1]) {
            words[place - 1] = "<length>".to_owned();
        }
        // Of `2m 4s` both are one length.
        if words[place].starts_with("<length>") && words[place - 1] == "<length>" {
            words[place - 1].clear();
        }
        if words[place - 1].ends_with("(pid") || words[place - 1] == "pid" {
            words[place] = words[place].replace(|it: char| it.is_ascii_digit(), "").replace("<number>", "");
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The line of a log without the process that did it, which may have ended before it was looked up.
fn without_process(line: &str) -> String {
    let Some((before, after)) = line.split_once(" by=\"") else { return line.to_owned() };
    let (_, rest) = after.split_once('"').unwrap_or(("", after));
    format!("{before} by=<process>{rest}")
}

/// The word, or the name of its kind with the punctuation around it.
fn kind(word: &str) -> String {
    let head_end = word.find(|it: char| it.is_alphanumeric()).unwrap_or(word.len());
    let (head, rest) = word.split_at(head_end);
    // A field of a log or of a metric.
    if let Some((name, value)) = rest.split_once('=')
        && !value.is_empty()
        && name.chars().all(|it| it.is_alphanumeric() || matches!(it, '_' | '-'))
    {
        return format!("{head}{name}={}", kind(value));
    }
    let tail_at = rest.rfind(|it: char| it.is_alphanumeric()).map_or(0, |at| at + char_length(rest, at));
    let (core, tail) = rest.split_at(tail_at);
    let name = if is_length(core) {
        "<length>"
    } else if is_date(core) {
        "<date>"
    } else if is_clock(core) {
        "<clock>"
    } else if core
        .split_once('T')
        .is_some_and(|(date, clock)| is_date(date) && is_clock(clock.trim_end_matches('Z')))
    {
        "<time>"
    } else if is_measured(core) {
        "<number>"
    } else if core.starts_with("eth0@if") {
        "eth0@if<number>"
    } else {
        return word.to_owned();
    };
    format!("{head}{name}{tail}")
}

fn char_length(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

/// A number and its unit, such as `12.345ms`.
fn is_length(word: &str) -> bool {
    let number = ["ms", "µs", "s", "m", "h", "d"].iter().find_map(|unit| word.strip_suffix(unit));
    number.is_some_and(|it| is_digits(&it.replacen('.', "", 1)))
}

fn is_date(word: &str) -> bool {
    let parts: Vec<_> = word.split('-').collect();
    matches!(parts[..], [year, month, day] if year.len() == 4 && [year, month, day].into_iter().all(is_digits))
}

fn is_clock(word: &str) -> bool {
    let parts: Vec<_> = word.split(':').collect();
    (2..=3).contains(&parts.len())
        && parts.iter().all(|it| is_digits(&it.replacen('.', "", 1)) && it.len() >= 2)
}

/// A long number, one with many digits behind its point, or several with slashes between them.
fn is_measured(word: &str) -> bool {
    let has_all = |it: &str| it.split('.').all(is_digits) && it.split('.').count() <= 2;
    let is_fine = word.split_once('.').is_some_and(|(_, fraction)| fraction.len() > 5) && has_all(word);
    let is_long = is_digits(word) && word.len() >= LONG;
    let is_list = word.matches('/').count() >= 3 && word.split('/').all(has_all);
    is_fine || is_long || is_list
}

/// Whether a text has the other one in it, word for word.
pub(super) fn has(text: &[String], part: &[String]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// The first words that differ, for a person.
pub(super) fn difference(printed: &[String], real: &[String]) -> String {
    // Where the longest beginning of the printed text is found.
    let common = |at: usize| printed.iter().zip(&real[at..]).take_while(|(one, other)| one == other).count();
    let best = (0..real.len()).max_by_key(|at| common(*at)).unwrap_or_default();
    let same = if real.is_empty() { 0 } else { common(best) };
    let some = |words: &[String], from: usize| {
        words.iter().skip(from).take(12).cloned().collect::<Vec<_>>().join(" ")
    };
    format!(
        "after {} equal words: printed `{}`, real `{}`",
        same,
        some(printed, same),
        some(real, best + same)
    )
}

#[test]
fn only_what_differs_from_run_to_run_is_a_wildcard() {
    let same = |one: &str, other: &str| words(one) == words(other);
    assert!(same(
        "up 4s, configuration of 2026-11-29 07:06 UTC",
        "up 2m 4s, configuration of 2027-01-02 17:16 UTC"
    ));
    assert!(same("advert 70ms ago; priority 100", "advert 1s\n   ago; priority 100"));
    assert!(!same("advert 70ms ago; priority 100", "advert 70ms ago; priority 90"));
    assert!(same("     16 node1\n      2 no answer\n     32 node2", "     15 node1\n     35 node2"));
    assert!(!same("     16 node1\n     32 node2", "     48 node1"));
    assert!(same("another vrrpx (pid 21134) runs", "another vrrpx (pid 7) runs"));
    assert!(same("removed by=\"ip (pid 7)\" x=1", "removed by=\"a process that has ended\" x=1"));
    assert!(same("after 9 ms", "after 12 ms"));
    assert!(!same("after 260.937 ms", "after 260.938 ms"));
    assert!(same("at=2026-11-29T12:47:09.175Z x=1", "at=2026-11-30T02:47:09.175Z x=1"));
    assert!(!same("code=1", "code=2"));
    assert!(same("rtt = 0.044/0.072/0.159/0.016 ms", "rtt = 0.1/0.2/0.3/0.4 ms"));
    let ping = |rest: &str| format!("50 packets transmitted, {rest} packet loss");
    assert!(same(&ping("48 received, 4%"), &ping("47 received, 6%")));
    assert!(!same(&ping("48 received, 4%"), &ping("40 received, 20%")));
    assert!(!same(&ping("50 received, 0%"), &ping("49 received, 2%")));
    assert!(has(&words("a b c d"), &words("b\nc")) && !has(&words("a b c"), &words("a c")));
}
