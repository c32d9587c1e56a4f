//! Quotas: a "later" of the service is a rest for every hunt, for as long as it says, and nothing is lost by it.

use super::{REMOTE_TOOLS, ago, event, hunting, one_event, queries, table, tenant, told};
use crate::isolation::raise;
use ports::{HuntRest, Stored};
use scenarios::{Scene, Setup, hours, minutes, seconds};
use simulator::{Fault, FaultKind};

const QUERY: &str = "POST runHuntingQuery";

async fn rest(scene: &Scene) -> Option<HuntRest> {
    let rest: Option<Stored<HuntRest>> =
        scene.state().get(&HuntRest::key(&scene.tenant), scene.now).await.unwrap();
    rest.map(|stored| stored.value).filter(|rest| rest.until > scene.now)
}

fn throttled(scene: &Scene, retry_after: u64) {
    scene.simulator.with(|world| {
        world.faults.push(Fault::once(QUERY, FaultKind::Throttle { retry_after: Some(retry_after) }));
    });
}

#[tokio::test]
async fn a_minutes_quota_is_waited_for_and_the_row_is_found_after_it() {
    let mut scene = Scene::with(one_event(), hunting()).await;
    throttled(&scene, 40);
    assert_eq!(scene.hunt().await.announced, 0);
    assert!(rest(&scene).await.is_some());
    scene.pass(seconds(20));
    scene.hunt().await;
    assert_eq!(queries(&scene), 1, "nothing is asked before the time that the service said");
    scene.pass(seconds(25));
    assert_eq!(scene.hunt().await.announced, 1);
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn an_hours_quota_rests_every_hunt_and_the_polls_go_on() {
    let second = REMOTE_TOOLS.1.replace("simulated: remote-tools", "simulated: another");
    let setup = Setup::hunting(&[REMOTE_TOOLS, ("zz-another", &second)]);
    let mut scene = Scene::with(one_event(), setup).await;
    throttled(&scene, 3_000);
    scene.hunt().await;
    assert_eq!(queries(&scene), 1, "the other hunt shares the quota");
    for _ in 0..9 {
        scene.pass(minutes(5));
        scene.hunt().await;
    }
    assert_eq!(queries(&scene), 1);
    raise(&mut scene, "a", 1);
    scene.run_once().await;
    assert!(scene.is_isolated(1), "alerts have a quota of their own");
    scene.pass(minutes(10));
    scene.hunt().await;
    assert!(queries(&scene) >= 3);
    scene.settle(minutes(5)).await;
    assert_eq!(scene.hunted().await.len(), 1);
    assert!(!scene.hunt_row(REMOTE_TOOLS.0).await.is_broken(), "a quota is no fault of a hunt");
    scene.end().await;
}

/// The simulated tenant counts by itself: 45 calls a minute, as documented.
#[tokio::test]
async fn twenty_hunts_stay_within_the_documented_calls_of_a_minute() {
    let names: Vec<String> = (0..20).map(|number| format!("hunt-{number}")).collect();
    let hunts: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), REMOTE_TOOLS.1)).collect();
    let mut scene = Scene::with(one_event(), Setup::hunting(&hunts)).await;
    for _ in 0..60 {
        scene.hunt().await;
        scene.pass(minutes(1));
    }
    let refused = scene.simulator.journal().iter().filter(|entry| entry.status == Some(429)).count();
    assert_eq!(refused, 0);
    for name in &names {
        assert!(scene.hunt_row(name).await.last_success.is_some(), "{name}");
    }
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 1, "twenty hunts have found one event on one device");
    scene.end().await;
}

/// On Defender's own interface queries may run for ten minutes in an hour.
#[tokio::test]
async fn when_the_run_time_of_the_hour_is_used_up_hunts_rest_and_go_on_where_they_stood() {
    let vars = vec![("DEFENDER_HUNTING_API".to_owned(), "defender".to_owned())];
    let world = tenant(2, table().takes(seconds(150)).row(ago(5), event(1, 1)));
    let mut scene = Scene::with(world, Setup { vars, ..hunting() }).await;
    for _ in 0..18 {
        scene.hunt().await;
        scene.pass(minutes(10));
    }
    let journal = scene.simulator.journal();
    let refused = journal.iter().filter(|entry| entry.status == Some(429)).count();
    assert!(refused >= 1, "it never came to the limit");
    assert!(refused <= 6, "it asked again before there was room: {refused}");
    let late = scene.now - minutes(1);
    scene.simulator.with(|world| {
        world.tables[0] = world.tables[0].clone().takes(seconds(1)).row(late, event(2, 2));
    });
    scene.pass(hours(2));
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    assert!(scene.is_isolated(1) && scene.is_isolated(2));
    assert_eq!(told(&scene, "broken"), 0, "{:#?}", scene.subjects());
    scene.end().await;
}
