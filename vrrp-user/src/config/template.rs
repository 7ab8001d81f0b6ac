//! Templates that a configuration names by a file.
//!
//! Enters: drafts, when a file is loaded. Leaves: settings of webhooks with their templates. They are read with the
//! configuration, and again with every reload of it.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::diagnostic::{Report, did_you_mean};
use super::schema::{Draft, WebhookDraft};
use super::source::Position;
use super::webhook::{Template, TemplateError, WebhookSettings};

const FILE_MAX: u64 = 64 * 1024;

/// Reads the files, or tells that a text alone opens none.
pub(super) fn open(draft: &mut Draft, opens_files: bool, report: &mut Report) {
    let instances = draft.instances.iter_mut().map(|it| &mut it.webhooks);
    let groups = draft.groups.iter_mut().map(|it| &mut it.webhooks);
    for webhook in instances.chain(groups).chain([&mut draft.globals.webhooks]).flatten() {
        let Some(file) = webhook.file.take() else { continue };
        if !opens_files {
            report.error(file.at, "a configuration that is no file itself names no template");
        } else if let Some(template) = read(&file.value, file.at, report) {
            webhook.settings.template = template;
        }
    }
}

/// Those of `global_defs`, then its own; the same URL with the same options counts once.
pub(super) fn joined(global: &[WebhookSettings], own: Vec<WebhookDraft>) -> Vec<WebhookSettings> {
    let mut all = global.to_vec();
    for WebhookDraft { settings, .. } in own {
        if !all.contains(&settings) {
            all.push(settings);
        }
    }
    all
}

fn read(path: &str, at: Position, report: &mut Report) -> Option<Template> {
    let text = match text(path) {
        Ok(text) => text,
        Err(error) => {
            report.error(at, format!("the template `{path}` cannot be read: {error}"));
            return None;
        }
    };
    match Template::parse(path, &text) {
        Ok(template) => Some(template),
        Err(error) => {
            let help = match &error {
                TemplateError::Unknown { name, .. } => did_you_mean(name, Template::fields()),
                TemplateError::Open { .. } => None,
                TemplateError::NotJson(_) => {
                    Some("words stand in quotes: `\"state\": \"${state}\"`".to_owned())
                }
            };
            report.error(at, format!("the template `{path}`: {error}")).help_maybe(help);
            None
        }
    }
}

/// Waits for nobody who would have to write it.
fn text(path: &str) -> io::Result<String> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    file.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(io::Error::other("it has more than 64 KiB"));
    }
    Ok(text)
}
