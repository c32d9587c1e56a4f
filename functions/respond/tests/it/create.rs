//! Alerts that Defender is to make of what a hunt has found: made once, waited for while people have paused Cordon, and told
//! where none was made.

use credentials::{Connection, Problems, Vars};
use defender::{RealPause, connect};
use jiff::{SignedDuration, Timestamp};
use local::Store;
use model::{
    Body, Cause, DeviceId, EffectRequested, EffectState, Envelope, Mode, NewAlert, Notice, Topic, Wanted,
};
use policy::Playbook;
use ports::{
    Answered, Brakes, Claim, Disposition, Expect, Key, Queue, QueueBackend, QueueName, Said, State, Stored,
    Tally, Write,
};
use respond::Respond;
use serde_json::json;
use simulator::{Fault, FaultKind, Machine, Simulator, Table, World};
use std::{path::Path, sync::Arc};

const CALL: &str = "POST create alert";
const HUNT: &str = "remote-tools";
const TITLE: &str = "tool.exe on ws-1";

fn noon() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn event_at() -> Timestamp {
    noon() - SignedDuration::from_mins(5)
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn device() -> DeviceId {
    format!("{:040x}", 1).parse().unwrap()
}

/// A tenant with a device, an event on it, and the step.
struct Stage {
    simulator: Simulator,
    store: Store,
    respond: Respond,
    now: Timestamp,
}

impl Stage {
    async fn new() -> Stage {
        Stage::permitted(&["Machine.Isolate", "Alert.ReadWrite.All"]).await
    }

    /// The app may do this.
    async fn permitted(roles: &[&str]) -> Stage {
        let machine = Machine::new(device().as_str(), "ws-1", "Windows11", noon() - minutes(60));
        let events = Table::new("// simulated")
            .column("Timestamp", "DateTime")
            .column("DeviceId", "String")
            .column("ReportId", "Int64")
            .row(event_at(), json!({ "DeviceId": device(), "ReportId": 4711 }));
        let world = World::new(noon()).machine(machine).table(events);
        let world = world.app(simulator::DEFAULT_CLIENT, simulator::DEFAULT_SECRET, roles);
        let simulator = Simulator::start(world).await.unwrap();
        let vars: Vars =
            simulator.settings().map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let connection = Connection::from_vars(&vars, None, &mut Problems::default()).unwrap();
        let (reader, responder, _) = connect(&connection, Arc::new(RealPause)).unwrap();
        let playbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbook");
        let store = Store::in_memory().unwrap();
        let respond = Respond {
            tenant: connection.tenant,
            reader,
            responder: Arc::new(responder),
            playbook: Arc::new(Playbook::read(&playbook).unwrap_or_else(|problems| panic!("{problems}"))),
            environment_mode: Some(Mode::Enforce),
            queue: Queue::new(Arc::new(store.clone())),
            state: State::new(Arc::new(store.clone())),
            tally: Tally::default(),
        };
        Stage { simulator, store, respond, now: noon() }
    }

    /// A tenant whose service fails in this way.
    async fn failing(fault: Fault) -> Stage {
        let stage = Stage::new().await;
        stage.simulator.with(|world| world.faults.push(fault));
        stage
    }

    fn pass(&mut self, time: SignedDuration) {
        self.now += time;
        self.simulator.set_now(self.now);
    }

    async fn take(&self, order: &Envelope<EffectRequested>) -> Disposition {
        let body = order.encode().unwrap();
        Box::pin(self.respond.take(QueueName::EffectsRequested, &body, self.now)).await
    }

    /// Takes the order as often as it is deferred, each time when it is due.
    async fn take_to_the_end(&mut self, order: &Envelope<EffectRequested>) {
        for _ in 0..60 {
            match self.take(order).await {
                Disposition::Done => return,
                Disposition::Defer { until, .. } => self.pass(until.duration_since(self.now)),
                other => panic!("{other:?}"),
            }
        }
        panic!("the order never ends");
    }

    async fn answered(&self, order: &Envelope<EffectRequested>) -> Option<Answered> {
        let key = Answered::key(&self.respond.tenant, &order.id);
        let answered: Option<Stored<Answered>> = self.respond.state.get(&key, self.now).await.unwrap();
        answered.map(|answered| answered.value)
    }

    /// What people are to be told since the last look, each once by its id.
    async fn notices(&self) -> Vec<Notice> {
        let mut notices = std::collections::BTreeMap::new();
        while let Some(delivery) =
            self.store.receive(QueueName::ActionsTaken, 1, self.now).await.unwrap().pop()
        {
            self.store.done(QueueName::ActionsTaken, &delivery.receipt).await.unwrap();
            let notice: Envelope<Notice> = Envelope::decode(&delivery.body).unwrap();
            assert_eq!(notice.kind, Notice::KIND);
            notices.insert(notice.id, notice.body);
        }
        notices.into_values().collect()
    }

    async fn put(&self, key: Key, value: &impl serde::Serialize) {
        let write = Write::put(key, value, Expect::Any, None).unwrap();
        self.respond.state.commit(&[write], self.now).await.unwrap();
    }

    async fn pause(&self, paused: bool) {
        let pause = paused.then(|| Said { at: self.now, by: "anna".into(), why: "a test".into() });
        self.put(Brakes::key(&self.respond.tenant), &Brakes { pause, ..Brakes::default() }).await;
    }

    fn made(&self) -> usize {
        self.simulator.with(|world| world.alerts.iter().filter(|alert| alert.title == TITLE).count())
    }

    fn order(&self) -> Envelope<EffectRequested> {
        self.order_for("4711")
    }

    fn order_for(&self, report: &str) -> Envelope<EffectRequested> {
        let alert = NewAlert {
            event_time: format!("{:.7}", event_at()),
            report_id: report.to_owned(),
            severity: model::Severity::High,
            title: TITLE.to_owned(),
            description: "What was found".to_owned(),
            recommended_action: "Look at it".to_owned(),
            category: "Execution".to_owned(),
        };
        let order = EffectRequested {
            wanted: Wanted::CreateAlert(alert),
            device: device(),
            cause: Cause::Hunt,
            alert: None,
            claim: None,
            by: format!("hunt {HUNT}"),
            why: "it was found".to_owned(),
            not_after: self.now + EffectRequested::HOLDS,
        };
        Envelope::new(&self.respond.tenant, &["hunt", report], "trace", self.now, order)
    }

    /// The one notice that no alert was made, with what it says.
    async fn told(&self) -> String {
        let notices = self.notices().await;
        let [notice] = notices.as_slice() else { panic!("{notices:#?}") };
        assert_eq!(notice.topic, Topic::HuntNotMade { hunt: HUNT.to_owned() });
        assert_eq!(notice.device, Some(device()));
        notice.facts.join("\n")
    }

    fn end(self) {
        assert_eq!(self.simulator.violations(), Vec::<String>::new());
        assert_eq!(self.simulator.count("POST isolate"), 0);
    }
}

#[tokio::test]
async fn an_alert_is_made_once_and_nobody_is_told_of_it_by_the_order() {
    let mut stage = Stage::new().await;
    let order = stage.order();
    stage.take_to_the_end(&order).await;
    assert_eq!((stage.made(), stage.simulator.count(CALL)), (1, 1));
    assert!(stage.answered(&order).await.unwrap().said.starts_with("Defender has the alert da"));
    // The queue may bring it again.
    stage.take_to_the_end(&order).await;
    assert_eq!(stage.simulator.count(CALL), 1);
    assert!(stage.notices().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn nothing_is_made_while_observing_and_people_are_told() {
    let mut stage = Stage::new().await;
    stage.respond.environment_mode = Some(Mode::Observe);
    let order = stage.order();
    stage.take_to_the_end(&order).await;
    let answered = stage.answered(&order).await.unwrap();
    assert_eq!(answered.state, Some(EffectState::Refused));
    assert!(answered.said.contains("observe"), "{}", answered.said);
    // Nobody reads the answer to a hunt's order: once, people are told.
    assert!(stage.told().await.contains("observe"));
    stage.take_to_the_end(&order).await;
    assert!(stage.notices().await.is_empty());
    assert_eq!(stage.simulator.count(CALL), 0);
    stage.end();
}

#[tokio::test]
async fn a_pause_is_waited_for_and_nothing_is_asked_meanwhile() {
    let mut stage = Stage::new().await;
    let order = stage.order();
    stage.pause(true).await;
    for _ in 0..5 {
        assert!(
            matches!(stage.take(&order).await, Disposition::Defer { why, .. } if why.contains("paused by anna"))
        );
        stage.pass(minutes(1));
    }
    assert_eq!(stage.simulator.count(CALL), 0);
    stage.pause(false).await;
    stage.take_to_the_end(&order).await;
    assert_eq!(stage.made(), 1);
    stage.end();
}

#[tokio::test]
async fn an_order_that_went_stale_during_a_pause_is_told() {
    let mut stage = Stage::new().await;
    let order = stage.order();
    stage.pause(true).await;
    stage.take_to_the_end(&order).await;
    let told = stage.told().await;
    assert!(told.contains("it came too late") && told.contains(TITLE), "{told}");
    stage.pause(false).await;
    stage.take_to_the_end(&order).await;
    assert_eq!(stage.simulator.count(CALL), 0);
    stage.end();
}

#[tokio::test]
async fn brakes_that_cannot_be_read_count_as_a_pause() {
    let mut stage = Stage::new().await;
    let order = stage.order();
    stage.put(Brakes::key(&stage.respond.tenant), &"nonsense").await;
    assert!(matches!(stage.take(&order).await, Disposition::Defer { .. }));
    stage.take_to_the_end(&order).await;
    assert_eq!(stage.simulator.count(CALL), 0);
    assert!(stage.told().await.contains("it came too late"));
    stage.end();
}

/// It is no effect on the device.
#[tokio::test]
async fn a_claim_that_cannot_be_read_keeps_no_alert_from_being_made() {
    let mut stage = Stage::new().await;
    stage.put(Claim::key(&stage.respond.tenant, &device()), &"nonsense").await;
    let order = stage.order();
    stage.take_to_the_end(&order).await;
    assert_eq!(stage.made(), 1);
    stage.end();
}

#[tokio::test]
async fn an_event_that_defender_does_not_find_is_told_once() {
    let mut stage = Stage::new().await;
    let order = stage.order_for("1");
    stage.take_to_the_end(&order).await;
    let told = stage.told().await;
    assert!(told.contains("not found: 404") && told.contains(TITLE), "{told}");
    assert_eq!(stage.answered(&order).await.unwrap().state, Some(EffectState::Refused));
    stage.take_to_the_end(&order).await;
    assert_eq!(stage.simulator.count(CALL), 1);
    assert!(stage.notices().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let mut stage = Stage::permitted(&["Machine.Isolate"]).await;
    let order = stage.order();
    stage.take_to_the_end(&order).await;
    let told = stage.told().await;
    assert!(told.contains("Alert.ReadWrite.All"), "{told}");
    stage.end();
}

#[tokio::test]
async fn a_quota_or_an_outage_is_waited_for() {
    for kind in [FaultKind::Throttle { retry_after: Some(60) }, FaultKind::ServerError(503)] {
        let mut stage = Stage::failing(Fault::once(CALL, kind).times(2)).await;
        let order = stage.order();
        assert!(matches!(stage.take(&order).await, Disposition::Defer { .. }));
        stage.take_to_the_end(&order).await;
        assert_eq!(stage.made(), 1);
        assert!(stage.notices().await.is_empty());
        stage.end();
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_the_open_alert_takes_the_second_one_in() {
    let mut stage = Stage::failing(Fault::once(CALL, FaultKind::ResetAfter)).await;
    let order = stage.order();
    stage.take_to_the_end(&order).await;
    assert_eq!((stage.simulator.count(CALL), stage.made()), (2, 1));
    assert!(stage.notices().await.is_empty());
    stage.end();
}

#[tokio::test]
async fn a_service_that_never_answers_is_asked_three_times_more_and_people_are_told() {
    let mut stage = Stage::failing(Fault::once(CALL, FaultKind::Reset).always()).await;
    let order = stage.order();
    stage.take_to_the_end(&order).await;
    assert_eq!(stage.simulator.count(CALL), 4);
    let told = stage.told().await;
    assert!(told.contains("it is not known whether the alert was made"), "{told}");
    assert_eq!(stage.answered(&order).await.unwrap().state, Some(EffectState::Unknown));
    stage.end();
}

#[tokio::test]
async fn an_alert_whose_id_cannot_be_read_was_made_all_the_same() {
    let mut stage = Stage::failing(Fault::once(CALL, FaultKind::NotJson)).await;
    let order = stage.order();
    stage.take_to_the_end(&order).await;
    assert_eq!(stage.made(), 1);
    assert!(stage.answered(&order).await.unwrap().said.starts_with("Defender has the alert"));
    assert!(stage.notices().await.is_empty());
    stage.end();
}
