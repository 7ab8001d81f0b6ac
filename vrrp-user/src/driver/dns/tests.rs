//! Lookups at servers on the loopback interface.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::thread;

use tokio::time::{Instant, timeout};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// The question of a query: name with its length octets, and type.
struct Question {
    name: Vec<u8>,
    record: u16,
}

fn question(query: &[u8]) -> Question {
    let end = query.len() - 4;
    Question { name: query[12..end].to_vec(), record: u16::from_be_bytes([query[end], query[end + 1]]) }
}

/// The answer to a query, with these flags and addresses.
fn answer(query: &[u8], flags: u16, addresses: &[&[u8]]) -> Vec<u8> {
    let mut message = query[..2].to_vec();
    let count = u16::try_from(addresses.len()).unwrap();
    for word in [flags, 1, count, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    message.extend(&query[12..]);
    for address in addresses {
        message.extend([0xc0, 12]);
        message.extend(&query[query.len() - 4..]);
        message.extend([0, 0, 0, 60, 0, u8::try_from(address.len()).unwrap()]);
        message.extend_from_slice(address);
    }
    message
}

/// A server that answers each datagram by `says`, or not at all.
fn serve(says: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            if let Some(message) = says(&buffer[..length]) {
                // The client may be gone.
                let _ = socket.send_to(&message, client);
            }
        }
    });
    address
}

const FOUR: &[u8] = &[192, 0, 2, 7];
const SIX: &[u8] = &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

fn both(query: &[u8]) -> Option<Vec<u8>> {
    Some(answer(query, 0x8180, &[if question(query).record == 1 { FOUR } else { SIX }]))
}

async fn found(name: &str, servers: &Servers) -> Result<Vec<String>, String> {
    let found = timeout(LIMIT, lookup(name, servers)).await.unwrap();
    let addresses = found.map(|found| found.addresses.iter().map(ToString::to_string).collect());
    addresses.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "current_thread")]
async fn addresses_of_both_families_are_found() {
    let servers = Servers::one(serve(both));
    assert_eq!(found("web.example", &servers).await.unwrap(), ["192.0.2.7", "2001:db8::7"]);
    let all = lookup("web.example", &servers).await.unwrap();
    assert_eq!(all.holds, Duration::from_secs(60));
}

#[tokio::test(flavor = "current_thread")]
async fn one_family_is_enough() {
    let servers = Servers::one(serve(|query| match question(query).record {
        1 => Some(answer(query, 0x8182, &[])),
        _ => both(query),
    }));
    assert_eq!(found("web.example", &servers).await.unwrap(), ["2001:db8::7"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_silent_server_delays_no_other() {
    let (silent, well) = (serve(|_| None), serve(both));
    let servers = Servers { addresses: vec![silent, well], ..Servers::one(well) };
    let began = Instant::now();
    assert!(found("web.example", &servers).await.is_ok());
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "current_thread")]
async fn a_lost_query_is_sent_again() {
    let seen = std::sync::Mutex::new(Vec::new());
    let server = serve(move |query| {
        let mut seen = seen.lock().unwrap();
        let asked = question(query).record;
        let is_second = seen.contains(&asked);
        seen.push(asked);
        is_second.then(|| both(query)).flatten()
    });
    let servers = Servers { patience: Duration::from_secs(1), ..Servers::one(server) };
    assert!(found("web.example", &servers).await.is_ok());
}

#[tokio::test(flavor = "current_thread")]
async fn a_long_answer_comes_by_tcp() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..length], 0x8380, &[]), client);
        }
    });
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut length = [0; 2];
            client.read_exact(&mut length).unwrap();
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            client.read_exact(&mut query).unwrap();
            let address = if question(&query).record == 1 { FOUR } else { SIX };
            let message = answer(&query, 0x8180, &vec![address; 60]);
            client.write_all(&u16::try_from(message.len()).unwrap().to_be_bytes()).unwrap();
            client.write_all(&message).unwrap();
        }
    });
    assert_eq!(found("web.example", &Servers::one(address)).await.unwrap().len(), 120);
}

#[tokio::test(flavor = "current_thread")]
async fn a_name_without_addresses_has_a_reason() {
    let codes = |code: u16| serve(move |query| Some(answer(query, 0x8180 | code, &[])));
    let refuses = codes(5);
    for (server, name, why) in [
        (codes(0), "web.example", "no address".to_owned()),
        (codes(3), "web.example", "no such name".to_owned()),
        (refuses, "web.example", format!("the server {refuses} answers REFUSED")),
        (codes(0), "web..example", "not a valid DNS name".to_owned()),
    ] {
        assert_eq!(found(name, &Servers::one(server)).await.unwrap_err(), why);
    }
    let silent = serve(|_| None);
    let servers = Servers { patience: Duration::from_millis(20), ..Servers::one(silent) };
    let why = found("web.example", &servers).await.unwrap_err();
    assert_eq!(why, format!("no answer of the server {silent} within 40ms"));
    let none = Servers { addresses: Vec::new(), ..servers };
    assert_eq!(found("web.example", &none).await.unwrap_err(), "no DNS server is known");
}

#[tokio::test(flavor = "current_thread")]
async fn letters_beyond_ascii_go_as_punycode() {
    let server = serve(|query| match question(query).name.starts_with(b"\x0dxn--bcher-kva\x07example") {
        true => both(query),
        false => Some(answer(query, 0x8183, &[])),
    });
    assert!(found("Bücher.example", &Servers::one(server)).await.is_ok());
}
