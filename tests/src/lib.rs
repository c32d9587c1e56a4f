//! The vocabulary of the scenarios: a simulated tenant, the local host against it, and one clock for both.
//!
//! A scenario drives steps and moves the clock; nothing here sleeps. It ends with [`Scene::end`], which asserts
//! that nothing is left over. Nothing of this ships.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a harness fails loudly")]

mod aws;
pub mod load;
mod stage;
pub mod torture;

pub use crate::{
    aws::{Apps, Deployed},
    stage::Stage,
};

use async_trait::async_trait;
use credentials::{Calls, Connection, Problems, Vars};
use defender::{Pause, connect};
use jiff::{SignedDuration, Timestamp};
use local::{Host, HuntsRun, Parts, Polled, Store, Worked};
use model::{Body, Cause, DeviceId, EffectRequested, Envelope, Limits, MessageId, Mode, TenantId, Wanted};
use policy::{Channel, ChannelKind, HUNTS, Hunt, Playbook, Settings, Texts};
use ports::{
    Answered, Brakes, CaseRow, Claim, Count, Held, HuntRow, HuntSeen, Out, QueueBackend, QueueName, Raised,
    State, StateBackend, Stored,
};
use simulator::{Simulator, World};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// When every scenario begins, unless it says otherwise.
pub fn noon() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

pub fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

pub fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// Who gives the orders.
pub const OPERATOR: &str = "operator@contoso.com";

/// A machine id that ends in these digits.
pub fn device(number: u32) -> DeviceId {
    format!("{number:040x}").parse().unwrap()
}

/// A Windows 11 workstation of the simulated tenant.
pub fn workstation(number: u32) -> simulator::Machine {
    simulator::Machine::new(
        device(number).as_str(),
        format!("ws-{number}.contoso.com").as_str(),
        "Windows11",
        noon() - minutes(30),
    )
}

/// A new High alert on that workstation, created and last updated two minutes before noon.
pub fn high(id: &str, number: u32) -> simulator::Alert {
    simulator::Alert::new(id, device(number).as_str(), noon() - minutes(2))
        .on(&workstation(number))
        .severity("High")
}

/// The folder of the shipped playbook.
pub fn shipped_playbook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../playbook")
}

/// The files of a playbook that a run reads.
const PLAYBOOK_FILES: [&str; 4] = ["playbook.toml", "policy.cedar", "guarantees.cedar", "assets.toml"];

/// Writes the shipped playbook into a folder, each file changed in this way, and reads it.
pub(crate) fn write_playbook(folder: &Path, change: impl Fn(String) -> String) -> Playbook {
    for file in PLAYBOOK_FILES {
        let text = std::fs::read_to_string(shipped_playbook().join(file)).unwrap();
        std::fs::write(folder.join(file), change(text)).unwrap();
    }
    Playbook::read(folder).unwrap()
}

/// Writes hunts into a playbook's folder, each by its name and its file's text.
pub(crate) fn write_hunts(playbook: &Path, hunts: &[(&str, &str)]) {
    let files = playbook.join(HUNTS);
    std::fs::create_dir(&files).unwrap();
    for (name, text) in hunts {
        std::fs::write(files.join(format!("{name}.toml")), text).unwrap();
    }
}

/// A hunt that may cut off what it finds: its name, and its file. The simulated tenant knows its query by the first line.
pub const REMOTE_TOOLS: (&str, &str) = (
    "remote-tools",
    r#"
description = "Remote management tools that nobody here has approved"
techniques = ["T1219"]
every = "10m"
look_back = "1h"
overlap = "30m"
identity = ["DeviceId", "ReportId", "Timestamp"]
query = '''
// simulated: remote-tools
DeviceProcessEvents
| where Timestamp >= CordonFrom and Timestamp < CordonTo
| where FileName in~ ("remoting.exe")
| project Timestamp, DeviceId, DeviceName, ReportId, FileName, SHA256, ProcessCommandLine, AccountName
'''

[alert]
title = "{FileName} was started on {DeviceName}"
severity = "High"
category = "CommandAndControl"
user = "AccountName"
may_isolate = true

[[alert.evidence]]
kind = "Process"
file_name = "FileName"
sha256 = "SHA256"
command_line = "ProcessCommandLine"
"#,
);

/// How a scenario's host is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    pub mode: Option<Mode>,
    pub lookback: SignedDuration,
    pub playbook: Option<Arc<Playbook>>,
    pub hunts: Vec<Hunt>,
    /// Settings on top of the usual ones.
    pub vars: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            mode: Some(Mode::Enforce),
            lookback: minutes(15),
            playbook: None,
            hunts: Vec::new(),
            vars: Vec::new(),
        }
    }
}

