//! A running virtual machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use nix::sys::signal::Signal;

use super::image::Image;
use super::monitor::Monitor;
use super::protocol::{Report, Request};
use crate::clock::{Deadline, SLOWNESS, poll};
use crate::netns::Namespace;
use crate::process::{Directory, Process};
use crate::worker::lock;

const QEMU: &str = "qemu-system-x86_64";
/// At boot the kernel calibrates the TSC, wrongly if other machines are busy then; the HPET follows the host's clock.
const CLOCK: &str = "clocksource=hpet";
/// At boot the kernel looks for a while whether the timer interrupts, and panics if it does not. On a busy host the
/// emulator comes too late for that.
const NO_TIMER_CHECK: &str = "no_timer_check";
/// Far more than the ten seconds of a boot on an idle machine.
const BOOT: Duration = Duration::from_secs(300);
/// The emulator's processors may run code that the kernel is patching at boot, which makes it panic.
const PANIC: &str = "Kernel panic - not syncing";
const PANICS_MAX: u32 = 2;
/// Limit for a program that only reads or sets something.
const SHORT: Duration = Duration::from_secs(60);
/// Factor for waits in a guest.
const EMULATED: &str = "4";
/// Number of lines of the console at the end of an error.
const TAIL: usize = 40;

/// Hardware of the machine.
#[derive(Clone, Debug)]
pub struct Hardware {
    pub processors: u32,
    /// MiB.
    pub memory: u32,
    pub cards: Vec<Card>,
    /// Additional arguments of QEMU.
    pub arguments: Vec<String>,
    /// Additional arguments of the kernel.
    pub kernel: Vec<String>,
}

/// A network card.
#[derive(Clone, Debug)]
pub struct Card {
    /// Name of its interface in the guest.
    pub name: String,
    /// QEMU's name of it, such as `virtio-net-pci` or `vmxnet3`.
    pub model: String,
    pub address: String,
    /// A backend of QEMU's `-netdev` with its options, without `id`, such as `tap,ifname=tap0,script=no,downscript=no`
    /// or `dgram,local.type=unix,local.path=/x,remote.type=unix,remote.path=/y`.
    pub wire: String,
}

impl Default for Hardware {
    fn default() -> Self {
        Self { processors: 2, memory: 1024, cards: Vec::new(), arguments: Vec::new(), kernel: Vec::new() }
    }
}

/// A running machine; killed when dropped.
#[derive(Debug)]
pub struct Guest {
    name: String,
    release: String,
    // Dropped before the directory with its files.
    process: Process,
    port: UnixStream,
    inboxes: Inboxes,
    next: AtomicU64,
    monitor: Monitor,
    directory: Directory,
}

type Inboxes = Arc<Mutex<BTreeMap<u64, Sender<Report>>>>;

/// A program running in a guest.
#[derive(Debug)]
pub struct Job<'a> {
    guest: &'a Guest,
    id: u64,
    inbox: Receiver<Report>,
}

