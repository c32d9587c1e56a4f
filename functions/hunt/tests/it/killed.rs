//! A failure or a death at every operation of queue and state, and two runs at once: nothing is lost, and what is repeated
//! has the same ids.

use crate::stage::{ALERT, Blow, DEFENDER_ALERT, Stage, TABLE, event, events, file, minutes, noon};
use std::collections::BTreeSet;

const BLOWS: [Blow; 4] = [Blow::Fails, Blow::FailsAfter, Blow::Dies, Blow::DiesAfter];

/// More rows than one commit holds, one of them late, with more than one run makes known.
async fn stage(outcome: &str) -> Stage {
    let rows = (1..=14).fold(events("tools"), |table, n| table.row(noon() - minutes(20), event(n)));
    let table = rows
        .late_row(noon() - minutes(10), noon() + minutes(3), event(15))
        .row(noon() + minutes(4), event(16));
    Stage::new(|world| world.table(table), &[("tools", file("tools", "most = 12", outcome))]).await
}

/// Runs for an hour, with this blow; false where it did not fall.
async fn live(stage: &mut Stage, nth: usize, blow: Blow) -> bool {
    stage.strike(nth, blow);
    for _ in 0..60 {
        if let Some(Err(error)) = stage.try_run().await {
            assert!(!stage.is_unstruck(), "only for the blow: {error}");
        }
        stage.pass(minutes(1));
    }
    !stage.is_unstruck()
}

#[tokio::test]
async fn a_blow_at_any_operation_loses_no_alert_and_repeats_with_the_same_ids() {
    for blow in BLOWS {
        let mut nth = 0;
        loop {
            let mut stage = stage(ALERT).await;
            let fell = live(&mut stage, nth, blow).await;
            let alerts = stage.alerts().await;
            let ids: BTreeSet<_> = alerts.iter().map(|alert| &alert.id).collect();
            let devices: BTreeSet<String> =
                alerts.iter().map(|alert| alert.body.alert.device_name.clone().unwrap()).collect();
            assert_eq!((ids.len(), devices.len()), (16, 16), "operation {nth}, {blow:?}");
            assert!(alerts.len() <= 16 + 12, "operation {nth}, {blow:?}: {} messages", alerts.len());
            let row = stage.row("tools").await;
            assert_eq!((row.trouble, row.left), (None, None), "operation {nth}, {blow:?}");
            assert!(row.last_success.unwrap() > noon() + minutes(40), "operation {nth}, {blow:?}");
            stage.end();
            if !fell || nth > 60 {
                break;
            }
            nth += 1;
        }
        assert!(nth > 20, "{nth} operations");
    }
}

#[tokio::test]
async fn a_blow_at_any_operation_loses_no_row_of_a_table_and_no_order() {
    for outcome in [TABLE, DEFENDER_ALERT] {
        for blow in BLOWS {
            for nth in 0..20 {
                let mut stage = stage(outcome).await;
                live(&mut stage, nth, blow).await;
                let orders = stage.orders().await;
                let notices = stage.notices().await;
                let rows = notices.iter().filter_map(|notice| notice.body.table.as_ref());
                let told = rows.clone().flat_map(|table| &table.rows).map(|row| row[2].clone());
                let ordered = orders.iter().map(|order| format!("ws-{}", ordered(&order.body)));
                let mut all: BTreeSet<String> = told.chain(ordered).collect();
                // Two of the first table stand in it as a number only.
                let more = rows.map(|table| table.more).max().unwrap_or(0);
                if outcome == TABLE {
                    all.extend((0..more).map(|number| format!("more {number}")));
                }
                assert!(all.len() >= 16, "operation {nth}, {blow:?}: {all:?}");
                let ids: BTreeSet<_> = orders.iter().map(|order| &order.id).collect();
                assert!(outcome == TABLE || ids.len() == 16, "operation {nth}, {blow:?}");
                stage.end();
            }
        }
    }
}

fn ordered(order: &model::EffectRequested) -> String {
    match &order.wanted {
        model::Wanted::CreateAlert(alert) => alert.report_id.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_two_runs_at_once_one_has_the_hunt_and_the_other_stops() {
    let mut nth = 0;
    loop {
        let stage = stage(ALERT).await;
        let other = stage.other_worker();
        stage.meanwhile(nth, async move { _ = other.run(noon()).await.unwrap() });
        stage.run().await;
        if stage.is_still_to_happen() {
            break;
        }
        let alerts = stage.alerts().await;
        let ids: BTreeSet<_> = alerts.iter().map(|alert| &alert.id).collect();
        assert_eq!((alerts.len(), ids.len()), (12, 12), "operation {nth}: each once");
        assert_eq!(stage.calls(), 1, "operation {nth}: asked once");
        stage.end();
        nth += 1;
    }
    assert!(nth > 5, "{nth} operations");
}

#[tokio::test]
async fn a_row_of_the_state_that_cannot_be_read_stops_no_hunt() {
    let mut stage = stage(ALERT).await;
    stage.run().await;
    let state = ports::State::new(std::sync::Arc::new(stage.store.clone()));
    let key = ports::HuntRow::key(&simulator::DEFAULT_TENANT.parse().unwrap(), "tools");
    let write = ports::Write::put(key, &"nonsense", ports::Expect::Any, None).unwrap();
    state.commit(&[write], noon()).await.unwrap();
    stage.pass(minutes(1));
    for _ in 0..60 {
        stage.run().await;
        stage.pass(minutes(1));
    }
    let ids: BTreeSet<_> = stage.alerts().await.into_iter().map(|alert| alert.id).collect();
    assert_eq!(ids.len(), 16);
    stage.end();
}

#[tokio::test]
async fn what_fails_for_one_hunt_holds_up_no_other() {
    for nth in 2..10 {
        let at = noon() - minutes(1);
        let world = |world: simulator::World| {
            world.table(events("one").row(at, event(1))).table(events("two").row(at, event(2)))
        };
        let hunts = [("one", file("one", "", ALERT)), ("two", file("two", "", ALERT))];
        let stage = Stage::new(world, &hunts).await;
        stage.strike(nth, Blow::Fails);
        stage.try_run().await.unwrap().unwrap_err();
        assert_eq!(stage.row("two").await.last_success, Some(noon()), "operation {nth}");
        assert!(stage.devices().await.contains(&2), "operation {nth}");
        stage.end();
    }
}
