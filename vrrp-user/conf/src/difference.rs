//! Changes from one configuration to another, in words.
//!
//! Enters: two [`Loaded`]s. Leaves: [`Change`]s, none exactly if both mean the same. The resolved settings decide
//! whether something has changed; the effective values of [`super::explain`] and the lines as written say what. A
//! setting that has no words there is still reported, as one whose value is not shown.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::diagnostic::Printable;
use super::explain::{Explained, Origin, Surroundings, Tracked, Value};
use super::loaded::Loaded;
use super::model::{Config, Group, Instance};
use super::outline::{Location, Written};
use super::schema::is_start_only;
use super::succession::succeed;
use super::words::quoted;
use crate::InstanceSettings;

/// One change.
///
/// Displayed as `vrrpx.conf:22: web  priority 110 → 90`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Change {
    /// File and line of the new value; `None` if it is not written.
    pub place: Option<String>,
    /// The instance, or the block.
    pub about: String,
    pub text: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}  {}", Printable(&self.about), Printable(&self.text))
    }
}

/// Blocks of what an instance can track, by the name that is their first word.
const CHECKS: &[&str] = &["vrrp_script", "vrrp_check", "vrrp_track_process", "track_file", "vrrp_track_file"];

const STATICS: &[&str] = &["static_ipaddress", "static_routes", "static_rules"];

const LINK_DELAYS: &[&str] = &["interface_up_down_delays"];

/// Keywords whose values may be secret.
const SECRET: &[&str] = &["header", "auth_pass", "key", "password", "http", "url"];

/// Addresses of a new instance that are listed.
const ADDRESSES: usize = 3;

const NOT_SHOWN: &str = "a value that is not shown differs: a password, a key, or the contents of a file";

const AT_RESTART: &str = ", after a restart";

/// A value with its keyword; without a keyword, one of a list.
#[derive(Clone, Debug)]
struct Entry<'a> {
    keyword: String,
    value: String,
    place: Option<&'a Location>,
}

impl Entry<'_> {
    fn is_command(&self) -> bool {
        let word = self.keyword.rsplit(' ').next().unwrap_or_default();
        let is_hook = word.starts_with("notify") && word != "notify_webhook";
        word == "exec" || word.ends_with("script") || is_hook
    }

    /// Its value; of a command only the program, as every user may read what has changed, and arguments may be secret.
    fn shown(&self) -> &str {
        if self.is_command() { self.value.split(' ').next().unwrap_or_default() } else { &self.value }
    }
}

/// A change, before its object and the name of its file are known.
type Line<'a> = (Option<&'a Location>, String);

impl Loaded {
    /// What changes if `after` replaces this configuration.
    pub fn changes_to(&self, after: &Self) -> Vec<Change> {
        let mut config = after.config.clone();
        // Cannot fail: there is room for every instance.
        let _ = succeed(&self.config, &mut config, usize::MAX, |_| true);
        let mut changes = Changes { file: &after.file, all: Vec::new() };
        let (before, written) = (self.outline.read(), after.outline.read());
        let old = Side::of(self, &self.config, &before);
        let new = Side::of(after, &config, &written);
        // A field that is added here has to be compared below.
        let Config {
            globals,
            instances: _,
            groups: _,
            checks: _,
            statics,
            tracked_interfaces: _,
            link_delays,
        } = &config;
        if self.config.globals != *globals {
            changes.globals(&old, &new);
        }
        changes.instances(&old, &new);
        changes.groups(&old, &new);
        changes.checks(&old, &new);
        if self.config.statics != *statics {
            changes.lists(STATICS, &old, &new);
        }
        if self.config.link_delays != *link_delays {
            changes.lists(LINK_DELAYS, &old, &new);
        }
        changes.all
    }
}

/// One of the two configurations, with the numbers of the first.
struct Side<'a> {
    outline: &'a [Written],
    config: &'a Config,
    globals: Vec<Value>,
    instances: Vec<Explained>,
    groups: Vec<(Arc<str>, Location, Vec<Value>)>,
}

impl<'a> Side<'a> {
    fn of(loaded: &Loaded, config: &'a Config, outline: &'a [Written]) -> Self {
        let explained = loaded.explain(Surroundings::default());
        let groups = explained.groups.into_iter().map(|it| (it.name, it.place, it.values));
        Self {
            outline,
            config,
            globals: explained.global_defs,
            instances: explained.instances,
            groups: groups.collect(),
        }
    }

    fn explained(&self, instance: &Instance) -> Option<&Explained> {
        self.instances.iter().find(|it| it.name == instance.settings.name)
    }

