//! Isolations over the whole pipeline: whatever goes wrong, a device is isolated once, and people know of it.

mod adopted;
pub(crate) mod crashed;
mod followed;
mod lost;
mod ordinary;
mod patience;
mod refused;
mod repeated;
mod reread;
mod storm;
mod undone;
pub(crate) mod watched;

use jiff::SignedDuration;
use model::{Answer, EffectState};
use ports::{Out, QueueBackend, QueueName};
use scenarios::{Scene, device, high, noon, workstation};
use serde_json::Value;
use simulator::{ActionStatus, ActionType, Fault, FaultKind, World};

pub(crate) const PERSON: &str = "analyst@contoso.com";

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// A tenant with one workstation and one High alert on it.
pub(crate) fn one_alert() -> World {
    World::new(noon()).machine(workstation(1)).alert(high("a", 1))
}

/// How often the service accepted an isolation of this device that was asked for through its interface.
pub(crate) fn accepted(scene: &Scene, number: u32) -> usize {
    let is_ours = |action: &&simulator::MachineAction| {
        action.kind == ActionType::Isolate && action.request_source == "PublicApi"
    };
    scene
        .simulator
        .with(|world| world.actions_of(device(number).as_str()).into_iter().filter(is_ours).count())
}

/// What was sent with each request to isolate.
pub(crate) fn requests(scene: &Scene) -> Vec<Value> {
    let journal = scene.simulator.journal();
    let asked = journal.iter().filter(|entry| entry.route == "POST isolate");
    asked.map(|entry| serde_json::from_str(&entry.body).unwrap()).collect()
}

/// How many mails say this in their subject.
pub(crate) fn told(scene: &Scene, words: &str) -> usize {
    scene.subjects().iter().filter(|subject| subject.contains(words)).count()
}

/// The answer and the state that stand in the alert's case.
pub(crate) async fn outcome(scene: &Scene, alert: &str) -> (Answer, Option<EffectState>) {
    let last = scene.case(alert).await.last;
    (last.decision.answer, last.state)
}

/// What people read about an alert beside the decision: its notes and doubts.
pub(crate) async fn notes(scene: &Scene, alert: &str) -> String {
    let last = scene.case(alert).await.last;
    [last.notes, last.decision.doubts].concat().join("; ")
}

/// A new High alert on that workstation, at this instant.
pub(crate) fn raise(scene: &mut Scene, alert: &str, number: u32) {
    scene.pass(SignedDuration::ZERO);
    let alert = simulator::Alert::new(alert, device(number).as_str(), scene.now).on(&workstation(number));
    scene.simulator.with(|world| world.alerts.push(alert));
}

pub(crate) fn person_isolates(scene: &Scene, number: u32) -> String {
    scene.simulator.with(|world| world.isolate_by_person(device(number).as_str(), PERSON))
}

pub(crate) fn person_releases(scene: &Scene, number: u32) -> String {
    scene.simulator.with(|world| world.release_by_person(device(number).as_str(), PERSON))
}

pub(crate) fn go_offline(scene: &Scene, number: u32) {
    scene.simulator.with(|world| world.take_offline(device(number).as_str()));
}

pub(crate) fn come_online(scene: &Scene, number: u32) {
    scene.simulator.with(|world| world.bring_online(device(number).as_str()));
}

pub(crate) fn fails(scene: &Scene, fault: Fault) {
    scene.simulator.with(|world| world.faults.push(fault));
}

pub(crate) fn heal(scene: &Scene) {
    scene.simulator.with(|world| world.faults.clear());
}

/// Polls and enriches, and stops before anything is decided.
pub(crate) async fn enrich(scene: &mut Scene) {
    scene.poll().await;
    while scene.host.consume(QueueName::AlertsFound, scene.now).await.unwrap() > 0 {}
}

/// Decides and acts, and stops before anything is told or followed.
pub(crate) async fn respond(scene: &Scene) {
    while scene.host.consume(QueueName::AlertsEnriched, scene.now).await.unwrap() > 0 {}
}

/// Takes the messages out of a queue.
pub(crate) async fn take(scene: &Scene, queue: QueueName) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let deliveries = scene.store.receive(queue, 10, scene.now).await.unwrap();
        if deliveries.is_empty() {
            return bodies;
        }
        for delivery in deliveries {
            scene.store.done(queue, &delivery.receipt).await.unwrap();
            bodies.push(delivery.body);
        }
    }
}

pub(crate) async fn put(scene: &Scene, queue: QueueName, bodies: &[String]) {
    for body in bodies {
        let out = Out { body: body.clone(), delay: SignedDuration::ZERO };
        for sent in scene.store.send(queue, &[out], scene.now).await {
            sent.unwrap();
        }
    }
}

/// The requests that the tenant calls wrong, which were looked at: the end does not mind them any more.
pub(crate) fn excuse_violations(scene: &Scene) -> Vec<String> {
    let violations = scene.simulator.violations();
    scene.simulator.clear_journal();
    violations
}

/// Exactly one isolation of the first device was accepted, has succeeded, and people know it.
pub(crate) async fn isolated_once(scene: &Scene) {
    assert!(scene.is_isolated(1));
    assert_eq!(accepted(scene, 1), 1);
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Succeeded);
    assert_eq!(told(scene, "isolation succeeded"), 1, "{:#?}", scene.subjects());
}

pub(crate) fn lost_answer(kind: FaultKind) -> Fault {
    Fault::once("POST isolate", kind)
}

pub(crate) fn status_of(scene: &Scene, action: &str) -> ActionStatus {
    scene.simulator.with(|world| world.action(action).unwrap().status)
}
