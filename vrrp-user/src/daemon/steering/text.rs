//! Texts of orders: lengths of time, and reasons.

use std::time::Duration;

/// Longest reason in characters.
const REASON_MAX: usize = 200;

/// Longest time of an order.
const SPAN_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Reads a length of time such as `90s`, `30m`, `1h30m` or `2d`.
///
/// # Errors
/// It is not one, it is zero, or it is longer than a year.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no time; write it as 90s, 30m, 1h30m or 2d");
    let (mut rest, mut sum, mut smallest) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit()).ok_or_else(bad)?;
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(bad)?;
        let unit = tail.chars().next().ok_or_else(bad)?;
        let seconds = match unit {
            'd' => 86_400,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(bad()),
        };
        if seconds >= smallest {
            return Err(bad());
        }
        smallest = seconds;
        let number: u64 = number.parse().map_err(|_| bad())?;
        sum = number.checked_mul(seconds).and_then(|span| sum.checked_add(span)).ok_or_else(bad)?;
        rest = tail.strip_prefix(unit).unwrap_or_default();
    }
    match Duration::from_secs(sum) {
        Duration::ZERO => Err(bad()),
        span if span > SPAN_MAX => Err(format!("`{text}` is longer than a year")),
        span => Ok(span),
    }
}

/// Checks a reason: it is shown on terminals and in logs.
pub(super) fn check_reason(reason: &str) -> Result<(), String> {
    if reason.chars().any(char::is_control) {
        return Err("the reason has control characters; write it as one line of text".to_owned());
    }
    if reason.chars().count() > REASON_MAX {
        return Err(format!("the reason is longer than {REASON_MAX} characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        let seconds = |text| parse_span(text).map(|span| span.as_secs());
        assert_eq!(
            ["90s", "30m", "1h30m", "2d", "1d1h1m1s", "007m"].map(seconds),
            [90, 1800, 5400, 172_800, 90_061, 420].map(Ok)
        );
        for bad in
            ["", "30", "m", "1.5h", "30m1h", "1m1m", "0s", "-1s", "1 h", "1w", "é", "99999999999999999999s"]
        {
            assert!(parse_span(bad).unwrap_err().contains("30m"), "{bad}");
        }
        assert_eq!(parse_span("400d").unwrap_err(), "`400d` is longer than a year");
    }

    #[test]
    fn a_reason_is_one_line() {
        assert!(check_reason("new kernel – ticket 4711").is_ok());
        assert!(check_reason("a\nb").is_err() && check_reason("\x1b[2J").is_err());
        assert!(check_reason(&"x".repeat(201)).is_err());
    }
}
