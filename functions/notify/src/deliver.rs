//! One message to every channel that is to be told of it: one after the other, the healthy ones first. What a message says
//! and which channels it is for is decided elsewhere.
//!
//! Why nothing is lost and little is repeated, wherever the process dies:
//!
//! - A message is acknowledged only when every channel has its `Told` row, or is put off or set aside as a whole. Until
//!   then it stands in the queue, and whoever gets it next begins here, with what the rows say.
//! - A try is reserved by a commit (`Telling.until`, on the condition that nothing was told) before the channel is spoken to.
//!   Who dies after it delays this channel by `ONE_TRY`, and repeats nothing.
//! - `Told` is written just after the channel has taken the message, in one commit with all that follows from it: the
//!   story is known to the channel, the device has a latest story, the channel works, the try is over. Between the two a
//!   death repeats this one delivery, the one in flight; channels before it have their `Told`, channels after it were
//!   not spoken to, because they are told one after the other.
//! - That a channel fails is written in one commit with the end of the try. If that is lost, the next try costs one
//!   time-out more.
//! - A message joins a digest by one commit, on the condition that the digest is not closed (see `digest`).
//! - That a channel was given up is written before the message is set aside, and in the last step before that, when it was. So
//!   a copy of the message that was in the queue beside it (who dies between a delayed copy and the acknowledgement leaves
//!   two) is set aside as well and does not wait another day: two dead letters are better than none. Whoever puts one back
//!   forgets that it was given up: it has its full time again, and tells only the channels that were not told.

use crate::{
    Channel, Notify,
    letter::{Letter, Story},
    page::{Page, Show, earlier},
    rest::{after_refusal, credible, failed, is_storm, later, resting, took, unspoken},
};
use jiff::{SignedDuration, Timestamp};
use model::{AlertId, DeviceId, MessageId, TenantId};
use ports::{
    ChannelRow, CommitError, Count, Disposition, Expect, Failing, Fault, Key, Latest, MAX_COMMIT, StateError,
    Stored, Storied, Telling, Told, Unsent, Write,
};
use std::time::Duration;
use tokio::time::Instant;

/// How long one try to tell may take; for so long no other worker tries the same.
const ONE_TRY: SignedDuration = SignedDuration::from_secs(45);

/// What every channel is held to, whatever its own time-outs are: two calls of ten seconds, where it needs a token first.
/// Well below [`ONE_TRY`].
const LONGEST_DELIVERY: Duration = Duration::from_secs(20);

/// After this time no other delivery is begun for the same message: a function is given up after 60 seconds.
const BUDGET: Duration = Duration::from_secs(25);

/// When to look again whether another worker has told it.
const SOON: SignedDuration = SignedDuration::from_secs(5);

/// When to look again after the state has failed.
const STATE_WAIT: SignedDuration = SignedDuration::from_secs(30);

/// A message is never put off by less.
const AT_LEAST: SignedDuration = SignedDuration::from_secs(1);

/// For how long a channel is waited for.
pub(crate) const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// How often a commit is tried that must not be lost, because the channel was told.
const COMMITS: usize = 5;

/// A message with all that has to be known to tell it.
pub(crate) struct News<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) id: &'a MessageId,
    pub(crate) trace: &'a str,
    pub(crate) occurred_at: Timestamp,
    pub(crate) story: Story,
    /// Beside which it is remembered who was told.
    pub(crate) alert: Option<&'a AlertId>,
    /// The device whose latest story this is.
    pub(crate) device: Option<&'a DeviceId>,
    /// Whether others may belong to the same story.
    pub(crate) may_go_on: bool,
    /// Whether it may stand in a digest.
    pub(crate) may_gather: bool,
    pub(crate) is_about_a_channel: bool,
    /// How it is put for a channel.
    pub(crate) page: &'a (dyn Fn(Show<'_>) -> Page + Sync),
}

/// A channel with what the state knows of it and of the message.
pub(crate) struct Way<'a> {
    pub(crate) channel: &'a Channel,
    /// Where it is remembered that the channel was told.
    pub(crate) told: Key,
    pub(crate) is_told: bool,
    pub(crate) not_told: Expect,
    pub(crate) row: ChannelRow,
    row_expect: Expect,
}

/// What stands in the state beside the message and the channel, as long as it was not told.
pub(crate) struct Before {
    pub(crate) key: Key,
    pub(crate) value: Telling,
    pub(crate) expect: Expect,
}

