//! A simulated tenant, the step against it, and one store as queue and state, which can fail or die at any of its
//! operations. Time moves only when a test moves it.

use async_trait::async_trait;
use credentials::{Connection, Problems, Vars};
use defender::{RealPause, connect};
use hunt::{Hunting, HuntingError, HuntsRun};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use local::Store;
use model::{AlertFound, Body, EffectRequested, Envelope, Mode, Notice, Topic};
use policy::Hunt;
use ports::{
    CommitError, DeadLetter, DeadPage, Delivery, HuntRow, Item, Key, Out, Page, Queue, QueueBackend,
    QueueError, QueueName, Receipt, RedriveError, State, StateBackend, StateError, Stored, Tally, Write,
};
use serde_json::json;
use simulator::{Simulator, Table, World};
use std::{
    fmt,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The journal's name of a hunting call.
pub(crate) const CALL: &str = "POST runHuntingQuery";

pub(crate) fn noon() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

pub(crate) fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(crate) fn device(number: u32) -> String {
    format!("{number:040x}")
}

/// The outcome of a hunt whose rows become alerts of Cordon's own.
pub(crate) const ALERT: &str = r#"
[alert]
title = "{FileName} on {DeviceName}"
severity_column = "Level"
user = "AccountName"
may_isolate = true

[[alert.evidence]]
kind = "Process"
file_name = "FileName"
process_id = "ProcessId"
"#;

pub(crate) const TABLE: &str = "[table]\n";

pub(crate) const DEFENDER_ALERT: &str = r#"
[defender_alert]
title = "{FileName} on {DeviceName}"
severity = "High"
category = "Execution"
recommended_action = "Look at it"
"#;

/// A hunt's file: its keys beside the usual ones, and its outcome. The simulated tenant knows the query by `marker`.
pub(crate) fn file(marker: &str, keys: &str, outcome: &str) -> String {
    let usual = [
        ("every", "\"10m\""),
        ("look_back", "\"1h\""),
        ("overlap", "\"30m\""),
        ("identity", r#"["DeviceId", "ReportId"]"#),
    ];
    let is_given = |key: &str| keys.lines().any(|line| line.starts_with(&format!("{key} =")));
    let usual: String = usual
        .iter()
        .filter(|(key, _)| !is_given(key))
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    format!(
        "description = \"What is looked for\"\ntechniques = [\"T1219\"]\n{usual}{keys}\nquery = '''\n\
         // simulated: {marker}\nDeviceEvents\n| where Timestamp >= CordonFrom and Timestamp < CordonTo\n'''\n\
         {outcome}"
    )
}

/// A table for the hunt with this marker.
pub(crate) fn events(marker: &str) -> Table {
    let columns = [
        ("Timestamp", "DateTime"),
        ("DeviceId", "String"),
        ("DeviceName", "String"),
        ("ReportId", "Int64"),
        ("FileName", "String"),
        ("ProcessId", "Int64"),
        ("AccountName", "String"),
        ("Level", "String"),
    ];
    let table = Table::new(format!("// simulated: {marker}\n"));
    columns.iter().fold(table, |table, (name, kind)| table.column(name, kind))
}

/// An event on that device.
pub(crate) fn event(number: u32) -> serde_json::Value {
    json!({
        "DeviceId": device(number), "DeviceName": format!("ws-{number}"), "ReportId": number, "FileName": "tool.exe",
        "ProcessId": 4_711, "AccountName": "anna", "Level": "High",
    })
}

/// What befalls one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It fails, and nothing has happened.
    Fails,
    /// It fails, and yet it has happened. Reading fails.
    FailsAfter,
    Dies,
    DiesAfter,
}

/// What happens in the middle of a run.
type Meanwhile = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The store, struck at most once: at this operation.
struct Shaky {
    store: Store,
    operations: AtomicUsize,
    blow: Mutex<Option<(usize, Blow)>>,
    meanwhile: Mutex<Option<(usize, Meanwhile)>>,
    died: tokio::sync::Notify,
}

impl fmt::Debug for Shaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shaky").finish_non_exhaustive()
    }
}

