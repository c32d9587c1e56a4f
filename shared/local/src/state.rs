//! The state: rows of `items`, found by partition and sort key, each with a version of its own.
//!
//! Values are bytes here: nothing is looked for inside them.

use crate::store::{Store, Survives, micros};
use async_trait::async_trait;
use jiff::Timestamp;
use ports::{CommitError, Expect, Item, Key, Page, StateBackend, StateError, Version, Write, impossible};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// Items in a page.
const PAGE: usize = 100;

impl Store {
    /// Removes up to `limit` expired items, and says how many. A small limit keeps the others' wait short.
    pub fn clean(&self, now: Timestamp, limit: u32) -> Result<usize, StateError> {
        let removed = self.write(Survives::Crash, |transaction| {
            transaction
                .prepare_cached(
                    "DELETE FROM items WHERE version IN
                     (SELECT version FROM items WHERE expires_at_us <= ?1 ORDER BY expires_at_us LIMIT ?2)",
                )?
                .execute(params![micros(now), limit])
        })?;
        Ok(removed)
    }
}

#[async_trait]
impl StateBackend for Store {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Item>, StateError> {
        Ok(self.read(|connection| get(connection, key, now))?)
    }

    async fn batch_get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Item>>, StateError> {
        Ok(self.read(|connection| keys.iter().map(|key| get(connection, key, now)).collect())?)
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        page: Option<&str>,
        now: Timestamp,
    ) -> Result<Page<Item>, StateError> {
        Ok(self.read(|connection| query(connection, partition, prefix, page, now))?)
    }

    async fn commit(&self, writes: &[Write], now: Timestamp) -> Result<(), CommitError> {
        if let Some(why) = impossible(writes) {
            return Err(CommitError::Unavailable { why, maybe_written: false });
        }
        let refused = self.write(Survives::PowerLoss, |transaction| {
            for (index, write) in writes.iter().enumerate() {
                let (key, expect) = write.condition();
                if !holds(transaction, key, expect, now)? {
                    return Ok(Some(index));
                }
            }
            writes.iter().try_for_each(|write| apply(transaction, write))?;
            Ok(None)
        })?;
        refused.map_or(Ok(()), |index| Err(CommitError::Refused(index)))
    }
}

fn get(connection: &Connection, key: &Key, now: Timestamp) -> rusqlite::Result<Option<Item>> {
    connection
        .prepare_cached(
            "SELECT value, version FROM items
              WHERE partition = ?1 AND sort = ?2 AND (expires_at_us IS NULL OR expires_at_us > ?3)",
        )?
        .query_row(params![key.partition, key.sort, micros(now)], |row| {
            Ok(Item { key: key.clone(), value: row.get(0)?, version: Version(row.get(1)?) })
        })
        .optional()
}

/// A page's name is the last sort key of the page before.
fn query(
    connection: &Connection,
    partition: &str,
    prefix: &str,
    page: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<Page<Item>> {
    let mut statement = connection.prepare_cached(
        "SELECT sort, value, version FROM items
          WHERE partition = ?1 AND sort >= ?2 AND (expires_at_us IS NULL OR expires_at_us > ?3) ORDER BY sort",
    )?;
    let mut rows = statement.query(params![partition, page.unwrap_or(prefix), micros(now)])?;
    let mut items: Vec<Item> = Vec::new();
    // What begins with the prefix stands together, from the prefix itself on.
    while let Some(row) = rows.next()? {
        let sort: String = row.get(0)?;
        if Some(sort.as_str()) == page {
            continue;
        }
        if !sort.starts_with(prefix) {
            break;
        }
        if items.len() == PAGE {
            let next = items.last().map(|last| last.key.sort.clone());
            return Ok(Page { items, next });
        }
        let key = Key { partition: partition.to_owned(), sort };
        items.push(Item { key, value: row.get(1)?, version: Version(row.get(2)?) });
    }
    Ok(Page { items, next: None })
}

fn holds(transaction: &Transaction<'_>, key: &Key, expect: Expect, now: Timestamp) -> rusqlite::Result<bool> {
    let current: Option<u64> = transaction
        .prepare_cached(
            "SELECT version FROM items
              WHERE partition = ?1 AND sort = ?2 AND (expires_at_us IS NULL OR expires_at_us > ?3)",
        )?
        .query_row(params![key.partition, key.sort, micros(now)], |row| row.get(0))
        .optional()?;
    Ok(match expect {
        Expect::Absent => current.is_none(),
        Expect::Is(expected) => current.map(Version) == Some(expected),
        Expect::Any => true,
    })
}

fn apply(transaction: &Transaction<'_>, write: &Write) -> rusqlite::Result<()> {
    match write {
        // Replacing is deleting and inserting, and an insert takes the next version.
        Write::Put { key, value, expect: _, expires } => transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO items (partition, sort, value, expires_at_us) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![key.partition, key.sort, value, expires.map(micros)])?,
        Write::Delete { key, expect: _ } => transaction
            .prepare_cached("DELETE FROM items WHERE partition = ?1 AND sort = ?2")?
            .execute(params![key.partition, key.sort])?,
        Write::Check { .. } => 0,
    };
    Ok(())
}
