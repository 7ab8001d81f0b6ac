//! Steering: orders of operators to the running daemon, in force until they are taken back or their time is over.
//!
//! Enters: requests of the control socket, and the file of an earlier run. Leaves: [`Event::Steer`] for the engine, the
//! same file, and a log line and an event for each order that begins or ends. Absent: the meaning of an order to the
//! state machine; see [`crate::protocol`].
//!
//! Orders are of instances by their names: they survive a reload, unless that removes the instance, and follow an
//! instance that it renames. Their ends are times of CLOCK_BOOTTIME, which no change of the wall clock moves.

mod audit;
mod desk;
mod file;
mod order;
mod order_lock;
mod text;
pub(super) mod who;

use std::path::Path;
use std::sync::Arc;

use tracing::{info, warn};

pub(crate) use audit::LOG;
pub use desk::{Call, Desk};
pub(crate) use desk::{unknown_name, unknown_of};
pub use order::{Kind, Order, Steered, Steerings};
pub use order_lock::OrderLock;

use self::order::{now, renamed};
use super::log;
use super::status::DaemonContext;
use super::wall::rfc3339_local;
use crate::config::Config;
use crate::protocol::{Event, InstanceId};

/// Reads the orders of an earlier run into the history, and sets the log level; returns what the engine is to know
/// before its instances take part. `names` has the names that instances had in that run, unless they are the same.
pub fn resume(context: &DaemonContext, runtime_dir: &Path, names: &[(InstanceId, Arc<str>)]) -> Event {
    let mut steerings = file::load(runtime_dir);
    let named = |(id, old): &(InstanceId, Arc<str>)| {
        let new = &context.config.instance(*id)?.settings.name;
        (old != new).then(|| (Arc::clone(old), Arc::clone(new)))
    };
    steerings.rename(&names.iter().filter_map(named).collect::<Vec<_>>());
    let now = now();
    for steered in steerings.instances.values_mut() {
        // Ended while no daemon ran.
        drop(steered.take_over(now));
    }
    drop(steerings.log.take_if(|(_, order)| order.is_over(now)));
    steerings.retain(&context.config);
    if let Some((level, _)) = &steerings.log
        && let Err(error) = log::set_level(Some(level))
    {
        warn!(%error, "the log level of an earlier run is not used");
    }
    for (name, steered) in &steerings.instances {
        for (kind, _, order) in steered.orders() {
            let until = order.end().map(rfc3339_local);
            info!(instance = name, by = order.by, until, "operator order still in force: {}", kind.as_str());
        }
    }
    let event = Event::Steer(steerings.orders(&context.config));
    context.history.write().steerings = steerings;
    event
}

/// After a reload or a hot restart with renamed instances: keeps their orders under the new names.
pub fn keep(context: &DaemonContext, runtime_dir: &Path) {
    if let Err(error) = file::save(runtime_dir, &context.history.read().steerings) {
        warn!(%error, "cannot write the orders of renamed instances; a restart forgets them");
    }
}

/// At a reload, when the configuration in use changes from `before` to `after`: the orders of renamed instances follow.
pub fn follow_names(context: &DaemonContext, before: &Config, after: &Config, runtime_dir: &Path) {
    let renamed = renamed(before, after);
    {
        let steerings = &mut context.history.write().steerings;
        let earlier = steerings.clone();
        steerings.rename(&renamed);
        if *steerings == earlier {
            return;
        }
    }
    keep(context, runtime_dir);
}

/// After a reload: forgets the orders of instances that it has removed.
pub fn forget_removed(context: &DaemonContext, runtime_dir: &Path) {
    let mut inner = context.history.write();
    let before = inner.steerings.clone();
    inner.steerings.retain(&context.config);
    if inner.steerings == before {
        return;
    }
    for name in before.instances.keys().filter(|name| !inner.steerings.instances.contains_key(*name)) {
        info!(instance = name, "the instance is removed, and so are its orders");
    }
    if let Err(error) = file::save(runtime_dir, &inner.steerings) {
        warn!(%error, "cannot write the orders that remain");
    }
}
