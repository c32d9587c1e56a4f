//! What an operator does on a deployed stack, by the `cordon` that was built: the last story on AWS, after those of
//! `two_hosts.rs` and on what they have left.
//!
//! The operator has credentials of AWS and none of Defender: orders are carried out by the function Respond. What each
//! command says in detail is tested in `cli/tests`; here it is what a stack makes of it.

use crate::two_hosts::{PATIENCE, begins, high, isolated_once, raise, workstation};
use ports::QueueName;
use scenarios::{Deployed, Stage, device};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The device that the stories isolated on account of the alert `high`.
const ISOLATED: u32 = 1;
/// One whose alert comes during a pause.
const HELD: u32 = 95;
/// One without an alert.
const BY_HAND: u32 = 96;

/// Why and by whom, for every command that asks.
const DRILL: [&str; 4] = ["--comment", "a drill", "--by", "Alice"];

pub(crate) async fn told(stage: &mut Deployed) {
    begins(stage, "the operator's hand");
    // Some of the stories take minutes: a poll that is long ago would be worth a word.
    stage.poll().await;
    stage.rest(PATIENCE).await;
    only_its_own_stack_is_worked_on(stage);
    how_it_stands_is_seen(stage);
    nothing_is_isolated_during_a_pause(stage).await;
    a_device_is_released_during_it(stage).await;
    what_was_held_goes_on(stage).await;
    a_device_is_isolated_by_hand(stage).await;
    a_dead_letter_is_put_back_and_dropped(stage).await;
    a_sample_is_sent_by_the_function(stage);
    let status = stage.cordon(&["status", "--json"]).json(0);
    assert_eq!(status["attention"], json!([]), "{status:#}");
    stage.nothing_is_left().await;
}

/// With the rights that the function has, not with ours.
fn a_sample_is_sent_by_the_function(stage: &Deployed) {
    let report = stage.cordon(&["notify-test", "--all", "--json"]).json(0);
    let channels = report["channels"].as_array().unwrap();
    assert_eq!(channels.len(), 2, "mail and the topic: {report:#}");
    for channel in channels {
        assert_eq!(channel["taken"], json!(true), "{report:#}");
        assert!(channel["subject"].as_str().unwrap().contains("TEST"), "{report:#}");
    }
}

/// A command that takes a reason.
fn by_hand(stage: &Deployed, arguments: &[&str]) -> Value {
    stage.cordon(&[arguments, &DRILL, &["--json"]].concat()).json(0)
}

fn is_isolated(stage: &Deployed, number: u32) -> bool {
    stage.simulator().with(|world| world.is_isolated(device(number).as_str()))
}

/// The devices that `cordon isolated` names.
fn isolated(stage: &Deployed) -> BTreeSet<String> {
    let report = stage.cordon(&["isolated", "--json"]).json(0);
    let rows = report["isolated"].as_array().unwrap().iter();
    rows.map(|row| row["device"].as_str().unwrap().to_owned()).collect()
}

/// The one order of a report was taken by the service, and nothing more is claimed.
#[track_caller]
fn was_requested(report: &Value, number: u32) {
    let orders = report["orders"].as_array().unwrap();
    assert_eq!(orders.len(), 1, "{report:#}");
    assert_eq!(orders[0]["device"], device(number).as_str(), "{report:#}");
    assert_eq!(orders[0]["answered"]["state"], "requested", "{report:#}");
}

fn only_its_own_stack_is_worked_on(stage: &Deployed) {
    let another = [("DEFENDER_TENANT_ID", "99999999-2222-3333-4444-555555555555")];
    for command in ["status", "check"] {
        stage.cordon_with(&[command], &another).complains(2, "another tenant");
    }
    let tenant = stage.tenant().to_string();
    stage.cordon_with(&["limits", "--json"], &[("DEFENDER_TENANT_ID", &tenant)]).json(0);
    stage.cordon_with(&["limits"], &[("AWS_REGION", "eu-north-1")]).complains(2, "eu-north-1");
}

fn how_it_stands_is_seen(stage: &Deployed) {
    let cut_off: BTreeSet<String> = stage.simulator().with(|world| {
        let machines = world.machines.iter().filter(|machine| world.is_isolated(&machine.id));
        machines.map(|machine| machine.id.clone()).collect()
    });
    // The playbook observes, as it ships: the stack was deployed to enforce.
    let status = stage.cordon(&["status", "--json"]).json(1);
    assert_eq!(
        (&status["mode"], &status["pause"], &status["open"]),
        (&json!("enforce"), &Value::Null, &json!([]))
    );
    assert_eq!(status["cut_off"], json!({"by_cordon": cut_off.len(), "by_others": 0}));
    assert_eq!(status["dead_letters"]["alerts-found"], 1, "{status:#}");
    let attention = status["attention"].as_array().unwrap();
    assert!(attention.len() == 1 && attention[0].as_str().unwrap().contains("set aside"), "{attention:#?}");

    assert_eq!(isolated(stage), cut_off);

    let life = stage.cordon(&["explain", "high", "--json"]).json(0);
    let case = &life["cases"][0];
    assert_eq!(
        (&case["about"], &case["last"]["state"]),
        (&json!(device(ISOLATED)), &json!("succeeded")),
        "{life:#}"
    );
    // Asked for and succeeded, each by mail and on the topic.
    assert_eq!(life["told"].as_array().unwrap().len(), 4, "{life:#}");
    stage.cordon(&["explain", "nobody-knows"]).complains(1, "the state of this stack");

    let limits = stage.cordon(&["limits", "--json"]).json(0);
    assert_eq!(
        (&limits["hour"]["most"], &limits["open_breakers"]),
        (&json!(1_000), &json!([])),
        "{limits:#}"
    );
    assert!(limits["hour"]["used"].as_u64().unwrap() >= cut_off.len() as u64, "{limits:#}");
    assert_eq!(stage.cordon(&["held", "--json"]).json(0), json!({ "held": [] }));

    let check = stage.cordon(&["check", "--json"]).json(0);
    assert_eq!(
        (&check["mode"], &check["to_enforce"][0]["ready"]),
        (&json!("enforce"), &json!(true)),
        "{check:#}"
    );
}

