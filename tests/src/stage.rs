//! What a story that is told on both hosts may ask of its host, and how the local one does it.
//!
//! A story speaks of how long something may take, never of a time of day: the local host has a clock that the test
//! moves, the deployed one has the world's. What a story means is its own business.

use crate::{OPERATOR, Scene, device, seconds};
use async_trait::async_trait;
use defender::{ApiError, Call, Reader};
use jiff::{SignedDuration, Timestamp};
use model::{AlertId, Answer, DeviceId, EffectState, EvidenceIdentity, Revision, TenantId};
use ports::{
    Brakes, CaseRow, Claim, DeadLetter, OpenEffect, Out, QueueBackend, QueueName, Said, State, Stored, Write,
    alert_partition,
};
use simulator::{ActionType, Simulator};

/// A host with a simulated tenant.
#[async_trait(?Send)]
pub trait Stage {
    fn simulator(&self) -> &Simulator;
    fn tenant(&self) -> &TenantId;
    fn state(&self) -> State;
    fn now(&self) -> Timestamp;

    /// Has the tenant asked for alerts. What is found lies in its queue until the story goes on with
    /// [`Stage::rest`].
    async fn poll(&mut self);

    /// Has the hunts run that are due. What is found lies in its queue until the story goes on with [`Stage::rest`].
    async fn hunt(&mut self);

    /// The bodies of the messages in a queue.
    async fn lying(&mut self, queue: QueueName) -> Vec<String>;

    async fn put(&mut self, queue: QueueName, body: &str);

    /// Works until nothing is left to do: no message in any queue, no isolation under way. Fails after
    /// `at_most`, and says what is left.
    async fn rest(&mut self, at_most: SignedDuration);

    /// The subjects of the e-mails so far.
    async fn subjects(&mut self) -> Vec<String>;

    async fn dead_letters(&mut self) -> Vec<DeadLetter>;

    /// What became of an alert; it must be about one device, or none.
    async fn case(&self, alert: &str) -> CaseRow {
        case(&self.state(), self.tenant(), alert, self.now()).await
    }

    async fn claim(&self, number: u32) -> Option<Claim> {
        claim(&self.state(), self.tenant(), &device(number), self.now()).await
    }

    /// The answer and the state that stand in the alert's case.
    async fn outcome(&self, alert: &str) -> (Answer, Option<EffectState>) {
        let last = self.case(alert).await.last;
        (last.decision.answer, last.state)
    }

    /// Whatever keeps the host from resting.
    async fn unsettled(&mut self) -> Vec<String> {
        // The isolations first: the end of one lies in a queue before it is written down.
        let open = OpenEffect::partition(self.tenant());
        let open: Vec<Stored<OpenEffect>> =
            self.state().query_all(&open, "cut-off#", self.now()).await.unwrap();
        let mut unsettled: Vec<String> =
            open.iter().map(|open| format!("an isolation of {}", open.value.device)).collect();
        for queue in QueueName::ALL {
            let lying = self.lying(queue).await;
            unsettled.extend(lying.into_iter().map(|body| format!("in {queue}: {body}")));
        }
        unsettled
    }

    /// How often the service accepted an isolation of this device.
    fn accepted(&self, number: u32) -> usize {
        self.simulator().with(|world| {
            let actions = world.actions_of(device(number).as_str());
            actions.into_iter().filter(|action| action.kind == ActionType::Isolate).count()
        })
    }

    /// How often the service was asked to isolate this device, answered or not.
    fn asked(&self, number: u32) -> usize {
        let id = device(number);
        let is_ours =
            |entry: &simulator::Entry| entry.route == "POST isolate" && entry.path.contains(id.as_str());
        self.simulator().journal().iter().filter(|entry| is_ours(entry)).count()
    }

    /// Nothing is left over but the dead letters, and the tenant calls no request wrong.
    async fn nothing_is_left(&mut self) {
        let unsettled = self.unsettled().await;
        assert!(unsettled.is_empty(), "{unsettled:#?}");
        let violations = self.simulator().violations();
        assert!(violations.is_empty(), "{violations:#?}");
        let unexpected = self.simulator().unexpected();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
    }
}

