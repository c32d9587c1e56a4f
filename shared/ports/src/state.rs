//! The state: small versioned items under a partition and a sort key, written all or nothing.
//!
//! No SQL, no scans, nothing that DynamoDB could not do: a commit holds at most ten items, and each may carry a
//! condition on what is there.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeSet, fmt, sync::Arc};

/// The most items in one commit.
pub const MAX_COMMIT: usize = 10;

/// The most that a value may weigh, in bytes: DynamoDB's items end at 400 KB.
pub const MAX_VALUE_BYTES: usize = 350_000;

/// Where an item stands. Both parts begin with, or stand below, a tenant: see `rows`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub partition: String,
    pub sort: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.sort)
    }
}

/// Which write of an item this is. Every write brings another, and none comes twice for the same key, not even
/// after the item was deleted or has expired. Versions can only be compared for equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub u64);

/// An item as it is stored. Past `expires` it does not exist any more, whether or not it was removed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub key: Key,
    pub value: Vec<u8>,
    pub version: Version,
}

/// What must be there for a write to happen. An expired item counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Absent,
    Is(Version),
    Any,
}

/// One part of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// `expires`: from when on the item does not exist any more; none for never.
    Put {
        key: Key,
        value: Vec<u8>,
        expect: Expect,
        expires: Option<Timestamp>,
    },
    Delete {
        key: Key,
        expect: Expect,
    },
    /// Writes nothing, but must hold.
    Check {
        key: Key,
        expect: Expect,
    },
}

impl Write {
    /// Puts a value as JSON.
    pub fn put<T: Serialize>(
        key: Key,
        value: &T,
        expect: Expect,
        expires: Option<Timestamp>,
    ) -> Result<Write, StateError> {
        let value = serde_json::to_vec(value)
            .map_err(|error| StateError::Unreadable { key: key.clone(), why: error.to_string() })?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(StateError::Unreadable { key, why: format!("{} bytes are too many", value.len()) });
        }
        Ok(Write::Put { key, value, expect, expires })
    }
}

impl Write {
    /// What it is about, and what must be there for it.
    pub fn condition(&self) -> (&Key, Expect) {
        match self {
            Write::Put { key, expect, .. } | Write::Delete { key, expect } | Write::Check { key, expect } => {
                (key, *expect)
            }
        }
    }
}

/// Why no backend takes such a commit, because DynamoDB would not; none for one that may be tried.
pub fn impossible(writes: &[Write]) -> Option<String> {
    if writes.len() > MAX_COMMIT {
        return Some(format!("a commit of {} writes, where {MAX_COMMIT} are allowed", writes.len()));
    }
    let mut keys = BTreeSet::new();
    writes.iter().find_map(|write| {
        let (key, _) = write.condition();
        if !keys.insert(key) {
            return Some(format!("a commit that names `{key}` twice"));
        }
        match write {
            Write::Put { value, .. } if value.len() > MAX_VALUE_BYTES => Some(format!(
                "`{key}` would weigh {} bytes, where {MAX_VALUE_BYTES} are allowed",
                value.len()
            )),
            Write::Put { .. } | Write::Delete { .. } | Write::Check { .. } => None,
        }
    })
}

/// Some items in the order of their sort keys, and where to go on; none when these were the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state is not available: {0}")]
    Unavailable(String),
    #[error("the state's item `{key}` cannot be read or written: {why}")]
    Unreadable { key: Key, why: String },
}

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The condition of the write with this index did not hold. Nothing was written.
    #[error("the state changed meanwhile (write {0})")]
    Refused(usize),
    /// Somebody else is writing the same items. Nothing was written; try again.
    #[error("the state is being written by somebody else")]
    Contended,
    #[error("the state is not available: {why}")]
    Unavailable {
        why: String,
        /// True where the writes may have happened all the same.
        maybe_written: bool,
    },
}

/// What a host's state can do.
#[async_trait]
pub trait StateBackend: Send + Sync + fmt::Debug {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Item>, StateError>;

    /// One answer per key, in order.
    async fn batch_get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Item>>, StateError>;

