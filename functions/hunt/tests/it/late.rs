//! Rows that come late, twice, or in the overlap of two windows are made known once.

use crate::stage::{ALERT, Stage, event, events, file, minutes, noon};
use model::{Mode, Severity};

fn tools(keys: &str) -> Vec<(&'static str, String)> {
    vec![("tools", file("tools", keys, ALERT))]
}

#[tokio::test]
async fn a_row_becomes_an_alert_of_cordons_own() {
    let at = noon() - minutes(20);
    let stage = Stage::new(|world| world.table(events("tools").row(at, event(7))), &tools("")).await;
    let ran = stage.run().await;
    assert_eq!((ran.ran, ran.announced), (1, 1));

    let alerts = stage.alerts().await;
    let found = &alerts[0].body;
    let alert = &found.alert;
    assert!(alert.id.as_str().starts_with("hunt-tools-"), "{}", alert.id);
    assert_eq!(alert.title, "tool.exe on ws-7");
    assert_eq!(alert.severity, Some(Severity::High));
    assert_eq!(alert.detection_source.as_deref(), Some("hunt"));
    assert_eq!(alert.detector_id.as_deref(), Some("tools"));
    assert_eq!((alert.created, alert.updated), (Some(noon()), Some(noon())));
    assert_eq!((alert.first_event, alert.last_event), (Some(at), Some(at)));
    assert_eq!(alert.user.as_ref().unwrap().name, "anna");
    assert_eq!(alert.techniques, ["T1219"]);
    assert_eq!(alert.evidence[0].process_id, Some(4_711));
    assert_eq!(alert.evidence[0].file_name.as_deref(), Some("tool.exe"));
    assert!(alert.hunted.as_ref().unwrap().may_isolate);
    assert!(alert.unreadable.is_empty());
    assert_eq!(found.devices, [alert.device.clone().unwrap()]);
    assert_eq!(found.evidence.len(), 1);
    assert_eq!(found.first_seen.mode, Mode::Enforce);
    let row = stage.row("tools").await;
    assert_eq!((row.cursor, row.last_success, row.left), (Some(noon()), Some(noon()), None));
    assert!(row.next > noon() && row.next <= noon() + minutes(10), "{}", row.next);
    let last = row.last.unwrap();
    assert_eq!((last.rows, last.new, last.calls), (1, 1, 1));
    stage.end();
}

