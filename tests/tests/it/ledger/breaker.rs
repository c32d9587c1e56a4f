//! The breaker: one detector or title on many devices stops, and only a person lets it go on.

use super::{count, hours, stories, story, tell_story, told, wait};
use model::EffectState;
use scenarios::{Scene, Setup, minutes, noon, seconds, workstation};
use simulator::World;

fn same_detector(devices: u32) -> World {
    (1..=devices).fold(World::new(noon()), |world, number| {
        let mut alert = story(number);
        alert.detector_id = Some("the-one".to_owned());
        world.machine(workstation(number)).alert(alert)
    })
}

async fn close(scene: &mut Scene, cause: &str) {
    scene.pass(seconds(1));
    let now = scene.now;
    scene.change_brakes(|brakes| assert!(brakes.close(cause, now), "{:?}", brakes.open)).await;
}

#[tokio::test]
async fn one_detector_on_fifty_devices_isolates_five_and_a_person_lets_the_rest_go_on() {
    let mut scene =
        Scene::with(same_detector(50), Setup::playing(|settings| settings.limits.per_hour = 100)).await;
    scene.run_once().await;
    scene.settle(minutes(10)).await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len()), (5, 45));
    assert_eq!(count(&scene, 1..=50, EffectState::Held).await, 45);
    assert_eq!((told(&scene, "breaker open"), scene.mails().len()), (1, 11), "{:#?}", scene.subjects());

    // Waiting opens nothing, and other detectors go on.
    wait(&mut scene, hours(2)).await;
    let held = scene.held().await;
    scene.run_held(&held[0]).await;
    tell_story(&mut scene, "other", 50);
    scene.run_once().await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len()), (6, 45));

    close(&mut scene, "detector the-one").await;
    for held in held.iter().filter(|held| held.device != scenarios::device(50)).take(3) {
        scene.run_held(held).await;
    }
    scene.settle(minutes(10)).await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len()), (9, 42));
    assert_eq!(told(&scene, "breaker open"), 1);
    scene.end().await;
}

#[tokio::test]
async fn one_title_on_many_devices_opens_the_breaker_whatever_the_detectors() {
    let mut world = stories(8);
    for alert in &mut world.alerts {
        alert.title = "The same story".to_owned();
    }
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len(), told(&scene, "breaker open")), (5, 3, 1));
    scene.end().await;
}

#[tokio::test]
async fn a_breaker_that_was_closed_opens_again_after_as_many_devices_and_is_told_again() {
    let mut scene =
        Scene::with(same_detector(12), Setup::playing(|settings| settings.limits.per_hour = 100)).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    close(&mut scene, "detector the-one").await;
    for held in scene.held().await {
        scene.run_held(&held).await;
    }
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len(), told(&scene, "breaker open")), (10, 2, 2));
    scene.end().await;
}
