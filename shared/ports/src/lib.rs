//! What a host must offer to the steps: a queue and a versioned state, and a mail service where it has one.
//!
//! Each is a concrete façade over a small backend trait: the façade holds the semantics (encoding, names, keys),
//! the backend only stores. A backend offers nothing that SQS and DynamoDB could not keep, and `conformance`
//! holds every backend to that. Steps see the façades, never a backend.

mod dispatch;
mod mail;
mod queue;
mod rows;
mod state;
mod tally;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use dispatch::{Disposition, Settled, dispatch, settle};
pub use mail::MailBackend;
pub use queue::{
    DeadLetter, DeadPage, Delivery, MAX_DELAY, MAX_RECEIVES, Out, Queue, QueueBackend, QueueError, QueueName,
    Receipt,
};
pub use rows::{
    Announced, CaseRow, Claim, Cursor, DeviceRow, HistoryEntry, OpenEffect, Told, alert_partition,
    device_partition,
};
pub use state::{
    CommitError, Expect, Item, Key, MAX_COMMIT, MAX_VALUE_BYTES, Page, State, StateBackend, StateError,
    Stored, Version, Write,
};
pub use tally::{Count, Tally};
