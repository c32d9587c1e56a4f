//! notify from the outside: what people read, what arrives by mail and in a folder, and that each channel is
//! told once.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

mod delivery;
mod digests;
mod graph;
mod hostile;
mod http_receiver;
mod hunts;
mod killed;
mod looks;
mod mails;
mod memory;
mod notices;
#[cfg(feature = "lambda")]
mod on_aws;
mod once;
mod sample;
mod samples;
mod slack;
mod smtp;
mod smtp_receiver;
mod smtp_tokens;
mod stage;
mod teams;
mod templates;
mod webhook;
