//! What becomes of a row that is an alert: the hunt's own word, the policy, the guarantees, the limits and the mode.

use super::{
    REMOTE_TOOLS, ago, cases, event, hunting, hunting_with, one_event, outcome, table, tenant, the_case, told,
};
use crate::isolation::{put, take};
use model::{Answer, EffectState, Hunted, Mode};
use policy::Texts;
use ports::QueueName;
use scenarios::{Scene, Setup, device, high, hours, minutes, noon, shipped_playbook};
use simulator::{Fault, FaultKind, Machine, World};
use std::{fs, sync::Arc};

#[tokio::test]
async fn a_row_of_a_hunt_that_may_isolate_cuts_its_device_off_under_the_policy_and_people_are_told() {
    let mut scene = Scene::with(one_event(), hunting()).await;
    let ran = scene.hunt().await;
    assert_eq!((ran.ran, ran.announced), (1, 1));
    scene.settle(minutes(5)).await;
    assert!(scene.is_isolated(1));
    let case = the_case(&scene).await;
    let alert = &case.last.alert;
    assert_eq!((case.last.decision.answer, case.last.state), (Answer::Isolate, Some(EffectState::Succeeded)));
    assert_eq!(alert.hunted, Some(Hunted { hunt: REMOTE_TOOLS.0.to_owned(), may_isolate: true }));
    assert_eq!(alert.title, "remoting.exe was started on ws-1.contoso.com");
    assert_eq!(alert.detection_source.as_deref(), Some(Hunted::SOURCE));
    assert_eq!((alert.last_event, alert.created), (Some(ago(5)), Some(noon())));
    assert_eq!(alert.techniques, ["T1219"]);
    assert_eq!(alert.evidence.len(), 1, "{alert:#?}");
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2), "{:#?}", scene.subjects());
    // Defender knows no such alert, and is not asked about it.
    for route in ["GET alert", "PATCH alert", "GET incident"] {
        assert_eq!(scene.simulator.count(route), 0, "{route}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_hunt_that_does_not_say_that_it_may_isolate_asks_a_person_whatever_the_policy_permits() {
    let says = |text: &str| text.replace("may_isolate = true", "may_isolate = false");
    let silent = |text: &str| text.replace("may_isolate = true\n", "");
    for setup in [hunting_with(says), hunting_with(silent)] {
        let mut scene = Scene::with(one_event(), setup).await;
        scene.hunt().await;
        scene.settle(minutes(5)).await;
        assert_eq!(outcome(&scene).await, (Answer::Propose, Some(EffectState::Proposed)));
        assert_eq!(scene.isolate_calls(), 0);
        scene.end().await;
    }
    // Also under a policy that permits isolating for every High alert and forbids nothing.
    let permit = "@id(\"all\")\n@reason(\"the alert is High\")\n\
                  permit (principal, action == Action::\"isolate\", resource) when { resource.severity == \"High\" };";
    let setup = Setup { playbook: ruled_by(permit).playbook, ..hunting_with(says) };
    let mut scene = Scene::with(one_event(), setup).await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    let case = the_case(&scene).await;
    assert_eq!(case.last.decision.answer, Answer::Refused);
    let doubts = case.last.decision.doubts.join("; ");
    assert!(doubts.contains("may_isolate"), "{doubts}");
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (0, 1));
    scene.end().await;
}

/// A policy in place of the shipped one, beside the shipped guarantees.
fn ruled_by(policy: &str) -> Setup {
    let read = |file| fs::read_to_string(shipped_playbook().join(file)).unwrap();
    let (playbook, guarantees, assets) =
        (read("playbook.toml"), read("guarantees.cedar"), read("assets.toml"));
    let texts = Texts { playbook: &playbook, policy, guarantees: &guarantees, assets: &assets };
    let playbook = policy::Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{problems}"));
    Setup { playbook: Some(Arc::new(playbook)), ..Setup::default() }
}

#[tokio::test]
async fn a_row_about_a_device_that_a_guarantee_protects_is_refused_although_hunt_and_policy_permit_it() {
    let permit = "@id(\"all\")\n@reason(\"the alert is High\")\n\
                  permit (principal, action == Action::\"isolate\", resource) when { resource.severity == \"High\" };";
    let server = Machine::new(device(9).as_str(), "dc01.contoso.com", "WindowsServer2022", noon() - hours(1));
    let world = tenant(1, table().row(ago(5), event(9, 1)).row(ago(4), event(1, 2))).machine(server);
    let setup = Setup { hunts: hunting().hunts, ..ruled_by(permit) };
    let mut scene = Scene::with(world, setup).await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    let of = |cases: Vec<ports::CaseRow>, number| {
        cases.into_iter().find(|case| case.about == Some(device(number))).unwrap().last
    };
    let refused = of(cases(&scene).await, 9);
    assert_eq!(refused.decision.answer, Answer::Refused);
    let doubts = refused.decision.doubts.join("; ");
    assert!(doubts.contains("guarantee"), "{doubts}");
    assert!(!scene.is_isolated(9));
    assert_eq!(of(cases(&scene).await, 1).decision.answer, Answer::Isolate);
    assert!(scene.is_isolated(1));
    assert_eq!(scene.isolate_calls(), 1);
    scene.end().await;
}

