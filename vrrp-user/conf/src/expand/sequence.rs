//! `~SEQ(NAME, first, step, last)` and `~LST(NAME, value, …)`: a line once for each number or value.
//!
//! Enters: the text between the parentheses. Leaves: names and their values, one set after the other. A sequence
//! may be too long to store, so its values are made one at a time.

use super::define::is_valid_name;
use crate::source::Position;
use crate::text::{SourceChar, trim};

#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) names: Vec<String>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Numbers {
        /// `None` after the last one.
        next: Option<i64>,
        step: i64,
        last: i64,
        hex: bool,
    },
    Sets(std::vec::IntoIter<Vec<String>>),
}

/// An error and its position.
pub(super) type Wrong = (Position, String);

impl Sequence {
    /// Whether a line begins with `~SEQ` or `~LST`.
    pub(super) fn begins(letters: &[SourceChar]) -> bool {
        let word = letters.iter().take(4).map(|letter| letter.char);
        word.clone().eq("~SEQ".chars()) || word.eq("~LST".chars())
    }

    /// Reads the start of a line, up to and including its closing parenthesis.
    pub(super) fn read(head: &[SourceChar]) -> Result<Self, Wrong> {
        let at = head.first().map(|first| first.at).unwrap_or_default();
        let text: String = head.iter().map(|letter| letter.char).collect();
        let wrong = |message: &str| (at, message.to_owned());
        let inside = text
            .split_once('(')
            .and_then(|(word, inside)| Some((word.trim_end(), inside.strip_suffix(')')?)));
        let (word, inside) =
            inside.ok_or_else(|| wrong("`~SEQ` and `~LST` need `(`, a name, values, and `)`"))?;
        let sequence = match word {
            "~SEQ" => numbers(inside, false),
            "~SEQx" => numbers(inside, true),
            "~LST" => list(inside),
            _ => Err(format!("unknown `{word}`; use `~SEQ`, `~SEQx` or `~LST`")),
        };
        let sequence = sequence.map_err(|message| (at, message))?;
        match sequence.names.iter().find(|name| !is_valid_name(name)) {
            Some(name) => Err(wrong(&format!(
                "`{name}` is not a name: use letters, digits and underscores, and no digit first"
            ))),
            None => Ok(sequence),
        }
    }
}

impl Iterator for Sequence {
    /// One value for each name.
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        match &mut self.values {
            Values::Sets(sets) => sets.next(),
            Values::Numbers { next, step, last, hex } => {
                let number = (*next)?;
                let (step, last) = (*step, *last);
                *next = number
                    .checked_add(step)
                    .filter(|next| if step > 0 { *next <= last } else { *next >= last });
                Some(vec![if *hex { format!("{number:x}") } else { number.to_string() }])
            }
        }
    }
}

fn numbers(inside: &str, hex: bool) -> Result<Sequence, String> {
    let mut words = inside.split(',').map(str::trim);
    let name = words.next().unwrap_or_default().to_owned();
    let numbers = words.map(number).collect::<Result<Vec<i64>, String>>()?;
    let (first, step, last) = match *numbers.as_slice() {
        [last] => (if last < 0 { -1 } else { 1 }, if last < 1 { -1 } else { 1 }, last),
        [first, last] => (first, if first <= last { 1 } else { -1 }, last),
        [first, step, last] => (first, step, last),
        _ => return Err("`~SEQ` takes a name, the first number, the step, and the last number".to_owned()),
    };
    if step == 0 || (first < last && step < 0) || (first > last && step > 0) {
        return Err(format!("a step of {step} does not lead from {first} to {last}"));
    }
    if hex && (first < 0 || last < 0) {
        return Err("`~SEQx` takes no negative numbers".to_owned());
    }
    Ok(Sequence { names: vec![name], values: Values::Numbers { next: Some(first), step, last, hex } })
}

/// As in C: `0x` makes it hexadecimal, `0` octal.
fn number(word: &str) -> Result<i64, String> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.strip_prefix("0x") {
        Some(digits) => (16, digits),
        None if lower.len() > 1 && lower.starts_with('0') => (8, lower.as_str()),
        None => (10, lower.as_str()),
    };
    Some(digits)
        .filter(|digits| digits.starts_with(|first: char| first.is_ascii_hexdigit()))
        .and_then(|digits| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok())
        .ok_or_else(|| format!("`{word}` is not a number"))
}

fn list(inside: &str) -> Result<Sequence, String> {
    let mut sets = sets(inside)?.into_iter();
    let names = sets.next().unwrap_or_default();
    let sets: Vec<Vec<String>> = sets.collect();
    if sets.is_empty() {
        return Err("`~LST` takes a name, or names in braces, and values".to_owned());
    }
    let sets = sets.into_iter().map(|mut set| {
        if set.len() > names.len() {
            return Err(format!("{} values for {} names: {}", set.len(), names.len(), set.join(", ")));
        }
        // Missing values are empty.
        set.resize(names.len(), String::new());
        Ok(set)
    });
    let sets = sets.collect::<Result<Vec<_>, String>>()?;
    Ok(Sequence { names, values: Values::Sets(sets.into_iter()) })
}

