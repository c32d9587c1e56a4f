//! Which windows are asked for, and what is done where one is too much for one answer.

use crate::stage::{ALERT, CALL, Stage, TABLE, event, events, file, hours, minutes, noon};
use jiff::SignedDuration;
use model::Topic;
use simulator::{Fault, FaultKind, Table};

fn tools(keys: &str, outcome: &str) -> Vec<(&'static str, String)> {
    vec![("tools", file("tools", keys, outcome))]
}

/// 12,000 rows, one every 0.3 seconds of the hour before noon.
fn many() -> Table {
    events("tools").many_rows(
        12_000,
        noon() - hours(1),
        SignedDuration::from_millis(300),
        "ReportId",
        event(7),
    )
}

#[tokio::test]
async fn a_hunt_is_asked_only_when_it_is_due() {
    let mut stage = Stage::new(|world| world.table(events("tools")), &tools("", ALERT)).await;
    let ran = stage.run().await;
    let next = stage.row("tools").await.next;
    assert_eq!(ran.next_due, Some(next.max(noon() + minutes(1))));
    while stage.now + minutes(1) < next {
        stage.pass(minutes(1));
        assert_eq!(stage.run().await.ran, 0);
    }
    stage.pass(minutes(1));
    assert_eq!((stage.run().await.ran, stage.calls()), (1, 2));
    stage.end();
}

#[tokio::test]
async fn a_disabled_hunt_is_left_alone() {
    let stage = Stage::new(|world| world.table(events("tools")), &tools("enabled = false", ALERT)).await;
    assert_eq!(stage.run().await, hunt::HuntsRun::default());
    assert_eq!(stage.calls(), 0);
}

#[tokio::test]
async fn the_first_run_reaches_back_as_far_as_the_file_says_and_no_later_run_further() {
    let table = events("tools")
        .row(noon() - minutes(21), event(1))
        .row(noon() - minutes(20), event(2))
        .row(noon(), event(3));
    let hunts = tools("look_back = \"20m\"\noverlap = \"6h\"", ALERT);
    let mut stage = Stage::new(|world| world.table(table), &hunts).await;
    stage.run().await;
    assert_eq!(stage.devices().await, [2], "what is now is not in it");
    stage.run_next("tools").await;
    stage.run_next("tools").await;
    assert_eq!(stage.devices().await, [3]);
    stage.end();
}

#[tokio::test]
async fn where_the_first_run_begins_outlives_its_failure() {
    let table = events("tools").row(noon() - minutes(60), event(1));
    let world = |world: simulator::World| {
        world.table(table).fault(Fault::once(CALL, FaultKind::ServerError(503)).times(10))
    };
    let mut stage = Stage::new(world, &tools("", ALERT)).await;
    for _ in 0..10 {
        let ran = stage.run().await;
        assert_eq!((ran.ran, ran.announced), (1, 0));
        let row = stage.row("tools").await;
        let trouble = row.trouble.unwrap();
        assert!(!trouble.broken && trouble.since == noon(), "{trouble:?}");
        assert!(row.next > stage.now && row.next <= stage.now + minutes(5), "tried again soon");
        stage.pass(row.next.duration_since(stage.now));
    }
    stage.run().await;
    assert_eq!(stage.devices().await, [1]);
    assert_eq!(stage.row("tools").await.trouble, None);
    stage.end();
}

