//! `auth_hmac`: keys, combinations with other keywords, and secrecy of the keys.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vrrp_tests::process::Directory;
use vrrp_user::config::{Diagnostic, Loaded, Severity, Surroundings, explain_text, load, parse};
use vrrp_user::protocol::Auth;
use vrrp_user::protocol::auth::{AntiReplay, HmacMode, HmacSettings, Key};

const HEX: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
const TEXT: &str = "0123456789abcdef0123456789abcdef";

fn file(lines: &str, rest: &str) -> String {
    format!(
        "vrrp_instance one {{\ninterface eth0\nversion 3\nvirtual_router_id 51\npriority 100\n{rest}\n\
         auth_hmac {{\n{lines}\n}}\nvirtual_ipaddress {{\n192.0.2.1/24\n}}\n}}\n"
    )
}

fn settings(lines: &str, rest: &str) -> (HmacSettings, Vec<String>) {
    hmac(parse("t", &file(lines, rest)).unwrap())
}

fn hmac(Loaded { config, diagnostics, .. }: Loaded) -> (HmacSettings, Vec<String>) {
    let Auth::Hmac(hmac) = &config.instances[0].settings.auth else { panic!("not signed") };
    (HmacSettings::clone(hmac), diagnostics.iter().map(ToString::to_string).collect())
}

fn errors(lines: &str, rest: &str) -> Vec<String> {
    let found = parse("t", &file(lines, rest)).unwrap_err();
    found.iter().filter(|it| it.severity == Severity::Error).map(|it| it.message.clone()).collect()
}

fn key(id: u8, secret: &[u8]) -> Key {
    Key::new(id, secret).unwrap()
}

#[test]
fn defaults() {
    let (hmac, found) = settings(&format!("key 7 {TEXT}"), "advert_int 1");
    let unsigned = "t:7:1: warning: without `active_key`, key 7 signs here; keepalived would neither sign nor verify\n\
                    help: write `active_key 7`; without it, this node and a keepalived node both become master";
    assert_eq!(found, [unsigned]);
    let (_, found) = settings(&format!("key 7 {TEXT}\nactive_key 7"), "advert_int 1");
    assert_eq!(found, [""; 0]);
    assert_eq!(hmac.keys, [key(7, TEXT.as_bytes())]);
    assert_eq!((hmac.active, hmac.window), (7, Duration::from_secs(5)));
    assert_eq!((hmac.anti_replay, hmac.mode), (AntiReplay::Time, HmacMode::Enforce));
    for (interval, window) in [("0.5", 5), ("1.99", 5), ("2", 6), ("40", 120)] {
        let (hmac, _) = settings(&format!("key 7 {TEXT}"), &format!("advert_int {interval}"));
        assert_eq!(hmac.window, Duration::from_secs(window), "{interval}");
    }
}

#[test]
fn keys_by_digits_and_by_text() {
    let bytes: Vec<u8> = (0..32).collect();
    let lines = format!(
        "key 1 {HEX}\nkey 255 \"a key with blanks # and 36 letters....\"\nactive_key 255\ntime_window 300\n\
         anti_replay time\nmode receive-only"
    );
    let (hmac, _) = settings(&lines, "");
    assert_eq!(hmac.keys, [key(1, &bytes), key(255, b"a key with blanks # and 36 letters....")]);
    assert_eq!((hmac.active, hmac.window), (255, Duration::from_secs(300)));
    assert_eq!(hmac.mode, HmacMode::ReceiveOnly);
    let (hmac, found) =
        settings(&format!("key 1 {HEX}\nactive_key 1\nanti_replay monotonic\ntime_window 9"), "");
    assert_eq!(hmac.anti_replay, AntiReplay::Monotonic);
    assert!(found[0].contains("`time_window` has no effect"), "{found:?}");
}

#[test]
fn mistakes_are_reported_without_keys() {
    let secret = "Zq3";
    for (lines, rest, message) in [
        ("", "", "`auth_hmac` needs a `key`".to_owned()),
        ("key", "", "`key` needs an id and a key".to_owned()),
        (&format!("key {secret}"), "", "`key` needs an id and a key".to_owned()),
        (&format!("key 0 {secret}"), "", "the id of a key is a number from 1 to 255".to_owned()),
        (&format!("key {secret} 256"), "", "the id of a key is a number from 1 to 255".to_owned()),
        (&format!("key 1 {secret}"), "", "key 1 has 3 bytes; a key has 32 to 64".to_owned()),
        (&format!("key 1 {}", secret.repeat(22)), "", "key 1 has 66 bytes; a key has 32 to 64".to_owned()),
        (
            &format!("key 1 hex:{secret}"),
            "",
            "after `hex:` a key has pairs of hexadecimal digits only".to_owned(),
        ),
        (&format!("key 1 {TEXT} {secret}"), "", "`key` takes an id and one word".to_owned()),
        (&format!("key 1 {TEXT}\nkey 1 {TEXT}"), "", "there are two keys with id 1".to_owned()),
        (
            &format!("key 1 {TEXT}\nactive_key 2"),
            "",
            "`active_key` names key 2, which is not defined".to_owned(),
        ),
        (
            &format!("key 1 {TEXT}"),
            "authentication {\nauth_type PASS\nauth_pass abc\n}",
            "`authentication` and `auth_hmac` are not used together".to_owned(),
        ),
        ("key 1 file:/nowhere", "", "a configuration that is not a file cannot name a key file".to_owned()),
        (
            &format!("key 1 {TEXT}\nmode enforced"),
            "",
            "`mode` is enforce, permissive or receive-only, not `enforced`".to_owned(),
        ),
    ] {
        let found = errors(lines, rest);
        assert_eq!(found, [message], "{lines}");
        assert!(found.iter().all(|message| !message.contains(secret)), "{found:?}");
    }
}

