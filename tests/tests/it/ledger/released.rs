//! Giving a device its network back: by order, and by people in the portal.

use super::{answer, carry_out, hours, one_alert, outcome, raise, stories, told, wait};
use crate::isolation::{
    PERSON, accepted, come_online, fails, go_offline, heal, notes, person_isolates, person_releases,
    status_of,
};
use model::{Answer, Effect, EffectState, Wanted};
use ports::{Claim, CutOff, QueueName, Stored};
use scenarios::{Scene, device, minutes, noon, seconds, workstation};
use simulator::{ActionStatus, Behaviour, Fault, FaultKind, World};

/// Devices that are listed as cut off.
pub(super) async fn cut_off(scene: &Scene) -> usize {
    let partition = CutOff::partition(&scene.tenant);
    let rows: Vec<Stored<CutOff>> = scene.state().query_all(&partition, "device#", scene.now).await.unwrap();
    rows.len()
}

fn releases(scene: &Scene) -> usize {
    scene.simulator.count("POST unisolate")
}

/// The device has its network, and nothing says otherwise.
async fn free(scene: &Scene) -> Claim {
    assert!(!scene.is_isolated(1));
    assert_eq!((cut_off(scene).await, scene.brakes().await.standing), (0, 0));
    let claim = scene.claim(1).await.unwrap();
    assert_eq!(claim.state, EffectState::Released, "{claim:?}");
    assert!(claim.isolation.is_none() && !claim.counted, "{claim:?}");
    claim
}

async fn isolated() -> Scene {
    let mut scene = Scene::new(one_alert()).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    assert_eq!((cut_off(&scene).await, scene.brakes().await.standing), (1, 1));
    scene.pass(minutes(10));
    scene
}

#[tokio::test]
async fn an_isolation_that_succeeded_is_released_by_order_and_people_are_told() {
    let mut scene = isolated().await;
    let order = carry_out(&mut scene, Wanted::Release, 1).await;
    let claim = free(&scene).await;
    assert_eq!((claim.effect, claim.generation, releases(&scene)), (Effect::Release, 2, 1));
    assert_eq!(answer(&scene, &order).await.0, Some(EffectState::Requested), "more was not known then");
    assert_eq!(
        (told(&scene, "release requested"), told(&scene, "· released")),
        (1, 1),
        "{:#?}",
        scene.subjects()
    );
    let comment = scene.simulator.with(|world| world.actions.last().unwrap().requestor_comment.clone());
    assert!(comment.starts_with(&claim.id.marker()) && comment.contains("because I say so"), "{comment}");
    let last = scene.case("a").await.last;
    assert_eq!((last.effect, last.state), (Effect::Release, Some(EffectState::Released)));
    scene.end().await;
}

#[tokio::test]
async fn a_pending_isolation_is_cancelled_by_the_order_to_release() {
    let mut scene = Scene::new(one_alert()).await;
    go_offline(&scene, 1);
    scene.run_once().await;
    let action = scene.claim(1).await.unwrap().action.unwrap();
    let order = carry_out(&mut scene, Wanted::Release, 1).await;
    assert_eq!(status_of(&scene, action.as_str()), ActionStatus::Cancelled);
    assert_eq!((scene.simulator.count("POST cancel"), releases(&scene)), (1, 0));
    assert_eq!(answer(&scene, &order).await.0, Some(EffectState::Cancelled));
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Cancelled);
    assert_eq!((cut_off(&scene).await, scene.brakes().await.standing), (0, 0));
    assert_eq!(told(&scene, "isolation cancelled"), 1, "{:#?}", scene.subjects());
    come_online(&scene, 1);
    scene.pass(minutes(1));
    assert!(!scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn somebody_elses_isolation_is_released_by_a_persons_order() {
    let mut world = one_alert();
    world.isolate_by_person(device(1).as_str(), PERSON);
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Adopted);
    assert_eq!((cut_off(&scene).await, scene.brakes().await.standing), (1, 0));
    scene.pass(minutes(10));
    carry_out(&mut scene, Wanted::Release, 1).await;
    free(&scene).await;
    assert_eq!((scene.isolate_calls(), releases(&scene)), (0, 1));
    scene.end().await;
}

