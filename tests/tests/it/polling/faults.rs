//! A service that throttles, breaks off or talks nonsense: what passes is survived, what does not loses nothing.

use crate::polling::{cursor, found, low};
use defender::ApiError;
use jiff::{SignedDuration, Timestamp};
use poll::PollError;
use scenarios::{Scene, Setup, high, minutes, noon, seconds, workstation};
use simulator::{Entry, Fault, FaultKind, World};

fn one_high() -> World {
    World::new(noon()).machine(workstation(1)).alert(high("a", 1))
}

fn asked(scene: &Scene, route: &str) -> Vec<Entry> {
    scene.simulator.journal().into_iter().filter(|entry| entry.route == route).collect()
}

#[tokio::test]
async fn one_faulty_answer_on_any_read_is_survived() {
    let kinds = [
        FaultKind::Throttle { retry_after: Some(3) },
        FaultKind::Throttle { retry_after: None },
        FaultKind::ServerError(503),
        FaultKind::ServerErrorAfterActing(500),
        FaultKind::Reset,
        FaultKind::ResetAfter,
        FaultKind::Slow { millis: 20 },
        FaultKind::TruncatedBody,
        FaultKind::WrongContentType,
        FaultKind::NotJson,
        FaultKind::EmptyBody,
    ];
    for route in ["POST token", "GET alerts", "GET machine", "GET alert", "GET machineactions"] {
        for kind in &kinds {
            let mut scene = Scene::new(one_high().fault(Fault::once(route, kind.clone()))).await;
            scene.poll().await;
            scene.settle(minutes(2)).await;
            assert!(scene.is_isolated(1), "{kind:?} on {route}");
            assert_eq!(scene.isolate_calls(), 1, "{kind:?} on {route}");
            assert_eq!(scene.simulator.with(|world| world.faults[0].played()), 1, "{kind:?} on {route}");
            scene.end().await;
        }
    }
}

#[tokio::test]
async fn retry_after_is_a_floor() {
    let throttle = Fault::once("GET alerts", FaultKind::Throttle { retry_after: Some(40) });
    let mut scene = Scene::new(one_high().fault(throttle)).await;
    scene.poll().await;
    let asked = asked(&scene, "GET alerts");
    assert_eq!(asked.len(), 2);
    let waited = asked[1].at.duration_since(asked[0].at);
    assert!(waited >= seconds(40) && waited < seconds(45), "{waited:?}");
    scene.settle(seconds(10)).await;
    scene.end().await;
}

#[tokio::test]
async fn a_poll_that_is_told_to_wait_too_long_gives_up_at_once_and_the_next_one_finds_all() {
    let throttle = Fault::once("GET alerts", FaultKind::Throttle { retry_after: Some(300) });
    let mut scene = Scene::new(one_high().fault(throttle)).await;
    let error = scene.host.poll(scene.now).await.unwrap_err();
    let PollError::Read(ApiError::RateLimited { retry_after }) = error else { panic!("{error:?}") };
    assert_eq!((retry_after, asked(&scene, "GET alerts").len()), (seconds(300), 1));
    scene.pass(seconds(300));
    scene.run_once().await;
    assert!(scene.is_isolated(1));
    scene.end().await;
}

/// The stamp of the alert with this number: two a second.
fn stamp(number: u32) -> Timestamp {
    noon() - minutes(80) + SignedDuration::from_millis(500) * number.cast_signed()
}

/// Five pages, of which the third can never be had during the first poll.
async fn fails_half_way(kind: FaultKind, restarts: bool) {
    let mut world = World::new(noon()).machine(workstation(1));
    world.alerts = (0..9_000).map(|number| low(&format!("a{number}"), stamp(number))).collect();
    let world = world.fault(Fault::once("GET alerts", kind.clone()).after(2).always());
    let mut scene = Scene::with(world, Setup::looking_back(minutes(120))).await;
    scene.host.poll(scene.now).await.unwrap_err();
    let asked = asked(&scene, "GET alerts").len();
    assert_eq!(asked, 2 + 5 + 2, "{kind:?}: an outage costs two lighter questions, once");
    scene.simulator.with(|world| world.faults.clear());
    // Two pages were confirmed; the second began with the last stamp of the first.
    let confirmed = 2 * defender::PAGE as u64 - 1;
    assert_eq!(found(&scene), confirmed, "{kind:?}");
    let before = cursor(&scene).await;
    assert_eq!((before.stamp, before.last_success), (stamp(3_998), None), "{kind:?}");

    let mut announced = found(&scene);
    scene.pass(seconds(60));
    if restarts {
        scene.restart();
    } else {
        announced = 0;
    }
    scene.poll().await;
    assert_eq!(announced + found(&scene), 9_000, "{kind:?}");
    let waiting = scene.store.depth(ports::QueueName::AlertsFound, scene.now).unwrap();
    assert_eq!((waiting.visible, waiting.dead), (9_000, 0), "{kind:?}");
    let after = cursor(&scene).await;
    assert_eq!((after.stamp, after.last_success), (stamp(8_999), Some(scene.now)), "{kind:?}");
}

#[tokio::test]
async fn a_poll_that_fails_half_way_keeps_what_was_confirmed_and_the_next_one_finishes() {
    fails_half_way(FaultKind::ServerError(500), false).await;
    fails_half_way(FaultKind::TruncatedBody, true).await;
    fails_half_way(FaultKind::Reset, true).await;
}

#[tokio::test]
async fn a_poll_that_fails_at_its_first_page_loses_nothing() {
    for kind in [FaultKind::NotJson, FaultKind::WrongContentType, FaultKind::Spurious404] {
        let broken = Fault::once("GET alerts", kind.clone()).always();
        let mut scene = Scene::new(one_high().fault(broken)).await;
        for _ in 0..3 {
            scene.host.poll(scene.now).await.unwrap_err();
            scene.pass(seconds(60));
            scene.restart();
        }
        scene.simulator.with(|world| world.faults.clear());
        scene.run_once().await;
        assert!(scene.is_isolated(1), "{kind:?}");
        scene.end().await;
    }
}

#[tokio::test]
async fn a_token_that_has_expired_is_replaced() {
    let mut world = one_high();
    world.token_life = minutes(10);
    let mut scene = Scene::new(world).await;
    scene.poll().await;
    scene.pass(minutes(11));
    scene.settle(seconds(10)).await;
    assert!(scene.is_isolated(1));
    let refused = scene.simulator.journal().iter().filter(|entry| entry.status == Some(401)).count();
    assert_eq!((scene.simulator.count("POST token"), refused), (2, 0));
    scene.end().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_during_a_run_is_replaced() {
    let mut scene = Scene::new(one_high()).await;
    scene.poll().await;
    scene.simulator.with(World::revoke_tokens);
    scene.settle(seconds(10)).await;
    assert!(scene.is_isolated(1));
    let refused = scene.simulator.journal().iter().filter(|entry| entry.status == Some(401)).count();
    assert_eq!((scene.simulator.count("POST token"), refused, scene.isolate_calls()), (2, 1, 1));
    scene.end().await;
}
