//! In place of mail or webhooks in a build without the feature: a configuration that has them was refused.

use std::sync::Arc;

use crate::daemon::history::History;

/// No mail.
#[cfg(not(feature = "mail"))]
#[derive(Debug)]
pub(super) struct Mailer;

#[cfg(not(feature = "mail"))]
impl Mailer {
    pub(super) fn new(_: &Arc<str>, _: &Arc<History>) -> Self {
        Self
    }

    pub(super) fn settle(&mut self, _: Option<&crate::config::MailSettings>) {}

    pub(super) fn report(&self, _: super::line::Subject<'_>, _: super::NotifyState) -> bool {
        false
    }

    pub(super) fn report_rejection(&self, _: &str, _: &str, _: Option<&str>) {}

    pub(super) async fn stop(self) {}
}

/// No webhooks.
#[cfg(not(feature = "webhook"))]
#[derive(Debug)]
pub(super) struct Webhooks;

#[cfg(not(feature = "webhook"))]
impl Webhooks {
    pub(super) fn new(_: &Arc<History>) -> Self {
        Self
    }

    pub(super) fn settle(&mut self, _: &crate::config::Config) {}

    pub(super) fn report(&self, _: &[crate::config::WebhookSettings], _: &super::WebhookPayload) {}

    pub(super) async fn stop(self) {}
}
