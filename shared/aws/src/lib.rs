//! The AWS host's backends: the queue over SQS, the state over DynamoDB, secrets from Secrets Manager.
//!
//! Nothing here decides anything or knows a step: the ports say what a backend must keep, and the conformance
//! suite holds both hosts to it. It makes no resource either; the template does.

#[cfg(test)]
mod canned;
mod config;
mod queue;
mod said;
mod secrets;
mod state;

pub use aws_config::SdkConfig;
pub use config::config;
pub use queue::{Addresses, SqsQueue};
pub use secrets::{Secret, SecretError, Secrets};
pub use state::DynamoState;
