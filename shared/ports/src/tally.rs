//! What happened, counted: the numbers of `cordon run --json`, and of metrics where a host has them.
//!
//! Counting is for people; nothing decides by it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Count {
    AlertsFound,
    AlertsEnriched,
    DecidedIsolate,
    DecidedPropose,
    DecidedNone,
    DecidedRefused,
    /// Decided to isolate, and not carried out because of the mode.
    DecidedObserved,
    /// Decided to isolate, and held back by a limit, the breaker or a pause.
    DecidedHeld,
    IsolationsRequested,
    IsolationsAdopted,
    IsolationsSucceeded,
    IsolationsFailed,
    IsolationsTimedOut,
    IsolationsCancelled,
    NotificationsSent,
    NotificationsFailed,
    /// Messages and records that were set aside.
    DeadLetters,
}

/// A set of counters, shared by the steps of one host.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    counts: Arc<Mutex<BTreeMap<Count, u64>>>,
}

impl Tally {
    pub fn add(&self, count: Count, by: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(count).or_default() += by;
    }

    pub fn one(&self, count: Count) {
        self.add(count, 1);
    }

    pub fn get(&self, count: Count) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(&count).copied().unwrap_or_default()
    }
}
