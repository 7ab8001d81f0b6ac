//! Wall-clock time for display; no decision depends on it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// RFC 3339 in UTC with milliseconds, such as `2024-02-29T23:59:59.999Z`. Times before 1970 read as 1970.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
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
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let parts = local_parts(since.as_secs());
    let word = |words: &[&'static str], index: i32| {
        usize::try_from(index).ok().and_then(|index| words.get(index).copied()).unwrap_or("?")
    };
    let (day, month) = (word(&DAYS, parts.tm_wday), word(&MONTHS, parts.tm_mon));
    let (hour, minute, second) = (parts.tm_hour, parts.tm_min, parts.tm_sec);
    let (micros, year) = (since.subsec_micros(), parts.tm_year.saturating_add(1900));
    format!("{day} {month} {:2} {hour:02}:{minute:02}:{second:02}.{micros:06} {year}", parts.tm_mday)
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
    fn known_moments() {
        let at = |seconds: u64, millis| rfc3339(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 5), "2000-02-29T00:00:00.005Z");
        assert_eq!(at(1_709_251_199, 999), "2024-02-29T23:59:59.999Z");
        assert_eq!(at(1_709_251_200, 0), "2024-03-01T00:00:00.000Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }
}
