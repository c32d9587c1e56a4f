//! A soak: virtual weeks of ordinary life over a state file, one like the other, with faults on.
//!
//! Alerts of every kind, triage, people who isolate, release, pause and let go on, devices that are offline, records
//! that cannot be read, the timer, and the cleaning that `cordon run` does. Time jumps from round to round: a round
//! stands for the polls of some hours. It measures; what counts as growing stands in `rules`.

use super::{Filed, heal, memory, per, spoil};
use crate::{Setup, device, hours, minutes, noon, workstation};
use jiff::{SignedDuration, Timestamp};
use model::Wanted;
use ports::{QueueBackend, QueueName};
use serde_json::json;
use simulator::{Alert, DEFAULT_CLIENT, DEFAULT_ROLES, DEFAULT_SECRET, World};
use std::{collections::BTreeMap, fmt};

/// One alert in so many is High, on a workstation, and is acted upon.
const ONE_IN: u32 = 20;

/// High alerts at one moment, once a week: more than an hour's limit lets through.
const BURST: u32 = 14;

/// For how long the tenant shows what is over: it lies in the same process, whose memory is measured.
const SHOWN: SignedDuration = SignedDuration::from_hours(24 * 28);

/// What a soak is made of.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    pub weeks: usize,
    /// Beside those that each week has anyway.
    pub alerts_per_week: u32,
    pub devices: u32,
    pub rounds_per_week: u32,
    /// How many requests of a hundred go wrong.
    pub faults_in_percent: u32,
    pub seed: u64,
}

/// What stood at the end of a week, and what the week has cost.
#[derive(Debug, Clone)]
pub struct Week {
    /// The first is 1.
    pub number: usize,
    pub alerts: u64,
    pub calls: u64,
    pub items_written: u64,
    pub messages_sent: u64,
    pub mails: u64,
    pub faults: u64,
    /// By the first word of their sort key.
    pub rows: BTreeMap<String, u64>,
    /// Rows that had expired when expired ones were last removed, and are still there.
    pub expired: u64,
    pub without_expiry: u64,
    pub messages_left: u64,
    pub bytes: u64,
    pub bytes_on_disk: u64,
    pub memory_kb: u64,
}

/// What stands above the lines that a [`Week`] prints.
pub fn week_head() -> String {
    format!(
        "{:>4} {:>6} {:>6} {:>5} {:>6} {:>6} {:>6} {:>7} {:>6} {:>8} {:>8} {:>7}",
        "week",
        "alerts",
        "faults",
        "mails",
        "calls",
        "writes",
        "msgs",
        "rows",
        "stay",
        "used KB",
        "disk KB",
        "RSS MB"
    )
}

impl Week {
    pub fn all_rows(&self) -> u64 {
        self.rows.values().sum()
    }

    /// How many rows there are of each kind.
    pub fn kinds(&self) -> String {
        let kinds: Vec<String> = self.rows.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        kinds.join(", ")
    }
}

/// Calls, rows written and messages are per alert.
impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>4} {:>6} {:>6} {:>5} {:>6.2} {:>6.2} {:>6.2} {:>7} {:>6} {:>8} {:>8} {:>7.1}",
            self.number,
            self.alerts,
            self.faults,
            self.mails,
            per(self.calls, self.alerts),
            per(self.items_written, self.alerts),
            per(self.messages_sent, self.alerts),
            self.all_rows(),
            self.without_expiry,
            self.bytes / 1024,
            self.bytes_on_disk / 1024,
            per(self.memory_kb, 1024)
        )
    }
}

/// Lets the weeks pass, one by one, until all are over or `goes_on` says no. Fails where anything is left over that
/// should not be, or the tenant calls a request wrong.
pub async fn soak(soak: Soak, mut goes_on: impl FnMut(&Week) -> bool) -> Vec<Week> {
    let setup = Setup::playing(|settings| {
        settings.isolation.release_after = Some(hours(12));
        settings.isolation.comment_on_alert = true;
    });
    let filed = Filed::new(tenant(&soak), setup).await;
    let mut life = Life { soak, filed, made: 0, high: 0, faults: 0, cleaned: noon() };
    let mut weeks = Vec::new();
    for number in 1..=soak.weeks {
        let week = life.week(number).await;
        let stops = !goes_on(&week);
        weeks.push(week);
        if stops {
            break;
        }
    }
    // What is offline is given up by the service after three days.
    life.filed.settle(hours(24 * 5)).await;
    life.filed.scene.end().await;
    weeks
}