/// What came of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Told,
    Waits {
        until: Timestamp,
        why: String,
    },
    /// It is not tried any more.
    GivenUp {
        why: String,
    },
}

impl End {
    pub(crate) fn waits(now: Timestamp, by: SignedDuration, why: impl Into<String>) -> End {
        End::Waits { until: later(now, by), why: why.into() }
    }

    /// Another worker was faster: its end is seen by looking again.
    pub(crate) fn elsewhere(now: Timestamp) -> End {
        End::waits(now, SOON, BUSY)
    }
}

/// What cannot be gone on with now, because of the state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("what was told already cannot be read: {0}")]
    Unreadable(#[from] StateError),
    #[error("a try to tell could not be noted: {0}")]
    Unwritten(#[from] CommitError),
}

/// When a message was begun, by two clocks: the one that counts, and one that only measures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) now: Timestamp,
    begun: Instant,
}

impl Round {
    #[expect(
        clippy::disallowed_methods,
        reason = "only measures how long the round takes; `now` stays an argument"
    )]
    pub(crate) fn begin(now: Timestamp) -> Round {
        Round { now, begun: Instant::now() }
    }

    /// The time by now. Where no whole second has passed it is the message's own, so that a short round has one time.
    fn now_by_now(self) -> Timestamp {
        let passed = self.begun.elapsed().as_secs();
        later(self.now, SignedDuration::from_secs(i64::try_from(passed).unwrap_or_default()))
    }

    /// The end of a channel for which no time is left.
    fn is_over(self) -> Option<End> {
        let why = "telling the others took all of this round's time";
        (self.begun.elapsed() >= BUDGET).then(|| End::waits(self.now, AT_LEAST, why))
    }
}

impl News<'_> {
    pub(crate) fn told(&self, channel: &str) -> Key {
        match self.alert {
            Some(alert) => Told::key(self.tenant, alert, self.id, channel),
            None => Told::of_notice(self.tenant, self.id, channel),
        }
    }

    /// That this is the story that was last told of its device.
    pub(crate) fn latest(&self, now: Timestamp) -> Result<Option<Write>, StateError> {
        let Some(device) = self.device else { return Ok(None) };
        let latest = Latest { story: self.story.id.clone(), name: self.story.name.clone(), at: now };
        let key = Latest::key(self.tenant, device);
        Write::put(key, &latest, Expect::Any, Latest::expires(now)).map(Some)
    }

    fn storied(&self, channel: &str) -> Key {
        Storied::key(self.tenant, &self.story.id, channel, self.alert)
    }
}

impl Notify {
    /// Tells every one of these channels that was not told yet. What becomes of one is nothing to the others.
    pub(crate) async fn tell_all(
        &self,
        news: &News<'_>,
        channels: &[&Channel],
        now: Timestamp,
    ) -> Disposition {
        if channels.is_empty() {
            tracing::warn!(id = %news.id, trace = news.trace, "nobody is told: there is no channel for it");
            return Disposition::Done;
        }
        let round = Round::begin(now);
        let mut ways = match self.ways(news, channels, now).await {
            Ok(ways) => ways,
            Err(error) => {
                let names: Vec<String> =
                    channels.iter().map(|channel| format!("channel `{}`", channel.name())).collect();
                let why = format!("{}: {}", names.join(", "), Stopped::from(error));
                return Disposition::Defer { until: later(now, STATE_WAIT), why };
            }
        };
        // The healthy ones first, so that one that fails takes no time from them.
        ways.sort_by_key(|way| way.row.failing.is_some());
        let mut ends = Vec::new();
        for way in &ways {
            let end = match Box::pin(self.tell(way, news, round)).await {
                Ok(end) => end,
                Err(stopped) => self.stopped(way, news, &stopped, now).await,
            };
            let (channel, id) = (way.channel.name(), news.id);
            match &end {
                End::Told => {}
                // What has failed was said where it failed. To wait for it is no trouble of its own.
                End::Waits { why, .. } => {
                    tracing::debug!(channel, %id, trace = news.trace, why, "not told yet")
                }
                End::GivenUp { why } => tracing::warn!(channel, %id, trace = news.trace, why, "not told"),
            }
            ends.push(end);
        }
        self.dispose(&ways, &ends, now).await
    }

