//! Which changes of a known alert are news: a raised severity and new evidence are, triage never is.

use crate::polling::{decided, found};
use model::{Answer, EffectState};
use ports::{Announced, Count, Expect, Write};
use scenarios::{Scene, device, high, minutes, noon, seconds, workstation};
use simulator::{Alert, Evidence, World};

fn medium(id: &str, number: u32) -> Alert {
    high(id, number).severity("Medium")
}

async fn with_one(alert: Alert) -> Scene {
    let mut scene = Scene::new(World::new(noon()).machine(workstation(1)).alert(alert)).await;
    scene.run_once().await;
    scene
}

/// Somebody changes the alert `a`, and the next poll sees it.
async fn change(scene: &mut Scene, change: impl FnOnce(&mut Alert)) {
    scene.pass(seconds(60));
    assert!(scene.simulator.with(|world| world.change_alert("a", change)));
    scene.run_once().await;
}

#[tokio::test]
async fn an_alert_whose_severity_is_raised_is_acted_upon_once() {
    let mut scene = with_one(medium("a", 1)).await;
    assert_eq!(scene.case("a").await.last.state, Some(EffectState::Proposed));
    assert_eq!((scene.is_isolated(1), scene.mails().len()), (false, 1));
    change(&mut scene, |alert| alert.severity = "High".to_owned()).await;
    assert!(scene.is_isolated(1));
    change(&mut scene, |alert| alert.title = "The same, in other words".to_owned()).await;
    assert_eq!(scene.isolate_calls(), 1);
    assert_eq!(scene.mails().len(), 3, "proposed, requested, succeeded: {:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_severity_that_falls_and_rises_again_asks_for_nothing_more() {
    let mut scene = with_one(high("a", 1)).await;
    let mails = scene.mails().len();
    for severity in ["Medium", "Low", "High"] {
        change(&mut scene, |alert| alert.severity = severity.to_owned()).await;
    }
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, mails));
    scene.end().await;
}

#[tokio::test]
async fn closing_500_old_alerts_at_once_acts_on_nothing_and_tells_nobody() {
    let mut world = World::new(noon());
    for number in 1..=50 {
        world = world.machine(workstation(number));
    }
    for number in 0..500 {
        let created = noon() - minutes(3 * 24 * 60);
        let alert = Alert::new(format!("a{number}"), device(number % 50 + 1).as_str(), created);
        world = world.alert(alert.status("Resolved").updated(noon() - minutes(1)));
    }
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    assert_eq!((found(&scene), scene.count(Count::DecidedRefused)), (500, 500));
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (0, 0));
    let calls: u64 = scene.calls.all().values().sum();
    assert!(calls <= 3, "{:?}", scene.calls.all());
    scene.end().await;
}

#[tokio::test]
async fn closing_alerts_that_were_acted_upon_tells_nobody_again() {
    let mut scene = with_one(high("a", 1)).await;
    let mails = scene.mails().len();
    change(&mut scene, |alert| alert.status = "Resolved".to_owned()).await;
    assert_eq!((found(&scene), scene.mails().len()), (2, mails));
    assert!(scene.is_isolated(1), "only a person, or a timer, takes an isolation back");
    scene.end().await;
}

#[tokio::test]
async fn new_evidence_makes_a_known_alert_actionable_again() {
    // Refused while the alert is classified as expected; after that classification is gone, evidence decides.
    let mut scene =
        with_one(Alert { classification: Some("FalsePositive".to_owned()), ..high("a", 1) }).await;
    assert_eq!(scene.case("a").await.last.decision.answer, Answer::Refused);
    change(&mut scene, |alert| alert.classification = None).await;
    assert!(!scene.is_isolated(1), "taking a classification back is triage");
    let file =
        Evidence::file(noon(), "C:\\Users\\Public", "stage2.exe", "5b1f0a6c3d9e48277a60b1c4de35f8092b7c6e01");
    change(&mut scene, |alert| alert.evidence.push(file)).await;
    assert!(scene.is_isolated(1));
    assert_eq!(scene.isolate_calls(), 1);
    scene.end().await;
}

#[tokio::test]
async fn evidence_that_was_seen_before_is_no_news() {
    let file = Evidence::file(noon(), "C:\\Temp", "a.exe", "5b1f0a6c3d9e48277a60b1c4de35f8092b7c6e01");
    let proposed = medium("a", 1).evidence(vec![file.clone(), Evidence::ip(noon(), "203.0.113.77")]);
    let mut scene = with_one(proposed).await;
    change(&mut scene, |alert| alert.evidence.truncate(1)).await;
    change(&mut scene, |alert| alert.evidence.clear()).await;
    change(&mut scene, |alert| alert.evidence = vec![file]).await;
    // That a listing brings none at all means that nothing changed.
    assert_eq!((found(&scene), scene.mails().len()), (2, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn triage_is_no_news_and_nobody_is_told_of_it() {
    let mut scene = with_one(medium("a", 1).status("Resolved")).await;
    let mails = scene.mails().len();
    change(&mut scene, |alert| alert.assigned_to = Some("anna@contoso.com".to_owned())).await;
    change(&mut scene, |alert| alert.investigation_state = Some("Running".to_owned())).await;
    assert_eq!(found(&scene), 1, "neither is part of what a decision depends on");
    change(&mut scene, |alert| alert.status = "InProgress".to_owned()).await;
    change(&mut scene, |alert| alert.classification = Some("TruePositive".to_owned())).await;
    change(&mut scene, |alert| alert.status = "New".to_owned()).await;
    assert_eq!((found(&scene), scene.mails().len()), (4, mails));
    scene.end().await;
}

#[tokio::test]
async fn an_alert_that_is_reopened_is_not_acted_upon() {
    let mut scene = with_one(high("a", 1).status("Resolved")).await;
    assert_eq!(scene.case("a").await.last.state, Some(EffectState::Refused));
    change(&mut scene, |alert| alert.status = "New".to_owned()).await;
    assert_eq!((scene.isolate_calls(), scene.is_isolated(1), scene.mails().len()), (0, false, 0));
    scene.end().await;
}

#[tokio::test]
async fn a_revision_that_comes_twice_is_judged_once() {
    let mut scene = with_one(high("a", 1)).await;
    let mails = scene.mails().len();
    change(&mut scene, |_| {}).await;
    assert_eq!(found(&scene), 1, "a new stamp alone is nothing new");
    // As after a crash between sending an announcement and remembering it.
    let key = Announced::key(&scene.tenant, &"a".parse().unwrap());
    scene.state().commit(&[Write::Delete { key, expect: Expect::Any }], scene.now).await.unwrap();
    scene.run_once().await;
    assert_eq!((found(&scene), decided(&scene)), (2, 1));
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, mails));
    scene.end().await;
}
