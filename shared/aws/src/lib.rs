//! The AWS host: the queue over SQS, the state over DynamoDB, secrets from Secrets Manager, mail by SES; a deployed
//! stack as the operator's machine finds it; and with the feature `lambda` the start and the entry of a function.
//!
//! Nothing here decides anything or knows a step: each function's `main` puts a step and this together. The ports
//! say what a backend must keep, and the conformance suite holds both hosts to it. It makes no resource either;
//! the template does.

#[cfg(test)]
mod canned;
mod config;
#[cfg(feature = "lambda")]
mod entry;
mod http;
mod mail;
mod queue;
mod said;
mod secrets;
pub mod stack;
#[cfg(feature = "lambda")]
mod start;
mod state;
mod topics;

pub use aws_config::SdkConfig;
pub use config::config;
#[cfg(feature = "lambda")]
pub use entry::Tick;
pub use mail::SesMail;
pub use queue::{Addresses, SqsQueue};
pub use secrets::Secrets;
pub use stack::{Stack, StackError};
#[cfg(feature = "lambda")]
pub use start::{Error, Function, Settings, start};
pub use state::DynamoState;
pub use topics::SnsTopics;
