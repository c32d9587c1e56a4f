//! A state in memory that can be told to fail, and lists what stands in it. Keeps no times: nothing here expires.

use crate::samples::PORTAL;
use async_trait::async_trait;
use jiff::Timestamp;
use local::Store;
use notify::{Channel, Notify, Templates};
use ports::{
    CommitError, Expect, Item, Key, Page, Queue, State, StateBackend, StateError, Tally, Version, Write,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

#[derive(Debug, Default)]
pub(crate) struct Memory {
    items: Mutex<BTreeMap<Key, Item>>,
    writes: AtomicU64,
    pub(crate) reads_fail: AtomicBool,
    /// Writes that remember that somebody was told; reserving a try goes on.
    pub(crate) told_fails: AtomicBool,
}

impl Memory {
    pub(crate) fn state() -> (Arc<Memory>, State) {
        let memory = Arc::new(Memory::default());
        (Arc::clone(&memory), State::new(memory))
    }

    pub(crate) fn partitions(&self) -> Vec<String> {
        self.told().map(|key| key.partition).collect()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.told().map(|key| key.sort).collect()
    }

    /// Where it is remembered who was told, and nothing else.
    fn told(&self) -> impl Iterator<Item = Key> {
        let keys: Vec<Key> = self.items.lock().unwrap().keys().cloned().collect();
        keys.into_iter().filter(|key| key.sort.starts_with("told#"))
    }
}

/// The step over this state. Nothing waits in its queue.
pub(crate) fn notify(channels: Vec<Channel>, state: State, tally: Tally) -> Notify {
    let store = Store::in_memory().unwrap();
    let (queue, portal) = (Queue::new(Arc::new(store)), PORTAL.to_owned());
    Notify { channels, templates: Templates::shipped(), queue, state, tally, portal }
}

#[async_trait]
impl StateBackend for Memory {
    async fn get(&self, key: &Key, _now: Timestamp) -> Result<Option<Item>, StateError> {
        if self.reads_fail.load(Ordering::SeqCst) {
            return Err(StateError::Unavailable("on purpose".to_owned()));
        }
        Ok(self.items.lock().unwrap().get(key).cloned())
    }

    async fn batch_get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Item>>, StateError> {
        let mut items = Vec::new();
        for key in keys {
            items.push(self.get(key, now).await?);
        }
        Ok(items)
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        _: Option<&str>,
        _: Timestamp,
    ) -> Result<Page<Item>, StateError> {
        let is_asked_for = |key: &Key| key.partition == partition && key.sort.starts_with(prefix);
        let items = self.items.lock().unwrap();
        let items = items.values().filter(|item| is_asked_for(&item.key)).cloned().collect();
        Ok(Page { items, next: None })
    }

    async fn commit(&self, writes: &[Write], _now: Timestamp) -> Result<(), CommitError> {
        let remembers =
            |write: &Write| matches!(write, Write::Put { key, .. } if key.sort.starts_with("told#"));
        if self.told_fails.load(Ordering::SeqCst) && writes.iter().any(remembers) {
            return Err(CommitError::Unavailable { why: "on purpose".to_owned(), maybe_written: false });
        }
        assert_eq!(ports::impossible(writes), None);
        let mut items = self.items.lock().unwrap();
        for (index, write) in writes.iter().enumerate() {
            let (key, expect) = write.condition();
            let found = items.get(key).map(|item| item.version);
            let holds = match expect {
                Expect::Any => true,
                Expect::Absent => found.is_none(),
                Expect::Is(version) => found == Some(version),
            };
            if !holds {
                return Err(CommitError::Refused(index));
            }
        }
        for write in writes {
            match write {
                Write::Put { key, value, expires, .. } => {
                    assert!(expires.is_some(), "{key} would stay for ever");
                    let version = Version(self.writes.fetch_add(1, Ordering::SeqCst));
                    let item = Item { key: key.clone(), value: value.clone(), version };
                    items.insert(key.clone(), item);
                }
                Write::Delete { key, .. } => drop(items.remove(key)),
                Write::Check { .. } => {}
            }
        }
        Ok(())
    }
}
