//! A queue and a state in memory, as unkind as SQS and DynamoDB may be: deliveries in any order, some of them twice, some
//! acknowledgements without effect. Without a temper it is a well-behaved pair, and keeps what every backend must.
//!
//! Errors are not made here: `outside` puts those in front of any pair.

use async_trait::async_trait;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use model::MAX_MESSAGE_BYTES;
use ports::{
    CommitError, DeadLetter, DeadPage, Delivery, Expect, Item, Key, MAX_DELAY, MAX_RECEIVES, Out, Page,
    QueueBackend, QueueError, QueueName, Receipt, RedriveError, StateBackend, StateError, Version, Write,
    given_up, impossible, was_a_message,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How long a delivery stays invisible to others.
pub const VISIBILITY: SignedDuration = SignedDuration::from_mins(6);

/// The most messages in one `receive`, items in a page of the state, and dead letters in a page.
const BATCH: usize = 10;
const PAGE: usize = 100;
const DEAD_PAGE: usize = 50;

/// A queue that holds so many messages repeats none: what must wait is sent again and again, and would become more with
/// every repetition.
const CROWD: usize = 30;

/// How unkind the pair is, each from 0.0 to 1.0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Temper {
    /// That a message that was sent once lies in the queue twice.
    pub doubles: f64,
    /// That a message is delivered once more although it was settled.
    pub forgets: f64,
    /// That of several messages another than the oldest comes first.
    pub shuffles: f64,
}

/// The pair.
#[derive(Debug)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    temper: Temper,
    rng: Rng,
    messages: BTreeMap<QueueName, Vec<Message>>,
    dead: Vec<DeadLetter>,
    items: BTreeMap<String, BTreeMap<String, Row>>,
    /// Numbers messages, dead letters and versions.
    last: u64,
    doubled: u64,
}

#[derive(Debug, Clone)]
struct Message {
    id: u64,
    body: String,
    visible_at: Timestamp,
    receives: u32,
    in_flight: bool,
}

#[derive(Debug, Clone)]
struct Row {
    value: Vec<u8>,
    version: Version,
    expires: Option<Timestamp>,
}

impl Memory {
    pub fn new(seed: u64, temper: Temper) -> Memory {
        let inner = Inner {
            temper,
            rng: Rng::with_seed(seed),
            messages: BTreeMap::new(),
            dead: Vec::new(),
            items: BTreeMap::new(),
            last: 0,
            doubled: 0,
        };
        Memory { inner: Mutex::new(inner) }
    }

    /// From now on it is well-behaved.
    pub fn calm(&self) {
        self.inner().temper = Temper::default();
    }

    /// How many deliveries were repeated without a reason.
    pub fn doubled(&self) -> u64 {
        self.inner().doubled
    }

    /// When there is something to receive in a queue; none where it is empty.
    pub fn next_due(&self, queue: QueueName) -> Option<Timestamp> {
        self.inner().messages.get(&queue)?.iter().map(|message| message.visible_at).min()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.f64() < probability
    }

    fn is_crowded(&self, queue: QueueName) -> bool {
        self.messages.get(&queue).is_some_and(|messages| messages.len() >= CROWD)
    }

    fn put(&mut self, queue: QueueName, body: &str, delay: SignedDuration, now: Timestamp) {
        let visible_at = now + delay.clamp(SignedDuration::ZERO, MAX_DELAY);
        let id = self.number();
        let message = Message { id, body: body.to_owned(), visible_at, receives: 0, in_flight: false };
        self.messages.entry(queue).or_default().push(message);
    }

    /// Another message that is visible now; none where there is none.
    fn pick(&mut self, queue: QueueName, now: Timestamp) -> Option<usize> {
        let visible = |messages: &Vec<Message>| {
            let mut all: Vec<usize> = (0..messages.len())
                .filter(|index| messages.get(*index).is_some_and(|m| m.visible_at <= now))
                .collect();
            all.sort_by_key(|index| messages.get(*index).map(|message| (message.visible_at, message.id)));
            all
        };
        let visible = self.messages.get(&queue).map(visible).unwrap_or_default();
        let shuffles = self.temper.shuffles;
        if self.chance(shuffles) { self.rng.choice(visible).to_owned() } else { visible.first().copied() }
    }

