//! Somebody else's isolations: left alone, told, never asked for a second time.

use super::watched::{Watched, handle, responding};
use super::{
    PERSON, accepted, enrich, excuse_violations, go_offline, hours, notes, one_alert, outcome,
    person_isolates, raise, status_of, take, told,
};
use model::{Answer, EffectState};
use ports::{Count, Disposition, QueueName};
use scenarios::{Scene, device, minutes, seconds};
use simulator::{ActionStatus, Duplicate, World};

fn isolated_by_a_person() -> World {
    let mut world = one_alert();
    world.isolate_by_person(device(1).as_str(), PERSON);
    world
}

async fn adopted(scene: &Scene, alert: &str) {
    assert_eq!(scene.isolate_calls(), 0);
    assert_eq!(outcome(scene, alert).await, (Answer::Isolate, Some(EffectState::Adopted)));
    let notes = notes(scene, alert).await;
    assert!(notes.contains(PERSON) && notes.contains("nothing was asked"), "{notes}");
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Adopted);
}

#[tokio::test]
async fn an_isolation_that_a_person_has_just_asked_for_is_adopted() {
    let mut scene = Scene::new(isolated_by_a_person()).await;
    scene.run_once().await;
    adopted(&scene, "a").await;
    assert_eq!((scene.mails().len(), told(&scene, "isolation adopted")), (1, 1), "{:#?}", scene.subjects());
    assert_eq!(scene.simulator.count("GET machineaction"), 0, "it is not Cordon's to follow");
    scene.end().await;
}

#[tokio::test]
async fn an_isolation_of_an_offline_device_that_a_person_has_asked_for_is_adopted() {
    let mut scene = Scene::new(isolated_by_a_person()).await;
    go_offline(&scene, 1);
    scene.pass(hours(1));
    raise(&mut scene, "late", 1);
    scene.run_once().await;
    adopted(&scene, "late").await;
    scene.end().await;
}

#[tokio::test]
async fn a_device_that_a_person_has_isolated_is_left_alone() {
    let mut scene = Scene::new(isolated_by_a_person()).await;
    scene.pass(seconds(30));
    assert!(scene.is_isolated(1));
    scene.run_once().await;
    adopted(&scene, "a").await;
    scene.end().await;
}

#[tokio::test]
async fn later_alerts_on_an_adopted_device_adopt_it_again_without_counting_it_again() {
    let mut scene = Scene::new(isolated_by_a_person()).await;
    scene.run_once().await;
    for alert in ["b", "c"] {
        scene.pass(minutes(10));
        raise(&mut scene, alert, 1);
        scene.run_once().await;
        adopted(&scene, alert).await;
    }
    assert_eq!(scene.count(Count::IsolationsAdopted), 1);
    assert_eq!(scene.claim(1).await.unwrap().generation, 1);
    assert_eq!(told(&scene, "isolation adopted"), 3);
    scene.end().await;
}

#[tokio::test]
async fn a_person_who_is_faster_by_a_moment_is_adopted_whatever_the_service_answers() {
    for duplicate in
        [Duplicate::PendingAction, Duplicate::ActiveRequestAlreadyExists, Duplicate::AlreadyInProgress]
    {
        let mut world = one_alert();
        world.duplicate = duplicate;
        let mut scene = Scene::new(world).await;
        enrich(&mut scene).await;
        let body = take(&scene, QueueName::AlertsEnriched).await.remove(0);
        let raced = Watched::before(&scene, "\"requesting\"", |simulator| {
            simulator.with(|world| world.isolate_by_person(device(1).as_str(), PERSON));
        });
        assert_eq!(
            handle(&responding(&scene, raced), &body, scene.now).await,
            Disposition::Done,
            "{duplicate:?}"
        );
        assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Adopted, "{duplicate:?}");
        assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Adopted), "{duplicate:?}");
        assert!(notes(&scene, "a").await.contains(PERSON), "{duplicate:?}");
        let violations = excuse_violations(&scene);
        assert_eq!(violations.len(), 1, "the one race that nobody can win: {violations:?}");
        scene.settle(minutes(5)).await;
        assert_eq!((scene.isolate_calls(), accepted(&scene, 1)), (0, 0), "and nothing after it");
        assert_eq!(told(&scene, "isolation adopted"), 1);
        scene.end().await;
    }
}

#[tokio::test]
async fn a_person_isolates_again_what_cordon_had_isolated_and_that_is_adopted() {
    let mut scene = Scene::new(one_alert()).await;
    scene.run_once().await;
    scene.pass(hours(1));
    super::person_releases(&scene, 1);
    scene.pass(minutes(1));
    let theirs = person_isolates(&scene, 1);
    scene.pass(minutes(1));
    assert_eq!(status_of(&scene, &theirs), ActionStatus::Succeeded);
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    assert_eq!(scene.isolate_calls(), 1);
    let claim = scene.claim(1).await.unwrap();
    assert_eq!((claim.generation, claim.state), (2, EffectState::Adopted));
    assert_eq!(claim.action.unwrap().as_str(), theirs);
    scene.end().await;
}

#[tokio::test]
async fn an_isolation_stays_in_force_when_a_second_one_is_cancelled() {
    let mut scene = Scene::new(isolated_by_a_person()).await;
    scene.pass(seconds(30));
    go_offline(&scene, 1);
    let second = person_isolates(&scene, 1);
    scene.simulator.with(|world| world.cancel(&second, PERSON));
    assert!(scene.is_isolated(1));
    for day in 0..2 {
        let alert = format!("d{day}");
        raise(&mut scene, &alert, 1);
        scene.run_once().await;
        assert_eq!(outcome(&scene, &alert).await, (Answer::Isolate, Some(EffectState::Adopted)), "day {day}");
        scene.pass(hours(25));
    }
    assert_eq!(scene.isolate_calls(), 0);
    scene.end().await;
}

#[tokio::test]
async fn an_isolation_that_ended_after_the_release_is_in_force() {
    // A second isolation, asked for before the release, hangs until after it: the device ends isolated.
    let mut scene = Scene::new(isolated_by_a_person()).await;
    scene.pass(seconds(30));
    let second = person_isolates(&scene, 1);
    scene.simulator.with(|world| world.actions.last_mut().unwrap().wedged = true);
    super::person_releases(&scene, 1);
    scene.pass(minutes(1));
    assert_eq!((status_of(&scene, &second), scene.is_isolated(1)), (ActionStatus::Succeeded, true));
    scene.pass(hours(25));
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    assert_eq!(scene.isolate_calls(), 0);
    assert_eq!(outcome(&scene, "b").await, (Answer::Isolate, Some(EffectState::Adopted)));
    scene.end().await;
}
