//! notify from the outside: what people read, what arrives by mail and in a folder, and that each channel is
//! told once.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

mod hostile;
mod mails;
mod memory;
mod notices;
mod once;
mod samples;
mod smtp;
mod smtp_receiver;
