//! Orders that come once more, that wait too long, or that something else has overtaken.

use super::{answer, carry_out, isolate, one_alert, outcome, stories, told, wait};
use crate::isolation::{
    fails, person_isolates, put, raise, take,
    watched::{Fate, Watched, responding},
};
use model::{Answer, EffectState, MessageId, Wanted};
use ports::QueueName;
use scenarios::{Scene, Setup, device, minutes, noon, seconds, workstation};
use simulator::{Fault, FaultKind, World};

fn one_device() -> World {
    World::new(noon()).machine(workstation(1))
}

/// Gives an order, carries it out, and keeps its message, to be delivered once more.
async fn kept(scene: &mut Scene, wanted: Wanted) -> (MessageId, Vec<String>) {
    scene.pass(seconds(1));
    let order = scene.ordered(wanted, 1);
    let id = scene.order(order).await;
    let bodies = take(scene, QueueName::EffectsRequested).await;
    put(scene, QueueName::EffectsRequested, &bodies).await;
    scene.settle(minutes(2)).await;
    (id, bodies)
}

#[tokio::test]
async fn an_order_to_isolate_that_comes_again_after_the_release_isolates_nobody() {
    let mut scene = Scene::new(one_device()).await;
    let (_, isolation) = kept(&mut scene, isolate()).await;
    assert!(scene.is_isolated(1));
    kept(&mut scene, Wanted::Release).await;
    assert!(!scene.is_isolated(1));
    put(&scene, QueueName::EffectsRequested, &isolation).await;
    scene.settle(minutes(5)).await;
    assert_eq!((scene.is_isolated(1), scene.isolate_calls()), (false, 1));
    scene.end().await;
}

#[tokio::test]
async fn an_order_to_release_that_comes_again_after_another_isolation_releases_nobody() {
    let mut scene = Scene::new(one_alert()).await;
    scene.run_once().await;
    let (_, release) = kept(&mut scene, Wanted::Release).await;
    kept(&mut scene, isolate()).await;
    assert!(scene.is_isolated(1));
    put(&scene, QueueName::EffectsRequested, &release).await;
    scene.settle(minutes(5)).await;
    assert_eq!((scene.is_isolated(1), scene.simulator.count("POST unisolate")), (true, 1));
    scene.end().await;
}

#[tokio::test]
async fn an_order_that_was_overtaken_by_a_later_effect_does_not_undo_it() {
    let mut scene = Scene::new(one_alert()).await;
    scene.run_once().await;
    scene.settle(minutes(1)).await;
    // A release that was given and not delivered; then another one, and an isolation.
    let order = scene.ordered(Wanted::Release, 1);
    let late = scene.order(order).await;
    let bodies = take(&scene, QueueName::EffectsRequested).await;
    scene.pass(minutes(5));
    kept(&mut scene, Wanted::Release).await;
    kept(&mut scene, isolate()).await;
    put(&scene, QueueName::EffectsRequested, &bodies).await;
    scene.settle(minutes(5)).await;
    assert!(scene.is_isolated(1));
    assert!(answer(&scene, &late).await.1.contains("after this order was given"));
    scene.end().await;
}

#[tokio::test]
async fn an_order_that_waits_for_longer_than_it_holds_is_given_up_and_told() {
    for (wanted, route) in [(isolate(), "POST isolate"), (Wanted::Release, "POST unisolate")] {
        let mut scene = Scene::new(one_device()).await;
        if wanted == Wanted::Release {
            scene.simulator.with(|world| world.isolate_by_person(device(1).as_str(), "a@contoso.com"));
            scene.pass(minutes(1));
        }
        let throttled = FaultKind::Throttle { retry_after: Some(3_600) };
        fails(&scene, Fault::once(route, throttled).times(10));
        let order = carry_out(&mut scene, wanted.clone(), 1).await;
        assert!(scene.answered(&order).await.is_none());
        crate::isolation::heal(&scene);
        scene.pass(minutes(20));
        let asked = scene.simulator.count(route);
        scene.settle(minutes(120)).await;
        assert_eq!(scene.simulator.count(route), asked, "{route}: nothing is asked after it has gone stale");
        let (state, said) = answer(&scene, &order).await;
        assert_eq!(state, Some(EffectState::Refused), "{said}");
        assert!(said.contains("too late"), "{said}");
        assert_eq!(scene.brakes().await.standing, 0);
        scene.end().await;
    }
}

#[tokio::test]
async fn a_held_case_that_another_gate_holds_back_stays_held_and_is_answered() {
    let mut scene = Scene::with(stories(2), Setup::playing(|settings| settings.limits.per_hour = 1)).await;
    scene.run_once().await;
    let held = scene.held().await.remove(0);
    scene.pause().await;
    let order = scene.run_held(&held).await;
    scene.settle(minutes(2)).await;
    let (state, said) = answer(&scene, &order).await;
    assert_eq!(state, Some(EffectState::Held));
    assert!(said.contains("paused"), "{said}");
    let again = scene.held().await;
    assert_eq!((again.len(), again[0].since, scene.isolate_calls()), (1, held.since, 1));
    assert!(again[0].gate.contains("paused"), "{again:?}");
    scene.end().await;
}