#[test]
fn strict_mode_demands_signatures() {
    let (hmac, found) = settings(&format!("key 1 {TEXT}\nmode permissive"), "strict_mode\naccept");
    assert_eq!(hmac.mode, HmacMode::Enforce);
    assert!(found.iter().any(|line| line.contains("`mode` of `auth_hmac` is enforce")), "{found:?}");
}

/// A folder for a configuration and its key.
struct Folder(Directory);

impl Folder {
    fn new() -> Self {
        Self(Directory::new().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Loads a configuration with its key in a file of this folder.
    fn load(&self, content: &[u8], mode: u32) -> Result<Loaded, Vec<Diagnostic>> {
        let secret = self.file("key");
        // An earlier one may be read-only.
        let _none = fs::remove_file(&secret);
        fs::write(&secret, content).unwrap();
        fs::set_permissions(&secret, Permissions::from_mode(mode)).unwrap();
        self.load_with(&secret)
    }

    fn load_with(&self, secret: &Path) -> Result<Loaded, Vec<Diagnostic>> {
        let path = self.file("t.conf");
        fs::write(&path, file(&format!("key 1 file:{}\nactive_key 1", secret.display()), "")).unwrap();
        load(&path)
    }
}

#[test]
fn keys_from_files() {
    let folder = Folder::new();
    let wanted = [key(1, TEXT.as_bytes())];
    for content in [TEXT.to_owned(), format!("{TEXT}\n"), format!("{TEXT}\r\n\n")] {
        let (hmac, found) = hmac(folder.load(content.as_bytes(), 0o600).unwrap());
        assert_eq!((hmac.keys.as_slice(), found.len()), (wanted.as_slice(), 0), "{content:?}");
    }
    let (digits, _) = hmac(folder.load(format!("{HEX}\n").as_bytes(), 0o400).unwrap());
    assert_eq!(digits.keys, [key(1, &(0..32).collect::<Vec<u8>>())]);
    let raw = [&[0xff; 33][..], b" \n"].concat();
    assert_eq!(hmac(folder.load(&raw, 0o600).unwrap()).0.keys, [key(1, &raw[..34])]);
    for mode in [0o640, 0o604, 0o620, 0o644] {
        let (_, found) = hmac(folder.load(TEXT.as_bytes(), mode).unwrap());
        assert!(found[0].contains("is accessible to its group or to others"), "{mode:o}: {found:?}");
    }
}

#[test]
fn files_that_hold_no_key() {
    let folder = Folder::new();
    let message = |outcome: Result<Loaded, Vec<Diagnostic>>| outcome.unwrap_err()[0].message.clone();
    assert!(message(folder.load(b"", 0o600)).contains("key 1 has 0 bytes"));
    assert!(message(folder.load(&[b'x'; 65], 0o600)).contains("key 1 has 65 bytes"));
    assert!(message(folder.load(&[b'x'; 5000], 0o600)).contains("is too long"));
    assert!(message(folder.load(b"hex:xyz", 0o600)).contains("pairs of hexadecimal digits"));
    assert!(message(folder.load_with(&folder.file("none"))).contains("cannot be read"));
    assert!(message(folder.load_with(folder.0.path())).contains("not a regular file"));
    let pipe = folder.file("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(message(folder.load_with(&pipe)).contains("not a regular file"));
}

#[test]
fn no_key_is_shown() {
    let loaded = parse("t", &file(&format!("key 1 {TEXT}\nkey 2 {HEX}"), "")).unwrap();
    let explained = explain_text(&loaded.explain(Surroundings::default()), true);
    assert!(explained.contains("enforce, keys 1 2, signs with 1, time within 5"), "{explained}");
    for text in [explained, format!("{:?}", loaded.config)] {
        assert!(!text.contains(TEXT) && !text.contains("1a1b") && !text.contains("1A1B"), "{text}");
    }
}
