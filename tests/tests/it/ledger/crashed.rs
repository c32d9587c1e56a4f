//! A responder that dies at any of its writes while it carries out an order: whoever comes after it finds the way on.

use super::{isolate, one_alert, told};
use crate::isolation::{
    accepted, put, take,
    watched::{Fate, Watched, responding},
};
use model::{EffectState, Wanted};
use ports::{Disposition, QueueName};
use scenarios::{Scene, minutes, noon, workstation};
use simulator::World;

/// One order, by a responder that dies at this write, and then by another. Whether the first came to its end.
async fn die(scene: &mut Scene, wanted: Wanted, number: usize, last: Fate) -> bool {
    let order = scene.ordered(wanted, 1);
    let id = scene.order(order).await;
    let body = take(scene, QueueName::EffectsRequested).await.remove(0);
    let mortal = responding(scene, Watched::mortal(scene, number, last));
    let done = mortal.take(QueueName::EffectsRequested, &body, scene.now).await == Disposition::Done;
    put(scene, QueueName::EffectsRequested, &[body]).await;
    scene.restart();
    scene.settle(minutes(20)).await;
    assert!(scene.answered(&id).await.is_some(), "write {number}, {last:?}");
    done
}

#[tokio::test]
async fn a_responder_that_dies_while_it_isolates_by_order_leaves_one_isolation_told_once() {
    for number in 1.. {
        let mut done = false;
        for last in [Fate::Fails, Fate::HappensUnheard] {
            let mut scene = Scene::new(World::new(noon()).machine(workstation(1))).await;
            done = die(&mut scene, isolate(), number, last).await;
            assert_eq!((scene.isolate_calls(), accepted(&scene, 1)), (1, 1), "write {number}, {last:?}");
            assert_eq!(
                scene.claim(1).await.unwrap().state,
                EffectState::Succeeded,
                "write {number}, {last:?}"
            );
            let brakes = scene.brakes().await;
            assert_eq!((brakes.standing, brakes.spent.len()), (1, 1), "write {number}, {last:?}");
            let subjects = scene.subjects();
            let times = (told(&scene, "isolation requested"), told(&scene, "isolation succeeded"));
            assert_eq!(times, (1, 1), "write {number}, {last:?}: {subjects:#?}");
            scene.end().await;
        }
        if done {
            assert!(number > 4, "each was tried");
            break;
        }
    }
}

#[tokio::test]
async fn a_responder_that_dies_while_it_releases_leaves_one_release_told_once() {
    for number in 1.. {
        let mut done = false;
        for last in [Fate::Fails, Fate::HappensUnheard] {
            let mut scene = Scene::new(one_alert()).await;
            scene.run_once().await;
            scene.settle(minutes(5)).await;
            scene.pass(minutes(5));
            done = die(&mut scene, Wanted::Release, number, last).await;
            assert_eq!(scene.simulator.count("POST unisolate"), 1, "write {number}, {last:?}");
            assert_eq!(
                scene.claim(1).await.unwrap().state,
                EffectState::Released,
                "write {number}, {last:?}"
            );
            assert_eq!((scene.is_isolated(1), scene.brakes().await.standing), (false, 0));
            let subjects = scene.subjects();
            let times = (told(&scene, "release requested"), told(&scene, "· released"));
            // Who dies between writing and telling may find it over when it is back: then people hear the end alone.
            assert!(matches!(times, (0 | 1, 1)), "write {number}, {last:?}: {subjects:#?}");
            scene.end().await;
        }
        if done {
            assert!(number > 4, "each was tried");
            break;
        }
    }
}
