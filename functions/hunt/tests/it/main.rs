//! hunt from the outside, against the simulated tenant over a socket, with a queue and a state that really keep what is
//! written: what is found once, what is told once, and what is asked for how often.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

mod broken;
mod crowded;
mod hands;
mod killed;
mod late;
mod outcomes;
mod quotas;
mod stage;
mod windows;
