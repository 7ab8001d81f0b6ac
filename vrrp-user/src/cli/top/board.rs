//! The latest reading, those before it as far as they are plotted, and the place of the person in it.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ratatui::Frame;
use vrrp_ebpf::time::Timestamp;

use super::{detail, screen};
use crate::daemon::control::StatusReading;
use crate::daemon::events::Event;
use crate::daemon::status::{Instance, Status};

/// Seconds of the plot.
const SAMPLES: usize = 60;

/// Events that are kept.
const EVENTS: usize = 200;

/// A daemon that has not answered for this long is silent: a reading comes each second.
const SILENCE: Duration = Duration::from_secs(2);

/// Readings for which a restart is shown.
const SHOWN: u8 = 10;

/// Instances that a page key moves by.
const PAGE: usize = 10;

/// What the reading thread has to say.
#[derive(Debug)]
pub enum News {
    Read(Box<StatusReading>),
    /// There is a daemon, and it does not answer.
    Silent,
    /// There is no daemon that may be read; why.
    Lost(String),
}

/// A key, as far as it has a meaning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Key {
    Letter(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    Quit,
}

/// Order of the instances.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Order {
    /// That of the file.
    #[default]
    File,
    /// Those with a problem first.
    Problem,
    Name,
    /// The latest transition first.
    Change,
}

impl Order {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Problem => "problem",
            Self::Name => "name",
            Self::Change => "latest change",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::File => Self::Problem,
            Self::Problem => Self::Name,
            Self::Name => Self::Change,
            Self::Change => Self::File,
        }
    }
}

/// What covers the screen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Page {
    #[default]
    Instances,
    /// All of one instance, from this line on.
    Detail(usize),
    Help,
}

/// The adverts of an instance's master, second by second.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// The longest gap as a share of what is allowed; `None` where no master was heard.
    pub(super) gaps: VecDeque<Option<f64>>,
    /// Own adverts in the latest second.
    pub(super) sent: Option<f64>,
}

/// Everything of a screen.
#[derive(Debug, Default)]
pub struct Board {
    pub(super) colours: bool,
    pub(super) status: Option<Status>,
    pub(super) events: VecDeque<Event>,
    past: HashMap<String, Past>,
    /// Why there is no reading, and the time of the last one.
    pub(super) lost: Option<(String, Option<String>)>,
    /// Time of the latest answer, or of the first wait for one; `None` until the next [`Self::tick`].
    answered: Option<Timestamp>,
    /// For how long there has been no answer, in whole seconds; `None` while there are answers.
    pub(super) silence: Option<Duration>,
    /// Readings since another daemon answers.
    pub(super) restarted: Option<u8>,
    pub(super) filter: String,
    pub(super) is_filtering: bool,
    pub(super) order: Order,
    pub(super) page: Page,
    selected: Option<String>,
    /// Place of the instance in the first row.
    first: usize,
}

impl Board {
    pub fn new(colours: bool) -> Self {
        Self { colours, ..Self::default() }
    }

    /// Time passes without news. Returns whether the screen shows it.
    pub fn tick(&mut self, now: Timestamp) -> bool {
        let silence = now.since(*self.answered.get_or_insert(now));
        let silence = (silence >= SILENCE).then(|| Duration::from_secs(silence.as_secs()));
        std::mem::replace(&mut self.silence, silence) != silence
    }

    /// Takes the latest reading, or that there is none.
    pub fn hear(&mut self, news: News) {
        let StatusReading { status, events } = match news {
            News::Read(reading) => *reading,
            News::Silent => {
                self.lost = None;
                return;
            }
            News::Lost(why) => {
                let last = self.status.as_ref().map(|status| status.node.time.clone());
                self.lost = Some((why, last));
                return;
            }
        };
        let was_lost = self.lost.take().is_some() | self.silence.take().is_some();
        self.answered = None;
        let before = self.status.take();
        let is_same = before.as_ref().is_none_or(|before| before.node.pid == status.node.pid);
        if !is_same {
            self.past.clear();
            self.restarted = Some(0);
        } else if let Some(count) = self.restarted {
            self.restarted = Some(count + 1).filter(|count| *count < SHOWN);
        }
        if let Some(before) = before.filter(|_| is_same && !was_lost) {
            self.compare(&before, &status);
        }
        // A connection that was lost begins with the events that are known.
        let latest = self.events.back().map_or(0, |event| event.seq);
        self.events.extend(events.into_iter().filter(|event| event.seq > latest));
        let surplus = self.events.len().saturating_sub(EVENTS);
        self.events.drain(..surplus);
        self.status = Some(status);
    }

    fn compare(&mut self, before: &Status, now: &Status) {
        let seconds = now.node.uptime_seconds - before.node.uptime_seconds;
        if seconds <= 0.0 {
            return;
        }
        self.past.retain(|name, _| now.instances.iter().any(|it| it.name == *name));
        let earlier: HashMap<_, _> = before.instances.iter().map(|it| (it.name.as_str(), it)).collect();
        for instance in &now.instances {
            let Some(earlier) = earlier.get(instance.name.as_str()) else { continue };
            let past = self.past.entry(instance.name.clone()).or_default();
            past.gaps.push_back(share(earlier, instance, seconds));
            if past.gaps.len() > SAMPLES {
                past.gaps.pop_front();
            }
            let sent = instance.counters.adverts_sent.checked_sub(earlier.counters.adverts_sent);
            past.sent = sent.and_then(|sent| u32::try_from(sent).ok()).map(|sent| f64::from(sent) / seconds);
        }
    }