impl Setup {
    pub fn observing() -> Setup {
        Setup { mode: Some(Mode::Observe), ..Setup::default() }
    }

    /// The shipped playbook with other settings.
    pub fn playing(change: impl FnOnce(&mut Settings)) -> Setup {
        let mut playbook = Playbook::read(&shipped_playbook()).unwrap();
        change(&mut playbook.settings);
        Setup { playbook: Some(Arc::new(playbook)), ..Setup::default() }
    }

    /// The shipped playbook in enforce mode, with another policy, made of the shipped one.
    pub fn ruled(change: impl FnOnce(&str) -> String) -> Setup {
        let file = |name| std::fs::read_to_string(shipped_playbook().join(name)).unwrap();
        let [playbook, policy, guarantees, assets] = PLAYBOOK_FILES.map(file);
        let policy = change(&policy);
        let texts = Texts { playbook: &playbook, policy: &policy, guarantees: &guarantees, assets: &assets };
        let playbook = Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{problems}"));
        Setup { playbook: Some(Arc::new(playbook)), ..Setup::default() }
    }

    /// With limits and a breaker that nothing here reaches.
    pub fn without_limits() -> Setup {
        Setup::playing(|settings| {
            settings.limits = Limits {
                per_hour: Limits::MOST,
                per_day: Limits::MOST,
                standing_least: Limits::MOST,
                breaker_devices: Limits::MOST,
                ..Limits::default()
            };
        })
    }

    /// With these hunts, each by its name and its file's text, on top of the shipped playbook.
    pub fn hunting(hunts: &[(&str, &str)]) -> Setup {
        let folder = tempfile::tempdir().unwrap();
        write_hunts(folder.path(), hunts);
        let hunts = Hunt::read_all(folder.path()).unwrap_or_else(|problems| panic!("{problems}"));
        Setup { hunts, ..Setup::default() }
    }

    pub fn looking_back(lookback: SignedDuration) -> Setup {
        Setup { lookback, ..Setup::default() }
    }
}

/// Waits by moving the simulator's clock, so that quotas and machine actions see the time pass.
#[derive(Debug)]
struct Hurried(Arc<Simulator>);

#[async_trait]
impl Pause for Hurried {
    async fn pause(&self, how_long: SignedDuration) {
        self.0.advance(how_long);
    }
}

/// A simulated tenant and the local host against it.
#[derive(Debug)]
pub struct Scene {
    pub simulator: Arc<Simulator>,
    pub host: Host,
    pub store: Store,
    pub calls: Calls,
    pub tenant: TenantId,
    pub now: Timestamp,
    setup: Setup,
    folder: TempDir,
}

impl Scene {
    /// In enforce mode, over a store in memory.
    pub async fn new(world: World) -> Scene {
        Scene::with(world, Setup::default()).await
    }

    pub async fn with(world: World, setup: Setup) -> Scene {
        Scene::over(world, setup, Store::in_memory().unwrap()).await
    }

