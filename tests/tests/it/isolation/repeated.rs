//! Messages that come twice, late or out of order, and workers that meet.

use super::watched::{Access, Fate, Watched, handle, responding};
use super::{accepted, enrich, isolated_once, one_alert, put, respond, take, told};
use model::{Answer, EffectState};
use ports::{Acted, Disposition, QueueBackend, QueueName, conformance::Unruly};
use scenarios::{Scene, device, high, minutes, noon, seconds, workstation};
use simulator::World;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

/// Repeats what lies in a queue.
async fn repeat(scene: &Scene, queue: QueueName, times: usize) {
    let bodies = take(scene, queue).await;
    assert!(!bodies.is_empty());
    for _ in 0..times {
        put(scene, queue, &bodies).await;
    }
}

#[tokio::test]
async fn an_enriched_alert_delivered_five_times_is_one_isolation_told_once() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    repeat(&scene, QueueName::AlertsEnriched, 5).await;
    scene.settle(minutes(5)).await;
    isolated_once(&scene).await;
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2));
    scene.end().await;
}

#[tokio::test]
async fn a_found_alert_delivered_twice_is_one_isolation_told_once() {
    let mut scene = Scene::new(one_alert()).await;
    scene.poll().await;
    repeat(&scene, QueueName::AlertsFound, 2).await;
    scene.settle(minutes(5)).await;
    isolated_once(&scene).await;
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2));
    scene.end().await;
}

#[tokio::test]
async fn an_outcome_delivered_five_times_is_one_mail() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    respond(&scene).await;
    repeat(&scene, QueueName::ActionsTaken, 5).await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.mails().len(), 2);
    assert_eq!(scene.count(ports::Count::NotificationsSent), 2);
    scene.end().await;
}

#[tokio::test]
async fn a_message_that_comes_again_days_later_changes_nothing() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    let bodies = take(&scene, QueueName::AlertsEnriched).await;
    put(&scene, QueueName::AlertsEnriched, &bodies).await;
    scene.settle(minutes(5)).await;
    super::person_releases(&scene, 1);
    scene.pass(super::hours(48));
    put(&scene, QueueName::AlertsEnriched, &bodies).await;
    scene.settle(minutes(5)).await;
    // Requested, succeeded, and that a person has released it.
    assert_eq!((scene.isolate_calls(), scene.mails().len(), told(&scene, "· released")), (1, 3, 1));
    assert!(!scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn the_second_delivery_may_come_while_the_first_is_still_at_work() {
    for both_know_the_claim in [false, true] {
        let mut scene = Scene::new(one_alert()).await;
        enrich(&mut scene).await;
        let bodies = take(&scene, QueueName::AlertsEnriched).await;
        if both_know_the_claim {
            super::crashed::claimed_by_the_dead(&scene, "a").await;
        }
        let all_goes = || Watched::new(&scene, |_: &Access<'_>| Fate::Happens);
        let (one, two) = (responding(&scene, all_goes()), responding(&scene, all_goes()));
        let now = scene.now;
        let answers = tokio::join!(handle(&one, &bodies[0], now), handle(&two, &bodies[0], now));
        assert_eq!(accepted(&scene, 1), 1, "{answers:?}");
        assert_eq!(scene.isolate_calls(), 1, "{answers:?}");
        put(&scene, QueueName::AlertsEnriched, &bodies).await;
        scene.pass(seconds(10));
        scene.settle(minutes(5)).await;
        isolated_once(&scene).await;
        assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2), "{:#?}", scene.subjects());
        scene.end().await;
    }
}

