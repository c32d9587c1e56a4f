//! Requests whose answer is lost, late or a refusal for now: settled by reading, and never asked again blindly.

use super::watched::{Watched, handle, responding, responding_into_the_void};
use super::{
    accepted, enrich, excuse_violations, fails, heal, hours, isolated_once, lost_answer, notes, one_alert,
    outcome, person_releases, put, raise, respond, take, told,
};
use model::{Answer, EffectState};
use ports::{Count, Disposition, QueueName};
use scenarios::{Scene, Setup, device, high, minutes, noon, seconds, workstation};
use simulator::{Fault, FaultKind};

/// Whatever the service does, but without an answer that could be used.
fn without_a_usable_answer() -> Vec<FaultKind> {
    vec![
        FaultKind::ResetAfter,
        FaultKind::ServerErrorAfterActing(500),
        FaultKind::ServerErrorAfterActing(503),
        FaultKind::TruncatedBody,
        FaultKind::NotJson,
        FaultKind::EmptyBody,
    ]
}

/// The device's actions cannot be read either, just after the request.
fn blind_after_asking() -> Fault {
    Fault::once("GET machineactions", FaultKind::ServerError(503)).after(1).times(5)
}

#[tokio::test]
async fn a_request_that_was_carried_out_without_an_answer_is_found_by_its_mark() {
    for kind in without_a_usable_answer() {
        let mut scene = Scene::new(one_alert().fault(lost_answer(kind.clone()))).await;
        scene.run_once().await;
        isolated_once(&scene).await;
        assert_eq!(scene.isolate_calls(), 1, "{kind:?}");
        assert_eq!(scene.mails().len(), 2, "{kind:?}: {:#?}", scene.subjects());
        scene.end().await;
    }
}

#[tokio::test]
async fn what_cannot_be_found_at_once_is_unknown_until_it_is_found() {
    for kind in without_a_usable_answer() {
        let mut scene =
            Scene::new(one_alert().fault(lost_answer(kind.clone())).fault(blind_after_asking())).await;
        scene.run_once().await;
        assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Unknown), "{kind:?}");
        assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Unknown);
        assert_eq!(told(&scene, "isolation unknown"), 1, "{:#?}", scene.subjects());
        scene.settle(minutes(10)).await;
        isolated_once(&scene).await;
        assert_eq!(scene.isolate_calls(), 1, "{kind:?}");
        let subjects = scene.subjects();
        assert_eq!((subjects.len(), told(&scene, "isolation requested")), (3, 1), "{kind:?}: {subjects:#?}");
        scene.end().await;
    }
}

#[tokio::test]
async fn a_request_that_never_arrived_is_asked_again_once_and_only_after_the_quiet_time() {
    for kind in [
        FaultKind::Reset,
        FaultKind::ServerError(500),
        FaultKind::ServerError(503),
        FaultKind::ServerError(408),
        FaultKind::WrongContentType,
    ] {
        let mut scene = Scene::new(one_alert().fault(lost_answer(kind.clone()))).await;
        scene.run_once().await;
        assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Unknown), "{kind:?}");
        scene.settle(seconds(160)).await;
        assert_eq!(scene.isolate_calls(), 1, "{kind:?}: too early");
        scene.settle(minutes(4)).await;
        assert_eq!(scene.isolate_calls(), 2, "{kind:?}");
        isolated_once(&scene).await;
        assert_eq!(told(&scene, "isolation unknown"), 1, "{kind:?}: {:#?}", scene.subjects());
        scene.end().await;
    }
}

