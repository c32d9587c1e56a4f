//! Scenarios over the whole pipeline: the real client, the real steps, one SQLite store, a simulated tenant.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails loudly")]

mod by_hand;
mod first;
mod hunting;
mod isolation;
mod killed;
mod killed_on_aws;
mod ledger;
mod load;
mod playbook;
mod polling;
mod rules;
mod torture;
mod two_hosts;