/// A program that has ended.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// Exit status, or minus the number of the signal.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Guest {
    /// Boots it, and waits until programs can be run.
    pub fn boot(image: &Image, hardware: &Hardware) -> Result<Self> {
        Self::start(image, hardware, || Ok(Command::new(QEMU)))
    }

    /// As [`Guest::boot`], with QEMU in a namespace, where it finds the taps by name.
    pub fn boot_in(namespace: &Namespace, image: &Image, hardware: &Hardware) -> Result<Self> {
        Self::start(image, hardware, || namespace.command(QEMU))
    }

    fn start(image: &Image, hardware: &Hardware, qemu: impl Fn() -> Result<Command>) -> Result<Self> {
        let mut panics = 0;
        loop {
            match Self::come_up(image, hardware, qemu()?) {
                Err(error) if panics < PANICS_MAX && error.to_string().contains(PANIC) => panics += 1,
                other => return other,
            }
        }
    }

    fn come_up(image: &Image, hardware: &Hardware, mut qemu: Command) -> Result<Self> {
        let directory = Directory::new()?;
        let path = directory.path();
        image.write(&path.join("root"))?;
        fs::write(path.join("console"), "")?;
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max"]);
        qemu.args(["-smp", &hardware.processors.to_string(), "-m", &hardware.memory.to_string()]);
        qemu.arg("-kernel").arg(image.kernel().image()).arg("-initrd").arg(path.join("root"));
        let line = ["console=ttyS0", "quiet", "panic=-1", "rdinit=/init", CLOCK, NO_TIMER_CHECK];
        let line: Vec<&str> = line.into_iter().chain(hardware.kernel.iter().map(String::as_str)).collect();
        qemu.args(["-append", &line.join(" ")]);
        let socket = |name: &str| format!("unix:{},server=on,wait=off", path.join(name).display());
        qemu.arg("-serial").arg(format!("file:{}", path.join("console").display()));
        qemu.arg("-qmp").arg(socket("monitor"));
        qemu.args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=port,name=port"]);
        qemu.arg("-chardev");
        qemu.arg(format!("socket,id=port,path={},server=on,wait=off", path.join("port").display()));
        qemu.args([
            "-object",
            "rng-random,id=entropy,filename=/dev/urandom",
            "-device",
            "virtio-rng-pci,rng=entropy",
        ]);
        for (index, card) in hardware.cards.iter().enumerate() {
            qemu.args(["-netdev", &format!("{},id=wire{index}", card.wire)]);
            let Card { model, address, .. } = card;
            qemu.args(["-device", &format!("{model},netdev=wire{index},id=card{index},mac={address}")]);
        }
        qemu.args(&hardware.arguments);
        let mut process = Process::start(qemu, path.join("log"))?;
        let port = connect(&mut process, &path.join("port"))?;
        let monitor = Monitor::new(connect(&mut process, &path.join("monitor"))?)?;
        let mut guest = Self {
            name: image.kernel().name().to_owned(),
            release: String::new(),
            inboxes: Arc::default(),
            next: AtomicU64::new(1),
            port: port.try_clone()?,
            process,
            monitor,
            directory,
        };
        // Number 0 is for reports that answer no request.
        let (sender, ready) = channel();
        lock(&guest.inboxes).insert(0, sender);
        let inboxes = Arc::clone(&guest.inboxes);
        std::thread::spawn(move || sort(port, &inboxes));
        match ready.recv_timeout(BOOT) {
            Ok(Report::Ready { release }) => guest.release = release,
            _ => return Err(guest.with_console("it does not come up")),
        }
        guest.name_cards(&hardware.cards)?;
        Ok(guest)
    }

    /// Names the interfaces; the kernel numbers them in the order in which their modules are loaded.
    fn name_cards(&self, cards: &[Card]) -> Result<()> {
        let mut lines = [String::new(), String::new()];
        for (index, card) in cards.iter().enumerate() {
            let found = self.run("sh", &["-c", "grep -il \"$0\" /sys/class/net/*/address", &card.address])?;
            let old = found.trim().rsplit('/').nth(1).unwrap_or_default();
            lines[0].push_str(&format!("link set {old} name wire{index}\n"));
            lines[1].push_str(&format!("link set wire{index} name {}\n", card.name));
        }
        if cards.is_empty() {
            return Ok(());
        }
        self.write("/tmp/cards", &lines.concat())?;
        self.run("ip", &["-batch", "/tmp/cards"]).map(drop)
    }

    /// Release of its kernel, as the guest reports it.
    pub fn release(&self) -> &str {
        &self.release
    }

    pub fn monitor(&mut self) -> &mut Monitor {
        &mut self.monitor
    }

    /// QEMU's process; killing it is a power failure of the machine.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Runs a program to its end and returns its standard output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let finished = self.start_program(program, arguments, &[])?.wait(SHORT)?;
        let Finished { status, stdout, stderr } = finished;
        ensure!(status == 0, "{program} {arguments:?} in {}: status {status}: {}", self.name, stderr.trim());
        Ok(stdout)
    }

    /// Starts a program with these variables, PATH, HOME, and the variable that makes tests wait longer.
    pub fn start_program(
        &self,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Job<'_>> {
        let job = self.job();
        self.ask(&Request::Run {
            id: job.id,
            program: program.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: environment
                .iter()
                .chain(&[(SLOWNESS, EMULATED)])
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })?;
        Ok(job)
    }

    /// Writes a file, with the directories above it.
    pub fn write(&self, path: &str, content: &str) -> Result<()> {
        let job = self.job();
        self.ask(&Request::Write { id: job.id, path: path.to_owned(), content: content.to_owned() })?;
        job.wait(SHORT).map(drop)
    }

    /// All output of its console.
    pub fn console(&self) -> String {
        let text = fs::read(self.directory.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn job(&self) -> Job<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, inbox) = channel();
        lock(&self.inboxes).insert(id, sender);
        Job { guest: self, id, inbox }
    }

    fn ask(&self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        (&self.port).write_all(&line).map_err(|error| self.with_console(&error.to_string()))
    }

    /// An error that ends with the latest lines of the console.
    fn with_console(&self, why: &str) -> anyhow::Error {
        let (console, log) = (self.console(), self.process.log());
        let lines: Vec<&str> = console.lines().chain(log.lines()).collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
        anyhow!("the guest with kernel {}: {why}\n--- its console\n{}", self.name, tail.join("\n"))
    }
}

impl Job<'_> {
    /// Passes each line that it prints to `each`, and returns its status at the end: the exit status, or minus the
    /// number of the signal.
    pub fn follow(&self, within: Duration, mut each: impl FnMut(&str, bool)) -> Result<i32> {
        let deadline = Deadline::after(within);
        loop {
            match self.inbox.recv_timeout(deadline.left()) {
                Ok(Report::Printed { error, text, .. }) => each(&text, error),
                Ok(Report::Ended { status, .. }) => return Ok(status),
                Ok(Report::Refused { why, .. }) => bail!("{why}"),
                Ok(Report::Ready { .. }) => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self
                        .guest
                        .with_console(&format!("a program has not ended after {within:?}")));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.guest.with_console("it has ended")),
            }
        }
    }

    /// Waits for its end, and collects the output.
    pub fn wait(&self, within: Duration) -> Result<Finished> {
        let mut finished = Finished::default();
        finished.status = self.follow(within, |text, error| {
            if error { &mut finished.stderr } else { &mut finished.stdout }.push_str(text);
        })?;
        Ok(finished)
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.guest.ask(&Request::Signal { id: self.id, number: signal as i32 })
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        lock(&self.guest.inboxes).remove(&self.id);
    }
}

/// Passes the guest's reports to the jobs that wait for them. At the guest's end all of them receive an error.
fn sort(port: UnixStream, inboxes: &Inboxes) {
    for line in BufReader::new(port).lines().map_while(Result::ok) {
        if let Ok(report) = serde_json::from_str::<Report>(&line)
            && let Some(inbox) = lock(inboxes).get(&report.id().unwrap_or(0))
        {
            // The job may have been dropped.
            let _gone = inbox.send(report);
        }
    }
    lock(inboxes).clear();
}

/// Connects to a socket that QEMU makes soon after its start.
fn connect(qemu: &mut Process, path: &Path) -> Result<UnixStream> {
    poll("a socket of QEMU", SHORT, || {
        if let Some(status) = qemu.ended()? {
            bail!("QEMU has ended ({status}): {}", qemu.log().trim());
        }
        Ok(UnixStream::connect(path).ok())
    })
}