    fn take(&mut self, queue: QueueName, receipt: &Receipt) -> Option<usize> {
        let (id, receives) = receipt.0.split_once('/')?;
        let (id, receives): (u64, u32) = (id.parse().ok()?, receives.parse().ok()?);
        let messages = self.messages.get(&queue)?;
        messages.iter().position(|message| message.id == id && message.receives == receives)
    }

    fn bury(&mut self, queue: QueueName, body: String, reason: &str, now: Timestamp) {
        let id = self.number().to_string();
        self.dead.push(DeadLetter { id, queue, body, reason: reason.to_owned(), since: now });
    }

    fn remove(&mut self, queue: QueueName, index: usize) -> Option<Message> {
        let messages = self.messages.get_mut(&queue)?;
        (index < messages.len()).then(|| messages.remove(index))
    }

    fn row(&self, key: &Key, now: Timestamp) -> Option<&Row> {
        let row = self.items.get(&key.partition)?.get(&key.sort)?;
        row.expires.is_none_or(|expires| expires > now).then_some(row)
    }

    fn item(&self, key: &Key, now: Timestamp) -> Option<Item> {
        let row = self.row(key, now)?;
        Some(Item { key: key.clone(), value: row.value.clone(), version: row.version })
    }
}

#[async_trait]
impl QueueBackend for Memory {
    async fn send(&self, queue: QueueName, out: &[Out], now: Timestamp) -> Vec<Result<(), QueueError>> {
        let mut inner = self.inner();
        let mut send = |out: &Out| {
            if out.body.len() > MAX_MESSAGE_BYTES {
                return Err(QueueError::TooLarge { bytes: out.body.len() });
            }
            inner.put(queue, &out.body, out.delay, now);
            let doubles = inner.temper.doubles;
            if !inner.is_crowded(queue) && inner.chance(doubles) {
                inner.doubled += 1;
                inner.put(queue, &out.body, out.delay, now);
            }
            Ok(())
        };
        out.iter().map(&mut send).collect()
    }

