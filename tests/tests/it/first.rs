//! The main job, alert by alert.

use model::{Answer, EffectState};
use ports::Count;
use scenarios::{Scene, high, noon, seconds, workstation};
use simulator::World;

#[tokio::test]
async fn a_high_alert_on_a_workstation_isolates_it_and_people_are_told() {
    let mut scene = Scene::new(World::new(noon()).machine(workstation(1)).alert(high("a", 1))).await;
    scene.run_once().await;
    assert!(scene.is_isolated(1));
    assert_eq!(scene.isolate_calls(), 1);
    let case = scene.case("a").await;
    assert_eq!((case.last.decision.answer, case.last.state), (Answer::Isolate, Some(EffectState::Succeeded)));
    assert_eq!(scene.count(Count::IsolationsSucceeded), 1);
    let subjects = scene.subjects();
    assert_eq!(subjects.len(), 2, "{subjects:#?}");
    scene.end().await;
}

#[tokio::test]
async fn a_second_run_finds_nothing_new_and_asks_for_nothing() {
    let mut scene = Scene::new(World::new(noon()).machine(workstation(1)).alert(high("a", 1))).await;
    scene.run_once().await;
    let mails = scene.mails().len();
    scene.pass(seconds(60));
    scene.restart();
    scene.run_once().await;
    assert_eq!(scene.count(Count::AlertsFound), 0);
    assert_eq!(scene.isolate_calls(), 1);
    assert_eq!(scene.mails().len(), mails);
    scene.end().await;
}
