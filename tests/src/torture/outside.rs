//! Where a worker meets the outside: every call of its queue and state, and every pause, stops at a door until
//! whoever drives the workers says what becomes of it. Calls to the tenant stop at the simulator instead.
//!
//! What was really written and sent is kept in a [`Log`], for whoever judges in the end.

use super::memory::Memory;
use async_trait::async_trait;
use defender::Pause;
use jiff::{SignedDuration, Timestamp};
use local::Store;
use ports::{
    CommitError, DeadPage, Delivery, Item, Key, Out, Page, QueueBackend, QueueError, QueueName, Receipt,
    RedriveError, StateBackend, StateError, Write,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

/// What a worker is about to do outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Read,
    Receive,
    Settle,
    Send {
        several: bool,
    },
    Commit,
    /// A commit by which a channel is remembered as told.
    Remember,
    Pause(SignedDuration),
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Happens,
    /// It does not happen, and the worker hears that it could not be done.
    Fails,
    /// It happens, and the worker hears that it may not have.
    Unheard,
    /// It does not happen, because somebody else is at it.
    Contended,
    /// Of several things every other one happens.
    Partly,
    /// It happens, and the worker never comes back.
    ThenDies,
}

/// The door of one worker.
#[derive(Debug, Default)]
pub struct Door(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    asked: Option<Op>,
    fate: Option<Fate>,
    is_dead: bool,
}

impl Door {
    /// What the worker waits to do; asked for once.
    pub fn asked(&self) -> Option<Op> {
        self.inside().asked.take()
    }

    pub fn answer(&self, fate: Fate) {
        self.inside().fate = Some(fate);
    }