#[tokio::test]
async fn a_device_that_cordon_never_met_can_be_released_as_well() {
    let mut world = World::new(noon()).machine(workstation(1));
    world.isolate_by_person(device(1).as_str(), PERSON);
    let mut scene = Scene::new(world).await;
    scene.pass(minutes(10));
    carry_out(&mut scene, Wanted::Release, 1).await;
    free(&scene).await;
    assert_eq!((releases(&scene), told(&scene, "· released")), (1, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn where_nothing_is_isolated_nothing_is_asked() {
    let mut scene = Scene::new(World::new(noon()).machine(workstation(1))).await;
    let order = carry_out(&mut scene, Wanted::Release, 1).await;
    let (state, said) = answer(&scene, &order).await;
    assert_eq!((state, releases(&scene), cut_off(&scene).await), (None, 0, 0));
    assert!(said.contains("nothing to release"), "{said}");
    assert!(scene.mails().is_empty(), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn two_orders_to_release_are_one_request() {
    let mut scene = isolated().await;
    let order = scene.ordered(Wanted::Release, 1);
    let (one, two) = (scene.order(order.clone()).await, {
        scene.pass(minutes(0));
        scene.order(model::EffectRequested { by: "another".to_owned(), ..order.clone() }).await
    });
    scene.order(order).await;
    scene.settle(minutes(20)).await;
    free(&scene).await;
    assert_eq!((releases(&scene), told(&scene, "· released")), (1, 1), "{:#?}", scene.subjects());
    assert!(scene.answered(&one).await.is_some() && scene.answered(&two).await.is_some());
    scene.end().await;
}

#[tokio::test]
async fn a_release_without_an_answer_is_found_by_its_mark_and_not_repeated() {
    let kinds = [
        FaultKind::ResetAfter,
        FaultKind::ServerErrorAfterActing(500),
        FaultKind::TruncatedBody,
        FaultKind::EmptyBody,
    ];
    for kind in kinds {
        let mut scene = isolated().await;
        fails(&scene, Fault::once("POST unisolate", kind.clone()));
        carry_out(&mut scene, Wanted::Release, 1).await;
        free(&scene).await;
        assert_eq!(
            (releases(&scene), told(&scene, "· released")),
            (1, 1),
            "{kind:?}: {:#?}",
            scene.subjects()
        );
        scene.end().await;
    }
}

#[tokio::test]
async fn a_release_that_never_arrived_is_asked_for_once_more_after_the_quiet_time() {
    let mut scene = isolated().await;
    fails(&scene, Fault::once("POST unisolate", FaultKind::Reset));
    carry_out(&mut scene, Wanted::Release, 1).await;
    let claim = free(&scene).await;
    assert_eq!((releases(&scene), claim.attempt), (2, 2));
    assert_eq!(told(&scene, "· released"), 1, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_release_that_fails_leaves_the_device_listed_and_cordons_own() {
    let mut scene = isolated().await;
    let isolation = scene.claim(1).await.unwrap().isolation;
    let behave = |scene: &Scene, behaviour| {
        scene.simulator.with(|world| world.machine_mut(device(1).as_str()).unwrap().behaviour = behaviour);
    };
    behave(&scene, Behaviour::Fails);
    carry_out(&mut scene, Wanted::Release, 1).await;
    assert_eq!(told(&scene, "release failed"), 1, "{:#?}", scene.subjects());
    assert!(scene.is_isolated(1));
    // An alert that comes now finds the device cut off, and takes nothing from what is known of it.
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    let claim = scene.claim(1).await.unwrap();
    assert_eq!((claim.isolation, claim.counted, scene.isolate_calls()), (isolation, true, 1));
    assert_eq!((cut_off(&scene).await, scene.brakes().await.standing), (1, 1));
    behave(&scene, Behaviour::Online);
    carry_out(&mut scene, Wanted::Release, 1).await;
    free(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn a_release_of_an_offline_device_stays_pending_and_times_out_and_is_ordered_again() {
    let mut scene = isolated().await;
    go_offline(&scene, 1);
    carry_out(&mut scene, Wanted::Release, 1).await;
    let claim = scene.claim(1).await.unwrap();
    assert_eq!((claim.effect, claim.state), (Effect::Release, EffectState::Pending));
    scene.settle(hours(76)).await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::TimedOut);
    assert_eq!((told(&scene, "release timed out"), cut_off(&scene).await), (1, 1), "{:#?}", scene.subjects());
    come_online(&scene, 1);
    carry_out(&mut scene, Wanted::Release, 1).await;
    free(&scene).await;
    assert_eq!(releases(&scene), 2);
    scene.end().await;
}

#[tokio::test]
async fn for_a_day_after_a_release_by_order_a_new_alert_is_a_question() {
    let mut scene = isolated().await;
    carry_out(&mut scene, Wanted::Release, 1).await;
    wait(&mut scene, hours(20)).await;
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    assert_eq!(outcome(&scene, "b").await, (Answer::Propose, Some(EffectState::Proposed)));
    assert_eq!(accepted(&scene, 1), 1);
    wait(&mut scene, hours(5)).await;
    raise(&mut scene, "c", 1);
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    assert_eq!((accepted(&scene, 1), scene.brakes().await.standing), (2, 1));
    assert_eq!(scene.claim(1).await.unwrap().generation, 3);
    scene.end().await;
}

#[tokio::test]
async fn what_a_person_releases_in_the_portal_is_noticed_and_told() {
    let mut scene = Scene::new(stories(2)).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    assert_eq!((cut_off(&scene).await, scene.brakes().await.standing), (2, 2));
    person_releases(&scene, 1);
    scene.pass(minutes(1));
    wait(&mut scene, minutes(10)).await;
    let claim = scene.claim(1).await.unwrap();
    assert_eq!(
        (claim.state, cut_off(&scene).await, scene.brakes().await.standing),
        (EffectState::Released, 1, 1)
    );
    assert_eq!(told(&scene, "· released"), 1, "{:#?}", scene.subjects());
    let said = notes(&scene, "a1").await;
    assert!(said.contains("released by analyst@contoso.com, not by Cordon"), "{said}");
    wait(&mut scene, hours(2)).await;
    assert_eq!(told(&scene, "· released"), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_second_isolation_by_a_person_that_comes_to_nothing_takes_ours_from_nobody() {
    let mut scene = isolated().await;
    go_offline(&scene, 1);
    let theirs = person_isolates(&scene, 1);
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    scene.simulator.with(|world| world.cancel(&theirs, PERSON));
    come_online(&scene, 1);
    scene.settle(minutes(5)).await;
    assert!(scene.is_isolated(1));
    assert_eq!((cut_off(&scene).await, scene.brakes().await.standing), (1, 1));
    scene.end().await;
}

#[tokio::test]
async fn a_release_that_the_service_cannot_take_now_is_made_later() {
    let mut scene = isolated().await;
    fails(&scene, Fault::once("POST unisolate", FaultKind::Throttle { retry_after: Some(120) }).always());
    let order = scene.ordered(Wanted::Release, 1);
    scene.order(order).await;
    scene.settle(minutes(5)).await;
    heal(&scene);
    scene.settle(minutes(20)).await;
    free(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn a_device_that_is_isolated_again_before_its_release_is_seen_is_told_as_still_isolated() {
    let mut scene = isolated().await;
    let order = scene.ordered(Wanted::Release, 1);
    scene.order(order).await;
    scene.host.consume(QueueName::EffectsRequested, scene.now).await.unwrap();
    // The release is carried out, and somebody isolates the device once more before anybody has looked.
    scene.simulator.advance(seconds(10));
    person_isolates(&scene, 1);
    scene.simulator.advance(seconds(10));
    scene.pass(seconds(10));
    scene.settle(minutes(5)).await;
    assert!(scene.is_isolated(1));
    assert_eq!(
        (told(&scene, "· released"), told(&scene, "still isolated")),
        (1, 1),
        "{:#?}",
        scene.subjects()
    );
    assert!(scene.mails().concat().contains("analyst"), "it says who");
    scene.end().await;
}
