//! What becomes visible later than the overlap: found within the hour, judged like all others, and told to people.

use crate::polling::{cursor, decided, dying, found, low};
use jiff::Timestamp;
use model::{AlertId, EffectState};
use scenarios::{Scene, Setup, device, high, minutes, noon, seconds, workstation};
use simulator::{Evidence, World};

/// Polls every minute for so long.
async fn poll_for(scene: &mut Scene, time: i64) {
    for _ in 0..time {
        scene.pass(minutes(1));
        scene.run_once().await;
    }
}

/// A High alert on the second workstation that is created and last updated at this time.
fn late(at: Timestamp) -> simulator::Alert {
    simulator::Alert::new("late", device(2).as_str(), at).on(&workstation(2))
}

/// How many of the mails say that alerts were found late.
fn told_late(scene: &Scene) -> usize {
    scene.subjects().iter().filter(|subject| subject.contains("found late")).count()
}

/// A tenant in which something happens once a minute, so that the cursor moves, and one alert is late.
fn busy(late: simulator::Alert) -> World {
    let mut world = World::new(noon()).machine(workstation(1)).machine(workstation(2)).alert(late);
    for minute in 0..240 {
        let at = noon() + minutes(minute);
        world = world.alert(low(&format!("b{minute}"), at).visible_at(at));
    }
    world
}

#[tokio::test]
async fn an_alert_that_becomes_visible_later_than_the_overlap_is_acted_upon_and_people_hear_that_it_was_late()
{
    let late = late(noon() + minutes(30));
    let mut scene = Scene::new(busy(late.visible_at(noon() + minutes(41) + seconds(30)))).await;
    scene.run_once().await;
    poll_for(&mut scene, 58).await;
    assert!(!scene.is_isolated(2), "the ordinary windows do not reach it");
    poll_for(&mut scene, 3).await;
    assert!(scene.is_isolated(2));
    assert_eq!((scene.isolate_calls(), told_late(&scene)), (1, 1), "{:#?}", scene.subjects());
    let mail = scene.mails().into_iter().find(|mail| mail.contains("found late")).unwrap();
    assert!(mail.contains("poll.overlap") && mail.contains("alert late, last updated"), "{mail}");
    assert_eq!(cursor(&scene).await.stamp, noon() + minutes(61), "a look back does not move the cursor back");
    poll_for(&mut scene, 120).await;
    assert_eq!((scene.isolate_calls(), told_late(&scene)), (1, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_late_alert_that_is_too_old_to_act_upon_is_refused_and_told() {
    let late = late(noon() - minutes(10));
    let mut scene = Scene::new(busy(late.visible_at(noon() + minutes(235)))).await;
    for _ in 0..61 {
        scene.pass(minutes(5));
        scene.run_once().await;
    }
    assert_eq!(scene.case("late").await.last.state, Some(EffectState::Refused));
    assert_eq!((scene.isolate_calls(), told_late(&scene)), (0, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_look_back_costs_one_call_an_hour_and_finds_nothing_where_nothing_was_late() {
    let mut scene = Scene::new(busy(low("early", noon() - minutes(1)))).await;
    scene.run_once().await;
    poll_for(&mut scene, 59).await;
    assert_eq!(scene.simulator.count("GET alerts"), 60);
    poll_for(&mut scene, 1).await;
    assert_eq!(scene.simulator.count("GET alerts"), 62, "the sixty-first poll looked back");
    poll_for(&mut scene, 60).await;
    assert_eq!(scene.simulator.count("GET alerts"), 123);
    assert_eq!((found(&scene), decided(&scene), told_late(&scene)), (122, 122, 0));
    scene.end().await;
}

#[tokio::test]
async fn after_a_long_outage_nothing_is_late() {
    let mut scene = Scene::new(busy(low("early", noon() - minutes(1)))).await;
    scene.run_once().await;
    scene.pass(minutes(200));
    scene.restart();
    scene.run_once().await;
    poll_for(&mut scene, 62).await;
    assert_eq!((found(&scene), told_late(&scene)), (239, 0), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_late_change_of_a_known_alert_is_judged_and_told() {
    let mut scene = Scene::new(busy(high("late", 2).severity("Medium"))).await;
    scene.run_once().await;
    poll_for(&mut scene, 30).await;
    // The change bears an old time: the service has shown it only now.
    scene.simulator.with(|world| {
        let alert = world.alerts.iter_mut().find(|alert| alert.id == "late").unwrap();
        alert.severity = "High".to_owned();
        alert.last_update_time = Some(noon() + minutes(5));
    });
    poll_for(&mut scene, 31).await;
    assert!(scene.is_isolated(2));
    assert_eq!(told_late(&scene), 1);
    scene.end().await;
}

#[tokio::test]
async fn evidence_that_could_not_be_listed_at_first_is_no_late_alert() {
    let file = Evidence::file(noon(), "C:\\Temp", "a.exe", "5b1f0a6c3d9e48277a60b1c4de35f8092b7c6e01");
    let mut world = busy(high("a", 2).severity("Medium").evidence(vec![file]));
    world.most_expanded = Some(0);
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    poll_for(&mut scene, 45).await;
    scene.simulator.with(|world| world.most_expanded = None);
    poll_for(&mut scene, 20).await;
    let id: AlertId = "a".parse().unwrap();
    let known = super::announced(&scene, &id).await;
    assert_eq!((known.revisions.len(), known.evidence.len()), (2, 1), "the evidence was taken in");
    assert_eq!(told_late(&scene), 0);
    scene.end().await;
}

#[tokio::test]
async fn a_poll_that_dies_at_any_write_while_it_looks_back_tells_once_and_loses_nothing() {
    let mut number = 0;
    loop {
        number += 1;
        let mut done = false;
        for last in dying::LAST {
            let late = late(noon() + minutes(5));
            let mut scene = Scene::new(busy(late.visible_at(noon() + minutes(59)))).await;
            scene.run_once().await;
            for _ in 0..12 {
                scene.pass(minutes(5) - seconds(1));
                scene.run_once().await;
            }
            scene.pass(minutes(1));
            done = dying::poll(&scene, number, last).await.is_ok();
            scene.pass(minutes(1));
            scene.restart();
            scene.run_once().await;
            assert!(scene.is_isolated(2), "write {number}, {last:?}");
            assert_eq!((scene.isolate_calls(), told_late(&scene)), (1, 1), "write {number}, {last:?}");
            scene.end().await;
        }
        if done {
            break;
        }
    }
    assert!(number > 6, "each was tried: {number}");
}

#[tokio::test]
async fn a_look_back_goes_no_further_than_the_first_run_did() {
    let mut scene = Scene::with(busy(late(noon() - minutes(16))), Setup::looking_back(minutes(15))).await;
    scene.run_once().await;
    poll_for(&mut scene, 62).await;
    assert!(!scene.is_isolated(2));
    assert_eq!(told_late(&scene), 0);
    scene.end().await;
}