    fn named(&self, name: &str) -> Option<&'a Instance> {
        self.config.instances.iter().find(|it| *it.settings.name == *name)
    }

    fn group(&self, name: &str) -> Option<&'a Group> {
        self.config.groups.iter().find(|it| *it.settings.name == *name)
    }

    fn block(&self, kinds: &[&str], name: &str) -> Option<&'a Written> {
        let mut blocks = self.outline.iter().filter(|block| kinds.iter().any(|kind| block.is(kind)));
        blocks.find(|block| block.first() == Some(name))
    }

    /// What an instance tracks, each with the keyword of its block: a `vrrp_check` is a script to everything else.
    fn tracked<'t>(&self, all: &'t [Tracked]) -> Vec<Entry<'t>> {
        let entry = |it: &'t Tracked| {
            let is_check = it.kind == "script" && self.block(&["vrrp_check"], &it.name).is_some();
            let kind = if is_check { "check" } else { it.kind };
            let reverse = if it.reverse { " reverse" } else { "" };
            Entry {
                keyword: format!("track_{kind} {}", it.name),
                value: format!("weight {}{reverse}", it.weight),
                place: place_in(&it.from),
            }
        };
        all.iter().map(entry).collect()
    }

    /// The lines of all blocks of these kinds.
    fn lines(&self, kind: &str) -> Vec<Entry<'a>> {
        let blocks = self.outline.iter().filter(|block| block.is(kind));
        blocks.flat_map(Written::inner).map(|line| Entry { keyword: String::new(), ..whole(line) }).collect()
    }
}

struct Changes<'a> {
    /// The file whose folder is left out of places.
    file: &'a str,
    all: Vec<Change>,
}

