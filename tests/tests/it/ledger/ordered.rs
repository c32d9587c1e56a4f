//! Isolating by hand: the same claims, brakes and doubts, and no policy.

use super::{answer, carry_out, hours, isolate, one_alert, outcome, stories, told, wait};
use crate::isolation::{
    PERSON, accepted, come_online, enrich, go_offline, person_isolates, put, take,
    watched::{Fate, Watched, responding},
};
use model::{Answer, Cause, EffectRequested, EffectState, IsolationType, Wanted};
use ports::QueueName;
use scenarios::{OPERATOR, Scene, Setup, device, high, minutes, noon, seconds, workstation};
use simulator::World;

fn one_device() -> World {
    World::new(noon()).machine(workstation(1))
}

#[tokio::test]
async fn a_device_is_isolated_by_order_followed_and_told() {
    let mut scene = Scene::new(one_device()).await;
    let order = carry_out(&mut scene, isolate(), 1).await;
    assert!(scene.is_isolated(1));
    let claim = scene.claim(1).await.unwrap();
    assert_eq!((claim.state, claim.alert.clone(), claim.generation), (EffectState::Succeeded, None, 1));
    assert_eq!(claim.order.clone().unwrap().by, OPERATOR);
    assert_eq!(answer(&scene, &order).await.0, Some(EffectState::Requested));
    assert_eq!((told(&scene, "isolation requested"), told(&scene, "isolation succeeded")), (1, 1));
    let brakes = scene.brakes().await;
    assert_eq!((brakes.standing, brakes.spent.len(), scene.isolate_calls()), (1, 1, 1));
    let comment = scene.simulator.with(|world| world.actions[0].requestor_comment.clone());
    assert!(comment.starts_with(&claim.id.marker()) && comment.contains(OPERATOR), "{comment}");
    scene.end().await;
}

#[tokio::test]
async fn an_order_says_which_kind_of_isolation() {
    let mut scene = Scene::new(one_device()).await;
    let wanted = Wanted::Isolate { isolation_type: Some(IsolationType::Selective), even_so: false };
    carry_out(&mut scene, wanted, 1).await;
    assert_eq!(crate::isolation::requests(&scene)[0]["IsolationType"], "Selective");
    scene.end().await;
}

#[tokio::test]
async fn a_server_is_isolated_by_hand_only_if_the_order_says_even_so() {
    let server = simulator::Machine::new(device(1).as_str(), "dc01.contoso.com", "WindowsServer2022", noon());
    let mut scene = Scene::new(World::new(noon()).machine(server)).await;
    let order = carry_out(&mut scene, isolate(), 1).await;
    let (state, said) = answer(&scene, &order).await;
    assert_eq!((state, scene.isolate_calls()), (Some(EffectState::Refused), 0));
    assert!(said.contains("--even-so"), "{said}");
    carry_out(&mut scene, Wanted::Isolate { isolation_type: None, even_so: true }, 1).await;
    assert!(scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn a_device_that_nobody_knows_is_answered_and_not_asked_for() {
    let mut scene = Scene::new(World::new(noon())).await;
    let order = carry_out(&mut scene, isolate(), 1).await;
    assert_eq!(answer(&scene, &order).await.0, Some(EffectState::Refused));
    assert_eq!(scene.isolate_calls(), 0);
    scene.end().await;
}

#[tokio::test]
async fn an_order_joins_what_a_person_has_isolated() {
    let mut scene = Scene::new(one_device()).await;
    person_isolates(&scene, 1);
    scene.pass(minutes(1));
    let order = carry_out(&mut scene, isolate(), 1).await;
    let (state, said) = answer(&scene, &order).await;
    assert_eq!((state, scene.isolate_calls()), (Some(EffectState::Adopted), 0));
    assert!(said.contains(PERSON), "{said}");
    scene.end().await;
}

#[tokio::test]
async fn a_person_agrees_with_a_proposal_and_the_case_says_so() {
    let mut scene = Scene::new(one_device().alert(high("a", 1).severity("Medium"))).await;
    scene.run_once().await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Proposed));
    let alert = Some("a".parse().unwrap());
    let order = EffectRequested { alert, ..scene.ordered(isolate(), 1) };
    let order = scene.order(order).await;
    scene.settle(minutes(5)).await;
    assert!(scene.is_isolated(1));
    assert_eq!(answer(&scene, &order).await.0, Some(EffectState::Requested));
    assert_eq!(outcome(&scene, "a").await, (Answer::Isolate, Some(EffectState::Succeeded)));
    let decision = scene.case("a").await.last.decision;
    assert!(decision.permitted_by[0].reason.contains(OPERATOR), "{decision:?}");
    scene.end().await;
}

