//! What was asked for is followed to its end, and people are told that end.

use super::{
    PERSON, accepted, come_online, fails, go_offline, heal, hours, isolated_once, one_alert, outcome, told,
};
use model::EffectState;
use ports::Count;
use scenarios::{Scene, device, high, minutes, workstation};
use simulator::{Behaviour, Fault, FaultKind};

#[tokio::test]
async fn an_offline_device_stays_pending_and_times_out_after_three_days_in_sixty_looks() {
    let mut scene = Scene::new(one_alert()).await;
    go_offline(&scene, 1);
    scene.run_once().await;
    scene.settle(hours(71)).await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Pending));
    assert_eq!((scene.isolate_calls(), told(&scene, "isolation succeeded")), (1, 0));
    scene.settle(hours(5)).await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::TimedOut));
    assert_eq!((scene.count(Count::IsolationsTimedOut), scene.count(Count::IsolationsSucceeded)), (1, 0));
    assert_eq!((scene.mails().len(), told(&scene, "isolation timed out")), (2, 1), "{:#?}", scene.subjects());
    let looks = scene.simulator.count("GET machineaction");
    assert!(looks <= 60, "{looks} looks");
    assert_eq!(scene.isolate_calls(), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_device_that_comes_back_online_is_isolated_and_told() {
    let mut scene = Scene::new(one_alert()).await;
    go_offline(&scene, 1);
    scene.run_once().await;
    scene.settle(hours(20)).await;
    come_online(&scene, 1);
    scene.settle(hours(3)).await;
    isolated_once(&scene).await;
    assert_eq!(scene.isolate_calls(), 1);
    scene.end().await;
}

#[tokio::test]
async fn an_isolation_that_fails_is_told_as_failed() {
    let mut scene = Scene::new(one_alert()).await;
    scene.simulator.with(|world| world.machine_mut(device(1).as_str()).unwrap().behaviour = Behaviour::Fails);
    scene.run_once().await;
    scene.settle(hours(5)).await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Failed));
    assert_eq!((scene.isolate_calls(), scene.count(Count::IsolationsFailed)), (1, 1));
    assert_eq!((told(&scene, "isolation failed"), told(&scene, "isolation succeeded")), (1, 0));
    assert!(!scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn an_isolation_that_a_person_cancels_is_told_as_cancelled_and_is_no_success() {
    let mut scene = Scene::new(one_alert()).await;
    go_offline(&scene, 1);
    scene.run_once().await;
    let action = scene.claim(1).await.unwrap().action.unwrap();
    assert!(scene.simulator.with(|world| world.cancel(action.as_str(), PERSON)));
    scene.settle(hours(3)).await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Cancelled));
    assert_eq!((scene.count(Count::IsolationsCancelled), scene.count(Count::IsolationsSucceeded)), (1, 0));
    assert_eq!(told(&scene, "isolation cancelled"), 1, "{:#?}", scene.subjects());
    assert_eq!(scene.isolate_calls(), 1);
    scene.end().await;
}

#[tokio::test]
async fn an_action_that_cannot_be_found_for_a_while_is_looked_for_patiently() {
    let mut scene = Scene::new(one_alert()).await;
    fails(&scene, Fault::once("GET machineaction", FaultKind::Spurious404).always());
    scene.run_once().await;
    scene.settle(minutes(9)).await;
    let looks = scene.simulator.count("GET machineaction");
    assert!((1..=10).contains(&looks), "{looks} looks");
    assert_eq!(scene.mails().len(), 1, "nothing is known of its end: {:#?}", scene.subjects());
    heal(&scene);
    scene.settle(hours(3)).await;
    isolated_once(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn an_action_that_cannot_be_read_for_a_while_is_read_afterwards() {
    for kind in [FaultKind::NotJson, FaultKind::EmptyBody, FaultKind::Reset, FaultKind::ServerError(500)] {
        let mut scene = Scene::new(one_alert()).await;
        fails(&scene, Fault::once("GET machineaction", kind.clone()).times(30));
        scene.run_once().await;
        scene.settle(hours(4)).await;
        isolated_once(&scene).await;
        assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2), "{kind:?}: {:#?}", scene.subjects());
        scene.end().await;
    }
}

#[tokio::test]
async fn several_open_isolations_are_each_followed_to_their_own_end() {
    let mut world = one_alert();
    for number in 2..=4 {
        world = world.machine(workstation(number)).alert(high(&format!("a{number}"), number));
    }
    let mut scene = Scene::new(world).await;
    for number in 2..=4 {
        go_offline(&scene, number);
    }
    scene.simulator.with(|world| {
        let failing = world.machine_mut(device(3).as_str()).unwrap();
        failing.behaviour = Behaviour::Fails;
    });
    let worked = scene.run_once().await;
    assert_eq!(worked.tracked.pending, [device(2), device(4)]);
    scene.settle(hours(5)).await;
    come_online(&scene, 2);
    scene.settle(hours(80)).await;
    let mut ends = Vec::new();
    for alert in ["a", "a2", "a3", "a4"] {
        ends.extend(outcome(&scene, alert).await.1);
    }
    use EffectState::{Failed, Succeeded, TimedOut};
    assert_eq!(ends, [Succeeded, Succeeded, Failed, TimedOut]);
    assert_eq!((1..=4).map(|number| accepted(&scene, number)).collect::<Vec<_>>(), [1, 1, 1, 1]);
    assert_eq!(scene.mails().len(), 8);
    scene.end().await;
}

#[tokio::test]
async fn mail_that_cannot_be_delivered_repeats_no_isolation_and_arrives_once_afterwards() {
    let mut scene = Scene::new(one_alert()).await;
    std::fs::write(scene.mail_folder(), "in the way").unwrap();
    scene.run_once().await;
    scene.settle(hours(3)).await;
    assert!(scene.count(Count::NotificationsFailed) >= 4);
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Succeeded);
    std::fs::remove_file(scene.mail_folder()).unwrap();
    scene.settle(hours(1)).await;
    isolated_once(&scene).await;
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2), "{:#?}", scene.subjects());
    assert_eq!(scene.count(Count::NotificationsSent), 2);
    scene.end().await;
}
