//! Makes the rows of one answer known that were not made known before.
//!
//! Send, then remember: a row is remembered as told only once the queue has confirmed what became of it. After a crash in
//! between it is sent once more, with the same id, and in the mode in which it was found first.

use crate::{
    Hunting, HuntingError,
    due::Standing,
    later,
    rows::{Found, alert, defender_alert, sort, table, time},
};
use defender::Column;
use jiff::Timestamp;
use model::{
    AlertFound, Body, Cause, EffectRequested, Envelope, EvidenceIdentity, FirstSeen, Mode, Revision, Topic,
    Wanted,
};
use policy::{AlertMapping, DefenderAlert, Hunt, Outcome, Span};
use ports::{Count, Expect, HuntSeen, Key, MAX_COMMIT, QueueError, QueueName, Stored, Write};
use std::collections::BTreeSet;

/// The most alerts that Defender is asked to make by one answer: it takes 15 in a minute, the orders hold for half an hour, and
/// people's own orders wait behind them. Source: Microsoft's page "Create alert from event API".
const MOST_ORDERS: usize = 10;

/// What became of the rows of one answer.
pub(crate) struct MadeKnown {
    /// How many had not been made known before.
    pub(crate) new: usize,
    /// How many of them are now.
    pub(crate) announced: usize,
}

/// A row that was not made known yet, with the key under which it will be remembered.
struct News {
    found: Found,
    key: Key,
    first_seen: FirstSeen,
    /// Whether it was never found before.
    is_first: bool,
}

impl Hunting {
    /// Makes known what is new among these rows, at most `allowed` of them; in a table, all.
    pub(crate) async fn make_known(
        &self,
        standing: &Standing<'_>,
        part: Span,
        columns: &[Column],
        mut rows: Vec<Found>,
        allowed: usize,
        now: Timestamp,
    ) -> Result<MadeKnown, HuntingError> {
        let hunt = standing.hunt;
        sort(hunt, &mut rows);
        let mut news = self.news(standing, rows, now).await?;
        let new = news.len();
        // Of all of them: those that are made known by a later run have been found in this one.
        self.note_first_seen(&news, now).await?;
        // Rows that a table has no room for are counted in it.
        match hunt.outcome {
            Outcome::Alert(_) => news.truncate(allowed),
            Outcome::Table => {}
            Outcome::DefenderAlert(_) => news.truncate(allowed.min(MOST_ORDERS)),
        }
        let announced = news.len();
        match &hunt.outcome {
            Outcome::Alert(mapping) => self.announce_alerts(hunt, mapping, &news, now).await?,
            Outcome::Table => self.announce_table(hunt, part, columns, &news, now).await?,
            Outcome::DefenderAlert(mapping) => {
                self.order_alerts(hunt, mapping, part, columns, news, now).await?;
            }
        }
        Ok(MadeKnown { new, announced })
    }

    /// The rows that were not made known before. The others are renewed, so that none is forgotten while it is still found.
    async fn news(
        &self,
        standing: &Standing<'_>,
        rows: Vec<Found>,
        now: Timestamp,
    ) -> Result<Vec<News>, HuntingError> {
        let Standing { hunt, row, .. } = standing;
        let keys: Vec<Key> =
            rows.iter().map(|found| HuntSeen::key(&self.tenant, &hunt.name, &found.digest)).collect();
        let seen: Vec<(Option<Stored<HuntSeen>>, Expect)> = self.state.batch_get_readable(&keys, now).await?;
        let rows = rows.into_iter().zip(keys).zip(seen);
        let (mut news, mut renewed) = (Vec::new(), Vec::new());
        for ((found, key), (seen, expect)) in rows {
            let first_seen = match seen.map(|seen| seen.value) {
                Some(seen) if seen.is_told => {
                    if seen.is_to_be_renewed(now) {
                        renewed.push(HuntSeen { written: now, ..seen }.write(key, Expect::Any, now)?);
                    }
                    continue;
                }
                Some(seen) => seen.first_seen,
                None => {
                    // Where it stands written and cannot be read, or under an identity that the hunt had before, it may have
                    // been seen while only observing: doubt means no.
                    let is_before = |until| time(hunt, &found.row).is_none_or(|at| at < until);
                    let may_be_old = expect != Expect::Absent || row.observed_until.is_some_and(is_before);
                    FirstSeen { at: now, mode: if may_be_old { Mode::Observe } else { self.mode } }
                }
            };
            news.push(News { found, key, first_seen, is_first: expect == Expect::Absent });
        }
        self.write(renewed, now).await?;
        Ok(news)
    }

    /// An alert of Cordon's own for each row.
    async fn announce_alerts(
        &self,
        hunt: &Hunt,
        mapping: &AlertMapping,
        news: &[News],
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let mut messages = Vec::with_capacity(news.len());
        for row in news {
            let alert = alert(hunt, mapping, &row.found, now)?;
            let evidence = EvidenceIdentity::all(&alert);
            let revision = Revision::of(&alert, &evidence);
            let first_seen = row.first_seen;
            messages.push(AlertFound::announcement(&self.tenant, alert, revision, evidence, first_seen, now));
        }
        let sent = self.send(QueueName::AlertsFound, &messages, news, now).await?;
        self.tally.add(Count::AlertsFound, sent);
        Ok(())
    }

    /// Writes down in which mode the rows were found, before anybody hears of them: a run that dies after that is followed by
    /// one that may act.
    async fn note_first_seen(&self, news: &[News], now: Timestamp) -> Result<(), HuntingError> {
        let first = news.iter().filter(|row| row.is_first);
        let write = |row: &News| {
            let seen = HuntSeen { first_seen: row.first_seen, is_told: false, written: now };
            seen.write(row.key.clone(), Expect::Absent, now)
        };
        self.write(first.map(write).collect::<Result<_, _>>()?, now).await
    }

