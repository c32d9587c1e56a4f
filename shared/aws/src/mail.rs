//! Mail by SES v2. Whether an address may be used is the business of the role and of the verified identity.

use crate::said::{code, words};
use async_trait::async_trait;
use aws_config::{SdkConfig, retry::RetryConfig};
use aws_sdk_sesv2::{
    Client,
    config::Builder,
    primitives::Blob,
    types::{Destination, EmailContent, RawMessage},
};
use ports::{Fault, MailBackend, Unsent};

/// Sends letters by SES.
#[derive(Debug, Clone)]
pub struct SesMail {
    client: Client,
}

impl SesMail {
    /// The client repeats nothing: whoever sends remembers what was sent, and comes again.
    pub fn new(config: &SdkConfig) -> SesMail {
        let once = Builder::from(config).retry_config(RetryConfig::disabled());
        SesMail { client: Client::from_conf(once.build()) }
    }
}

#[async_trait]
impl MailBackend for SesMail {
    async fn send(&self, from: &str, to: &[String], letter: Vec<u8>) -> Result<(), Unsent> {
        let letter = RawMessage::builder().data(Blob::new(letter)).build();
        let letter = letter.map_err(|error| Unsent::message(error.to_string()))?;
        let sent = self
            .client
            .send_email()
            .from_email_address(from)
            .destination(Destination::builder().set_to_addresses(Some(to.to_vec())).build())
            .content(EmailContent::builder().raw(letter).build())
            .send()
            .await;
        sent.map(drop).map_err(|error| {
            // A sender that is not verified is `MessageRejected` too, and every letter fares like that.
            let fault =
                if code(&error) == Some("BadRequestException") { Fault::Message } else { Fault::Channel };
            Unsent { why: format!("SES did not take the letter ({})", words(&error)), fault, after: None }
        })
    }
}
