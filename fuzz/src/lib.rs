//! What must hold for any bytes that come from outside: one target per parser, each a function that hands the bytes to
//! the real parser and asserts more than that it does not panic.
//!
//! Two drivers share the targets: `tests/it` takes each through some thousand mutations of its seeds, on stable Rust
//! and always the same ones; `guided` lets libFuzzer look for hours. Nothing of this ships. Time is not asserted
//! about: an input that takes too long shows in how long a run takes, and as libFuzzer's `timeout`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a harness fails loudly")]

mod driver;
mod mutate;
mod seeds;
mod targets;

pub use driver::{Failure, bounded, check, kept};
pub use targets::{Target, all, named};