/// `a, {b, c}` as `[a]` and `[b, c]`.
fn sets(inside: &str) -> Result<Vec<Vec<String>>, String> {
    let mut sets = Vec::new();
    let mut rest = inside.trim();
    loop {
        let after = if let Some(braced) = rest.strip_prefix('{') {
            let (set, after) = braced.split_once('}').ok_or("a `}` is missing in `~LST`")?;
            sets.push(set.split(',').map(|value| value.trim().to_owned()).collect());
            after.trim_start()
        } else {
            let (value, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
            sets.push(vec![value.trim().to_owned()]);
            after
        };
        match after.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if after.is_empty() => return Ok(sets),
            None => return Err(format!("a `,` is missing before `{after}`")),
        }
    }
}

/// Splits a line after the first closing parenthesis.
pub(super) fn split(letters: &[SourceChar]) -> Option<(&[SourceChar], &[SourceChar])> {
    let close = letters.iter().position(|letter| letter.char == ')')?;
    let (head, rest) = letters.split_at_checked(close.checked_add(1)?)?;
    Some((head, trim(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let letters: Vec<SourceChar> =
            text.chars().map(|char| SourceChar { char, at: Position::default() }).collect();
        let sequence = Sequence::read(&letters).map_err(|(_, message)| message)?;
        let names = sequence.names.join("+");
        let values: Vec<String> = sequence.take(20).map(|set| set.join("+")).collect();
        Ok(format!("{names}: {}", values.join(" ")))
    }

    #[test]
    fn numbers_run_from_the_first_to_the_last() {
        let rows = [
            ("~SEQ(N,0,3)", "N: 0 1 2 3"),
            ("~SEQ( N , 3 , 0 )", "N: 3 2 1 0"),
            ("~SEQ(N,168,2,172)", "N: 168 170 172"),
            ("~SEQ(N,1,2,4)", "N: 1 3"),
            ("~SEQ(N,3)", "N: 1 2 3"),
            ("~SEQ(N,-3)", "N: -1 -2 -3"),
            ("~SEQ(N,0)", "N: 1 0"),
            ("~SEQ(N,5,5)", "N: 5"),
            ("~SEQ(N,010,-1,0x6)", "N: 8 7 6"),
            ("~SEQ (N,+1,2)", "N: 1 2"),
            ("~SEQx(N,144,16,192)", "N: 90 a0 b0 c0"),
            ("~SEQx(N,0x12,-2,0x0c)", "N: 12 10 e c"),
            ("~SEQ(N,9223372036854775806,9223372036854775807)", "N: 9223372036854775806 9223372036854775807"),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn lists_run_over_values_and_sets_of_values() {
        let rows = [
            ("~LST(IP, 1, 20 ,x)", "IP: 1 20 x"),
            ("~LST({IP,   IP1},  {10,1},{20,4})", "IP+IP1: 10+1 20+4"),
            ("~LST({A,B}, {1}, 2, {,3})", "A+B: 1+ 2+ +3"),
            ("~LST({A}, {1})", "A: 1"),
            ("~LST(A,)", "A: "),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_counted_is_named() {
        let rows = [
            ("~SEQ(N,1,0,3)", "a step of 0 does not lead from 1 to 3"),
            ("~SEQ(N,1,-1,3)", "a step of -1 does not lead from 1 to 3"),
            ("~SEQ(N,1,1,1,1)", "`~SEQ` takes a name, the first number, the step, and the last number"),
            ("~SEQ(N)", "`~SEQ` takes a name, the first number, the step, and the last number"),
            ("~SEQ(N,a,3)", "`a` is not a number"),
            ("~SEQ(N,,3)", "`` is not a number"),
            ("~SEQ(N,--1,3)", "`--1` is not a number"),
            ("~SEQ(N,09,3)", "`09` is not a number"),
            ("~SEQ(N,99999999999999999999)", "`99999999999999999999` is not a number"),
            ("~SEQ({N},1,3)", "`{N}` is not a name: use letters, digits and underscores, and no digit first"),
            ("~SEQx(N,-1,3)", "`~SEQx` takes no negative numbers"),
            ("~SEQy(N,1,3)", "unknown `~SEQy`; use `~SEQ`, `~SEQx` or `~LST`"),
            ("~SEQ N)", "`~SEQ` and `~LST` need `(`, a name, values, and `)`"),
            ("~LST(A)", "`~LST` takes a name, or names in braces, and values"),
            ("~LST({A,B},{1,2,3})", "3 values for 2 names: 1, 2, 3"),
            ("~LST({A,B},{1,2)", "a `}` is missing in `~LST`"),
            ("~LST({A,B} {1,2})", "a `,` is missing before `{1,2}`"),
            ("~LST(1A,2)", "`1A` is not a name: use letters, digits and underscores, and no digit first"),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text), Err(expected.to_owned()), "{text}");
        }
    }
}
