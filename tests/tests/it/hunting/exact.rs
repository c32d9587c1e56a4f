//! No row is lost and none is told twice: events that become visible late, rows that come twice, windows that overlap, answers
//! that are cut off, outages, and a step that dies.

use super::{
    REMOTE_TOOLS, ago, cases, event, hunting, hunting_with, one_event, queries, table, tenant, told,
};
use crate::isolation::{
    put, take,
    watched::{self, Access, Fate, Watched},
};
use defender::MOST_ROWS;
use jiff::SignedDuration;
use model::Mode;
use ports::QueueName;
use scenarios::{Scene, hours, minutes, noon, seconds};
use serde_json::json;
use simulator::{Fault, FaultKind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

#[tokio::test]
async fn an_event_that_becomes_visible_late_is_found_once_within_the_overlap() {
    let world = tenant(1, table().late_row(ago(5), noon() + minutes(15), event(1, 1)));
    let mut scene = Scene::with(world, hunting()).await;
    assert_eq!(scene.hunt().await.announced, 0, "it is not visible yet");
    scene.pass(minutes(10));
    assert_eq!(scene.hunt().await.announced, 0);
    scene.pass(minutes(10));
    assert_eq!(
        scene.hunt().await.announced,
        1,
        "a window that begins at the end of the last one would miss it"
    );
    for _ in 0..6 {
        scene.pass(minutes(10));
        assert_eq!(scene.hunt().await.announced, 0);
    }
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), cases(&scene).await.len()), (1, 1));
    scene.end().await;
}

#[tokio::test]
async fn a_row_that_comes_twice_in_one_answer_and_in_every_window_is_one_alert() {
    let world = tenant(1, table().row(ago(5), event(1, 1)).row(ago(5), event(1, 1)).row(ago(5), event(1, 1)));
    let mut scene = Scene::with(world, hunting()).await;
    assert_eq!(scene.hunt().await.announced, 1);
    for _ in 0..3 {
        scene.pass(minutes(10));
        assert_eq!(scene.hunt().await.announced, 0);
    }
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2));
    let last = scene.hunt_row(REMOTE_TOOLS.0).await.last.unwrap();
    assert_eq!((last.rows, last.new), (3, 0), "what an overlap brings again is counted, and is not new");
    scene.end().await;
}

#[tokio::test]
async fn rows_with_one_time_and_different_identities_are_all_found() {
    let world = tenant(3, table().row(ago(5), event(1, 7)).row(ago(5), event(2, 7)).row(ago(5), event(3, 7)));
    let mut scene = Scene::with(world, hunting()).await;
    assert_eq!(scene.hunt().await.announced, 3);
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 3);
    scene.end().await;
}