    /// The items of a partition whose sort key begins with `prefix`, in order, a page at a time.
    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        page: Option<&str>,
        now: Timestamp,
    ) -> Result<Page<Item>, StateError>;

    /// All or nothing; at most [`MAX_COMMIT`] writes, each on another key.
    async fn commit(&self, writes: &[Write], now: Timestamp) -> Result<(), CommitError>;
}

/// A value with the version to expect when writing it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    pub value: T,
    pub version: Version,
}

impl<T> Stored<T> {
    /// What a write that replaces this must expect.
    pub fn expected(stored: Option<&Stored<T>>) -> Expect {
        stored.map_or(Expect::Absent, |stored| Expect::Is(stored.version))
    }
}

/// The state as the steps see it: values are JSON.
#[derive(Debug, Clone)]
pub struct State {
    backend: Arc<dyn StateBackend>,
}

impl State {
    pub fn new(backend: Arc<dyn StateBackend>) -> State {
        State { backend }
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<Stored<T>>, StateError> {
        self.backend.get(key, now).await?.map(read).transpose()
    }

    /// Like [`State::get`], but a row that cannot be read counts as absent, with an error in the log: only for one that
    /// lets nothing through.
    pub async fn get_readable<T: DeserializeOwned>(
        &self,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<Stored<T>>, StateError> {
        Ok(readable(self.backend.get(key, now).await?).0)
    }

    /// One answer per key, in order; any number of keys.
    pub async fn batch_get<T: DeserializeOwned>(
        &self,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Stored<T>>>, StateError> {
        let items = self.backend.batch_get(keys, now).await?;
        items.into_iter().map(|item| item.map(read).transpose()).collect()
    }

    /// Like [`State::batch_get`], but one row that cannot be read does not stand for all: it counts as absent, with an
    /// error in the log. Beside each, what a write that replaces it must expect.
    pub async fn batch_get_readable<T: DeserializeOwned>(
        &self,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<(Option<Stored<T>>, Expect)>, StateError> {
        Ok(self.backend.batch_get(keys, now).await?.into_iter().map(readable).collect())
    }

    /// Every value of a partition whose sort key begins with `prefix`.
    pub async fn query_all<T: DeserializeOwned>(
        &self,
        partition: &str,
        prefix: &str,
        now: Timestamp,
    ) -> Result<Vec<Stored<T>>, StateError> {
        let mut all = Vec::new();
        let mut next = None;
        loop {
            let page = self.backend.query(partition, prefix, next.as_deref(), now).await?;
            for item in page.items {
                all.push(read(item)?);
            }
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    /// Like [`State::query_all`], but a row that cannot be read is left out, with an error in the log.
    pub async fn query_readable<T: DeserializeOwned>(
        &self,
        partition: &str,
        prefix: &str,
        now: Timestamp,
    ) -> Result<Vec<Stored<T>>, StateError> {
        let mut all = Vec::new();
        let mut next = None;
        loop {
            let page = self.backend.query(partition, prefix, next.as_deref(), now).await?;
            all.extend(page.items.into_iter().filter_map(|item| readable(Some(item)).0));
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    pub async fn commit(&self, writes: &[Write], now: Timestamp) -> Result<(), CommitError> {
        self.backend.commit(writes, now).await
    }
}

/// The value, where it is there and can be read; and what a write that replaces it must expect.
fn readable<T: DeserializeOwned>(item: Option<Item>) -> (Option<Stored<T>>, Expect) {
    let Some(item) = item else { return (None, Expect::Absent) };
    let expect = Expect::Is(item.version);
    let stored = read(item).inspect_err(|error| tracing::error!(%error, "a row is passed over"));
    (stored.ok(), expect)
}

fn read<T: DeserializeOwned>(item: Item) -> Result<Stored<T>, StateError> {
    match serde_json::from_slice(&item.value) {
        Ok(value) => Ok(Stored { value, version: item.version }),
        // What serde says may quote the value, whatever stands in it.
        Err(error) => {
            let why = model::one_line(&error.to_string(), 200);
            Err(StateError::Unreadable { key: item.key, why })
        }
    }
}
