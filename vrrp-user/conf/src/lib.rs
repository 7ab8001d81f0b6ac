//! Configuration: keepalived.conf to settings.
//!
//! Enters: the text of a file and of its includes. Leaves: a [`Config`], or [`Diagnostic`]s with the fault, its place
//! (file:line:column) and the remedy. Absent: sockets, interfaces, running anything.
//!
//! Stages: `text` (comments, continuation) → `expand` (conditions, definitions, sequences, include)
//! → `lexer` (words, quotes) → `tree` (blocks) → `schema` (tables of keywords) → `resolve` (names, defaults, units).

mod braces;
mod check;
mod command;
mod copy;
mod diagnostic;
mod difference;
mod excerpt;
mod expand;
mod explain;
mod file;
mod lexer;
mod lint;
mod loaded;
mod model;
mod opens;
mod outline;
mod overwrite;
mod quotes;
mod resolve;
mod route;
mod rule;
mod schema;
mod secret;
mod settings;
mod source;
mod succession;
mod template;
mod text;
mod tolerance;
mod tree;
mod vmac;
mod webhook;
mod width;
mod words;

use std::path::Path;
use std::sync::Arc;

pub use check::{
    BODY, CheckTarget, Containers, Damping, DnsTarget, DockerTarget, Endpoint, FileTarget, HaproxyTarget,
    HoldSettings, Host, HttpTarget, Matching, NotAnEndpoint, ProcessTarget, Processes,
};
pub use diagnostic::{Diagnostic, Severity, did_you_mean};
pub use difference::Change;
pub use explain::{
    CheckTimes, Effect, Explained, Explanation, Finding, FindingSeverity, Origin, Surroundings, Takeover,
    TimeRange, Timers, Tracked, Value, text as explain_text,
};
pub use file::{FileError, open as open_file};
pub use loaded::Loaded;
pub use model::{
    CheckSettings, Config, DumpSettings, FifoSettings, FirewallSettings, Globals, Group, Instance,
    LifecycleScript, LinkDelays, MailSettings, NotifyCommand, NotifySettings, ProcessSettings, ScriptCommand,
    ScriptUser, Statics,
};
pub use route::{Hop, Placement, Route, RouteKind, RouteOption, RoutePreference};
pub use rule::{Lookup, Rule, RuleAction};
pub use schema::{Keyword, KeywordTable, keywords, mask as umask};
pub use settings::{Addresses, AnnouncePauses, ExtraAnnounce, InstanceSettings, VirtualAddress};
pub use source::Progress;
pub use succession::{NoRoom, succeed};
pub use tolerance::{KEEPALIVED_CONF, Tolerance};
pub use vmac::{Name, Vmac, VmacSettings};
pub use webhook::{Template, TemplateError, WebhookEvent, WebhookPayload, WebhookSettings, WebhookUrl};
pub use width::{folded, padded, split_at_width, width, wrapped_at};
pub use words::{quoted, words};

use braces::Braces;
use diagnostic::Report;
use expand::Includes;
use lexer::Line;
use outline::Outline;
use source::{FileId, Position, Sources};
use tree::Statement;

/// Reads a file and its includes, for the node with the host's name.
///
/// # Errors
/// As [`Reader::load`].
pub fn load(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    Reader::new(None).load(path)
}

/// Reads a text, called `name` in the findings, for the node with the host's name.
///
/// # Errors
/// As [`Reader::parse`].
pub fn parse(name: &str, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    Reader::new(None).parse(name, text)
}

/// Reader of a configuration, for one node.
#[derive(Clone, Debug)]
pub struct Reader {
    config_id: Arc<str>,
    progress: Progress,
    tolerance: Tolerance,
    copies: bool,
}

impl Reader {
    /// `config_id` selects the lines that begin with `@ID`; the default is the host's name up to its first dot.
    pub fn new(config_id: Option<&str>) -> Self {
        let config_id = config_id.map_or_else(host, Into::into);
        Self { config_id, progress: Progress::default(), tolerance: Tolerance::Strict, copies: false }
    }

    /// Leaves these lines out instead of refusing the file.
    #[must_use]
    pub fn tolerating(self, tolerance: Tolerance) -> Self {
        Self { tolerance, ..self }
    }

    /// Makes copies of what is read.
    #[must_use]
    pub fn copying(self) -> Self {
        Self { copies: true, ..self }
    }