#[tokio::test]
async fn another_alert_finds_the_lost_request_and_both_are_told_the_truth_once() {
    let lost = [lost_answer(FaultKind::ResetAfter), blind_after_asking()];
    let mut scene = Scene::new(lost.into_iter().fold(one_alert(), |world, fault| world.fault(fault))).await;
    scene.run_once().await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Unknown);
    scene.pass(seconds(60));
    raise(&mut scene, "b", 1);
    scene.poll().await;
    scene.settle(minutes(2)).await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Succeeded);
    scene.settle(minutes(10)).await;
    assert_eq!(scene.isolate_calls(), 1);
    assert_eq!(outcome(&scene, "a").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    let succeeded: Vec<String> =
        scene.mails().into_iter().filter(|mail| mail.contains("isolation succeeded")).collect();
    assert_eq!(succeeded.len(), 1, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn an_unknown_request_is_settled_though_the_alert_has_become_too_old_meanwhile() {
    let mut world = one_alert();
    for fault in [lost_answer(FaultKind::ResetAfter), blind_after_asking()] {
        world = world.fault(fault);
    }
    // Acted upon in the last minute in which the policy allows it.
    let old = noon() - hours(4) + minutes(1);
    world.alerts[0].alert_creation_time = Some(old);
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Unknown));
    scene.settle(minutes(10)).await;
    isolated_once(&scene).await;
    assert_eq!(outcome(&scene, "a").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    assert_eq!(told(&scene, "not isolated"), 0, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn an_unknown_request_is_settled_though_the_alert_was_resolved_meanwhile() {
    let mut scene =
        Scene::new(one_alert().fault(lost_answer(FaultKind::ResetAfter)).fault(blind_after_asking())).await;
    scene.run_once().await;
    scene.pass(seconds(60));
    scene.simulator.with(|world| world.change_alert("a", |alert| alert.status = "Resolved".to_owned()));
    // The new revision is judged before the first one has found its request.
    scene.run_once().await;
    scene.settle(minutes(10)).await;
    isolated_once(&scene).await;
    assert_eq!(scene.isolate_calls(), 1);
    scene.end().await;
}

#[tokio::test]
async fn an_unknown_request_is_settled_though_cordon_only_observes_meanwhile() {
    let mut scene =
        Scene::new(one_alert().fault(lost_answer(FaultKind::ResetAfter)).fault(blind_after_asking())).await;
    scene.run_once().await;
    scene.restart_with(Setup::observing());
    scene.settle(minutes(10)).await;
    isolated_once(&scene).await;
    assert_eq!(
        told(&scene, "observing"),
        0,
        "what was done is not told as observed: {:#?}",
        scene.subjects()
    );
    scene.end().await;
}

#[tokio::test]
async fn people_who_heard_of_an_unknown_request_hear_that_it_never_arrived() {
    let mut scene = Scene::new(one_alert().fault(lost_answer(FaultKind::Reset))).await;
    scene.run_once().await;
    assert_eq!(told(&scene, "isolation unknown"), 1);
    scene.simulator.with(|world| world.change_alert("a", |alert| alert.status = "Resolved".to_owned()));
    scene.settle(minutes(10)).await;
    assert_eq!(scene.isolate_calls(), 1);
    assert_eq!(outcome(&scene, "a").await, (Answer::Refused, Some(EffectState::Refused)));
    assert_eq!(told(&scene, "not isolated"), 1, "{:#?}", scene.subjects());
    assert_ne!(scene.claim(1).await.unwrap().state, EffectState::Unknown);
    scene.end().await;
}

#[tokio::test]
async fn a_service_that_never_answers_is_asked_once_per_quiet_time_and_given_up_with_the_alert() {
    let mut scene = Scene::new(one_alert().fault(lost_answer(FaultKind::Reset).always())).await;
    scene.run_once().await;
    scene.settle(hours(6)).await;
    assert_eq!(accepted(&scene, 1), 0);
    let calls = scene.isolate_calls();
    assert!((2..=80).contains(&calls), "{calls} calls in four hours");
    assert_eq!(outcome(&scene, "a").await, (Answer::Refused, Some(EffectState::Refused)));
    assert_eq!(told(&scene, "isolation unknown"), 1, "{:#?}", scene.subjects());
    assert_eq!(told(&scene, "not isolated"), 1, "{:#?}", scene.subjects());
    assert_ne!(scene.claim(1).await.unwrap().state, EffectState::Unknown);
    heal(&scene);
    scene.end().await;
}

#[tokio::test]
async fn an_action_that_shows_only_after_the_quiet_time_is_still_known_as_cordons_own() {
    let mut scene = Scene::new(one_alert().fault(lost_answer(FaultKind::ResetAfter))).await;
    enrich(&mut scene).await;
    let body = take(&scene, QueueName::AlertsEnriched).await.remove(0);
    // The service keeps the action from the list until the second request is about to be made, which it defers.
    let hide = Watched::before(&scene, "\"unknown\"", |_| {});
    let hiding = responding(&scene, hide);
    fails(&scene, blind_after_asking());
    let unknown = handle(&hiding, &body, scene.now).await;
    assert!(matches!(unknown, Disposition::Defer { .. }), "{unknown:?}");
    let late = scene.simulator.with(|world| world.actions.pop().unwrap());
    heal(&scene);
    fails(&scene, Fault::once("POST isolate", FaultKind::Throttle { retry_after: Some(30) }));
    scene.pass(minutes(4));
    put(&scene, QueueName::AlertsEnriched, &[body]).await;
    respond(&scene).await;
    assert_eq!(scene.claim(1).await.unwrap().attempt, 2);
    scene.simulator.with(|world| world.actions.push(late));
    scene.settle(minutes(5)).await;
    isolated_once(&scene).await;
    assert_eq!(scene.isolate_calls(), 2);
    assert_eq!(scene.count(Count::IsolationsAdopted), 0, "it is nobody else's");
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    assert_eq!(outcome(&scene, "b").await.1, Some(EffectState::Succeeded));
    assert_eq!((scene.isolate_calls(), scene.count(Count::IsolationsAdopted)), (2, 0));
    scene.end().await;
}

#[tokio::test]
async fn a_throttled_request_waits_as_long_as_it_is_told_to() {
    let throttle = Fault::once("POST isolate", FaultKind::Throttle { retry_after: Some(300) });
    let mut scene = Scene::new(one_alert().fault(throttle)).await;
    scene.run_once().await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Claimed);
    assert_eq!(scene.mails().len(), 0, "nothing was asked yet");
    scene.settle(seconds(280)).await;
    assert_eq!(scene.isolate_calls(), 1, "too early");
    scene.settle(minutes(6)).await;
    assert_eq!(scene.isolate_calls(), 2);
    isolated_once(&scene).await;
    scene.end().await;
}

/// Two alerts on two devices, and the first request is told to come back so many seconds later.
fn throttled_for(retry_after: u64) -> simulator::World {
    let throttle = Fault::once("POST isolate", FaultKind::Throttle { retry_after: Some(retry_after) });
    one_alert().machine(workstation(2)).alert(high("b", 2)).fault(throttle)
}

#[tokio::test]
async fn a_throttled_request_keeps_those_for_other_devices_back_as_well() {
    let mut scene = Scene::new(throttled_for(50)).await;
    scene.run_once().await;
    scene.settle(seconds(35)).await;
    assert_eq!(scene.isolate_calls(), 1, "the quota is the app's, whichever device it asks for");
    scene.settle(minutes(6)).await;
    assert_eq!(scene.isolate_calls(), 3);
    assert!(scene.is_isolated(1) && scene.is_isolated(2));
    scene.end().await;
}

#[tokio::test]
async fn an_odd_answer_for_one_device_holds_the_others_back_for_no_longer_than_a_minute() {
    let mut scene = Scene::new(throttled_for(7_200)).await;
    scene.run_once().await;
    scene.settle(minutes(3)).await;
    assert_ne!(
        scene.is_isolated(1),
        scene.is_isolated(2),
        "the device itself waits for as long as it was told to"
    );
    scene.settle(hours(3)).await;
    assert!(scene.is_isolated(1) && scene.is_isolated(2));
    assert_eq!(excuse_violations(&scene).len(), 1, "for the simulator, any device counts");
    scene.end().await;
}

#[tokio::test]
async fn a_throttled_request_without_a_time_is_made_again_and_accepted_once() {
    let throttle = Fault::once("POST isolate", FaultKind::Throttle { retry_after: None }).times(3);
    let mut scene = Scene::new(one_alert().fault(throttle)).await;
    scene.run_once().await;
    scene.settle(minutes(10)).await;
    assert_eq!(scene.isolate_calls(), 4);
    isolated_once(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn a_connection_that_was_never_made_is_made_again_soon() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    let body = take(&scene, QueueName::AlertsEnriched).await.remove(0);
    let void = responding_into_the_void(&scene, Watched::before(&scene, "nothing", |_| {}));
    let answer = handle(&void, &body, scene.now).await;
    assert!(
        matches!(&answer, Disposition::Defer { until, .. } if *until <= scene.now + minutes(1)),
        "{answer:?}"
    );
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Claimed, "nothing can be under way");
    put(&scene, QueueName::AlertsEnriched, &[body]).await;
    scene.settle(minutes(2)).await;
    isolated_once(&scene).await;
    assert_eq!(scene.isolate_calls(), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_token_revoked_just_before_the_request_is_replaced_and_one_isolation_follows() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    let body = take(&scene, QueueName::AlertsEnriched).await.remove(0);
    let revoked =
        Watched::before(&scene, "\"requesting\"", |simulator| simulator.with(|world| world.revoke_tokens()));
    let answer = handle(&responding(&scene, revoked), &body, scene.now).await;
    assert_eq!(answer, Disposition::Done);
    assert_eq!((scene.isolate_calls(), accepted(&scene, 1)), (2, 1), "the first one is answered 401");
    scene.settle(minutes(1)).await;
    isolated_once(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn a_token_that_expires_just_before_the_request_is_replaced_and_one_isolation_follows() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    let body = take(&scene, QueueName::AlertsEnriched).await.remove(0);
    let expired = Watched::before(&scene, "\"requesting\"", |simulator| simulator.advance(hours(2)));
    assert_eq!(handle(&responding(&scene, expired), &body, scene.now).await, Disposition::Done);
    assert_eq!(accepted(&scene, 1), 1);
    scene.pass(seconds(5));
    scene.settle(minutes(1)).await;
    isolated_once(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn a_lost_request_that_a_person_has_released_already_is_not_made_again() {
    let mut scene =
        Scene::new(one_alert().fault(lost_answer(FaultKind::ResetAfter)).fault(blind_after_asking())).await;
    scene.run_once().await;
    scene.pass(seconds(30));
    person_releases(&scene, 1);
    scene.settle(minutes(10)).await;
    // The release has come to its end by then, too.
    scene.pass(minutes(10));
    scene.settle(minutes(10)).await;
    assert_eq!(scene.isolate_calls(), 1);
    assert!(!scene.is_isolated(1), "it stays released");
    scene.end().await;
}

#[tokio::test]
async fn lost_answers_on_several_devices_are_each_settled_by_their_own_mark() {
    let mut world = one_alert().fault(lost_answer(FaultKind::ResetAfter).times(4));
    for number in 2..=4 {
        world = world.machine(scenarios::workstation(number)).alert(high(&format!("a{number}"), number));
    }
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    scene.settle(minutes(10)).await;
    assert_eq!(scene.isolate_calls(), 4);
    for number in 1..=4 {
        let claim = scene.claim(number).await.unwrap();
        let action = claim.action.unwrap();
        let machine = scene.simulator.with(|world| world.action(action.as_str()).unwrap().machine_id.clone());
        assert_eq!((claim.state, machine.as_str()), (EffectState::Succeeded, device(number).as_str()));
    }
    assert!(notes(&scene, "a").await.is_empty());
    scene.end().await;
}
