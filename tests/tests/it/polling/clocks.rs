//! Clocks that are wrong or jump, and a cursor that stands still: nothing is lost, and people hear of it.

use crate::{
    isolation::watched::{Access, Fate, Watched, polling},
    polling::{cursor, decided, found, low},
};
use jiff::SignedDuration;
use ports::{Stored, Trouble};
use scenarios::{Scene, high, minutes, noon, workstation};
use simulator::World;

const DAY: i64 = 24 * 60;

fn told(scene: &Scene, what: &str) -> usize {
    scene.subjects().iter().filter(|subject| subject.contains(what)).count()
}

async fn trouble(scene: &Scene, name: &str) -> Option<Trouble> {
    let stored: Option<Stored<Trouble>> =
        scene.state().get(&Trouble::key(&scene.tenant, name), scene.now).await.unwrap();
    stored.map(|stored| stored.value)
}

/// One poll and what follows from it, by a clock that differs from the tenant's.
async fn run_at(scene: &mut Scene, off: SignedDuration) {
    let now = scene.now + off;
    while scene.host.poll(now).await.unwrap().more {}
    scene.host.run_until_idle(now).await.unwrap();
}

fn tenant() -> World {
    World::new(noon()).machine(workstation(1)).machine(workstation(2)).alert(high("a", 1))
}

/// A new alert in the tenant, now.
fn another(scene: &Scene, id: &str) {
    let now = scene.now;
    scene.simulator.with(|world| world.alerts.push(low(id, now)));
}

#[tokio::test]
async fn a_clock_that_is_right_is_not_mentioned() {
    for off in [-4, 0, 4] {
        let mut scene = Scene::new(tenant()).await;
        run_at(&mut scene, minutes(off)).await;
        assert_eq!((told(&scene, "clock"), trouble(&scene, "clock").await), (0, None), "{off}");
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_once_a_day() {
    for (off, words) in [(-6, "6 minutes behind"), (6, "6 minutes ahead of"), (-DAY, "1440 minutes behind")] {
        let mut scene = Scene::new(tenant()).await;
        for _ in 0..3 {
            run_at(&mut scene, minutes(off)).await;
            scene.pass(minutes(1));
        }
        assert_eq!(told(&scene, "the clock is wrong"), 1, "{off}: {:#?}", scene.subjects());
        let why = trouble(&scene, "clock").await.unwrap().why;
        assert!(why.contains(words), "{why}");
        scene.pass(minutes(DAY));
        run_at(&mut scene, minutes(off)).await;
        assert_eq!(told(&scene, "the clock is wrong"), 2, "{off}: {:#?}", scene.subjects());
    }
}

#[tokio::test]
async fn a_clock_that_jumps_back_an_hour_hides_no_alert_and_repeats_none() {
    let mut scene = Scene::new(tenant()).await;
    run_at(&mut scene, minutes(0)).await;
    for number in 0..90 {
        scene.pass(minutes(1));
        another(&scene, &format!("n{number}"));
        run_at(&mut scene, minutes(-60)).await;
        assert_eq!(found(&scene), 2 + number, "found in the minute in which it came");
    }
    scene.pass(minutes(1));
    run_at(&mut scene, minutes(0)).await;
    assert_eq!((found(&scene), decided(&scene), scene.isolate_calls()), (91, 91, 1));
    assert_eq!((told(&scene, "the clock is wrong"), told(&scene, "stuck"), told(&scene, "late")), (1, 0, 0));
}

#[tokio::test]
async fn a_clock_that_jumps_forward_a_day_and_back_again_loses_no_alert() {
    let mut scene = Scene::new(tenant()).await;
    run_at(&mut scene, minutes(0)).await;
    for number in 0..20 {
        scene.pass(minutes(1));
        another(&scene, &format!("n{number}"));
        run_at(&mut scene, if (5..15).contains(&number) { minutes(DAY) } else { minutes(0) }).await;
        assert_eq!(found(&scene), 2 + number);
        assert_eq!(cursor(&scene).await.stamp, scene.now, "the cursor goes by the tenant's stamps");
    }
    assert_eq!(decided(&scene), 21);
    assert_eq!((told(&scene, "the clock is wrong"), told(&scene, "stuck"), told(&scene, "late")), (1, 0, 0));
}

#[tokio::test]
async fn a_first_run_by_a_clock_that_is_a_day_ahead_is_told_and_begins_anew_when_it_is_right() {
    let mut scene = Scene::new(tenant()).await;
    run_at(&mut scene, minutes(DAY)).await;
    assert_eq!((found(&scene), told(&scene, "the clock is wrong")), (0, 1), "{:#?}", scene.subjects());
    scene.pass(minutes(2));
    run_at(&mut scene, minutes(0)).await;
    assert_eq!(found(&scene), 1);
    assert!(scene.is_isolated(1) || scene.isolate_calls() == 1);
}

#[tokio::test]
async fn a_cursor_that_stands_still_while_polls_succeed_is_told_once_a_day() {
    let mut scene = Scene::new(tenant()).await;
    scene.run_once().await;
    let stuck = cursor(&scene).await.stamp;
    // Whatever writes the cursor says that it has, as a state that was put back does.
    let forgetful = || {
        Watched::new(&scene, |access| match access {
            Access::Write(text) if text.contains("\"floor\"") => Fate::Pretends,
            _ => Fate::Happens,
        })
    };
    let stores = [forgetful(), forgetful(), forgetful()];
    for (number, store) in stores.into_iter().enumerate() {
        scene.pass(minutes(1));
        another(&scene, &format!("n{number}"));
        let polled = polling(&scene, store).run(scene.now).await.unwrap();
        assert_eq!(polled.announced, 1);
        scene.work().await;
    }
    assert_eq!(cursor(&scene).await.stamp, stuck);
    assert_eq!(told(&scene, "something is stuck"), 1, "{:#?}", scene.subjects());
    let why = trouble(&scene, "cursor").await.unwrap().why;
    assert!(why.contains(&format!("the cursor stands at {stuck}")), "{why}");
    // What was read in vain is not repeated, and a cursor that moves is no trouble.
    scene.pass(minutes(1));
    scene.run_once().await;
    assert_eq!((decided(&scene), cursor(&scene).await.stamp), (4, scene.now - minutes(1)));
    assert!(trouble(&scene, "cursor").await.unwrap().at < scene.now);
    scene.end().await;
}
