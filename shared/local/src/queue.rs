//! The queues: rows that become visible at a time. A delivery moves a row's time on; settling it removes the row.
//!
//! A row is handed out again and again until it is settled; that it has its effect once is the step's business.

use crate::store::{Store, Survives, Unavailable, micros, micros_after};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use model::MAX_MESSAGE_BYTES;
use ports::{
    DeadLetter, DeadPage, Delivery, MAX_DELAY, MAX_RECEIVES, Out, QueueBackend, QueueError, QueueName,
    Receipt, RedriveError, given_up, was_a_message,
};
use rusqlite::{OptionalExtension, Row, Transaction, params};

/// How long a delivery stays invisible to others: longer than any step works on one message.
pub const VISIBILITY: SignedDuration = SignedDuration::from_mins(6);

/// The most messages in one `receive`, as in SQS.
const MAX_BATCH: usize = 10;

/// Dead letters in a page.
const DEAD_PAGE: usize = 50;

/// How full a queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// To be delivered now.
    pub visible: u64,
    /// To be delivered later: delayed, or to be tried again.
    pub waiting: u64,
    /// Delivered and not settled yet.
    pub in_flight: u64,
    /// Set aside.
    pub dead: u64,
}

impl Store {
    /// When there is something to receive, in any queue: `now` where there is already, none where all are empty.
    pub fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, QueueError> {
        let mut first = None;
        for queue in QueueName::ALL {
            first = self.next_due_in(queue, now)?.into_iter().chain(first).min();
        }
        Ok(first)
    }

    /// The same of one queue.
    pub fn next_due_in(&self, queue: QueueName, now: Timestamp) -> Result<Option<Timestamp>, QueueError> {
        let first: Option<i64> = self.read(|connection| {
            connection
                .prepare_cached("SELECT min(visible_at_us) FROM messages WHERE queue = ?1")?
                .query_row([queue.as_str()], |row| row.get(0))
        })?;
        Ok(first.map(|first| time(first).max(now)))
    }

    /// How full a queue is at `now`. Counts every row: for summaries, not for loops.
    pub fn depth(&self, queue: QueueName, now: Timestamp) -> Result<Depth, QueueError> {
        let depth = self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*) FILTER (WHERE visible_at_us <= ?2),
                        count(*) FILTER (WHERE visible_at_us > ?2 AND NOT in_flight),
                        count(*) FILTER (WHERE visible_at_us > ?2 AND in_flight),
                        (SELECT count(*) FROM dead_letters WHERE queue = ?1)
                   FROM messages WHERE queue = ?1",
            )?;
            statement.query_row(params![queue.as_str(), micros(now)], |row| {
                Ok(Depth {
                    visible: row.get(0)?,
                    waiting: row.get(1)?,
                    in_flight: row.get(2)?,
                    dead: row.get(3)?,
                })
            })
        })?;
        Ok(depth)
    }

    /// Stores messages, all or none.
    fn store(&self, queue: QueueName, out: &[&Out], now: Timestamp) -> Result<(), Unavailable> {
        self.write(Survives::PowerLoss, |transaction| {
            out.iter().try_for_each(|Out { body, delay }| insert(transaction, queue, body, *delay, now))
        })
    }
}

#[async_trait]
impl QueueBackend for Store {
    async fn send(&self, queue: QueueName, out: &[Out], now: Timestamp) -> Vec<Result<(), QueueError>> {
        let fits = |out: &&Out| out.body.len() <= MAX_MESSAGE_BYTES;
        let stored = self.store(queue, &out.iter().filter(fits).collect::<Vec<_>>(), now);
        let result = |out: &Out| match &stored {
            _ if !fits(&out) => Err(QueueError::TooLarge { bytes: out.body.len() }),
            Ok(()) => Ok(()),
            Err(unavailable) => Err(QueueError::Unavailable(unavailable.why.clone())),
        };
        out.iter().map(result).collect()
    }

