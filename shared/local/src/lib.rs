//! The local host: queue and state in one SQLite file.
//!
//! It is deliberately no better than AWS: a step must not rely on anything here that SQS and DynamoDB lack.

mod queue;
mod state;
mod store;

pub use queue::{Depth, VISIBILITY};
pub use store::{OpenError, Store};
