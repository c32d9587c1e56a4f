//! Observing: nothing but reading leaves the process, and what was first seen then is not acted upon later.

use crate::polling::{decided, found};
use model::{Answer, EffectState};
use ports::Count;
use scenarios::{Scene, Setup, high, minutes, noon, seconds, workstation};
use simulator::{World, demo_world};

#[tokio::test]
async fn while_observing_nothing_is_posted_but_for_the_token() {
    let world = demo_world(noon());
    let alerts = world.alerts.len() as u64;
    let mut scene = Scene::with(world, Setup::observing()).await;
    scene.run_once().await;
    scene.settle(minutes(60)).await;
    assert_eq!((found(&scene), decided(&scene)), (alerts, alerts));
    assert!(scene.count(Count::DecidedObserved) > 0, "there was something to be isolated");
    let journal = scene.simulator.journal();
    let posts: Vec<&str> =
        journal.iter().filter(|entry| entry.method != "GET").map(|entry| entry.route.as_str()).collect();
    assert_eq!(posts, ["POST token"]);
    assert!(scene.simulator.with(|world| world.actions.is_empty()));
    scene.end().await;
}

#[tokio::test]
async fn enforcing_the_same_world_does_post() {
    let mut scene = Scene::new(demo_world(noon())).await;
    scene.run_once().await;
    assert!(scene.isolate_calls() > 0);
    scene.settle(minutes(60)).await;
    scene.end().await;
}

#[tokio::test]
async fn what_was_first_seen_while_observing_is_not_acted_upon_after_the_switch_to_enforcing() {
    let world = World::new(noon()).machine(workstation(1)).machine(workstation(2)).alert(high("seen", 1));
    let mut scene = Scene::with(world, Setup::observing()).await;
    scene.run_once().await;
    assert_eq!(scene.case("seen").await.last.state, Some(EffectState::Observed));

    scene.restart_with(Setup::default());
    scene.pass(seconds(60));
    scene.simulator.with(|world| {
        // Even news about the old alert: it was seen while observing.
        world.change_alert("seen", |alert| {
            alert.evidence.push(simulator::Evidence::ip(noon(), "203.0.113.77"))
        });
        world.alerts.push(high("new", 2).updated(noon()));
    });
    scene.run_once().await;
    assert_eq!((scene.is_isolated(1), scene.is_isolated(2), scene.isolate_calls()), (false, true, 1));
    let seen = scene.case("seen").await.last;
    assert_eq!(seen.decision.answer, Answer::Refused);
    assert_eq!(seen.decision.forbidden_by[0].id, "first-seen-observing");
    scene.end().await;
}
