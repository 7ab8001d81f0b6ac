//! The page at `/` in a browser, at the widths of a desk, of a small window and of a telephone, in light and in dark.

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;
use vrrp_ebpf::wire::Reject;
use vrrp_ebpf::wire::address::widen;
use vrrp_tests::needs;
use vrrp_user::config::{Addresses, Instance, NotifySettings, VirtualAddress};
use vrrp_user::daemon::status::DaemonContext;
use vrrp_user::daemon::steering::{Order, Steered};
use vrrp_user::daemon::unwritten::Unwritten;
use vrrp_user::driver::clock;
use vrrp_user::protocol::{InstanceId, State, Transition};

use crate::http::Server;
use crate::setup::{Folder, backup, config, context, instance, script};

/// Of the frames, in CSS pixels. The page's layout changes at 992.
const WIDTHS: [u16; 4] = [1280, 1000, 800, 390];

/// Columns by which the page is wider than its frame, and words in its tables that are broken. The style lets names, in
/// the first column, break anywhere.
const MEASURE: &str = r#"
function measure(inner) {
    const root = inner.documentElement;
    const over = root.scrollWidth - root.clientWidth;
    const broken = [];
    let words = 0;
    for (const cell of root.querySelectorAll("td:not(:first-child)")) {
      const texts = inner.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const text = texts.currentNode;
        for (const word of text.data.matchAll(/\S+/g)) {
          const range = inner.createRange();
          range.setStart(text, word.index);
          range.setEnd(text, word.index + word[0].length);
          const lines = new Set([...range.getClientRects()].map((it) => it.top));
          words += 1;
          if (lines.size > 1) broken.push(word[0]);
        }
      }
    }
    return `${over} over, ${words > 0 ? broken.length : "no words, none"} broken`;
}
"#;

