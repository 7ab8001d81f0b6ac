//! Yes or no, for load balancers, cloud probes and orchestrators: by status code, with a word for people.

use hyper::StatusCode;

use super::Served;
use super::answer::{Answer, plain};
use crate::daemon::status::DaemonContext;
use crate::protocol::State;

/// Whether the engine turns.
pub(super) async fn healthy(served: &Served) -> Answer {
    let context = served.begin();
    if served.heartbeat.is_recent(&context.live).await {
        plain(StatusCode::OK, "the engine responds\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, "the engine does not respond\n")
    }
}

/// Whether every instance has left Init.
pub(super) fn ready(served: &Served) -> Answer {
    let context = served.begin();
    let waiting = context.instances().filter(|(_, live)| live.state() == State::Init);
    let waiting: Vec<&str> = waiting.map(|(config, _)| &*config.settings.name).collect();
    if waiting.is_empty() {
        plain(StatusCode::OK, "every instance has left INIT\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, format!("in INIT: {}\n", waiting.join(" ")))
    }
}

/// Whether an instance or sync group is master here.
pub(super) fn is_master(served: &Served, name: &str) -> Answer {
    let Some(state) = state_of(&served.begin(), name) else {
        return plain(StatusCode::NOT_FOUND, "no such instance or sync group\n");
    };
    let code = if state == State::Master { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    plain(code, format!("{}\n", state.as_str()))
}

/// State of the instance or sync group of this name.
fn state_of(context: &DaemonContext, name: &str) -> Option<State> {
    let instance = context.instances().find(|(config, _)| *config.settings.name == *name);
    let groups = context.config.groups.iter().zip(&context.live.groups);
    let group = || groups.into_iter().find(|(config, _)| *config.settings.name == *name);
    instance.map(|(_, live)| live.state()).or_else(|| group().map(|(_, live)| live.state()))
}