    async fn receive(
        &self,
        queue: QueueName,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, QueueError> {
        let mut inner = self.inner();
        let mut deliveries = Vec::new();
        while deliveries.len() < max.min(BATCH) {
            let Some(index) = inner.pick(queue, now) else { break };
            let Some(mut message) = inner.remove(queue, index) else { break };
            if message.receives >= MAX_RECEIVES {
                let reason = given_up(message.receives, message.in_flight);
                inner.bury(queue, message.body, &reason, now);
                continue;
            }
            message.receives += 1;
            (message.in_flight, message.visible_at) = (true, now + VISIBILITY);
            let receipt = Receipt(format!("{}/{}", message.id, message.receives));
            deliveries.push(Delivery { receipt, body: message.body.clone(), receives: message.receives });
            inner.messages.entry(queue).or_default().push(message);
        }
        Ok(deliveries)
    }

    async fn done(&self, queue: QueueName, receipt: &Receipt) -> Result<(), QueueError> {
        let mut inner = self.inner();
        let forgets = inner.temper.forgets;
        if !inner.is_crowded(queue) && inner.chance(forgets) {
            inner.doubled += 1;
            return Ok(());
        }
        if let Some(index) = inner.take(queue, receipt) {
            inner.remove(queue, index);
        }
        Ok(())
    }

    async fn retry(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        after: SignedDuration,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let mut inner = self.inner();
        let index = inner.take(queue, receipt);
        let messages = inner.messages.entry(queue).or_default();
        if let Some(message) = index.and_then(|index| messages.get_mut(index)) {
            message.visible_at = now + after.clamp(SignedDuration::ZERO, MAX_DELAY);
            message.in_flight = false;
        }
        Ok(())
    }

    async fn reject(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        let mut inner = self.inner();
        let Some(index) = inner.take(queue, receipt) else { return Ok(false) };
        let Some(message) = inner.remove(queue, index) else { return Ok(false) };
        inner.bury(queue, message.body, reason, now);
        Ok(true)
    }

    async fn set_aside(
        &self,
        queue: QueueName,
        body: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        self.inner().bury(queue, body.to_owned(), reason, now);
        Ok(())
    }

    async fn dead(&self, queue: QueueName, page: Option<&str>) -> Result<DeadPage, QueueError> {
        let after: u64 = page
            .map_or(Ok(0), str::parse)
            .map_err(|_| QueueError::Unavailable("no page of dead letters has this name".to_owned()))?;
        let number = |letter: &DeadLetter| letter.id.parse::<u64>().unwrap_or_default();
        let inner = self.inner();
        let mut letters: Vec<DeadLetter> = inner
            .dead
            .iter()
            .filter(|letter| letter.queue == queue && number(letter) > after)
            .take(DEAD_PAGE + 1)
            .cloned()
            .collect();
        let more = letters.len() > DEAD_PAGE;
        letters.truncate(DEAD_PAGE);
        let next = letters.last().filter(|_| more).map(|last| last.id.clone());
        Ok(DeadPage { letters, next })
    }

    async fn redrive(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, RedriveError> {
        let mut inner = self.inner();
        let found = inner.dead.iter().position(|letter| letter.queue == queue && letter.id == id);
        let Some(letter) = found.and_then(|index| inner.dead.get(index).cloned()) else { return Ok(false) };
        if !was_a_message(&letter.body) {
            return Err(RedriveError::NeverAMessage);
        }
        inner.put(queue, &letter.body, SignedDuration::ZERO, now);
        inner.dead.retain(|other| other.id != letter.id);
        Ok(true)
    }

    async fn drop_dead(&self, queue: QueueName, id: &str, _: Timestamp) -> Result<bool, QueueError> {
        let mut inner = self.inner();
        let before = inner.dead.len();
        inner.dead.retain(|letter| letter.queue != queue || letter.id != id);
        Ok(inner.dead.len() < before)
    }
}

#[async_trait]
impl StateBackend for Memory {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Item>, StateError> {
        Ok(self.inner().item(key, now))
    }

    async fn batch_get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Item>>, StateError> {
        let inner = self.inner();
        Ok(keys.iter().map(|key| inner.item(key, now)).collect())
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        page: Option<&str>,
        now: Timestamp,
    ) -> Result<Page<Item>, StateError> {
        let inner = self.inner();
        let is_there = |row: &Row| row.expires.is_none_or(|expires| expires > now);
        let rows = inner.items.get(partition).into_iter().flatten();
        let mut items: Vec<Item> = rows
            .filter(|(sort, row)| sort.starts_with(prefix) && is_there(row))
            .filter(|(sort, _)| page.is_none_or(|page| sort.as_str() > page))
            .take(PAGE + 1)
            .map(|(sort, row)| Item {
                key: Key { partition: partition.to_owned(), sort: sort.clone() },
                value: row.value.clone(),
                version: row.version,
            })
            .collect();
        let more = items.len() > PAGE;
        items.truncate(PAGE);
        let next = items.last().filter(|_| more).map(|last| last.key.sort.clone());
        Ok(Page { items, next })
    }

    async fn commit(&self, writes: &[Write], now: Timestamp) -> Result<(), CommitError> {
        if let Some(why) = impossible(writes) {
            return Err(CommitError::Unavailable { why, maybe_written: false });
        }
        let mut inner = self.inner();
        for (index, write) in writes.iter().enumerate() {
            let (key, expect) = write.condition();
            let current = inner.row(key, now).map(|row| row.version);
            let holds = match expect {
                Expect::Absent => current.is_none(),
                Expect::Is(version) => current == Some(version),
                Expect::Any => true,
            };
            if !holds {
                return Err(CommitError::Refused(index));
            }
        }
        for write in writes {
            match write {
                Write::Put { key, value, expires, .. } => {
                    let version = Version(inner.number());
                    let row = Row { value: value.clone(), version, expires: *expires };
                    inner.items.entry(key.partition.clone()).or_default().insert(key.sort.clone(), row);
                }
                Write::Delete { key, .. } => {
                    inner.items.entry(key.partition.clone()).or_default().remove(&key.sort);
                }
                Write::Check { .. } => {}
            }
        }
        Ok(())
    }
}