#[tokio::test]
async fn an_order_for_an_alert_that_is_not_known_is_answered() {
    let mut scene = Scene::new(one_device()).await;
    let order = EffectRequested { alert: Some("nobody".parse().unwrap()), ..scene.ordered(isolate(), 1) };
    let order = scene.order(order).await;
    scene.settle(minutes(5)).await;
    assert!(answer(&scene, &order).await.1.contains("knows of no alert nobody"));
    assert_eq!(scene.isolate_calls(), 0);
    scene.end().await;
}

#[tokio::test]
async fn what_timed_out_after_three_days_is_asked_for_once_more_when_a_person_says_so() {
    let mut scene = Scene::new(one_alert()).await;
    go_offline(&scene, 1);
    scene.run_once().await;
    scene.settle(hours(76)).await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::TimedOut));
    assert_eq!(scene.brakes().await.standing, 0);
    let order = EffectRequested {
        cause: Cause::Reissue,
        alert: Some("a".parse().unwrap()),
        ..scene.ordered(isolate(), 1)
    };
    scene.order(order).await;
    scene.settle(minutes(5)).await;
    assert_eq!(outcome(&scene, "a").await.1, Some(EffectState::Pending));
    come_online(&scene, 1);
    scene.settle(hours(3)).await;
    let claim = scene.claim(1).await.unwrap();
    assert_eq!((claim.state, claim.generation, accepted(&scene, 1)), (EffectState::Succeeded, 2, 2));
    assert_eq!((told(&scene, "isolation timed out"), told(&scene, "isolation succeeded")), (1, 1));
    scene.end().await;
}

