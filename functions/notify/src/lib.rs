//! notify: tells people what became of an alert, and what else they have to know, once per channel, in the words of
//! the effect's state.
//!
//! It decides nothing and touches nothing in the tenant. A channel that has taken a message is remembered by its
//! `Told` row, so that a redelivery tells only those that were not told yet. That is at least once: a channel
//! that took a message just before the state failed is told again, under the same Message-ID where it keeps that.

mod channels;
mod defang;
mod effect;
mod evidence;
mod letter;
mod line;
mod mask;
mod notice;
mod outcome;
mod page;
mod render;
mod wrap;

pub use channels::{Channel, KeptSecret, OnAws, open};
pub use render::{Mail, Templates, render, render_notice};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use letter::{Letter, Story};
use model::{ActionTaken, Body, Envelope, MessageId, Notice, TenantId};
use ports::{
    CommitError, Count, Disposition, Expect, Key, Queue, State, StateError, Stored, Tally, Telling, Told,
    Write, dispatch,
};

/// How soon, at first and at last, those channels are tried again that failed: the wait grows with the message's
/// age, because a mail server that asks to come back later means minutes.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// How long one try to tell may take; for so long no other worker tries the same.
const ONE_TRY: SignedDuration = SignedDuration::from_secs(45);

/// When to look again whether another worker has told it.
const SOON: SignedDuration = SignedDuration::from_secs(5);

/// For how long a message is tried. After that it is a dead letter, with the reason of its last failure.
const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// The step with what it needs.
#[derive(Debug)]
pub struct Notify {
    pub channels: Vec<Channel>,
    /// How mails look.
    pub templates: Templates,
    pub queue: Queue,
    pub state: State,
    pub tally: Tally,
    /// The portal's address without a trailing slash.
    pub portal: String,
}

/// Why one channel has to be tried again. None of these holds a secret.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error("channel `{channel}`: {why}")]
    Undelivered { channel: String, why: String },
    #[error("channel `{channel}`: whether it was told already cannot be read: {source}")]
    Unreadable { channel: String, source: StateError },
    #[error("another worker is telling it")]
    Elsewhere,
    #[error("a try to tell could not be reserved: {0}")]
    State(StateError),
    #[error("a try to tell could not be reserved: {0}")]
    Commit(#[from] CommitError),
    #[error("channel `{channel}`: it was told, but that could not be written down: {why}")]
    ToldButNotWritten { channel: String, why: String },
}

impl Notify {
    /// One message of the queue, of whichever kind it says it is.
    pub async fn take(&self, tenant: &TenantId, body: &str, now: Timestamp) -> Disposition {
        if model::kind_of(body).as_deref() == Some(Notice::KIND) {
            return dispatch(tenant, body, now, |notice| self.handle_notice(notice, now)).await;
        }
        dispatch(tenant, body, now, |taken| self.handle(taken, now)).await
    }

    /// Tells what became of an alert, if people are to be told.
    pub async fn handle(&self, message: Envelope<ActionTaken>, now: Timestamp) -> Disposition {
        if !message.body.decision.tell {
            return Disposition::Done;
        }
        let (body, tenant, id) = (&message.body, &message.tenant, &message.id);
        let news = News {
            letter: letter(
                page::page(body, &self.portal, message.occurred_at, id),
                id,
                Story { id: story(&message), name: page::story_name(body) },
                message.occurred_at,
            ),
            trace: &message.trace,
            key: &|channel| Told::key(tenant, &body.alert.id, id, channel),
        };
        self.tell_all(&news, now).await
    }

    /// Tells what is not the outcome of an alert.
    pub async fn handle_notice(&self, message: Envelope<Notice>, now: Timestamp) -> Disposition {
        let (tenant, id) = (&message.tenant, &message.id);
        let news = News {
            letter: letter(
                notice::page(&message.body, &self.portal, message.occurred_at, id),
                id,
                Story { id: story_of_notice(&message), name: notice::story_name(&message.body) },
                message.occurred_at,
            ),
            trace: &message.trace,
            key: &|channel| Told::of_notice(tenant, id, channel),
        };
        self.tell_all(&news, now).await
    }

    /// Tells every channel that was not told yet. All are tried, whatever becomes of the others; those
    /// that failed are tried again for a day.
    async fn tell_all(&self, news: &News<'_>, now: Timestamp) -> Disposition {
        let (id, trace) = (&news.letter.id, news.trace);
        if self.channels.is_empty() {
            tracing::warn!(%id, trace, "nobody is told: there is no channel");
            return Disposition::Done;
        }
        // At the same time, so that one that hangs takes no time from the others.
        let told = self.channels.iter().map(|channel| self.tell(channel, news, now));
        let mut failures = Vec::new();
        let mut is_elsewhere = false;
        for (channel, told) in self.channels.iter().zip(join_all(told).await) {
            match told {
                Ok(()) => {}
                Err(NotTold::Elsewhere) => is_elsewhere = true,
                Err(failure) => {
                    tracing::warn!(channel = channel.name(), %id, trace, "{failure}");
                    failures.push(failure.to_string());
                }
            }
        }
        if is_elsewhere && failures.is_empty() {
            let until = now.checked_add(SOON).unwrap_or(now);
            return Disposition::Defer { until, why: NotTold::Elsewhere.to_string() };
        }
        let since = news.letter.occurred_at;
        if failures.is_empty() { Disposition::Done } else { again(since, failures.join("; "), now) }
    }