    /// Whether the worker has done its last.
    pub fn is_dead(&self) -> bool {
        self.inside().is_dead
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn knock(&self, op: Op) -> Fate {
        let mut has_knocked = false;
        poll_fn(|_| {
            let mut inside = self.inside();
            if !has_knocked {
                has_knocked = true;
                inside.asked = Some(op);
            }
            inside.fate.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Never comes back from what was just done, if that is its fate.
    async fn pass(&self, fate: Fate) {
        if fate == Fate::ThenDies {
            self.inside().is_dead = true;
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Pause for Door {
    async fn pause(&self, how_long: SignedDuration) {
        self.knock(Op::Pause(how_long)).await;
    }
}

/// A queue and a state that belong together.
#[derive(Debug, Clone)]
pub enum Pair {
    /// SQLite, as on one machine.
    Local(Store),
    /// In memory, as unkind as SQS and DynamoDB.
    Cloud(Arc<Memory>),
}

impl Pair {
    pub fn queue(&self) -> Arc<dyn QueueBackend> {
        match self {
            Pair::Local(store) => Arc::new(store.clone()),
            Pair::Cloud(memory) => memory.clone(),
        }
    }

    pub fn state(&self) -> Arc<dyn StateBackend> {
        match self {
            Pair::Local(store) => Arc::new(store.clone()),
            Pair::Cloud(memory) => memory.clone(),
        }
    }

    /// When there is something to receive; none where the queue is empty.
    pub fn next_due(&self, queue: QueueName, now: Timestamp) -> Option<Timestamp> {
        match self {
            Pair::Cloud(memory) => memory.next_due(queue),
            Pair::Local(store) => store.next_due_in(queue, now).unwrap(),
        }
    }
}

/// What was really written and sent.
#[derive(Debug, Default)]
pub struct Log {
    /// Messages on `actions-taken`, by id.
    pub taken: BTreeMap<String, Value>,
    /// How often each announcement of a revision was sent, by id.
    pub found: BTreeMap<String, u32>,
    /// How often each revision was newly written down as judged, by case and revision.
    pub judged: BTreeMap<(String, String), u32>,
    /// Revisions of a case that are remembered as judged, to tell what is new.
    known: BTreeMap<String, BTreeSet<String>>,
}

impl Log {
    fn committed(&mut self, writes: &[Write]) {
        for write in writes {
            let (key, _) = write.condition();
            let Write::Put { value, .. } = write else { continue };
            if !key.sort.starts_with("case#") {
                continue;
            }
            let case: Value = serde_json::from_slice(value).unwrap_or_default();
            let judged = case.get("judged").and_then(Value::as_array).cloned().unwrap_or_default();
            let known = self.known.entry(key.to_string()).or_default();
            for revision in judged.iter().filter_map(Value::as_str) {
                if known.insert(revision.to_owned()) {
                    *self.judged.entry((key.to_string(), revision.to_owned())).or_default() += 1;
                }
            }
            // What a later write has forgotten may be judged again, and counts then.
            known.retain(|revision| judged.iter().any(|judged| judged.as_str() == Some(revision)));
        }
    }

    fn sent(&mut self, queue: QueueName, out: &Out) {
        if !matches!(queue, QueueName::AlertsFound | QueueName::ActionsTaken) {
            return;
        }
        let message: Value = serde_json::from_str(&out.body).unwrap_or_default();
        let id = message.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        // A message that waits is sent again as it is, which is not announcing it again.
        if queue == QueueName::ActionsTaken {
            self.taken.insert(id, message);
        } else if out.delay.is_zero() {
            *self.found.entry(id).or_default() += 1;
        }
    }
}

/// A pair behind a worker's door.
#[derive(Clone)]
pub struct Outside {
    pub pair: Pair,
    pub door: Arc<Door>,
    pub log: Arc<Mutex<Log>>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("pair", &self.pair).finish_non_exhaustive()
    }
}

impl Outside {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read<T>(&self, read: impl Future<Output = Result<T, StateError>>) -> Result<T, StateError> {
        let fate = self.door.knock(Op::Read).await;
        if matches!(fate, Fate::Fails | Fate::Unheard | Fate::Contended) {
            return Err(StateError::Unavailable("tortured".to_owned()));
        }
        let answer = read.await;
        self.door.pass(fate).await;
        answer
    }

    async fn queued<T>(
        &self,
        op: Op,
        work: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        let fate = self.door.knock(op).await;
        let unavailable = || QueueError::Unavailable("tortured".to_owned());
        if matches!(fate, Fate::Fails | Fate::Contended) {
            return Err(unavailable());
        }
        let answer = work.await;
        self.door.pass(fate).await;
        if fate == Fate::Unheard { Err(unavailable()) } else { answer }
    }

    async fn send_one(&self, queue: QueueName, out: &Out, now: Timestamp) -> Result<(), QueueError> {
        let mut sent = self.pair.queue().send(queue, std::slice::from_ref(out), now).await;
        let sent = sent.pop().unwrap_or_else(|| Err(QueueError::Unavailable("no answer".to_owned())));
        if sent.is_ok() {
            self.log().sent(queue, out);
        }
        sent
    }
}

#[async_trait]
impl StateBackend for Outside {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Item>, StateError> {
        self.read(async { self.pair.state().get(key, now).await }).await
    }

    async fn batch_get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Item>>, StateError> {
        self.read(async { self.pair.state().batch_get(keys, now).await }).await
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        page: Option<&str>,
        now: Timestamp,
    ) -> Result<Page<Item>, StateError> {
        self.read(async { self.pair.state().query(partition, prefix, page, now).await }).await
    }

    async fn commit(&self, writes: &[Write], now: Timestamp) -> Result<(), CommitError> {
        // Not a commit that only looks whether somebody was told.
        let tells = |write: &Write| matches!(write, Write::Put { key, .. } if key.sort.starts_with("told#"));
        let remembers = writes.iter().any(tells);
        let fate = self.door.knock(if remembers { Op::Remember } else { Op::Commit }).await;
        let unavailable =
            |maybe_written| CommitError::Unavailable { why: "tortured".to_owned(), maybe_written };
        match fate {
            Fate::Contended => return Err(CommitError::Contended),
            Fate::Fails => return Err(unavailable(true)),
            Fate::Happens | Fate::Unheard | Fate::Partly | Fate::ThenDies => {}
        }
        let answer = self.pair.state().commit(writes, now).await;
        if answer.is_ok() {
            self.log().committed(writes);
        }
        self.door.pass(fate).await;
        if fate == Fate::Unheard { answer.and(Err(unavailable(true))) } else { answer }
    }
}

#[async_trait]
impl QueueBackend for Outside {
    async fn send(&self, queue: QueueName, out: &[Out], now: Timestamp) -> Vec<Result<(), QueueError>> {
        let fate = self.door.knock(Op::Send { several: out.len() > 1 }).await;
        let mut sent = Vec::new();
        for (index, out) in out.iter().enumerate() {
            let fails = match fate {
                Fate::Fails | Fate::Contended => true,
                Fate::Partly => index % 2 == 0,
                Fate::Happens | Fate::Unheard | Fate::ThenDies => false,
            };
            let answer = if fails { Ok(()) } else { self.send_one(queue, out, now).await };
            let is_unheard = fails || fate == Fate::Unheard;
            sent.push(if is_unheard { Err(QueueError::Unavailable("tortured".to_owned())) } else { answer });
        }
        self.door.pass(fate).await;
        sent
    }

    async fn receive(
        &self,
        queue: QueueName,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.queued(Op::Receive, async { self.pair.queue().receive(queue, max, now).await }).await
    }

    async fn done(&self, queue: QueueName, receipt: &Receipt) -> Result<(), QueueError> {
        self.queued(Op::Settle, async { self.pair.queue().done(queue, receipt).await }).await
    }

    async fn retry(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        after: SignedDuration,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        self.queued(Op::Settle, async { self.pair.queue().retry(queue, receipt, after, now).await }).await
    }

    async fn reject(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        self.queued(Op::Settle, async { self.pair.queue().reject(queue, receipt, reason, now).await }).await
    }

    async fn set_aside(
        &self,
        queue: QueueName,
        body: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        self.queued(Op::Send { several: false }, async {
            self.pair.queue().set_aside(queue, body, reason, now).await
        })
        .await
    }

    async fn dead(&self, queue: QueueName, page: Option<&str>) -> Result<DeadPage, QueueError> {
        self.pair.queue().dead(queue, page).await
    }

    async fn redrive(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, RedriveError> {
        self.pair.queue().redrive(queue, id, now).await
    }

    async fn drop_dead(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, QueueError> {
        self.pair.queue().drop_dead(queue, id, now).await
    }
}
