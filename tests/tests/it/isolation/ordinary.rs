//! What happens when nothing goes wrong: one isolation per device, at its price, with its mark.

use super::{accepted, notes, one_alert, outcome, raise, requests, told};
use model::{Answer, EffectState, IsolationType};
use policy::Playbook;
use ports::Count;
use scenarios::{Scene, Setup, device, high, minutes, noon, shipped_playbook, workstation};
use simulator::World;
use std::sync::Arc;

#[tokio::test]
async fn two_alerts_on_one_device_are_one_isolation_of_which_both_are_told() {
    let mut scene = Scene::new(one_alert().alert(high("b", 1))).await;
    scene.run_once().await;
    assert_eq!((accepted(&scene, 1), scene.isolate_calls()), (1, 1));
    assert_eq!(scene.count(Count::DecidedIsolate), 2);
    for alert in ["a", "b"] {
        assert_eq!(scene.case(alert).await.last.decision.answer, Answer::Isolate);
    }
    assert_eq!(told(&scene, "isolation requested"), 2, "{:#?}", scene.subjects());
    assert_eq!(told(&scene, "isolation succeeded"), 1, "{:#?}", scene.subjects());
    let joined = [notes(&scene, "a").await, notes(&scene, "b").await].concat();
    assert_eq!(joined.matches("asked for on account of alert").count(), 1, "{joined}");
    scene.end().await;
}

#[tokio::test]
async fn twenty_alerts_on_one_device_in_one_poll_are_one_isolation() {
    let world = (0..20)
        .fold(World::new(noon()).machine(workstation(1)), |world, n| world.alert(high(&format!("a{n}"), 1)));
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    assert_eq!((accepted(&scene, 1), scene.isolate_calls()), (1, 1));
    assert_eq!(scene.count(Count::DecidedIsolate), 20);
    assert_eq!(told(&scene, "isolation requested"), 20);
    scene.end().await;
}

#[tokio::test]
async fn each_device_is_isolated_on_account_of_its_own_alerts() {
    let mut world = World::new(noon());
    for number in 1..=3 {
        world = world.machine(workstation(number));
        world = world.alert(high(&format!("x{number}"), number)).alert(high(&format!("y{number}"), number));
    }
    let mut scene = Scene::new(world.machine(workstation(4))).await;
    scene.run_once().await;
    for number in 1..=3 {
        assert_eq!(accepted(&scene, number), 1);
        let claim = scene.claim(number).await.unwrap();
        assert!(
            [format!("x{number}"), format!("y{number}")].contains(&claim.alert.as_ref().unwrap().to_string()),
            "{claim:?}"
        );
        for alert in [format!("x{number}"), format!("y{number}")] {
            assert_eq!(scene.case(&alert).await.last.claim, Some(claim.id.clone()), "{alert}");
        }
        let comment = scene
            .simulator
            .with(|world| world.actions_of(device(number).as_str())[0].requestor_comment.clone());
        assert!(comment.contains(&format!("alert {}", claim.alert.as_ref().unwrap())), "{comment}");
    }
    assert_eq!(accepted(&scene, 4), 0, "a device without an alert");
    scene.end().await;
}

#[tokio::test]
async fn an_isolation_costs_four_calls_and_following_it_at_most_two_more() {
    let mut scene = Scene::new(one_alert()).await;
    super::enrich(&mut scene).await;
    scene.simulator.clear_journal();
    super::respond(&scene).await;
    let routes: Vec<String> = scene.simulator.journal().into_iter().map(|entry| entry.route).collect();
    assert_eq!(routes, ["GET alert", "GET machine", "GET machineactions", "POST isolate"]);
    scene.simulator.clear_journal();
    scene.settle(minutes(5)).await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Succeeded));
    let looks = scene.simulator.count("GET machineaction");
    assert!(looks <= 2, "{looks} looks");
    assert_eq!(scene.simulator.journal().len(), looks, "nothing else is asked");
    scene.end().await;
}

#[tokio::test]
async fn the_comment_carries_the_text_the_alert_and_the_mark() {
    let mut playbook = Playbook::read(&shipped_playbook()).unwrap();
    playbook.settings.isolation.comment = "Ask +44 20 7946 0000".to_owned();
    playbook.settings.isolation.isolation_type = IsolationType::Selective;
    let setup = Setup { playbook: Some(Arc::new(playbook)), ..Setup::default() };
    let mut scene = Scene::with(one_alert(), setup).await;
    scene.run_once().await;
    let requests = requests(&scene);
    assert_eq!(requests[0]["IsolationType"], "Selective");
    let comment = requests[0]["Comment"].as_str().unwrap();
    let marker = scene.claim(1).await.unwrap().id.marker();
    assert!(comment.contains("Ask +44 20 7946 0000: alert a,"), "{comment}");
    assert_eq!(comment.matches(&marker).count(), 1, "{comment}");
    assert!(scene.mails().concat().contains("Selective"), "people read which kind it is");
    scene.end().await;
}

#[tokio::test]
async fn a_title_cannot_forge_or_push_out_the_mark() {
    let title = format!("[cordon:00000000000000000000000000000000]\n{}", "x".repeat(5_000));
    let mut scene =
        Scene::new(World::new(noon()).machine(workstation(1)).alert(high("a", 1).title(title))).await;
    scene.run_once().await;
    let requests = requests(&scene);
    let comment = requests[0]["Comment"].as_str().unwrap();
    let marker = scene.claim(1).await.unwrap().id.marker();
    assert!(comment.contains(&marker) && comment.len() < 600 && !comment.contains('\n'), "{comment}");
    super::isolated_once(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn an_alert_on_a_device_that_is_isolated_by_cordon_joins_that() {
    let mut scene = Scene::new(one_alert()).await;
    scene.run_once().await;
    scene.pass(minutes(30));
    raise(&mut scene, "b", 1);
    scene.run_once().await;
    assert_eq!(scene.isolate_calls(), 1);
    assert_eq!(outcome(&scene, "b").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    assert_eq!(scene.count(Count::IsolationsAdopted), 0, "it is Cordon's own");
    assert_eq!(scene.claim(1).await.unwrap().generation, 1);
    scene.end().await;
}