    /// Reserves a channel for one try, so that two workers with the same message do not both tell it.
    async fn begin(&self, telling: &Key, now: Timestamp) -> Result<(), NotTold> {
        let held: Option<Stored<Telling>> = self.state.get(telling, now).await.map_err(NotTold::State)?;
        if held.as_ref().is_some_and(|held| held.value.until > now) {
            return Err(NotTold::Elsewhere);
        }
        let until = now.checked_add(ONE_TRY).unwrap_or(now);
        match self.reserve(telling, until, Stored::expected(held.as_ref()), now).await {
            Err(CommitError::Refused(_) | CommitError::Contended) => Err(NotTold::Elsewhere),
            written => Ok(written?),
        }
    }

    async fn reserve(
        &self,
        telling: &Key,
        until: Timestamp,
        expect: Expect,
        now: Timestamp,
    ) -> Result<(), CommitError> {
        let unwritable =
            |error: StateError| CommitError::Unavailable { why: error.to_string(), maybe_written: false };
        let write = Write::put(
            telling.clone(),
            &Telling { until, tries: 0, why: None },
            expect,
            Telling::expires(now),
        )
        .map_err(unwritable)?;
        self.state.commit(&[write], now).await
    }

    async fn tell(&self, channel: &Channel, news: &News<'_>, now: Timestamp) -> Result<(), NotTold> {
        let name = channel.name();
        let key = (news.key)(name);
        let unreadable = |source| NotTold::Unreadable { channel: name.to_owned(), source };
        if self.state.get::<Told>(&key, now).await.map_err(unreadable)?.is_some() {
            return Ok(());
        }
        let telling = Telling::beside(&key);
        self.begin(&telling, now).await?;
        if let Err(undelivered) = channel.deliver(&news.letter, now).await {
            self.tally.one(Count::NotificationsFailed);
            // The next try need not wait for this one's time to be over; if that fails, it does.
            if let Err(error) = self.reserve(&telling, now, Expect::Any, now).await {
                tracing::debug!(%error, "a try to tell was not given back");
            }
            return Err(NotTold::Undelivered { channel: name.to_owned(), why: undelivered.why });
        }
        self.tally.one(Count::NotificationsSent);
        tracing::info!(channel = name, id = %news.letter.id, trace = news.trace, "told");
        let subject = news.letter.mail.subject.clone();
        let told = Told { at: now, channel: name.to_owned(), subject };
        let not_written = |why: String| NotTold::ToldButNotWritten { channel: name.to_owned(), why };
        let write = Write::put(key, &told, Expect::Any, Told::expires(now))
            .map_err(|error| not_written(error.to_string()))?;
        self.state.commit(&[write], now).await.map_err(|error: CommitError| not_written(error.to_string()))
    }
}

/// What every channel is to be told.
struct News<'a> {
    letter: Letter,
    trace: &'a str,
    /// Where it is remembered that a channel was told.
    key: &'a (dyn Fn(&str) -> Key + Sync),
}

/// Waiting for a channel is not failing, so that an hour without a mail server loses nothing; but it has an end.
fn again(since: Timestamp, why: String, now: Timestamp) -> Disposition {
    let age = now.duration_since(since);
    if age >= PATIENCE {
        return Disposition::Reject {
            reason: format!("could not be told for {} h: {why}", PATIENCE.as_hours()),
        };
    }
    let wait = (age / 4).clamp(FIRST_WAIT, LONGEST_WAIT);
    Disposition::Defer { until: now.checked_add(wait).unwrap_or(now), why }
}

fn letter(page: page::Page, id: &MessageId, story: Story, occurred_at: Timestamp) -> Letter {
    Letter { mail: render::mail(&page), page, id: id.clone(), story, is_follow_up: false, occurred_at }
}

/// What later messages about the same device have in common, by which mail clients put them together.
fn story(message: &Envelope<ActionTaken>) -> MessageId {
    let tenant = message.tenant.as_str();
    match message.body.device.known() {
        Some(device) => MessageId::of("story", &[tenant, "device", device.id.as_str()]),
        None => MessageId::of("story", &[tenant, "alert", message.body.alert.id.as_str()]),
    }
}

/// A notice about a device belongs to the device's story; the others are about Cordon itself.
fn story_of_notice(message: &Envelope<Notice>) -> MessageId {
    let tenant = message.tenant.as_str();
    match &message.body.device {
        Some(device) => MessageId::of("story", &[tenant, "device", device.as_str()]),
        None => MessageId::of("story", &[tenant, "cordon"]),
    }
}
