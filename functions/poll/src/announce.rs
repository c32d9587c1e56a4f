//! Announces the alerts of one page: what is new, the most serious first.
//!
//! Send, then remember: an alert is remembered as announced only once the queue has confirmed it.

use crate::{Poll, PollError, Polled, read::Round};
use defender::{AlertPage, Unreadable};
use jiff::Timestamp;
use model::{Alert, AlertFound, AlertId, Envelope, EvidenceIdentity, FirstSeen, Mode, Revision, one_line};
use ports::{Announced, Count, Expect, Key, MAX_COMMIT, QueueError, QueueName, Stored, Write};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

/// The most announcements that are sent before they are remembered.
const BATCH: usize = 500;

/// An announcement to be made, and what to remember once it is confirmed.
pub(crate) struct News {
    pub(crate) message: Envelope<AlertFound>,
    key: Key,
    before: Option<Announced>,
    /// What must be there for `after` to be written.
    expect: Expect,
    after: Announced,
}

impl News {
    /// Whether all that is new is evidence of an alert that was announced without any: it could not be read then, and
    /// is not late.
    fn fills_in(&self) -> bool {
        let before = self.before.as_ref();
        before.is_some_and(|before| before.evidence.is_empty() && !self.after.evidence.is_empty())
    }
}

impl Poll {
    /// Announces what is new in a page. Everything in it is confirmed then, up to its latest stamp; none for a page
    /// without stamps.
    pub(crate) async fn announce(
        &self,
        page: AlertPage,
        now: Timestamp,
        round: &mut Round,
    ) -> Result<Option<Timestamp>, PollError> {
        self.set_aside(&page.unreadable, now, &mut round.polled).await?;
        let latest = page.alerts.iter().filter_map(|alert| alert.updated).max();
        let mut news = self.news(page.alerts, now).await?;
        news.sort_by_key(|news| Reverse(news.message.body.alert.severity.as_ref().and_then(|s| s.rank())));
        if round.is_late {
            let late: Vec<&News> = news.iter().filter(|news| !news.fills_in()).collect();
            self.tell_late(&late, now).await?;
            round.polled.late += late.len();
        }
        let devices =
            news.iter().flat_map(|news| &news.message.body.devices).filter_map(|device| device.id());
        self.refresh_devices(devices.cloned().collect(), &mut round.fleet, now).await;

        let mut news = news.into_iter().peekable();
        while news.peek().is_some() {
            let (messages, notes): (Vec<_>, Vec<_>) = news
                .by_ref()
                .take(BATCH)
                .map(|news| (news.message, (news.key, news.expect, news.after)))
                .unzip();
            let results = self.queue.send(QueueName::AlertsFound, &messages, now).await;
            let mut writes = Vec::new();
            let mut failures = Vec::new();
            for ((result, message), (key, expect, after)) in results.into_iter().zip(&messages).zip(notes) {
                match result {
                    Ok(()) => {
                        round.polled.announced += 1;
                        self.tally.one(Count::AlertsFound);
                    }
                    // It will never be sent; it must not hold up what comes after it.
                    Err(error @ QueueError::TooLarge { .. }) => {
                        let id = &message.body.alert.id;
                        self.set_one_aside(id.as_str(), &format!("alert {id}: {error}"), now).await?;
                        round.polled.set_aside += 1;
                    }
                    Err(error @ QueueError::Unavailable(_)) => {
                        failures.push(error);
                        continue;
                    }
                }
                let expires = Announced::expires(now);
                writes.push(Write::put(key, &after, expect, expires)?);
            }
            for some in writes.chunks(MAX_COMMIT) {
                self.state.commit(some, now).await?;
            }
            // The cursor stays where it is: what was confirmed is remembered, what was not comes again.
            let failed = failures.len();
            if let Some(first) = failures.into_iter().next() {
                return Err(PollError::Send { failed, all: messages.len(), first });
            }
        }
        Ok(latest)
    }

