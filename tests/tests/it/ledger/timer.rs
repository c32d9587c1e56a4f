//! `release_after`: only what Cordon isolated by itself, told an hour before, and not while the incident goes on.

use super::{carry_out, hours, isolate, one_alert, stories, told, wait};
use crate::isolation::PERSON;
use model::EffectState;
use scenarios::{Scene, Setup, device, high, minutes, workstation};

fn after_four_hours() -> Setup {
    Setup::playing(|settings| settings.isolation.release_after = Some(hours(4)))
}

/// Lets hours pass as a host does that runs all the time.
async fn pass_hours(scene: &mut Scene, hours: i64) {
    for _ in 0..hours * 12 {
        wait(scene, minutes(4)).await;
    }
}

#[tokio::test]
async fn a_device_is_released_when_its_time_is_over_and_people_are_told_before_and_after() {
    let mut scene = Scene::with(stories(1), after_four_hours()).await;
    scene.run_once().await;
    pass_hours(&mut scene, 2).await;
    assert_eq!((scene.is_isolated(1), told(&scene, "about to be released")), (true, 0));
    pass_hours(&mut scene, 3).await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Released);
    assert!(!scene.is_isolated(1));
    let subjects = scene.subjects();
    assert_eq!((told(&scene, "about to be released"), told(&scene, "· released")), (1, 1), "{subjects:#?}");
    assert_eq!((scene.brakes().await.standing, scene.simulator.count("POST unisolate")), (0, 1));
    scene.end().await;
}

#[tokio::test]
async fn what_somebody_else_isolated_or_a_person_ordered_is_left_alone() {
    let mut world = stories(1).machine(workstation(2));
    world.isolate_by_person(device(1).as_str(), PERSON);
    let mut scene = Scene::with(world, after_four_hours()).await;
    scene.run_once().await;
    carry_out(&mut scene, isolate(), 2).await;
    pass_hours(&mut scene, 6).await;
    assert!(scene.is_isolated(1) && scene.is_isolated(2));
    assert_eq!(scene.simulator.count("POST unisolate"), 0);
    scene.end().await;
}

#[tokio::test]
async fn the_timer_waits_while_the_incident_has_another_open_high_alert() {
    let mut scene = Scene::with(one_alert().machine(workstation(2)), after_four_hours()).await;
    scene.run_once().await;
    scene.pass(minutes(1));
    // Nobody polls for it here: the tenant alone knows of it.
    scene.simulator.with(|world| world.alerts.push(high("b", 2)));
    pass_hours(&mut scene, 6).await;
    assert!(scene.is_isolated(1));
    scene.simulator.with(|world| {
        world.change_alert("b", |alert| alert.status = "Resolved".to_owned());
    });
    pass_hours(&mut scene, 1).await;
    assert!(!scene.is_isolated(1));
    assert_eq!(scene.simulator.count("POST unisolate"), 1);
    scene.end().await;
}

#[tokio::test]
async fn an_alert_that_does_not_say_how_severe_it_is_may_be_high_and_the_timer_waits() {
    let mut scene = Scene::with(one_alert().machine(workstation(2)), after_four_hours()).await;
    scene.run_once().await;
    scene.pass(minutes(1));
    scene.simulator.with(|world| world.alerts.push(high("b", 2).severity("Dire")));
    pass_hours(&mut scene, 6).await;
    assert!(scene.is_isolated(1));
    scene.simulator.with(|world| world.change_alert("b", |alert| alert.severity = "Low".to_owned()));
    pass_hours(&mut scene, 1).await;
    assert!(!scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn the_timer_looks_at_the_incident_that_the_alert_is_in_now() {
    let mut scene = Scene::with(one_alert().machine(workstation(2)), after_four_hours()).await;
    scene.run_once().await;
    scene.pass(minutes(1));
    // Defender has merged the incident into another, which goes on.
    scene.simulator.with(|world| {
        world.change_alert("a", |alert| alert.incident_id = Some(4_711));
        let mut other = high("b", 2);
        other.incident_id = Some(4_711);
        world.alerts.push(other);
    });
    pass_hours(&mut scene, 6).await;
    assert!(scene.is_isolated(1));
    scene.simulator.with(|world| world.change_alert("b", |alert| alert.status = "Resolved".to_owned()));
    pass_hours(&mut scene, 1).await;
    assert!(!scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn where_nobody_can_tell_whether_the_incident_goes_on_people_are_told_once_and_the_device_stays() {
    let mut scene = Scene::with(one_alert(), after_four_hours()).await;
    scene.run_once().await;
    pass_hours(&mut scene, 2).await;
    scene.simulator.with(|world| world.alerts.retain(|alert| alert.id != "a"));
    let before = scene.subjects().len();
    pass_hours(&mut scene, 6).await;
    assert!(scene.is_isolated(1));
    assert_eq!(scene.simulator.count("POST unisolate"), 0);
    let after = scene.subjects().split_off(before);
    // The warning an hour before, and the word that it is left to people.
    assert_eq!(after.len(), 2, "{after:#?}");
    scene.end().await;
}

#[tokio::test]
async fn unless_it_is_set_nothing_is_released() {
    let mut scene = Scene::new(stories(1)).await;
    scene.run_once().await;
    wait(&mut scene, hours(24 * 40)).await;
    assert!(scene.is_isolated(1));
    assert_eq!(scene.simulator.count("POST unisolate"), 0);
    scene.end().await;
}
