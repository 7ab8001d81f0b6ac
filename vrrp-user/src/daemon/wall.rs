//! Wall-clock time; no decision depends on it.
//!
//! People read local time with the name of its zone ([`shown`]), in the log with the offset ([`rfc3339_local`]).
//! Programs read UTC ([`rfc3339`]): JSON, webhooks, files.

use std::ffi::CStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serializer};

/// Longest time of an order.
const SPAN_MAX: Duration = Duration::from_secs(366 * 86_400);

/// RFC 3339 in UTC with milliseconds, such as `2024-02-29T23:59:59.999Z`. Times before 1970 read as 1970.
pub fn rfc3339(time: SystemTime) -> String {
    let since = since_epoch(time);
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let millis = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Local time as keepalived writes it, such as `Thu Feb 29 23:59:59.000005 2024`. Times before 1970 read as 1970.
pub fn local(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let since = since_epoch(time);
    let parts = local_parts(since.as_secs());
    let word = |words: &[&'static str], index: i32| {
        usize::try_from(index).ok().and_then(|index| words.get(index).copied()).unwrap_or("?")
    };
    let (day, month) = (word(&DAYS, parts.tm_wday), word(&MONTHS, parts.tm_mon));
    let (hour, minute, second) = (parts.tm_hour, parts.tm_min, parts.tm_sec);
    let (micros, year) = (since.subsec_micros(), parts.tm_year.saturating_add(1900));
    format!("{day} {month} {:2} {hour:02}:{minute:02}:{second:02}.{micros:06} {year}", parts.tm_mday)
}

/// Local time with its zone, as `systemctl status` shows it: `2024-02-29 23:59:59 CET`. Times before 1970 read as 1970.
pub fn shown(time: SystemTime) -> String {
    let parts = local_parts(since_epoch(time).as_secs());
    format!("{} {} {}", date(&parts), clock(&parts), zone(&parts))
}

/// The same to the millisecond.
pub fn shown_millis(time: SystemTime) -> String {
    let since = since_epoch(time);
    let parts = local_parts(since.as_secs());
    format!("{} {}.{:03} {}", date(&parts), clock(&parts), since.subsec_millis(), zone(&parts))
}

/// A time of a document, RFC 3339 in UTC, as [`shown`]; another text as it is.
pub fn shown_of(text: &str) -> String {
    parse_rfc3339(text).map_or_else(|| text.to_owned(), shown)
}

/// Local time of day to the millisecond.
pub fn clock_millis(time: SystemTime) -> String {
    let since = since_epoch(time);
    format!("{}.{:03}", clock(&local_parts(since.as_secs())), since.subsec_millis())
}

/// Local time in RFC 3339 with milliseconds and its offset, such as `2024-02-29T23:59:59.999+01:00`.
pub fn rfc3339_local(time: SystemTime) -> String {
    let since = since_epoch(time);
    let parts = local_parts(since.as_secs());
    let offset = match parts.tm_gmtoff / 60 {
        0 => "Z".to_owned(),
        minutes => {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
    };
    format!("{}T{}.{:03}{offset}", date(&parts), clock(&parts), since.subsec_millis())
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

fn date(parts: &libc::tm) -> String {
    let (year, month) = (parts.tm_year.saturating_add(1900), parts.tm_mon.saturating_add(1));
    format!("{year:04}-{month:02}-{:02}", parts.tm_mday)
}

fn clock(parts: &libc::tm) -> String {
    format!("{:02}:{:02}:{:02}", parts.tm_hour, parts.tm_min, parts.tm_sec)
}

/// The name of the zone at that time: of an unnamed one the offset, such as `+07`.
fn zone(parts: &libc::tm) -> String {
    if parts.tm_zone.is_null() {
        return "UTC".to_owned();
    }
    // SAFETY: the C library keeps the names of the zone, which is read once and stays.
    let name = unsafe { CStr::from_ptr(parts.tm_zone) };
    name.to_string_lossy().into_owned()
}

/// Reads a length of time such as `90s`, `30m`, `1h30m` or `2d`.
///
/// # Errors
/// It is not one, it is zero, or it is longer than a year.
pub fn span(text: &str) -> Result<Duration, String> {
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

/// The moment of an RFC 3339 time in UTC, as [`rfc3339`] writes it.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = local_numbers(date, time)?;
    // SAFETY: the pointer is to a value of this function.
    let seconds = unsafe { libc::timegm(&raw mut parts) };
    let fraction = time.split_once('.').map_or("", |(_, fraction)| fraction);
    let millis = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let since =
        Duration::from_secs(u64::try_from(seconds).ok()?).saturating_add(Duration::from_millis(millis));
    UNIX_EPOCH.checked_add(since)
}

/// Writes a time as [`rfc3339`] does; with [`deserialize`] for `serde(with)`.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

/// Reads a time as [`parse_rfc3339`] does.
///
/// # Errors
/// The deserializer's, or the text is no such time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_rfc3339(&text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"a time by RFC 3339"))
}

/// The moment of a local time: `2024-02-29 23:59`, with seconds or without, and with the name of its zone or without;
/// without a date, the latest one that has passed, today or yesterday. Also those of [`rfc3339`] and [`rfc3339_local`].
pub fn parse_local(text: &str, now: SystemTime) -> Option<SystemTime> {
    let Some((time, name)) = text.rsplit_once(' ').filter(|(time, _)| time.contains(':')) else {
        return moment(text, now, ANY);
    };
    let whole = time.split_once('.').map_or(time, |(whole, _)| whole).replacen(' ', "T", 1);
    if let Some(moment) = parse_rfc3339(&format!("{whole}Z")).filter(|_| name == "UTC") {
        return Some(moment);
    }
    // As it was shown here; that of another zone is another moment. The end of summer time repeats an hour.
    let is_named = |at: &SystemTime| zone(&local_parts(since_epoch(*at).as_secs())) == name;
    [ANY, 1, 0].into_iter().filter_map(|summer| moment(time, now, summer)).find(is_named)
}

/// For the C library to find out whether it is summer time.
const ANY: libc::c_int = -1;

fn moment(text: &str, now: SystemTime, summer: libc::c_int) -> Option<SystemTime> {
    let local_moment = |parts| local_moment(parts, summer);
    match text.split_once([' ', 'T']) {
        Some((date, time)) => match time.find(['+', '-']) {
            Some(at) => with_offset(date, time.split_at(at)),
            None => parse_rfc3339(text).or_else(|| local_moment(local_numbers(date, time)?)),
        },
        None if text.contains(':') => {
            let today = date(&local_parts(since_epoch(now).as_secs()));
            let parts = local_numbers(&today, text)?;
            let passed = |at: &SystemTime| *at <= now;
            // The C library takes day 0 for the last one of the month before.
            let yesterday = libc::tm { tm_mday: parts.tm_mday - 1, ..parts };
            local_moment(parts).filter(passed).or_else(|| local_moment(yesterday))
        }
        None => local_moment(local_numbers(text, "00:00")?),
    }
}

/// A time of RFC 3339 with its distance from UTC, such as `+05:45`.
fn with_offset(date: &str, (time, offset): (&str, &str)) -> Option<SystemTime> {
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes) = (hours.parse::<u64>().ok()?, minutes.parse::<u64>().ok()?);
    let utc = parse_rfc3339(&format!("{date}T{time}Z"))?;
    let offset_span = Duration::from_secs(hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?);
    if offset.starts_with('+') { utc.checked_sub(offset_span) } else { utc.checked_add(offset_span) }
}

fn local_moment(mut parts: libc::tm, summer: libc::c_int) -> Option<SystemTime> {
    parts.tm_isdst = summer;
    // SAFETY: the pointer is to a value of this function.
    let seconds = unsafe { libc::mktime(&raw mut parts) };
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// The numbers of a date and a time of day; fractions of seconds are left out.
fn local_numbers(date: &str, time: &str) -> Option<libc::tm> {
    let mut numbers = date.split('-').map(|part| part.parse::<i32>().ok());
    let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut clock = time.split(':').map(|part| part.parse::<i32>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().unwrap_or(Some(0))?);
    let is_valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !is_valid || numbers.next().is_some() || clock.next().is_some() {
        return None;
    }
    // SAFETY: all numbers are allowed to be 0, and the pointer to the name of the zone to be null.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    (parts.tm_year, parts.tm_mon, parts.tm_mday) = (year - 1900, month - 1, day);
    (parts.tm_hour, parts.tm_min, parts.tm_sec) = (hour, minute, second);
    Some(parts)
}

/// By the machine's time zone, which is read from a file the first time.
fn local_parts(seconds: u64) -> libc::tm {
    let seconds = libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX);
    // SAFETY: all numbers are allowed to be 0, and the pointer to the name of the zone to be null.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values of this function; the call writes to the second one only.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut parts) };
    parts
}

/// Year, month and day of a day counted from 1 January 1970, in the Gregorian calendar.
///
/// Years begin in March here, so that the leap day is the last one; 400 of them have 146 097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    // 719 468 days lie between 1 March of the year 0 and 1 January 1970.
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months of 31, 30, 31, 30, 31 days repeat: 153 days per five months.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let at = UNIX_EPOCH + Duration::from_millis(1_709_251_199_999);
        assert_eq!(parse_rfc3339(&rfc3339(at)), Some(at));
        let local = shown_millis(at);
        let whole = UNIX_EPOCH + Duration::from_secs(1_709_251_199);
        assert_eq!(parse_local(&local, at), Some(whole));
        assert_eq!(parse_local(&shown(at), at), Some(whole));
        assert_eq!(parse_local(&rfc3339(at), at), Some(at));
        assert_eq!(parse_local("2024-02-29 23:59:59.999 UTC", at), Some(whole));
        for elsewhere in ["2024-03-01T05:44:59.999+05:45", "2024-02-29T20:29:59.999-03:30"] {
            assert_eq!(parse_local(elsewhere, at), Some(at), "{elsewhere}");
        }
        for fraction in ["9", "90", "900123456"] {
            let expected = UNIX_EPOCH + Duration::from_millis(1_709_251_199_900);
            assert_eq!(
                parse_rfc3339(&format!("2024-02-29T23:59:59.{fraction}Z")),
                Some(expected),
                "{fraction}"
            );
        }
        assert_eq!(parse_rfc3339("2024-02-29T23:59:59.Z"), Some(whole));
        let time = &clock_millis(at);
        assert_eq!(parse_local(&format!("{time} NOWHERE"), at), None);
        assert_eq!(parse_local(time, at), Some(whole));
        let day = Duration::from_secs(86_400);
        for hours in 0..48 {
            let later = whole + Duration::from_secs(hours * 3600);
            let found = parse_local(time, later).unwrap();
            assert!(found <= later && later < found + day, "{hours}");
        }
        let midnight = parse_local("2024-03-01 00:10", at).unwrap();
        assert_eq!(parse_local("23:50", midnight), parse_local("2024-02-29 23:50", at));
        assert_eq!(parse_local("00:05", midnight), parse_local("2024-03-01 00:05", at));
        for wrong in ["", "yesterday", "2024-13-01", "2024-02-29 24:00", "12:60", "1:2:3:4", "2024-02-29-1"] {
            assert_eq!(parse_local(wrong, at), None, "{wrong}");
        }
        assert_eq!(parse_local("2024-02-29 12:00:00.junk", at), None);
        assert_eq!(parse_rfc3339("2024-02-29 12:00"), None);
    }

    #[test]
    fn known_moments() {
        let at = |seconds: u64, millis| rfc3339(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 5), "2000-02-29T00:00:00.005Z");
        assert_eq!(at(1_709_251_199, 999), "2024-02-29T23:59:59.999Z");
        assert_eq!(at(1_709_251_200, 0), "2024-03-01T00:00:00.000Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    /// In a process of its own, as the zone is read once.
    #[test]
    fn people_read_local_time_with_its_zone() {
        const NAME: &str = "daemon::wall::tests::people_read_local_time_with_its_zone";
        let at = UNIX_EPOCH + Duration::from_millis(1_709_251_199_999);
        let expected = match std::env::var("VRRPX_TEST_ZONE").as_deref() {
            Ok("east") => ("2024-03-01 05:44:59", "NPT", "2024-03-01T05:44:59.999+05:45"),
            Ok("west") => ("2024-02-29 20:29:59", "NST", "2024-02-29T20:29:59.999-03:30"),
            Ok("twice") => {
                let [summer, winter] = ["CEST", "CET"]
                    .map(|zone| parse_local(&format!("2026-10-25 02:30:00 {zone}"), at).unwrap());
                assert_eq!(winter.duration_since(summer).unwrap(), Duration::from_secs(3600));
                return;
            }
            Ok(_) => ("2024-02-29 23:59:59", "UTC", "2024-02-29T23:59:59.999Z"),
            Err(_) => {
                let twice = ("twice", "CET-1CEST,M3.5.0,M10.5.0/3");
                for (case, zone) in [("east", "NPT-5:45"), ("west", "NST3:30"), ("none", "UTC0"), twice] {
                    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
                    again.args([NAME, "--exact"]).env("VRRPX_TEST_ZONE", case).env("TZ", zone);
                    let output = again.output().unwrap();
                    assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stdout));
                }
                return;
            }
        };
        let (time, zone, of_log) = expected;
        assert_eq!(shown(at), format!("{time} {zone}"));
        assert_eq!(shown_of("2024-02-29T23:59:59.999Z"), format!("{time} {zone}"));
        assert_eq!(shown_of("never"), "never");
        assert_eq!(shown_millis(at), format!("{time}.999 {zone}"));
        assert_eq!(clock_millis(at), format!("{}.999", &time[11..]));
        assert_eq!(rfc3339_local(at), of_log);
        assert_eq!(rfc3339(at), "2024-02-29T23:59:59.999Z");
        assert_eq!(parse_local(&shown(at), at), Some(UNIX_EPOCH + Duration::from_secs(1_709_251_199)));
        assert_eq!(parse_local(&format!("{time} XYZ"), at), None);
    }

    #[test]
    fn spans_are_read() {
        let seconds = |text| span(text).map(|span| span.as_secs());
        assert_eq!(
            ["90s", "30m", "1h30m", "2d", "1d1h1m1s", "007m"].map(seconds),
            [90, 1800, 5400, 172_800, 90_061, 420].map(Ok)
        );
        for bad in [
            "",
            "30",
            "m",
            "1.5h",
            "30m1h",
            "1m1m",
            "0s",
            "-1s",
            "1 h",
            "1w",
            "é",
            "60",
            "s",
            "1.5m",
            "5w",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(span(bad).unwrap_err().contains("30m"), "{bad}");
        }
        assert_eq!(span("400d").unwrap_err(), "`400d` is longer than a year");
    }
}