    pub async fn over(world: World, setup: Setup, store: Store) -> Scene {
        let now = world.now;
        let simulator = Arc::new(Simulator::start(world).await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let (host, calls, tenant) = build(&simulator, &setup, &store, folder.path());
        Scene { simulator, host, store, calls, tenant, now, setup, folder }
    }

    /// Another host over the same state, as after a crash or a restart: what was counted begins anew.
    pub fn restart(&mut self) {
        self.restart_with(self.setup.clone());
    }

    pub fn restart_with(&mut self, setup: Setup) {
        let (host, calls, _) = build(&self.simulator, &setup, &self.store, self.folder.path());
        (self.host, self.calls, self.setup) = (host, calls, setup);
    }

    /// Moves the clock of both sides.
    pub fn pass(&mut self, time: SignedDuration) {
        self.now = self.now.max(self.simulator.with(|world| world.now)) + time;
        self.simulator.set_now(self.now);
    }

    /// One poll, which must not fail.
    pub async fn poll(&mut self) -> Polled {
        self.host.poll(self.now).await.unwrap()
    }

    /// The hunts that are due, which must not fail, and all that follows at this instant.
    pub async fn hunt(&mut self) -> HuntsRun {
        let ran = self.hunt_without_working().await;
        self.work().await;
        ran
    }

    /// The hunts that are due, and nothing of what follows.
    pub async fn hunt_without_working(&mut self) -> HuntsRun {
        self.host.hunt(self.now).await.unwrap()
    }

    /// What became of the rows of every hunt that were made alerts of Cordon's own.
    pub async fn hunted(&self) -> Vec<CaseRow> {
        let mut all = Vec::new();
        for hunt in &self.setup.hunts {
            let begin = HuntSeen::key(&self.tenant, &hunt.name, "");
            let seen = self.store.query(&begin.partition, &begin.sort, None, self.now).await.unwrap();
            for item in seen.items {
                let row = item.key.sort.strip_prefix(&begin.sort).unwrap();
                all.push(self.case(&format!("hunt-{}-{row}", hunt.name)).await);
            }
        }
        all
    }

    /// How a hunt stands.
    pub async fn hunt_row(&self, hunt: &str) -> HuntRow {
        let key = HuntRow::key(&self.tenant, hunt);
        let row: Option<Stored<HuntRow>> = self.state().get(&key, self.now).await.unwrap();
        row.unwrap().value
    }

    /// Works until nothing is left to do at this instant.
    pub async fn work(&mut self) -> Worked {
        self.host.run_until_idle(self.now).await.unwrap()
    }

    /// Works until nothing is due within `patience`, moving the clock from one thing that is due to the next.
    pub async fn settle(&mut self, patience: SignedDuration) -> Worked {
        let end = self.now + patience;
        for _ in 0..10_000 {
            let worked = self.work().await;
            match worked.next_due(&self.store, self.now).unwrap() {
                Some(due) if due <= end => {
                    let wait = due.duration_since(self.now).max(SignedDuration::from_millis(50));
                    self.pass(wait);
                }
                _ => return worked,
            }
        }
        panic!("the host never came to rest");
    }

    /// What `cordon run --once` does, by the scenario's clock.
    pub async fn run_once(&mut self) -> Worked {
        while self.poll().await.more {}
        self.settle(seconds(10)).await
    }

    /// How often something was counted since the last restart.
    pub fn count(&self, count: Count) -> u64 {
        self.host.tally().get(count)
    }

    /// How often the tenant was asked to isolate anything.
    pub fn isolate_calls(&self) -> usize {
        self.simulator.count("POST isolate")
    }

    pub fn is_isolated(&self, number: u32) -> bool {
        self.simulator.with(|world| world.is_isolated(device(number).as_str()))
    }

    pub fn state(&self) -> State {
        State::new(Arc::new(self.store.clone()))
    }

    /// What became of an alert; it must be about one device, or none.
    pub async fn case(&self, alert: &str) -> CaseRow {
        stage::case(&self.state(), &self.tenant, alert, self.now).await
    }

    pub async fn claim(&self, number: u32) -> Option<Claim> {
        stage::claim(&self.state(), &self.tenant, &device(number), self.now).await
    }

    /// Gives an order, as the operator's command does.
    pub async fn order(&self, order: EffectRequested) -> MessageId {
        let (at, whole) = (self.now.to_string(), format!("{order:?}"));
        let parts = [at.as_str(), whole.as_str()];
        let message = Envelope::new(&self.tenant, &parts, "an-order", self.now, order);
        self.send(QueueName::EffectsRequested, &message).await;
        message.id
    }

    /// A person's order about a device alone, as of now.
    pub fn ordered(&self, wanted: Wanted, number: u32) -> EffectRequested {
        EffectRequested {
            wanted,
            device: device(number),
            cause: Cause::Operator,
            alert: None,
            claim: None,
            by: OPERATOR.to_owned(),
            why: "because I say so".to_owned(),
            not_after: self.now + EffectRequested::HOLDS,
        }
    }

    /// A person lets a held case go on.
    pub async fn run_held(&self, held: &Held) -> MessageId {
        let wanted = Wanted::Isolate { isolation_type: None, even_so: false };
        let order = EffectRequested {
            device: held.device.clone(),
            cause: Cause::Held,
            alert: Some(held.alert.clone()),
            ..self.ordered(wanted, 0)
        };
        self.order(order).await
    }

    async fn send<B: Body>(&self, queue: QueueName, message: &Envelope<B>) {
        let out = Out { body: message.encode().unwrap(), delay: SignedDuration::ZERO };
        for sent in self.store.send(queue, &[out], self.now).await {
            sent.unwrap();
        }
    }

    /// What became of an order.
    pub async fn answered(&self, order: &MessageId) -> Option<Answered> {
        let key = Answered::key(&self.tenant, order);
        self.state().get(&key, self.now).await.unwrap().map(|stored: Stored<Answered>| stored.value)
    }

    /// What is held back, the most severe first.
    pub async fn held(&self) -> Vec<Held> {
        let partition = Held::partition(&self.tenant);
        let held = self.state().query_all(&partition, "held#", self.now).await.unwrap();
        held.into_iter().map(|stored: Stored<Held>| stored.value).collect()
    }

    pub async fn brakes(&self) -> Brakes {
        let stored: Option<Stored<Brakes>> =
            self.state().get(&Brakes::key(&self.tenant), self.now).await.unwrap();
        stored.map(|stored| stored.value).unwrap_or_default()
    }

    /// Changes the brakes as the operator's commands do; nobody is told.
    pub async fn change_brakes(&self, change: impl FnOnce(&mut Brakes)) {
        stage::change_brakes(&self.state(), &self.tenant, self.now, change).await;
    }

    pub async fn pause(&self) {
        let said = stage::said(self.now);
        self.change_brakes(|brakes| brakes.pause = Some(said)).await;
    }

    pub async fn resume(&self) {
        self.change_brakes(|brakes| brakes.pause = None).await;
    }

    pub async fn raise_limits(&self, to: u32, how_long: SignedDuration) {
        let raised = Raised { to, until: self.now + how_long, said: stage::said(self.now) };
        self.change_brakes(|brakes| brakes.raised = Some(raised)).await;
    }

    /// The e-mails so far, as they lie in the folder.
    pub fn mails(&self) -> Vec<String> {
        let mut mails: Vec<PathBuf> = match std::fs::read_dir(self.mail_folder()) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        };
        mails.sort();
        mails.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    /// The subjects of the e-mails so far.
    pub fn subjects(&self) -> Vec<String> {
        let parse = |mail: &String| {
            let message = mail_parser::MessageParser::default().parse(mail.as_bytes()).unwrap();
            message.subject().unwrap().to_owned()
        };
        self.mails().iter().map(parse).collect()
    }

    pub fn mail_folder(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    /// The reasons of the dead letters of all queues.
    pub async fn dead_letters(&self) -> Vec<String> {
        stage::dead_letters(&self.store).await.into_iter().map(|letter| letter.reason).collect()
    }

    /// Nothing is left over: no message, no dead letter, no request that the tenant calls wrong.
    pub async fn end(self) {
        let dead = self.dead_letters().await;
        assert!(dead.is_empty(), "dead letters: {dead:#?}");
        self.end_with_dead_letters().await;
    }

    /// Like [`Scene::end`], after a scenario in which something had to be set aside and was looked at.
    pub async fn end_with_dead_letters(self) {
        for queue in QueueName::ALL {
            let depth = self.store.depth(queue, self.now).unwrap();
            assert_eq!((depth.visible, depth.waiting, depth.in_flight), (0, 0, 0), "{queue} is not empty");
        }
        let violations = self.simulator.violations();
        assert!(violations.is_empty(), "{violations:#?}");
        let unexpected = self.simulator.unexpected();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
    }
}

fn build(simulator: &Arc<Simulator>, setup: &Setup, store: &Store, folder: &Path) -> (Host, Calls, TenantId) {
    let connection = connection(&simulator.url(), &setup.vars);
    let mut problems = Problems::default();
    let channel = Channel::new("mail", ChannelKind::Folder { path: folder.join("mail") });
    let channels = notify::open(&[channel], &Vars::default(), None, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let (reader, responder, calls) = connect(&connection, Arc::new(Hurried(simulator.clone()))).unwrap();
    let playbook =
        setup.playbook.clone().unwrap_or_else(|| Arc::new(Playbook::read(&shipped_playbook()).unwrap()));
    let host = Host::new(Parts {
        tenant: connection.tenant.clone(),
        reader,
        responder,
        playbook,
        hunts: setup.hunts.clone(),
        environment_mode: setup.mode,
        lookback: setup.lookback,
        channels,
        templates: notify::Templates::shipped(),
        portal: connection.endpoints.portal.clone(),
        queue: Arc::new(store.clone()),
        state: Arc::new(store.clone()),
        clock: None,
    });
    (host, calls, connection.tenant)
}

/// The environment variable that says where the scenarios read alerts: `graph`, or Defender's own where it is not set.
pub const ALERTS_API: &str = "CORDON_SCENARIOS_ALERTS_API";

/// The connection to a simulator, with settings on top of the usual ones.
pub fn connection(url: &str, more: &[(String, String)]) -> Connection {
    let usual = [
        ("DEFENDER_TENANT_ID", simulator::DEFAULT_TENANT),
        ("DEFENDER_CLIENT_ID", simulator::DEFAULT_CLIENT),
        ("DEFENDER_CLIENT_SECRET", simulator::DEFAULT_SECRET),
        ("DEFENDER_API_URL", url),
        ("DEFENDER_LOGIN_URL", url),
        ("GRAPH_API_URL", url),
    ];
    let mut vars: Vars = more.iter().cloned().collect();
    vars.add_defaults(usual.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if let Some(api) = Vars::from_process().get(ALERTS_API) {
        vars.add_defaults([("DEFENDER_ALERTS_API".to_owned(), api.to_owned())]);
    }
    let mut problems = Problems::default();
    let connection = Connection::from_vars(&vars, None, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    connection.unwrap()
}