    pub(super) fn past(&self, name: &str) -> Option<&Past> {
        self.past.get(name)
    }

    /// The instances that are shown, in their order.
    pub(super) fn shown(&self) -> Vec<&Instance> {
        let filter = self.filter.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&filter);
        let all = self.status.iter().flat_map(|status| &status.instances);
        let mut shown: Vec<&Instance> =
            all.filter(|it| has(&it.name) || has(&it.state) || has(&it.interface)).collect();
        match self.order {
            Order::File => {}
            Order::Problem => shown.sort_by_cached_key(|it| {
                let state = ["FAULT", "INIT", "MASTER", "BACKUP"].iter().position(|state| *state == it.state);
                (state != Some(0), it.problem_texts().is_empty(), state)
            }),
            Order::Name => shown.sort_by(|one, other| one.name.cmp(&other.name)),
            Order::Change => shown.sort_by_key(|it| Reverse(it.since.clone())),
        }
        shown
    }

    /// The selected one among those that are shown, by its place there.
    pub(super) fn selected(&self, shown: &[&Instance]) -> usize {
        let is_selected = |it: &&Instance| Some(&it.name) == self.selected.as_ref();
        shown.iter().position(is_selected).unwrap_or_default()
    }

    fn select(&mut self, choose: impl FnOnce(usize, usize) -> usize) {
        let shown = self.shown();
        let last = shown.len().saturating_sub(1);
        let place = choose(self.selected(&shown), last).min(last);
        self.selected = shown.get(place).map(|it| it.name.clone());
    }

    /// Returns whether the key ends the program.
    pub fn press(&mut self, key: Key) -> bool {
        match (key, self.page) {
            (Key::Quit, _) => return true,
            _ if self.is_filtering => self.edit(key),
            (Key::Letter('q') | Key::Escape | Key::Enter, Page::Detail(_))
            | (Key::Letter(_) | Key::Escape | Key::Enter, Page::Help) => self.page = Page::Instances,
            (key, Page::Detail(line)) => self.page = Page::Detail(scrolled(key, line)),
            (_, Page::Help) => {}
            (Key::Letter('q'), Page::Instances) => return true,
            (Key::Letter('?'), _) => self.page = Page::Help,
            (Key::Letter('s'), _) => self.order = self.order.next(),
            (Key::Letter('/'), _) => self.is_filtering = true,
            (Key::Escape, _) => self.filter.clear(),
            (Key::Enter, _) => {
                // A selection by place becomes one by name.
                self.select(|place, _| place);
                if self.selected.is_some() {
                    self.page = Page::Detail(0);
                }
            }
            (Key::Up | Key::Letter('k'), _) => self.select(|place, _| place.saturating_sub(1)),
            (Key::Down | Key::Letter('j'), _) => self.select(|place, _| place + 1),
            (Key::PageUp, _) => self.select(|place, _| place.saturating_sub(PAGE)),
            (Key::PageDown, _) => self.select(|place, _| place + PAGE),
            (Key::Home | Key::Letter('g'), _) => self.select(|_, _| 0),
            (Key::End | Key::Letter('G'), _) => self.select(|_, last| last),
            (Key::Letter(_) | Key::Backspace, _) => {}
        }
        false
    }

    /// A key for the text of the filter.
    fn edit(&mut self, key: Key) {
        match key {
            Key::Letter(letter) => self.filter.push(letter),
            Key::Backspace => drop(self.filter.pop()),
            Key::Escape => {
                self.filter.clear();
                self.is_filtering = false;
            }
            Key::Enter => self.is_filtering = false,
            _ => {}
        }
    }

    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        match self.page {
            Page::Instances => self.first = screen::draw(self, frame, self.first),
            Page::Detail(line) => self.page = Page::Detail(detail::draw(self, frame, line)),
            Page::Help => screen::help(self, frame),
        }
    }
}

fn scrolled(key: Key, line: usize) -> usize {
    match key {
        Key::Up | Key::Letter('k') => line.saturating_sub(1),
        Key::Down | Key::Letter('j') => line + 1,
        Key::PageUp => line.saturating_sub(PAGE),
        Key::PageDown | Key::Letter(' ') => line + PAGE,
        Key::Home | Key::Letter('g') => 0,
        Key::End | Key::Letter('G') => usize::MAX,
        _ => line,
    }
}

/// The longest gap between adverts of the master that is heard, as a share of what is allowed.
fn share(earlier: &Instance, now: &Instance, seconds: f64) -> Option<f64> {
    let master = now.heard_master()?;
    let before = earlier.peers.iter().find(|peer| peer.address == master.address)?;
    Some(master.longest_gap_since(before, seconds)? / now.allowed_seconds()?)
}
