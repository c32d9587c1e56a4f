//! Mail by SES v2. Whether an address may be used is the business of the role and of the verified identity.

use crate::said::{after, code, words};
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
            let (code, words) = (code(&error), words(&error));
            let fault = if is_of_letter(code, &words) { Fault::Message } else { Fault::Channel };
            Unsent { why: format!("SES did not take the letter ({words})"), fault, after: after(&error) }
        })
    }
}

/// What words name that are about the addresses, which are the same for every letter.
const OF_ADDRESSES: [&str; 6] = ["address", "domain", "identity", "recipient", "sender", "not verified"];

/// Whether another letter may well be taken. What concerns the account, its rate, its quota, its identities or an address
/// stops them all.
fn is_of_letter(code: Option<&str>, words: &str) -> bool {
    let words = words.to_lowercase();
    // One code for a letter that is not liked, and for an address that is not.
    matches!(code, Some("BadRequestException" | "MessageRejected"))
        && !OF_ADDRESSES.iter().any(|named| words.contains(named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::{Answer, Canned, config};
    use jiff::SignedDuration;
    use serde_json::json;

    async fn refused_by(answer: Answer) -> Unsent {
        let canned = Canned::start(vec![answer]);
        let mail = SesMail::new(&config(canned.endpoint()));
        let to = ["soc@example.com".to_owned()];
        let unsent = mail.send("cordon@example.com", &to, b"a letter".to_vec()).await.unwrap_err();
        assert_eq!(canned.requests().len(), 1, "it is not sent again here");
        unsent
    }

    #[tokio::test]
    async fn what_concerns_the_account_stops_every_letter_and_what_is_refused_of_one_does_not() {
        let cases = [
            (429, "TooManyRequestsException", "Maximum sending rate exceeded.", Fault::Channel),
            (400, "LimitExceededException", "Daily message quota exceeded.", Fault::Channel),
            (400, "MailFromDomainNotVerifiedException", "no MX record", Fault::Channel),
            (400, "AccountSuspendedException", "ask the support", Fault::Channel),
            (400, "SendingPausedException", "sending is paused", Fault::Channel),
            (403, "AccessDeniedException", "no ses:SendRawEmail", Fault::Channel),
            (400, "MessageRejected", "Email address is not verified. (cordon@example.com)", Fault::Channel),
            (503, "ServiceUnavailable", "later", Fault::Channel),
            (400, "MessageRejected", "Transaction failed: a header is too long", Fault::Message),
            (400, "MessageRejected", "Email address is on the suppression list", Fault::Channel),
            (400, "BadRequestException", "Missing final '@domain'", Fault::Channel),
            (400, "BadRequestException", "The identity is not yours", Fault::Channel),
            (400, "BadRequestException", "Message length is more than 10485760 bytes long", Fault::Message),
        ];
        for (status, code, words, fault) in cases {
            let body = json!({ "__type": code, "message": words });
            let unsent = refused_by(Answer::json(status, &body)).await;
            assert_eq!((unsent.fault, unsent.after), (fault, None), "{code}: {unsent:?}");
            assert!(unsent.why.contains(code) && unsent.why.contains(words), "{}", unsent.why);
        }
        let unsent = refused_by(Answer::HangUp).await;
        assert_eq!(unsent.fault, Fault::Channel, "{unsent:?}");
    }

    #[tokio::test]
    async fn how_long_the_service_wants_to_be_left_alone_is_heard() {
        let body = json!({ "__type": "TooManyRequestsException", "message": "slow down" });
        for (header, millis) in [("retry-after: 30", 30_000), ("x-amz-retry-after: 1500", 1_500)] {
            let unsent = refused_by(Answer::json(429, &body).with(header)).await;
            assert_eq!(unsent.after, Some(SignedDuration::from_millis(millis)), "{unsent:?}");
        }
    }
}