/// The workstations, a server, and a workstation that is hardly ever there.
fn tenant(soak: &Soak) -> World {
    let mut server = workstation(soak.devices + 1);
    server.os_platform = Some("WindowsServer2022".to_owned());
    let roles = [DEFAULT_ROLES, &["Alert.ReadWrite.All"]].concat();
    let mut world = World::new(noon()).app(DEFAULT_CLIENT, DEFAULT_SECRET, &roles).machine(server);
    // The tenant forgets no token that it has given out, and a round would need a new one each time.
    world.token_life = SHOWN;
    let world = (1..=soak.devices).fold(world, |world, number| world.machine(workstation(number)));
    let mut world = world.machine(workstation(soak.devices + 2));
    world.take_offline(device(soak.devices + 2).as_str());
    world
}

struct Life {
    soak: Soak,
    filed: Filed,
    /// How many alerts there were so far, and how many of them were High, on one of the workstations.
    made: u32,
    high: u32,
    faults: u64,
    /// When expired rows were last removed.
    cleaned: Timestamp,
}

impl Life {
    async fn week(&mut self, number: usize) -> Week {
        let begin = self.filed.scene.now;
        let (calls, written, sent) =
            (self.filed.calls(), self.filed.items_written(), self.filed.messages_sent());
        let (made, mut mails) = (self.made, 0);
        let rounds = self.soak.rounds_per_week;
        let step = SignedDuration::from_hours(24 * 7) / i32::try_from(rounds).unwrap();
        // The last twelfth of the week is quiet, so that what was begun comes to its end.
        let busy = rounds - rounds / 12 - 1;
        self.faulty(number);
        for round in 0..rounds {
            if round < busy {
                self.happens(round, busy).await;
            } else {
                self.filed.scene.simulator.with(heal);
            }
            self.filed.poll().await;
            self.cleaned = self.filed.scene.now;
            self.filed.scene.store.clean(self.cleaned, 1_000).unwrap();
            self.rest(begin + step * i32::try_from(round + 1).unwrap()).await;
            self.look_at_the_tenant();
            mails += self.throw_mails_away();
        }
        self.drop_dead_letters().await;
        let cleaned = self.cleaned.as_microsecond();
        Week {
            number,
            alerts: (self.made - made).into(),
            calls: self.filed.calls() - calls,
            items_written: self.filed.items_written() - written,
            messages_sent: self.filed.messages_sent() - sent,
            mails,
            faults: std::mem::take(&mut self.faults),
            rows: self.filed.rows(),
            expired: self
                .filed
                .number(&format!("SELECT count(*) FROM items WHERE expires_at_us <= {cleaned}")),
            without_expiry: self.filed.number("SELECT count(*) FROM items WHERE expires_at_us IS NULL"),
            messages_left: self.filed.number("SELECT count(*) FROM messages"),
            bytes: self.filed.bytes_used(),
            bytes_on_disk: self.filed.bytes_on_disk(),
            memory_kb: memory("VmRSS"),
        }
    }

    fn faulty(&self, number: usize) {
        let seed = self.soak.seed.wrapping_add(number as u64);
        self.filed.scene.simulator.with(|world| spoil(world, seed, self.soak.faults_in_percent));
    }

    /// Works until then, also where that needs the clock to be moved.
    async fn rest(&mut self, until: Timestamp) {
        let left = until.duration_since(self.filed.scene.now);
        if left.is_positive() {
            self.filed.settle(left).await;
        }
        let left = until.duration_since(self.filed.scene.now);
        self.filed.scene.pass(left.max(SignedDuration::ZERO));
    }

    /// What comes up in one round.
    async fn happens(&mut self, round: u32, busy: u32) {
        self.filed.scene.pass(SignedDuration::ZERO);
        let share = |round: u32| self.soak.alerts_per_week * round / busy;
        for number in share(round)..share(round + 1) {
            self.alert(number);
        }
        self.triage();
        self.filed.scene.simulator.with(|world| world.raw_alerts.clear());
        let devices = self.soak.devices;
        match round * 8 / busy {
            eighth if round > 0 && eighth == (round - 1) * 8 / busy => {}
            1 => (0..BURST).for_each(|_| self.high_alert()),
            2 => self.let_go_on().await,
            3 => {
                self.filed.scene.pause().await;
                self.high_alert();
            }
            4 => self.filed.scene.resume().await,
            5 => self.on(devices + 2, |alert| alert),
            6 => self.release().await,
            7 => self.unreadable(),
            _ => {}
        }
    }

