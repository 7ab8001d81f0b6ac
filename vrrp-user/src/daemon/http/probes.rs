//! Yes or no, for load balancers, cloud probes and orchestrators: by status code, with a word for people.

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Served;
use crate::daemon::status::DaemonContext;
use crate::protocol::State;

/// Whether the engine turns.
pub(super) async fn healthy(Shared(served): Shared<Served>) -> Response {
    let context = served.begin();
    if served.heartbeat.is_recent(&context.live).await {
        "the engine responds\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the engine does not respond\n").into_response()
    }
}

/// Whether every instance has left Init.
pub(super) async fn ready(Shared(served): Shared<Served>) -> Response {
    let context = served.begin();
    let waiting = context.instances().filter(|(_, live)| live.state() == State::Init);
    let waiting: Vec<&str> = waiting.map(|(config, _)| &*config.settings.name).collect();
    if waiting.is_empty() {
        "every instance has left INIT\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("in INIT: {}\n", waiting.join(" "))).into_response()
    }
}

/// Whether an instance or sync group is master here.
pub(super) async fn is_master(Shared(served): Shared<Served>, Path(name): Path<String>) -> Response {
    let Some(state) = state_of(&served.begin(), &name) else {
        return (StatusCode::NOT_FOUND, "no such instance or sync group\n").into_response();
    };
    let code = if state == State::Master { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", state.as_str())).into_response()
}

/// State of the instance or sync group of this name.
fn state_of(context: &DaemonContext, name: &str) -> Option<State> {
    let instance = context.instances().find(|(config, _)| *config.settings.name == *name);
    let groups = context.config.groups.iter().zip(&context.live.groups);
    let group = || groups.into_iter().find(|(config, _)| *config.settings.name == *name);
    instance.map(|(_, live)| live.state()).or_else(|| group().map(|(_, live)| live.state()))
}
