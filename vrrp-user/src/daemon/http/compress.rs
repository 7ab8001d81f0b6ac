//! Compression of answers, gzip (RFC 1952).

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// By `Accept-Encoding` (RFC 9110 §12.5.3): only if gzip is named and not refused.
pub(super) fn is_accepted(accept: &str) -> bool {
    accept.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|it| it.strip_prefix("q=")).unwrap_or("1");
        name.eq_ignore_ascii_case("gzip") && weight.parse().is_ok_and(|weight: f32| weight > 0.0)
    })
}

/// At the fastest level: the rows of metrics repeat themselves, and a better one would take the thread for longer.
pub fn gzip(body: &[u8]) -> Vec<u8> {
    let compress = |body: &[u8]| -> io::Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body)?;
        encoder.finish()
    };
    // Writing to memory cannot fail.
    compress(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_ask_for_it() {
        for (accept, accepted) in [
            ("", false),
            ("identity", false),
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=lots", false),
            ("*", false),
        ] {
            assert_eq!(is_accepted(accept), accepted, "{accept}");
        }
    }
}