/// The second has read the claim and the device's machine actions before the first asks, and looks for what the alert has
/// done already while the first waits for its answer.
#[tokio::test]
async fn a_worker_that_another_overtakes_between_two_of_its_reads_asks_nobody_what_is_answered_already() {
    for both_know_the_claim in [false, true] {
        let mut scene = Scene::new(one_alert()).await;
        enrich(&mut scene).await;
        let bodies = take(&scene, QueueName::AlertsEnriched).await;
        if both_know_the_claim {
            super::crashed::claimed_by_the_dead(&scene, "a").await;
        }
        let (arrived, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let has_asked = {
            let simulator = scene.simulator.clone();
            move || simulator.journal().iter().any(|entry| entry.route == "POST isolate")
        };
        let first = Watched::new(&scene, {
            let (has_asked, over) = (has_asked.clone(), over.clone());
            move |access: &Access<'_>| match access {
                Access::Write(_) if has_asked() && !over.load(SeqCst) => Fate::Waits,
                _ => Fate::Happens,
            }
        });
        let acted = Acted::key(&scene.tenant, &"a".parse().unwrap(), &device(1));
        let second = Watched::new(&scene, {
            let arrived = arrived.clone();
            move |access: &Access<'_>| match access {
                Access::Read(Some(key)) if **key == acted && !has_asked() => {
                    arrived.store(true, SeqCst);
                    Fate::Waits
                }
                _ => Fate::Happens,
            }
        });
        let (first, second, now) = (responding(&scene, first), responding(&scene, second), scene.now);
        let asking = async {
            while !arrived.load(SeqCst) {
                tokio::task::yield_now().await;
            }
            handle(&first, &bodies[0], now).await
        };
        let overtaken = async {
            let answer = handle(&second, &bodies[0], now).await;
            over.store(true, SeqCst);
            answer
        };
        let answers = tokio::join!(asking, overtaken);
        assert_eq!(scene.isolate_calls(), 1, "{answers:?}");
        put(&scene, QueueName::AlertsEnriched, &bodies).await;
        scene.pass(seconds(10));
        scene.settle(minutes(5)).await;
        isolated_once(&scene).await;
        assert_eq!(scene.case("a").await.last.decision.answer, Answer::Isolate, "{answers:?}");
        assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2), "{:#?}", scene.subjects());
        scene.end().await;
    }
}

