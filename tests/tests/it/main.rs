//! Scenarios over the whole pipeline: the real client, the real steps, one SQLite store, a simulated tenant.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod first;
mod isolation;
mod polling;
mod rules;
mod two_hosts;