async fn nothing_is_isolated_during_a_pause(stage: &mut Deployed) {
    let paused = by_hand(stage, &["pause"]);
    assert_eq!(
        (&paused["paused"], &paused["changed"], &paused["held"]),
        (&json!(true), &json!(true), &json!(0))
    );
    let status = stage.cordon(&["status", "--json"]).json(1);
    assert_eq!((&status["pause"]["by"], &status["pause"]["why"]), (&json!("Alice"), &json!("a drill")));
    raise(stage, "held-for-the-operator", HELD, high);
    stage.poll().await;
    stage.rest(PATIENCE).await;

    let held = stage.cordon(&["held", "--json"]).json(0);
    assert_eq!(held["held"].as_array().unwrap().len(), 1, "{held:#}");
    assert_eq!(held["held"][0]["alert"], "held-for-the-operator");
    assert_eq!(stage.asked(HELD), 0);
    let status = stage.cordon(&["status", "--json"]).json(1);
    assert_eq!(status["held"]["count"], 1, "{status:#}");
}

async fn a_device_is_released_during_it(stage: &mut Deployed) {
    assert!(is_isolated(stage, ISOLATED));
    was_requested(&by_hand(stage, &["release", device(ISOLATED).as_str()]), ISOLATED);
    stage.rest(PATIENCE).await;
    assert!(!is_isolated(stage, ISOLATED));
    assert!(!isolated(stage).contains(device(ISOLATED).as_str()));
}

async fn what_was_held_goes_on(stage: &mut Deployed) {
    let resumed = by_hand(stage, &["resume"]);
    assert_eq!((&resumed["paused"], &resumed["held"]), (&json!(false), &json!(1)), "{resumed:#}");
    was_requested(&by_hand(stage, &["held", "run", "--all"]), HELD);
    stage.rest(PATIENCE).await;
    isolated_once(stage, "held-for-the-operator", HELD).await;
    assert_eq!(stage.cordon(&["held", "--json"]).json(0), json!({ "held": [] }));
}

async fn a_device_is_isolated_by_hand(stage: &mut Deployed) {
    stage.simulator().with(|world| world.machines.push(workstation(world, BY_HAND)));
    was_requested(&by_hand(stage, &["isolate", device(BY_HAND).as_str()]), BY_HAND);
    stage.rest(PATIENCE).await;
    assert!(is_isolated(stage, BY_HAND));
    assert_eq!(stage.asked(BY_HAND), 1);
}

async fn a_dead_letter_is_put_back_and_dropped(stage: &mut Deployed) {
    let list = stage.cordon(&["dead-letters", "--json"]).json(0);
    let first = the_one(&list);
    let letter = stage.cordon(&["dead-letters", "show", &first, "--json"]).json(0);
    assert_eq!((&letter["queue"], &letter["body"]), (&json!("alerts-found"), &json!("{\"kind\":\"poison\"")));
    let redriven = stage.cordon(&["dead-letters", "redrive", &first, "--json"]).json(0);
    assert_eq!(redriven["redriven"], json!([first]));
    stage.rest(PATIENCE).await;

    // Nothing was mended, so it comes back, as another one.
    let again = the_one(&stage.cordon(&["dead-letters", "--json"]).json(0));
    assert_ne!(again, first);
    stage.cordon(&[&["dead-letters", "drop", &first][..], &DRILL].concat()).complains(1, "nothing was done");
    assert_eq!(by_hand(stage, &["dead-letters", "drop", &again])["dropped"], json!([again]));
    assert_eq!(stage.cordon(&["dead-letters", "--json"]).json(0), json!({ "dead_letters": [] }));
    assert!(stage.dead_letters().await.is_empty());
    let gone = stage.cordon(&["dead-letters", "--dropped", "--json"]).json(0);
    assert_eq!(gone["dropped"].as_array().unwrap().len(), 1, "{gone:#}");
    let gone = &gone["dropped"][0];
    assert_eq!(
        (&gone["by"], &gone["why"], &gone["letter"]),
        (&json!("Alice"), &json!("a drill"), &json!(again))
    );
    assert_eq!(gone["queue"], QueueName::AlertsFound.as_str());
    assert!(gone["reason"].as_str().unwrap().contains("cannot be read"), "{gone:#}");
}

/// The id of the only dead letter.
#[track_caller]
fn the_one(list: &Value) -> String {
    let letters = list["dead_letters"].as_array().unwrap();
    assert_eq!(letters.len(), 1, "{list:#}");
    letters[0]["id"].as_str().unwrap().to_owned()
}