    /// Reads a copy that [`Loaded::copy`] has given. Key files and templates that it names are read again.
    ///
    /// # Errors
    /// It is damaged, or has an error now.
    pub fn restore(&self, copy: &str) -> Result<Loaded, String> {
        let mut sources = Sources::watched(self.progress.clone());
        let statements = copy::read(copy, &mut sources)?;
        let report = Report::new(self.tolerance.clone());
        let file = Position::default().file;
        self.settle(&statements, file, true, &sources, report)
            .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// The file being read now, for a thread that waits for the end of the reading.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Reads a file and its includes.
    ///
    /// # Errors
    /// All findings, including warnings, if at least one is an error. [`Severity::Unreadable`] is among them if the
    /// file itself cannot be read; an included file that cannot be read is a warning.
    pub fn load(&self, path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
        let mut sources = Sources::watched(self.progress.clone());
        let file = sources.add(path.display().to_string().into());
        sources.waits_for(|| format!("`{}`", path.display()));
        match expand::read(path) {
            Ok(text) => self.configure(&text, file, Includes::Follow(path), sources),
            Err(error) => {
                let mut report = Report::default();
                report
                    .unreadable(Position::start_of(file), format!("the file cannot be read: {error}"))
                    .help_maybe(error.help());
                Err(report.into_diagnostics(&sources))
            }
        }
    }

    /// Reads a text that comes from elsewhere, called `name` in the findings; its includes are in the current folder.
    ///
    /// # Errors
    /// As [`Reader::load`].
    pub fn load_text(&self, name: &str, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
        let mut sources = Sources::watched(self.progress.clone());
        let file = sources.add(name.into());
        self.configure(text, file, Includes::Follow(Path::new(name)), sources)
    }

    /// Reads a text, called `name` in the findings. Opens no files: an `include` in it is a warning.
    ///
    /// # Errors
    /// All findings, including warnings, if at least one is an error.
    pub fn parse(&self, name: &str, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
        let mut sources = Sources::default();
        let file = sources.add(name.into());
        self.configure(text, file, Includes::Refuse, sources)
    }

    fn configure(
        &self,
        text: &str,
        file: FileId,
        includes: Includes<'_>,
        mut sources: Sources,
    ) -> Result<Loaded, Vec<Diagnostic>> {
        let mut report = Report::new(self.tolerance.clone());
        if text.contains('\r') && !text.contains('\n') {
            report
                .error(
                    Position::start_of(file),
                    "the lines end with CR only, so the whole file counts as one line",
                )
                .help("convert the line ends to LF: tr '\\r' '\\n'");
        }
        if let Some(at) = text::unrendered(text, file) {
            report
                .left_out(at, "this is a template: `{{ … }}` or `{% … %}` is still in it")
                .elects(true)
                .help("render it, with Ansible, Helm or the like, and check the result");
            if !report.is_tolerant() {
                return Err(report.into_diagnostics(&sources));
            }
        }
        let is_blank = |line: &str| line.is_empty() || line.starts_with(['#', '!']);
        // keepalived runs with such a file.
        if !report.is_tolerant() && text.lines().map(str::trim_start).all(is_blank) {
            report.error(Position::start_of(file), "there is nothing in the file").help(
                "has it been cut off? A file without an instance has a block nevertheless: global_defs { }",
            );
        }
        let opens_files = matches!(includes, Includes::Follow(_));
        let config_id = Arc::clone(&self.config_id);
        let lines = expand::expand(text, file, includes, config_id, &mut sources, &mut report);
        let statements = self.build(lines, &mut report);
        self.settle(&statements, file, opens_files, &sources, report)
    }

    /// Reads the blocks. A file that is refused for its braces is read with the right ones, so that what follows is
    /// about the lines themselves; a file that is not, as keepalived reads it.
    fn build(&self, lines: Vec<Line>, report: &mut Report) -> Vec<Statement> {
        let lines = if report.is_tolerant() { opens::complete(lines, report) } else { lines };
        let Some(braces) = Braces::examine(&lines) else { return tree::build(lines, report) };
        let corrected = braces.correct(&lines);
        let mut trial = Report::new(self.tolerance.clone());
        let counted = tree::build(lines.clone(), &mut trial);
        // Faults that are no missing or surplus brace.
        let has_others = trial.has_errors();
        schema::read(&counted, &mut trial);
        if trial.is_clean() {
            return counted;
        }
        let errors = report.errors();
        braces.report(report);
        match (report.errors() > errors, has_others) {
            (true, _) => tree::build(corrected, report),
            (false, true) => tree::build(lines, report),
            (false, false) => counted,
        }
    }

    /// Gives statements their meaning.
    fn settle(
        &self,
        statements: &[Statement],
        file: FileId,
        opens_files: bool,
        sources: &Sources,
        mut report: Report,
    ) -> Result<Loaded, Vec<Diagnostic>> {
        let outline = Outline::of(statements, sources);
        if !report.is_tolerant() {
            quotes::check(statements, &mut report);
        }
        let mut draft = schema::read(statements, &mut report);
        secret::open(&mut draft, opens_files, sources, &mut report);
        template::open(&mut draft, opens_files, sources, &mut report);
        lint::check(&mut draft, sources, &mut report);
        overwrite::check(&draft, sources, &mut report);
        let config = resolve::resolve(draft, &mut report);
        let refused = report.has_errors();
        let tolerance = report.known();
        let diagnostics = report.into_diagnostics(sources);
        if refused {
            Err(diagnostics)
        } else {
            let file = sources.name(file);
            Ok(Loaded { config, diagnostics, tolerance, file, outline, copies: self.copies })
        }
    }
}

/// The host's name up to its first dot.
fn host() -> Arc<str> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().split('.').next().unwrap_or_default().into()
}