#[tokio::test]
async fn two_rows_about_one_device_are_one_isolation() {
    let world = tenant(1, table().row(ago(5), event(1, 1)).row(ago(4), event(1, 2)));
    let mut scene = Scene::with(world, hunting()).await;
    assert_eq!(scene.hunt().await.announced, 2);
    scene.settle(minutes(5)).await;
    assert_eq!((scene.isolate_calls(), cases(&scene).await.len()), (1, 2));
    assert!(scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn a_row_and_an_alert_of_defenders_about_one_device_are_one_isolation() {
    let world = one_event().alert(high("a", 1));
    let mut scene = Scene::with(world, hunting()).await;
    scene.hunt().await;
    scene.poll().await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 1);
    // Whichever came second has joined the other's.
    let (row, alert) = (the_case(&scene).await.last, scene.case("a").await.last);
    assert_eq!((row.decision.answer, alert.decision.answer), (Answer::Isolate, Answer::Isolate));
    assert_eq!(row.claim, alert.claim);
    assert!([row.state, alert.state].contains(&Some(EffectState::Succeeded)), "{row:#?} {alert:#?}");
    scene.end().await;
}

#[tokio::test]
async fn what_a_hunt_found_while_observing_is_never_acted_upon() {
    let setup = Setup { mode: Some(Mode::Observe), ..hunting() };
    let mut scene = Scene::with(one_event(), setup).await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    assert_eq!(outcome(&scene).await, (Answer::Isolate, Some(EffectState::Observed)));
    scene.restart_with(hunting());
    for _ in 0..4 {
        scene.pass(minutes(10));
        scene.hunt().await;
        scene.settle(minutes(1)).await;
    }
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (0, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_row_that_is_too_old_to_act_upon_is_left_to_people() {
    let old = |text: &str| text.replace("look_back = \"1h\"", "look_back = \"12h\"");
    let world = tenant(1, table().row(ago(6 * 60), event(1, 1)));
    let mut scene = Scene::with(world, hunting_with(old)).await;
    assert_eq!(scene.hunt().await.announced, 1);
    scene.settle(minutes(5)).await;
    assert_ne!(outcome(&scene).await.0, Answer::Isolate);
    assert_eq!(scene.isolate_calls(), 0);
    scene.end().await;
}

#[tokio::test]
async fn a_hunt_that_matches_every_device_is_stopped_by_its_breaker() {
    let world = (1..=9).fold(tenant(9, table()), |mut world: World, number| {
        world.tables[0] = world.tables[0].clone().row(ago(5), event(number, number));
        world
    });
    let mut scene = Scene::with(world, hunting()).await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 5, "as many as the shipped breaker lets through");
    assert_eq!(scene.held().await.len(), 4);
    scene.end().await;
}

#[tokio::test]
async fn a_row_without_a_usable_device_is_refused_and_told() {
    for device in [serde_json::json!("ws-1.contoso.com"), serde_json::Value::Null] {
        let mut row = event(1, 1);
        row["DeviceId"] = device;
        let mut scene = Scene::with(tenant(1, table().row(ago(5), row)), hunting()).await;
        scene.hunt().await;
        scene.settle(minutes(5)).await;
        assert_eq!(the_case(&scene).await.last.decision.answer, Answer::Refused);
        assert_eq!((scene.isolate_calls(), scene.mails().len()), (0, 1));
        scene.end().await;
    }
}

#[tokio::test]
async fn a_person_who_gave_the_device_back_is_not_undone_by_the_next_row() {
    let mut scene = Scene::with(one_event(), hunting()).await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    assert!(scene.is_isolated(1));
    scene.simulator.with(|world| world.release_by_person(device(1).as_str(), "analyst@contoso.com"));
    scene.pass(minutes(10));
    let at = scene.now - minutes(1);
    scene.simulator.with(|world| world.tables[0] = world.tables[0].clone().row(at, event(1, 2)));
    assert_eq!(scene.hunt().await.announced, 1);
    scene.settle(minutes(5)).await;
    let states: Vec<Answer> = cases(&scene).await.iter().map(|case| case.last.decision.answer).collect();
    assert!(states.contains(&Answer::Propose), "{states:?}");
    assert_eq!(scene.isolate_calls(), 1);
    assert!(told(&scene, "remoting.exe") > 0, "{:#?}", scene.subjects());
    assert!(!scene.is_isolated(1));
    scene.end().await;
}

/// Before `release_after` gives a device back, the other alerts of its incident are looked at; a row has none.
#[tokio::test]
async fn what_a_hunt_has_cut_off_no_timer_gives_back_and_people_hear_of_it_once() {
    let mut setup = Setup::playing(|settings| settings.isolation.release_after = Some(hours(24)));
    setup.hunts = hunting().hunts;
    let mut scene = Scene::with(one_event(), setup).await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    let before = scene.mails().len();
    for _ in 0..20 {
        scene.pass(hours(3));
        scene.settle(minutes(30)).await;
    }
    assert!(scene.is_isolated(1));
    let after: Vec<String> = scene.subjects().split_off(before);
    assert_eq!(after.len(), 1, "{after:#?}");
    assert!(after[0].contains("release"), "{after:#?}");
    for route in ["POST unisolate", "GET alert", "GET incident"] {
        assert_eq!(scene.simulator.count(route), 0, "{route}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_comment_is_written_on_defenders_alert_alone() {
    let mut setup = Setup::playing(|settings| settings.isolation.comment_on_alert = true);
    setup.hunts = hunting().hunts;
    let mut world = one_event().alert(high("a", 1));
    for app in &mut world.apps {
        app.roles.push("Alert.ReadWrite.All".to_owned());
        app.graph_roles.push("SecurityAlert.ReadWrite.All".to_owned());
    }
    let mut scene = Scene::with(world, setup).await;
    scene.poll().await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    let commented = scene.simulator.with(|world| world.comments_on("a").len());
    assert!(commented > 0, "nothing was written");
    assert_eq!(scene.simulator.count("PATCH alert"), commented);
    scene.end().await;
}

#[tokio::test]
async fn a_row_that_was_held_back_goes_on_when_a_person_says_so_without_asking_defender_about_it() {
    let mut scene = Scene::with(one_event(), hunting()).await;
    scene.pause().await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    assert_eq!((outcome(&scene).await.1, scene.isolate_calls()), (Some(EffectState::Held), 0));
    scene.resume().await;
    let held = scene.held().await;
    scene.run_held(&held[0]).await;
    scene.settle(minutes(5)).await;
    assert!(scene.is_isolated(1));
    assert_eq!((scene.isolate_calls(), scene.simulator.count("GET alert")), (1, 0));
    scene.end().await;
}

#[tokio::test]
async fn a_row_whose_isolation_got_no_answer_is_settled_by_its_mark() {
    let mut scene = Scene::with(one_event(), hunting()).await;
    scene.simulator.with(|world| world.faults.push(Fault::once("POST isolate", FaultKind::ResetAfter)));
    scene.hunt().await;
    scene.settle(minutes(10)).await;
    assert_eq!(outcome(&scene).await, (Answer::Isolate, Some(EffectState::Succeeded)));
    assert_eq!((scene.isolate_calls(), scene.simulator.count("GET alert")), (1, 0));
    scene.end().await;
}

#[tokio::test]
async fn a_row_that_is_put_back_two_weeks_later_isolates_nobody() {
    let mut scene = Scene::with(one_event(), hunting()).await;
    scene.hunt_without_working().await;
    let found = take(&scene, QueueName::AlertsFound).await;
    scene.pass(hours(14 * 24));
    put(&scene, QueueName::AlertsFound, &found).await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 0);
    assert_eq!(outcome(&scene).await.0, Answer::Refused);
    scene.end().await;
}

#[tokio::test]
async fn what_a_hunt_has_joined_no_timer_gives_back_whatever_alert_came_first() {
    let mut setup = Setup::playing(|settings| settings.isolation.release_after = Some(hours(24)));
    setup.hunts = hunting().hunts;
    let mut scene = Scene::with(one_event().alert(high("a", 1)), setup).await;
    scene.poll().await;
    scene.settle(minutes(5)).await;
    let claim = scene.claim(1).await.unwrap();
    assert_eq!((claim.alert.as_ref().map(|alert| alert.as_str()), claim.hunted), (Some("a"), false));
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    let claim = scene.claim(1).await.unwrap();
    assert_eq!((claim.alert.as_ref().map(|alert| alert.as_str()), claim.hunted), (Some("a"), true));
    assert_eq!(scene.isolate_calls(), 1);
    let before = scene.mails().len();
    for _ in 0..20 {
        scene.pass(hours(3));
        scene.settle(minutes(30)).await;
    }
    assert!(scene.is_isolated(1));
    let after: Vec<String> = scene.subjects().split_off(before);
    assert_eq!(after.len(), 1, "{after:#?}");
    assert_eq!(scene.simulator.count("POST unisolate"), 0);
    scene.end().await;
}
