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

/// Puts the page into frames of these widths and writes what it finds in each: columns by which it is wider than its
/// frame, and states, times and addresses that are broken within a word.
const MEASURE: &str = r#"
const found = [];
for (const width of [1280, 1000, 800, 390]) {
  const frame = document.createElement("iframe");
  frame.style = `border: 0; width: ${width}px; height: 900px`;
  frame.addEventListener("load", () => {
    const root = frame.contentDocument.documentElement;
    const over = root.scrollWidth - root.clientWidth;
    const broken = [...root.querySelectorAll("td span")].filter((it) => {
      const words = it.textContent.split(" ");
      return it.getClientRects().length > words.length;
    });
    found.push(`${width}: ${over} over, ${broken.length} broken`);
    if (found.length === 4) document.body.textContent = `RESULT ${found.sort().join("; ")} END`;
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
        fs::write(&file, format!("<!doctype html><body><script>const page = {page};{MEASURE}</script>"))
            .unwrap();
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
        let well =
            "1280: 0 over, 0 broken; 390: 0 over, 0 broken; 800: 0 over, 0 broken; 920: 0 over, 0 broken";
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(result, Some(well), "{count} instances: {said}");
    }
}
