//! Scenarios of polling and of bad data: what is found, when, how often, and what becomes of it.

mod bad_alerts;
mod bad_devices;
mod budget;
mod faults;
mod meddler;
mod news;
mod observing;
mod windows;

use jiff::Timestamp;
use ports::{Count, Cursor, Stored};
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

async fn cursor(scene: &Scene) -> Cursor {
    let stored: Option<Stored<Cursor>> =
        scene.state().get(&Cursor::key(&scene.tenant), scene.now).await.unwrap();
    stored.unwrap().value
}
