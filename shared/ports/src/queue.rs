//! The queue: at least once, in no particular order, with a delay, a receive count and dead letters.
//!
//! Nothing here promises that a message comes once: whoever receives it must make its effect happen once.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use model::{Body, Envelope, MAX_MESSAGE_BYTES, TenantId};
use std::{fmt, sync::Arc};

/// The longest delay of one message: SQS allows 15 minutes. What must wait longer is deferred again.
pub const MAX_DELAY: SignedDuration = SignedDuration::from_mins(15);

/// How often a message may fail (be received without being settled) before it is a dead letter.
pub const MAX_RECEIVES: u32 = 5;

/// The queues of the pipeline. One queue carries one kind of message, but for what people are told: outcomes and
/// notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueName {
    AlertsFound,
    AlertsEnriched,
    ActionsTaken,
    EffectsRequested,
}

impl QueueName {
    pub const ALL: [QueueName; 4] = [
        QueueName::AlertsFound,
        QueueName::AlertsEnriched,
        QueueName::ActionsTaken,
        QueueName::EffectsRequested,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            QueueName::AlertsFound => "alerts-found",
            QueueName::AlertsEnriched => "alerts-enriched",
            QueueName::ActionsTaken => "actions-taken",
            QueueName::EffectsRequested => "effects-requested",
        }
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    pub body: String,
    /// How long it stays invisible; what is longer than [`MAX_DELAY`] is shortened to it.
    pub delay: SignedDuration,
}

/// The handle of one delivery. Settling it after its visibility ran out and another delivery began is no error, and
/// should do nothing: of a message's deletion SQS promises no more than that it might not happen then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt(pub String);

/// One delivery of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub receipt: Receipt,
    pub body: String,
    /// How often the message has been delivered, this delivery included: 1 the first time.
    pub receives: u32,
}

/// A message that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: String,
    pub queue: QueueName,
    pub body: String,
    pub reason: String,
    pub since: Timestamp,
}

/// Some dead letters, oldest first, and where to go on; none when these were the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadPage {
    pub letters: Vec<DeadLetter>,
    pub next: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Try again later; a message may or may not have been stored.
    #[error("the queue is not available: {0}")]
    Unavailable(String),
    #[error("a message of {bytes} bytes is larger than the {MAX_MESSAGE_BYTES} allowed")]
    TooLarge { bytes: usize },
}

/// Why a dead letter does not go back into its queue. It is a dead letter still.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// It was set aside without ever having been a message.
    #[error("it never was a message, so it cannot go back into its queue; it can be shown and dropped")]
    NeverAMessage,
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Why a message that was delivered [`MAX_RECEIVES`] times is not delivered once more: the last delivery was never settled,
/// or it failed.
pub fn given_up(receives: u32, never_settled: bool) -> String {
    let last = if never_settled { "the last one was never settled" } else { "the last one failed" };
    format!("delivered {receives} times without success; {last}")
}

/// What a host's queue can do. `now` decides visibility: a backend reads no clock of its own, unless the service
/// behind it does.
#[async_trait]
pub trait QueueBackend: Send + Sync + fmt::Debug {
    /// Stores messages; one result per message, in order. A message whose result is an error may still arrive.
    async fn send(&self, queue: QueueName, out: &[Out], now: Timestamp) -> Vec<Result<(), QueueError>>;