#[tokio::test]
async fn after_an_outage_the_whole_gap_is_read() {
    let gap = noon() + hours(24 * 3);
    let table = events("tools").row(gap, event(7));
    let mut stage = Stage::new(|world| world.table(table), &tools("", ALERT)).await;
    stage.run().await;
    stage.pass(hours(24 * 10));
    stage.run().await;
    assert_eq!(stage.devices().await, [7]);
    assert_eq!(stage.row("tools").await.cursor, Some(stage.now));
    assert!(stage.topics().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn a_gap_that_the_service_does_not_keep_is_told() {
    let mut stage = Stage::new(|world| world.table(events("tools")), &tools("", ALERT)).await;
    stage.run().await;
    stage.pass(hours(24 * 40));
    stage.run().await;
    let notices = stage.notices().await;
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(notices[0].body.topic, Topic::HuntOverdue { hunt: "tools".into() });
    let said = &notices[0].body.facts[0];
    assert!(said.contains("2026-11-20T12:00:00Z to 2026-11-30T12:00:00Z"), "{said}");
    stage.run_next("tools").await;
    assert!(stage.notices().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn a_window_that_is_too_much_is_read_in_halves() {
    let stage = Stage::new(|world| world.table(many()), &tools("", TABLE)).await;
    let ran = stage.run().await;
    assert_eq!(ran.announced, 12_000);
    // The whole, its halves, and a quarter of each: 3,000 rows.
    assert_eq!(stage.calls(), 7);
    let row = stage.row("tools").await;
    assert_eq!((row.cursor, row.left), (Some(noon()), None));
    assert_eq!(row.last.unwrap().rows, 12_000);
    let tables = stage.notices().await;
    assert_eq!(tables.len(), 4);
    let rows: usize = tables
        .iter()
        .map(|notice| {
            let table = notice.body.table.as_ref().unwrap();
            assert_eq!(table.rows.len(), 50);
            table.rows.len() + table.more
        })
        .sum();
    assert_eq!(rows, 12_000, "each is in one table");
    stage.end();
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_asked_for_in_halves() {
    let keys = "look_back = \"24h\"\noverlap = \"0m\"\nmost = 500\nidentity = [\"FileName\"]";
    // All of them are the same to the hunt; how many there are is what matters.
    let every = SignedDuration::from_millis(800);
    let table = events("tools").many_rows(100_000, noon() - hours(24), every, "ReportId", event(7));
    let stage = Stage::new(|world| world.table(table), &tools(keys, ALERT)).await;
    stage.run().await;
    assert_eq!(stage.row("tools").await.last.unwrap().rows, 100_000);
    assert!(stage.calls() >= 3, "{} calls", stage.calls());
    assert_eq!(stage.devices().await, [7]);
    stage.end();
}

#[tokio::test]
async fn a_query_that_runs_for_too_long_is_asked_for_in_halves() {
    // An hour takes ten minutes; a quarter of it two and a half.
    let table = events("tools").row(noon() - minutes(50), event(7)).takes_per_hour(minutes(10));
    let stage = Stage::new(|world| ample(world).table(table), &tools("", ALERT)).await;
    stage.run().await;
    assert_eq!(stage.calls(), 7);
    assert_eq!(stage.devices().await, [7]);
    stage.end();
}

/// A row a minute in the hour before noon, of which an eighth can be read at once.
fn slow() -> Table {
    let every = SignedDuration::from_mins(1);
    events("tools").many_rows(60, noon() - hours(1), every, "ReportId", event(7)).takes_per_hour(minutes(20))
}

/// With computing time enough for whatever is asked.
fn ample(mut world: simulator::World) -> simulator::World {
    world.hunting.graph_cycle = hours(1_000);
    world
}

#[tokio::test]
async fn what_one_run_cannot_read_the_next_ones_go_on_with() {
    let table = slow();
    let mut stage = Stage::new(|world| ample(world).table(table), &tools("", TABLE)).await;
    let mut announced = 0;
    let mut calls = 0;
    let mut reached = None;
    for run in 0..30 {
        announced += stage.run().await.announced;
        assert!(stage.calls() - calls <= 12, "run {run}");
        calls = stage.calls();
        let row = stage.row("tools").await;
        if row.last_success.is_some() {
            break;
        }
        assert!(row.cursor > reached, "run {run} came no further: {row:?}");
        reached = row.cursor;
        assert!(row.next <= stage.now, "it is still due");
        stage.pass(minutes(1));
    }
    assert_eq!(announced, 60);
    assert!((13..24).contains(&calls), "{calls} calls");
    assert_eq!(stage.row("tools").await.last_success, Some(noon()));
    stage.end();
}

#[tokio::test]
async fn what_is_late_in_a_part_that_was_read_minutes_ago_is_not_missed() {
    // It becomes visible after the first run has read its part, and before the last has come to the end; not quite an
    // hour late.
    let (at, visible_at) = (SignedDuration::from_secs(30), SignedDuration::from_secs(20));
    let table = slow().late_row(noon() - hours(1) + at, noon() + visible_at, event(999_999));
    let hunts = tools("overlap = \"1h\"", TABLE);
    let mut stage = Stage::new(|world| ample(world).table(table), &hunts).await;
    let mut announced = 0;
    for _ in 0..15 {
        announced += stage.run().await.announced;
        stage.pass(minutes(1));
    }
    assert_eq!(announced, 61);
    stage.end();
}

#[tokio::test]
async fn the_most_overdue_hunt_comes_first_and_twelve_calls_are_all() {
    let names: Vec<String> = (0..20).map(|number| format!("h{number}")).collect();
    let hunts: Vec<(&str, String)> =
        names.iter().map(|name| (name.as_str(), file("tools", "", ALERT))).collect();
    let mut stage = Stage::new(|world| world.table(events("tools")), &hunts).await;
    let ran = stage.run().await;
    assert_eq!((ran.ran, stage.calls()), (12, 12));
    assert_eq!(ran.next_due, Some(noon() + minutes(1)), "the host comes back in its own rhythm");
    stage.pass(SignedDuration::from_secs(1));
    let ran = stage.run().await;
    assert_eq!((ran.ran, stage.calls()), (8, 20), "those that were not reached are due still");
    stage.end();
}

#[tokio::test]
async fn a_cursor_in_the_future_is_not_believed() {
    let table = events("tools").row(noon() + minutes(1), event(7));
    let mut stage = Stage::new(|world| world.table(table), &tools("", ALERT)).await;
    stage.run().await;
    stage
        .change_row("tools", |row| {
            row.cursor = Some(noon() + hours(100));
            row.next = noon() + hours(100);
            row.last_success = Some(noon() + hours(100));
        })
        .await;
    stage.pass(minutes(2));
    stage.run().await;
    assert_eq!(stage.devices().await, [7]);
    assert_eq!(stage.row("tools").await.cursor, Some(stage.now));
    stage.end();
}

#[tokio::test]
async fn a_file_with_another_schedule_is_due_by_that() {
    let table = events("tools");
    let mut stage = Stage::new(|world| world.table(table), &tools("every = \"24h\"", ALERT)).await;
    stage.run().await;
    stage.hunts = crate::stage::read(&tools("every = \"10m\"", ALERT));
    stage.run_for(11).await;
    assert_eq!(stage.calls(), 2);
    stage.end();
}

#[tokio::test]
async fn a_hunt_that_needs_many_calls_leaves_some_to_those_that_are_due_as_well() {
    let table = slow();
    let world = |world| ample(world).table(table).table(events("other").row(noon() - minutes(1), event(8)));
    let hunts = [("busy", file("tools", "", TABLE)), ("other", file("other", "", ALERT))];
    let stage = Stage::new(world, &hunts).await;
    stage.run().await;
    assert_eq!(stage.calls(), 7, "six, and one for the other");
    assert_eq!(stage.devices().await, [8]);
    stage.end();
}

#[tokio::test]
async fn a_hunt_that_was_stopped_stands_behind_those_that_are_due_already() {
    let table = slow();
    let mut stage = Stage::new(|world| ample(world).table(table), &tools("", TABLE)).await;
    stage.run().await;
    stage.change_row("tools", |row| row.next = noon() - hours(1)).await;
    stage.simulator.with(|world| world.tables[0].takes_per_hour = minutes(70));
    stage.pass(minutes(1));
    stage.run().await;
    let row = stage.row("tools").await;
    assert!(row.left.is_some() && row.next >= stage.now, "{row:?}");
    stage.end();
}

#[tokio::test]
async fn what_was_begun_in_parts_is_read_anew_where_it_must_not_be_in_parts_any_more() {
    let table = slow();
    let mut stage = Stage::new(|world| ample(world).table(table), &tools("overlap = \"0s\"", TABLE)).await;
    stage.run().await;
    let left = stage.row("tools").await.left.unwrap();
    stage.simulator.with(|world| world.tables[0].takes_per_hour = SignedDuration::ZERO);
    stage.hunts = crate::stage::read(&tools("overlap = \"0s\"\ndivisible = false", TABLE));
    stage.pass(minutes(20));
    stage.run().await;
    let row = stage.row("tools").await;
    let last = row.last.unwrap();
    assert_eq!((last.from, last.to, last.calls), (left.from, stage.now, 1));
    assert_eq!((row.left, row.cursor), (None, Some(stage.now)));
    stage.end();
}
