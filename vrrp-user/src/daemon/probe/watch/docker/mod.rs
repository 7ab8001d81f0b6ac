//! Docker checks: containers, by the Engine API on its socket.

mod engine;

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use self::engine::{Container, Engine, EngineError};
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
    mut report: impl FnMut(Health),
) -> Infallible {
    loop {
        let Err(failure) = session(target, every, limit, &mut report).await;
        report(Err(failure.or_shortage()));
        sleep(every).await;
    }
}

/// Runs as long as the engine answers.
async fn session(
    target: &DockerTarget,
    every: Duration,
    limit: Duration,
    report: &mut impl FnMut(Health),
) -> Result<Infallible, Failure> {
    let name = target.socket.display().to_string();
    let failure = |error: EngineError| Failure::of(&name, &error);
    let connect = async { Engine::connect(&target.socket).await.map_err(failure) };
    let engine = within(limit, &name, connect).await?;
    let filters = event_filters(&target.containers);
    let subscribe = async { engine.events(&filters).await.map_err(failure) };
    let mut events = within(limit, &name, subscribe).await?;
    let mut due = interval(every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(failure(error)),
                None => return Err(Failure::new(format_args!("{name}: the engine has ended the connection"))),
            },
            _ = due.tick() => {}
        }
        match within(limit, &name, judge(&engine, &target.containers)).await {
            Ok(health) => report(health),
            Err(gone) => return Err(gone),
        }
    }
}

/// The health of the containers; an error if the engine does not report it.
async fn judge(engine: &Engine, containers: &Containers) -> Result<Health, Failure> {
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
        let health = match engine.inspect(&name).await {
            Ok(container) => judge_one(&name, &container),
            Err(error) if error.is_unknown() => Err(Failure::new(format_args!("{name}: no such container"))),
            Err(error) => return Err(Failure::of(&name, &error)),
        };
        if health.is_err() {
            return Ok(health);
        }
    }
    Ok(Ok(()))
}

/// Ids of the containers with a label, running or not.
async fn labelled(engine: &Engine, label: &str) -> Result<Vec<String>, Failure> {
    let found = engine.containers(&[("label", vec![label])]).await;
    found.map_err(|error| Failure::of("docker", &error))
}

fn judge_one(name: &str, container: &Container) -> Health {
    let name = container.name.as_deref().map_or(name, |name| name.trim_start_matches('/'));
    let failure = |why: &dyn std::fmt::Display| Err(Failure::new(format_args!("{name}: {why}")));
    let Some(state) = &container.state else { return failure(&"its state is not reported") };
    if state.running != Some(true) || state.paused == Some(true) || state.restarting == Some(true) {
        return failure(
            &state.status.as_deref().filter(|status| !status.is_empty()).unwrap_or("not running"),
        );
    }
    match state.health.as_ref().and_then(|health| health.status.as_deref()) {
        None | Some("" | "none" | "healthy") => Ok(()),
        Some(other) => failure(&other),
    }
}

fn event_filters(containers: &Containers) -> Vec<(&str, Vec<&str>)> {
    let named = match containers {
        Containers::Named(names) => ("container", names.iter().map(|name| &**name).collect()),
        Containers::Labelled(label) => ("label", vec![&**label]),
    };
    vec![("type", vec!["container"]), ("event", EVENTS.to_vec()), named]
}

#[cfg(test)]
mod tests {
    use super::engine::{Checked, State};
    use super::*;

    #[test]
    fn a_container_must_run_and_be_healthy() {
        let running = State { running: Some(true), ..State::default() };
        let checked = |status: &str| State {
            health: Some(Checked { status: Some(status.to_owned()) }),
            ..running.clone()
        };
        let rows = [
            (running.clone(), Ok(())),
            (checked("healthy"), Ok(())),
            (checked("none"), Ok(())),
            (checked("starting"), Err("app: starting")),
            (checked("unhealthy"), Err("app: unhealthy")),
            (
                State { paused: Some(true), status: Some("paused".to_owned()), ..running.clone() },
                Err("app: paused"),
            ),
            (
                State { running: Some(false), status: Some("exited".to_owned()), ..State::default() },
                Err("app: exited"),
            ),
            (State::default(), Err("app: not running")),
        ];
        for (state, expected) in rows {
            let container = Container { name: Some("/app".to_owned()), state: Some(state.clone()) };
            let health = judge_one("7f", &container).map_err(|failure| failure.to_string());
            assert_eq!(health, expected.map_err(str::to_owned), "{state:?}");
        }
    }
}