/// The page opened as a whole, and how far the colour of each text stands out from what is behind it (WCAG 2.1,
/// contrast ratio): the scheme, whether there are many texts, and those below 4.5.
const CONTRAST: &str = r#"
function measure(inner) {
  const window = inner.defaultView;
  const parsed = (text) => [...text.match(/[\d.]+/g).map(Number), 1].slice(0, 4);
  const mixed = ([r, g, b, a], share, under) =>
    [r, g, b].map((it, place) => it * a * share + under[place] * (1 - a * share));
  const channel = (it) => (it / 255 <= 0.04045 ? it / 255 / 12.92 : ((it / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  for (const it of inner.querySelectorAll("details")) it.open = true;
  const low = new Set();
  let count = 0;
  const texts = inner.createTreeWalker(inner.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.data.trim();
    if (text === "" || element.getClientRects().length === 0 || element.matches("title, script")) continue;
    const above = [];
    for (let it = element; it !== null; it = it.parentElement) above.unshift(window.getComputedStyle(it));
    let [behind, share] = [[255, 255, 255], 1];
    for (const style of above) {
      share *= Number(style.opacity);
      behind = mixed(parsed(style.backgroundColor), share, behind);
    }
    const style = above.at(-1);
    const colour = element instanceof window.SVGElement ? style.fill : style.color;
    const found = ratio(mixed(parsed(colour), share, behind), behind);
    count += 1;
    if (found < 4.5) low.add(`${found.toFixed(2)} ${element.className} ${text.slice(0, 20)}`);
  }
  const scheme = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  return `${scheme}, ${count > 40 ? "many" : count} texts, low: ${[...low].join(", ")}`;
}
"#;

/// Puts the page into frames of the widths and writes what it finds in each.
const FRAMES: &str = r#"
const found = new Map();
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.style = `border: 0; width: ${width}px; height: 900px`;
  frame.addEventListener("load", () => {
    found.set(width, `${width}: ${measure(frame.contentDocument)}`);
    if (found.size < widths.length) return;
    const sorted = [...found].sort(([one], [other]) => other - one).map(([, text]) => text);
    document.body.textContent = `RESULT ${sorted.join("; ")} END`;
  });
  frame.srcdoc = page;
  document.body.append(frame);
}
"#;

fn many(count: u8) -> Vec<Instance> {
    let of = |number: u8| {
        let name = format!("front_end_{number}_of_the_big_shop");
        let mut instance = instance(&name, number, NotifySettings::default());
        let last = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0xaaaa, 0xbbbb, 0xcccc, 0xdddd, u16::from(number));
        let long = VirtualAddress::new(last.into(), 64);
        let short = VirtualAddress::new([192, 0, 2, number].into(), 24);
        Arc::make_mut(&mut instance.settings).addresses =
            Arc::new(Addresses { advertised: vec![short, long], excluded: vec![] });
        instance
    };
    (1..=count).map(of).collect()
}

#[tokio::test(flavor = "current_thread")]
#[needs("chromium")]
async fn nothing_on_it_is_cut_or_overflows() {
    for count in [1, 30, 250] {
        let context = context(config(many(count), vec![script(7, "false")]));
        for id in (0..u32::from(count)).step_by(2).map(InstanceId) {
            context.live.record(id, &backup(context.started, 1));
        }
        let answer = Server::of(context).await.get("/").await;
        let found = in_frames(answer.text(), MEASURE, Scheme::Light);
        let well = WIDTHS.map(|width| format!("{width}: 0 over, 0 broken")).join("; ");
        assert_eq!(found, well, "{count} instances");
    }
}

/// What a person has chosen for all pages.
#[derive(Clone, Copy, Debug)]
enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    const ALL: [(Self, &'static str); 2] = [(Self::Light, "light"), (Self::Dark, "dark")];

    /// The number of Blink's `PreferredColorScheme`.
    fn setting(self) -> &'static str {
        match self {
            Self::Dark => "--blink-settings=preferredColorScheme=0",
            Self::Light => "--blink-settings=preferredColorScheme=1",
        }
    }
}

/// Runs chromium for one file; what it prints, and its complaints.
fn chromium(folder: &Folder, scheme: Scheme, options: &[&str], file: &Path) -> [String; 2] {
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=1500"]);
    chromium.arg(scheme.setting()).args(options);
    chromium.arg(format!("--user-data-dir={}", folder.path().display()));
    let output = chromium.arg(format!("file://{}", file.display())).output().unwrap();
    [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned())
}

/// What a measure finds in frames of all widths.
fn in_frames(page: &str, measure: &str, scheme: Scheme) -> String {
    let page = serde_json::to_string(page).unwrap().replace("</", "<\\/");
    let folder = Folder::new();
    let file = folder.file("frames.html");
    let code = format!("const widths = {WIDTHS:?}; const page = {page};{measure}{FRAMES}");
    fs::write(&file, format!("<!doctype html><body><script>{code}</script>")).unwrap();
    let [text, said] = chromium(&folder, scheme, &["--dump-dom"], &file);
    let result = text.split_once("RESULT ").and_then(|(_, rest)| Some(rest.split_once(" END")?.0.to_owned()));
    result.unwrap_or_else(|| panic!("no result: {said}"))
}

/// So many instances in all states, with problems, an order, a long name, and a day in which the daemon was killed.
fn eventful(folder: &Folder, count: u8) -> Arc<DaemonContext> {
    let mut instances = many(count);
    instances[0].settings = {
        let mut settings = (*instances[0].settings).clone();
        settings.name = "web".into();
        Arc::new(settings)
    };
    let context = context(config(instances, vec![script(7, "false")]));
    let states = [State::Master, State::Backup, State::Fault, State::Init];
    for (id, to) in (0..u32::from(count)).map(InstanceId).zip(states.into_iter().cycle()) {
        let transition = Transition { to, ..backup(context.started, 1) };
        context.live.record(id, &transition);
        context.history.transition(id, transition);
    }
    let order = Order { until: None, by: "root (uid 0)".to_owned(), reason: Some("new disk".to_owned()) };
    let steered = Steered { maintenance: Some(order), ..Steered::default() };
    context.history.write().steerings.instances.insert("web".to_owned(), steered);
    context.maps.reject(InstanceId(0), Reject::Checksum, widen([10, 0, 0, 3].into()), clock::now());
    let moves = [
        (1300, "INIT", "BACKUP", "startup"),
        (1200, "BACKUP", "MASTER", "master_silent"),
        // It was killed as MASTER.
        (600, "INIT", "BACKUP", "startup"),
        (300, "BACKUP", "FAULT", "link_down"),
        (200, "FAULT", "BACKUP", "recovered"),
        (199, "BACKUP", "MASTER", "preempted"),
    ];
    let lines = moves.into_iter().zip(1..).map(|((minutes, from, to, reason), seq)| {
        let mut date = Command::new("date");
        let output = date.args(["-u", "+%FT%T.000Z", "-d", &format!("-{minutes} minutes")]).output().unwrap();
        let time = String::from_utf8(output.stdout).unwrap();
        let event = json!({
            "seq": seq, "time": time.trim(), "event": "transition", "instance": "web", "from": from, "to": to,
            "reason": reason, "priority": 100, "epoch": 1, "peer": "192.0.2.12",
        });
        format!("{event}\n")
    });
    fs::write(folder.file("events.jsonl"), lines.collect::<String>()).unwrap();
    let earlier = context.history.events.keep(folder.path(), &Unwritten::default()).unwrap();
    assert_eq!(earlier.len(), moves.len());
    context
}

#[tokio::test(flavor = "current_thread")]
#[needs("chromium")]
async fn its_texts_stand_out_in_light_and_in_dark() {
    for count in [1, 5, 250] {
        let events = Folder::new();
        let answer = Server::of(eventful(&events, count)).await.get("/").await;
        let page = answer.text();
        let parts = ["class=\"problem\"", "new disk", "<i class=\"MASTER doubtful\" style"];
        assert!(parts.iter().all(|it| page.contains(it)), "{page}");
        let mut pictures = Vec::new();
        for (scheme, name) in Scheme::ALL {
            let found = in_frames(page, CONTRAST, scheme);
            let well = WIDTHS.map(|width| format!("{width}: {name}, many texts, low: ")).join("; ");
            assert_eq!(found, well, "{count} instances");
            let (folder, picture) = (Folder::new(), events.file(&format!("{name}.png")));
            fs::write(folder.file("page.html"), page).unwrap();
            let shot = format!("--screenshot={}", picture.display());
            let [_, said] =
                chromium(&folder, scheme, &[&shot, "--window-size=1280,900"], &folder.file("page.html"));
            pictures.push(fs::read(&picture).unwrap_or_else(|error| panic!("{error}: {said}")));
        }
        assert_ne!(pictures[0], pictures[1], "{count} instances: dark is light");
    }
}
