//! A client of HTTP that asks once and reads all.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Limit for a pause in an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Code and body of the answer to GET with these further header fields, each with its line end.
pub fn get(address: &str, path: &str, fields: &str) -> Result<(u16, Vec<u8>)> {
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").context("no head")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer)?;
    let code = head.split(' ').nth(1).context("no code")?.parse()?;
    Ok((code, body))
}

/// Metrics as Prometheus asks for them, and as an old client does: OpenMetrics and the text format, each plain and
/// compressed. Returns the bytes of the largest compressed answer.
pub fn scrape_in_all_forms(address: &str) -> Result<usize> {
    let mut largest = 0;
    for accept in ["", "Accept: application/openmetrics-text;version=1.0.0\r\n"] {
        for encoding in ["", "Accept-Encoding: gzip\r\n"] {
            let (code, body) = get(address, "/metrics", &format!("{accept}{encoding}"))?;
            ensure!(code == 200 && !body.is_empty(), "{code} to {accept}{encoding}");
            if !encoding.is_empty() {
                // RFC 1952 §2.3.1.
                ensure!(body.starts_with(&[0x1f, 0x8b]), "not compressed");
                largest = largest.max(body.len());
            }
        }
    }
    Ok(largest)
}
