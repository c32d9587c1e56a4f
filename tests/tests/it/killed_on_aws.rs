//! The deployed functions, killed in the middle of their batches with faults on: the last story on AWS, after
//! `by_hand.rs`. What must hold is what holds on one machine (`torture/killed`), with alerts by hand instead of a seed:
//! there is one emulator, and a second of its life is a second of the test's.

use crate::two_hosts::{PATIENCE, begins, high, raise, workstation};
use model::{Answer, EffectState};
use scenarios::{Deployed, Stage, device, seconds};
use simulator::{Chaos, FaultKind};

/// Devices with two alerts each: both High on the odd ones.
const DEVICES: std::ops::RangeInclusive<u32> = 101..=114;

/// Killed one after the other, each when it has a call under way.
const KILLED: [&str; 6] = ["Respond", "Enrich", "Respond", "Respond", "Notify", "Respond"];

/// How often it is looked whether a call is under way, for each kill: a batch may be over sooner.
const MOST_LOOKS: usize = 25;

const SEED: u64 = 5;

pub(crate) async fn told(stage: &mut Deployed) {
    begins(stage, "functions killed in the middle of their batches, with faults on");
    let mails = stage.subjects().await.len();
    let letters = stage.dead_letters().await.len();
    for number in DEVICES {
        raise(stage, &first(number), number, high);
        let severity = if number % 2 == 1 { "High" } else { "Medium" };
        raise(stage, &second(number), number, |machine, alert| (machine, alert.severity(severity)));
    }
    // The list is read whole; what it has led to meets the faults.
    stage.poll().await;
    stage.simulator().with(|world| world.chaos = Some(Chaos::new(SEED, 0.25).kinds(faults())));
    let killed = kill_in_the_middle(stage).await;
    stage.simulator().with(|world| world.chaos = None);
    stage.rest(PATIENCE).await;

    assert!(killed >= 3, "only {killed} functions had a call under way when they were killed");
    every_device_is_isolated_once(stage).await;
    let told = stage.subjects().await.split_off(mails);
    everybody_was_told(stage, &told);
    assert_eq!(stage.dead_letters().await.len(), letters, "{:#?}", stage.dead_letters().await);
    stage.nothing_is_left().await;
    begins(stage, &format!("{killed} were killed while a call was under way; {} mails", told.len()));
}

fn first(number: u32) -> String {
    format!("first-of-{number}")
}

fn second(number: u32) -> String {
    format!("second-of-{number}")
}

/// Some that take long, for a kill to fall into. No used up quota: each process finds out about that for itself, and
/// then asks more often than the simulator thinks right.
fn faults() -> Vec<FaultKind> {
    vec![
        FaultKind::Slow { millis: 1_500 },
        FaultKind::ActsThenSlow { millis: 1_500 },
        FaultKind::ActsThenSlow { millis: 1_500 },
        FaultKind::ResetAfter,
        FaultKind::TruncatedBody,
        FaultKind::ServerErrorAfterActing(500),
    ]
}

/// How many of them were killed while the tenant had not answered yet.
async fn kill_in_the_middle(stage: &mut Deployed) -> usize {
    let (mut killed, mut seen) = (0, last_request(stage));
    for function in KILLED {
        let mut looks = 0;
        stage
            .until("a call is under way", seconds(60), |stage| {
                looks += 1;
                is_under_way(stage, seen) || looks > MOST_LOOKS
            })
            .await;
        let is_in_the_middle = is_under_way(stage, seen);
        killed += usize::from(stage.kill(function) > 0 && is_in_the_middle);
        seen = last_request(stage);
    }
    killed
}

fn last_request(stage: &Deployed) -> u64 {
    stage.simulator().journal().last().map_or(0, |entry| entry.number)
}

/// A request that came after this one waits for its answer, and will get one.
fn is_under_way(stage: &Deployed, after: u64) -> bool {
    let waits = |fault: &Option<String>| fault.as_deref().is_none_or(|fault| fault.contains("slow"));
    let journal = stage.simulator().journal();
    journal.iter().any(|entry| entry.number > after && entry.status.is_none() && waits(&entry.fault))
}

async fn every_device_is_isolated_once(stage: &mut Deployed) {
    for number in DEVICES {
        assert_eq!(stage.accepted(number), 1, "device {number}");
        let claim = stage.claim(number).await.unwrap();
        assert_eq!(claim.state, EffectState::Succeeded, "{claim:#?}");
        let (answer, _) = stage.outcome(&first(number)).await;
        assert_eq!(answer, Answer::Isolate, "device {number}");
        let (answer, _) = stage.outcome(&second(number)).await;
        let expected = if number % 2 == 1 { Answer::Isolate } else { Answer::Propose };
        assert_eq!(answer, expected, "device {number}");
    }
}

/// Of each device that it is isolated. That somebody is told twice is no failure: a function that dies between sending a
/// mail and writing that down cannot help it.
fn everybody_was_told(stage: &Deployed, told: &[String]) {
    for number in DEVICES {
        let name = stage.simulator().with(|world| workstation(world, number).computer_dns_name.unwrap());
        let short = name.split('.').next().unwrap();
        let is_told = told.iter().any(|subject| subject.contains(short) && subject.contains("succeeded"));
        assert!(is_told, "nobody was told of {name}, {}: {told:#?}", device(number));
    }
}
