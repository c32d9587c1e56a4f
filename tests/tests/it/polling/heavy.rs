//! A window that the service cannot answer: it is asked for less, and nothing is lost; an outage is not multiplied.

use crate::{
    isolation::{excuse_violations, watched::Fate},
    polling::{announced, decided, found, low},
};
use model::EffectState;
use ports::{State, Stored, Trouble};
use scenarios::{Scene, Setup, high, minutes, noon, seconds, workstation};
use simulator::{Evidence, Fault, FaultKind, World};

fn evidence() -> Vec<Evidence> {
    vec![Evidence::file(noon(), "C:\\Temp", "a.exe", "5b1f0a6c3d9e48277a60b1c4de35f8092b7c6e01")]
}

/// One High alert with evidence and a few hundred others; the service gives at most so many with their evidence.
fn giving(most: usize) -> World {
    let mut world = World::new(noon()).machine(workstation(1)).alert(high("a", 1).evidence(evidence()));
    for number in 0..350 {
        world = world.alert(low(&format!("l{number}"), noon() - minutes(10) + seconds(number)));
    }
    world.most_expanded = Some(most);
    world
}

async fn trouble(scene: &Scene, name: &str) -> Option<Trouble> {
    let state: State = scene.state();
    let stored: Option<Stored<Trouble>> =
        state.get(&Trouble::key(&scene.tenant, name), scene.now).await.unwrap();
    stored.map(|stored| stored.value)
}

#[tokio::test]
async fn a_list_that_is_too_heavy_is_read_in_small_pages() {
    let mut scene = Scene::new(giving(100)).await;
    scene.poll().await;
    scene.settle(minutes(2)).await;
    assert_eq!((found(&scene), decided(&scene)), (351, 351));
    assert!(scene.is_isolated(1));
    assert_eq!(announced(&scene, &"a".parse().unwrap()).await.evidence.len(), 1);
    // Five tries of the whole page, and four small ones: the first of these has ended the doubt.
    assert_eq!(scene.simulator.count("GET alerts"), 5 + 4);
    assert_eq!(trouble(&scene, "evidence").await, None);
    scene.end().await;
}

#[tokio::test]
async fn a_list_that_never_comes_with_its_evidence_is_read_without_and_every_alert_is_decided() {
    let mut scene = Scene::new(giving(0)).await;
    scene.poll().await;
    scene.settle(minutes(2)).await;
    assert_eq!((found(&scene), decided(&scene)), (351, 351));
    assert!(scene.is_isolated(1));
    assert_eq!(scene.simulator.count("GET alerts"), 5 + 2);
    let why = trouble(&scene, "evidence").await.unwrap().why;
    assert!(why.contains("without their evidence"), "{why}");
    // The evidence comes as soon as it can be had, is judged, and asks for nothing more.
    scene.simulator.with(|world| world.most_expanded = None);
    scene.pass(minutes(1));
    scene.run_once().await;
    assert_eq!((found(&scene), scene.isolate_calls()), (352, 1));
    assert_eq!(scene.case("a").await.last.state, Some(EffectState::Succeeded));
    scene.end().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_none_is_too_heavy_as_well() {
    for kind in [FaultKind::TruncatedBody, FaultKind::NotJson, FaultKind::Reset, FaultKind::ServerError(504)]
    {
        let broken = Fault::once("GET alerts", kind.clone()).times(5);
        let mut scene =
            Scene::new(World::new(noon()).machine(workstation(1)).alert(high("a", 1)).fault(broken)).await;
        scene.poll().await;
        scene.settle(minutes(2)).await;
        assert!(scene.is_isolated(1), "{kind:?}");
        assert_eq!(scene.simulator.count("GET alerts"), 5 + 1, "{kind:?}");
        scene.end().await;
    }
}

#[tokio::test]
async fn an_outage_costs_two_questions_more_and_a_refusal_none() {
    for (kind, asked) in [
        (FaultKind::ServerError(503), 5 + 2),
        (FaultKind::Throttle { retry_after: Some(300) }, 1),
        (FaultKind::ServerError(403), 1),
        (FaultKind::ServerError(400), 2),
    ] {
        let broken = Fault::once("GET alerts", kind.clone()).always();
        let mut scene = Scene::new(World::new(noon()).fault(broken)).await;
        scene.host.poll(scene.now).await.unwrap_err();
        assert_eq!(scene.simulator.count("GET alerts"), asked, "{kind:?}");
        scene.pass(seconds(1));
        excuse_violations(&scene);
        scene.end().await;
    }
}

#[tokio::test]
async fn a_tick_that_is_fuller_than_a_small_page_is_read_whole() {
    let mut world = World::new(noon()).machine(workstation(1));
    for number in 0..250 {
        world = world.alert(low(&format!("t{number}"), noon() - minutes(5)));
    }
    world.most_expanded = Some(100);
    let mut scene = Scene::with(world, Setup::observing()).await;
    scene.run_once().await;
    assert_eq!((found(&scene), decided(&scene)), (250, 250));
    scene.end().await;
}

#[tokio::test]
async fn a_poll_that_dies_while_it_reads_small_pages_loses_nothing() {
    for number in 1..12 {
        for last in [Fate::Fails, Fate::HappensUnheard] {
            let mut scene = Scene::new(giving(100)).await;
            // Whether it came to its end is no matter here.
            let _ = super::dying::poll(&scene, number, last).await;
            scene.pass(minutes(1));
            scene.run_once().await;
            assert_eq!(decided(&scene), 351, "write {number}, {last:?}");
            assert_eq!(scene.isolate_calls(), 1, "write {number}, {last:?}");
            scene.end().await;
        }
    }
}
