//! What has changed between deciding and acting is seen just before the call, and doubt means no.

use super::{
    accepted, enrich, fails, heal, hours, isolated_once, notes, one_alert, outcome, person_isolates, told,
};
use model::{Answer, EffectState};
use scenarios::{Scene, device, minutes, seconds};
use serde_json::json;
use simulator::{Fault, FaultKind, World};

/// Decided, then this happens, then it is to be acted upon.
async fn meanwhile(change: impl FnOnce(&mut World)) -> Scene {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    scene.pass(seconds(20));
    scene.simulator.with(change);
    scene.settle(minutes(1)).await;
    assert_eq!(scene.isolate_calls(), 0);
    scene
}

async fn refused(scene: Scene, words: &str) {
    assert_eq!(outcome(&scene, "a").await, (Answer::Refused, Some(EffectState::Refused)));
    let notes = notes(&scene, "a").await;
    assert!(notes.contains(words), "{notes}");
    assert_eq!((scene.mails().len(), told(&scene, "not isolated")), (1, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn an_alert_that_was_resolved_meanwhile_is_not_acted_upon() {
    for (status, classification, policy) in [
        ("Resolved", None, "resolved"),
        ("InProgress", Some("FalsePositive"), "false-positive"),
        ("InProgress", Some("InformationalExpectedActivity"), "expected-activity"),
    ] {
        let scene = meanwhile(|world| {
            world.change_alert("a", |alert| {
                alert.status = status.to_owned();
                alert.classification = classification.map(str::to_owned);
            });
        })
        .await;
        assert_eq!(outcome(&scene, "a").await, (Answer::Refused, Some(EffectState::Refused)));
        let last = scene.case("a").await.last;
        assert!(last.decision.forbidden_by.iter().any(|note| note.id == policy), "{last:#?}");
        assert!(notes(&scene, "a").await.contains("had changed when it was read again"));
        scene.end().await;
    }
}

#[tokio::test]
async fn a_device_that_was_excluded_meanwhile_is_asked_about() {
    let scene = meanwhile(|world| {
        world.machine_mut(device(1).as_str()).unwrap().machine_tags.push("CORDON-exclude".to_owned());
    })
    .await;
    assert_eq!(outcome(&scene, "a").await, (Answer::Propose, Some(EffectState::Proposed)));
    assert_eq!(told(&scene, "asks whether to isolate"), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_device_that_turns_out_to_be_a_server_is_asked_about() {
    let scene = meanwhile(|world| {
        world.machine_mut(device(1).as_str()).unwrap().os_platform = Some("WindowsServer2022".to_owned());
    })
    .await;
    assert_eq!(outcome(&scene, "a").await, (Answer::Propose, Some(EffectState::Proposed)));
    assert!(notes(&scene, "a").await.contains("had changed when it was read again"));
    scene.end().await;
}

#[tokio::test]
async fn an_alert_that_names_another_device_meanwhile_isolates_neither() {
    let scene = meanwhile(|world| {
        world.machines.push(scenarios::workstation(2));
        world.alerts[0].machine_id = Some(device(2).to_string());
    })
    .await;
    assert_eq!(accepted(&scene, 2), 0);
    refused(scene, "the alert names the device").await;
}

#[tokio::test]
async fn an_alert_that_is_gone_is_refused_and_told() {
    refused(meanwhile(|world| world.alerts.clear()).await, "the alert could not be read just before acting")
        .await;
}

#[tokio::test]
async fn a_device_that_is_gone_is_refused_and_told() {
    refused(meanwhile(|world| world.machines.clear()).await, "does not know the device").await;
}

#[tokio::test]
async fn a_device_record_of_which_a_part_cannot_be_read_is_refused_and_told() {
    let strange = json!({"id": device(1).as_str(), "osPlatform": "Windows11", "machineTags": "none"});
    refused(meanwhile(|world| world.raw_machines.push(strange)).await, "could not be read in full").await;
}

#[tokio::test]
async fn a_platform_that_nobody_knows_is_refused_and_told() {
    let strange = json!({"id": device(1).as_str(), "osPlatform": "TempleOS", "machineTags": []});
    refused(meanwhile(|world| world.raw_machines.push(strange)).await, "TempleOS").await;
}

#[tokio::test]
async fn without_the_devices_actions_nobody_is_isolated_and_the_alert_waits_for_them() {
    for kind in [
        FaultKind::NotJson,
        FaultKind::EmptyBody,
        FaultKind::TruncatedBody,
        FaultKind::WrongContentType,
        FaultKind::ServerError(503),
        FaultKind::Reset,
        FaultKind::Throttle { retry_after: Some(20) },
    ] {
        let mut scene = Scene::new(one_alert()).await;
        fails(&scene, Fault::once("GET machineactions", kind.clone()).always());
        scene.run_once().await;
        scene.settle(minutes(30)).await;
        assert_eq!(scene.isolate_calls(), 0, "{kind:?}");
        let reads = scene.simulator.count("GET machineactions");
        assert!(reads < 400, "{kind:?}: {reads} reads in half an hour");
        heal(&scene);
        scene.settle(minutes(2)).await;
        isolated_once(&scene).await;
        scene.end().await;
    }
}

#[tokio::test]
async fn a_reader_that_may_not_read_actions_refuses_and_tells() {
    for status in [400, 403] {
        let mut scene = Scene::new(one_alert()).await;
        fails(&scene, Fault::once("GET machineactions", FaultKind::ServerError(status)).always());
        scene.run_once().await;
        assert_eq!(scene.isolate_calls(), 0);
        refused(scene, "machine actions could not be read").await;
    }
}

#[tokio::test]
async fn an_alert_that_comes_to_be_handled_five_hours_late_isolates_nobody() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    scene.pass(hours(5));
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 0);
    let last = scene.case("a").await.last;
    assert_eq!((last.decision.answer, last.state), (Answer::Refused, Some(EffectState::Refused)));
    assert!(last.decision.forbidden_by.iter().any(|note| note.id == "too-old"), "{last:#?}");
    scene.end().await;
}

#[tokio::test]
async fn an_alert_that_waits_for_the_service_longer_than_it_may_isolates_nobody() {
    let mut scene = Scene::new(one_alert()).await;
    fails(&scene, Fault::once("GET machine", FaultKind::ServerError(503)).after(1).always());
    scene.run_once().await;
    scene.settle(hours(5)).await;
    heal(&scene);
    scene.settle(hours(1)).await;
    assert_eq!(scene.isolate_calls(), 0);
    assert_eq!(outcome(&scene, "a").await, (Answer::Refused, Some(EffectState::Refused)));
    scene.end().await;
}

#[tokio::test]
async fn a_person_who_isolates_while_the_alert_waits_is_seen() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    person_isolates(&scene, 1);
    scene.pass(minutes(30));
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 0);
    assert_eq!(outcome(&scene, "a").await, (Answer::Isolate, Some(EffectState::Adopted)));
    scene.end().await;
}

#[tokio::test]
async fn a_404_for_the_devices_actions_is_not_believed_at_once() {
    let mut scene = Scene::new(one_alert()).await;
    person_isolates(&scene, 1);
    scene.pass(minutes(1));
    fails(&scene, Fault::once("GET machineactions", FaultKind::Spurious404));
    scene.run_once().await;
    assert_eq!(scene.isolate_calls(), 0);
    assert_eq!(outcome(&scene, "a").await, (Answer::Isolate, Some(EffectState::Adopted)));
    scene.end().await;
}
