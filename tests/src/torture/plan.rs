//! What a seed means: a tenant, what happens in it and when, and how unkind everything is. The same seed, the same
//! plan; nothing here runs.

use super::memory::Temper;
use crate::{device, hours, minutes, noon, seconds};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use simulator::{
    Alert, Behaviour, Chaos, DEFAULT_CLIENT, DEFAULT_SECRET, Duplicate, Evidence, FaultKind, ListOrder,
    Machine, NextLinks, Pace, World,
};

/// Who acts in the portal.
pub const PERSON: &str = "analyst@contoso.com";

/// Which pair of queue and state the workers stand on, and how they are laid out over processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// SQLite; one process, which dies as a whole.
    Local,
    /// In memory, as SQS and DynamoDB; every worker is a process of its own, and there are two of each.
    Cloud,
}

/// Which limits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// None that anything reaches.
    Wide,
    /// Few per hour and day, a breaker that opens soon.
    Tight,
    /// Few at one time.
    Narrow,
    /// What ships.
    Shipped,
}

/// What happens in the tenant, or by the operator's hand.
#[derive(Debug, Clone)]
pub enum Event {
    Appears(Box<Alert>),
    Raised(String),
    Resolved(String),
    Triaged(String),
    MoreEvidence(String, String),
    PersonIsolates(u32),
    PersonReleases(u32),
    PersonCancels(u32),
    Tagged(u32),
    GoesOffline(u32),
    ComesOnline(u32),
    TokensRevoked,
    OrderIsolate(u32),
    OrderRelease(u32),
    RunHeld,
    Pause,
    Resume,
    Raise(u32),
    CloseBreakers,
    /// Everything of ours is dead, and stays so for a while.
    Outage(SignedDuration),
}

/// How likely each unkindness is, per call or decision, from 0.0 to 1.0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Unkind {
    pub crash: f64,
    pub trouble: f64,
    pub haste: f64,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub ground: Ground,
    pub limit: Limit,
    pub comments: bool,
    pub release_after: bool,
    pub world: World,
    /// In order of time.
    pub events: Vec<(Timestamp, Event)>,
    pub unkind: Unkind,
    pub temper: Temper,
    /// Until when everything is unkind; after that it is left to finish.
    pub heals_at: Timestamp,
    /// How long it is left to finish.
    pub rest: SignedDuration,
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let ground = if rng.bool() { Ground::Local } else { Ground::Cloud };
        let horizon = minutes(rng.i64(15..100));
        let mut world = tenant(&mut rng, seed);
        let devices = u32::try_from(world.machines.len()).unwrap_or(1);
        let mut events = alerts(&mut rng, &world, horizon);
        let meddles = rng.f64() < 0.5;
        if meddles {
            events.extend(meddling(&mut rng, &events, devices, horizon));
        }
        let offline = rng.f64() < 0.15;
        if offline {
            let number = rng.u32(1..=devices);
            world.take_offline(device(number).as_str());
            if rng.bool() {
                let back = noon() + minutes(rng.i64(5..600));
                events.push((back, Event::ComesOnline(number)));
            }
        }
        // Sorting keeps what has the same time in the order in which it was drawn.
        events.sort_by_key(|(at, _)| *at);
        let calm = rng.f64() < 0.15;
        let some = |rng: &mut Rng, most: f64| if calm || rng.f64() < 0.2 { 0.0 } else { rng.f64() * most };
        let chaos = some(&mut rng, 0.15);
        if chaos > 0.0 {
            world = world.chaos(Chaos::new(rng.u64(..), chaos).kinds(faults()));
        }
        let unkind = Unkind {
            crash: some(&mut rng, 0.04),
            trouble: some(&mut rng, 0.06),
            haste: some(&mut rng, 0.08),
        };
        let temper = match ground {
            Ground::Local => Temper::default(),
            Ground::Cloud => Temper {
                doubles: some(&mut rng, 0.2),
                forgets: some(&mut rng, 0.1),
                shuffles: some(&mut rng, 1.0),
            },
        };
        let limit = *rng
            .choice(&[Limit::Wide, Limit::Wide, Limit::Wide, Limit::Tight, Limit::Narrow, Limit::Shipped])
            .unwrap_or(&Limit::Wide);
        Plan {
            seed,
            ground,
            limit,
            comments: rng.f64() < 0.25,
            release_after: rng.f64() < 0.15,
            world,
            events,
            unkind,
            temper,
            heals_at: noon() + horizon,
            // Held cases wait for a day, what never reaches its device for three.
            rest: if offline { hours(100) } else { hours(27) },
        }
    }

    /// Whether somebody other than Cordon has a hand in what becomes of this device, so that what is owed cannot be told
    /// from its alerts alone.
    pub fn is_meddled_with(&self, machine: &str) -> bool {
        let appears = |id: &str, event: &Event| match event {
            Event::Appears(alert) => alert.id == id && alert.machine_id.as_deref() == Some(machine),
            _ => false,
        };
        let on_it = |id: &str| self.events.iter().any(|(_, event)| appears(id, event));
        let meddles = |event: &Event| match event {
            Event::Appears(_) | Event::TokensRevoked | Event::ComesOnline(_) => false,
            Event::Raised(id) | Event::Resolved(id) | Event::Triaged(id) | Event::MoreEvidence(id, _) => {
                on_it(id)
            }
            Event::PersonIsolates(number)
            | Event::PersonReleases(number)
            | Event::PersonCancels(number)
            | Event::Tagged(number)
            | Event::GoesOffline(number)
            | Event::OrderIsolate(number)
            | Event::OrderRelease(number) => device(*number).as_str() == machine,
            Event::RunHeld | Event::Resume | Event::Raise(_) | Event::CloseBreakers => false,
            Event::Pause | Event::Outage(_) => true,
        };
        self.limit != Limit::Wide || self.events.iter().any(|(_, event)| meddles(event))
    }
}

