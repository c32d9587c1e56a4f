//! Quotas that are used up, and a service that does not answer.

use crate::stage::{ALERT, CALL, Stage, event, events, file, hours, minutes, noon};
use jiff::SignedDuration;
use model::Topic;
use simulator::{Fault, FaultKind};

fn two() -> Vec<(&'static str, String)> {
    vec![("one", file("one", "", ALERT)), ("two", file("two", "", ALERT))]
}

#[tokio::test]
async fn a_minute_that_is_used_up_is_a_rest_for_all_hunts_and_no_hunts_fault() {
    let world = |world: simulator::World| {
        world
            .table(events("one").row(noon() - minutes(1), event(1)))
            .table(events("two").row(noon() - minutes(1), event(2)))
            .fault(Fault::once(CALL, FaultKind::Throttle { retry_after: Some(90) }))
    };
    let mut stage = Stage::new(world, &two()).await;
    let ran = stage.run().await;
    assert_eq!((ran.ran, ran.announced, stage.calls()), (1, 0, 1), "the second was not asked");
    assert_eq!(ran.next_due, Some(noon() + SignedDuration::from_secs(90)));
    let row = stage.row("one").await;
    assert_eq!((row.trouble, row.next), (None, noon()));
    stage.pass(minutes(1));
    assert_eq!((stage.run().await.ran, stage.calls()), (0, 1), "it is not over yet");
    stage.pass(SignedDuration::from_secs(30));
    assert_eq!((stage.run().await.ran, stage.calls()), (2, 3));
    assert_eq!(stage.devices().await, [1, 2]);
    assert!(stage.topics().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn an_hour_that_is_used_up_is_waited_for_and_nothing_is_lost() {
    let world = |mut world: simulator::World| {
        world.quota_overrides.insert(CALL.to_owned(), (45, 1));
        world
            .table(events("one").row(noon() - minutes(1), event(1)))
            .table(events("two").row(noon() - minutes(1), event(2)))
    };
    let mut stage = Stage::new(world, &two()).await;
    stage.run_for(30).await;
    let asked = stage.calls();
    assert!((2..=3).contains(&asked), "{asked} calls in half an hour");
    assert_eq!(stage.devices().await, [1]);
    stage.simulator.with(|world| world.quota_overrides.clear());
    stage.run_for(90).await;
    assert_eq!(stage.devices().await, [2]);
    stage.end();
}

#[tokio::test]
async fn a_share_of_computing_that_is_used_up_is_waited_for() {
    let world = |world: simulator::World| {
        world
            .table(events("one").row(noon() - minutes(1), event(1)).takes(minutes(2)))
            .table(events("two").row(noon() - minutes(1), event(2)))
    };
    let mut stage = Stage::new(world, &two()).await;
    stage.simulator.with(|world| world.hunting.graph_cycle = minutes(1));
    let ran = stage.run().await;
    assert_eq!((ran.ran, stage.calls()), (2, 2));
    assert!(ran.next_due.unwrap() >= noon() + minutes(15), "{ran:?}");
    stage.run_for(15).await;
    assert_eq!(stage.calls(), 2);
    stage.run_for(2).await;
    assert_eq!(stage.devices().await, [1, 2]);
    stage.end();
}

#[tokio::test]
async fn a_permission_that_is_missing_breaks_no_query() {
    let world = |world: simulator::World| {
        world.table(events("one")).table(events("two")).graph_roles(simulator::DEFAULT_CLIENT, &[])
    };
    let mut stage = Stage::new(world, &two()).await;
    stage.run().await;
    let trouble = stage.row("one").await.trouble.unwrap();
    assert!(!trouble.broken && trouble.why.contains("ThreatHunting.Read.All"), "{trouble:?}");
    assert!(stage.topics().await.is_empty());
    stage.run_for(60).await;
    let mut topics = stage.topics().await;
    topics.sort_by_key(|topic| format!("{topic:?}"));
    let overdue = |hunt: &str| Topic::HuntOverdue { hunt: hunt.into() };
    assert_eq!(topics, [overdue("one"), overdue("two")], "each once");
}

#[tokio::test]
async fn a_hunt_that_does_not_come_to_its_end_is_told_once_and_again_after_it_went_well() {
    let world = |world: simulator::World| {
        world.table(events("one")).fault(Fault::once(CALL, FaultKind::ServerError(503)).always())
    };
    let hunts = [("one", file("one", "", ALERT))];
    let mut stage = Stage::new(world, &hunts).await;
    stage.run_for(45).await;
    assert!(stage.topics().await.is_empty(), "three times ten minutes and a quarter of an hour");
    stage.run_for(60).await;
    let notices = stage.notices().await;
    assert_eq!(notices.len(), 1, "{notices:?}");
    let said = notices[0].body.facts.join(" ");
    assert!(said.contains("503"), "{said}");

    stage.simulator.with(|world| world.faults.clear());
    stage.run_for(10).await;
    assert!(!stage.row("one").await.overdue_told);
    stage.simulator.with(|world| world.faults.push(Fault::once(CALL, FaultKind::ServerError(503)).always()));
    stage.run_for(120).await;
    assert_eq!(stage.notices().await.len(), 1);
    stage.end();
}

#[tokio::test]
async fn a_long_rest_makes_hunts_overdue_and_says_why() {
    let world = |world: simulator::World| {
        world.table(events("one")).fault(Fault::once(CALL, FaultKind::Throttle { retry_after: Some(7_200) }))
    };
    let mut stage = Stage::new(world, &[("one", file("one", "", ALERT))]).await;
    stage.run_for(60).await;
    let notices = stage.notices().await;
    assert_eq!((notices.len(), stage.calls()), (1, 1));
    assert!(notices[0].body.facts.join(" ").contains("rests until"), "{notices:?}");
    stage.pass(hours(2));
    stage.run().await;
    assert!(stage.row("one").await.last_success.is_some());
    stage.end();
}

#[tokio::test]
async fn a_service_that_answers_nothing_in_time_breaks_no_hunt_and_no_event_is_lost() {
    for keys in ["", "divisible = false"] {
        let world = |world: simulator::World| {
            world
                .table(events("one").row(noon() - minutes(50), event(1)).row(noon() + minutes(40), event(2)))
                .fault(Fault::once(CALL, FaultKind::ServerError(504)).always())
        };
        let mut stage = Stage::new(world, &[("one", file("one", keys, ALERT))]).await;
        stage.run().await;
        let most = if keys.is_empty() { 4 } else { 1 };
        assert_eq!(stage.calls(), most, "{keys}: an outage does not eat the calls");
        let row = stage.row("one").await;
        assert!(!row.trouble.unwrap().broken && row.next <= noon() + minutes(5), "{keys}");
        stage.run_for(100).await;
        let notices = stage.notices().await;
        let topics: Vec<_> = notices.iter().map(|notice| &notice.body.topic).collect();
        assert_eq!(topics, [&Topic::HuntOverdue { hunt: "one".into() }], "{keys}");
        let said = notices[0].body.facts.join(" ");
        assert!(said.contains("not answered in time"), "{keys}: {said}");

        stage.simulator.with(|world| world.faults.clear());
        stage.run_for(20).await;
        assert_eq!(stage.devices().await, [1, 2], "{keys}");
        assert_eq!(stage.row("one").await.trouble, None, "{keys}");
        stage.end();
    }
}

#[tokio::test]
async fn a_hunt_that_was_not_answered_in_time_before_the_calls_were_used_up_is_tried_again_with_less() {
    let world = |mut world: simulator::World| {
        world.hunting.graph_cycle = hours(1_000);
        world.table(events("one")).table(events("slow").takes_per_hour(minutes(10)))
    };
    let names: Vec<String> = (10..21).map(|number| format!("h{number}")).collect();
    let mut hunts: Vec<(&str, String)> =
        names.iter().map(|name| (name.as_str(), file("one", "", ALERT))).collect();
    hunts.push(("slow", file("slow", "", ALERT)));
    let stage = Stage::new(world, &hunts).await;
    stage.run().await;
    let row = stage.row("slow").await;
    assert!(!row.trouble.unwrap().broken && row.next > noon());
    assert_eq!(row.left.unwrap().first, noon() - minutes(30));
    stage.end();
}
