//! The mail service of a host that has one. It takes finished letters; what stands in them is not known here.

use async_trait::async_trait;
use std::fmt;

/// Sends letters.
#[async_trait]
pub trait MailBackend: Send + Sync + fmt::Debug {
    /// Sends a letter, a whole message with its headers (RFC 5322), from one address to others. The error says in
    /// one line why it was not taken, or may not have been.
    async fn send(&self, from: &str, to: &[String], letter: Vec<u8>) -> Result<(), String>;
}
