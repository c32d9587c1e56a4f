//! What a row leads to, beside an alert of Cordon's own: a table for people, an order for an alert of Defender's.

use crate::stage::{DEFENDER_ALERT, Stage, TABLE, device, event, events, file, minutes, noon};
use model::{Cause, EffectRequested, Mode, Severity, Topic, Wanted};
use ports::{QueueBackend, QueueName};

fn tools(keys: &str, outcome: &str) -> Vec<(&'static str, String)> {
    vec![("tools", file("tools", keys, outcome))]
}

#[tokio::test]
async fn new_rows_are_one_table_for_people() {
    let mut long = event(2);
    long["FileName"] = format!("a\u{1b}[31m\n{}", "x".repeat(500)).into();
    let table = events("tools").row(noon() - minutes(20), event(1)).row(noon() - minutes(10), long);
    let mut stage = Stage::new(|world| world.table(table), &tools("", TABLE)).await;
    assert_eq!(stage.run().await.announced, 2);
    let notices = stage.notices().await;
    assert_eq!(notices.len(), 1);
    let notice = &notices[0].body;
    assert_eq!(notice.topic, Topic::HuntFound { hunt: "tools".into() });
    assert!(notice.facts[1].contains("2 new row(s)"), "{:?}", notice.facts);
    let table = notice.table.as_ref().unwrap();
    assert_eq!(table.columns[..4], ["Timestamp", "DeviceId", "DeviceName", "ReportId"]);
    assert_eq!(table.rows[1][1..5], [device(1), "ws-1".into(), "1".into(), "tool.exe".into()]);
    let cell = &table.rows[0][4];
    assert!(cell.chars().count() <= 4_000 && !cell.contains(char::is_control), "{cell:?}");
    assert_eq!(table.more, 0);

    stage.run_next("tools").await;
    assert!(stage.notices().await.is_empty(), "nothing new, no table");
    stage.end();
}

#[tokio::test]
async fn a_table_shows_as_many_rows_as_the_file_says_and_counts_the_others() {
    let table = (1..=7).fold(events("tools"), |table, n| table.row(noon() - minutes(10), event(n)));
    let mut stage = Stage::new(|world| world.table(table), &tools("most = 3", TABLE)).await;
    stage.run().await;
    let notices = stage.notices().await;
    let table = notices[0].body.table.as_ref().unwrap();
    assert_eq!((notices.len(), table.rows.len(), table.more), (1, 3, 4));
    stage.run_next("tools").await;
    assert!(stage.notices().await.is_empty(), "all of them count as told");
    stage.end();
}