impl Shaky {
    /// Counts an operation, and says what befalls it.
    async fn struck(&self) -> Option<Blow> {
        let nth = self.operations.fetch_add(1, Ordering::SeqCst);
        let meanwhile = self.meanwhile.lock().unwrap().take_if(|(at, _)| *at == nth);
        if let Some((_, meanwhile)) = meanwhile {
            meanwhile.await;
        }
        let due = self.blow.lock().unwrap().take_if(|(at, _)| *at == nth).map(|(_, blow)| blow);
        if due == Some(Blow::Dies) {
            self.die().await;
        }
        due
    }

    async fn die(&self) {
        self.died.notify_one();
        pending().await
    }

    async fn struck_after(&self, blow: Option<Blow>) {
        if blow == Some(Blow::DiesAfter) {
            self.die().await;
        }
    }
}

const ON_PURPOSE: &str = "on purpose";

fn unless<T>(blow: Option<Blow>, answer: Result<T, StateError>) -> Result<T, StateError> {
    if blow.is_some() { Err(StateError::Unavailable(ON_PURPOSE.to_owned())) } else { answer }
}

#[async_trait]
impl StateBackend for Shaky {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Item>, StateError> {
        let blow = self.struck().await;
        let item = self.store.get(key, now).await;
        self.struck_after(blow).await;
        unless(blow, item)
    }

    async fn batch_get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Item>>, StateError> {
        let blow = self.struck().await;
        let items = self.store.batch_get(keys, now).await;
        self.struck_after(blow).await;
        unless(blow, items)
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        page: Option<&str>,
        now: Timestamp,
    ) -> Result<Page<Item>, StateError> {
        let blow = self.struck().await;
        let items = self.store.query(partition, prefix, page, now).await;
        self.struck_after(blow).await;
        unless(blow, items)
    }

    async fn commit(&self, writes: &[Write], now: Timestamp) -> Result<(), CommitError> {
        let blow = self.struck().await;
        let unavailable =
            |maybe_written| Err(CommitError::Unavailable { why: ON_PURPOSE.to_owned(), maybe_written });
        if blow == Some(Blow::Fails) {
            return unavailable(false);
        }
        let written = self.store.commit(writes, now).await;
        self.struck_after(blow).await;
        if blow.is_some() { unavailable(true) } else { written }
    }
}

#[async_trait]
impl QueueBackend for Shaky {
    async fn send(&self, queue: QueueName, out: &[Out], now: Timestamp) -> Vec<Result<(), QueueError>> {
        let blow = self.struck().await;
        let failed = || Err(QueueError::Unavailable(ON_PURPOSE.to_owned()));
        if blow == Some(Blow::Fails) {
            return out.iter().map(|_| failed()).collect();
        }
        let sent = self.store.send(queue, out, now).await;
        self.struck_after(blow).await;
        if blow.is_some() { out.iter().map(|_| failed()).collect() } else { sent }
    }

    async fn receive(
        &self,
        queue: QueueName,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.store.receive(queue, max, now).await
    }

    async fn done(&self, queue: QueueName, receipt: &Receipt) -> Result<(), QueueError> {
        self.store.done(queue, receipt).await
    }

    async fn retry(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        after: SignedDuration,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        self.store.retry(queue, receipt, after, now).await
    }

    async fn reject(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        self.store.reject(queue, receipt, reason, now).await
    }

    async fn set_aside(
        &self,
        queue: QueueName,
        body: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        self.store.set_aside(queue, body, reason, now).await
    }

    async fn dead(&self, queue: QueueName, page: Option<&str>) -> Result<DeadPage, QueueError> {
        self.store.dead(queue, page).await
    }