#[tokio::test]
async fn a_row_in_the_overlap_of_two_windows_is_announced_once() {
    let table = events("tools").row(noon() - minutes(20), event(7)).row(noon() - minutes(1), event(8));
    let mut stage = Stage::new(|world| world.table(table), &tools("")).await;
    stage.run().await;
    assert_eq!(stage.devices().await, [7, 8]);
    let ran = stage.run_next("tools").await;
    assert_eq!((ran.ran, ran.announced), (1, 0));
    let last = stage.row("tools").await.last.unwrap();
    assert_eq!((last.rows, last.new), (2, 0), "both were read again");
    assert!(stage.devices().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn a_row_that_comes_late_is_announced_once() {
    let table = events("tools").late_row(noon() - minutes(15), noon() + minutes(1), event(7));
    let mut stage = Stage::new(|world| world.table(table), &tools("")).await;
    assert_eq!(stage.run().await.announced, 0);
    assert_eq!(stage.run_next("tools").await.announced, 1);
    assert_eq!(stage.run_next("tools").await.announced, 0);
    assert_eq!(stage.devices().await, [7]);
    stage.end();
}

#[tokio::test]
async fn a_row_that_comes_twice_in_an_answer_is_announced_once() {
    let at = noon() - minutes(20);
    let table = events("tools").row(at, event(7)).row(at, event(7)).row(at, event(8));
    let stage = Stage::new(|world| world.table(table), &tools("")).await;
    assert_eq!(stage.run().await.announced, 2);
    assert_eq!(stage.devices().await, [7, 8]);
    assert_eq!(stage.row("tools").await.last.unwrap().rows, 3);
    stage.end();
}

#[tokio::test]
async fn a_value_that_is_not_there_is_one_of_its_own() {
    let at = noon() - minutes(20);
    let mut without = event(7);
    without["ReportId"] = serde_json::Value::Null;
    let table = events("tools").row(at, event(7)).row(at, without.clone()).row(at, without);
    let stage = Stage::new(|world| world.table(table), &tools("")).await;
    assert_eq!(stage.run().await.announced, 2);
    assert_eq!(stage.devices().await, [7, 7]);
    stage.end();
}

#[tokio::test]
async fn a_row_without_a_usable_device_or_time_is_an_alert_that_says_so() {
    let at = noon() - minutes(20);
    let mut unusable = event(7);
    unusable["DeviceId"] = "ws-7".into();
    unusable["Timestamp"] = "yesterday".into();
    let stage = Stage::new(|world| world.table(events("tools").row(at, unusable)), &tools("")).await;
    stage.run().await;
    let alert = stage.alerts().await.remove(0).body.alert;
    assert_eq!(alert.device, Some(model::DeviceRef::Unusable("ws-7".into())));
    assert_eq!((alert.last_event, alert.unreadable.len()), (None, 1));
    stage.end();
}

#[tokio::test]
async fn what_is_found_while_observing_is_first_seen_while_observing() {
    let mut stage =
        Stage::new(|world| world.table(events("tools").row(noon() - minutes(1), event(7))), &tools("")).await;
    stage.mode = Mode::Observe;
    stage.run().await;
    assert_eq!(stage.alerts().await[0].body.first_seen.mode, Mode::Observe);
    stage.end();
}

#[tokio::test]
async fn an_event_keeps_its_identity_however_its_time_is_written() {
    let by_time = tools("identity = [\"DeviceId\", \"Timestamp\"]\n");
    let at = noon() - minutes(20);
    let mut short = event(7);
    short["Timestamp"] = "2026-11-20T11:40:00Z".into();
    let table = events("tools").row(at, event(7)).row(at, short);
    let stage = Stage::new(|world| world.table(table), &by_time).await;
    assert_eq!(stage.run().await.announced, 1);
    stage.end();
}

/// The devices that were announced, with the mode in which each was found first.
async fn found(stage: &Stage) -> Vec<(String, Mode)> {
    let alerts = stage.alerts().await.into_iter();
    let found = alerts.map(|alert| (alert.body.alert.device_name.unwrap(), alert.body.first_seen.mode));
    let mut found: Vec<_> = found.collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[tokio::test]
async fn what_was_found_while_observing_and_made_known_later_is_first_seen_while_observing() {
    let table = (1..=5).fold(events("tools"), |table, n| table.row(noon() - minutes(20), event(n)));
    let mut stage = Stage::new(|world| world.table(table), &tools("most = 2")).await;
    stage.mode = Mode::Observe;
    assert_eq!(stage.run().await.announced, 2);
    stage.mode = Mode::Enforce;
    stage.run_for(30).await;
    let found = found(&stage).await;
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|(_, mode)| *mode == Mode::Observe), "{found:?}");
    stage.end();
}

#[tokio::test]
async fn what_was_found_while_observing_is_so_under_another_identity_as_well() {
    let mut no_time = event(6);
    no_time["Timestamp"] = "yesterday".into();
    let table = events("tools")
        .row(noon() - minutes(1), event(7))
        .row(noon() + minutes(9), no_time)
        .row(noon() + minutes(9), event(8));
    let mut stage = Stage::new(|world| world.table(table), &tools("")).await;
    stage.mode = Mode::Observe;
    stage.run().await;
    assert_eq!(found(&stage).await, [("ws-7".to_owned(), Mode::Observe)]);
    stage.mode = Mode::Enforce;
    stage.hunts = crate::stage::read(&tools("identity = [\"DeviceId\", \"FileName\"]"));
    stage.run_for(30).await;
    let all = [("ws-6", Mode::Observe), ("ws-7", Mode::Observe), ("ws-8", Mode::Enforce)];
    assert_eq!(found(&stage).await, all.map(|(name, mode)| (name.to_owned(), mode)));
    stage.end();
}

#[tokio::test]
async fn a_row_that_is_found_again_and_again_is_announced_once() {
    let by_program = tools("identity = [\"DeviceId\", \"FileName\"]");
    let days = |days: i64| noon() + minutes(24 * 60 * days);
    let table = [0, 150, 300, 450]
        .into_iter()
        .fold(events("tools"), |table, day| table.row(days(day) - minutes(1), event(7)));
    let mut stage = Stage::new(|world| world.table(table), &by_program).await;
    for announced in [1, 0, 0, 0] {
        let ran = stage.run().await;
        assert_eq!((ran.announced, stage.row("tools").await.last.unwrap().rows), (announced, 1));
        stage.pass(minutes(24 * 60 * 150));
    }
    stage.end();
}
