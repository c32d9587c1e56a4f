//! What Cordon's app does without Cordon is an alarm, and pauses.

use super::{carry_out, hours, isolate, outcome, stories, tell_story, told, wait};
use crate::isolation::{go_offline, person_isolates, person_releases};
use model::{EffectState, Wanted};
use scenarios::{Scene, device, minutes, workstation};
use simulator::{ActionType, DEFAULT_CLIENT};

const ALARM: &str = "a machine action that Cordon does not know";

fn act_alone(scene: &Scene, kind: ActionType, number: u32) -> String {
    let id = device(number);
    scene.simulator.with(|world| world.act_as(DEFAULT_CLIENT, kind, id.as_str()))
}

#[tokio::test]
async fn a_machine_action_by_cordons_app_that_it_did_not_ask_for_alarms_once_and_pauses() {
    for kind in [ActionType::Isolate, ActionType::Unisolate] {
        let mut scene = Scene::new(stories(1).machine(workstation(2)).machine(workstation(3))).await;
        scene.run_once().await;
        scene.settle(minutes(5)).await;
        let action = act_alone(&scene, kind, 2);
        for _ in 0..12 {
            wait(&mut scene, minutes(5)).await;
        }
        let pause = scene.brakes().await.pause.unwrap();
        assert!(pause.why.contains(&action) && pause.by == "cordon", "{pause:?}");
        assert_eq!(told(&scene, ALARM), 1, "{kind:?}: {:#?}", scene.subjects());
        tell_story(&mut scene, "b", 3);
        scene.run_once().await;
        assert_eq!(outcome(&scene, "b").await.1, Some(EffectState::Held));
        assert_eq!(scene.isolate_calls(), 1);
        scene.resume().await;
        wait(&mut scene, hours(3)).await;
        assert_eq!((scene.brakes().await.pause, told(&scene, ALARM)), (None, 1), "it is known by now");
        scene.end().await;
    }
}

#[tokio::test]
async fn what_cordon_and_people_do_is_no_alarm() {
    let mut scene = Scene::new(stories(4).machine(workstation(5))).await;
    go_offline(&scene, 2);
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    for number in 1..=2 {
        carry_out(&mut scene, Wanted::Release, number).await;
    }
    carry_out(&mut scene, isolate(), 5).await;
    person_releases(&scene, 3);
    scene.pass(minutes(1));
    person_isolates(&scene, 3);
    for _ in 0..30 {
        wait(&mut scene, minutes(5)).await;
    }
    assert_eq!((scene.brakes().await.pause, told(&scene, ALARM)), (None, 0), "{:#?}", scene.subjects());
    scene.end().await;
}