    async fn receive(
        &self,
        queue: QueueName,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, QueueError> {
        let max = max.min(MAX_BATCH);
        let deliveries = self.write(Survives::Crash, |transaction| {
            let mut deliveries = Vec::new();
            while deliveries.len() < max {
                let messages = visible(transaction, queue, max - deliveries.len(), now)?;
                if messages.is_empty() {
                    break;
                }
                for message in messages {
                    if message.receives >= MAX_RECEIVES {
                        let reason = given_up(message.receives, message.in_flight);
                        bury(transaction, message.id, &reason, now)?;
                        tracing::error!(%queue, message = message.id, reason, "set aside");
                    } else {
                        deliveries.push(deliver(transaction, message, now)?);
                    }
                }
            }
            Ok(deliveries)
        })?;
        Ok(deliveries)
    }

    async fn done(&self, queue: QueueName, receipt: &Receipt) -> Result<(), QueueError> {
        self.write(Survives::Crash, |transaction| {
            if let Some(id) = find(transaction, queue, receipt)? {
                remove(transaction, id)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    async fn retry(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        after: SignedDuration,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        self.write(Survives::Crash, |transaction| {
            if let Some(id) = find(transaction, queue, receipt)? {
                transaction
                    .prepare_cached("UPDATE messages SET visible_at_us = ?2, in_flight = 0 WHERE id = ?1")?
                    .execute(params![id, micros_after(now, allowed(after))])?;
            }
            Ok(())
        })?;
        Ok(())
    }

    async fn reject(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        let found = self.write(Survives::PowerLoss, |transaction| {
            let found = find(transaction, queue, receipt)?;
            if let Some(id) = found {
                bury(transaction, id, reason, now)?;
            }
            Ok(found.is_some())
        })?;
        Ok(found)
    }

    async fn set_aside(
        &self,
        queue: QueueName,
        body: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        self.write(Survives::PowerLoss, |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO dead_letters (queue, body, reason, since_us) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![queue.as_str(), body, reason, micros(now)])
        })?;
        Ok(())
    }

    async fn dead(&self, queue: QueueName, page: Option<&str>) -> Result<DeadPage, QueueError> {
        let after: i64 = match page.map(str::parse) {
            None => 0,
            Some(Ok(after)) => after,
            Some(Err(_)) => {
                return Err(QueueError::Unavailable("no page of dead letters has this name".to_owned()));
            }
        };
        let mut letters: Vec<DeadLetter> = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT id, body, reason, since_us FROM dead_letters
                      WHERE queue = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
                )?
                .query_map(params![queue.as_str(), after, DEAD_PAGE + 1], |row| letter(queue, row))?
                .collect()
        })?;
        let more = letters.len() > DEAD_PAGE;
        letters.truncate(DEAD_PAGE);
        let next = letters.last().filter(|_| more).map(|last| last.id.clone());
        Ok(DeadPage { letters, next })
    }

    async fn redrive(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, RedriveError> {
        let Ok(id) = id.parse::<i64>() else { return Ok(false) };
        let redriven = self.write(Survives::PowerLoss, |transaction| {
            let Some(body) = dead_body(transaction, queue, id)? else { return Ok(Ok(false)) };
            if !was_a_message(&body) {
                return Ok(Err(RedriveError::NeverAMessage));
            }
            insert(transaction, queue, &body, SignedDuration::ZERO, now)?;
            forget(transaction, queue, id).map(Ok)
        });
        redriven.map_err(QueueError::from)?
    }

    async fn drop_dead(&self, queue: QueueName, id: &str, _: Timestamp) -> Result<bool, QueueError> {
        let Ok(id) = id.parse::<i64>() else { return Ok(false) };
        Ok(self.write(Survives::PowerLoss, |transaction| forget(transaction, queue, id))?)
    }
}

/// Stores a message that was never received.
fn insert(
    transaction: &Transaction<'_>,
    queue: QueueName,
    body: &str,
    delay: SignedDuration,
    now: Timestamp,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO messages (queue, body, sent_at_us, visible_at_us, receives, in_flight)
             VALUES (?1, ?2, ?3, ?4, 0, 0)",
        )?
        .execute(params![queue.as_str(), body, micros(now), micros_after(now, allowed(delay))])?;
    Ok(())
}

