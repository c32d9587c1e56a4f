//! A hunt whose query is refused, or whose rows lack what it needs: it stops alone, and people hear of it once.

use crate::stage::{ALERT, DEFENDER_ALERT, Stage, TABLE, event, events, file, hours, minutes, noon, read};
use jiff::SignedDuration;
use model::Topic;
use simulator::{Schema, Table, World};
use std::collections::BTreeSet;

const SEMANTIC: &str = "'where' operator: Failed to resolve column or scalar expression named 'Nonsense'";

fn broken() -> Topic {
    Topic::HuntBroken { hunt: "tools".into() }
}

fn tools(keys: &str, outcome: &str) -> Vec<(&'static str, String)> {
    vec![("tools", file("tools", keys, outcome))]
}

/// The query is good again.
fn mend(world: &mut World) {
    world.tables[0].error = None;
}

#[tokio::test]
async fn a_query_that_is_refused_stops_that_hunt_alone_and_is_told_once() {
    let world = |world: World| {
        world
            .table(events("tools").error(400, SEMANTIC))
            .table(events("other").row(noon() - minutes(1), event(7)))
    };
    let hunts = [("tools", file("tools", "", ALERT)), ("other", file("other", "", ALERT))];
    let mut stage = Stage::new(world, &hunts).await;
    stage.run().await;
    assert_eq!(stage.devices().await, [7]);
    let notices = stage.notices().await;
    assert_eq!((notices.len(), &notices[0].body.topic), (1, &broken()));
    assert!(notices[0].body.facts[0].contains("Nonsense"), "{notices:?}");
    let row = stage.row("tools").await;
    assert!(row.is_broken());
    assert_eq!(row.next, noon() + hours(24));

    // A try a day, in silence.
    let other = stage.hunts.remove(0);
    assert_eq!(other.name, "other");
    for _ in 0..3 {
        stage.pass(hours(24));
        stage.run().await;
        assert!(stage.row("tools").await.is_broken());
    }
    assert!(stage.topics().await.is_empty());

    stage.simulator.with(mend);
    stage.pass(hours(24));
    stage.run().await;
    let row = stage.row("tools").await;
    assert_eq!((row.trouble, row.cursor), (None, Some(stage.now)));
    stage.end();
}

#[tokio::test]
async fn a_broken_hunt_whose_file_has_changed_is_tried_at_once_and_told_of_anew() {
    let table = events("tools").row(noon() + minutes(1), event(7)).error(400, SEMANTIC);
    let mut stage = Stage::new(|world| world.table(table), &tools("", ALERT)).await;
    stage.run().await;
    stage.hunts = read(&tools("overlap = \"40m\"", ALERT));
    stage.pass(minutes(1));
    stage.run().await;
    assert_eq!(stage.topics().await, [broken(), broken()], "another version, another word");
    stage.hunts = read(&tools("overlap = \"50m\"", ALERT));
    stage.simulator.with(mend);
    stage.pass(minutes(1));
    stage.run().await;
    assert_eq!(stage.devices().await, [7]);
    assert_eq!(stage.row("tools").await.trouble, None);
    stage.end();
}

#[tokio::test]
async fn an_answer_without_a_column_that_is_needed_is_told_and_nothing_of_it_is_made_known() {
    let mut table = events("tools").row(noon() - minutes(1), event(7));
    table.columns.retain(|(name, _)| name != "DeviceId" && name != "Level");
    let stage = Stage::new(|world| world.table(table), &tools("", ALERT)).await;
    assert_eq!(stage.run().await.announced, 0);
    let notices = stage.notices().await;
    assert_eq!(notices[0].body.topic, broken());
    let said = &notices[0].body.facts[0];
    assert!(said.contains("`DeviceId`") && said.contains("`Level`") && said.contains("ReportId"), "{said}");
    assert_eq!(stage.row("tools").await.cursor, None);
    stage.end();
}

