//! The ledger and the brakes by what must hold whatever happens: sequences of events that nobody has thought of.
//!
//! Nothing here has a store or a queue; that a commit is all or nothing is the conformance suite's business.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on should stop")]

mod brakes;
mod claims;
mod observed;
mod service;

use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, TenantId};
use ports::Said;

fn start() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn tenant() -> TenantId {
    "11111111-2222-3333-4444-555555555555".parse().unwrap()
}

fn device(number: usize) -> DeviceId {
    format!("{number:040x}").parse().unwrap()
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn said(at: Timestamp) -> Said {
    Said { at, by: "somebody".to_owned(), why: "because".to_owned() }
}
