//! What was done is written on the alert: once for each state, only where that is wanted, and never at the cost of
//! the isolation.

use super::{one_alert, wait};
use crate::isolation::{enrich, isolated_once, put, respond, take};
use model::Wanted;
use ports::QueueName;
use scenarios::{Scene, Setup, minutes};
use simulator::{DEFAULT_CLIENT, DEFAULT_ROLES, DEFAULT_SECRET, Fault, FaultKind, World};

fn commenting() -> Setup {
    Setup::playing(|settings| settings.isolation.comment_on_alert = true)
}

fn may_comment(world: World) -> World {
    let roles = [DEFAULT_ROLES, &["Alert.ReadWrite.All"]].concat();
    world.app(DEFAULT_CLIENT, DEFAULT_SECRET, &roles)
}

fn comments(scene: &Scene) -> Vec<String> {
    scene.simulator.with(|world| world.comments_on("a").into_iter().map(str::to_owned).collect())
}

#[tokio::test]
async fn the_request_and_its_end_are_written_on_the_alert_with_the_way_back() {
    let mut scene = Scene::with(may_comment(one_alert()), commenting()).await;
    scene.run_once().await;
    scene.settle(minutes(10)).await;
    isolated_once(&scene).await;
    let claim = scene.claim(1).await.unwrap();
    let written = comments(&scene);
    assert_eq!(written.len(), 2, "{written:#?}");
    for (comment, state) in written.iter().zip(["requested", "succeeded"]) {
        assert!(comment.contains(&format!("[cordon:{}:{state}]", claim.id)), "{comment}");
        assert!(comment.contains(&format!("cordon release {}", claim.device)), "{comment}");
    }
    super::carry_out(&mut scene, Wanted::Release, 1).await;
    assert!(comments(&scene).last().unwrap().contains("release released"), "{:#?}", comments(&scene));
    scene.end().await;
}

#[tokio::test]
async fn a_comment_that_is_ordered_twice_is_written_once() {
    let mut scene = Scene::with(may_comment(one_alert()), commenting()).await;
    enrich(&mut scene).await;
    respond(&scene).await;
    let bodies = take(&scene, QueueName::EffectsRequested).await;
    assert_eq!(bodies.len(), 1);
    for _ in 0..3 {
        put(&scene, QueueName::EffectsRequested, &bodies).await;
    }
    scene.settle(minutes(10)).await;
    put(&scene, QueueName::EffectsRequested, &bodies).await;
    wait(&mut scene, minutes(60)).await;
    assert_eq!(comments(&scene).len(), 2, "{:#?}", comments(&scene));
    scene.end().await;
}

#[tokio::test]
async fn a_comment_without_an_answer_is_looked_for_before_it_is_written_again() {
    for kind in [FaultKind::ResetAfter, FaultKind::Reset, FaultKind::ServerErrorAfterActing(500)] {
        let world = may_comment(one_alert()).fault(Fault::once("PATCH alert", kind.clone()));
        let mut scene = Scene::with(world, commenting()).await;
        scene.run_once().await;
        scene.settle(minutes(20)).await;
        isolated_once(&scene).await;
        assert_eq!(comments(&scene).len(), 2, "{kind:?}: {:#?}", comments(&scene));
        scene.end().await;
    }
}

#[tokio::test]
async fn an_app_that_may_not_comment_isolates_all_the_same() {
    let mut scene = Scene::with(one_alert(), commenting()).await;
    scene.run_once().await;
    scene.settle(minutes(20)).await;
    isolated_once(&scene).await;
    assert!(comments(&scene).is_empty());
    scene.end().await;
}

#[tokio::test]
async fn unless_it_is_wanted_nothing_is_written() {
    let mut scene = Scene::new(may_comment(one_alert())).await;
    scene.run_once().await;
    scene.settle(minutes(10)).await;
    assert_eq!((scene.simulator.count("PATCH alert"), comments(&scene).len()), (0, 0));
    scene.end().await;
}
