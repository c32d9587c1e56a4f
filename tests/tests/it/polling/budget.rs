//! The quota: how many calls a storm costs.

use crate::polling::{decided, found};
use scenarios::{Scene, Setup, minutes, noon};
use simulator::{World, generate};

#[tokio::test]
async fn a_storm_of_10_000_alerts_on_2_000_devices_costs_at_most_8_calls() {
    let options = generate::GenerateOptions {
        alerts: 10_000,
        devices: 2_000,
        spread: minutes(60),
        ..generate::GenerateOptions::new(noon())
    };
    let world = World::new(noon()).generated(generate::tenant(11, &options));
    assert!(world.quotas);
    let mut scene = Scene::with(world, Setup { lookback: minutes(120), ..Setup::observing() }).await;
    scene.run_once().await;
    assert_eq!((found(&scene), decided(&scene)), (10_000, 10_000));
    let calls = scene.calls.all();
    let asked =
        |but: &str| calls.iter().filter(|(route, _)| **route != but).map(|(_, times)| *times).sum::<u64>();
    assert!(asked("POST token") <= 8, "{calls:?}");
    let arrived = scene.simulator.journal().len() as u64;
    assert_eq!(asked("nothing"), arrived, "what was counted is what arrived");
    scene.end().await;
}
