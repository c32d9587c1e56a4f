//! What a host must offer to the steps: a queue and a versioned state, and services that take what people are told
//! where it has them.
//!
//! Each is a concrete façade over a small backend trait: the façade holds the semantics (encoding, names, keys),
//! the backend only stores. A backend offers nothing that SQS and DynamoDB could not keep, and `conformance`
//! holds every backend to that. Steps see the façades, never a backend.

mod brakes;
mod claims;
mod dispatch;
mod hunting;
mod ledger;
mod outlets;
mod queue;
mod rows;
mod state;
mod tally;
mod telling;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use brakes::{Brakes, Breaker, Gate, Raised, Said, Spent, ToldGate, Wish};
pub use claims::{ClaimError, Claims, News, Permit};
pub use dispatch::{Disposition, Settled, dispatch, settle};
pub use hunting::{HuntLeft, HuntRest, HuntRow, HuntRun, HuntSeen, HuntTrouble};
pub use ledger::{
    Acted, Claim, CutOff, Ending, Event, Impossible, KnownAction, Moved, NewClaim, OpenEffect, Order,
};
pub use outlets::{Fault, MailBackend, Publication, TopicBackend, Unsent};
pub use queue::{
    DeadLetter, DeadPage, Delivery, MAX_DELAY, MAX_RECEIVES, Out, Queue, QueueBackend, QueueError, QueueName,
    Receipt, RedriveError, given_up, was_a_message,
};
pub use rows::{
    Announced, Answered, CaseRow, Cursor, DeviceRow, Dropped, Fleet, Held, HistoryEntry, LookBack, Observed,
    Once, Trouble, Watch, alert_partition, device_partition,
};
pub use state::{
    CommitError, Expect, Item, Key, MAX_COMMIT, MAX_VALUE_BYTES, Page, State, StateBackend, StateError,
    Stored, Version, Write, impossible,
};
pub use tally::{Count, Tally};
pub use telling::{
    ChannelRow, Closed, Failing, Gathered, Gist, GistKind, Latest, Part, PartEnd, Storied, Telling, Told,
};
