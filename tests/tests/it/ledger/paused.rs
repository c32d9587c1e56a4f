//! Pause: it stops every isolation at once, and neither releasing nor cancelling.

use super::{answer, carry_out, isolate, stories, told, wait};
use crate::isolation::{come_online, enrich, go_offline};
use model::{EffectState, Wanted};
use ports::{Count, QueueName};
use scenarios::{Scene, device, minutes};
use simulator::{ActionType, Fault, FaultKind};

#[tokio::test]
async fn a_pause_in_the_middle_of_a_storm_stops_it_there() {
    let mut scene = Scene::new(stories(8)).await;
    enrich(&mut scene).await;
    for _ in 0..4 {
        scene.host.consume(QueueName::AlertsEnriched, scene.now).await.unwrap();
    }
    scene.pause().await;
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len()), (4, 4));
    assert_eq!(scene.count(Count::IsolationsSucceeded), 4, "what was asked for is followed");
    assert_eq!(told(&scene, "isolations are held"), 1, "{:#?}", scene.subjects());
    scene.resume().await;
    wait(&mut scene, minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 4, "what is held waits for a person");
    for held in scene.held().await {
        scene.run_held(&held).await;
    }
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), scene.held().await.len()), (8, 0));
    scene.end().await;
}

#[tokio::test]
async fn while_paused_devices_are_released_and_pending_isolations_cancelled() {
    let mut scene = Scene::new(stories(2)).await;
    go_offline(&scene, 2);
    scene.run_once().await;
    scene.pause().await;
    for number in 1..=2 {
        carry_out(&mut scene, Wanted::Release, number).await;
    }
    come_online(&scene, 2);
    wait(&mut scene, minutes(10)).await;
    assert_eq!((scene.is_isolated(1), scene.is_isolated(2)), (false, false));
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Released);
    assert_eq!(scene.claim(2).await.unwrap().state, EffectState::Cancelled);
    scene.end().await;
}

#[tokio::test]
async fn while_paused_nobody_isolates_by_hand_either() {
    let mut scene = Scene::new(stories(0).machine(scenarios::workstation(1))).await;
    scene.pause().await;
    let order = carry_out(&mut scene, isolate(), 1).await;
    let (state, said) = answer(&scene, &order).await;
    assert_eq!((state, scene.isolate_calls()), (Some(EffectState::Refused), 0));
    assert!(said.contains("paused by operator@contoso.com"), "{said}");
    scene.end().await;
}

#[tokio::test]
async fn a_request_that_has_to_be_made_once_more_is_not_made_while_paused() {
    let throttled = FaultKind::Throttle { retry_after: Some(120) };
    let mut scene = Scene::new(stories(1).fault(Fault::once("POST isolate", throttled))).await;
    scene.run_once().await;
    assert_eq!(scene.isolate_calls(), 1);
    scene.pause().await;
    scene.settle(minutes(30)).await;
    let accepted = scene.simulator.with(|world| world.actions_of(device(1).as_str()).len());
    assert_eq!((scene.isolate_calls(), accepted, scene.held().await.len()), (1, 0, 1));
    assert_eq!(scene.brakes().await.standing, 0, "what is held has no place");
    scene.resume().await;
    scene.run_held(&scene.held().await[0]).await;
    scene.settle(minutes(5)).await;
    let kinds: Vec<ActionType> = scene
        .simulator
        .with(|world| world.actions_of(device(1).as_str()).iter().map(|action| action.kind).collect());
    assert_eq!(kinds, [ActionType::Isolate]);
    assert_eq!(scene.brakes().await.standing, 1);
    scene.end().await;
}