#[tokio::test]
async fn two_workers_with_two_alerts_of_one_device_ask_once() {
    let mut scene = Scene::new(one_alert().alert(high("b", 1))).await;
    enrich(&mut scene).await;
    let bodies = take(&scene, QueueName::AlertsEnriched).await;
    let all_goes = || Watched::new(&scene, |_: &Access<'_>| Fate::Happens);
    let (one, two) = (responding(&scene, all_goes()), responding(&scene, all_goes()));
    let now = scene.now;
    let answers = tokio::join!(handle(&one, &bodies[0], now), handle(&two, &bodies[1], now));
    assert_eq!(scene.isolate_calls(), 1, "{answers:?}");
    put(&scene, QueueName::AlertsEnriched, &bodies).await;
    respond(&scene).await;
    scene.settle(minutes(5)).await;
    isolated_once(&scene).await;
    assert_eq!(told(&scene, "isolation requested"), 2, "{:#?}", scene.subjects());
    scene.end().await;
}

/// Four workers are in the middle of it at the same time, each with an alert on a device of its own.
#[tokio::test]
async fn workers_that_isolate_devices_at_the_same_moment_mix_nothing_up() {
    let world = (1..=4).fold(World::new(noon()), |world, number| {
        world.machine(workstation(number)).alert(high(&format!("x{number}"), number))
    });
    let mut scene = Scene::new(world).await;
    enrich(&mut scene).await;
    let bodies = take(&scene, QueueName::AlertsEnriched).await;
    let worker = || responding(&scene, Watched::new(&scene, |_: &Access<'_>| Fate::Happens));
    let workers = [worker(), worker(), worker(), worker()];
    let now = scene.now;
    let [one, two, three, four] = &workers;
    let answers = tokio::join!(
        handle(one, &bodies[0], now),
        handle(two, &bodies[1], now),
        handle(three, &bodies[2], now),
        handle(four, &bodies[3], now)
    );
    let routes: Vec<String> = scene.simulator.journal().into_iter().map(|entry| entry.route).collect();
    let begun =
        routes.iter().take_while(|route| *route != "POST isolate").filter(|route| *route == "GET alert");
    assert!(begun.count() > 1, "they have not met: {routes:?}");
    // Whoever met another in the brakes' row goes on later.
    put(&scene, QueueName::AlertsEnriched, &bodies).await;
    scene.pass(seconds(10));
    scene.settle(minutes(5)).await;
    for number in 1..=4 {
        let (alert, claim) = (format!("x{number}"), scene.claim(number).await.unwrap());
        assert_eq!(accepted(&scene, number), 1, "{answers:?}");
        assert_eq!(claim.alert.as_ref().map(|alert| alert.as_str()), Some(alert.as_str()));
        let action = scene.simulator.with(|world| world.actions_of(device(number).as_str())[0].clone());
        let comment = action.requestor_comment;
        assert!(comment.contains(&claim.id.marker()), "{comment}");
        assert!(comment.contains(&format!("alert {alert},")), "{comment}");
        let last = scene.case(&alert).await.last;
        assert_eq!((last.claim, last.state), (Some(claim.id), Some(EffectState::Succeeded)));
        assert_eq!(last.device.known().map(|known| &known.id), Some(&device(number)));
        assert_eq!(last.action.map(|id| id.to_string()), Some(action.id));
    }
    scene.end().await;
}

/// Every queue repeats and reorders; `track` and `notify` are the host's own, over the same store.
#[tokio::test]
async fn over_unruly_queues_every_device_is_isolated_once_and_people_are_told_once() {
    for seed in 0..12 {
        let mut world = World::new(noon());
        for number in 1..=3 {
            world = world.machine(workstation(number));
            world =
                world.alert(high(&format!("x{number}"), number)).alert(high(&format!("y{number}"), number));
        }
        let mut scene = Scene::new(world).await;
        let unruly = Arc::new(Unruly::new(scene.store.clone(), seed));
        let respond = responding(&scene, Watched::new(&scene, |_| Fate::Happens));
        scene.poll().await;
        // What was found is repeated by hand: the host's `enrich` takes it from the store.
        repeat(&scene, QueueName::AlertsFound, 2).await;
        while scene.host.consume(QueueName::AlertsFound, scene.now).await.unwrap() > 0 {}
        for _ in 0..60 {
            let deliveries = unruly.receive(QueueName::AlertsEnriched, 3, scene.now).await.unwrap();
            for delivery in &deliveries {
                match handle(&respond, &delivery.body, scene.now).await {
                    Disposition::Done => {
                        unruly.done(QueueName::AlertsEnriched, &delivery.receipt).await.unwrap()
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        repeat(&scene, QueueName::ActionsTaken, 3).await;
        scene.settle(minutes(5)).await;
        for number in 1..=3 {
            assert_eq!(accepted(&scene, number), 1, "seed {seed}");
            assert_eq!(scene.claim(number).await.unwrap().state, EffectState::Succeeded, "seed {seed}");
        }
        assert_eq!(scene.isolate_calls(), 3, "seed {seed}");
        assert_eq!(told(&scene, "isolation requested"), 6, "seed {seed}: {:#?}", scene.subjects());
        assert_eq!(told(&scene, "isolation succeeded"), 3, "seed {seed}: {:#?}", scene.subjects());
        assert_eq!(scene.count(ports::Count::NotificationsSent), 9, "seed {seed}");
        scene.end().await;
    }
}

#[tokio::test]
async fn a_message_of_another_step_is_set_aside_and_isolates_nobody() {
    let mut scene = Scene::new(one_alert()).await;
    scene.poll().await;
    let found = take(&scene, QueueName::AlertsFound).await;
    assert_eq!(found.len(), 1);
    for wrong in [QueueName::AlertsEnriched, QueueName::ActionsTaken] {
        put(&scene, wrong, &found).await;
    }
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 0);
    assert_eq!(scene.dead_letters().await.len(), 2, "{:#?}", scene.dead_letters().await);
    scene.end_with_dead_letters().await;
}
