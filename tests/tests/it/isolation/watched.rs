//! The store with somebody who sees each access before it happens, and decides what becomes of it: for crashes at
//! every point, and for things that happen between two steps of one piece of work.

use async_trait::async_trait;
use defender::{Pause, Reader, Responder, connect};
use hunt::Hunting;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use local::Store;
use model::{AlertEnriched, Mode};
use policy::{Hunt, Playbook};
use poll::Poll;
use ports::{
    CommitError, DeadPage, Delivery, Disposition, Item, Key, Out, Page, Queue, QueueBackend, QueueError,
    QueueName, Receipt, RedriveError, State, StateBackend, StateError, Tally, Write, dispatch,
};
use respond::Respond;
use scenarios::{Scene, Setup, connection, shipped_playbook};
use simulator::Simulator;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use track::Track;

/// An access to the store.
pub(crate) enum Access<'a> {
    /// One row by its key, or (`None`) several.
    Read(Option<&'a Key>),
    /// Everything that is written or sent, as text.
    Write(&'a str),
}

/// What becomes of an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Happens,
    Fails,
    /// A write that happens, of which nobody hears.
    HappensUnheard,
    /// A write that is said to have happened and has not.
    Pretends,
    /// Not yet: the judge is asked again until it says something else.
    Waits,
}

