//! The store from outside: every promise of the ports, and what an operator meets when a file is not as it should
//! be. What needs a hand on the connection is tested beside the code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod files;
mod promises;
