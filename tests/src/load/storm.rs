//! A storm: thousands of alerts in one poll, over a state file, with faults on.
//!
//! It asserts the promises by itself; whoever calls it only prints what it cost.

use super::{Filed, heal, memory, per, spoil};
use crate::{Setup, device, hours, minutes, noon, workstation};
use jiff::SignedDuration;
use model::{Answer, EffectState, Limits};
use ports::CaseRow;
use simulator::{ActionType, Alert, World};
use std::{collections::BTreeMap, fmt};

/// One alert in so many comes from one detector, whose breaker opens.
const CAMPAIGN: u32 = 4;

/// What a storm is made of.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    pub alerts: u32,
    pub devices: u32,
    /// How many isolations an hour, a day and at one time are let through.
    pub limit: u32,
    /// How many requests of a hundred go wrong.
    pub faults_in_percent: u32,
    pub seed: u64,
}

/// What a storm has led to, and what it cost.
#[derive(Debug, Clone)]
pub struct Stormed {
    pub alerts: u64,
    pub devices_isolated: u64,
    /// How many alerts ended in which state.
    pub states: BTreeMap<&'static str, u64>,
    pub requests_to_isolate: u64,
    pub faults: u64,
    pub calls: u64,
    pub items_written: u64,
    pub messages_sent: u64,
    pub mails: u64,
    pub bytes: u64,
    /// Of the whole process, the simulated tenant among it.
    pub peak_memory_kb: u64,
}

impl fmt::Display for Stormed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: Vec<String> =
            self.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        writeln!(f, "{} alerts: {}", self.alerts, states.join(", "))?;
        writeln!(
            f,
            "{} devices isolated, none twice, by {} requests; {} faults; {} mails",
            self.devices_isolated, self.requests_to_isolate, self.faults, self.mails
        )?;
        writeln!(
            f,
            "per alert: {:.3} calls, {:.2} rows written, {:.2} messages, {:.0} bytes of the file",
            per(self.calls, self.alerts),
            per(self.items_written, self.alerts),
            per(self.messages_sent, self.alerts),
            per(self.bytes, self.alerts)
        )?;
        write!(
            f,
            "state file {:.1} MB, peak memory {:.1} MB (the simulated tenant among it)",
            per(self.bytes, 1 << 20),
            per(self.peak_memory_kb, 1 << 10)
        )
    }
}

/// Lets a storm pass. Fails where an alert stays undecided, a device is isolated twice, a limit is overrun, people are
/// told of a gate more than once, or anything is left over.
pub async fn storm(storm: Storm) -> Stormed {
    let mut world = tenant(&storm);
    spoil(&mut world, storm.seed, storm.faults_in_percent);
    let mut filed = Filed::new(world, Setup::playing(|settings| settings.limits = limits(&storm))).await;
    filed.poll().await;
    filed.settle(minutes(50)).await;
    filed.scene.simulator.with(heal);
    // What was lost is found in the quiet time after it; the end of an hour lets nothing through that is held.
    filed.settle(hours(3)).await;

    let states = states(&filed, &storm).await;
    let isolated = isolations(&filed);
    let doubled: Vec<_> = isolated.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "isolated more than once: {doubled:?}");
    let most = usize::try_from(storm.limit).unwrap();
    assert!(isolated.len() <= most && isolated.len() + 2 >= most, "{} of {most} isolated", isolated.len());
    assert_eq!(states.get("undecided"), None);
    let held = usize::try_from(states.get("held").copied().unwrap_or_default()).unwrap();
    assert_eq!(filed.scene.held().await.len(), held);
    let subjects = filed.scene.subjects();
    let told = |words: &str| subjects.iter().filter(|subject| subject.contains(words)).count();
    assert_eq!((told("isolations are held"), told("breaker")), (1, 1), "one notice for each gate");

    let stormed = Stormed {
        alerts: storm.alerts.into(),
        devices_isolated: isolated.len() as u64,
        states,
        requests_to_isolate: filed.scene.isolate_calls() as u64,
        faults: filed.scene.simulator.journal().iter().filter(|entry| entry.fault.is_some()).count() as u64,
        calls: filed.calls(),
        items_written: filed.items_written(),
        messages_sent: filed.messages_sent(),
        mails: subjects.len() as u64,
        bytes: filed.bytes_used(),
        peak_memory_kb: memory("VmHWM"),
    };
    filed.scene.end().await;
    stormed
}

fn limits(storm: &Storm) -> Limits {
    Limits { per_hour: storm.limit, per_day: storm.limit, standing_least: storm.limit, ..Limits::default() }
}

/// Every alert is High and a story of its own, but for those of one campaign.
fn tenant(storm: &Storm) -> World {
    let world =
        (1..=storm.devices).fold(World::new(noon()), |world, number| world.machine(workstation(number)));
    (0..storm.alerts).fold(world, |world, number| {
        let on = workstation(1 + number % storm.devices);
        let at = noon() - minutes(3) + SignedDuration::from_millis(number.into());
        let story = if number % CAMPAIGN == 0 { "of the campaign".to_owned() } else { number.to_string() };
        let mut alert = Alert::new(format!("a{number}"), "", at).on(&on).title(format!("Story {story}"));
        alert.detector_id = Some(format!("detector {story}"));
        world.alert(alert)
    })
}

/// How often each device was isolated at the program's request.
fn isolations(filed: &Filed) -> BTreeMap<String, usize> {
    let mut isolated = BTreeMap::new();
    filed.scene.simulator.with(|world| {
        for action in world.actions.iter().filter(|action| action.kind == ActionType::Isolate) {
            *isolated.entry(action.machine_id.clone()).or_default() += 1;
        }
    });
    isolated
}

/// How many alerts ended in which state; `undecided` for one of which nothing is recorded.
async fn states(filed: &Filed, storm: &Storm) -> BTreeMap<&'static str, u64> {
    let mut states = BTreeMap::new();
    for number in 0..storm.alerts {
        let (alert, on) = (format!("a{number}").parse().unwrap(), device(1 + number % storm.devices));
        let key = CaseRow::key(&filed.scene.tenant, &alert, Some(&on));
        let case = filed.scene.state().get::<CaseRow>(&key, filed.scene.now).await.unwrap();
        let state = case.filter(|case| !case.value.judged.is_empty()).map(|case| {
            let last = case.value.last;
            assert!(last.state.is_some() && last.decision.answer != Answer::None, "{last:#?}");
            last.state.map_or("none", EffectState::word)
        });
        *states.entry(state.unwrap_or("undecided")).or_default() += 1;
    }
    states
}
