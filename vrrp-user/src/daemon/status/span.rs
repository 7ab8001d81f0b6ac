//! Spans of time as people read them.

use std::time::Duration;

/// A span in the two units that matter most: `3d 4h`, `2m 5s`, `1.500s`, `12.345ms`, `20µs`.
pub(crate) fn span(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let whole = span.as_secs();
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match whole {
        86_400.. => format!("{days}d {hours}h"),
        3600.. => format!("{hours}h {minutes}m"),
        60.. => format!("{minutes}m {}s", whole % 60),
        1.. => format!("{whole}.{:03}s", span.subsec_millis()),
        0 if span.as_micros() >= 1000 => {
            format!("{}.{:03}ms", span.as_millis(), span.as_micros() % 1000)
        }
        0 => format!("{}µs", span.as_micros()),
    }
}

/// The same as far as it matters at a glance: whole seconds, or whole milliseconds.
pub(crate) fn rough(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match span.as_secs() {
        0 => format!("{}ms", span.as_millis()),
        whole @ 1..60 => format!("{whole}s"),
        _ => self::span(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_needs_no_fraction() {
        let spans = [0.0, 0.012_345, 0.999_9, 1.5, 59.9, 125.5].map(rough);
        assert_eq!(spans, ["0ms", "12ms", "999ms", "1s", "59s", "2m 5s"]);
    }

    #[test]
    fn spans_are_short() {
        let spans = [0.0, 0.000_02, 0.012_345, 1.5, 125.0, 3720.0, 273_600.0].map(span);
        assert_eq!(spans, ["0µs", "20µs", "12.345ms", "1.500s", "2m 5s", "1h 2m", "3d 4h"]);
        assert_eq!(span(-1.0), "0µs");
    }
}
