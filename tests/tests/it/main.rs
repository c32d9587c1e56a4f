//! Scenarios over the whole pipeline: the real client, the real steps, one SQLite store, a simulated tenant.

mod first;
mod rules;
