//! Which alerts a poll finds: late ones, equal stamps, the first run's reach, whatever order the service has.

use crate::polling::{cursor, decided, found, low};
use jiff::SignedDuration;
use model::EffectState;
use scenarios::{Scene, Setup, device, high, minutes, noon, seconds, workstation};
use simulator::{Fault, FaultKind, ListOrder, NextLinks, World, generate};

/// How many alerts the service gives at once.
const PAGE: u32 = defender::PAGE as u32;

#[tokio::test]
async fn an_alert_that_becomes_visible_late_is_acted_upon_once() {
    let late = high("late", 1).updated(noon() - minutes(2)).visible_at(noon() + minutes(5));
    let world =
        World::new(noon()).machine(workstation(1)).machine(workstation(2)).alert(late).alert(high("a", 2));
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    assert!(!scene.is_isolated(1));
    let stamp = cursor(&scene).await.stamp;
    assert_eq!(stamp, noon() - minutes(2), "the cursor stands at the late alert's own stamp");
    for _ in 0..3 {
        scene.pass(minutes(3));
        scene.run_once().await;
    }
    assert!(scene.is_isolated(1));
    assert_eq!((scene.isolate_calls(), found(&scene)), (2, 2));
    scene.end().await;
}

#[tokio::test]
async fn an_alert_that_becomes_visible_behind_the_cursor_is_found_within_the_overlap() {
    let late = high("late", 1).updated(noon() - minutes(8)).visible_at(noon() + minutes(1));
    let world =
        World::new(noon()).machine(workstation(1)).alert(late).alert(low("early", noon() - seconds(1)));
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    assert!(cursor(&scene).await.stamp > noon() - minutes(8));
    scene.pass(minutes(1));
    scene.run_once().await;
    assert!(scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn alerts_with_the_same_stamp_are_all_found_once() {
    let mut world = World::new(noon());
    for number in 1..=5 {
        world = world.machine(workstation(number)).alert(high(&format!("a{number}"), number));
    }
    let mut scene = Scene::with(world, Setup::without_limits()).await;
    scene.run_once().await;
    // One more of that stamp turns up when the cursor stands there already.
    scene.simulator.with(|world| {
        world.machines.push(workstation(6));
        world.alerts.push(high("a6", 6));
    });
    scene.pass(seconds(60));
    scene.run_once().await;
    assert_eq!((found(&scene), scene.isolate_calls()), (6, 6));
    scene.end().await;
}

#[tokio::test]
async fn equal_stamps_across_the_end_of_a_full_page_are_all_found_once() {
    let mut world = World::new(noon()).machine(workstation(1));
    let stamp = |number: u32| noon() - minutes(10) + SignedDuration::from_millis(number.into());
    for number in 0..PAGE + 100 {
        // Forty alerts share a stamp, half of them on the first page.
        let shared = (PAGE - 20..PAGE + 20).contains(&number);
        world = world.alert(low(&format!("a{number}"), stamp(if shared { PAGE } else { number })));
    }
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    assert_eq!((found(&scene), decided(&scene)), (u64::from(PAGE) + 100, u64::from(PAGE) + 100));
    assert_eq!(scene.simulator.count("GET alerts"), 2);
    scene.end().await;
}

#[tokio::test]
async fn a_page_that_ends_between_two_stamps_one_tick_apart_loses_neither() {
    // The last of the first page and the first of the second are one tick apart, for whichever number is last.
    for first_tick in 0..3 {
        let mut world = World::new(noon()).machine(workstation(1));
        let start = noon() - minutes(10) + SignedDuration::from_nanos(100 * first_tick);
        for number in 0..PAGE + 3 {
            let stamp = start + SignedDuration::from_nanos(100) * number.cast_signed();
            world = world.alert(low(&format!("a{number}"), stamp));
        }
        let mut scene = Scene::new(world).await;
        scene.run_once().await;
        let all = u64::from(PAGE) + 3;
        assert_eq!((found(&scene), decided(&scene)), (all, all));
        let last = start + SignedDuration::from_nanos(100) * (PAGE + 2).cast_signed();
        assert_eq!(cursor(&scene).await.stamp, last, "to the tick");
        // One that is a single tick later is news, and one at the same tick as well.
        scene.simulator.with(|world| {
            world.alerts.push(low("same", last));
            world.alerts.push(low("next", last + SignedDuration::from_nanos(100)));
        });
        scene.pass(seconds(60));
        scene.run_once().await;
        assert_eq!((found(&scene), decided(&scene)), (all + 2, all + 2));
        scene.end().await;
    }
}

#[tokio::test]
async fn more_alerts_than_a_page_in_one_tick_are_all_found_once() {
    let tick = noon() - minutes(5);
    let world = World::new(noon()).machine(workstation(1)).alert(low("before", tick - minutes(1)));
    let mut world = world.alert(low("after", tick + minutes(1)));
    for number in 0..PAGE + 50 {
        world = world.alert(low(&format!("a{number}"), tick));
    }
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    assert_eq!((found(&scene), decided(&scene)), (u64::from(PAGE) + 52, u64::from(PAGE) + 52));
    assert_eq!(cursor(&scene).await.stamp, tick + minutes(1));
    scene.pass(seconds(60));
    scene.run_once().await;
    assert_eq!(found(&scene), u64::from(PAGE) + 52);
    scene.end().await;
}

#[tokio::test]
async fn the_first_run_reaches_back_as_far_as_its_lookback_and_no_poll_ever_further() {
    let old = high("old", 1).updated(noon() - minutes(16));
    let inside = high("inside", 2).updated(noon() - minutes(14));
    let world = World::new(noon()).machine(workstation(1)).machine(workstation(2)).alert(old).alert(inside);
    let mut scene = Scene::with(world, Setup::looking_back(minutes(15))).await;
    for _ in 0..3 {
        scene.run_once().await;
        scene.pass(seconds(60));
    }
    assert_eq!((scene.is_isolated(1), scene.is_isolated(2)), (false, true));
    assert_eq!(found(&scene), 1);
    scene.end().await;
}

#[tokio::test]
async fn an_old_alert_beyond_the_lookback_is_found_once_it_changes() {
    let world =
        World::new(noon()).machine(workstation(1)).alert(high("old", 1).updated(noon() - minutes(16)));
    let mut scene = Scene::with(world, Setup::looking_back(minutes(15))).await;
    scene.run_once().await;
    assert_eq!(found(&scene), 0);
    scene
        .simulator
        .with(|world| world.change_alert("old", |alert| alert.title = "Worse than thought".to_owned()));
    scene.pass(seconds(60));
    scene.run_once().await;
    assert!(scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn after_a_long_outage_everything_since_the_cursor_is_found_whatever_the_lookback() {
    let world = World::new(noon())
        .machine(workstation(1))
        .machine(workstation(2))
        .alert(low("a", noon() - minutes(1)));
    let mut scene = Scene::with(world, Setup::looking_back(minutes(5))).await;
    scene.run_once().await;
    let during = noon() + minutes(10);
    scene.simulator.with(|world| world.alerts.push(simulator::Alert::new("b", device(2).as_str(), during)));
    scene.pass(minutes(180));
    scene.restart();
    scene.run_once().await;
    assert_eq!(found(&scene), 1);
    assert_eq!(scene.case("b").await.last.state, Some(EffectState::Succeeded));
    scene.end().await;
}

#[tokio::test]
async fn what_came_up_while_the_first_poll_could_not_be_made_is_found_by_the_next() {
    let broken = Fault::once("GET alerts", FaultKind::ServerError(503)).always();
    let world = World::new(noon()).machine(workstation(1)).alert(high("a", 1)).fault(broken);
    let mut scene = Scene::with(world, Setup::looking_back(minutes(5))).await;
    scene.host.poll(scene.now).await.unwrap_err();
    scene.simulator.with(|world| world.faults.clear());
    scene.pass(minutes(30));
    scene.restart();
    scene.run_once().await;
    assert!(
        scene.is_isolated(1),
        "the lookback counts from the first poll, not from the first that went well"
    );
    scene.end().await;
}

async fn finds_all_of_5_000(name: &str, arrange: impl FnOnce(&mut World)) {
    let options = generate::GenerateOptions {
        alerts: 5_000,
        devices: 20,
        spread: minutes(60),
        ..generate::GenerateOptions::new(noon())
    };
    let mut world = World::new(noon()).generated(generate::tenant(3, &options));
    arrange(&mut world);
    let lookback = Setup { lookback: minutes(120), ..Setup::observing() };
    let mut scene = Scene::with(world, lookback).await;
    let polled = scene.poll().await;
    assert_eq!((polled.announced, found(&scene)), (5_000, 5_000), "{name}");
    assert!(scene.simulator.count("GET alerts") < 20, "{name}: {}", scene.simulator.count("GET alerts"));
    let again = scene.poll().await;
    assert_eq!(again.announced, 0, "{name}");
    let waiting = scene.store.depth(ports::QueueName::AlertsFound, scene.now).unwrap().visible;
    assert_eq!(waiting, 5_000, "{name}");
}

#[tokio::test]
async fn a_service_that_ignores_the_order_asked_for_loses_nothing() {
    let ignoring = |order: ListOrder| {
        move |world: &mut World| {
            world.honours_orderby = false;
            world.list_order = order;
        }
    };
    finds_all_of_5_000("newest first", ignoring(ListOrder::NewestFirst)).await;
    finds_all_of_5_000("oldest first", ignoring(ListOrder::OldestFirst)).await;
    finds_all_of_5_000("shuffled", ignoring(ListOrder::Shuffled(7))).await;
}

#[tokio::test]
async fn a_service_that_refuses_the_order_asked_for_loses_nothing() {
    finds_all_of_5_000("refusing", |world| {
        world.refuses_orderby = true;
        world.list_order = ListOrder::Shuffled(7);
    })
    .await;
}

#[tokio::test]
async fn a_service_that_gives_next_links_where_none_are_expected_loses_nothing() {
    finds_all_of_5_000("links beside $top", |world| world.next_links = NextLinks::Always).await;
    finds_all_of_5_000("broken links", |world| world.next_links = NextLinks::Broken).await;
}
