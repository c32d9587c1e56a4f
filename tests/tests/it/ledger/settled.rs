//! Claims that nobody comes back to: their messages are lost, and `track` settles them.

use super::{isolate, one_alert, outcome, told, wait};
use crate::isolation::{accepted, enrich, fails, heal, respond, take};
use jiff::SignedDuration;
use model::{EffectState, Wanted};
use ports::QueueName;
use scenarios::{Scene, minutes, noon, workstation};
use simulator::{Fault, FaultKind, World};

/// The message that waits for its answer is lost.
async fn lose(scene: &mut Scene, queue: QueueName) {
    for _ in 0..3 {
        scene.pass(SignedDuration::from_mins(4));
        if !take(scene, queue).await.is_empty() {
            return;
        }
    }
    panic!("no message waits in {queue}");
}

#[tokio::test]
async fn an_unknown_isolation_whose_message_was_lost_is_found_and_followed() {
    let mut scene = Scene::new(one_alert()).await;
    fails(&scene, Fault::once("POST isolate", FaultKind::ResetAfter));
    fails(&scene, Fault::once("GET machineactions", FaultKind::ServerError(503)).always().after(1));
    enrich(&mut scene).await;
    respond(&scene).await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Unknown);
    lose(&mut scene, QueueName::AlertsEnriched).await;
    heal(&scene);
    wait(&mut scene, minutes(30)).await;
    scene.settle(minutes(10)).await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Succeeded);
    assert_eq!((accepted(&scene, 1), scene.brakes().await.standing), (1, 1));
    assert_eq!(told(&scene, "isolation succeeded"), 1, "{:#?}", scene.subjects());
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Succeeded));
    scene.end().await;
}

#[tokio::test]
async fn an_isolation_that_never_arrived_and_whose_message_was_lost_is_given_up_and_told() {
    let mut scene = Scene::new(one_alert()).await;
    fails(&scene, Fault::once("POST isolate", FaultKind::Reset));
    enrich(&mut scene).await;
    respond(&scene).await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Unknown);
    lose(&mut scene, QueueName::AlertsEnriched).await;
    given_up(&mut scene).await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Refused));
    scene.end().await;
}

/// Nobody has asked again, and after some hours nobody will; people know it.
async fn given_up(scene: &mut Scene) {
    wait(scene, minutes(30)).await;
    assert!(scene.claim(1).await.unwrap().is_unsettled(), "whoever asked may still come back");
    wait(scene, SignedDuration::from_hours(7)).await;
    assert_eq!((scene.claim(1).await.unwrap().state, accepted(scene, 1)), (EffectState::Refused, 0));
    assert_eq!(scene.brakes().await.standing, 0);
    let subjects = scene.subjects();
    let says_so = |subject: &String| subject.contains("not isolated") || subject.contains("stuck");
    assert_eq!(subjects.iter().filter(|subject| says_so(subject)).count(), 1, "{subjects:#?}");
}

#[tokio::test]
async fn an_order_whose_message_was_lost_is_settled_and_told() {
    for (fault, end) in
        [(FaultKind::ResetAfter, EffectState::Succeeded), (FaultKind::Reset, EffectState::Failed)]
    {
        let mut scene = Scene::new(World::new(noon()).machine(workstation(1))).await;
        fails(&scene, Fault::once("POST isolate", fault.clone()));
        let order = scene.ordered(isolate(), 1);
        scene.order(order).await;
        scene.host.consume(QueueName::EffectsRequested, scene.now).await.unwrap();
        assert!(scene.claim(1).await.unwrap().is_unsettled());
        lose(&mut scene, QueueName::EffectsRequested).await;
        wait(&mut scene, minutes(30)).await;
        scene.settle(minutes(10)).await;
        assert_eq!(scene.claim(1).await.unwrap().state, end, "{fault:?}");
        assert_eq!(told(&scene, &format!("isolation {end}")), 1, "{fault:?}: {:#?}", scene.subjects());
        scene.end().await;
    }
}

#[tokio::test]
async fn a_release_whose_message_was_lost_is_settled_and_told() {
    let mut scene = Scene::new(one_alert()).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    fails(&scene, Fault::once("POST unisolate", FaultKind::ResetAfter));
    let order = scene.ordered(Wanted::Release, 1);
    scene.order(order).await;
    scene.host.consume(QueueName::EffectsRequested, scene.now).await.unwrap();
    lose(&mut scene, QueueName::EffectsRequested).await;
    wait(&mut scene, minutes(30)).await;
    scene.settle(minutes(10)).await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Released);
    assert_eq!((scene.is_isolated(1), scene.brakes().await.standing), (false, 0));
    assert_eq!(told(&scene, "· released"), 1, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_claim_that_nobody_asks_for_once_more_is_given_up_and_told() {
    let throttled = FaultKind::Throttle { retry_after: Some(60) };
    let mut scene = Scene::new(one_alert().fault(Fault::once("POST isolate", throttled))).await;
    enrich(&mut scene).await;
    respond(&scene).await;
    assert_eq!(
        (scene.claim(1).await.unwrap().state, scene.brakes().await.standing),
        (EffectState::Claimed, 1)
    );
    lose(&mut scene, QueueName::AlertsEnriched).await;
    given_up(&mut scene).await;
    scene.end().await;
}
