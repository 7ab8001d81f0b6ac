//! Template files named by a configuration.
//!
//! Enters: drafts, when a file is loaded. Leaves: settings of webhooks with their templates. They are read with the
//! configuration, and again with every reload.

use std::path::Path;

use super::diagnostic::{Report, did_you_mean};
use super::file;
use super::schema::{Draft, WebhookDraft};
use super::source::{Position, Sources};
use super::webhook::{Template, TemplateError, WebhookSettings};

const FILE_MAX: u64 = 64 * 1024;

/// Reads the files; an error if the configuration is a text alone, which opens none.
pub(super) fn open(draft: &mut Draft, opens_files: bool, sources: &Sources, report: &mut Report) {
    let instances = draft.instances.iter_mut().map(|it| &mut it.webhooks);
    let groups = draft.groups.iter_mut().map(|it| &mut it.webhooks);
    for webhook in instances.chain(groups).chain([&mut draft.globals.webhooks]).flatten() {
        let Some(file) = webhook.file.take() else { continue };
        sources.waits_for(|| format!("the template `{}` (named by {})", file.value, sources.place(file.at)));
        if !opens_files {
            report.error(file.at, "a configuration that is not a file cannot name a template");
        } else if let Some(template) = read(&file.value, file.at, report) {
            webhook.settings.template = template;
        }
    }
}

/// The webhooks of `global_defs`, then the block's own; the same URL with the same options counts once.
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
    let (bytes, _) = match file::read(Path::new(path), FILE_MAX) {
        Ok(found) => found,
        Err(error) => {
            report
                .error(at, format!("the template `{path}` cannot be read: {error}"))
                .help_maybe(error.help());
            return None;
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        report.error(at, format!("the template `{path}` is not UTF-8"));
        return None;
    };
    match Template::parse(path, &text) {
        Ok(template) => Some(template),
        Err(error) => {
            let help = match &error {
                TemplateError::Unknown { name, .. } => did_you_mean(name, Template::fields()),
                TemplateError::Open { .. } => None,
                TemplateError::NotJson(_) => {
                    Some("put words in quotes: `\"state\": \"${state}\"`".to_owned())
                }
            };
            report.error(at, format!("the template `{path}`: {error}")).help_maybe(help);
            None
        }
    }
}