#[tokio::test]
async fn a_held_case_that_is_dropped_while_its_run_waits_is_not_run() {
    let mut scene = Scene::with(stories(2), Setup::playing(|settings| settings.limits.per_hour = 1)).await;
    scene.run_once().await;
    let held = scene.held().await.remove(0);
    scene.raise_limits(10, minutes(60)).await;
    fails(&scene, Fault::once("POST isolate", FaultKind::Throttle { retry_after: Some(300) }));
    let order = scene.run_held(&held).await;
    scene.settle(seconds(1)).await;
    assert!(scene.answered(&order).await.is_none());
    let state = scene.state();
    let key = ports::CaseRow::key(&scene.tenant, &held.alert, Some(&held.device));
    let case: ports::Stored<ports::CaseRow> = state.get(&key, scene.now).await.unwrap().unwrap();
    let mut row = case.value.clone();
    (row.held, row.last.state) = (None, Some(EffectState::Refused));
    let writes = row.writes(&scene.tenant, Some(&case), scene.now).unwrap();
    state.commit(&writes, scene.now).await.unwrap();
    scene.settle(minutes(20)).await;
    assert_eq!(scene.isolate_calls(), 2, "the one that was refused for now, and none after it");
    assert!(answer(&scene, &order).await.1.contains("not held any more"));
    assert_eq!(scene.brakes().await.standing, 1);
    scene.end().await;
}

#[tokio::test]
async fn an_order_by_hand_that_is_refused_leaves_the_held_case_as_it_was() {
    let mut scene = Scene::with(stories(2), Setup::playing(|settings| settings.limits.per_hour = 1)).await;
    scene.run_once().await;
    let held = scene.held().await.remove(0);
    let mut order = scene.ordered(isolate(), 1);
    (order.device, order.alert) = (held.device.clone(), Some(held.alert.clone()));
    let id = scene.order(order).await;
    scene.settle(minutes(2)).await;
    assert_eq!(answer(&scene, &id).await.0, Some(EffectState::Refused));
    assert_eq!(scene.held().await, [held]);
    scene.end().await;
}

#[tokio::test]
async fn a_responder_that_dies_while_it_runs_a_held_case_tells_what_became_of_it() {
    for number in 1..12 {
        for last in [Fate::Fails, Fate::HappensUnheard] {
            let one_an_hour = Setup::playing(|settings| settings.limits.per_hour = 1);
            let mut scene = Scene::with(stories(2), one_an_hour).await;
            scene.run_once().await;
            let held = scene.held().await.remove(0);
            scene.raise_limits(10, minutes(60)).await;
            let order = scene.run_held(&held).await;
            let bodies = take(&scene, QueueName::EffectsRequested).await;
            let mortal = Watched::mortal(&scene, number, last);
            responding(&scene, mortal).take(QueueName::EffectsRequested, &bodies[0], scene.now).await;
            put(&scene, QueueName::EffectsRequested, &bodies).await;
            scene.restart();
            scene.settle(minutes(20)).await;
            let answered = answer(&scene, &order).await.0;
            let asked = [EffectState::Requested, EffectState::Pending, EffectState::Succeeded];
            assert!(
                answered.is_some_and(|state| asked.contains(&state)),
                "write {number}, {last:?}: {answered:?}"
            );
            let outcome = outcome(&scene, held.alert.as_str()).await;
            assert_eq!(outcome, (Answer::Isolate, Some(EffectState::Succeeded)), "write {number}, {last:?}");
            assert_eq!((scene.held().await.len(), scene.isolate_calls()), (0, 2), "write {number}, {last:?}");
            assert_eq!(
                told(&scene, "isolation succeeded"),
                2,
                "write {number}, {last:?}: {:#?}",
                scene.subjects()
            );
            scene.end().await;
        }
    }
}

#[tokio::test]
async fn an_alert_on_a_device_whose_release_waits_is_decided() {
    let mut scene = Scene::new(one_device()).await;
    person_isolates(&scene, 1);
    scene.pass(minutes(1));
    fails(&scene, Fault::once("POST unisolate", FaultKind::Throttle { retry_after: Some(120) }));
    let order = scene.ordered(Wanted::Release, 1);
    scene.order(order).await;
    scene.settle(seconds(1)).await;
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    assert_eq!(outcome(&scene, "b").await.1, Some(EffectState::Adopted));
    wait(&mut scene, minutes(3)).await;
    scene.settle(minutes(5)).await;
    assert!(!scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn a_release_keeps_an_isolation_that_waits_from_being_asked_for() {
    let throttled = FaultKind::Throttle { retry_after: Some(300) };
    let mut scene = Scene::new(one_alert().fault(Fault::once("POST isolate", throttled))).await;
    scene.run_once().await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Claimed);
    let order = carry_out(&mut scene, Wanted::Release, 1).await;
    let (state, said) = answer(&scene, &order).await;
    assert_eq!(state, Some(EffectState::Released), "{said}");
    scene.settle(minutes(30)).await;
    assert_eq!((scene.isolate_calls(), scene.is_isolated(1)), (1, false));
    assert_eq!(outcome(&scene, "a").await, (Answer::Propose, Some(EffectState::Proposed)));
    assert_eq!(scene.brakes().await.standing, 0);
    scene.end().await;
}