fn dead_body(transaction: &Transaction<'_>, queue: QueueName, id: i64) -> rusqlite::Result<Option<String>> {
    transaction
        .prepare_cached("SELECT body FROM dead_letters WHERE id = ?1 AND queue = ?2")?
        .query_row(params![id, queue.as_str()], |row| row.get(0))
        .optional()
}

/// Removes a dead letter; whether there was one.
fn forget(transaction: &Transaction<'_>, queue: QueueName, id: i64) -> rusqlite::Result<bool> {
    let removed = transaction
        .prepare_cached("DELETE FROM dead_letters WHERE id = ?1 AND queue = ?2")?
        .execute(params![id, queue.as_str()])?;
    Ok(removed > 0)
}

/// A row of `messages`, as far as a delivery needs it.
struct Message {
    id: i64,
    body: String,
    /// How often it was delivered before.
    receives: u32,
    in_flight: bool,
}

fn visible(
    transaction: &Transaction<'_>,
    queue: QueueName,
    max: usize,
    now: Timestamp,
) -> rusqlite::Result<Vec<Message>> {
    transaction
        .prepare_cached(
            "SELECT id, body, receives, in_flight FROM messages
              WHERE queue = ?1 AND visible_at_us <= ?2 ORDER BY visible_at_us, id LIMIT ?3",
        )?
        .query_map(params![queue.as_str(), micros(now), max], |row| {
            Ok(Message { id: row.get(0)?, body: row.get(1)?, receives: row.get(2)?, in_flight: row.get(3)? })
        })?
        .collect()
}

fn deliver(transaction: &Transaction<'_>, message: Message, now: Timestamp) -> rusqlite::Result<Delivery> {
    let receives = message.receives + 1;
    transaction
        .prepare_cached("UPDATE messages SET visible_at_us = ?2, receives = ?3, in_flight = 1 WHERE id = ?1")?
        .execute(params![message.id, micros_after(now, VISIBILITY), receives])?;
    // Ids are never used again and the count only grows, so the two name one delivery.
    let receipt = Receipt(format!("{}/{receives}", message.id));
    Ok(Delivery { receipt, body: message.body, receives })
}

/// The message that was last delivered with this receipt; none if it is gone or was delivered again since.
fn find(transaction: &Transaction<'_>, queue: QueueName, receipt: &Receipt) -> rusqlite::Result<Option<i64>> {
    let parts =
        receipt.0.split_once('/').and_then(|(id, receives)| Some((id.parse().ok()?, receives.parse().ok()?)));
    let Some((id, receives)): Option<(i64, u32)> = parts else { return Ok(None) };
    transaction
        .prepare_cached("SELECT id FROM messages WHERE id = ?1 AND receives = ?2 AND queue = ?3")?
        .query_row(params![id, receives, queue.as_str()], |row| row.get(0))
        .optional()
}

fn remove(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Moves a message to the dead letters.
fn bury(transaction: &Transaction<'_>, id: i64, reason: &str, now: Timestamp) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO dead_letters (queue, body, reason, since_us)
             SELECT queue, body, ?2, ?3 FROM messages WHERE id = ?1",
        )?
        .execute(params![id, reason, micros(now)])?;
    remove(transaction, id)
}

fn letter(queue: QueueName, row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let id: i64 = row.get(0)?;
    Ok(DeadLetter {
        id: id.to_string(),
        queue,
        body: row.get(1)?,
        reason: row.get(2)?,
        since: time(row.get(3)?),
    })
}

/// The delay that is kept: as much of it as SQS would.
fn allowed(delay: SignedDuration) -> SignedDuration {
    delay.clamp(SignedDuration::ZERO, MAX_DELAY)
}

/// A time of the file. Whatever stands there: nothing is lost over a time that somebody edited.
fn time(micros: i64) -> Timestamp {
    let nearest = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(micros).unwrap_or(nearest)
}