#[tokio::test]
async fn what_was_cancelled_in_the_portal_is_asked_for_once_more_when_a_person_says_so() {
    let mut scene = Scene::new(one_alert()).await;
    go_offline(&scene, 1);
    scene.run_once().await;
    let action = scene.claim(1).await.unwrap().action.unwrap();
    scene.simulator.with(|world| world.cancel(action.as_str(), PERSON));
    scene.settle(hours(1)).await;
    come_online(&scene, 1);
    carry_out(&mut scene, isolate(), 1).await;
    assert_eq!((accepted(&scene, 1), scene.brakes().await.standing), (2, 1));
    assert!(scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn orders_by_hand_count_against_the_limits_and_are_answered_when_one_is_reached() {
    let setup = Setup::playing(|settings| settings.limits.per_hour = 2);
    let mut world = stories(1);
    for number in 2..=3 {
        world = world.machine(workstation(number));
    }
    let mut scene = Scene::with(world, setup).await;
    scene.run_once().await;
    carry_out(&mut scene, isolate(), 2).await;
    let refused = carry_out(&mut scene, isolate(), 3).await;
    let (state, said) = answer(&scene, &refused).await;
    assert_eq!((state, scene.isolate_calls()), (Some(EffectState::Refused), 2));
    assert!(said.contains("cordon limits raise"), "{said}");
    scene.end().await;
}

#[tokio::test]
async fn two_orders_for_one_device_are_one_isolation() {
    let mut scene = Scene::new(one_device()).await;
    let order = scene.ordered(isolate(), 1);
    let one = scene.order(order.clone()).await;
    let two = scene.order(EffectRequested { by: "another".to_owned(), ..order.clone() }).await;
    scene.order(order).await;
    scene.settle(minutes(20)).await;
    assert_eq!((scene.isolate_calls(), accepted(&scene, 1)), (1, 1));
    assert!(scene.answered(&one).await.is_some() && scene.answered(&two).await.is_some());
    assert_eq!(told(&scene, "isolation succeeded"), 1, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn while_observing_nobody_isolates_by_hand() {
    let mut scene = Scene::with(one_device(), Setup::observing()).await;
    let order = carry_out(&mut scene, isolate(), 1).await;
    assert_eq!(answer(&scene, &order).await.0, Some(EffectState::Refused));
    assert_eq!(scene.isolate_calls(), 0);
    scene.end().await;
}

#[tokio::test]
async fn what_a_person_has_ordered_is_isolated_although_it_was_released_today() {
    let mut scene = Scene::new(one_alert()).await;
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    carry_out(&mut scene, Wanted::Release, 1).await;
    wait(&mut scene, seconds(30)).await;
    carry_out(&mut scene, isolate(), 1).await;
    assert_eq!((accepted(&scene, 1), scene.brakes().await.standing), (2, 1));
    assert_eq!(scene.claim(1).await.unwrap().generation, 3);
    scene.end().await;
}

#[tokio::test]
async fn an_order_and_an_alert_that_meet_on_one_device_are_one_isolation() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    let alert = take(&scene, QueueName::AlertsEnriched).await;
    let order = scene.ordered(isolate(), 1);
    let id = scene.order(order).await;
    let order = take(&scene, QueueName::EffectsRequested).await;
    let worker = || responding(&scene, Watched::new(&scene, |_| Fate::Happens));
    let (one, two, now) = (worker(), worker(), scene.now);
    let answers = tokio::join!(
        one.take(QueueName::AlertsEnriched, &alert[0], now),
        two.take(QueueName::EffectsRequested, &order[0], now)
    );
    assert_eq!(scene.isolate_calls(), 1, "{answers:?}");
    put(&scene, QueueName::AlertsEnriched, &alert).await;
    put(&scene, QueueName::EffectsRequested, &order).await;
    scene.pass(seconds(10));
    scene.settle(minutes(20)).await;
    assert_eq!((scene.isolate_calls(), accepted(&scene, 1), scene.brakes().await.standing), (1, 1, 1));
    assert!(scene.answered(&id).await.is_some());
    let (decided, state) = outcome(&scene, "a").await;
    assert!(matches!(state, Some(EffectState::Requested | EffectState::Succeeded)), "{decided:?}, {state:?}");
    scene.end().await;
}

#[tokio::test]
async fn an_order_costs_three_calls_and_a_release_two_and_following_each_at_most_three_more() {
    let mut scene = Scene::new(one_device()).await;
    let routes = |scene: &Scene| -> Vec<String> {
        let routes = scene.simulator.journal().into_iter().map(|entry| entry.route).collect();
        scene.simulator.clear_journal();
        routes
    };
    let orders = [
        (isolate(), &["GET machine", "GET machineactions", "POST isolate"][..]),
        (Wanted::Release, &["GET machineactions", "POST unisolate"][..]),
    ];
    for (wanted, expected) in orders {
        let order = scene.ordered(wanted, 1);
        scene.order(order).await;
        scene.simulator.clear_journal();
        scene.host.consume(QueueName::EffectsRequested, scene.now).await.unwrap();
        let asked: Vec<String> = routes(&scene).into_iter().filter(|route| route != "POST token").collect();
        assert_eq!(asked, expected);
        scene.settle(minutes(4)).await;
        let looks = routes(&scene);
        assert!(
            looks.len() <= 3 && looks.iter().all(|look| look.starts_with("GET machineaction")),
            "{looks:?}"
        );
    }
    scene.end().await;
}
