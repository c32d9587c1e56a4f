//! The services of a host that take what people are told: mail and topics. What stands in a message is not known here.

use async_trait::async_trait;
use jiff::SignedDuration;
use std::fmt;

/// Why a message was not taken, or may not have been. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// In one line.
    pub why: String,
    pub fault: Fault,
    /// How long the service wants to be left alone, where it says so.
    pub after: Option<SignedDuration>,
}

/// What is wrong where something was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The way there, or whoever stands at its end: every other message would fare the same now.
    Channel,
    /// This message: another one may well be taken.
    Message,
}

impl Unsent {
    pub fn channel(why: impl Into<String>) -> Unsent {
        Unsent { why: why.into(), fault: Fault::Channel, after: None }
    }

    pub fn message(why: impl Into<String>) -> Unsent {
        Unsent { why: why.into(), fault: Fault::Message, after: None }
    }
}

/// Sends letters.
#[async_trait]
pub trait MailBackend: Send + Sync + fmt::Debug {
    /// Sends a letter, a whole message with its headers (RFC 5322), from one address to others.
    async fn send(&self, from: &str, to: &[String], letter: Vec<u8>) -> Result<(), Unsent>;
}

/// What is published to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// At most 100 characters of ASCII, as SNS wants it.
    pub subject: String,
    pub text: String,
    /// By which subscribers choose what they get. None is empty.
    pub attributes: Vec<(&'static str, String)>,
}

/// Publishes to topics.
#[async_trait]
pub trait TopicBackend: Send + Sync + fmt::Debug {
    /// `topic`: the topic's ARN.
    async fn publish(&self, topic: &str, publication: &Publication) -> Result<(), Unsent>;
}
