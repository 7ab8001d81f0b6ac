//! Compression of answers, gzip (RFC 1952).

use miniz_oxide::deflate::compress_to_vec;

/// By `Accept-Encoding` (RFC 9110 §12.5.3): only if gzip is named and not refused.
pub(super) fn is_accepted(accept: &str) -> bool {
    accept.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|it| it.strip_prefix("q=")).unwrap_or("1");
        name.eq_ignore_ascii_case("gzip") && weight.parse().is_ok_and(|weight: f32| weight > 0.0)
    })
}

/// Magic number, deflate, no flags, no time, the fastest level, Unix (RFC 1952 §2.3).
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3];

/// At the fastest level: the rows of metrics repeat themselves, and a better one would take the thread for longer.
pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut whole = HEAD.to_vec();
    whole.extend(compress_to_vec(body, 1));
    whole.extend(crc32fast::hash(body).to_le_bytes());
    // The length modulo 2^32, as it is defined.
    whole.extend(body.len().to_le_bytes().first_chunk::<4>().into_iter().flatten());
    whole
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