    async fn redrive(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, RedriveError> {
        self.store.redrive(queue, id, now).await
    }

    async fn drop_dead(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, QueueError> {
        self.store.drop_dead(queue, id, now).await
    }
}

/// One tenant, its hunts, and what they have brought about.
pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    pub(crate) now: Timestamp,
    pub(crate) hunts: Vec<Hunt>,
    pub(crate) mode: Mode,
    pub(crate) store: Store,
    shaky: Arc<Shaky>,
    vars: Vars,
}

/// Reads hunts, each by its name and its file's text.
pub(crate) fn read(hunts: &[(&str, String)]) -> Vec<Hunt> {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join(policy::HUNTS);
    std::fs::create_dir(&files).unwrap();
    for (name, text) in hunts {
        std::fs::write(files.join(format!("{name}.toml")), text).unwrap();
    }
    Hunt::read_all(folder.path()).unwrap_or_else(|problems| panic!("{problems}"))
}

impl Stage {
    /// It is noon.
    pub(crate) async fn new(world: impl FnOnce(World) -> World, hunts: &[(&str, String)]) -> Stage {
        let simulator = Simulator::start(world(World::new(noon()))).await.unwrap();
        let vars = simulator.settings().map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let store = Store::in_memory().unwrap();
        let shaky = Arc::new(Shaky {
            store: store.clone(),
            operations: AtomicUsize::new(0),
            blow: Mutex::new(None),
            meanwhile: Mutex::new(None),
            died: tokio::sync::Notify::new(),
        });
        Stage { simulator, now: noon(), hunts: read(hunts), mode: Mode::Enforce, store, shaky, vars }
    }

    /// A worker that knows nothing but what stands in queue and state.
    pub(crate) fn worker(&self) -> Hunting {
        self.worker_over(self.shaky.clone(), self.shaky.clone())
    }

    /// A worker on another machine, whose operations are not counted.
    pub(crate) fn other_worker(&self) -> Hunting {
        let store = Arc::new(self.store.clone());
        self.worker_over(store.clone(), store)
    }

