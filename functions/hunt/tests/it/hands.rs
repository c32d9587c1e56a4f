//! A hunt that a person runs.

use crate::stage::{ALERT, Stage, event, events, file, hours, minutes, noon};
use defender::{Column, HuntError, Row};
use hunt::ByHand;
use jiff::SignedDuration;
use policy::Span;
use ports::QueueName;

async fn by_hand(stage: &Stage) -> (Result<ByHand, HuntError>, Vec<(usize, Option<String>)>) {
    let mut rows = Vec::new();
    let mut on_row = |columns: &[Column], row: Row| rows.push((columns.len(), row.text("ReportId")));
    let span = Span { from: noon() - hours(1), to: noon() };
    let done = stage.worker().by_hand(&stage.hunts[0], span, noon(), &mut on_row).await;
    (done, rows)
}

#[tokio::test]
async fn every_row_is_given_and_nothing_is_written_or_announced() {
    let at = noon() - minutes(20);
    let table = events("tools").row(at, event(7)).row(at, event(7)).row(noon() - hours(2), event(8));
    let stage =
        Stage::new(|world| world.table(table), &[("tools", file("tools", "enabled = false", ALERT))]).await;
    let (done, rows) = by_hand(&stage).await;
    assert_eq!(rows, [(8, Some("7".into())), (8, Some("7".into()))]);
    let done = done.unwrap();
    assert_eq!((done.rows, done.unreadable, done.calls, done.parts), (2, 0, 1, 1));
    for queue in QueueName::ALL {
        assert_eq!(stage.store.depth(queue, noon()).unwrap().visible, 0);
    }
    let state = ports::State::new(std::sync::Arc::new(stage.store.clone()));
    let tenant = simulator::DEFAULT_TENANT.parse().unwrap();
    let partition = ports::HuntRow::partition(&tenant);
    let rows = state.query_all::<serde_json::Value>(&partition, "", noon()).await.unwrap();
    assert!(rows.is_empty());
    stage.end();
}

#[tokio::test]
async fn a_window_that_is_too_much_is_given_in_parts_and_in_order() {
    // The whole hour takes five minutes, a half of it two and a half.
    let table = events("tools")
        .many_rows(60, noon() - hours(1), SignedDuration::from_mins(1), "ReportId", event(7))
        .takes_per_hour(minutes(5));
    let hunts = |keys: &str| vec![("tools", file("tools", keys, ALERT))];
    let mut stage = Stage::new(|world| world.table(table), &hunts("")).await;
    let (done, rows) = by_hand(&stage).await;
    let done = done.unwrap();
    assert_eq!((done.rows, done.calls, done.parts), (60, 3, 2));
    let numbers: Vec<String> = rows.into_iter().filter_map(|(_, number)| number).collect();
    assert_eq!(numbers, (0..60).map(|number: u32| number.to_string()).collect::<Vec<_>>());

    stage.hunts = crate::stage::read(&hunts("divisible = false"));
    let (done, rows) = by_hand(&stage).await;
    assert!(matches!(done, Err(HuntError::TookTooLong { .. })), "{done:?}");
    assert!(rows.is_empty());
    stage.end();
}

#[tokio::test]
async fn a_query_that_is_refused_is_an_error_with_the_services_words() {
    let table = events("tools").error(400, "Failed to resolve table 'Nonsense'");
    let stage = Stage::new(|world| world.table(table), &[("tools", file("tools", "", ALERT))]).await;
    let (done, _) = by_hand(&stage).await;
    let error = done.unwrap_err();
    assert!(matches!(error, HuntError::Broken(_)) && error.to_string().contains("Nonsense"), "{error}");
    stage.end();
}
