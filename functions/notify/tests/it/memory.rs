//! A state in memory that can be told to fail. Keeps no times: nothing here expires.

use crate::samples::PORTAL;
use async_trait::async_trait;
use jiff::Timestamp;
use local::Store;
use notify::{Channel, Notify, Templates};
use ports::{CommitError, Item, Key, Page, Queue, State, StateBackend, StateError, Tally, Version, Write};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

#[derive(Debug, Default)]
pub(crate) struct Memory {
    items: Mutex<BTreeMap<Key, Vec<u8>>>,
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

    /// Where it is remembered who was told, without the tries.
    fn told(&self) -> impl Iterator<Item = Key> {
        let keys: Vec<Key> = self.items.lock().unwrap().keys().cloned().collect();
        keys.into_iter().filter(|key| !key.sort.starts_with("telling-"))
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
        let value = self.items.lock().unwrap().get(key).cloned();
        Ok(value.map(|value| Item { key: key.clone(), value, version: Version(1) }))
    }

    async fn batch_get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Item>>, StateError> {
        let mut items = Vec::new();
        for key in keys {
            items.push(self.get(key, now).await?);
        }
        Ok(items)
    }

    async fn query(&self, _: &str, _: &str, _: Option<&str>, _: Timestamp) -> Result<Page<Item>, StateError> {
        Err(StateError::Unavailable("notify lists nothing".to_owned()))
    }

    async fn commit(&self, writes: &[Write], _now: Timestamp) -> Result<(), CommitError> {
        for write in writes {
            let Write::Put { key, value, expires, .. } = write else { panic!("notify only puts") };
            if self.told_fails.load(Ordering::SeqCst) && key.sort.starts_with("told#") {
                return Err(CommitError::Unavailable { why: "on purpose".to_owned(), maybe_written: false });
            }
            assert!(expires.is_some(), "{key} would stay for ever");
            self.items.lock().unwrap().insert(key.clone(), value.clone());
        }
        Ok(())
    }
}
