//! Spans of time on the command line: `500ms`, `10s`, `2m`, `1h`; a bare number counts seconds.

use std::time::Duration;

/// The longest one, so that no sum of it and a time overflows.
const MOST: Duration = Duration::from_secs(366 * 86_400);

pub(super) fn span(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong(text))?;
    let millis = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => return Err(wrong(text)),
    };
    let span = millis.map(Duration::from_millis).filter(|span| *span <= MOST && !span.is_zero());
    span.ok_or_else(|| wrong(text))
}

fn wrong(text: &str) -> String {
    format!("`{text}` is no time such as 500ms, 10s, 2m, 1h or 1d, up to a year")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read_and_anything_else_is_refused() {
        for (text, millis) in
            [("500ms", 500), ("10s", 10_000), ("10", 10_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "s",
            "0",
            "0s",
            "10 s",
            "1.5s",
            "-1s",
            "10w",
            "367d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
