//! What takes long, comes late or has ended meanwhile: nothing is lost, and people hear of it.

use super::{
    accepted, enrich, fails, heal, hours, isolated_once, notes, one_alert, outcome, raise, take, told,
};
use model::{Answer, EffectState};
use ports::{Count, QueueName};
use scenarios::{Scene, Setup, device, high, minutes, noon, workstation};
use simulator::{Behaviour, Evidence, Fault, FaultKind, World};

#[tokio::test]
async fn an_alert_does_not_join_an_isolation_that_has_failed_meanwhile() {
    let mut scene = Scene::new(one_alert()).await;
    scene.simulator.with(|world| world.take_offline(device(1).as_str()));
    scene.run_once().await;
    scene.pass(minutes(20));
    scene.simulator.with(|world| {
        let action = world.actions_of(device(1).as_str())[0].id.clone();
        world.cancel(&action, super::PERSON);
        world.actions.iter_mut().for_each(|action| action.status = simulator::ActionStatus::Failed);
        world.bring_online(device(1).as_str());
    });
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    scene.settle(minutes(2)).await;
    assert_eq!(accepted(&scene, 1), 2);
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Failed));
    assert_eq!(outcome(&scene, "b").await.1, Some(EffectState::Succeeded));
    assert_eq!((told(&scene, "isolation failed"), told(&scene, "isolation succeeded")), (1, 1));
    scene.end().await;
}

#[tokio::test]
async fn an_isolation_that_cannot_be_asked_for_is_told_and_so_is_its_end() {
    let mut scene = Scene::new(one_alert()).await;
    fails(&scene, Fault::once("POST isolate", FaultKind::Throttle { retry_after: Some(120) }).always());
    scene.run_once().await;
    assert_eq!(scene.mails().len(), 0, "a moment's delay is no news");
    scene.settle(minutes(12)).await;
    assert_eq!(scene.mails().len(), 1, "{:#?}", scene.subjects());
    assert!(notes(&scene, "a").await.contains("not asked for yet"));
    heal(&scene);
    scene.settle(minutes(10)).await;
    isolated_once(&scene).await;
    assert_eq!(scene.mails().len(), 3, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn people_who_wait_for_an_isolation_hear_that_it_is_given_up() {
    let mut scene = Scene::new(one_alert()).await;
    fails(&scene, Fault::once("GET machineactions", FaultKind::ServerError(500)).always());
    scene.run_once().await;
    scene.settle(hours(6)).await;
    assert_eq!(scene.isolate_calls(), 0);
    assert_eq!(outcome(&scene, "a").await, (Answer::Refused, Some(EffectState::Refused)));
    assert_eq!(scene.mails().len(), 2, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_device_that_never_can_be_read_does_not_keep_its_alert_from_being_decided() {
    let mut scene = Scene::new(one_alert()).await;
    fails(&scene, Fault::once("GET machine", FaultKind::ServerError(500)).always());
    scene.run_once().await;
    scene.settle(minutes(20)).await;
    assert_eq!(outcome(&scene, "a").await, (Answer::Refused, Some(EffectState::Refused)));
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (0, 1));
    heal(&scene);
    scene.end().await;
}

#[tokio::test]
async fn an_alert_that_was_good_when_found_and_is_handled_too_late_is_told() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    scene.pass(hours(5));
    scene.settle(minutes(5)).await;
    assert_eq!(outcome(&scene, "a").await.0, Answer::Refused);
    assert!(notes(&scene, "a").await.contains("too late"));
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (0, 1));
    scene.end().await;
}

#[tokio::test]
async fn an_older_revision_that_comes_late_takes_nothing_back() {
    let world = World::new(noon()).machine(workstation(1)).alert(high("a", 1).severity("Medium"));
    let mut scene = Scene::new(world).await;
    scene.simulator.with(|world| {
        let at = world.now;
        world.change_alert("a", |alert| alert.evidence.push(Evidence::ip(at, "203.0.113.9")));
    });
    enrich(&mut scene).await;
    let older = take(&scene, QueueName::AlertsEnriched).await;
    scene.pass(minutes(1));
    scene.simulator.with(|world| {
        world.change_alert("a", |alert| {
            alert.severity = "High".to_owned();
            alert.evidence =
                vec![Evidence::url(alert.evidence[0].evidence_creation_time.unwrap(), "http://x.example")];
        });
    });
    scene.run_once().await;
    isolated_once(&scene).await;
    let mails = scene.mails().len();
    super::put(&scene, QueueName::AlertsEnriched, &older).await;
    scene.settle(minutes(5)).await;
    assert_eq!(outcome(&scene, "a").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, mails));
    scene.end().await;
}

#[tokio::test]
async fn a_404_after_the_quiet_time_is_no_proof_that_nothing_was_asked() {
    let mut scene = Scene::new(one_alert().fault(super::lost_answer(FaultKind::ResetAfter))).await;
    fails(&scene, Fault::once("GET machineactions", FaultKind::Spurious404).after(1).times(6));
    scene.run_once().await;
    scene.settle(minutes(20)).await;
    assert_eq!(scene.isolate_calls(), 1);
    isolated_once(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn an_isolated_device_is_never_reported_as_untouched() {
    let mut scene = Scene::new(one_alert()).await;
    scene.run_once().await;
    scene.simulator.with(|world| {
        let now = world.now;
        world.machine_mut(device(1).as_str()).unwrap().machine_tags.push("cordon-exclude".to_owned());
        world.change_alert("a", |alert| alert.evidence.push(Evidence::ip(now, "203.0.113.9")));
    });
    scene.pass(hours(2));
    scene.run_once().await;
    assert_eq!(told(&scene, "asks whether"), 0, "{:#?}", scene.subjects());
    assert_eq!(scene.count(Count::DecidedPropose), 1);
    scene.end().await;
}

#[tokio::test]
async fn messages_of_another_tenant_are_set_aside() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    let other = "99999999-2222-3333-4444-555555555555".to_owned();
    scene.simulator.with(|world| world.tenant = other.clone());
    scene.restart_with(Setup { vars: vec![("DEFENDER_TENANT_ID".to_owned(), other)], ..Setup::default() });
    scene.settle(minutes(1)).await;
    assert_eq!(scene.isolate_calls(), 0);
    let dead = scene.dead_letters().await;
    assert!(dead.len() == 1 && dead[0].contains("DEFENDER_TENANT_ID"), "{dead:#?}");
    scene.end_with_dead_letters().await;
}

#[tokio::test]
async fn a_device_that_fails_to_be_isolated_is_asked_for_again_on_account_of_the_next_alert() {
    let mut scene = Scene::new(one_alert()).await;
    scene.simulator.with(|world| world.machine_mut(device(1).as_str()).unwrap().behaviour = Behaviour::Fails);
    scene.run_once().await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Failed));
    scene
        .simulator
        .with(|world| world.machine_mut(device(1).as_str()).unwrap().behaviour = Behaviour::Online);
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    isolated_once_more(&scene).await;
    scene.end().await;
}

/// The second request has succeeded.
async fn isolated_once_more(scene: &Scene) {
    assert!(scene.is_isolated(1));
    assert_eq!((accepted(scene, 1), told(scene, "isolation succeeded")), (2, 1));
}