    /// What is known of each of the channels, and whether it was told.
    pub(crate) async fn ways<'a>(
        &self,
        news: &News<'_>,
        channels: &[&'a Channel],
        now: Timestamp,
    ) -> Result<Vec<Way<'a>>, StateError> {
        let keys: Vec<Key> = channels.iter().map(|channel| news.told(channel.name())).collect();
        let rows: Vec<Key> =
            channels.iter().map(|channel| ChannelRow::key(news.tenant, channel.name())).collect();
        let told = self.state.batch_get_readable::<Told>(&keys, now).await?;
        let rows = self.state.batch_get_readable::<ChannelRow>(&rows, now).await?;
        let all = channels.iter().zip(keys).zip(told.into_iter().zip(rows));
        Ok(all
            .map(|((channel, key), ((told, not_told), (row, row_expect)))| Way {
                channel,
                told: key,
                is_told: told.is_some(),
                not_told,
                row: row_of(row, channel.name()),
                row_expect,
            })
            .collect())
    }

    pub(crate) async fn before(&self, way: &Way<'_>, now: Timestamp) -> Result<Before, StateError> {
        let key = Telling::beside(&way.told);
        let read = self.state.batch_get_readable::<Telling>(std::slice::from_ref(&key), now).await?;
        let (stored, expect) = read.into_iter().next().unwrap_or((None, Expect::Absent));
        let value = stored.map_or_else(Telling::default, |stored| credible(stored.value, ONE_TRY, now));
        Ok(Before { key, value: Telling { channel: way.channel.name().to_owned(), ..value }, expect })
    }

    async fn tell(&self, way: &Way<'_>, news: &News<'_>, round: Round) -> Result<End, Stopped> {
        if way.is_told {
            return Ok(End::Told);
        }
        let before = self.before(way, round.now).await?;
        if before.value.given_up {
            return Ok(End::GivenUp { why: before.value.why.unwrap_or_default() });
        }
        if let Some(begin) = before.value.digest {
            // Boxed, for it is large and rare.
            return Box::pin(self.told_by_digest(way, news, before, begin, round)).await;
        }
        let is_free = before.value.until <= round.now && resting(&way.row, round.now).is_none();
        let may_gather = news.may_gather && !before.value.alone;
        if is_free && may_gather && is_storm(&way.row, way.channel.digest_after, round.now) {
            return self.gather(way, news, before, round.now).await;
        }
        self.tell_alone(way, news, before, round).await
    }

    /// The state does not let a channel be told. A row that cannot be read or written may stay so, and is waited for no
    /// longer than a channel is.
    async fn stopped(&self, way: &Way<'_>, news: &News<'_>, stopped: &Stopped, now: Timestamp) -> End {
        let (channel, id, why) = (way.channel.name(), news.id, stopped.to_string());
        tracing::warn!(channel, %id, trace = news.trace, why, "not told");
        let waits = End::waits(now, STATE_WAIT, why.clone());
        if !matches!(stopped, Stopped::Unreadable(StateError::Unreadable { .. })) {
            return waits;
        }
        match self.out_of_patience(way, news, &why, now).await {
            Ok(Some(end)) => end,
            Ok(None) | Err(_) => waits,
        }
    }

    /// The end of a message that has waited long enough. One that begins to wait says so.
    async fn out_of_patience(
        &self,
        way: &Way<'_>,
        news: &News<'_>,
        why: &str,
        now: Timestamp,
    ) -> Result<Option<End>, Stopped> {
        let before = self.before(way, now).await?;
        if has_waited(&before.value, now) {
            let end = self.give_up(way.channel, &way.told, news, before.value, gave_up(why), now).await?;
            return Ok(Some(end));
        }
        if before.value.since.is_none() {
            let why = Some(why.to_owned());
            let telling = Telling { until: now, since: Some(now), why, ..before.value };
            let write = Write::put(before.key, &telling, before.expect, Telling::expires(now))?;
            self.state.commit(&[write], now).await?;
        }
        Ok(None)
    }

    /// Tells one channel, where it was not told, as far as nothing stands against it.
    pub(crate) async fn tell_alone(
        &self,
        way: &Way<'_>,
        news: &News<'_>,
        before: Before,
        round: Round,
    ) -> Result<End, Stopped> {
        // What came before may have taken long: a reservation and a rest count from here.
        let now = round.now_by_now();
        if before.value.until > now {
            return Ok(match before.value.why {
                // Nobody rests without a reason, so a worker is about it.
                None => End::Waits { until: before.value.until.min(later(now, SOON)), why: BUSY.to_owned() },
                Some(why) => End::Waits { until: before.value.until, why },
            });
        }
        if let Some(failing) = resting(&way.row, now) {
            return self.wait_for_channel(way, news, before, failing, now).await;
        }
        if let Some(over) = round.is_over() {
            return Ok(over);
        }
        let storied = self.storied(way.channel.name(), news, now).await?;
        let known = match &storied.0 {
            Some(_) => None,
            None => self.knows(way.channel.name(), news, now).await,
        };
        let Some((way, before)) = self.reserve(way, news, before, now).await? else {
            return Ok(End::elsewhere(now));
        };
        let letter = self.letter(way.channel, news, storied.0.as_ref().or(known.as_ref()));
        let delivered = tokio::time::timeout(LONGEST_DELIVERY, way.channel.deliver(&letter, now)).await;
        let delivered = delivered.unwrap_or_else(|_| {
            Err(Unsent::channel(format!("it did not answer in {} s", LONGEST_DELIVERY.as_secs())))
        });
        match delivered {
            Ok(()) => {
                self.tally.one(Count::NotificationsSent);
                tracing::info!(channel = way.channel.name(), id = %news.id, trace = news.trace, "told");
                self.remember(way, news, letter.mail.subject, storied, now).await
            }
            Err(unsent) => {
                self.tally.one(Count::NotificationsFailed);
                let (channel, why) = (way.channel.name(), unsent.why.as_str());
                tracing::warn!(channel, id = %news.id, trace = news.trace, why, "not told");
                // A service that wants to be left alone for a minute said so just now.
                let now = round.now_by_now();
                match unsent.fault {
                    Fault::Channel => self.channel_failed(way, news, before, unsent, now).await,
                    Fault::Message => self.message_refused(way, news, before, unsent, now).await,
                }
            }
        }
    }

    /// The message as this channel gets it.
    fn letter(&self, channel: &Channel, news: &News<'_>, storied: Option<&Storied>) -> Letter {
        let is_follow_up = storied.is_some_and(|storied| storied.first != *news.id);
        let follow_up = is_follow_up.then_some(news.story.name.as_str());
        let mut page =
            (news.page)(Show { command_lines: channel.command_lines, follow_up, rows: channel.rows() });
        let latest = storied.and_then(|storied| storied.latest);
        if is_follow_up && latest.is_some_and(|latest| news.occurred_at < latest) {
            page.follows = Some(earlier(&news.story.name, &page.phrase, news.occurred_at));
        }
        let letter = crate::letter(page, news.id, news.story.clone(), news.occurred_at, &self.templates);
        Letter { is_follow_up, ..letter }
    }

    /// What the channel was told of the story on account of its alerts, where this is a notice, which has no evidence that
    /// nobody has seen. That it is told matters more than how: what cannot be read is not known.
    async fn knows(&self, channel: &str, news: &News<'_>, now: Timestamp) -> Option<Storied> {
        if !news.may_go_on || news.alert.is_some() {
            return None;
        }
        let (partition, prefix) = Storied::of_channel(news.tenant, &news.story.id, channel);
        let known = self.state.query_readable::<Storied>(&partition, &prefix, now).await.unwrap_or_default();
        known.into_iter().map(|known| known.value).max_by_key(|known| known.latest)
    }

    /// What the channel was told of the story, if anything, and what a write that replaces it must expect.
    async fn storied(
        &self,
        channel: &str,
        news: &News<'_>,
        now: Timestamp,
    ) -> Result<(Option<Storied>, Expect), StateError> {
        if !news.may_go_on {
            return Ok((None, Expect::Absent));
        }
        let key = news.storied(channel);
        let read = self.state.batch_get_readable::<Storied>(&[key], now).await?;
        let (storied, expect) = read.into_iter().next().unwrap_or((None, Expect::Absent));
        Ok((storied.map(|storied| storied.value), expect))
    }

    /// Reserves the channel for one try at this message; none where another worker was faster. Of a channel that fails the
    /// whole is reserved, so that what is found out by one message costs the others nothing.
    async fn reserve<'a>(
        &self,
        way: &Way<'a>,
        news: &News<'_>,
        before: Before,
        now: Timestamp,
    ) -> Result<Option<(Reserved<'a>, Telling)>, Stopped> {
        let until = later(now, ONE_TRY);
        let telling = Telling {
            until,
            since: before.value.since.or(Some(now)),
            tries: before.value.tries.saturating_add(1),
            why: None,
            ..before.value
        };
        let mut writes = vec![
            Write::Check { key: way.told.clone(), expect: way.not_told },
            Write::put(before.key, &telling, before.expect, Telling::expires(now))?,
        ];
        if let Some(failing) = &way.row.failing {
            let failing = Some(Failing { rests_until: until, ..failing.clone() });
            writes.push(self.row(news, &ChannelRow { failing, ..way.row.clone() }, way.row_expect, now)?);
        }
        match self.state.commit(&writes, now).await {
            Err(CommitError::Refused(_) | CommitError::Contended) => Ok(None),
            written => {
                written?;
                let reserved = Reserved {
                    channel: way.channel,
                    told: way.told.clone(),
                    seen: way.row.failing.is_none().then(|| (way.row.clone(), way.row_expect)),
                };
                Ok(Some((reserved, telling)))
            }
        }
    }

    fn row(
        &self,
        news: &News<'_>,
        row: &ChannelRow,
        expect: Expect,
        now: Timestamp,
    ) -> Result<Write, StateError> {
        Write::put(ChannelRow::key(news.tenant, &row.channel), row, expect, ChannelRow::expires(now))
    }

    /// The channel's row as it is now.
    async fn row_now(
        &self,
        news: &News<'_>,
        channel: &str,
        now: Timestamp,
    ) -> Result<(ChannelRow, Expect), StateError> {
        let key = ChannelRow::key(news.tenant, channel);
        let read = self.state.batch_get_readable::<ChannelRow>(&[key], now).await?;
        let (row, expect) = read.into_iter().next().unwrap_or((None, Expect::Absent));
        Ok((row_of(row, channel), expect))
    }

    /// Writes down that the channel has taken the message, and all that follows from that. Several times if need be: of
    /// what is lost here the channel hears again.
    async fn remember(
        &self,
        way: Reserved<'_>,
        news: &News<'_>,
        subject: String,
        storied: (Option<Storied>, Expect),
        now: Timestamp,
    ) -> Result<End, Stopped> {
        let told = Told { at: now, channel: way.channel.name().to_owned(), subject };
        let mut last = None;
        for nth in 0..COMMITS {
            match self.remember_once(&way, news, &told, &storied, nth, now).await {
                Ok(()) => return Ok(End::Told),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(String::new, |error| error.to_string());
        let why = format!("it was told, but that could not be written down: {why}");
        tracing::error!(channel = way.channel.name(), id = %news.id, trace = news.trace, why);
        Ok(End::waits(now, ONE_TRY, why))
    }

    /// One try of that, the `nth`.
    async fn remember_once(
        &self,
        way: &Reserved<'_>,
        news: &News<'_>,
        told: &Told,
        storied: &(Option<Storied>, Expect),
        nth: usize,
        now: Timestamp,
    ) -> Result<(), Stopped> {
        // What others write as well is left out in the end: the count of a digest and the end of a failure are found out
        // again; that the channel was told is not.
        let with_all = nth.saturating_add(2) < COMMITS;
        let mut writes = vec![
            Write::put(way.told.clone(), told, Expect::Any, Told::expires(now))?,
            Write::Delete { key: Telling::beside(&way.told), expect: Expect::Any },
        ];
        if with_all && news.may_go_on {
            let (known, expect) = match nth {
                0 => storied.clone(),
                _ => self.storied(&told.channel, news, now).await?,
            };
            let storied = goes_on(known, news, now);
            let key = news.storied(&told.channel);
            writes.push(Write::put(key, &storied, expect, Storied::expires(now))?);
        }
        writes.extend(news.latest(now)?);
        if with_all {
            let (row, expect) = match &way.seen {
                Some(seen) if nth == 0 => seen.clone(),
                _ => self.row_now(news, &told.channel, now).await?,
            };
            let counts = news.may_gather && way.channel.digest_after.is_some();
            if counts || row.failing.is_some() {
                writes.push(self.row(news, &took(row, counts, now), expect, now)?);
            }
        }
        Ok(self.state.commit(&writes, now).await?)
    }

    /// The channel takes nothing: it rests, and so do all messages for it.
    async fn channel_failed(
        &self,
        way: Reserved<'_>,
        news: &News<'_>,
        telling: Telling,
        unsent: Unsent,
        now: Timestamp,
    ) -> Result<End, Stopped> {
        let name = way.channel.name();
        let telling = Telling { until: now, why: Some(unsent.why.clone()), ..telling };
        let mut row = ChannelRow::default();
        let mut written = Err(Stopped::Unwritten(CommitError::Contended));
        for _ in 0..COMMITS {
            let (seen, expect) = self.row_now(news, name, now).await?;
            row = failed(seen, &unsent, now);
            let writes = [
                self.row(news, &row, expect, now)?,
                Write::put(Telling::beside(&way.told), &telling, Expect::Any, Telling::expires(now))?,
            ];
            written = self.state.commit(&writes, now).await.map_err(Stopped::from);
            if written.is_ok() {
                break;
            }
        }
        if let Err(error) = written {
            tracing::warn!(channel = name, %error, "that a channel fails could not be written down");
            return Ok(End::waits(now, ONE_TRY, unsent.why));
        }
        self.speak_of(news, &row, now).await;
        let Some(failing) = row.failing else { return Ok(End::waits(now, STATE_WAIT, unsent.why)) };
        if has_waited(&telling, now) {
            return self.give_up(way.channel, &way.told, news, telling, gave_up(&unsent.why), now).await;
        }
        Ok(End::Waits { until: failing.rests_until, why: unsent.why })
    }

    /// The message waits because the channel rests. It says so once, so that its patience has a beginning.
    async fn wait_for_channel(
        &self,
        way: &Way<'_>,
        news: &News<'_>,
        before: Before,
        failing: &Failing,
        now: Timestamp,
    ) -> Result<End, Stopped> {
        self.speak_of(news, &way.row, now).await;
        let why = format!("it rests after {} failure(s); the last one: {}", failing.tries, failing.why);
        if has_waited(&before.value, now) {
            return self
                .give_up(way.channel, &way.told, news, before.value, gave_up(&failing.why), now)
                .await;
        }
        if before.value.since.is_none() {
            let telling = Telling { until: now, since: Some(now), why: Some(why.clone()), ..before.value };
            let write = Write::put(before.key, &telling, before.expect, Telling::expires(now))?;
            self.state.commit(&[write], now).await?;
        }
        Ok(End::Waits { until: failing.rests_until, why })
    }

    /// The channel works, but does not take this message.
    async fn message_refused(
        &self,
        way: Reserved<'_>,
        news: &News<'_>,
        telling: Telling,
        unsent: Unsent,
        now: Timestamp,
    ) -> Result<End, Stopped> {
        let refused = telling.refused.saturating_add(1);
        let again = after_refusal(refused, &unsent, now);
        let until = again.unwrap_or(now);
        let telling = Telling { until, refused, why: Some(unsent.why.clone()), ..telling };
        let Some(until) = again else {
            let why = format!("it was refused {refused} times; the last time: {}", unsent.why);
            return self.give_up(way.channel, &way.told, news, telling, why, now).await;
        };
        let write = Write::put(Telling::beside(&way.told), &telling, Expect::Any, Telling::expires(now))?;
        let mut writes = vec![write];
        let (row, expect) = self.row_now(news, way.channel.name(), now).await?;
        if row.failing.is_some() {
            writes.push(self.row(news, &took(row, false, now), expect, now)?);
        }
        self.state.commit(&writes, now).await?;
        Ok(End::Waits { until, why: unsent.why })
    }

    /// The message is not tried on this channel any more, and people are told so on the others.
    pub(crate) async fn give_up(
        &self,
        channel: &Channel,
        told: &Key,
        news: &News<'_>,
        telling: Telling,
        why: String,
        now: Timestamp,
    ) -> Result<End, Stopped> {
        if let Err(error) = self.say_given_up(news, channel.name(), &why, now).await {
            let why = format!("{why}; and that could not be said: {error}");
            tracing::warn!(channel = channel.name(), id = %news.id, trace = news.trace, why, "not told");
            return Ok(End::waits(now, STATE_WAIT, why));
        }
        let telling = Telling { until: now, why: Some(why.clone()), given_up: true, ..telling };
        let write = Write::put(Telling::beside(told), &telling, Expect::Any, Telling::expires(now))?;
        self.state.commit(&[write], now).await?;
        Ok(End::GivenUp { why })
    }

    /// Says that a channel fails for long, once per outage. If that does not work, the next look at the channel says it.
    async fn speak_of(&self, news: &News<'_>, row: &ChannelRow, now: Timestamp) {
        let Some(failing) = unspoken(row, now) else { return };
        let said = async {
            self.say_failing(news.tenant, &row.channel, failing, now)
                .await
                .map_err(|error| error.to_string())?;
            let (row, expect) =
                self.row_now(news, &row.channel, now).await.map_err(|error| error.to_string())?;
            let Some(failing) = row.failing.clone() else { return Ok(()) };
            let row = ChannelRow { failing: Some(Failing { told: true, ..failing }), ..row };
            let write = self.row(news, &row, expect, now).map_err(|error| error.to_string())?;
            self.state.commit(&[write], now).await.map_err(|error| error.to_string())
        };
        if let Err(error) = said.await {
            tracing::warn!(
                channel = row.channel,
                error,
                "that a channel fails could not be said, or not noted"
            );
        }
    }

    /// What becomes of the message as a whole.
    async fn dispose(&self, ways: &[Way<'_>], ends: &[End], now: Timestamp) -> Disposition {
        let named = |wanted: fn(&End) -> Option<&String>| -> String {
            let all = ways.iter().zip(ends);
            let all = all.filter_map(|(way, end)| Some((way.channel.name(), wanted(end)?)));
            all.map(|(channel, why)| format!("channel `{channel}`: {why}")).collect::<Vec<_>>().join("; ")
        };
        let waits = ends.iter().filter_map(|end| match end {
            End::Waits { until, .. } => Some(*until),
            End::Told | End::GivenUp { .. } => None,
        });
        if let Some(first) = waits.min() {
            let until = first.max(later(now, AT_LEAST));
            let why = named(|end| if let End::Waits { why, .. } = end { Some(why) } else { None });
            return Disposition::Defer { until, why };
        }
        let reason = named(|end| if let End::GivenUp { why } = end { Some(why) } else { None });
        if reason.is_empty() {
            return Disposition::Done;
        }
        match self.set_aside(ways, ends, now).await {
            Ok(()) => Disposition::Reject { reason },
            Err(error) => {
                let why = format!("{reason}; and it cannot be set aside yet: {error}");
                tracing::warn!(why, "a message cannot be set aside");
                Disposition::Defer { until: later(now, STATE_WAIT), why }
            }
        }
    }

    /// Writes down when it was set aside. Of its tries nothing is kept: whoever puts it back wants it tried anew.
    async fn set_aside(&self, ways: &[Way<'_>], ends: &[End], now: Timestamp) -> Result<(), Stopped> {
        let mut writes = Vec::new();
        for (way, end) in ways.iter().zip(ends) {
            let End::GivenUp { why } = end else { continue };
            let telling = Telling {
                until: now,
                channel: way.channel.name().to_owned(),
                why: Some(why.clone()),
                given_up: true,
                set_aside: Some(now),
                ..Telling::default()
            };
            let key = Telling::beside(&way.told);
            writes.push(Write::put(key, &telling, Expect::Any, Telling::expires(now))?);
        }
        for some in writes.chunks(MAX_COMMIT) {
            self.state.commit(some, now).await?;
        }
        Ok(())
    }
}

const BUSY: &str = "another worker is telling it";

/// A channel of which one try is ours.
struct Reserved<'a> {
    channel: &'a Channel,
    told: Key,
    /// Its row, where that has not changed since it was read.
    seen: Option<(ChannelRow, Expect)>,
}

fn row_of(stored: Option<Stored<ChannelRow>>, channel: &str) -> ChannelRow {
    let row = stored.map_or_else(ChannelRow::default, |stored| stored.value);
    ChannelRow { channel: channel.to_owned(), ..row }
}

/// What a channel knows of a story after this message. Whoever was first stays first: the same message, told again, must not
/// become another one's follow-up.
fn goes_on(known: Option<Storied>, news: &News<'_>, now: Timestamp) -> Storied {
    let first = Storied { first: news.id.clone(), at: now, latest: None };
    let storied = known.unwrap_or(first);
    Storied { latest: storied.latest.max(Some(news.occurred_at)), ..storied }
}

/// Whether a message has waited for its channel long enough.
pub(crate) fn has_waited(telling: &Telling, now: Timestamp) -> bool {
    telling.since.is_some_and(|since| now.duration_since(since) >= PATIENCE)
}

fn gave_up(why: &str) -> String {
    format!("it could not be told for {} h; the last time: {why}", PATIENCE.as_hours())
}
