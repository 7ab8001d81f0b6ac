//! Log lines and events of orders.

use tracing::info;

use super::order::Order;
use crate::daemon::events::EventKind;
use crate::daemon::status::DaemonContext;
use crate::daemon::wall::{rfc3339, rfc3339_local};

/// The name of orders for the log in events.
pub(crate) const LOG: &str = "log";

/// Logs an order that begins or ends, and records it as an event.
pub(super) fn audit(context: &DaemonContext, name: &str, what: &str, order: &Order) {
    let (by, end, why) = (&order.by, order.end(), order.reason.clone());
    let until = end.map(rfc3339_local);
    if name == LOG {
        info!(by, until, "log: {what}");
    } else {
        info!(instance = name, by, until, why, "operator order: {what}");
    }
    context.history.events.push(EventKind::Steered {
        name: name.to_owned(),
        what: what.to_owned(),
        by: by.clone(),
        until: end.map(rfc3339),
        why,
    });
}
