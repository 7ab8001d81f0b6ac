//! FIFOs of changes that are of no use: status, metrics and log name them until they are repaired.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vrrp_tests::FIRST;
use vrrp_user::config::{Config, FifoSettings, NotifySettings};
use vrrp_user::daemon::metrics::{Format, render};
use vrrp_user::daemon::notify::Notifier;
use vrrp_user::daemon::status::{DaemonContext, View, overview};
use vrrp_user::driver::clock;

use crate::setup::{Folder, backup, config, context, eventually, hook, instance};

/// A notifier with one FIFO, and what its status is read from.
struct Scene {
    notifier: Notifier,
    context: Arc<DaemonContext>,
    path: PathBuf,
    epoch: u64,
}

fn with_fifo(path: &Path, script: Option<&str>) -> Config {
    let fifos =
        vec![FifoSettings { path: path.to_str().unwrap().into(), user: None, script: script.and_then(hook) }];
    let mut config = config(vec![instance("VI_1", 51, NotifySettings::default())], vec![]);
    config.globals.fifos = fifos;
    config
}

impl Scene {
    /// Must be called within a runtime.
    fn new(path: PathBuf, script: Option<&str>) -> Self {
        let context = context(with_fifo(&path, script));
        let notifier = Notifier::new(&context.config, &"node1".into(), &context.history);
        Self { notifier, context, path, epoch: 0 }
    }

    /// Writes a line.
    fn change(&mut self) {
        self.epoch += 1;
        self.notifier.transition(FIRST, &backup(clock::now(), self.epoch));
    }

    /// The line of the status.
    fn problem(&self) -> Option<String> {
        let screen = overview(&self.context.status(), View { width: 1000, ..View::default() });
        screen.lines().find_map(|line| Some(line.strip_prefix("! notify_fifo: ")?.to_owned()))
    }

    /// Until a problem has these words, and the metric is 1; or until there is none, and it is 0.
    async fn shows(&self, words: Option<&str>) {
        let row = format!("vrrpx_fifo_failing{{fifo=\"{}\"}} ", self.path.display());
        eventually(&format!("{words:?} instead of {:?}", self.problem()), || {
            let text = render(&self.context, Format::Text).unwrap();
            let value = text.lines().find_map(|line| line.strip_prefix(&row)).unwrap();
            match (words, self.problem()) {
                (Some(words), Some(problem)) => {
                    problem.starts_with(&format!("{}: ", self.path.display()))
                        && problem.contains(words)
                        && value == "1.0"
                }
                (None, None) => value == "0.0",
                _ => false,
            }
        })
        .await;
    }

    fn read(&self) -> String {
        let mut reader =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path).unwrap();
        let mut bytes = Vec::new();
        // Ends with an error, as the writer is still there.
        let _ = reader.read_to_end(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }
}

#[tokio::test(flavor = "current_thread")]
async fn one_that_cannot_be_opened_is_opened_when_it_can_be() {
    let folder = Folder::new();
    let path = folder.file("fifo");
    fs::write(&path, "a file").unwrap();
    let mut scene = Scene::new(path.clone(), None);
    scene.shows(Some("it is not a FIFO: remove it")).await;
    scene.change();
    scene.shows(Some("; 1 line is lost")).await;
    fs::remove_file(&path).unwrap();
    scene.shows(None).await;
    scene.change();
    assert_eq!(scene.read().lines().count(), 1);
    let mut missing = Scene::new(folder.file("missing/fifo"), None);
    missing.shows(Some("No such file or directory")).await;
    fs::create_dir(folder.file("missing")).unwrap();
    missing.shows(None).await;
    // A reload without it forgets it.
    missing.notifier.settle(&config(vec![], vec![]));
    assert_eq!(missing.context.history.read().fifos.len(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn one_that_was_removed_or_replaced_is_opened_again() {
    let folder = Folder::new();
    let path = folder.file("fifo");
    let mut scene = Scene::new(path.clone(), None);
    fs::remove_file(&path).unwrap();
    eventually("the FIFO", || fs::metadata(&path).is_ok_and(|it| it.file_type().is_fifo())).await;
    scene.change();
    assert_eq!(scene.read().lines().count(), 1);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file").unwrap();
    scene.shows(Some("it is not a FIFO: remove it")).await;
    fs::remove_file(&path).unwrap();
    scene.shows(None).await;
}

#[tokio::test(flavor = "current_thread")]
async fn one_that_no_process_reads_is_a_problem_until_it_is_read() {
    let folder = Folder::new();
    let mut scene = Scene::new(folder.file("fifo"), None);
    scene.change();
    scene.shows(Some("no process reads it")).await;
    assert_eq!(scene.read(), "INSTANCE \"VI_1\" BACKUP 100\n");
    scene.shows(None).await;
    // At once when a line is lost.
    while scene.problem().is_none() {
        scene.change();
    }
    assert!(scene.problem().unwrap().ends_with("; 1 line is lost"), "{:?}", scene.problem());
    assert!(scene.read().lines().count() > 1000);
    scene.shows(None).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_script_that_fails_is_a_problem_until_it_runs() {
    let folder = Folder::new();
    let gate = folder.file("gate");
    // Its argument is the FIFO.
    let script = format!("[ -e {} ] && exec cat >> {} <", gate.display(), folder.file("log").display());
    let mut scene = Scene::new(folder.file("fifo"), Some(&script));
    scene.shows(Some("its script fails: exit 1")).await;
    fs::write(&gate, "").unwrap();
    scene.shows(None).await;
    scene.change();
    eventually("the line", || folder.lines("log") == ["INSTANCE \"VI_1\" BACKUP 100"]).await;
}
