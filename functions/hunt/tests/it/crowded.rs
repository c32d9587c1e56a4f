//! More rows than one run makes known.

use crate::stage::{ALERT, DEFENDER_ALERT, Stage, event, events, file, minutes, noon};
use jiff::SignedDuration;
use model::Topic;
use simulator::Table;

fn crowd(levels: &[&str]) -> Table {
    let rows = levels.iter().zip(1..);
    rows.fold(events("tools"), |table, (level, number)| {
        let mut event = event(number);
        event["Level"] = (*level).into();
        table.row(noon() - minutes(30), event)
    })
}

fn tools(most: usize, outcome: &str) -> Vec<(&'static str, String)> {
    vec![("tools", file("tools", &format!("most = {most}"), outcome))]
}

#[tokio::test]
async fn the_most_serious_rows_come_first_and_the_next_runs_go_on_with_the_rest() {
    let table = crowd(&["Low", "High", "Nonsense", "Medium", "High"]);
    let mut stage = Stage::new(|world| world.table(table), &tools(2, ALERT)).await;
    assert_eq!(stage.run().await.announced, 2);
    assert_eq!(stage.devices().await, [2, 5]);
    let crowded = Topic::HuntCrowded { hunt: "tools".into() };
    assert_eq!(stage.topics().await, std::slice::from_ref(&crowded));
    let row = stage.row("tools").await;
    assert_eq!((row.cursor, row.last_success), (None, None), "it stays before the rest");
    assert!(row.next <= noon() + minutes(5), "the rest follows soon");

    assert_eq!(stage.run_next("tools").await.announced, 2);
    assert_eq!(stage.devices().await, [1, 4]);
    assert_eq!(stage.run_next("tools").await.announced, 1);
    assert_eq!(stage.devices().await, [3], "a severity that nobody knows");
    assert!(stage.topics().await.is_empty(), "told once");

    let row = stage.row("tools").await;
    assert_eq!((row.last_success, row.cursor, row.crowded_told), (Some(stage.now), Some(stage.now), false));
    stage.simulator.with(|world| {
        let at = world.now - minutes(1);
        let table = (11..15).fold(world.tables[0].clone(), |table, number| table.row(at, event(number)));
        world.tables[0] = table;
    });
    stage.run_next("tools").await;
    assert_eq!(stage.topics().await, [crowded], "and again where it had all come to an end meanwhile");
    stage.end();
}

#[tokio::test]
async fn what_came_into_being_while_the_rest_was_made_known_is_not_forgotten() {
    let table = crowd(&["High"; 7]).row(noon() + minutes(2), event(20)).late_row(
        noon() - minutes(29),
        noon() + minutes(1),
        event(21),
    );
    let mut stage = Stage::new(|world| world.table(table), &tools(2, ALERT)).await;
    stage.run_for(60).await;
    assert_eq!(stage.devices().await, [1, 2, 3, 4, 5, 6, 7, 20, 21]);
    stage.end();
}

#[tokio::test]
async fn orders_for_defenders_alerts_are_no_more_than_the_file_says_either() {
    let mut stage = Stage::new(|world| world.table(crowd(&["High"; 5])), &tools(2, DEFENDER_ALERT)).await;
    stage.run().await;
    assert_eq!(stage.orders().await.len(), 2);
    stage.run_for(30).await;
    assert_eq!(stage.orders().await.len(), 3);
    stage.end();
}

#[tokio::test]
async fn a_device_with_many_rows_delays_no_other() {
    let noisy = |table: Table, number: u32| {
        let mut row = event(1);
        row["ReportId"] = number.into();
        table.row(noon() - minutes(30) + SignedDuration::from_secs(number.into()), row)
    };
    let mut quiet = event(2);
    quiet["Level"] = "Medium".into();
    let table = (100..200).fold(events("tools"), noisy).row(noon() - minutes(45), quiet);
    let table = table.row(noon() - minutes(40), event(3));
    let stage = Stage::new(|world| world.table(table), &tools(4, ALERT)).await;
    stage.run().await;
    let alerts = stage.alerts().await;
    let newest = noon() - minutes(30) + SignedDuration::from_secs(199);
    assert!(alerts.iter().any(|alert| alert.body.alert.last_event == Some(newest)), "the newest of them");
    let mut devices: Vec<_> = alerts.into_iter().map(|alert| alert.body.alert.device_name.unwrap()).collect();
    devices.sort();
    assert_eq!(devices, ["ws-1", "ws-1", "ws-2", "ws-3"]);
    stage.end();
}