/// Every fault but those that only take time.
fn faults() -> Vec<FaultKind> {
    let slow = |kind: &FaultKind| matches!(kind, FaultKind::Slow { .. } | FaultKind::ActsThenSlow { .. });
    FaultKind::all().into_iter().filter(|kind| !slow(kind)).collect()
}

fn tenant(rng: &mut Rng, seed: u64) -> World {
    let roles = ["Alert.Read.All", "Machine.Read.All", "Machine.Isolate", "Alert.ReadWrite.All"];
    let mut world = World::new(noon()).app(DEFAULT_CLIENT, DEFAULT_SECRET, &roles);
    for number in 1..=rng.u32(1..=6) {
        world = world.machine(machine(rng, number));
    }
    world.duplicate = *rng
        .choice(&[
            Duplicate::PendingAction,
            Duplicate::ActiveRequestAlreadyExists,
            Duplicate::AlreadyInProgress,
        ])
        .unwrap_or(&Duplicate::PendingAction);
    world.list_order = *rng
        .choice(&[ListOrder::NewestFirst, ListOrder::OldestFirst, ListOrder::Shuffled(seed)])
        .unwrap_or(&ListOrder::NewestFirst);
    world.honours_orderby = rng.f64() < 0.8;
    world.refuses_orderby = rng.f64() < 0.1;
    world.next_links = if rng.f64() < 0.1 { NextLinks::Always } else { NextLinks::WithoutTop };
    if rng.f64() < 0.1 {
        world = world.quota("GET machineactions", 6, 200);
    }
    if rng.f64() < 0.1 {
        world.token_life = minutes(rng.i64(6..30));
    }
    world
}

fn machine(rng: &mut Rng, number: u32) -> Machine {
    let platform = match rng.u8(..10) {
        0 => "WindowsServer2022",
        1 => "Plan9",
        2 => "macOS",
        _ => "Windows11",
    };
    let machine = Machine::new(
        device(number).as_str(),
        format!("ws-{number}.contoso.com").as_str(),
        platform,
        noon() - minutes(30),
    );
    let machine = if rng.u8(..12) == 0 { machine.tag("cordon-exclude") } else { machine };
    let machine = if rng.u8(..15) == 0 { machine.cannot_be_isolated() } else { machine };
    let machine = if rng.u8(..12) == 0 { machine.behaviour(Behaviour::Fails) } else { machine };
    if rng.u8(..3) == 0 {
        let finished_after = seconds(rng.i64(1..900));
        machine.pace(Pace { in_progress_after: finished_after / 2, finished_after })
    } else {
        machine
    }
}

