//! Limits: what is beyond them is held, told once, and never forgotten.

use super::{answer, count, hours, outcome, stories, tell_story, told, wait};
use crate::isolation::{
    enrich, put, take,
    watched::{Fate, Watched, handle, responding},
};
use model::{Answer, EffectState};
use ports::{Count, QueueName};
use respond::Respond;
use scenarios::{Scene, Setup, minutes, noon, seconds, workstation};
use simulator::World;
use std::collections::BTreeMap;

const HOLDING: &str = "isolations are held";

fn one_an_hour() -> Setup {
    Setup::playing(|settings| settings.limits.per_hour = 1)
}

#[tokio::test]
async fn a_thousand_alerts_isolate_ten_devices_and_the_rest_is_held_with_one_notice() {
    let mut scene = Scene::new(stories(1_000)).await;
    scene.run_once().await;
    scene.settle(minutes(30)).await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len()), (10, 990));
    assert_eq!(count(&scene, 1..=1_000, EffectState::Succeeded).await, 10);
    assert_eq!(count(&scene, 1..=1_000, EffectState::Held).await, 990);
    assert_eq!((told(&scene, HOLDING), scene.mails().len()), (1, 21), "{:#?}", scene.subjects());
    assert_eq!((scene.brakes().await.standing, scene.count(Count::DecidedHeld)), (10, 990));
    let calls = scene.simulator.journal().len();
    assert!(calls <= 100, "what is held costs the tenant nothing: {calls} calls");
    scene.end().await;
}

#[tokio::test]
async fn under_raised_limits_a_storm_isolates_as_many_as_a_person_has_said() {
    let mut scene = Scene::new(stories(1_000)).await;
    scene.raise_limits(300, hours(2)).await;
    scene.run_once().await;
    scene.settle(minutes(30)).await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len()), (300, 700));
    assert_eq!(told(&scene, HOLDING), 1);
    let brakes = scene.brakes().await;
    assert_eq!((brakes.standing, brakes.spent.len()), (300, 300));
    scene.end().await;
}

/// Both have read that there is room for one.
#[tokio::test]
async fn two_workers_that_meet_at_a_limit_do_not_overrun_it() {
    let mut scene = Scene::with(stories(2), one_an_hour()).await;
    enrich(&mut scene).await;
    let bodies = take(&scene, QueueName::AlertsEnriched).await;
    let worker = || Respond {
        playbook: one_an_hour().playbook.unwrap(),
        ..responding(&scene, Watched::new(&scene, |_| Fate::Happens))
    };
    let (one, two, now) = (worker(), worker(), scene.now);
    let answers = tokio::join!(handle(&one, &bodies[0], now), handle(&two, &bodies[1], now));
    assert_eq!(scene.isolate_calls(), 1, "{answers:?}");
    put(&scene, QueueName::AlertsEnriched, &bodies).await;
    scene.pass(seconds(10));
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len(), told(&scene, HOLDING)), (1, 1, 1));
    assert_eq!((scene.brakes().await.standing, scene.brakes().await.spent.len()), (1, 1));
    scene.end().await;
}

#[tokio::test]
async fn raised_limits_are_as_before_when_their_time_is_over() {
    let mut scene = Scene::with(stories(3), one_an_hour()).await;
    scene.raise_limits(2, hours(1)).await;
    scene.run_once().await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len()), (2, 1));
    wait(&mut scene, hours(1)).await;
    for alert in ["b", "c"] {
        tell_story(&mut scene, alert, 3);
        scene.run_once().await;
        scene.pass(minutes(1));
    }
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 3);
    wait(&mut scene, minutes(30)).await;
    scene.end().await;
}

#[tokio::test]
async fn a_limit_frees_itself_after_an_hour_but_what_is_held_waits_for_a_person() {
    let mut scene = Scene::with(stories(3), one_an_hour()).await;
    scene.run_once().await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len()), (1, 2));
    wait(&mut scene, hours(2)).await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len()), (1, 2));
    let held = scene.held().await;
    let order = scene.run_held(&held[0]).await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 2);
    assert_eq!(answer(&scene, &order).await.0, Some(EffectState::Requested));
    assert_eq!(
        outcome(&scene, held[0].alert.as_str()).await,
        (Answer::Isolate, Some(EffectState::Succeeded))
    );
    assert_eq!(scene.held().await, held[1..]);
    scene.end().await;
}

#[tokio::test]
async fn what_is_let_go_on_while_the_limit_stands_is_held_once_more_with_the_same_age() {
    let mut scene = Scene::with(stories(2), one_an_hour()).await;
    scene.run_once().await;
    let held = scene.held().await;
    scene.pass(minutes(10));
    let order = scene.run_held(&held[0]).await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.held().await, held, "it expires when it would have");
    assert_eq!((scene.isolate_calls(), told(&scene, HOLDING)), (1, 1));
    let (state, said) = answer(&scene, &order).await;
    assert_eq!(state, Some(EffectState::Held));
    assert!(said.contains("the limit of 1 isolations in an hour"), "{said}");
    scene.end().await;
}