    /// One table for all rows. The same rows are the same table.
    async fn announce_table(
        &self,
        hunt: &Hunt,
        part: Span,
        columns: &[Column],
        news: &[News],
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let facts = vec![hunt.description.clone(), count(news.len(), part)];
        self.tell_rows(hunt, columns, news, facts, now).await
    }

    /// An order for each row that says of which event an alert is to be made; of the others people are told, and of all that
    /// was found while observing.
    async fn order_alerts(
        &self,
        hunt: &Hunt,
        mapping: &DefenderAlert,
        part: Span,
        columns: &[Column],
        news: Vec<News>,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let (mut messages, mut ordered, mut observed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut unusable, mut lacks) = (Vec::new(), BTreeSet::new());
        for row in news {
            let is_observed = self.mode == Mode::Observe || row.first_seen.mode == Mode::Observe;
            match defender_alert(hunt, mapping, &row.found.row) {
                Ok(_) if is_observed => observed.push(row),
                Ok((device, alert)) => {
                    let order = EffectRequested {
                        wanted: Wanted::CreateAlert(alert),
                        device,
                        cause: Cause::Hunt,
                        alert: None,
                        claim: None,
                        by: format!("hunt {}", hunt.name),
                        why: hunt.description.clone(),
                        not_after: later(now, EffectRequested::HOLDS),
                    };
                    let digest = &row.found.digest;
                    let identity = ["hunt", &hunt.name, digest];
                    let trace = format!("hunt-{}-{}", hunt.name, digest.get(..10).unwrap_or_default());
                    messages.push(Envelope::new(&self.tenant, &identity, &trace, now, order));
                    ordered.push(row);
                }
                Err(column) => {
                    lacks.insert(column);
                    unusable.push(row);
                }
            }
        }
        self.send(QueueName::EffectsRequested, &messages, &ordered, now).await?;
        let lacks: Vec<&str> = lacks.into_iter().collect();
        let facts = vec![
            hunt.description.clone(),
            count(unusable.len(), part),
            format!("Defender makes no alert of them, because they lack a usable {}", lacks.join(", ")),
        ];
        self.tell_rows(hunt, columns, &unusable, facts, now).await?;
        let facts = vec![
            hunt.description.clone(),
            count(observed.len(), part),
            "Defender was not asked to make alerts of them, because they were found while the mode was `observe`"
                .to_owned(),
        ];
        self.tell_rows(hunt, columns, &observed, facts, now).await
    }

    /// Sends people these rows, if there are any, and remembers that.
    async fn tell_rows(
        &self,
        hunt: &Hunt,
        columns: &[Column],
        news: &[News],
        mut facts: Vec<String>,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        if news.is_empty() {
            return Ok(());
        }
        let mut identity: Vec<&str> = news.iter().map(|row| row.found.digest.as_str()).collect();
        identity.sort_unstable();
        identity.insert(0, "rows");
        let found: Vec<&Found> = news.iter().map(|row| &row.found).collect();
        let (table, more) = table(hunt, columns, &found);
        if more > 0 {
            facts.push(format!("{more} more column(s) have no room in the table"));
        }
        let topic = Topic::HuntFound { hunt: hunt.name.clone() };
        self.tell(hunt, topic, &identity, facts, Some(table), now).await?;
        self.remember(news, now).await
    }

    /// Sends messages, and remembers the rows behind those that were confirmed. How many were.
    async fn send<B: Body>(
        &self,
        queue: QueueName,
        messages: &[Envelope<B>],
        news: &[News],
        now: Timestamp,
    ) -> Result<u64, HuntingError> {
        if messages.is_empty() {
            return Ok(0);
        }
        let results = self.queue.send(queue, messages, now).await;
        let (mut confirmed, mut sent, mut failure) = (Vec::new(), 0, None);
        for ((result, message), row) in results.into_iter().zip(messages).zip(news) {
            match result {
                Ok(()) => sent += 1,
                // It will never be sent; it must not hold up what comes after it.
                Err(error @ QueueError::TooLarge { .. }) => {
                    self.too_large(queue, &message.trace, &error, now).await?;
                }
                Err(error @ QueueError::Unavailable(_)) => {
                    failure = Some(error);
                    continue;
                }
            }
            confirmed.push(row);
        }
        self.remember(confirmed, now).await?;
        // The cursor stays where it is: what was confirmed is remembered, what was not comes again.
        failure.map_or(Ok(sent), |error| Err(error.into()))
    }

    /// Sets a message aside that no queue will ever take.
    pub(crate) async fn too_large(
        &self,
        queue: QueueName,
        trace: &str,
        error: &QueueError,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let reason = format!("{trace}: {error}");
        tracing::error!(reason, "set aside");
        self.queue.set_aside(queue, &self.tenant, trace, &reason, now).await?;
        self.tally.one(Count::DeadLetters);
        Ok(())
    }

    async fn remember(
        &self,
        news: impl IntoIterator<Item = &News>,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let write = |row: &News| {
            let seen = HuntSeen { first_seen: row.first_seen, is_told: true, written: now };
            seen.write(row.key.clone(), Expect::Any, now)
        };
        self.write(news.into_iter().map(write).collect::<Result<_, _>>()?, now).await
    }

    async fn write(&self, writes: Vec<Write>, now: Timestamp) -> Result<(), HuntingError> {
        for some in writes.chunks(MAX_COMMIT) {
            self.state.commit(some, now).await?;
        }
        Ok(())
    }
}

fn count(rows: usize, part: Span) -> String {
    format!("{rows} new row(s) among the events from {} to {}", part.from, part.to)
}
