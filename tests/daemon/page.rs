//! The page at `/` in a browser, at the widths of a desk, of a small window and of a telephone.

use std::fs;
use std::net::Ipv6Addr;
use std::process::Command;
use std::sync::Arc;

use vrrp_tests::needs;
use vrrp_user::config::{Addresses, Instance, NotifySettings, VirtualAddress};
use vrrp_user::protocol::InstanceId;

use crate::http::Server;
use crate::setup::{Folder, backup, config, context, instance, script};

/// Of the frames, in CSS pixels. The page's layout changes at 992.
const WIDTHS: [u16; 4] = [1280, 1000, 800, 390];

/// Puts the page into frames of the widths and writes what it finds in each: columns by which it is wider than its
/// frame, and words in its tables that are broken. The style lets names, in the first column, break anywhere.
const MEASURE: &str = r#"
const found = new Map();
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.style = `border: 0; width: ${width}px; height: 900px`;
  frame.addEventListener("load", () => {
    const inner = frame.contentDocument;
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
    found.set(width, `${width}: ${over} over, ${words > 0 ? broken.length : "no words, none"} broken`);
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
        let page = serde_json::to_string(answer.text()).unwrap().replace("</", "<\\/");
        let folder = Folder::new();
        let file = folder.file("frames.html");
        let code = format!("const widths = {WIDTHS:?}; const page = {page};{MEASURE}");
        fs::write(&file, format!("<!doctype html><body><script>{code}</script>")).unwrap();
        let mut chromium = Command::new("chromium");
        chromium.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=1500",
            "--dump-dom",
        ]);
        chromium.arg(format!("--user-data-dir={}", folder.path().display()));
        let output = chromium.arg(format!("file://{}", file.display())).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let result = text.split_once("RESULT ").and_then(|(_, rest)| Some(rest.split_once(" END")?.0));
        let well = WIDTHS.map(|width| format!("{width}: 0 over, 0 broken")).join("; ");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(result, Some(&*well), "{count} instances: {said}");
    }
}