#[tokio::test]
async fn a_held_case_is_judged_anew_when_it_is_let_go_on() {
    let mut scene = Scene::with(stories(2), one_an_hour()).await;
    scene.run_once().await;
    let held = scene.held().await.remove(0);
    let alert = held.alert.to_string();
    scene.pass(hours(2));
    scene.simulator.with(|world| {
        world.change_alert(&alert, |alert| alert.status = "Resolved".to_owned());
    });
    let order = scene.run_held(&held).await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 1);
    assert_eq!(answer(&scene, &order).await.0, Some(EffectState::Refused));
    assert_eq!(outcome(&scene, &alert).await, (Answer::Refused, Some(EffectState::Refused)));
    assert!(scene.held().await.is_empty());
    scene.end().await;
}

#[tokio::test]
async fn held_cases_are_given_up_after_a_day_and_people_are_told_once() {
    let mut scene = Scene::with(stories(4), one_an_hour()).await;
    scene.run_once().await;
    let held = scene.held().await;
    assert_eq!(held.len(), 3);
    wait(&mut scene, hours(23)).await;
    assert_eq!((scene.held().await.len(), told(&scene, "held cases given up")), (3, 0));
    wait(&mut scene, hours(1)).await;
    assert_eq!((scene.held().await.len(), told(&scene, "held cases given up")), (0, 1));
    let late = scene.run_held(&held[0]).await;
    scene.settle(minutes(5)).await;
    wait(&mut scene, hours(1)).await;
    assert_eq!((scene.isolate_calls(), told(&scene, "held cases given up")), (1, 1));
    assert!(answer(&scene, &late).await.1.contains("not held any more"));
    for held in &held {
        assert_eq!(outcome(&scene, held.alert.as_str()).await.1, Some(EffectState::Refused));
    }
    scene.end().await;
}

#[tokio::test]
async fn people_are_told_again_when_a_limit_is_reached_on_another_day() {
    let mut scene = Scene::with(stories(2), one_an_hour()).await;
    scene.run_once().await;
    assert_eq!(told(&scene, HOLDING), 1);
    for day in 2..=3 {
        wait(&mut scene, hours(30)).await;
        for number in [10 * day, 10 * day + 1] {
            scene.simulator.with(|world| world.machines.push(workstation(number)));
            tell_story(&mut scene, &format!("d{number}"), number);
        }
        scene.run_once().await;
        scene.settle(minutes(5)).await;
        assert_eq!(told(&scene, HOLDING), usize::try_from(day).unwrap(), "{:#?}", scene.subjects());
    }
    scene.end().await;
}

#[tokio::test]
async fn an_alert_on_a_device_that_is_isolated_already_joins_it_though_the_limit_is_reached() {
    let mut scene = Scene::with(stories(1), one_an_hour()).await;
    scene.run_once().await;
    scene.pass(minutes(10));
    tell_story(&mut scene, "b", 1);
    scene.run_once().await;
    assert_eq!(outcome(&scene, "b").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    assert_eq!((scene.held().await, told(&scene, HOLDING)), (vec![], 0));
    scene.end().await;
}

#[tokio::test]
async fn what_was_released_stands_no_more_but_counts_for_its_hour() {
    let setup =
        Setup::playing(|settings| (settings.limits.per_hour, settings.limits.standing_least) = (2, 1));
    let mut scene = Scene::with(stories(2), setup).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    let held = scene.held().await.remove(0);
    assert!(held.gate.contains("at one time"), "{held:?}");
    let isolated = if held.device == scenarios::device(1) { 2 } else { 1 };
    super::carry_out(&mut scene, model::Wanted::Release, isolated).await;
    let brakes = scene.brakes().await;
    assert_eq!((brakes.standing, brakes.spent.len()), (0, 1));
    scene.run_held(&held).await;
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), scene.brakes().await.standing), (2, 1));
    scene.end().await;
}

#[tokio::test]
async fn a_device_group_has_a_limit_of_its_own() {
    let setup =
        Setup::playing(|settings| settings.limits.per_group = BTreeMap::from([("Executives".to_owned(), 1)]));
    let mut world = World::new(noon());
    for number in 1..=4 {
        let machine = workstation(number);
        let machine = if number <= 2 { machine.group(7, "Executives") } else { machine };
        world = world.alert(super::story(number).on(&machine)).machine(machine);
    }
    let mut scene = Scene::with(world, setup).await;
    scene.run_once().await;
    scene.settle(seconds(30)).await;
    let held = scene.held().await;
    assert_eq!((scene.isolate_calls(), held.len()), (3, 1));
    assert!(held[0].gate.contains("`Executives`"), "{held:?}");
    scene.end().await;
}

#[tokio::test]
async fn a_large_fleet_may_have_its_share_isolated_at_one_time_and_a_small_one_the_least() {
    for (fleet, most) in [(25, 10), (400, 20)] {
        let setup = Setup::playing(|settings| {
            (settings.limits.per_hour, settings.limits.per_day) = (100, 100);
        });
        let world = (26..=fleet).fold(stories(25), |world, number| world.machine(workstation(number)));
        let mut scene = Scene::with(world, setup).await;
        scene.run_once().await;
        scene.settle(minutes(5)).await;
        let brakes = scene.brakes().await;
        assert_eq!((brakes.standing, scene.isolate_calls()), (most, most as usize), "{fleet} devices");
        let held = scene.held().await;
        assert_eq!(held.len(), 25 - most as usize);
        assert!(held[0].gate.contains(&format!("{most} devices isolated by Cordon at one time")), "{held:?}");
        scene.end().await;
    }
}