    fn worker_over(&self, queue: Arc<dyn QueueBackend>, state: Arc<dyn StateBackend>) -> Hunting {
        let mut problems = Problems::default();
        let connection = Connection::from_vars(&self.vars, None, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let connection = connection.unwrap();
        let (reader, _, _) = connect(&connection, Arc::new(RealPause)).unwrap();
        Hunting {
            tenant: connection.tenant,
            reader,
            queue: Queue::new(queue),
            state: State::new(state),
            tally: Tally::default(),
            hunts: self.hunts.clone().into(),
            lists: Vec::new().into(),
            mode: self.mode,
            time_zone: TimeZone::UTC,
        }
    }

    /// This operation, counted from now on, is struck.
    pub(crate) fn strike(&self, nth: usize, blow: Blow) {
        let begun = self.shaky.operations.load(Ordering::SeqCst);
        *self.shaky.blow.lock().unwrap() = Some((begun + nth, blow));
    }

    /// Whether a blow is still to fall: then there are fewer operations than that.
    pub(crate) fn is_unstruck(&self) -> bool {
        self.shaky.blow.lock().unwrap().is_some()
    }

    /// This happens just before this operation, counted from now on.
    pub(crate) fn meanwhile(&self, nth: usize, happens: impl Future<Output = ()> + Send + 'static) {
        let begun = self.shaky.operations.load(Ordering::SeqCst);
        *self.shaky.meanwhile.lock().unwrap() = Some((begun + nth, Box::pin(happens)));
    }

    pub(crate) fn is_still_to_happen(&self) -> bool {
        self.shaky.meanwhile.lock().unwrap().is_some()
    }

    pub(crate) fn pass(&mut self, time: SignedDuration) {
        self.now += time;
        self.simulator.set_now(self.now);
    }

    /// One run; none where the process has died in the middle of it.
    pub(crate) async fn try_run(&self) -> Option<Result<HuntsRun, HuntingError>> {
        let worker = self.worker();
        tokio::select! {
            biased;
            ran = worker.run(self.now) => Some(ran),
            () = self.shaky.died.notified() => None,
        }
    }

    pub(crate) async fn run(&self) -> HuntsRun {
        self.worker().run(self.now).await.unwrap()
    }

    /// Time passes until a hunt is due, and it is run.
    pub(crate) async fn run_next(&mut self, hunt: &str) -> HuntsRun {
        let next = self.row(hunt).await.next;
        self.pass(next.duration_since(self.now).max(minutes(1)));
        self.run().await
    }

    /// A run every minute for so long.
    pub(crate) async fn run_for(&mut self, how_many: i64) {
        for _ in 0..how_many {
            self.run().await;
            self.pass(minutes(1));
        }
    }

    pub(crate) async fn row(&self, hunt: &str) -> HuntRow {
        let state = State::new(Arc::new(self.store.clone()));
        let key = HuntRow::key(&simulator::DEFAULT_TENANT.parse().unwrap(), hunt);
        let row: Option<Stored<HuntRow>> = state.get(&key, self.now).await.unwrap();
        row.unwrap().value
    }

    /// Changes a hunt's row as it stands in the state.
    pub(crate) async fn change_row(&self, hunt: &str, change: impl FnOnce(&mut HuntRow)) {
        let mut row = self.row(hunt).await;
        change(&mut row);
        let state = State::new(Arc::new(self.store.clone()));
        let key = HuntRow::key(&simulator::DEFAULT_TENANT.parse().unwrap(), hunt);
        let write = Write::put(key, &row, ports::Expect::Any, None).unwrap();
        state.commit(&[write], self.now).await.unwrap();
    }

    /// Takes all messages out of a queue.
    async fn take<B: Body>(&self, queue: QueueName) -> Vec<Envelope<B>> {
        let mut messages = Vec::new();
        while let Some(delivery) = self.store.receive(queue, 1, self.now).await.unwrap().pop() {
            self.store.done(queue, &delivery.receipt).await.unwrap();
            messages.push(Envelope::decode(&delivery.body).unwrap());
        }
        messages
    }

    /// What was announced since the last look, in the order of its ids.
    pub(crate) async fn alerts(&self) -> Vec<Envelope<AlertFound>> {
        let mut alerts = self.take(QueueName::AlertsFound).await;
        alerts.sort_by(|a: &Envelope<AlertFound>, b| a.id.cmp(&b.id));
        alerts
    }

    /// The devices of the alerts since the last look, by their number.
    pub(crate) async fn devices(&self) -> Vec<u32> {
        let alerts = self.alerts().await;
        let device = |alert: &Envelope<AlertFound>| alert.body.alert.device.clone().unwrap();
        let mut devices: Vec<u32> = alerts
            .iter()
            .map(|alert| u32::from_str_radix(device(alert).id().unwrap().as_str(), 16).unwrap())
            .collect();
        devices.sort_unstable();
        devices
    }

    pub(crate) async fn orders(&self) -> Vec<Envelope<EffectRequested>> {
        self.take(QueueName::EffectsRequested).await
    }

    pub(crate) async fn notices(&self) -> Vec<Envelope<Notice>> {
        self.take(QueueName::ActionsTaken).await
    }

    /// What the notices since the last look are about.
    pub(crate) async fn topics(&self) -> Vec<Topic> {
        self.notices().await.into_iter().map(|notice| notice.body.topic).collect()
    }

    pub(crate) async fn dead(&self) -> Vec<DeadLetter> {
        self.store.dead(QueueName::AlertsFound, None).await.unwrap().letters
    }

    pub(crate) fn calls(&self) -> usize {
        self.simulator.count(CALL)
    }

    /// No request was one that the service would call wrong.
    pub(crate) fn end(self) {
        assert_eq!(self.simulator.violations(), Vec::<String>::new());
        assert!(self.simulator.unexpected().is_empty(), "{:?}", self.simulator.unexpected());
    }
}
