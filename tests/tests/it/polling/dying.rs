//! A poll that dies at each of its own writes and sends, before and after: the next one announces all that is left, and
//! each alert is decided once.

use crate::{
    isolation::watched::{Fate, Watched, polling},
    polling::{cursor, low},
};
use poll::{PollError, Polled};
use ports::QueueName;
use scenarios::{Scene, Setup, high, minutes, noon, workstation};
use simulator::World;
use std::collections::BTreeSet;

/// What may become of the write at which a poll dies.
pub(crate) const LAST: [Fate; 2] = [Fate::Fails, Fate::HappensUnheard];

/// One poll that dies at its write number `number`.
pub(crate) async fn poll(scene: &Scene, number: usize, last: Fate) -> Result<Polled, PollError> {
    polling(scene, Watched::mortal(scene, number, last)).run(scene.now).await
}

/// Two pages of alerts, three devices, one record without a usable id.
fn world() -> World {
    let mut world =
        World::new(noon()).machine(workstation(1)).machine(workstation(2)).machine(workstation(3));
    world = world.alert(high("h2", 2)).alert(high("h3", 3));
    for number in 0..30_u32 {
        world = world.alert(low(&format!("a{number}"), noon() - minutes(10)));
    }
    world.raw_alerts.push(serde_json::json!({"id": 7, "lastUpdateTime": noon() - minutes(3)}));
    world
}

/// The ids of the alerts whose announcements wait.
async fn announced(scene: &Scene) -> Vec<String> {
    let bodies = crate::isolation::take(scene, QueueName::AlertsFound).await;
    let id = |body: &String| {
        let message: serde_json::Value = serde_json::from_str(body).unwrap();
        message["body"]["alert"]["id"].as_str().unwrap().to_owned()
    };
    let ids = bodies.iter().map(id).collect();
    crate::isolation::put(scene, QueueName::AlertsFound, &bodies).await;
    ids
}

#[tokio::test]
async fn a_poll_that_dies_at_any_write_loses_no_alert_and_each_is_decided_once() {
    let mut number = 0;
    loop {
        number += 1;
        let mut done = false;
        for last in LAST {
            let mut scene = Scene::with(world(), Setup::without_limits()).await;
            done = poll(&scene, number, last).await.is_ok();
            scene.pass(minutes(1));
            scene.restart();
            scene.poll().await;
            let sent = announced(&scene).await;
            let once: BTreeSet<&String> = sent.iter().collect();
            assert_eq!(once.len(), 32, "write {number}, {last:?}: all are announced");
            assert!(sent.len() <= 64, "write {number}, {last:?}: twice at most");
            assert_eq!(cursor(&scene).await.stamp, noon() - minutes(2), "write {number}, {last:?}");
            scene.run_once().await;
            assert_eq!(super::decided(&scene), 32, "write {number}, {last:?}: decided once each");
            assert_eq!(scene.isolate_calls(), 2, "write {number}, {last:?}");
            // Between setting a record aside and marking that, a death cannot but leave two of it.
            let dead = scene.dead_letters().await.len();
            assert!((1..=2).contains(&dead), "write {number}, {last:?}: {dead} dead letters");
            scene.end_with_dead_letters().await;
        }
        if done {
            break;
        }
    }
    // The first cursor, the record set aside with its mark, the announcements, four commits of what was announced,
    // the cursor twice.
    assert_eq!(number - 1, 10, "each was tried");
}