    /// Up to `max` visible messages (at most 10). Each becomes invisible for the queue's visibility time, and is
    /// delivered again if it is not settled by then. A message that has been delivered [`MAX_RECEIVES`] times
    /// without being settled is moved to the dead letters instead of being delivered again.
    async fn receive(
        &self,
        queue: QueueName,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, QueueError>;

    /// The delivery was handled: the message is gone.
    async fn done(&self, queue: QueueName, receipt: &Receipt) -> Result<(), QueueError>;

    /// The delivery failed: the message comes again after a while; what is longer than [`MAX_DELAY`] is shortened
    /// to it.
    async fn retry(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        after: SignedDuration,
        now: Timestamp,
    ) -> Result<(), QueueError>;

    /// The delivery can never succeed: the message becomes a dead letter with this reason. False where the receipt is
    /// not good any more: then nothing was done.
    async fn reject(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError>;

    /// Something that never became a message is set aside as a dead letter of this queue.
    async fn set_aside(
        &self,
        queue: QueueName,
        body: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), QueueError>;

    /// The dead letters of a queue, a page at a time. For people, not for loops: where the service has no list of
    /// them, each page looks at all of them anew and hides them from others meanwhile.
    async fn dead(&self, queue: QueueName, page: Option<&str>) -> Result<DeadPage, QueueError>;

    /// The dead letter goes back into its queue as a new message that was never received, and is a dead letter no
    /// more; a crash in between may leave it in both, never in neither. False where there is none with this id; an
    /// error, and nothing done, where [`was_a_message`] says no.
    async fn redrive(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, RedriveError>;

    /// The dead letter is gone for good. False where there is none with this id.
    async fn drop_dead(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, QueueError>;
}

/// The kind of what [`Queue::set_aside`] keeps.
const UNREADABLE: &str = "unreadable";

/// Whether a dead letter's body can have been a message: everything but what [`Queue::set_aside`] kept of something
/// that never became one. What cannot be read may all the same have been sent, and be read by a newer version.
pub fn was_a_message(body: &str) -> bool {
    let body: Option<serde_json::Value> = serde_json::from_str(body).ok();
    body.and_then(|body| body.get("kind")?.as_str().map(str::to_owned)).is_none_or(|kind| kind != UNREADABLE)
}

/// The queue as the steps see it.
#[derive(Debug, Clone)]
pub struct Queue {
    backend: Arc<dyn QueueBackend>,
}

impl Queue {
    pub fn new(backend: Arc<dyn QueueBackend>) -> Queue {
        Queue { backend }
    }

    /// Sends messages at once; one result per message, in order.
    pub async fn send<B: Body>(
        &self,
        queue: QueueName,
        messages: &[Envelope<B>],
        now: Timestamp,
    ) -> Vec<Result<(), QueueError>> {
        let encoded: Vec<Result<Out, QueueError>> = messages.iter().map(out).collect();
        let sendable: Vec<Out> = encoded.iter().filter_map(|out| out.as_ref().ok().cloned()).collect();
        let mut sent = self.backend.send(queue, &sendable, now).await.into_iter();
        let unanswered = || Err(QueueError::Unavailable("it gave no answer for this message".to_owned()));
        encoded.into_iter().map(|out| out.and_then(|_| sent.next().unwrap_or_else(unanswered))).collect()
    }

    /// Sends one message at once.
    pub async fn send_one<B: Body>(
        &self,
        queue: QueueName,
        message: &Envelope<B>,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let out = out(message)?;
        let sent = self.backend.send(queue, &[out], now).await.pop();
        sent.unwrap_or_else(|| Err(QueueError::Unavailable("it gave no answer for this message".to_owned())))
    }

    /// Sets something aside that could not become a message. `what` is kept as it is, up to the size of a message.
    pub async fn set_aside(
        &self,
        queue: QueueName,
        tenant: &TenantId,
        what: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let what: String = what.chars().take(MAX_MESSAGE_BYTES / 4).collect();
        let body = serde_json::json!({ "kind": UNREADABLE, "version": 1, "tenant": tenant, "body": what });
        self.backend.set_aside(queue, &body.to_string(), reason, now).await
    }

    /// The dead letters of a queue, a page at a time.
    pub async fn dead(&self, queue: QueueName, page: Option<&str>) -> Result<DeadPage, QueueError> {
        self.backend.dead(queue, page).await
    }

    /// Puts a dead letter back into its queue; false where there is none with this id. Safe at any time: whatever is
    /// worked on late is judged anew.
    pub async fn redrive(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, RedriveError> {
        self.backend.redrive(queue, id, now).await
    }

    /// Drops a dead letter for good; false where there is none with this id. The reason goes to the log; whoever drops
    /// it keeps it in the state as well.
    pub async fn drop_dead(
        &self,
        queue: QueueName,
        id: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        let is_dropped = self.backend.drop_dead(queue, id, now).await?;
        if is_dropped {
            let reason = model::one_line(reason, 400);
            tracing::warn!(%queue, id, reason, "a dead letter was dropped");
        }
        Ok(is_dropped)
    }
}

fn out<B: Body>(message: &Envelope<B>) -> Result<Out, QueueError> {
    let body = message.encode().map_err(|error| QueueError::Unavailable(error.to_string()))?;
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(QueueError::TooLarge { bytes: body.len() });
    }
    Ok(Out { body, delay: SignedDuration::ZERO })
}
