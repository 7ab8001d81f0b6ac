//! Orders of an operator to a running instance: maintenance, failover, another base priority.
//!
//! Enters: [`SteeringOrder`]s, and what is known of other routers. Leaves: the priority and the Fault that follow from
//! the orders, and whether a router would serve the addresses after them. Absent: how long an order lasts and who gave
//! it. Maintenance is a cause of Fault; a failover is a handover without an heir so far, and priority 1 after it.

use core::net::IpAddr;

use super::action::State;
use super::units::{InstanceId, Priority};

/// Priority after a failover: the lowest that still takes part in the election.
const LOWEST: Priority = Priority(1);

/// The orders that are in force for an instance.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Steering {
    /// It takes no part in the election.
    pub maintenance: bool,
    /// It competes with priority 1.
    pub steps_back: bool,
    /// Base priority instead of that of the settings.
    pub priority: Option<Priority>,
}

/// Orders for one instance, in place of those before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SteeringOrder {
    pub instance: InstanceId,
    pub steering: Steering,
    /// A master hands its addresses over now.
    pub hands_over: bool,
}

impl Steering {
    /// The effective priority, from the configured one and the sum of what tracked objects add. An owner has its own.
    pub(super) fn priority(self, configured: Priority, sum: i32) -> Priority {
        match self.priority {
            _ if configured.is_owner() => configured,
            _ if self.steps_back => LOWEST,
            Some(base) if !base.is_owner() => base.weighted(sum),
            _ => configured.weighted(sum),
        }
    }
}

/// What is known when an instance is to give up its part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    pub state: State,
    /// Another router is heard as master now.
    pub master: Option<IpAddr>,
    /// Another router that has sent adverts of this VRID since the daemon started: it was master then.
    pub heard: Option<IpAddr>,
    /// A configured unicast peer.
    pub peer: Option<IpAddr>,
}

/// No router is known that would serve the addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoHeir {
    /// This one is master, and no other router is known.
    Alone,
    /// This one is a backup that hears no master.
    NoMaster,
}

/// The router that may take over from a master: one that has been heard goes before one that is only configured.
pub fn known_heir(standing: &Standing) -> Option<IpAddr> {
    standing.master.or(standing.heard).or(standing.peer)
}

/// Whether the addresses are served if the instance no longer takes part. One that does not take part now serves
/// nothing either.
///
/// # Errors
/// No router would serve them, as far as is known.
pub fn may_leave(standing: &Standing) -> Result<(), NoHeir> {
    match standing.state {
        State::Init | State::Fault => Ok(()),
        State::Backup => standing.master.map(drop).ok_or(NoHeir::NoMaster),
        State::Master => known_heir(standing).map(drop).ok_or(NoHeir::Alone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(state: State) -> Standing {
        Standing { state, master: None, heard: None, peer: None }
    }

    fn router(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_master_leaves_only_to_a_router_that_is_known() {
        let master = alone(State::Master);
        assert_eq!(may_leave(&master), Err(NoHeir::Alone));
        for known in [
            Standing { master: router(1), ..master },
            Standing { heard: router(1), ..master },
            Standing { peer: router(1), ..master },
        ] {
            assert_eq!((may_leave(&known), known_heir(&known)), (Ok(()), router(1)));
        }
        let both = Standing { heard: router(1), peer: router(2), ..master };
        assert_eq!(known_heir(&both), router(1), "one that was heard is surer");
    }

    #[test]
    fn a_backup_leaves_only_while_a_master_is_heard() {
        let backup = alone(State::Backup);
        assert_eq!(may_leave(&Standing { heard: router(1), ..backup }), Err(NoHeir::NoMaster));
        assert_eq!(may_leave(&Standing { master: router(1), ..backup }), Ok(()));
        for state in [State::Init, State::Fault] {
            assert_eq!(may_leave(&alone(state)), Ok(()), "{state:?} serves nothing");
        }
    }

    #[test]
    fn tracked_objects_add_to_a_steered_base() {
        let to = |priority| Steering { priority: Some(Priority(priority)), ..Steering::default() };
        let of = |steering: Steering| steering.priority(Priority(100), -20);
        assert_eq!(of(Steering::default()), Priority(80));
        assert_eq!(of(to(150)), Priority(130));
        assert_eq!(of(to(10)), Priority(1));
        assert_eq!(of(Steering { steps_back: true, ..to(150) }), Priority(1));
        let back = Steering { steps_back: true, ..Steering::default() };
        assert_eq!(back.priority(Priority::OWNER, -20), Priority::OWNER);
        assert_eq!(to(7).priority(Priority::OWNER, 0), Priority::OWNER);
    }
}
