//! Hunts whose rows are no alerts of Cordon's own: a table for people, and alerts that Defender is asked to make.

use super::{REMOTE_TOOLS, ago, event, queries, table, tenant, told};
use model::{Answer, Mode};
use scenarios::{Scene, Setup, hours, minutes, seconds};
use simulator::{Fault, FaultKind};

/// The hunt with another end.
fn ending(end: &str) -> Setup {
    let head = REMOTE_TOOLS.1.split("[alert]").next().unwrap();
    Setup::hunting(&[(REMOTE_TOOLS.0, &format!("{head}{end}"))])
}

fn as_table() -> Setup {
    ending("[table]\n")
}

fn as_defenders() -> Setup {
    ending(
        "[defender_alert]\ntitle = \"Unapproved remote tool {FileName}\"\nseverity = \"High\"\n\
         category = \"CommandAndControl\"\nrecommended_action = \"Ask the owner of the device\"\n",
    )
}

/// The reading app acts as well here, and may make alerts.
fn may_make_alerts(mut world: simulator::World) -> simulator::World {
    for app in &mut world.apps {
        app.roles.push("Alert.ReadWrite.All".to_owned());
    }
    world
}

#[tokio::test]
async fn a_table_is_sent_once_with_the_new_rows_alone_and_nothing_is_done() {
    let world = tenant(2, table().row(ago(5), event(1, 1)));
    let mut scene = Scene::with(world, as_table()).await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.mails().len(), 1);
    let mail = mail_text(&scene, 0);
    assert!(mail.contains("remoting.exe") && mail.contains("ws-1"), "{mail}");
    scene.pass(minutes(10));
    let at = scene.now - minutes(1);
    scene.simulator.with(|world| world.tables[0] = world.tables[0].clone().row(at, event(2, 2)));
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.mails().len(), 2, "{:#?}", scene.subjects());
    let mail = mail_text(&scene, 1);
    assert!(mail.contains("ws-2") && !mail.contains("ws-1"), "{mail}");
    scene.pass(minutes(30));
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    assert_eq!((scene.mails().len(), scene.isolate_calls()), (2, 0));
    scene.end().await;
}

fn mail_text(scene: &Scene, index: usize) -> String {
    let mails = scene.mails();
    let message = mail_parser::MessageParser::default().parse(mails[index].as_bytes()).unwrap();
    message.body_text(0).unwrap().into_owned()
}

#[tokio::test]
async fn an_alert_of_defenders_is_made_once_and_comes_back_to_be_judged_as_one_by_custom_rules() {
    let world = may_make_alerts(tenant(1, table().row(ago(5), event(1, 1)).row(ago(4), event(1, 2))));
    let mut scene = Scene::with(world, as_defenders()).await;
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    let made = scene.simulator.with(|world| world.alerts.clone());
    assert_eq!(made.len(), 1, "an open alert with the same title on the same device absorbs another");
    assert_eq!(scene.simulator.count("POST create alert"), 2);
    scene.pass(minutes(1));
    scene.run_once().await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.case(&made[0].id).await.last.decision.answer, Answer::Propose);
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (0, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn while_observing_and_while_paused_defender_is_not_asked_to_make_an_alert() {
    let world = || may_make_alerts(tenant(1, table().row(ago(5), event(1, 1))));
    let mut scene = Scene::with(world(), Setup { mode: Some(Mode::Observe), ..as_defenders() }).await;
    scene.hunt().await;
    scene.settle(hours(1)).await;
    assert_eq!(scene.simulator.count("POST create alert"), 0);
    scene.end().await;

    let mut scene = Scene::with(world(), as_defenders()).await;
    scene.pause().await;
    scene.hunt().await;
    scene.settle(hours(1)).await;
    assert_eq!(scene.simulator.count("POST create alert"), 0);
    assert!(told(&scene, REMOTE_TOOLS.0) <= 1, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn an_alert_that_defender_says_later_to_is_made_after_that_and_one_without_an_answer_is_made_once() {
    for fault in [FaultKind::Throttle { retry_after: Some(30) }, FaultKind::ResetAfter, FaultKind::Reset] {
        let world = may_make_alerts(tenant(1, table().row(ago(5), event(1, 1))));
        let mut scene = Scene::with(world, as_defenders()).await;
        scene.simulator.with(|world| world.faults.push(Fault::once("POST create alert", fault.clone())));
        scene.hunt().await;
        scene.settle(minutes(20)).await;
        assert_eq!(scene.simulator.with(|world| world.alerts.len()), 1, "{fault:?}");
        scene.end().await;
    }
}

#[tokio::test]
async fn an_event_that_defender_does_not_know_any_more_is_told() {
    let world = may_make_alerts(tenant(1, table().row(ago(5), event(1, 1))));
    let mut scene = Scene::with(world, as_defenders()).await;
    scene.hunt_without_working().await;
    scene.simulator.with(|world| world.tables.clear());
    scene.settle(minutes(20)).await;
    assert_eq!(scene.simulator.with(|world| world.alerts.len()), 0);
    assert_eq!(told(&scene, REMOTE_TOOLS.0), 1, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn more_rows_than_one_run_makes_known_follow_with_the_next_runs_and_people_hear_of_it_once() {
    let few = |text: &str| text.replace("identity =", "most = 3\nidentity =");
    let changed = few(REMOTE_TOOLS.1);
    let rows = (1..=8).fold(table(), |table, number| table.row(ago(5), event(number, number)));
    let mut setup = Setup::without_limits();
    setup.hunts = Setup::hunting(&[(REMOTE_TOOLS.0, &changed)]).hunts;
    let mut scene = Scene::with(tenant(8, rows), setup).await;
    let mut announced = Vec::new();
    for _ in 0..6 {
        announced.push(scene.hunt().await.announced);
        scene.pass(seconds(660));
    }
    assert!(announced.iter().all(|count| *count <= 3), "{announced:?}");
    assert_eq!(announced.iter().sum::<usize>(), 8, "{announced:?}");
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 8);
    let crowded = scene.subjects().iter().filter(|subject| subject.contains(REMOTE_TOOLS.0)).count();
    assert_eq!(crowded, 1, "{:#?}", scene.subjects());
    assert!(queries(&scene) < 20);
    scene.end().await;
}