    /// The announcements that have not been made yet. Where a page brings an alert twice, the later one counts.
    async fn news(&self, alerts: Vec<Alert>, now: Timestamp) -> Result<Vec<News>, PollError> {
        let mut latest: HashMap<AlertId, Alert> = HashMap::with_capacity(alerts.len());
        for alert in alerts {
            match latest.get(&alert.id) {
                Some(known) if known.updated > alert.updated => {}
                _ => {
                    latest.insert(alert.id.clone(), alert);
                }
            }
        }
        let mut alerts: Vec<Alert> = latest.into_values().collect();
        alerts.sort_by(|a, b| (a.updated, &a.id).cmp(&(b.updated, &b.id)));
        let keys: Vec<Key> = alerts.iter().map(|alert| Announced::key(&self.tenant, &alert.id)).collect();
        let known = self.state.batch_get_readable(&keys, now).await?;
        let pairs = alerts.into_iter().zip(keys).zip(known);
        Ok(pairs.filter_map(|((alert, key), known)| self.news_of(alert, key, known, now)).collect())
    }

    fn news_of(
        &self,
        alert: Alert,
        key: Key,
        (before, expect): (Option<Stored<Announced>>, Expect),
        now: Timestamp,
    ) -> Option<News> {
        let before = before.map(|before| before.value);
        let evidence = before.as_ref().map(|before| before.evidence.clone()).unwrap_or_default();
        let brought: BTreeSet<EvidenceIdentity> =
            EvidenceIdentity::all(&alert).into_iter().take(Announced::MAX_EVIDENCE).collect();
        // Absent evidence means unchanged; evidence that has been seen stays seen.
        let current = if brought.is_empty() { evidence.clone() } else { brought };
        let seen = evidence.into_iter().filter(|seen| !current.contains(seen));
        let evidence: BTreeSet<EvidenceIdentity> =
            current.iter().cloned().chain(seen).take(Announced::MAX_EVIDENCE).collect();
        let revision = Revision::of(&alert, &current);
        let mut revisions = before.as_ref().map(|before| before.revisions.clone()).unwrap_or_default();
        if revisions.contains(&revision) {
            return None;
        }
        revisions.push(revision.clone());
        let excess = revisions.len().saturating_sub(Announced::MAX_REVISIONS);
        revisions.drain(..excess);
        // Where it stands written and cannot be read, it may have been seen while only observing: doubt means no.
        let mode = if expect == Expect::Absent { self.mode } else { Mode::Observe };
        let first_seen = before.as_ref().map_or(FirstSeen { at: now, mode }, |before| before.first_seen);

        let message = AlertFound::announcement(&self.tenant, alert, revision, current, first_seen, now);
        Some(News { message, key, before, expect, after: Announced { first_seen, revisions, evidence } })
    }

    async fn set_one_aside(&self, what: &str, reason: &str, now: Timestamp) -> Result<(), PollError> {
        tracing::error!(reason, "set aside");
        let set_aside = self.queue.set_aside(QueueName::AlertsFound, &self.tenant, what, reason, now).await;
        set_aside.map_err(|first| PollError::Send { failed: 1, all: 1, first })
    }

    /// Sets aside records that have no usable id, each once: a record that stays in the window would otherwise
    /// be set aside again with every poll.
    async fn set_aside(
        &self,
        unreadable: &[Unreadable],
        now: Timestamp,
        polled: &mut Polled,
    ) -> Result<(), PollError> {
        for record in unreadable {
            let message = model::MessageId::of("unreadable", &[&record.record]);
            let key = Key { partition: format!("{}#set-aside", self.tenant), sort: message.to_string() };
            if self.state.get::<Timestamp>(&key, now).await?.is_some() {
                continue;
            }
            let reason = format!(
                "a record of the alert list has no usable id: {}",
                one_line(&record.to_string(), 300)
            );
            self.set_one_aside(&record.record, &reason, now).await?;
            let write = Write::put(key, &now, ports::Expect::Any, Announced::expires(now))?;
            self.state.commit(&[write], now).await?;
            polled.set_aside += 1;
        }
        Ok(())
    }
}