#[async_trait(?Send)]
impl Stage for Scene {
    fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn state(&self) -> State {
        Scene::state(self)
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    async fn poll(&mut self) {
        self.pass(seconds(1));
        Scene::poll(self).await;
    }

    async fn hunt(&mut self) {
        self.pass(seconds(1));
        self.host.hunt(self.now).await.unwrap();
    }

    /// Taken out and put back: this host has no other way to see a message.
    async fn lying(&mut self, queue: QueueName) -> Vec<String> {
        let depth = self.store.depth(queue, self.now).unwrap();
        assert_eq!((depth.waiting, depth.in_flight), (0, 0), "{queue} has messages that cannot be seen");
        let mut bodies = Vec::new();
        while let Some(delivery) = self.store.receive(queue, 1, self.now).await.unwrap().pop() {
            self.store.done(queue, &delivery.receipt).await.unwrap();
            bodies.push(delivery.body);
        }
        for body in &bodies {
            self.put(queue, body).await;
        }
        bodies
    }

    async fn put(&mut self, queue: QueueName, body: &str) {
        let out = Out { body: body.to_owned(), delay: SignedDuration::ZERO };
        for sent in self.store.send(queue, &[out], self.now).await {
            sent.unwrap();
        }
    }

    async fn rest(&mut self, at_most: SignedDuration) {
        self.settle(at_most).await;
        let unsettled = self.unsettled().await;
        assert!(unsettled.is_empty(), "after {at_most:#}: {unsettled:#?}");
    }

    async fn subjects(&mut self) -> Vec<String> {
        Scene::subjects(self)
    }

    async fn dead_letters(&mut self) -> Vec<DeadLetter> {
        dead_letters(&self.store).await
    }
}

/// What became of an alert, on each device that it is about.
pub(crate) async fn cases(state: &State, tenant: &TenantId, alert: &AlertId, now: Timestamp) -> Vec<CaseRow> {
    let rows: Vec<Stored<CaseRow>> =
        state.query_all(&alert_partition(tenant, alert), "case#", now).await.unwrap();
    rows.into_iter().map(|row| row.value).collect()
}

/// What became of an alert; it must be about one device, or none.
pub(crate) async fn case(state: &State, tenant: &TenantId, alert: &str, now: Timestamp) -> CaseRow {
    let mut cases = cases(state, tenant, &alert.parse().unwrap(), now).await;
    assert_eq!(cases.len(), 1, "cases of {alert}: {cases:#?}");
    cases.remove(0)
}

/// All dead letters of a host, queue by queue.
pub(crate) async fn dead_letters(queue: &dyn QueueBackend) -> Vec<DeadLetter> {
    let mut letters = Vec::new();
    for name in QueueName::ALL {
        let mut next = None;
        loop {
            let page = queue.dead(name, next.as_deref()).await.unwrap();
            letters.extend(page.letters);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
    }
    letters
}

/// The revision of an alert as a client reads it now.
pub(crate) async fn revision(reader: &Reader, alert: &AlertId, now: Timestamp) -> Result<Revision, ApiError> {
    let read = reader.alert(alert, Call { now, budget: seconds(20) }).await?;
    Ok(Revision::of(&read, &EvidenceIdentity::all(&read)))
}

/// Changes the brakes as the operator's commands do, and gives them as they are then; nobody is told.
pub(crate) async fn change_brakes(
    state: &State,
    tenant: &TenantId,
    now: Timestamp,
    change: impl FnOnce(&mut Brakes),
) -> Brakes {
    let key = Brakes::key(tenant);
    let stored: Option<Stored<Brakes>> = state.get(&key, now).await.unwrap();
    let expect = Stored::expected(stored.as_ref());
    let mut brakes = stored.map(|stored| stored.value).unwrap_or_default();
    change(&mut brakes);
    let write = Write::put(key, &brakes, expect, None).unwrap();
    state.commit(&[write], now).await.unwrap();
    brakes
}

/// A person's word for what they do, as of now.
pub(crate) fn said(now: Timestamp) -> Said {
    Said { at: now, by: OPERATOR.to_owned(), why: "because I say so".to_owned() }
}

pub(crate) async fn claim(
    state: &State,
    tenant: &TenantId,
    device: &DeviceId,
    now: Timestamp,
) -> Option<Claim> {
    let stored: Option<Stored<Claim>> = state.get(&Claim::key(tenant, device), now).await.unwrap();
    stored.map(|stored| stored.value)
}
