//! The built `cordon run` over one SQLite file, killed again and again with faults on, then left to finish; and what
//! must hold all the same.
//!
//! The process, its file, its clock's ticking and the connections are real. Not real are the tenant, and the minutes in
//! which the machine stands still after some of the kills: the clocks of both sides are moved over them. A seed repeats
//! what happens in the tenant, which faults are played and when it is killed; how far the process has come by then
//! is up to the machine, so that a failure may need more than one try to be seen again.

mod life;
mod process;
mod verdict;

use self::{
    life::Life,
    process::{Machine, Process},
    verdict::{Evidence, Verdict},
};
use crate::minutes;
use jiff::{SignedDuration, Timestamp};
use simulator::{ActionType, Chaos, Clock, FaultKind, Simulator};
use std::{collections::BTreeMap, fmt, time::Duration};

/// The longest life of a process that is to be killed, from its start.
const LONGEST_LIFE: Duration = Duration::from_millis(1_500);

/// How long the service asks to wait where it says that a quota is used up, in seconds; and how long the machine stands
/// still at least: longer than that, because a killed process cannot know it any more.
const RETRY_AFTER: u64 = 10;
const SHORTEST_REST_MS: i64 = 15_000;

/// How much time a killed process's messages and requests need until they are seen again, and how often that may be
/// necessary in the end.
const OUTAGE: SignedDuration = SignedDuration::from_mins(7);
const MOST_ROUNDS: usize = 20;

/// How long the process is watched in the end until nothing moves any more.
const LOOK: Duration = Duration::from_millis(500);
const MOST_LOOKS: usize = 60;

/// What is to happen.
#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    /// Up to about eighty: after that, the first alerts may have become too old to be acted upon.
    pub kills: usize,
    pub alerts: usize,
    pub devices: u32,
    /// How likely each request meets a fault, from 0 to 1.
    pub faults: f64,
}

impl Options {
    /// A part of it that takes less than a minute.
    pub fn bounded(seed: u64) -> Options {
        Options { seed, kills: 12, alerts: 100, devices: 50, faults: 0.2 }
    }

    /// All of it: some minutes.
    pub fn long(seed: u64) -> Options {
        Options { seed, kills: 60, alerts: 400, devices: 200, faults: 0.2 }
    }
}

/// What happened, and what of it is wrong.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub options: Options,
    /// Messages that a process had in hand when it was killed.
    pub cut_short: u64,
    /// Faults played, by kind.
    pub faults: BTreeMap<String, usize>,
    /// Processes started, those that were killed and those that were asked to stop.
    pub starts: u32,
    /// How much time passed in which no process ran.
    pub stood_still: SignedDuration,
    /// Devices whose isolation the policy asks for to the end.
    pub owed: usize,
    pub accepted: usize,
    pub doubled: usize,
    /// Alerts that asked for an isolation and were refused it, because faults kept Cordon from reading on what: people
    /// were told.
    pub in_doubt: usize,
    pub lost: usize,
    pub dead_letters: usize,
    pub mails: usize,
    /// Everything that should not be, one line each; and where the state and the log lie then.
    pub wrong: Vec<String>,
}

/// Lets it happen. Nothing here fails but the harness itself: what is wrong stands in the outcome.
pub async fn run(options: Options) -> Outcome {
    run_then(options, |_, _, _| {}).await
}

/// The same, and then spoils it: what the outcome says of that shows whether anybody looks. An alert is never found,
/// mails get lost, and a device is isolated once more.
pub async fn run_and_spoil(options: Options) -> Outcome {
    run_then(options, |life, machine, simulator| {
        life.alerts_appear(1, simulator);
        machine.lose_mails();
        simulator.with(|world| {
            let isolated = world.actions.first().unwrap().machine_id.clone();
            world.act_as(simulator::DEFAULT_CLIENT, ActionType::Isolate, &isolated);
        });
    })
    .await
}

async fn run_then(options: Options, spoil: impl FnOnce(&mut Life, &Machine, &Simulator)) -> Outcome {
    let now = clock();
    let mut life = Life::new(options.seed, options.devices, now);
    let mut world = life.world(now);
    world.clock = Clock::System;
    world.chaos = Some(Chaos::new(options.seed, options.faults).kinds(faults()));
    let simulator = Simulator::start(world).await.unwrap();
    let mut machine = Machine::new(&simulator);
    let cut_short = live_and_die(&options, &mut life, &mut machine, &simulator).await;
    simulator.with(|world| world.chaos = None);
    let at_rest = come_to_rest(&life, &mut machine, &simulator).await;
    spoil(&mut life, &machine, &simulator);
    let evidence = Evidence::gather(&life, &simulator, &machine).await;
    let (faults, mut verdict) = (evidence.faults(), evidence.judged().await);
    drop(evidence);
    verdict.wrong.extend(at_rest.err());
    outcome(options, cut_short, faults, verdict, machine)
}

