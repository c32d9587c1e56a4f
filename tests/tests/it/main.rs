//! Scenarios over the whole pipeline: the real client, the real steps, one SQLite store, a simulated tenant.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails loudly")]

mod by_hand;
mod first;
mod isolation;
mod ledger;
mod polling;
mod rules;
mod two_hosts;