impl Changes<'_> {
    fn add(&mut self, about: &str, (place, text): Line<'_>) {
        let place = place.map(|place| self.shown(place));
        self.all.push(Change { place, about: about.to_owned(), text });
    }

    /// `file:line`, as seen from the folder of the configuration.
    fn shown(&self, place: &Location) -> String {
        let folder = Path::new(self.file).parent().unwrap_or(Path::new(""));
        let file = Path::new(&*place.file);
        format!("{}:{}", file.strip_prefix(folder).unwrap_or(file).display(), place.line)
    }

    /// Adds what has changed in an object whose settings differ.
    fn object(&mut self, about: &str, lines: Vec<Line<'_>>, hidden: Option<Line<'_>>) {
        if lines.is_empty() {
            self.add(about, hidden.unwrap_or_else(|| (None, NOT_SHOWN.to_owned())));
        }
        for line in lines {
            self.add(about, line);
        }
    }

    fn globals(&mut self, old: &Side<'_>, new: &Side<'_>) {
        let mut lines = Vec::new();
        for keyword in keywords(&old.globals, &new.globals) {
            let of =
                |side: &[Value]| side.iter().filter(|it| it.keyword == *keyword).cloned().collect::<Vec<_>>();
            let (before, after) = (of(&old.globals), of(&new.globals));
            let later = if is_start_only(keyword) { AT_RESTART } else { "" };
            let changed = compared(entries(&before), entries(&after));
            let place = new.globals.iter().find(|it| it.keyword == *keyword).and_then(place_of);
            lines.extend(changed.into_iter().map(|(at, text)| (at.and(place), text + later)));
        }
        let hidden = hidden(global_block(old.outline), global_block(new.outline));
        self.object("global_defs", lines, hidden);
    }

    fn instances(&mut self, old: &Side<'_>, new: &Side<'_>) {
        for instance in &new.config.instances {
            let name = &instance.settings.name;
            match old.config.instances.iter().find(|it| it.id == instance.id) {
                Some(before) => self.instance((old, before), (new, instance)),
                None => {
                    let place = new.explained(instance).map(|it| &it.place);
                    // Of the same name, but with another identity.
                    let replaced = old.named(name).filter(|it| is_gone(it, new));
                    let text = match replaced {
                        Some(before) => format!(
                            "another instance, {}, in place of {}",
                            identity(&instance.settings),
                            identity(&before.settings)
                        ),
                        None => format!("new instance, {}", described(&instance.settings)),
                    };
                    self.add(name, (place, text));
                }
            }
        }
        for instance in old.config.instances.iter().filter(|it| is_gone(it, new)) {
            let is_replaced = |it: &Instance| old.config.instances.iter().all(|before| before.id != it.id);
            if !new.named(&instance.settings.name).is_some_and(is_replaced) {
                self.add(
                    &instance.settings.name,
                    (None, format!("removed: {}", described(&instance.settings))),
                );
            }
        }
    }

    fn instance(&mut self, (old, before): (&Side<'_>, &Instance), (new, after): (&Side<'_>, &Instance)) {
        let name = &after.settings.name;
        if before == after {
            return;
        }
        let (Some(was), Some(is)) = (old.explained(before), new.explained(after)) else { return };
        let mut lines = Vec::new();
        if was.name != is.name {
            lines.push((Some(&is.place), format!("renamed from {}", was.name)));
        }
        lines.extend(compared(entries(&was.values), entries(&is.values)));
        lines.extend(compared(listed(&was.addresses), listed(&is.addresses)));
        lines.extend(compared(listed(&was.paths), listed(&is.paths)));
        lines.extend(compared(old.tracked(&was.tracked), new.tracked(&is.tracked)));
        let kind = &["vrrp_instance"];
        let hidden = hidden(old.block(kind, &was.name), new.block(kind, name));
        self.object(name, lines, hidden);
    }

    fn groups(&mut self, old: &Side<'_>, new: &Side<'_>) {
        for (name, place, values) in &new.groups {
            let about = format!("group {name}");
            let Some(before) = old.group(name) else {
                self.add(&about, (Some(place), "new sync group".to_owned()));
                continue;
            };
            if new.group(name).is_none_or(|after| before == after) {
                continue;
            }
            let was = old.groups.iter().find(|(old, ..)| old == name).map(|(.., values)| &**values);
            let lines = compared(entries(was.unwrap_or_default()), entries(values));
            let kind = &["vrrp_sync_group"];
            self.object(&about, lines, hidden(old.block(kind, name), new.block(kind, name)));
        }
        for (name, ..) in old.groups.iter().filter(|(name, ..)| new.group(name).is_none()) {
            self.add(&format!("group {name}"), (None, "removed".to_owned()));
        }
    }

    fn checks(&mut self, old: &Side<'_>, new: &Side<'_>) {
        for check in &new.config.checks {
            let about = format!("check {}", check.name);
            let after = new.block(CHECKS, &check.name);
            let Some(before) = old.config.checks.iter().find(|it| it.id == check.id) else {
                self.add(&about, (after.map(Written::place), "new".to_owned()));
                continue;
            };
            if before == check {
                continue;
            }
            let was = old.block(CHECKS, &before.name);
            let lines =
                compared(was.map(flattened).unwrap_or_default(), after.map(flattened).unwrap_or_default());
            self.object(&about, lines, hidden(was, after));
        }
        let is_there = |id| new.config.checks.iter().any(|it| it.id == id);
        for check in old.config.checks.iter().filter(|it| !is_there(it.id)) {
            self.add(&format!("check {}", check.name), (None, "no longer used".to_owned()));
        }
    }

    /// Blocks that are lists of lines.
    fn lists(&mut self, kinds: &[&str], old: &Side<'_>, new: &Side<'_>) {
        let before = self.all.len();
        for kind in kinds {
            for line in compared(old.lines(kind), new.lines(kind)) {
                self.add(kind, line);
            }
        }
        if self.all.len() == before {
            self.add(&kinds.join(", "), (None, "the lines have another order".to_owned()));
        }
    }
}

fn is_gone(instance: &Instance, new: &Side<'_>) -> bool {
    new.config.instances.iter().all(|it| it.id != instance.id)
}

fn identity(settings: &InstanceSettings) -> String {
    match &*settings.interface {
        "" => format!("VRID {}", settings.vrid),
        interface => format!("VRID {} on {interface}", settings.vrid),
    }
}

fn described(settings: &InstanceSettings) -> String {
    let mut addresses: Vec<String> =
        settings.addresses.all().map(|it| format!("{}/{}", it.address, it.prefix)).collect();
    if addresses.len() > ADDRESSES {
        let more = addresses.split_off(ADDRESSES).len();
        addresses.push(format!("and {more} more"));
    }
    let addresses = addresses.join(" ");
    format!("{}, priority {}, {addresses}", identity(settings), settings.priority)
}

fn place_of(value: &Value) -> Option<&Location> {
    place_in(&value.from)
}

fn place_in(origin: &Origin) -> Option<&Location> {
    match origin {
        Origin::Written(place) | Origin::Globals(place) | Origin::Check(place) | Origin::Group(place) => {
            Some(place)
        }
        Origin::Default | Origin::Follows(_) => None,
    }
}

fn global_block(outline: &[Written]) -> Option<&Written> {
    outline.iter().find(|block| block.is("global_defs"))
}

fn keywords<'a>(before: &'a [Value], after: &'a [Value]) -> Vec<&'a String> {
    let mut all: Vec<&String> = Vec::new();
    for value in after.iter().chain(before) {
        if !all.contains(&&value.keyword) {
            all.push(&value.keyword);
        }
    }
    all
}

