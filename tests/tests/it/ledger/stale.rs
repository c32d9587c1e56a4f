//! What comes late does nothing: orders that have gone stale, and dead letters that are redriven after two weeks.

use super::{answer, carry_out, hours, isolate, one_alert, outcome};
use crate::isolation::{enrich, put, take};
use model::{Answer, EffectState, Wanted};
use ports::{QueueBackend, QueueName};
use scenarios::{Scene, minutes, noon, seconds, workstation};
use simulator::World;

/// Sets everything in a queue aside, and takes it up again when two weeks are over.
async fn redrive_after_two_weeks(scene: &mut Scene, queue: QueueName) {
    for delivery in scene.store.receive(queue, 10, scene.now).await.unwrap() {
        assert!(scene.store.reject(queue, &delivery.receipt, "for a test", scene.now).await.unwrap());
    }
    scene.pass(hours(14 * 24));
    let dead = scene.store.dead(queue, None).await.unwrap().letters;
    assert!(!dead.is_empty());
    for letter in dead {
        assert!(scene.store.redrive(queue, &letter.id, scene.now).await.unwrap());
    }
}

#[tokio::test]
async fn an_alert_that_is_redriven_after_two_weeks_isolates_nobody() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    redrive_after_two_weeks(&mut scene, QueueName::AlertsEnriched).await;
    scene.settle(minutes(10)).await;
    assert_eq!((scene.isolate_calls(), outcome(&scene, "a").await.0), (0, Answer::Refused));
    scene.end().await;
}

#[tokio::test]
async fn an_alert_that_was_found_and_is_redriven_after_two_weeks_isolates_nobody() {
    let mut scene = Scene::new(one_alert()).await;
    scene.poll().await;
    redrive_after_two_weeks(&mut scene, QueueName::AlertsFound).await;
    scene.settle(minutes(10)).await;
    assert_eq!((scene.isolate_calls(), outcome(&scene, "a").await.0), (0, Answer::Refused));
    scene.end().await;
}

#[tokio::test]
async fn orders_that_are_redriven_after_two_weeks_do_nothing() {
    let mut scene = Scene::new(one_alert().machine(workstation(2))).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    let orders = [(isolate(), 2), (Wanted::Release, 1)];
    for (wanted, number) in orders {
        let order = scene.ordered(wanted, number);
        scene.order(order).await;
    }
    redrive_after_two_weeks(&mut scene, QueueName::EffectsRequested).await;
    scene.settle(minutes(10)).await;
    assert_eq!((scene.isolate_calls(), scene.simulator.count("POST unisolate")), (1, 0));
    assert!(scene.is_isolated(1) && !scene.is_isolated(2));
    scene.end().await;
}

#[tokio::test]
async fn an_order_after_its_time_does_nothing_and_says_so() {
    let mut scene = Scene::new(World::new(noon()).machine(workstation(1))).await;
    let order = scene.ordered(isolate(), 1);
    let id = scene.order(order).await;
    scene.pass(minutes(30) + seconds(1));
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 0);
    assert!(answer(&scene, &id).await.1.contains("too late"));
    scene.end().await;
}

#[tokio::test]
async fn an_order_that_was_carried_out_and_comes_again_days_later_changes_nothing() {
    let mut scene = Scene::new(World::new(noon()).machine(workstation(1))).await;
    let order = scene.ordered(isolate(), 1);
    let id = scene.order(order).await;
    let bodies = take(&scene, QueueName::EffectsRequested).await;
    put(&scene, QueueName::EffectsRequested, &bodies).await;
    scene.settle(minutes(20)).await;
    let before = (scene.answered(&id).await, scene.mails().len());
    carry_out(&mut scene, Wanted::Release, 1).await;
    let mails = scene.mails().len();
    scene.pass(hours(48));
    put(&scene, QueueName::EffectsRequested, &bodies).await;
    scene.settle(minutes(20)).await;
    assert_eq!((scene.isolate_calls(), scene.is_isolated(1), scene.mails().len()), (1, false, mails));
    assert_eq!(before.0.unwrap().state, Some(EffectState::Requested));
    scene.end().await;
}
