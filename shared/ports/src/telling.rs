//! What the state knows of telling people: who was told what, how each channel fares, which story a message belongs to, and
//! what waits for a digest. All of it is per channel, so that no channel's trouble is another's.

use crate::{
    Expect, Key, State, StateError, Write, device_partition,
    rows::{ALERT_DAYS, alert_partition, days},
};
use jiff::{SignedDuration, Timestamp};
use model::{ActionTaken, AlertId, Body, DeviceId, Effect, Envelope, MessageId, Notice, TenantId};
use serde::{Deserialize, Serialize};

/// A message that a channel has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub at: Timestamp,
    pub channel: String,
    pub subject: String,
}

impl Told {
    pub fn key(tenant: &TenantId, alert: &AlertId, message: &MessageId, channel: &str) -> Key {
        Key { partition: alert_partition(tenant, alert), sort: format!("told#{message}#{channel}") }
    }

    /// A notice, or a digest, belongs to no alert.
    pub fn of_notice(tenant: &TenantId, message: &MessageId, channel: &str) -> Key {
        Key { partition: format!("{tenant}#notice"), sort: format!("told#{message}#{channel}") }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, ALERT_DAYS)
    }
}

/// How it stands with telling a channel a message, as long as it was not told: a worker is about it just now, or a try has
/// failed, or it waits for the channel or for a digest. Stands beside its [`Told`], and goes when that comes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Telling {
    /// Until when nobody may try the same.
    pub until: Timestamp,
    #[serde(default)]
    pub channel: String,
    /// Since when this channel is to be told: what patience counts from. A dead letter that is put back begins anew.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// How often it was tried, this try included.
    #[serde(default)]
    pub tries: u32,
    /// How many of the tries have failed on the message's own account.
    #[serde(default)]
    pub refused: u32,
    /// Why it was not told yet, where something stands against it. None while a worker is about it.
    #[serde(default)]
    pub why: Option<String>,
    /// The digest that it waits for, by its beginning.
    #[serde(default)]
    pub digest: Option<Timestamp>,
    /// That it is told by itself, whatever else there is: its digest was not taken, or did not have it.
    #[serde(default)]
    pub alone: bool,
    /// That this channel is not tried any more. The message is set aside when no other channel waits for it.
    #[serde(default)]
    pub given_up: bool,
    /// When the message was set aside. Until [`Telling::COPIES`] after it, what comes is taken for a copy of the message that
    /// was in the queue beside it; after that, for the message put back.
    #[serde(default)]
    pub set_aside: Option<Timestamp>,
}

impl Telling {
    /// For how long copies of a message that was set aside are expected. They wait for the same, so they come together.
    pub const COPIES: SignedDuration = SignedDuration::from_mins(10);

    /// What forgets which channels a message was given up for: whoever puts it back wants it tried anew, and at once.
    pub async fn forgetting(
        state: &State,
        tenant: &TenantId,
        body: &str,
        now: Timestamp,
    ) -> Result<Vec<Write>, StateError> {
        let told = if model::kind_of(body).as_deref() == Some(Notice::KIND) {
            Envelope::<Notice>::decode(body).ok().map(|notice| Told::of_notice(tenant, &notice.id, ""))
        } else {
            let taken = Envelope::<ActionTaken>::decode(body).ok();
            taken.map(|taken| Told::key(tenant, &taken.body.alert.id, &taken.id, ""))
        };
        // What cannot be read was never told, nor given up.
        let Some(begin) = told.map(|told| Telling::beside(&told)) else { return Ok(Vec::new()) };
        let rows = state.query_readable::<Telling>(&begin.partition, &begin.sort, now).await?;
        let given_up = rows.into_iter().map(|row| row.value).filter(|row| row.given_up);
        let keys =
            given_up.map(|row| Key { sort: format!("{}{}", begin.sort, row.channel), ..begin.clone() });
        Ok(keys.map(|key| Write::Delete { key, expect: Expect::Any }).collect())
    }

    /// The key beside that of a [`Told`].
    pub fn beside(told: &Key) -> Key {
        Key { partition: told.partition.clone(), sort: format!("telling-{}", told.sort) }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, 7)
    }
}

/// How a channel fares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChannelRow {
    pub channel: String,
    /// That it takes nothing; none while it works.
    pub failing: Option<Failing>,
    /// Since when messages are counted, and how many were told one by one since then.
    #[serde(default)]
    pub counted_from: Option<Timestamp>,
    #[serde(default)]
    pub counted: u32,
}

/// A channel that does not take messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    pub since: Timestamp,
    /// How many tries in a row have failed.
    pub tries: u32,
    /// It is left alone until then.
    pub rests_until: Timestamp,
    pub why: String,
    /// Whether people were told, on the other channels.
    pub told: bool,
}

impl ChannelRow {
    pub fn partition(tenant: &TenantId) -> String {
        format!("{tenant}#channels")
    }

