//! The local host: queue and state in one SQLite file, and the steps over it in one process.
//!
//! It is deliberately no better than AWS: a step must not rely on anything here that SQS and DynamoDB lack.

mod host;
mod queue;
mod state;
mod store;

pub use host::{Host, HostError, Parts, Worked};
pub use hunt::{HuntingError, HuntsRun};
pub use poll::{PollError, Polled};
pub use queue::{Depth, VISIBILITY};
pub use store::{OpenError, Store};