#[tokio::test]
async fn a_schema_that_changes_in_what_the_hunt_does_not_need_changes_nothing() {
    let table = events("tools").row(noon() - minutes(20), event(7));
    let mut stage = Stage::new(|world| world.table(table), &tools("", ALERT)).await;
    stage.run().await;
    stage.simulator.with(|world| {
        let table = &mut world.tables[0];
        table.columns.retain(|(name, _)| name != "AccountName");
        table.columns.reverse();
        table.columns.push(("Brandnew".into(), "Dynamic".into()));
        table
            .columns
            .iter_mut()
            .filter(|(name, _)| name == "ReportId")
            .for_each(|(_, kind)| *kind = "Long".into());
        let late = table.clone().row(noon() + minutes(1), event(8));
        *table = late;
    });
    stage.run_next("tools").await;
    assert_eq!(stage.devices().await, [7, 8], "the first one was not announced again");
    assert!(stage.topics().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn where_the_schema_stands_in_the_answer_does_not_matter() {
    for schema in [Schema::BeforeRows, Schema::AfterRows, Schema::Absent] {
        let table = events("tools").row(noon() - minutes(20), event(7)).schema(schema);
        let stage = Stage::new(|world| world.table(table), &tools("", ALERT)).await;
        stage.run().await;
        assert_eq!(stage.devices().await, [7], "{schema:?}");
        stage.end();
    }
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_told_once_a_day_and_the_others_are_announced() {
    let table =
        events("tools").raw_row(noon() - minutes(20), "\"not a row\"").row(noon() - minutes(20), event(7));
    let mut stage = Stage::new(|world| world.table(table), &tools("", ALERT)).await;
    stage.run().await;
    assert_eq!(stage.devices().await, [7]);
    stage.run_next("tools").await;
    let notices = stage.notices().await;
    assert!(notices.iter().all(|notice| notice.id == notices[0].id), "the same notice");
    let said = &notices[0].body.facts[0];
    assert!(said.contains("1 row(s)") && said.contains("cannot be read"), "{said}");
    stage.end();
}

/// 6,000 rows in the hour before this time.
fn many(table: Table, at: jiff::Timestamp) -> Table {
    table.many_rows(6_000, at - hours(1), SignedDuration::from_millis(600), "ReportId", event(7))
}

#[tokio::test]
async fn a_hunt_that_is_not_divisible_is_never_cut() {
    let keys = "divisible = false";
    let stage = Stage::new(|world| world.table(many(events("tools"), noon())), &tools(keys, TABLE)).await;
    assert_eq!(stage.run().await.announced, 0);
    assert_eq!(stage.calls(), 1);
    let notices = stage.notices().await;
    assert_eq!((notices.len(), &notices[0].body.topic), (1, &broken()));
    assert!(notices[0].body.facts[0].contains("divisible"), "{notices:?}");
    stage.end();
}

#[tokio::test]
async fn a_hunt_that_is_not_divisible_begins_anew_after_a_window_that_was_too_much() {
    let keys = "divisible = false";
    let table = many(events("tools"), noon() + hours(3)).row(noon() + hours(34), event(8));
    let mut stage = Stage::new(|world| world.table(table), &tools(keys, TABLE)).await;
    stage.run().await;
    stage.pass(hours(10));
    stage.run().await;
    assert_eq!(stage.topics().await, [broken()]);
    stage.pass(hours(24));
    stage.run().await;
    let row = stage.row("tools").await;
    assert_eq!((row.trouble, row.cursor), (None, Some(stage.now)));
    assert_eq!(stage.topics().await, [Topic::HuntOverdue { hunt: "tools".into() }], "what was never read");
    stage.end();
}

/// Whoever floods one second must not keep the hunt from everything that comes after it.
#[tokio::test]
async fn a_second_that_is_too_much_is_passed_over_and_told_once() {
    let table = events("tools")
        .many_rows(6_000, noon() - minutes(2), SignedDuration::ZERO, "ReportId", event(7))
        .row(noon() - minutes(1), event(8));
    let mut stage = Stage::new(|world| world.table(table), &tools("", DEFENDER_ALERT)).await;
    stage.run_for(10).await;
    let row = stage.row("tools").await;
    assert!(row.trouble.is_none(), "{row:#?}");
    let notices = stage.notices().await;
    let once: BTreeSet<_> = notices.iter().map(|notice| notice.id.as_str()).collect();
    assert_eq!(once.len(), 1, "what was never read: {notices:#?}");
    assert!(notices[0].body.facts[0].contains("never read"), "{notices:#?}");
    assert!(stage.calls() < 60, "{} calls", stage.calls());
    assert_eq!(stage.orders().await.len(), 1, "what comes after it is found");
    stage.end();
}