pub(crate) struct Watched {
    store: Store,
    judge: Box<dyn Fn(&Access<'_>) -> Fate + Send + Sync>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Watched {
    pub(crate) fn new(
        scene: &Scene,
        judge: impl Fn(&Access<'_>) -> Fate + Send + Sync + 'static,
    ) -> Arc<Watched> {
        Arc::new(Watched { store: scene.store.clone(), judge: Box::new(judge) })
    }

    /// Dies with its write number `number`, which does or does not happen; nothing happens after that.
    pub(crate) fn mortal(scene: &Scene, number: usize, last: Fate) -> Arc<Watched> {
        let writes = AtomicUsize::new(0);
        Watched::new(scene, move |access| {
            let before = writes.load(Ordering::SeqCst);
            match access {
                Access::Read(_) if before >= number => Fate::Fails,
                Access::Read(_) => Fate::Happens,
                Access::Write(_) => match (writes.fetch_add(1, Ordering::SeqCst) + 1).cmp(&number) {
                    std::cmp::Ordering::Less => Fate::Happens,
                    std::cmp::Ordering::Equal => last,
                    std::cmp::Ordering::Greater => Fate::Fails,
                },
            }
        })
    }

    /// Does something once, just before anything with these words is written.
    pub(crate) fn before(
        scene: &Scene,
        words: &'static str,
        act: impl Fn(&Simulator) + Send + Sync + 'static,
    ) -> Arc<Watched> {
        let (simulator, done) = (scene.simulator.clone(), AtomicUsize::new(0));
        Watched::new(scene, move |access| {
            if let Access::Write(text) = access
                && text.contains(words)
                && done.fetch_add(1, Ordering::SeqCst) == 0
            {
                act(&simulator);
            }
            Fate::Happens
        })
    }

    async fn judged(&self, access: Access<'_>) -> Fate {
        loop {
            match (self.judge)(&access) {
                Fate::Waits => tokio::task::yield_now().await,
                fate => return fate,
            }
        }
    }

    async fn read(&self, key: Option<&Key>) -> Result<(), StateError> {
        match self.judged(Access::Read(key)).await {
            Fate::Happens => Ok(()),
            _ => Err(StateError::Unavailable("dead".to_owned())),
        }
    }
}

#[async_trait]
impl StateBackend for Watched {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Item>, StateError> {
        self.read(Some(key)).await?;
        self.store.get(key, now).await
    }

    async fn batch_get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Item>>, StateError> {
        self.read(None).await?;
        self.store.batch_get(keys, now).await
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        page: Option<&str>,
        now: Timestamp,
    ) -> Result<Page<Item>, StateError> {
        self.read(None).await?;
        self.store.query(partition, prefix, page, now).await
    }

    async fn commit(&self, writes: &[Write], now: Timestamp) -> Result<(), CommitError> {
        let text = |write: &Write| match write {
            Write::Put { value, .. } => String::from_utf8_lossy(value).into_owned(),
            Write::Delete { key, .. } | Write::Check { key, .. } => key.to_string(),
        };
        let text: String = writes.iter().map(text).collect();
        let unavailable = |maybe_written| CommitError::Unavailable { why: "dead".to_owned(), maybe_written };
        match self.judged(Access::Write(&text)).await {
            Fate::Happens => self.store.commit(writes, now).await,
            Fate::Fails | Fate::Waits => Err(unavailable(true)),
            Fate::HappensUnheard => self.store.commit(writes, now).await.and(Err(unavailable(true))),
            Fate::Pretends => Ok(()),
        }
    }
}

#[async_trait]
impl QueueBackend for Watched {
    async fn send(&self, queue: QueueName, out: &[Out], now: Timestamp) -> Vec<Result<(), QueueError>> {
        let text: String = out.iter().map(|out| out.body.as_str()).collect();
        let unheard = || out.iter().map(|_| Err(QueueError::Unavailable("dead".to_owned()))).collect();
        match self.judged(Access::Write(&text)).await {
            Fate::Happens => self.store.send(queue, out, now).await,
            Fate::Fails | Fate::Waits => unheard(),
            Fate::HappensUnheard => {
                self.store.send(queue, out, now).await;
                unheard()
            }
            Fate::Pretends => out.iter().map(|_| Ok(())).collect(),
        }
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
        let dead = || Err(QueueError::Unavailable("dead".to_owned()));
        match self.judged(Access::Write(body)).await {
            Fate::Happens => self.store.set_aside(queue, body, reason, now).await,
            Fate::Fails | Fate::Waits => dead(),
            Fate::HappensUnheard => self.store.set_aside(queue, body, reason, now).await.and(dead()),
            Fate::Pretends => Ok(()),
        }
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

/// Waits by moving the simulator's clock.
#[derive(Debug)]
struct Hurried(Arc<Simulator>);

#[async_trait]
impl Pause for Hurried {
    async fn pause(&self, how_long: SignedDuration) {
        self.0.advance(how_long);
    }
}

fn client(scene: &Scene, url: &str) -> (Reader, Responder) {
    let connection = connection(url, &[]);
    let (reader, responder, _) = connect(&connection, Arc::new(Hurried(scene.simulator.clone()))).unwrap();
    (reader, responder)
}

/// `respond` by itself, in enforce mode, over a watched store.
pub(crate) fn responding(scene: &Scene, store: Arc<Watched>) -> Respond {
    let (reader, responder) = client(scene, &scene.simulator.url());
    Respond {
        tenant: scene.tenant.clone(),
        reader,
        responder: Arc::new(responder),
        playbook: Arc::new(Playbook::read(&shipped_playbook()).unwrap()),
        environment_mode: Some(Mode::Enforce),
        queue: Queue::new(store.clone()),
        state: State::new(store),
        tally: Tally::default(),
    }
}

/// The same, where whoever acts cannot reach the tenant that the reader reads.
pub(crate) fn responding_into_the_void(scene: &Scene, store: Arc<Watched>) -> Respond {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (_, responder) = {
        let vars = [("DEFENDER_LOGIN_URL".to_owned(), scene.simulator.url())];
        let connection = connection(&nobody, &vars);
        let (reader, responder, _) =
            connect(&connection, Arc::new(Hurried(scene.simulator.clone()))).unwrap();
        (reader, responder)
    };
    Respond { responder: Arc::new(responder), ..responding(scene, store) }
}

/// `track` by itself, over a watched store.
pub(crate) fn tracking(scene: &Scene, store: Arc<Watched>) -> Track {
    Track {
        tenant: scene.tenant.clone(),
        reader: client(scene, &scene.simulator.url()).0,
        queue: Queue::new(store.clone()),
        state: State::new(store),
        tally: Tally::default(),
        release_after: None,
        comment_on_alert: false,
        count_fleet_from: 5,
    }
}

/// `poll` by itself, in enforce mode and with the settings of a usual scene, over a watched store.
pub(crate) fn polling(scene: &Scene, store: Arc<Watched>) -> Poll {
    Poll {
        tenant: scene.tenant.clone(),
        reader: client(scene, &scene.simulator.url()).0,
        queue: Queue::new(store.clone()),
        state: State::new(store),
        tally: Tally::default(),
        overlap: SignedDuration::from_mins(10),
        lookback: Setup::default().lookback,
        mode: Mode::Enforce,
    }
}

/// `hunt` by itself, in that mode, over a watched store.
pub(crate) fn hunting(scene: &Scene, store: Arc<Watched>, hunts: Vec<Hunt>, mode: Mode) -> Hunting {
    Hunting {
        tenant: scene.tenant.clone(),
        reader: client(scene, &scene.simulator.url()).0,
        queue: Queue::new(store.clone()),
        state: State::new(store),
        tally: Tally::default(),
        hunts: hunts.into(),
        lists: [].into(),
        mode,
        time_zone: TimeZone::UTC,
    }
}

/// Hands one message to a `respond`.
pub(crate) async fn handle(respond: &Respond, body: &str, now: Timestamp) -> Disposition {
    dispatch::<AlertEnriched, _>(&respond.tenant, body, now, |message| respond.handle(message, now)).await
}
