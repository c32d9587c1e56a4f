//! Queue and state as one store that really keeps them, and a worker over it that can fail or die at any of its operations.
//! Time moves to whatever is due next. The channels are real.

use crate::samples::{PORTAL, tenant};
use async_trait::async_trait;
use credentials::{Problems, Vars};
use futures_util::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use local::Store;
use model::{Body, Envelope};
use notify::{Notify, Templates, open};
use ports::{
    CommitError, Count, DeadLetter, DeadPage, Delivery, Disposition, Item, Key, Out, Page, Queue,
    QueueBackend, QueueError, QueueName, Receipt, RedriveError, Settled, State, StateBackend, StateError,
    Tally, Telling, Write, settle,
};
use std::{
    fmt,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

const QUEUE: QueueName = QueueName::ActionsTaken;

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

/// The store, struck at most once: at this operation.
pub(crate) struct Shaky {
    store: Store,
    operations: AtomicUsize,
    blow: Mutex<Option<(usize, Blow)>>,
    died: tokio::sync::Notify,
    /// What happens just before this operation.
    meanwhile: Mutex<Option<(usize, BoxFuture<'static, ()>)>>,
    /// Lists whose keys begin so cannot be read.
    unreadable: Mutex<Option<&'static str>>,
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
        let due = {
            let mut blow = self.blow.lock().unwrap();
            let due = blow.filter(|(at, _)| *at == nth).map(|(_, blow)| blow);
            if due.is_some() {
                *blow = None;
            }
            due
        };
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

/// What has failed before anything has happened.
fn failed_before(blow: Option<Blow>) -> Result<(), QueueError> {
    failed_after(blow.filter(|blow| *blow == Blow::Fails))
}

/// What is said to have failed.
fn failed_after(blow: Option<Blow>) -> Result<(), QueueError> {
    blow.map_or(Ok(()), |_| Err(QueueError::Unavailable(ON_PURPOSE.to_owned())))
}

#[async_trait]
impl StateBackend for Shaky {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Item>, StateError> {
        let blow = self.struck().await;
        let item = self.store.get(key, now).await;
        self.struck_after(blow).await;
        if blow.is_some() { Err(StateError::Unavailable(ON_PURPOSE.to_owned())) } else { item }
    }

    async fn batch_get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Item>>, StateError> {
        let blow = self.struck().await;
        let items = self.store.batch_get(keys, now).await;
        self.struck_after(blow).await;
        if blow.is_some() { Err(StateError::Unavailable(ON_PURPOSE.to_owned())) } else { items }
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        page: Option<&str>,
        now: Timestamp,
    ) -> Result<Page<Item>, StateError> {
        let blow = self.struck().await;
        if self.unreadable.lock().unwrap().is_some_and(|begin| prefix.starts_with(begin)) {
            let key = Key { partition: partition.to_owned(), sort: prefix.to_owned() };
            return Err(StateError::Unreadable { key, why: ON_PURPOSE.to_owned() });
        }
        let items = self.store.query(partition, prefix, page, now).await;
        self.struck_after(blow).await;
        if blow.is_some() { Err(StateError::Unavailable(ON_PURPOSE.to_owned())) } else { items }
    }

    async fn commit(&self, writes: &[Write], now: Timestamp) -> Result<(), CommitError> {
        for write in writes {
            if let Write::Put { key, expires, .. } = write {
                assert!(expires.is_some(), "{key} would stay for ever");
            }
        }
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
        let blow = self.struck().await;
        if blow == Some(Blow::Fails) {
            return Err(QueueError::Unavailable(ON_PURPOSE.to_owned()));
        }
        let done = self.store.done(queue, receipt).await;
        self.struck_after(blow).await;
        done
    }

    async fn retry(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        after: SignedDuration,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let blow = self.struck().await;
        failed_before(blow)?;
        let retried = self.store.retry(queue, receipt, after, now).await;
        self.struck_after(blow).await;
        failed_after(blow).and(retried)
    }

    async fn reject(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        let blow = self.struck().await;
        failed_before(blow)?;
        let rejected = self.store.reject(queue, receipt, reason, now).await;
        self.struck_after(blow).await;
        failed_after(blow).and(rejected)
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
        let blow = self.struck().await;
        failed_before(blow)?;
        let redriven = self.store.redrive(queue, id, now).await;
        self.struck_after(blow).await;
        failed_after(blow)?;
        redriven
    }

    async fn drop_dead(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, QueueError> {
        self.store.drop_dead(queue, id, now).await
    }
}

/// One tenant's people, channels and messages.
pub(crate) struct Stage {
    pub(crate) store: Store,
    pub(crate) now: Timestamp,
    /// Deliveries that channels have taken, whoever made them.
    pub(crate) tally: Tally,
    /// As the playbook has them now.
    pub(crate) channels: Vec<policy::Channel>,
    vars: Vars,
    shaky: Arc<Shaky>,
}

impl Stage {
    pub(crate) fn new(channels: Vec<policy::Channel>, vars: &[(&str, String)], now: Timestamp) -> Stage {
        let store = Store::in_memory().unwrap();
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let shaky = Arc::new(Shaky {
            store: store.clone(),
            operations: AtomicUsize::new(0),
            blow: Mutex::new(None),
            died: tokio::sync::Notify::new(),
            meanwhile: Mutex::new(None),
            unreadable: Mutex::new(None),
        });
        Stage { store, now, tally: Tally::default(), channels, vars, shaky }
    }

    /// This operation, counted from now on, is struck.
    pub(crate) fn strike(&self, nth: usize, blow: Blow) {
        let begun = self.shaky.operations.load(Ordering::SeqCst);
        *self.shaky.blow.lock().unwrap() = Some((begun + nth, blow));
    }

    /// This happens just before this operation, counted from now on.
    pub(crate) fn meanwhile(&self, nth: usize, happens: impl Future<Output = ()> + Send + 'static) {
        let begun = self.shaky.operations.load(Ordering::SeqCst);
        *self.shaky.meanwhile.lock().unwrap() = Some((begun + nth, happens.boxed()));
    }

    /// Whether it has not happened: then there were fewer operations than that.
    pub(crate) fn is_still_to_happen(&self) -> bool {
        self.shaky.meanwhile.lock().unwrap().is_some()
    }

    /// A worker on another machine, whose operations are not counted.
    pub(crate) fn other_worker(&self) -> Notify {
        let store = Arc::new(self.store.clone());
        Notify { queue: Queue::new(store.clone()), state: State::new(store), ..self.worker() }
    }

    /// No list whose keys begin so can be read from now on.
    pub(crate) fn hide(&self, prefix: &'static str) {
        *self.shaky.unreadable.lock().unwrap() = Some(prefix);
    }

    /// Whether a blow is still to fall: then there are fewer operations than that.
    pub(crate) fn is_unstruck(&self) -> bool {
        self.shaky.blow.lock().unwrap().is_some()
    }

    /// A worker that knows nothing but what stands in queue and state.
    pub(crate) fn worker(&self) -> Notify {
        let mut problems = Problems::default();
        let channels = open(&self.channels, &self.vars, None, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        Notify {
            channels,
            templates: Templates::shipped(),
            queue: Queue::new(self.shaky.clone()),
            state: State::new(self.shaky.clone()),
            tally: self.tally.clone(),
            portal: PORTAL.to_owned(),
        }
    }

    pub(crate) fn state(&self) -> State {
        State::new(Arc::new(self.store.clone()))
    }

    pub(crate) fn deliveries(&self) -> u64 {
        self.tally.get(Count::NotificationsSent)
    }

    pub(crate) async fn send<B: Body>(&self, messages: &[Envelope<B>]) {
        for message in messages {
            Queue::new(Arc::new(self.store.clone())).send_one(QUEUE, message, self.now).await.unwrap();
        }
    }

    pub(crate) async fn dead(&self) -> Vec<DeadLetter> {
        self.store.dead(QUEUE, None).await.unwrap().letters
    }

    /// Puts every dead letter back that nothing befalls on the way.
    pub(crate) async fn redrive(&self) {
        for letter in self.dead().await {
            let state = self.state();
            let writes = Telling::forgetting(&state, &tenant(), &letter.body, self.now).await.unwrap();
            state.commit(&writes, self.now).await.unwrap();
            tokio::select! {
                biased;
                redriven = self.shaky.redrive(QUEUE, &letter.id, self.now) => drop(redriven),
                () = self.shaky.died.notified() => {}
            }
        }
    }

    /// Until nothing is left to do at this instant; how many messages were handled.
    pub(crate) async fn work(&self) -> usize {
        let mut worker = self.worker();
        let mut handled = 0;
        while let Some(delivery) = self.store.receive(QUEUE, 1, self.now).await.unwrap().pop() {
            handled += 1;
            assert!(handled < 20_000, "this does not come to rest");
            let lives = tokio::select! {
                biased;
                () = self.handle(&worker, &delivery) => true,
                () = self.shaky.died.notified() => false,
            };
            if !lives {
                worker = self.worker();
            }
        }
        handled
    }

    async fn handle(&self, worker: &Notify, delivery: &Delivery) {
        let disposition = worker.take(&tenant(), &delivery.body, self.now).await;
        if let Disposition::Defer { until, .. } = &disposition {
            assert!(*until > self.now, "a message that comes at once turns in a circle");
        }
        let settled = settle(&*self.shaky, QUEUE, delivery, disposition, self.now, self.now).await;
        if matches!(settled, Ok(Settled::Acknowledge)) {
            self.shaky.done(QUEUE, &delivery.receipt).await.ok();
        }
    }

    /// Works until `end`, or until nothing is left, at every instant at which something is due.
    pub(crate) async fn until(&mut self, end: Timestamp) {
        loop {
            self.work().await;
            match self.store.next_due_in(QUEUE, self.now).unwrap() {
                Some(next) if next <= end => self.now = next,
                Some(_) => {
                    self.now = end;
                    return;
                }
                None => return,
            }
        }
    }

    /// Works until the queue is empty.
    pub(crate) async fn until_idle(&mut self) {
        self.until(Timestamp::MAX).await;
    }
}
