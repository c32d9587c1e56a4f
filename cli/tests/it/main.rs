//! The `cordon` program as its users meet it: a process with settings, a folder, and a simulated tenant.
//!
//! What the steps do is tested where they are; here it is exit codes, what is printed, and what lies in the folder
//! afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on should stop"
)]

mod backtest;
mod brakes;
mod check;
mod dead_letters;
mod demo;
mod explain;
mod hands;
mod hostile;
mod hunt;
mod hunts;
mod notify_test;
mod once;
mod prove;
mod secrets;
mod service;
mod settings;
mod shadow;
mod site;
mod state;
mod status;
mod steady;
mod test_playbook;
mod usage;