/// Every kind of fault; beside the short waits among them some that a kill is likely to fall into. A quota is said to
/// be used up for longer than a process lives, and for less than the machine stands still.
fn faults() -> Vec<FaultKind> {
    let longer = [FaultKind::Slow { millis: 300 }, FaultKind::ActsThenSlow { millis: 300 }];
    let mut all: Vec<FaultKind> = FaultKind::all().into_iter().chain(longer).collect();
    for kind in &mut all {
        if let FaultKind::Throttle { retry_after } = kind {
            *retry_after = Some(RETRY_AFTER);
        }
    }
    all
}

/// Alerts appear and change, and the process is killed, until it was killed often enough.
/// How many messages were in hand at the kills.
async fn live_and_die(
    options: &Options,
    life: &mut Life,
    machine: &mut Machine,
    simulator: &Simulator,
) -> u64 {
    let (mut left, mut cut_short) = (options.alerts, 0);
    for kill in 0..options.kills {
        let coming = left / (options.kills - kill);
        left -= coming;
        life.alerts_appear(coming - coming / 2, simulator);
        let before = machine.in_hand(simulator);
        let mut process = machine.start();
        let age = age(life);
        pause(age / 2).await;
        life.alerts_appear(coming / 2, simulator);
        life.an_alert_changes(simulator);
        pause(age / 2).await;
        process.kill();
        cut_short += machine.in_hand(simulator).saturating_sub(before);
        let rest = rest(life);
        machine.stands_still(rest, simulator).await;
    }
    cut_short
}

/// How long a process lives: mostly short, because most of what it does it does soon after its start.
fn age(life: &mut Life) -> Duration {
    let share = life.rng().f64();
    LONGEST_LIFE.mul_f64(share * share)
}

/// How long the machine stands still: mostly as long as a restart takes, sometimes for an outage.
fn rest(life: &mut Life) -> SignedDuration {
    let short = SignedDuration::from_millis(SHORTEST_REST_MS + life.rng().i64(0..5_000));
    match life.rng().u8(..10) {
        0 | 1 => OUTAGE + short,
        2 | 3 => minutes(life.rng().i64(1..6)),
        _ => short,
    }
}

/// Without faults and kills, until nothing is left to do. Whoever asks the process to stop is obeyed each time.
async fn come_to_rest(life: &Life, machine: &mut Machine, simulator: &Simulator) -> Result<(), String> {
    for _ in 0..MOST_ROUNDS {
        let mut process = machine.start();
        let left = until_nothing_moves(life, machine, simulator).await;
        obeys(&mut process).await?;
        if left.is_empty() {
            return Ok(());
        }
        machine.stands_still(OUTAGE, simulator).await;
    }
    Err(format!("not at rest after {MOST_ROUNDS} times {OUTAGE:#}"))
}

/// What is left when only time can help.
async fn until_nothing_moves(life: &Life, machine: &Machine, simulator: &Simulator) -> Vec<String> {
    let mut before = None;
    for _ in 0..MOST_LOOKS {
        pause(LOOK).await;
        if machine.store().is_none() {
            continue;
        }
        let left = Evidence::gather(life, simulator, machine).await.left_over().await;
        let moved = (left.clone(), simulator.journal().len());
        if left.is_empty() || before.as_ref() == Some(&moved) {
            return left;
        }
        before = Some(moved);
    }
    before.map(|(left, _)| left).unwrap_or_default()
}

async fn obeys(process: &mut Process) -> Result<(), String> {
    let status = process.stop().await;
    if status.success() { Ok(()) } else { Err(format!("asked to stop, it ended with {status}")) }
}

fn outcome(
    options: Options,
    cut_short: u64,
    faults: BTreeMap<String, usize>,
    verdict: Verdict,
    machine: Machine,
) -> Outcome {
    let Verdict { mut wrong, owed, accepted, doubled, in_doubt, lost, dead_letters, mails } = verdict;
    let (stood_still, starts) = machine.past();
    if !wrong.is_empty() {
        wrong.push(format!("the state, the mails and the log are in {}", machine.keep().display()));
    }
    Outcome {
        options,
        cut_short,
        faults,
        starts,
        stood_still,
        owed,
        accepted,
        doubled,
        in_doubt,
        lost,
        dead_letters,
        mails,
        wrong,
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { seed, kills, alerts, devices, .. } = &self.options;
        writeln!(f, "killed: seed {seed}, {alerts} alerts on {devices} devices")?;
        writeln!(
            f,
            "  starts {}, kills {kills}, messages in hand then {}; stood still {:#}",
            self.starts, self.cut_short, self.stood_still
        )?;
        writeln!(
            f,
            "  isolations owed {} / accepted {} / doubled {}; refused in doubt {}",
            self.owed, self.accepted, self.doubled, self.in_doubt
        )?;
        writeln!(f, "  alerts lost {}, dead letters {}, mails {}", self.lost, self.dead_letters, self.mails)?;
        let faults: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(f, "  faults: {}", faults.join(", "))?;
        for wrong in &self.wrong {
            writeln!(f, "  WRONG: {wrong}")?;
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the process under test lives by the computer's clock")]
fn clock() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "how long a process lives is what the seed says")]
async fn pause(how_long: Duration) {
    tokio::time::sleep(how_long).await;
}
