//! Rows of the state that cannot be read: nobody is isolated, every alert is decided all the same, and people are told.

use super::{hours, outcome, stories, tell_story, told};
use crate::isolation::{fails, heal, isolated_once, lost_answer, notes};
use model::{Answer, EffectState};
use ports::{Announced, Brakes, CaseRow, Claim, Expect, Fleet, Key, Write};
use scenarios::{Scene, device, minutes};
use simulator::{Fault, FaultKind};

/// What a torn write or a hand in the file leaves behind.
async fn spoil(scene: &Scene, key: Key) {
    let write = Write::Put { key, value: b"{\"pause\":".to_vec(), expect: Expect::Any, expires: None };
    scene.state().commit(&[write], scene.now).await.unwrap();
}

async fn delete(scene: &Scene, key: Key) {
    scene.state().commit(&[Write::Delete { key, expect: Expect::Any }], scene.now).await.unwrap();
}

/// Nobody is isolated on account of the alert, and people read which row it was.
async fn is_refused(scene: &Scene, alert: &str, row: &str) {
    assert_eq!(outcome(scene, alert).await, (Answer::Refused, Some(EffectState::Refused)));
    let notes = notes(scene, alert).await;
    assert!(notes.contains(row) && notes.contains("cannot be read"), "{notes}");
    assert_eq!(told(scene, "not isolated"), 1, "{:#?}", scene.subjects());
}

#[tokio::test]
async fn brakes_that_cannot_be_read_refuse_the_alert_and_people_are_told() {
    let mut scene = Scene::new(stories(2)).await;
    scene.simulator.with(|world| world.alerts.truncate(1));
    let key = Brakes::key(&scene.tenant);
    spoil(&scene, key.clone()).await;
    scene.run_once().await;
    scene.settle(hours(1)).await;
    assert_eq!(scene.isolate_calls(), 0);
    is_refused(&scene, "a1", "brakes").await;
    delete(&scene, key).await;
    tell_story(&mut scene, "b", 2);
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    assert_eq!(outcome(&scene, "b").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    assert_eq!(scene.isolate_calls(), 1, "what was refused stays so");
    scene.end().await;
}

#[tokio::test]
async fn a_claim_that_cannot_be_read_refuses_the_alert_and_people_are_told() {
    let mut scene = Scene::new(stories(1)).await;
    spoil(&scene, Claim::key(&scene.tenant, &device(1))).await;
    scene.run_once().await;
    scene.settle(hours(1)).await;
    assert_eq!(scene.isolate_calls(), 0);
    is_refused(&scene, "a1", "claim#cut-off").await;
    scene.end().await;
}

#[tokio::test]
async fn a_claim_that_cannot_be_read_keeps_no_person_from_being_asked() {
    let mut scene = Scene::new(stories(1)).await;
    scene.simulator.with(|world| "Medium".clone_into(&mut world.alerts[0].severity));
    spoil(&scene, Claim::key(&scene.tenant, &device(1))).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    assert_eq!(outcome(&scene, "a1").await, (Answer::Propose, Some(EffectState::Proposed)));
    assert_eq!(told(&scene, "asks whether to isolate"), 1, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_claim_that_cannot_be_read_keeps_no_other_device_from_being_followed() {
    let mut scene = Scene::new(stories(2)).await;
    scene.run_once().await;
    assert_eq!(scene.isolate_calls(), 2);
    spoil(&scene, Claim::key(&scene.tenant, &device(2))).await;
    scene.settle(hours(1)).await;
    assert_eq!(outcome(&scene, "a1").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    scene.end().await;
}

#[tokio::test]
async fn a_count_of_the_fleet_that_cannot_be_read_is_none() {
    let mut scene = Scene::new(stories(1)).await;
    spoil(&scene, Fleet::key(&scene.tenant)).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    assert_eq!(outcome(&scene, "a1").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    isolated_once(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn of_an_alert_whose_case_cannot_be_read_people_are_told_that_it_was_not_decided() {
    let mut scene = Scene::new(stories(1)).await;
    let alert = "a1".parse().unwrap();
    let key = CaseRow::key(&scene.tenant, &alert, Some(&device(1)));
    spoil(&scene, key.clone()).await;
    scene.run_once().await;
    scene.settle(hours(1)).await;
    assert_eq!(scene.isolate_calls(), 0);
    assert_eq!((told(&scene, "something is stuck"), scene.mails().len()), (1, 1), "{:#?}", scene.subjects());
    assert!(scene.mails()[0].contains("nothing was decided about alert a1"), "{}", scene.mails()[0]);
    scene.end().await;
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_settled_though_the_brakes_cannot_be_read() {
    let mut scene = Scene::new(stories(1)).await;
    fails(&scene, lost_answer(FaultKind::ResetAfter));
    fails(&scene, Fault::once("GET machineactions", FaultKind::ServerError(503)).after(1).always());
    scene.run_once().await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Unknown);
    spoil(&scene, Brakes::key(&scene.tenant)).await;
    heal(&scene);
    scene.settle(hours(1)).await;
    isolated_once(&scene).await;
    assert_eq!(outcome(&scene, "a1").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    scene.end().await;
}

/// It may have been seen first while Cordon only observed.
#[tokio::test]
async fn an_alert_whose_announcement_cannot_be_read_is_refused_and_holds_up_no_other() {
    let mut scene = Scene::new(stories(2)).await;
    spoil(&scene, Announced::key(&scene.tenant, &"a1".parse().unwrap())).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    assert_eq!(outcome(&scene, "a1").await, (Answer::Refused, Some(EffectState::Refused)));
    assert_eq!(outcome(&scene, "a2").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    scene.pass(minutes(1));
    assert_eq!(scene.poll().await.announced, 0, "it is known again");
    assert_eq!(scene.isolate_calls(), 1);
    scene.end().await;
}