#[tokio::test]
async fn a_wide_table_fits_into_a_message() {
    let mut wide = event(1);
    let mut table = events("tools");
    for number in 0..40 {
        let name = format!("Column{number}");
        wide[&name] = "\"ü\"".repeat(100).into();
        table = table.column(&name, "String");
    }
    let table = (1..=50).fold(table, |table, number| {
        let mut row = wide.clone();
        row["ReportId"] = number.into();
        table.row(noon() - minutes(10), row)
    });
    let stage = Stage::new(|world| world.table(table), &tools("", TABLE)).await;
    stage.run().await;
    let notices = stage.notices().await;
    let table = notices[0].body.table.as_ref().unwrap();
    assert_eq!(table.rows.len() + table.more, 50);
    assert!(!table.rows.is_empty() && table.more > 0, "{} rows", table.rows.len());
    let bytes = serde_json::to_vec(table).unwrap().len();
    assert!(bytes < 62_000, "{bytes} bytes");
    assert!(stage.dead().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn an_alert_of_defenders_own_is_asked_for_by_the_event_exactly_as_it_came() {
    let mut row = event(7);
    row["Timestamp"] = "2026-11-20T11:50:00.1234567Z".into();
    let table = events("tools").row("2026-11-20T11:50:00.1234567Z".parse().unwrap(), row);
    let mut stage = Stage::new(|world| world.table(table), &tools("", DEFENDER_ALERT)).await;
    stage.run().await;
    let orders = stage.orders().await;
    assert_eq!(orders.len(), 1);
    let order = &orders[0].body;
    let Wanted::CreateAlert(wanted) = &order.wanted else { panic!("{order:?}") };
    assert_eq!(wanted.event_time, "2026-11-20T11:50:00.1234567Z");
    assert_eq!((wanted.report_id.as_str(), &wanted.severity), ("7", &Severity::High));
    assert_eq!((wanted.title.as_str(), wanted.category.as_str()), ("tool.exe on ws-7", "Execution"));
    assert_eq!(order.device.as_str(), device(7));
    assert_eq!((order.cause, order.by.as_str()), (Cause::Hunt, "hunt tools"));
    assert_eq!(order.not_after, noon() + EffectRequested::HOLDS);
    stage.run_next("tools").await;
    assert!(stage.orders().await.is_empty() && stage.notices().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn a_row_of_which_defender_can_make_no_alert_is_told_instead() {
    let mut no_report = event(7);
    no_report["ReportId"] = serde_json::Value::Null;
    let mut no_device = event(8);
    no_device["DeviceId"] = "ws-8".into();
    let at = noon() - minutes(10);
    let table = events("tools").row(at, no_report).row(at, no_device).row(at, event(9));
    let mut stage = Stage::new(|world| world.table(table), &tools("", DEFENDER_ALERT)).await;
    stage.run().await;
    assert_eq!(stage.orders().await.len(), 1);
    let notices = stage.notices().await;
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].body.table.as_ref().unwrap().rows.len(), 2);
    let said = notices[0].body.facts.join(" ");
    assert!(said.contains("DeviceId, ReportId"), "{said}");
    stage.run_next("tools").await;
    assert!(stage.notices().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn while_observing_defender_is_asked_for_no_alert_and_people_see_the_rows() {
    let table = events("tools").row(noon() - minutes(10), event(7)).row(noon() - minutes(9), event(8));
    let mut stage = Stage::new(|world| world.table(table), &tools("most = 1", DEFENDER_ALERT)).await;
    stage.mode = Mode::Observe;
    stage.run().await;
    let notices = stage.notices().await;
    let shown: Vec<_> = notices.iter().filter_map(|notice| notice.body.table.as_ref()).collect();
    assert_eq!((shown.len(), shown[0].rows.len()), (1, 1));
    let said = notices[0].body.facts.join(" ");
    assert!(said.contains("`observe`"), "{said}");

    stage.mode = Mode::Enforce;
    stage.simulator.with(|world| {
        world.tables[0] = world.tables[0].clone().row(noon() + minutes(1), event(9));
    });
    stage.run_for(60).await;
    let orders = stage.orders().await;
    let devices: Vec<&str> = orders.iter().map(|order| order.body.device.as_str()).collect();
    assert_eq!(devices, [device(9)], "the second was found while observing as well");
    let shown = stage.notices().await.into_iter().filter(|notice| notice.body.table.is_some()).count();
    assert_eq!(shown, 1);
    stage.end();
}

#[tokio::test]
async fn columns_without_number_fit_into_a_message_and_those_left_out_are_counted() {
    let mut table = events("tools");
    for number in 0..2_000 {
        table = table.column(&format!("{}{number}", "ü".repeat(195)), "String");
    }
    let table = table.row(noon() - minutes(10), event(1));
    let stage = Stage::new(|world| world.table(table), &tools("", TABLE)).await;
    stage.run().await;
    let notices = stage.notices().await;
    let table = notices[0].body.table.as_ref().unwrap();
    assert!((40..60).contains(&table.columns.len()), "{} columns", table.columns.len());
    assert_eq!((table.rows.len(), table.rows[0].len()), (1, table.columns.len()));
    let said = notices[0].body.facts.join(" ");
    let left_out = format!("{} more column(s)", 2_008 - table.columns.len());
    assert!(said.contains(&left_out), "{said}");
    stage.end();
}

#[tokio::test]
async fn a_notice_that_is_too_large_is_set_aside_and_holds_up_nothing() {
    let text = file("tools", "", TABLE).replace("What is looked for", &"What is looked for".repeat(15_000));
    let table = events("tools").row(noon() - minutes(10), event(1));
    let stage = Stage::new(|world| world.table(table), &[("tools", text)]).await;
    stage.run().await;
    assert_eq!(stage.row("tools").await.last_success, Some(noon()));
    assert!(stage.notices().await.is_empty());
    let dead = stage.store.dead(QueueName::ActionsTaken, None).await.unwrap().letters;
    assert_eq!(dead.len(), 1);
    stage.end();
}
