//! What a person has undone stays undone for a day.

use super::{
    PERSON, accepted, come_online, go_offline, hours, notes, one_alert, outcome, person_isolates,
    person_releases, raise, told,
};
use model::{Answer, EffectState};
use scenarios::{Scene, device, minutes, noon, seconds, workstation};
use simulator::World;

/// Asked, not done.
async fn proposed(scene: &Scene, alert: &str) {
    assert_eq!(outcome(scene, alert).await, (Answer::Propose, Some(EffectState::Proposed)), "{alert}");
    let notes = notes(scene, alert).await;
    assert!(notes.contains("24 h"), "{notes}");
    assert!(told(scene, "asks whether to isolate") > 0);
}

#[tokio::test]
async fn a_device_that_a_person_released_is_proposed_for_a_day_and_isolated_after_it() {
    let mut scene = Scene::new(World::new(noon()).machine(workstation(1))).await;
    person_isolates(&scene, 1);
    scene.pass(seconds(10));
    person_releases(&scene, 1);
    scene.pass(minutes(5));
    raise(&mut scene, "soon", 1);
    scene.run_once().await;
    proposed(&scene, "soon").await;
    scene.pass(hours(23));
    raise(&mut scene, "later", 1);
    scene.run_once().await;
    proposed(&scene, "later").await;
    assert_eq!(scene.isolate_calls(), 0);
    scene.pass(hours(1));
    raise(&mut scene, "tomorrow", 1);
    scene.run_once().await;
    assert_eq!(accepted(&scene, 1), 1);
    assert!(scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn cordons_own_isolation_that_a_person_released_is_left_alone_for_a_day() {
    let mut scene = Scene::new(one_alert()).await;
    scene.run_once().await;
    let first = scene.claim(1).await.unwrap();
    scene.pass(minutes(30));
    person_releases(&scene, 1);
    scene.pass(minutes(5));
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    proposed(&scene, "b").await;
    assert_eq!(accepted(&scene, 1), 1);
    assert!(!scene.is_isolated(1));
    scene.pass(hours(24));
    raise(&mut scene, "c", 1);
    scene.run_once().await;
    assert_eq!(accepted(&scene, 1), 2);
    assert!(scene.is_isolated(1));
    let second = scene.claim(1).await.unwrap();
    assert_eq!((first.generation, second.generation), (1, 2));
    assert_ne!(first.id, second.id);
    scene.end().await;
}

#[tokio::test]
async fn new_evidence_on_the_same_alert_does_not_undo_a_persons_release() {
    let mut scene = Scene::new(one_alert()).await;
    scene.run_once().await;
    person_releases(&scene, 1);
    scene.pass(minutes(5));
    scene.simulator.with(|world| {
        let now = world.now;
        world.change_alert("a", |alert| alert.evidence.push(simulator::Evidence::ip(now, "203.0.113.9")));
    });
    scene.run_once().await;
    proposed(&scene, "a").await;
    assert_eq!(accepted(&scene, 1), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_release_that_is_still_pending_counts() {
    let mut scene = Scene::new(World::new(noon()).machine(workstation(1))).await;
    person_isolates(&scene, 1);
    scene.pass(minutes(1));
    go_offline(&scene, 1);
    person_releases(&scene, 1);
    // However long it stays pending.
    for alert in ["a", "b"] {
        raise(&mut scene, alert, 1);
        scene.run_once().await;
        proposed(&scene, alert).await;
        scene.pass(hours(30));
    }
    assert_eq!(scene.isolate_calls(), 0);
    scene.end().await;
}

#[tokio::test]
async fn a_release_that_failed_has_released_nothing() {
    let mut scene = Scene::new(World::new(noon()).machine(workstation(1))).await;
    person_isolates(&scene, 1);
    scene.pass(minutes(1));
    scene.simulator.with(|world| {
        world.machine_mut(device(1).as_str()).unwrap().behaviour = simulator::Behaviour::Fails;
    });
    person_releases(&scene, 1);
    scene.pass(minutes(1));
    raise(&mut scene, "a", 1);
    scene.run_once().await;
    assert_eq!(outcome(&scene, "a").await, (Answer::Isolate, Some(EffectState::Adopted)));
    assert_eq!(scene.isolate_calls(), 0);
    scene.end().await;
}

#[tokio::test]
async fn a_cancelled_isolation_counts_as_undone_for_a_day() {
    let mut scene = Scene::new(World::new(noon()).machine(workstation(1))).await;
    go_offline(&scene, 1);
    let theirs = person_isolates(&scene, 1);
    scene.pass(minutes(1));
    assert!(scene.simulator.with(|world| world.cancel(&theirs, PERSON)));
    come_online(&scene, 1);
    raise(&mut scene, "a", 1);
    scene.run_once().await;
    proposed(&scene, "a").await;
    scene.pass(hours(24) + minutes(1));
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    assert_eq!(accepted(&scene, 1), 1);
    scene.end().await;
}

#[tokio::test]
async fn cordons_own_isolation_that_a_person_cancelled_is_not_asked_for_again() {
    let mut scene = Scene::new(one_alert()).await;
    go_offline(&scene, 1);
    scene.run_once().await;
    let ours = scene.claim(1).await.unwrap().action.unwrap();
    scene.simulator.with(|world| world.cancel(ours.as_str(), PERSON));
    come_online(&scene, 1);
    // The next alert may come before anybody has looked at the first one's end.
    raise(&mut scene, "b", 1);
    scene.settle(minutes(30)).await;
    scene.pass(minutes(1));
    raise(&mut scene, "c", 1);
    scene.run_once().await;
    proposed(&scene, "c").await;
    assert_eq!(accepted(&scene, 1), 1);
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Cancelled));
    scene.end().await;
}