#[tokio::test]
async fn an_event_between_two_windows_belongs_to_one_of_them() {
    let world = tenant(2, table().row(noon(), event(1, 1)).row(noon() - seconds(1), event(2, 2)));
    let no_overlap = |text: &str| text.replace("overlap = \"30m\"", "overlap = \"1m\"");
    let mut scene = Scene::with(world, hunting_with(no_overlap)).await;
    assert_eq!(scene.hunt().await.announced, 1, "a window's end is not in it");
    scene.pass(minutes(10));
    assert_eq!(scene.hunt().await.announced, 1);
    scene.settle(minutes(5)).await;
    scene.end().await;
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_read_in_halves_and_nothing_of_it_is_lost() {
    // Half an hour of noise, all of it one and the same event; what matters stands behind it.
    let mut noise = event(3, 99);
    noise["Timestamp"] = json!(ago(55).to_string());
    let count = u32::try_from(MOST_ROWS).unwrap();
    let rows = table().many_rows(count, ago(55), SignedDuration::from_millis(20), "number", noise);
    let world = tenant(3, rows.row(ago(2), event(1, 1)).row(ago(1), event(2, 2)));
    let mut scene = Scene::with(world, hunting()).await;
    scene.hunt().await;
    assert!(queries(&scene) > 1, "it was not halved");
    scene.settle(minutes(5)).await;
    assert!((1..=3).all(|number| scene.is_isolated(number)));
    assert_eq!((scene.isolate_calls(), cases(&scene).await.len()), (3, 3));
    scene.end().await;
}

#[tokio::test]
async fn a_query_that_runs_for_too_long_is_asked_for_less_time_at_once() {
    let slow = table()
        .takes_per_hour(SignedDuration::from_secs(300))
        .row(ago(50), event(1, 1))
        .row(ago(2), event(2, 2));
    let mut scene = Scene::with(tenant(2, slow), hunting()).await;
    scene.simulator.with(|world| world.hunting.graph_cycle = hours(24));
    scene.hunt().await;
    assert!(queries(&scene) > 1, "it was not halved");
    scene.settle(minutes(5)).await;
    assert!(scene.is_isolated(1) && scene.is_isolated(2));
    assert!(!scene.hunt_row(REMOTE_TOOLS.0).await.is_broken());
    scene.end().await;
}

#[tokio::test]
async fn after_an_outage_the_whole_gap_is_read() {
    let mut scene = Scene::with(tenant(3, table()), hunting()).await;
    scene.hunt().await;
    scene.simulator.with(|world| {
        world.faults.push(Fault::once("POST runHuntingQuery", FaultKind::ServerError(503)).always());
        world.tables[0] =
            world.tables[0].clone().row(noon() + hours(1), event(1, 1)).row(noon() + hours(3), event(2, 2));
    });
    for _ in 0..30 {
        scene.pass(minutes(10));
        assert_eq!(scene.hunt().await.announced, 0);
    }
    scene.simulator.with(|world| world.faults.clear());
    scene.pass(minutes(10));
    assert_eq!(scene.hunt().await.announced, 2, "the gap is longer than overlap and look-back together");
    scene.settle(minutes(5)).await;
    assert_eq!(told(&scene, "overdue"), 1, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let mut scene = Scene::with(one_event(), hunting()).await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    for _ in 0..3 {
        scene.restart();
        scene.pass(minutes(10));
        assert_eq!(scene.hunt().await.announced, 0);
    }
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2));
    scene.end().await;
}

#[tokio::test]
async fn a_hunt_that_is_not_due_costs_nothing() {
    let mut scene = Scene::with(one_event(), hunting()).await;
    scene.hunt().await;
    let before = queries(&scene);
    for _ in 0..5 {
        scene.pass(minutes(1));
        scene.hunt().await;
    }
    assert!(queries(&scene) <= before + 1, "every ten minutes, at a minute of its own");
    scene.settle(minutes(5)).await;
    scene.end().await;
}

/// The run dies between sending and remembering, and the copy that it has sent is the one that comes later.
#[tokio::test]
async fn a_row_that_a_run_found_while_observing_is_never_acted_upon_though_the_run_has_died() {
    let mut scene = Scene::with(one_event(), hunting()).await;
    let dead = AtomicBool::new(false);
    let mortal = Watched::new(&scene, move |access: &Access<'_>| match access {
        _ if dead.load(SeqCst) => Fate::Fails,
        Access::Write(text) if text.contains("alert-found") => {
            dead.store(true, SeqCst);
            Fate::Happens
        }
        _ => Fate::Happens,
    });
    let first = watched::hunting(&scene, mortal, hunting().hunts, Mode::Observe);
    first.run(scene.now).await.unwrap_err();
    let sent = take(&scene, QueueName::AlertsFound).await;
    assert_eq!(sent.len(), 1);
    scene.pass(minutes(6));
    assert_eq!(scene.hunt().await.announced, 1, "it was never confirmed");
    put(&scene, QueueName::AlertsFound, &sent).await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 0);
    assert_eq!(cases(&scene).await.len(), 1);
    scene.end().await;
}