fn entries(values: &[Value]) -> Vec<Entry<'_>> {
    let entry = |it: &'_ Value| (it.keyword.clone(), it.value.clone());
    values
        .iter()
        .filter(|it| !SECRET.contains(&it.keyword.as_str()))
        .map(|it| {
            let (keyword, value) = entry(it);
            Entry { keyword, value, place: place_of(it) }
        })
        .collect()
}

/// Addresses, routes and rules.
fn listed(values: &[Value]) -> Vec<Entry<'_>> {
    let value = |it: &Value| match it.keyword.as_str() {
        "advertised" => it.value.clone(),
        "not advertised" => format!("{} (not advertised)", it.value),
        keyword => format!("{keyword} {}", it.value),
    };
    values.iter().map(|it| Entry { keyword: String::new(), value: value(it), place: place_of(it) }).collect()
}

/// A line with its words.
fn whole(line: &Written) -> Entry<'_> {
    let words = std::iter::once(&line.keyword).chain(&line.args).map(|word| quoted(&word.text));
    let value = words.collect::<Vec<_>>().join(" ");
    Entry { keyword: line.keyword.text.to_string(), value, place: Some(&line.keyword.place) }
}

/// The lines of a block and of the blocks in it, without those that may be secret.
fn flattened(block: &Written) -> Vec<Entry<'_>> {
    let mut all = Vec::new();
    let lines = block.inner().iter().filter(|line| !SECRET.iter().any(|keyword| line.is(keyword)));
    for line in lines {
        let words: Vec<String> = line.args.iter().map(|word| quoted(&word.text)).collect();
        let keyword = line.keyword.text.to_string();
        all.push(Entry { keyword: keyword.clone(), value: words.join(" "), place: Some(line.place()) });
        let inner = flattened(line).into_iter();
        all.extend(inner.map(|it| Entry { keyword: format!("{keyword} {}", it.keyword), ..it }));
    }
    all
}

/// Statements of a block that differ, by keyword; their values may be secret.
fn hidden<'a>(before: Option<&Written>, after: Option<&'a Written>) -> Option<Line<'a>> {
    let (before, after) = (before?, after?);
    let is_same = |one: &Written, other: &Written| words(one) == words(other);
    let new = after.inner().iter().find(|line| !before.inner().iter().any(|it| is_same(it, line)));
    if let Some(line) = new {
        return Some((Some(line.place()), format!("{} differs; its value is not shown", line.keyword.text)));
    }
    let gone = before.inner().iter().find(|line| !after.inner().iter().any(|it| is_same(it, line)))?;
    Some((Some(after.place()), format!("- {}", gone.keyword.text)))
}

fn words(line: &Written) -> Vec<&str> {
    let own = std::iter::once(&line.keyword).chain(&line.args).map(|word| &*word.text);
    own.chain(line.inner().iter().flat_map(words)).collect()
}

/// Differences of two lists, keyword by keyword.
fn compared<'a>(before: Vec<Entry<'_>>, after: Vec<Entry<'a>>) -> Vec<Line<'a>> {
    let mut gone = before;
    let mut come: Vec<Entry<'a>> = Vec::new();
    for entry in after {
        let is_same = |it: &Entry<'_>| it.keyword == entry.keyword && it.value == entry.value;
        match gone.iter().position(is_same) {
            Some(index) => drop(gone.remove(index)),
            None => come.push(entry),
        }
    }
    let count = |all: &[Entry<'_>], keyword: &str| all.iter().filter(|it| it.keyword == keyword).count();
    let is_single = |keyword: &str, gone: &[Entry<'_>], come: &[Entry<'_>]| {
        !keyword.is_empty() && count(gone, keyword) == 1 && count(come, keyword) == 1
    };
    let mut lines = Vec::new();
    for entry in &gone {
        if !is_single(&entry.keyword, &gone, &come) {
            lines.push((None, format!("- {}", said(entry))));
        }
    }
    for entry in &come {
        let old = gone.iter().find(|it| it.keyword == entry.keyword);
        let old = old.filter(|_| is_single(&entry.keyword, &gone, &come));
        let text = match old {
            Some(old) if old.is_command() => format!("{} differs: {}", entry.keyword, entry.shown()),
            Some(old) => format!("{} {} → {}", entry.keyword, old.value, entry.value),
            None => format!("+ {}", said(entry)),
        };
        lines.push((entry.place, text));
    }
    lines
}

fn said(entry: &Entry<'_>) -> String {
    [entry.keyword.as_str(), entry.shown()]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