    /// One of the week's ordinary alerts.
    fn alert(&mut self, number: u32) {
        let (somewhere, server) = (1 + self.made % self.soak.devices, self.soak.devices + 1);
        match number % ONE_IN {
            0 => self.high_alert(),
            1..4 => self.on(somewhere, |alert| alert.severity("Medium")),
            4 => self.on(server, |alert| alert),
            5 => self.on(somewhere, |mut alert| {
                alert.machine_id = Some("no-such-device".to_owned());
                alert
            }),
            6 => self.on(somewhere, |mut alert| {
                alert.detection_source = Some("CustomDetection".to_owned());
                alert
            }),
            _ => self.on(somewhere, |alert| alert.severity("Informational")),
        }
    }

    /// A High alert on the next workstation.
    fn high_alert(&mut self) {
        self.high += 1;
        self.on(1 + self.high % self.soak.devices, |alert| alert);
    }

    /// A new alert, which has nothing in common with the others.
    fn on(&mut self, number: u32, change: impl FnOnce(Alert) -> Alert) {
        self.made += 1;
        let made = self.made;
        let at = self.filed.scene.now - minutes(1);
        let mut alert = Alert::new(format!("a{made}"), "", at).on(&workstation(number));
        alert.title = format!("Story {made}");
        alert.detector_id = Some(format!("detector-{made}"));
        alert.incident_id = Some(made.into());
        let alert = change(alert);
        self.filed.scene.simulator.with(|world| world.alerts.push(alert));
    }

    /// Somebody closes what is a few hours old.
    fn triage(&self) {
        let old = self.filed.scene.now - hours(6);
        self.filed.scene.simulator.with(|world| {
            let is_old = |alert: &&Alert| {
                alert.status == "New" && alert.alert_creation_time.is_some_and(|created| created < old)
            };
            let ids: Vec<String> = world.alerts.iter().filter(is_old).map(|alert| alert.id.clone()).collect();
            for id in ids {
                world.change_alert(&id, |alert| "Resolved".clone_into(&mut alert.status));
            }
        });
    }

    /// A person lets one case go on; the others expire.
    async fn let_go_on(&self) {
        if let Some(held) = self.filed.scene.held().await.first() {
            self.filed.scene.run_held(held).await;
        }
    }

    /// A person releases the device that was isolated last, whether or not it still is.
    async fn release(&self) {
        let order = self.filed.scene.ordered(Wanted::Release, 1 + self.high % self.soak.devices);
        self.filed.scene.order(order).await;
    }

    fn unreadable(&self) {
        let (at, made) = (self.filed.scene.now, self.made);
        let record =
            json!({"title": format!("no id, after {made}"), "lastUpdateTime": at, "severity": "High"});
        self.filed.scene.simulator.with(|world| world.raw_alerts.push(record));
    }

    /// The tenant calls no request wrong, and forgets what is long over.
    fn look_at_the_tenant(&mut self) {
        let simulator = &self.filed.scene.simulator;
        let (violations, unexpected) = (simulator.violations(), simulator.unexpected());
        assert!(violations.is_empty() && unexpected.is_empty(), "{violations:#?} {unexpected:#?}");
        self.faults += simulator.journal().iter().filter(|entry| entry.fault.is_some()).count() as u64;
        simulator.clear_journal();
        let shown = self.filed.scene.now - SHOWN;
        simulator.with(|world| {
            world.alerts.retain(|alert| alert.last_update_time.is_some_and(|updated| updated > shown));
            world.actions.retain(|action| action.last_update_date_time_utc > shown);
        });
    }

    fn throw_mails_away(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(self.filed.scene.mail_folder()) else { return 0 };
        entries.map(|entry| std::fs::remove_file(entry.unwrap().path()).unwrap()).count() as u64
    }

    /// A person drops what was set aside: it stays until then, by intention. It is nothing but what had to be.
    async fn drop_dead_letters(&self) {
        let scene = &self.filed.scene;
        for queue in QueueName::ALL {
            for letter in scene.store.dead(queue, None).await.unwrap().letters {
                assert!(letter.reason.contains("no usable id"), "a dead letter: {}", letter.reason);
                assert!(scene.store.drop_dead(queue, &letter.id, scene.now).await.unwrap());
            }
        }
    }
}
