//! Scenarios of polling and of bad data: what is found, when, how often, and what becomes of it.

mod bad_alerts;
mod bad_devices;
mod bounded;
mod budget;
mod clocks;
mod dying;
mod faults;
mod heavy;
mod late;
mod meddler;
mod news;
mod observing;
mod windows;

use jiff::Timestamp;
use model::AlertId;
use ports::{Announced, Count, Cursor, Stored};
use scenarios::{Scene, device};

/// An alert on the first workstation that nothing is ever done about.
fn low(id: &str, updated: Timestamp) -> simulator::Alert {
    simulator::Alert::new(id, device(1).as_str(), updated).severity("Low")
}

/// How many alerts were announced since the last restart.
fn found(scene: &Scene) -> u64 {
    scene.count(Count::AlertsFound)
}

/// How many decisions were made since the last restart.
fn decided(scene: &Scene) -> u64 {
    let answers = [Count::DecidedIsolate, Count::DecidedPropose, Count::DecidedNone, Count::DecidedRefused];
    answers.map(|answer| scene.count(answer)).iter().sum()
}

/// What is remembered of an alert that was announced.
async fn announced(scene: &Scene, id: &AlertId) -> Announced {
    let stored: Option<Stored<Announced>> =
        scene.state().get(&Announced::key(&scene.tenant, id), scene.now).await.unwrap();
    stored.unwrap().value
}

async fn cursor(scene: &Scene) -> Cursor {
    let stored: Option<Stored<Cursor>> =
        scene.state().get(&Cursor::key(&scene.tenant), scene.now).await.unwrap();
    stored.unwrap().value
}
