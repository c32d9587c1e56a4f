//! What stands against a hunt, and that people hear of it once: a query that is refused, a quota that is used up, a service
//! that does not answer for too long, more than one run makes known, events that are gone.
//!
//! Nothing here changes what is read.

use crate::{
    Hunting, HuntingError,
    due::{DAY, Standing},
    later,
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{Envelope, Notice, Table, Topic, one_line};
use policy::{Hunt, Span};
use ports::{Expect, HuntRest, HuntRow, HuntTrouble, QueueError, QueueName, Stored, Write};

/// For how long the service may refuse a hunt, or not answer it, before that is said, however rarely the hunt is due.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);

/// For how long a hunt may miss its schedule threefold and people are not told yet.
const GRACE: SignedDuration = SignedDuration::from_mins(15);

/// The longest reason that is kept, in characters.
const MAX_WHY: usize = 1_000;

impl Hunting {
    /// What the service has said about waiting, while it holds.
    pub(crate) async fn resting(&self, now: Timestamp) -> Result<Option<HuntRest>, HuntingError> {
        let key = HuntRest::key(&self.tenant);
        let rest: Option<Stored<HuntRest>> = self.state.get_readable(&key, now).await?;
        // One that lies further ahead than any that is written was written by a clock that was wrong.
        Ok(rest.map(|rest| rest.value).filter(|rest| rest.until > now && rest.until <= later(now, DAY)))
    }

    pub(crate) async fn rest(&self, rest: &HuntRest, now: Timestamp) -> Result<(), HuntingError> {
        tracing::warn!(until = %rest.until, why = rest.why, "hunting rests");
        let expires = Some(later(rest.until, DAY));
        let write = Write::put(HuntRest::key(&self.tenant), rest, Expect::Any, expires)?;
        Ok(self.state.commit(&[write], now).await?)
    }

    /// The service did not answer. People are told when that goes on for too long.
    pub(crate) fn failed(&self, standing: &mut Standing<'_>, why: &str, now: Timestamp) {
        let why = one_line(why, MAX_WHY);
        tracing::warn!(hunt = standing.hunt.name, why, "a hunt was not answered");
        standing.row.next = self.soon(standing.hunt, now);
        if standing.row.is_known_broken() {
            return;
        }
        let since =
            standing.row.trouble.as_ref().filter(|before| !before.broken).map_or(now, |before| before.since);
        standing.row.trouble = Some(HuntTrouble { since, why, broken: false });
    }

    /// The hunt's file has to be changed. People are told once for each version of it.
    pub(crate) async fn broken(
        &self,
        standing: &mut Standing<'_>,
        why: &str,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let why = one_line(why, MAX_WHY);
        let hunt = standing.hunt;
        tracing::error!(hunt = hunt.name, why, "a hunt is broken");
        let mut since = now;
        match standing.row.trouble.as_ref().filter(|_| standing.row.is_known_broken()) {
            Some(before) => since = before.since,
            None => {
                let last = spoken(standing.row.last_success);
                let identity = ["broken", &hunt.digest, &last];
                let topic = Topic::HuntBroken { hunt: hunt.name.clone() };
                self.tell(hunt, topic, &identity, vec![why.clone()], None, now).await?;
            }
        }
        standing.row.trouble = Some(HuntTrouble { since, why, broken: true });
        standing.row.next = later(now, DAY);
        Ok(())
    }

    /// More was found than one run makes known: the rest follows soon.
    pub(crate) async fn crowded(
        &self,
        standing: &mut Standing<'_>,
        new: u64,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let hunt = standing.hunt;
        if !standing.row.crowded_told {
            let facts = vec![format!(
                "{new} new row(s) were found, of which one run makes {} known; the most serious come first, and \
                 the rest follows",
                hunt.most
            )];
            let last = spoken(standing.row.last_success);
            let topic = Topic::HuntCrowded { hunt: hunt.name.clone() };
            self.tell(hunt, topic, &["crowded", &last], facts, None, now).await?;
            standing.row.crowded_told = true;
        }
        standing.row.trouble = None;
        standing.row.next = self.soon(hunt, now);
        Ok(())
    }

    /// Tells people, once, of a hunt that has not come to its end for three times as long as its schedule says.
    pub(crate) async fn look_whether_overdue(
        &self,
        standing: &mut Standing<'_>,
        rest: Option<&HuntRest>,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let (hunt, row) = (standing.hunt, &standing.row);
        let is_overdue = is_overdue(hunt, row, &self.time_zone, now);
        if row.overdue_told || row.is_known_broken() || !is_overdue {
            return Ok(());
        }
        let mut facts = vec![match row.last_success {
            Some(last) => format!("it came to its end for the last time at {last}"),
            None => format!("it has not come to its end since {}", row.since),
        }];
        facts.extend(row.trouble.iter().map(|trouble| trouble.why.clone()));
        facts.extend(rest.map(|rest| format!("hunting rests until {}: {}", rest.until, rest.why)));
        tracing::error!(hunt = hunt.name, ?facts, "a hunt is overdue");
        let topic = Topic::HuntOverdue { hunt: hunt.name.clone() };
        self.tell(hunt, topic, &["overdue", &last_good(row).to_string()], facts, None, now).await?;
        standing.row.overdue_told = true;
        self.save(standing, now).await?;
        Ok(())
    }

    /// Events that no run will read. Before that is so: after a crash it is said again, with the same id, and once for each hour
    /// that they begin in.
    pub(crate) async fn tell_lost(
        &self,
        hunt: &Hunt,
        lost: Span,
        why: &str,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let Span { from, to } = lost;
        tracing::error!(hunt = hunt.name, %from, %to, why, "events were never read");
        let facts =
            vec![one_line(&format!("the events from {from} to {to} were never read: {why}"), MAX_WHY)];
        let topic = Topic::HuntOverdue { hunt: hunt.name.clone() };
        let hour = from.strftime("%Y-%m-%dT%H").to_string();
        self.tell(hunt, topic, &["lost", &hour], facts, None, now).await
    }

    /// Rows that cannot be read are not passed over in silence; the same day is told once.
    pub(crate) async fn tell_unreadable(
        &self,
        hunt: &Hunt,
        part: Span,
        rows: usize,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        tracing::error!(hunt = hunt.name, rows, "rows of a hunt cannot be read");
        let Span { from, to } = part;
        let facts = vec![format!(
            "{rows} row(s) among the events from {from} to {to} cannot be read, and nothing was made of them; the \
             other rows are not touched by that"
        )];
        let day = now.strftime("%Y-%m-%d").to_string();
        let topic = Topic::HuntFound { hunt: hunt.name.clone() };
        self.tell(hunt, topic, &["unreadable", &day], facts, None, now).await
    }

    /// `identity`: the same again is the same notice. One that is too large for the queue is set aside.
    pub(crate) async fn tell(
        &self,
        hunt: &Hunt,
        topic: Topic,
        identity: &[&str],
        facts: Vec<String>,
        table: Option<Table>,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let identity = [&["hunt", &hunt.name], identity].concat();
        let trace = format!("hunt-{}", hunt.name);
        let notice = Notice { topic, device: None, device_name: None, facts, table };
        let message = Envelope::new(&self.tenant, &identity, &trace, now, notice);
        match self.queue.send_one(QueueName::ActionsTaken, &message, now).await {
            // It will never be sent; it must not hold up what comes after it.
            Err(error @ QueueError::TooLarge { .. }) => {
                self.too_large(QueueName::ActionsTaken, &message.trace, &error, now).await
            }
            sent => Ok(sent?),
        }
    }
}

/// Whether a hunt has not come to its end for three times as long as its schedule says, and a little; or was due, and has not
/// been answered for an hour.
pub fn is_overdue(hunt: &Hunt, row: &HuntRow, zone: &TimeZone, now: Timestamp) -> bool {
    let since = last_good(row);
    let limit = hunt.schedule.longest(since, zone).saturating_mul(3).saturating_add(GRACE);
    let fails = row.trouble.as_ref().filter(|trouble| !trouble.broken);
    now.duration_since(since) > limit || fails.is_some_and(|fails| now.duration_since(fails.since) > PATIENCE)
}

/// Since when a hunt has not come to its end.
fn last_good(row: &HuntRow) -> Timestamp {
    row.last_success.map_or(row.since, |last| last.max(row.since))
}

/// A time as a part of an id.
fn spoken(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}
