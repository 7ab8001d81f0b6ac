//! Yes or no, for load balancers, cloud probes and orchestrators: by status code, with a word for people.

use hyper::StatusCode;

use super::Served;
use super::answer::{Answer, plain};
use crate::config::quoted;
use crate::daemon::status::DaemonContext;
use crate::daemon::steering::unknown_name;
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
    let waiting: Vec<String> = waiting.map(|(config, _)| quoted(&config.settings.name)).collect();
    if waiting.is_empty() {
        plain(StatusCode::OK, "every instance has left INIT\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, format!("in INIT: {}\n", waiting.join(" ")))
    }
}

/// Whether an instance or sync group is master here.
pub(super) fn is_master(served: &Served, name: &str) -> Answer {
    match state_of(&served.begin(), name) {
        Ok(state) => {
            let code = if state == State::Master { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            plain(code, format!("{}\n", state.as_str()))
        }
        Err(unknown) => plain(StatusCode::NOT_FOUND, format!("{unknown}\n")),
    }
}

/// State of the instance or sync group of this name, or which names there are.
pub(super) fn state_of(context: &DaemonContext, name: &str) -> Result<State, String> {
    let instances = context.instances().map(|(config, live)| (&config.settings.name, live.state()));
    let groups = context.config.groups.iter().zip(&context.live.groups);
    let groups = groups.map(|(config, live)| (&config.settings.name, live.state()));
    let all: Vec<(&str, State)> = instances.chain(groups).map(|(name, state)| (&**name, state)).collect();
    let found = all.iter().find(|(of, _)| *of == name).map(|(_, state)| *state);
    found.ok_or_else(|| unknown_name(name, all.iter().map(|(name, _)| *name)))
}
