//! Docker checks: containers, by the Engine API on its socket.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use bollard::query_parameters::{EventsOptions, InspectContainerOptions, ListContainersOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::StreamExt;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::super::attempt::Failure;
use super::{Health, within};
use crate::config::{Containers, DockerTarget};

/// Events that may change the health of a container; others, for example those of running health checks, are frequent.
const EVENTS: [&str; 8] =
    ["create", "destroy", "die", "health_status", "pause", "rename", "start", "unpause"];

/// Reports the health of the containers, for ever. `limit` bounds each request.
pub(super) async fn watch(
    target: &DockerTarget,
    every: Duration,
    limit: Duration,
    mut tell: impl FnMut(Health),
) -> Infallible {
    loop {
        let Err(failure) = session(target, every, limit, &mut tell).await;
        tell(Err(failure.or_shortage()));
        sleep(every).await;
    }
}

/// Runs as long as the engine answers.
async fn session(
    target: &DockerTarget,
    every: Duration,
    limit: Duration,
    tell: &mut impl FnMut(Health),
) -> Result<Infallible, Failure> {
    let name = target.socket.display().to_string();
    let engine = within(limit, &name, connect(&target.socket, limit)).await?;
    let options =
        EventsOptions { filters: Some(event_filters(&target.containers)), ..EventsOptions::default() };
    let mut events = pin!(engine.events(Some(options)));
    let mut due = interval(every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::of(&name, &error)),
                None => return Err(Failure::new(format_args!("{name}: the engine has ended the connection"))),
            },
            _ = due.tick() => {}
        }
        match within(limit, &name, judge(&engine, &target.containers)).await {
            Ok(health) => tell(health),
            Err(gone) => return Err(gone),
        }
    }
}

async fn connect(socket: &Path, limit: Duration) -> Result<Docker, Failure> {
    let failure = |error: bollard::errors::Error| Failure::of(socket.display(), &error);
    let engine =
        Docker::connect_with_unix(&socket.to_string_lossy(), limit.as_secs().max(1), API_DEFAULT_VERSION);
    // Older and newer engines speak other versions.
    engine.map_err(failure)?.negotiate_version().await.map_err(failure)
}

/// The health of the containers; an error if the engine does not report it.
async fn judge(engine: &Docker, containers: &Containers) -> Result<Health, Failure> {
    let names = match containers {
        Containers::Named(names) => names.iter().map(ToString::to_string).collect(),
        Containers::Labelled(label) => {
            let labelled = labelled(engine, label).await?;
            if labelled.is_empty() {
                return Ok(Err(Failure::new(format_args!("no container has the label {label}"))));
            }
            labelled
        }
    };
    for name in names {
        let health = match engine.inspect_container(&name, None::<InspectContainerOptions>).await {
            Ok(container) => judge_one(&name, &container),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                Err(Failure::new(format_args!("{name}: no such container")))
            }
            Err(error) => return Err(Failure::of(&name, &error)),
        };
        if health.is_err() {
            return Ok(health);
        }
    }
    Ok(Ok(()))
}

/// Ids of the containers with a label, running or not.
async fn labelled(engine: &Docker, label: &str) -> Result<Vec<String>, Failure> {
    let filters = Some(HashMap::from([("label".to_owned(), vec![label.to_owned()])]));
    let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
    let found = engine.list_containers(Some(options)).await;
    let found = found.map_err(|error| Failure::of("docker", &error))?;
    Ok(found.into_iter().filter_map(|container| container.id).collect())
}

fn judge_one(name: &str, container: &ContainerInspectResponse) -> Health {
    let name = container.name.as_deref().map_or(name, |name| name.trim_start_matches('/'));
    let failure = |why: &dyn std::fmt::Display| Err(Failure::new(format_args!("{name}: {why}")));
    let Some(state) = &container.state else { return failure(&"its state is not reported") };
    if state.running != Some(true) || state.paused == Some(true) || state.restarting == Some(true) {
        return match state.status {
            Some(status) => failure(&status),
            None => failure(&"not running"),
        };
    }
    match state.health.as_ref().and_then(|health| health.status) {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE | HealthStatusEnum::HEALTHY) => Ok(()),
        Some(other) => failure(&other),
    }
}

fn event_filters(containers: &Containers) -> HashMap<String, Vec<String>> {
    let (key, values) = match containers {
        Containers::Named(names) => ("container", names.iter().map(ToString::to_string).collect()),
        Containers::Labelled(label) => ("label", vec![label.to_string()]),
    };
    let events = EVENTS.map(str::to_owned).to_vec();
    [("type", vec!["container".to_owned()]), ("event", events), (key, values)]
        .map(|(key, values)| (key.to_owned(), values))
        .into()
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerState, ContainerStateStatusEnum, Health as Checked};

    use super::*;

    #[test]
    fn a_container_must_run_and_be_healthy() {
        let running = ContainerState { running: Some(true), ..ContainerState::default() };
        let checked = |status| ContainerState {
            health: Some(Checked { status: Some(status), ..Checked::default() }),
            ..running.clone()
        };
        let rows = [
            (running.clone(), Ok(())),
            (checked(HealthStatusEnum::HEALTHY), Ok(())),
            (checked(HealthStatusEnum::NONE), Ok(())),
            (checked(HealthStatusEnum::STARTING), Err("app: starting")),
            (checked(HealthStatusEnum::UNHEALTHY), Err("app: unhealthy")),
            (
                ContainerState {
                    paused: Some(true),
                    status: Some(ContainerStateStatusEnum::PAUSED),
                    ..running.clone()
                },
                Err("app: paused"),
            ),
            (
                ContainerState {
                    running: Some(false),
                    status: Some(ContainerStateStatusEnum::EXITED),
                    ..ContainerState::default()
                },
                Err("app: exited"),
            ),
            (ContainerState::default(), Err("app: not running")),
        ];
        for (state, expected) in rows {
            let container = ContainerInspectResponse {
                name: Some("/app".to_owned()),
                state: Some(state.clone()),
                ..ContainerInspectResponse::default()
            };
            let health = judge_one("7f", &container).map_err(|failure| failure.to_string());
            assert_eq!(health, expected.map_err(str::to_owned), "{state:?}");
        }
    }
}
