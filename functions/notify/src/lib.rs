//! notify: tells people what became of an alert, once per channel, in the words of the effect's state.
//!
//! It decides nothing and touches nothing in the tenant. A channel that has taken a message is remembered by its
//! `Told` row, so that a redelivery tells only those that were not told yet. That is at least once: a channel
//! that took a message just before the state failed is told again, under the same Message-ID where it keeps that.

mod channels;
mod defang;
mod evidence;
mod letter;
mod mask;
mod outcome;
mod page;
mod render;
mod wrap;

pub use channels::{Channel, open};
pub use render::{Mail, render};

use channels::Undelivered;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use letter::Letter;
use model::{ActionTaken, Envelope, MessageId};
use ports::{CommitError, Count, Disposition, Expect, State, StateError, Tally, Told, Write};

/// How soon, at first and at last, those channels are tried again that failed: the wait grows with the message's
/// age, because a mail server that asks to come back later means minutes.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// For how long a message is tried. After that it is a dead letter, with the reason of its last failure.
const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// The step with what it needs.
#[derive(Debug)]
pub struct Notify {
    channels: Vec<Channel>,
    state: State,
    tally: Tally,
    /// The portal's address without a trailing slash.
    portal: String,
}

/// Why one channel has to be tried again. None of these holds a secret.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error(transparent)]
    Undelivered(#[from] Undelivered),
    #[error("channel `{channel}`: whether it was told already cannot be read: {source}")]
    Unreadable { channel: String, source: StateError },
    #[error("channel `{channel}`: it was told, but that could not be written down: {why}")]
    ToldButNotWritten { channel: String, why: String },
}

impl Notify {
    pub fn new(channels: Vec<Channel>, state: State, tally: Tally, portal: String) -> Notify {
        Notify { channels, state, tally, portal }
    }

    /// Tells every channel that was not told yet. All are tried, whatever becomes of the others; those
    /// that failed are tried again for a day.
    pub async fn handle(&self, message: Envelope<ActionTaken>, now: Timestamp) -> Disposition {
        if !message.body.decision.tell {
            return Disposition::Done;
        }
        if self.channels.is_empty() {
            tracing::warn!(id = %message.id, trace = %message.trace, "nobody is told: there is no channel");
            return Disposition::Done;
        }
        let letter = Letter {
            mail: render(&message.body, &self.portal, message.occurred_at, &message.id),
            id: message.id.clone(),
            story: story(&message),
            occurred_at: message.occurred_at,
        };
        // At the same time, so that one that hangs takes no time from the others.
        let told = self.channels.iter().map(|channel| self.tell(channel, &letter, &message, now));
        let mut failures = Vec::new();
        for (channel, told) in self.channels.iter().zip(join_all(told).await) {
            if let Err(failure) = told {
                tracing::warn!(channel = channel.name(), id = %message.id, trace = %message.trace, "{failure}");
                failures.push(failure.to_string());
            }
        }
        if failures.is_empty() { Disposition::Done } else { again(&message, failures.join("; "), now) }
    }

    async fn tell(
        &self,
        channel: &Channel,
        letter: &Letter,
        message: &Envelope<ActionTaken>,
        now: Timestamp,
    ) -> Result<(), NotTold> {
        let name = channel.name();
        let key = Told::key(&message.tenant, &message.body.alert.id, &message.id, name);
        let unreadable = |source| NotTold::Unreadable { channel: name.to_owned(), source };
        if self.state.get::<Told>(&key, now).await.map_err(unreadable)?.is_some() {
            return Ok(());
        }
        if let Err(undelivered) = channel.deliver(letter).await {
            self.tally.one(Count::NotificationsFailed);
            return Err(undelivered.into());
        }
        self.tally.one(Count::NotificationsSent);
        tracing::info!(channel = name, id = %message.id, trace = %message.trace, "told");
        let told = Told { at: now, channel: name.to_owned(), subject: letter.mail.subject.clone() };
        let not_written = |why: String| NotTold::ToldButNotWritten { channel: name.to_owned(), why };
        let write = Write::put(key, &told, Expect::Any, Told::expires(now))
            .map_err(|error| not_written(error.to_string()))?;
        self.state.commit(&[write], now).await.map_err(|error: CommitError| not_written(error.to_string()))
    }
}

/// Waiting for a channel is not failing, so that an hour without a mail server loses nothing; but it has an end.
fn again(message: &Envelope<ActionTaken>, why: String, now: Timestamp) -> Disposition {
    let age = now.duration_since(message.occurred_at);
    if age >= PATIENCE {
        return Disposition::Reject {
            reason: format!("could not be told for {} h: {why}", PATIENCE.as_hours()),
        };
    }
    let wait = (age / 4).clamp(FIRST_WAIT, LONGEST_WAIT);
    Disposition::Defer { until: now.checked_add(wait).unwrap_or(now), why }
}

/// What later messages about the same device have in common, by which mail clients put them together.
fn story(message: &Envelope<ActionTaken>) -> MessageId {
    let tenant = message.tenant.as_str();
    match message.body.device.known() {
        Some(device) => MessageId::of("story", &[tenant, "device", device.id.as_str()]),
        None => MessageId::of("story", &[tenant, "alert", message.body.alert.id.as_str()]),
    }
}
