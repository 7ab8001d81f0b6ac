//! Orders of operators, in a [`super::Status`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Steering;
use crate::daemon::history::Inner;
use crate::daemon::steering::Order;
use crate::daemon::wall::{rfc3339, shown_of};

impl Steering {
    /// Those of the instance of this name.
    pub(in crate::daemon) fn of(history: &Inner, name: &str) -> Vec<Self> {
        let orders = history.steerings.of(name).into_iter().flat_map(|steered| steered.orders());
        let steering = |priority: Option<u8>| priority.map(|priority| priority.to_string());
        orders.map(|(kind, base, order)| Self::new(kind.as_str(), steering(base), order)).collect()
    }

    pub(super) fn of_log((level, order): &(String, Order)) -> Self {
        Self::new("log", Some(level.clone()), order)
    }

    fn new(what: &str, value: Option<String>, order: &Order) -> Self {
        Self {
            what: what.to_owned(),
            value,
            until: order.end().map(rfc3339),
            seconds_left: order.left().map(|left| left.as_secs_f64()),
            by: order.by.clone(),
            reason: order.reason.clone(),
        }
    }
}

/// An order, and the instance that it is for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NamedOrder {
    pub instance: String,
    #[serde(flatten)]
    pub order: Steering,
}

impl fmt::Display for NamedOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.instance, self.order)
    }
}

/// One line for people.
impl fmt::Display for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.what.as_str(), &self.value) {
            ("failover", Some(value)) => write!(f, "failover: priority {value}")?,
            (what, Some(value)) => write!(f, "{what} {value} by order")?,
            (what, None) => f.write_str(what)?,
        }
        match &self.until {
            Some(until) => write!(f, " until {}", shown_of(until))?,
            None => f.write_str(" until it is taken back")?,
        }
        write!(f, ", by {}", self.by)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}