fn alerts(rng: &mut Rng, world: &World, horizon: SignedDuration) -> Vec<(Timestamp, Event)> {
    let count = rng.usize(1..=12);
    // Several alerts often have the very same stamp, or stamps a tick apart.
    let mut stamp = noon();
    (0..count)
        .map(|number| {
            if rng.u8(..3) > 0 {
                stamp = noon() + SignedDuration::from_nanos(ticks(rng, horizon));
            } else if rng.bool() {
                stamp += SignedDuration::from_nanos(100);
            }
            let at = stamp;
            (at, Event::Appears(Box::new(alert(rng, world, number, at, horizon))))
        })
        .collect()
}

/// Some time within the horizon, in whole ticks of a hundred nanoseconds.
fn ticks(rng: &mut Rng, horizon: SignedDuration) -> i64 {
    let most = i64::try_from(horizon.as_nanos()).unwrap_or(i64::MAX);
    rng.i64(0..most) / 100 * 100
}

fn alert(rng: &mut Rng, world: &World, number: usize, at: Timestamp, horizon: SignedDuration) -> Alert {
    let id = format!("da{number:03}_{}", rng.u32(..));
    let mut alert = Alert::new(id, "", at);
    // The timer waits for an incident's other alerts.
    alert.incident_id =
        Some(if rng.u8(..4) == 0 { 1 } else { 1_000 + i64::try_from(number).unwrap_or_default() });
    match rng.choice(&world.machines) {
        Some(machine) if rng.u8(..20) > 0 => alert = alert.on(machine),
        _ => alert.machine_id = rng.bool().then(|| "ws-1.contoso.com".to_owned()),
    }
    alert.severity = pick(rng, &["High", "High", "High", "High", "Medium", "Low", "Informational"]);
    alert.status = pick(rng, &["New", "New", "New", "InProgress", "Resolved"]);
    alert.title = pick(rng, &["Suspicious PowerShell command line", "Ransomware", "Mimikatz", "Beacon"]);
    alert.detector_id = Some(pick(rng, &["d-1", "d-2", "d-3"]));
    if rng.u8(..15) == 0 {
        alert.detection_source = Some("CustomDetection".to_owned());
    }
    if rng.u8(..15) == 0 {
        alert.classification = Some("FalsePositive".to_owned());
    }
    if rng.u8(..12) == 0 {
        // Older than anything may be acted upon.
        alert.alert_creation_time = Some(at - hours(5));
    }
    alert.evidence = vec![Evidence::user(at, "CONTOSO", "meganb")];
    match rng.u8(..12) {
        // Within the overlap, and further behind than it reaches.
        0 | 1 => alert.visible_at(at + minutes(rng.i64(1..9))),
        2 => alert.visible_at(at + minutes(rng.i64(12..60)).min(horizon)),
        _ => alert,
    }
}

fn meddling(
    rng: &mut Rng,
    alerts: &[(Timestamp, Event)],
    devices: u32,
    horizon: SignedDuration,
) -> Vec<(Timestamp, Event)> {
    let ids: Vec<String> = alerts
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Appears(alert) => Some(alert.id.clone()),
            _ => None,
        })
        .collect();
    let count = rng.usize(1..=10);
    (0..count)
        .map(|number| {
            let at = noon() + SignedDuration::from_nanos(ticks(rng, horizon * 2));
            let id = rng.choice(&ids).cloned().unwrap_or_default();
            let which = rng.u32(1..=devices);
            let event = match rng.u8(..20) {
                0 => Event::Raised(id),
                1 => Event::Resolved(id),
                2 | 3 => Event::Triaged(id),
                4 => Event::MoreEvidence(id, format!("account-{number}")),
                5 => Event::PersonIsolates(which),
                6 | 7 => Event::PersonReleases(which),
                8 => Event::PersonCancels(which),
                9 => Event::Tagged(which),
                10 => Event::GoesOffline(which),
                11 => Event::TokensRevoked,
                12 => Event::OrderIsolate(which),
                13 | 14 => Event::OrderRelease(which),
                15 => Event::RunHeld,
                16 => Event::Pause,
                17 => Event::Resume,
                18 => {
                    if rng.bool() {
                        Event::Raise(rng.u32(3..20))
                    } else {
                        Event::CloseBreakers
                    }
                }
                _ => Event::Outage(minutes(rng.i64(1..240))),
            };
            (at, event)
        })
        .collect()
}

fn pick(rng: &mut Rng, words: &[&str]) -> String {
    rng.choice(words).map(|word| (*word).to_owned()).unwrap_or_default()
}
