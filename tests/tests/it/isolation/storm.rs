//! Many at once, within the service's quotas.

use super::{accepted, hours};
use model::EffectState;
use ports::Count;
use scenarios::{Scene, Setup, high, minutes, noon, workstation};
use simulator::{Chaos, FaultKind, World};

fn many(devices: u32) -> World {
    (1..=devices).fold(World::new(noon()), |world, number| {
        world.machine(workstation(number)).alert(high(&format!("a{number}"), number))
    })
}

async fn each_once(scene: &Scene, devices: u32) {
    for number in 1..=devices {
        assert_eq!(accepted(scene, number), 1, "device {number}");
        assert_eq!(scene.claim(number).await.unwrap().state, EffectState::Succeeded, "device {number}");
    }
    assert_eq!(scene.simulator.with(|world| world.actions.len()), usize::try_from(devices).unwrap());
}

#[tokio::test]
async fn two_hundred_alerts_on_two_hundred_devices_isolate_each_once_within_the_quota() {
    let mut scene = Scene::with(many(200), Setup::without_limits()).await;
    scene.run_once().await;
    scene.settle(hours(2)).await;
    each_once(&scene, 200).await;
    assert_eq!(scene.isolate_calls(), 200);
    assert_eq!(scene.count(Count::IsolationsSucceeded), 200);
    assert_eq!(scene.mails().len(), 400);
    scene.end().await;
}

#[tokio::test]
async fn a_service_that_loses_every_third_call_still_isolates_each_device_once() {
    for seed in 0..4 {
        let kinds = vec![
            FaultKind::Reset,
            FaultKind::ResetAfter,
            FaultKind::ServerError(503),
            FaultKind::ServerErrorAfterActing(500),
            FaultKind::TruncatedBody,
            FaultKind::NotJson,
            FaultKind::EmptyBody,
            FaultKind::WrongContentType,
        ];
        let mut scene = Scene::with(many(12), Setup::without_limits()).await;
        scene.poll().await;
        scene.simulator.with(|world| world.chaos = Some(Chaos::new(seed, 0.33).kinds(kinds)));
        scene.settle(hours(2)).await;
        scene.simulator.with(|world| world.chaos = None);
        scene.settle(hours(4)).await;
        each_once(&scene, 12).await;
        let succeeded =
            scene.subjects().iter().filter(|subject| subject.contains("isolation succeeded")).count();
        assert_eq!(succeeded, 12, "seed {seed}");
        scene.settle(minutes(1)).await;
        scene.end().await;
    }
}
