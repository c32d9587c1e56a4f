//! After a long outage: caught up in bounded pieces, of which none is lost and none begins from the start.

use crate::polling::{cursor, decided, found, low};
use jiff::{SignedDuration, Timestamp};
use scenarios::{Scene, Setup, minutes, noon, seconds, workstation};
use simulator::{ListOrder, World};

/// Three days without Cordon.
const OUTAGE: i64 = 3 * 24 * 60;

/// A tenant that was read once three days ago, and since then has had so many alerts, evenly over the time.
async fn after_an_outage(alerts: u32, arrange: impl FnOnce(&mut World)) -> Scene {
    let mut scene = Scene::with(World::new(noon()).machine(workstation(1)), Setup::observing()).await;
    scene.run_once().await;
    let step = minutes(OUTAGE - 10) / alerts.cast_signed();
    scene.simulator.with(|world| {
        world.alerts = (0..alerts)
            .map(|number| low(&format!("a{number}"), noon() + minutes(1) + step * number.cast_signed()))
            .collect();
        arrange(world);
    });
    scene.pass(minutes(OUTAGE));
    scene.restart();
    scene.simulator.clear_journal();
    scene
}

/// Polls until nothing is left; where the cursor stood after each.
async fn catch_up(scene: &mut Scene) -> Vec<Timestamp> {
    let mut stamps = Vec::new();
    loop {
        let before = scene.simulator.count("GET alerts");
        let polled = scene.poll().await;
        assert!(scene.simulator.count("GET alerts") - before <= 30, "a poll is bounded");
        stamps.push(cursor(scene).await.stamp);
        assert_eq!(cursor(scene).await.last_success, Some(scene.now), "it is at work, and says so");
        if !polled.more {
            return stamps;
        }
        assert!(stamps.len() < 20, "it comes to an end: {stamps:?}");
    }
}

#[tokio::test]
async fn what_piled_up_in_three_days_is_read_in_bounded_pieces_each_alert_once() {
    let mut scene = after_an_outage(25_000, |_| {}).await;
    let stamps = catch_up(&mut scene).await;
    assert_eq!((stamps.len(), found(&scene)), (2, 25_000));
    assert!(stamps.is_sorted_by(|one, next| one < next), "each piece moves the cursor on: {stamps:?}");
    // The second began with the overlap of the first once more, not from the start.
    assert_eq!(scene.simulator.count("GET alerts"), 13);
    assert!(scene.subjects().is_empty(), "nothing of it is late, and nothing is stuck");
}

#[tokio::test]
async fn a_run_that_is_asked_for_once_goes_on_until_all_is_read() {
    // Small pages end a poll sooner.
    let mut scene = after_an_outage(2_300, |world| world.most_expanded = Some(100)).await;
    scene.run_once().await;
    assert_eq!((found(&scene), decided(&scene)), (2_300, 2_300));
    scene.end().await;
}

#[tokio::test]
async fn a_service_without_order_is_caught_up_with_as_well() {
    let mut scene = after_an_outage(12_000, |world| {
        world.honours_orderby = false;
        world.list_order = ListOrder::Shuffled(3);
    })
    .await;
    catch_up(&mut scene).await;
    assert_eq!(found(&scene), 12_000);
}

#[tokio::test]
async fn more_alerts_within_the_overlap_than_a_poll_reads_do_not_stop_it() {
    // The same 24,000 alerts stand in the overlap of each poll: only what comes after them counts as a step.
    let mut scene = Scene::with(World::new(noon()).machine(workstation(1)), Setup::observing()).await;
    let stamp = |number: u32| noon() - minutes(8) + SignedDuration::from_millis(15) * number.cast_signed();
    scene.simulator.with(|world| {
        world.alerts = (0..24_000).map(|number| low(&format!("a{number}"), stamp(number))).collect();
    });
    catch_up(&mut scene).await;
    assert_eq!(found(&scene), 24_000);
    scene.simulator.with(|world| world.alerts.push(low("after", noon() + seconds(20))));
    scene.pass(minutes(1));
    assert!(!scene.poll().await.more);
    assert_eq!((found(&scene), cursor(&scene).await.stamp), (24_001, noon() + seconds(20)));
}
