//! Requests that the service refuses for good: told, with its words, and not repeated.

use super::{accepted, hours, isolated_once, lost_answer, notes, one_alert, outcome, raise, told};
use model::EffectState;
use ports::Count;
use scenarios::{Scene, Setup, device, high, minutes, noon, workstation};
use simulator::{DEFAULT_CLIENT, DEFAULT_SECRET, FaultKind, World};

const READS: &[&str] = &["Alert.Read.All", "Machine.Read.All"];
const ACTOR: &str = "bbbbbbbb-1111-2222-3333-444444444444";

fn with_actor(secret: &str) -> Setup {
    let vars = [("DEFENDER_ACTOR_CLIENT_ID", ACTOR), ("DEFENDER_ACTOR_CLIENT_SECRET", secret)];
    Setup { vars: vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), ..Setup::default() }
}

/// One request, refused: failed, told once, and left at that.
async fn failed_once(scene: Scene, words: &str) {
    failed_after(1, scene, words).await;
}

async fn failed_after(calls: usize, mut scene: Scene, words: &str) {
    scene.run_once().await;
    scene.settle(hours(5)).await;
    assert_eq!((scene.isolate_calls(), accepted(&scene, 1)), (calls, 0));
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Failed));
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Failed);
    assert_eq!(scene.count(Count::IsolationsFailed), 1);
    let notes = notes(&scene, "a").await;
    assert!(notes.contains(words), "{notes}");
    let mails = scene.mails();
    assert_eq!((mails.len(), told(&scene, "isolation failed")), (1, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn without_the_role_the_isolation_fails_and_people_read_which_role_is_missing() {
    let world = one_alert().app(DEFAULT_CLIENT, DEFAULT_SECRET, READS);
    Box::pin(failed_once(Scene::new(world).await, "Machine.Isolate")).await;
}

#[tokio::test]
async fn an_acting_app_without_the_role_fails_though_the_reading_app_holds_it() {
    let world = one_alert().app(ACTOR, "actor-secret", READS);
    let scene = Scene::with(world, with_actor("actor-secret")).await;
    Box::pin(failed_once(scene, "does the app that acts hold Machine.Isolate")).await;
}

#[tokio::test]
async fn the_acting_app_acts_and_the_reading_app_reads() {
    let world = one_alert().app(DEFAULT_CLIENT, DEFAULT_SECRET, READS).app(
        ACTOR,
        "actor-secret",
        &["Machine.Isolate"],
    );
    let mut scene = Scene::with(world, with_actor("actor-secret")).await;
    scene.run_once().await;
    isolated_once(&scene).await;
    let journal = scene.simulator.journal();
    for entry in journal.iter().filter(|entry| entry.route != "POST token") {
        let app = if entry.route == "POST isolate" { ACTOR } else { DEFAULT_CLIENT };
        assert_eq!(entry.app.as_deref(), Some(app), "{}", entry.route);
    }
    scene.end().await;
}

#[tokio::test]
async fn an_acting_app_that_cannot_sign_in_isolates_nobody_and_is_not_asked_for_all_the_time() {
    let world = one_alert().app(ACTOR, "actor-secret", &["Machine.Isolate"]);
    let mut scene = Scene::with(world, with_actor("an-old-secret")).await;
    scene.run_once().await;
    scene.settle(hours(1)).await;
    assert_eq!(scene.isolate_calls(), 0);
    let tokens = scene.simulator.count("POST token");
    assert!(tokens <= 70, "{tokens} sign-ins in an hour");
    let claim = scene.claim(1).await.unwrap();
    assert_eq!(claim.state, EffectState::Claimed, "nothing can be under way");
    scene.restart_with(with_actor("actor-secret"));
    scene.settle(hours(1)).await;
    isolated_once(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn a_device_that_cannot_be_isolated_fails_with_the_services_words() {
    let world = World::new(noon()).machine(workstation(1).cannot_be_isolated()).alert(high("a", 1));
    Box::pin(failed_once(Scene::new(world).await, "OsPlatformNotSupported")).await;
}

#[tokio::test]
async fn a_device_that_is_gone_when_asked_for_fails_with_the_services_words() {
    let world = one_alert().fault(lost_answer(FaultKind::Spurious404).always());
    failed_after(3, Scene::new(world).await, "not found").await;
}

#[tokio::test]
async fn a_404_for_the_request_itself_is_not_believed_at_once() {
    let mut scene = Scene::new(one_alert().fault(lost_answer(FaultKind::Spurious404))).await;
    scene.run_once().await;
    isolated_once(&scene).await;
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (2, 2), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn after_a_refusal_the_next_alert_is_a_new_request_of_a_new_generation() {
    let mut scene = Scene::new(one_alert().fault(lost_answer(FaultKind::ServerError(400)))).await;
    scene.run_once().await;
    let first = scene.claim(1).await.unwrap();
    scene.pass(minutes(5));
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    isolated_once(&scene).await;
    let second = scene.claim(1).await.unwrap();
    assert_eq!((first.generation, second.generation), (1, 2));
    assert_ne!(first.id, second.id);
    assert_eq!(second.alert.as_ref().unwrap().as_str(), "b");
    assert_eq!(
        outcome(&scene, "a").await.1,
        Some(EffectState::Failed),
        "the first one has failed all the same"
    );
    assert_eq!(scene.simulator.with(|world| world.actions_of(device(1).as_str()).len()), 1);
    scene.end().await;
}
