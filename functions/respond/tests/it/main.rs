//! respond from the outside, against the simulated tenant over a socket: orders to have Defender make an alert. What becomes
//! of alerts is told by the scenarios of the whole pipeline.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

mod create;