    pub fn key(tenant: &TenantId, channel: &str) -> Key {
        Key { partition: ChannelRow::partition(tenant), sort: format!("channel#{channel}") }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, 30)
    }
}

/// That a channel was told something of a story on account of one alert, or by a notice: what follows on the same account
/// is short. Another alert of the same story comes whole, since nobody has seen its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storied {
    /// The message that the channel was told first.
    pub first: MessageId,
    pub at: Timestamp,
    /// When the latest happened of what the channel was told. What happened before that is no news.
    #[serde(default)]
    pub latest: Option<Timestamp>,
}

impl Storied {
    /// `alert`: none for a notice.
    pub fn key(tenant: &TenantId, story: &MessageId, channel: &str, alert: Option<&AlertId>) -> Key {
        let account = alert.map_or("notice", |alert| alert.as_str());
        let (partition, of_channel) = Storied::of_channel(tenant, story, channel);
        Key { partition, sort: format!("{of_channel}{account}") }
    }

    /// The partition of a story, and how the keys of a channel begin in it.
    pub fn of_channel(tenant: &TenantId, story: &MessageId, channel: &str) -> (String, String) {
        (format!("{tenant}#story#{story}"), format!("storied#{channel}#"))
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, ALERT_DAYS)
    }
}

/// The story that was last told of a device: a notice about the device joins it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    pub story: MessageId,
    /// What people know it by.
    pub name: String,
    pub at: Timestamp,
}

impl Latest {
    pub fn key(tenant: &TenantId, device: &DeviceId) -> Key {
        Key { partition: device_partition(tenant, device), sort: "latest-story".to_owned() }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, 30)
    }
}

/// What a message is, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GistKind {
    /// What became of an alert.
    Outcome,
    Notice,
    /// Several messages in one.
    Digest,
    /// A sample that a person has asked for.
    Test,
}

/// What a message says, for programs and for one line of a digest. What strangers wrote is on one line in it, and
/// harmless to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gist {
    pub kind: GistKind,
    /// What people know the story by.
    pub story: String,
    /// As Microsoft writes it; none for a notice.
    pub severity: Option<String>,
    /// None for a notice about no effect.
    pub action: Option<Effect>,
    /// The outcome's word, or what the notice is about.
    pub outcome: String,
    /// Whether somebody has to look now.
    pub urgent: bool,
    /// That Cordon only observes: nothing was asked for, and nothing waits for a person.
    #[serde(default)]
    pub observing: bool,
    pub device: Option<DeviceId>,
    /// What to call the device: on one line, but otherwise as it is, so that programs can go by it. Whoever shows it to
    /// people makes it harmless as a link first.
    pub device_name: Option<String>,
    pub alert: Option<AlertId>,
    pub incident: Option<String>,
    /// The alert's, or the notice's first line.
    pub title: String,
}

/// A message that waits for a channel's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathered {
    pub message: MessageId,
    /// When it happened.
    pub occurred_at: Timestamp,
    pub gist: Gist,
}

impl Gathered {
    /// How long a digest gathers. Each begins at a multiple of this, by the clock.
    pub const EVERY: SignedDuration = SignedDuration::from_mins(5);

    /// The partition of one digest: of a channel, and of the time from `begin` on.
    pub fn partition(tenant: &TenantId, channel: &str, begin: Timestamp) -> String {
        format!("{tenant}#digest#{channel}#{}", begin.as_second())
    }

    pub fn key(partition: &str, message: &MessageId) -> Key {
        Key { partition: partition.to_owned(), sort: format!("gathered#{message}") }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, 7)
    }
}

/// That a digest is being told: nothing is gathered for it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub at: Timestamp,
    /// Which messages are told together, once and for all: how much a channel takes may change while it is told. None as
    /// long as that was not settled.
    #[serde(default)]
    pub parts: Option<Vec<Part>>,
}

/// What of a digest is told in one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub messages: Vec<MessageId>,
    /// What came of it; none as long as it is to be told.
    #[serde(default)]
    pub end: Option<PartEnd>,
}

/// What came of a part of a digest, and so of each message in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartEnd {
    Told,
    /// The channel does not take it so. Each of its messages is told alone.
    Alone,
    /// The channel was waited for long enough.
    GivenUp {
        why: String,
    },
}

impl Closed {
    /// What came of the part that this message is in; none as long as that is to be told. What is in no part is told
    /// alone.
    pub fn end_of(&self, message: &MessageId) -> Option<PartEnd> {
        let part = self.parts.as_ref()?.iter().find(|part| part.messages.contains(message));
        part.map_or(Some(PartEnd::Alone), |part| part.end.clone())
    }

    /// The key beside those of what the digest has gathered.
    pub fn key(partition: &str) -> Key {
        Key { partition: partition.to_owned(), sort: "closed".to_owned() }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, 7)
    }
}
