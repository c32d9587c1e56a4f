//! Topics of SNS. Who is subscribed, and whether the role may publish, is not known here.

use crate::said::{after, code, words};
use async_trait::async_trait;
use aws_config::{SdkConfig, retry::RetryConfig};
use aws_sdk_sns::{Client, config::Builder, types::MessageAttributeValue};
use ports::{Fault, Publication, TopicBackend, Unsent};

/// Publishes by SNS.
#[derive(Debug, Clone)]
pub struct SnsTopics {
    client: Client,
}

impl SnsTopics {
    /// The client repeats nothing: whoever publishes remembers what was published, and comes again.
    pub fn new(config: &SdkConfig) -> SnsTopics {
        let once = Builder::from(config).retry_config(RetryConfig::disabled());
        SnsTopics { client: Client::from_conf(once.build()) }
    }
}

#[async_trait]
impl TopicBackend for SnsTopics {
    async fn publish(&self, topic: &str, publication: &Publication) -> Result<(), Unsent> {
        let mut request =
            self.client.publish().topic_arn(topic).subject(&publication.subject).message(&publication.text);
        for (name, value) in &publication.attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            let value = value.map_err(|error| Unsent::message(error.to_string()))?;
            request = request.message_attributes(*name, value);
        }
        request.send().await.map(drop).map_err(|error| {
            let (code, words) = (code(&error), words(&error));
            let fault = if is_of_message(code, &words) { Fault::Message } else { Fault::Channel };
            Unsent { why: format!("SNS did not take the message ({words})"), fault, after: after(&error) }
        })
    }
}

/// Whether another message may well be taken. A topic that is not there, may not be published to, or cannot use its
/// key stops them all, and so does a rate.
fn is_of_message(code: Option<&str>, words: &str) -> bool {
    match code {
        // One code for a text that is too long, and for a topic whose name is none.
        Some("InvalidParameter" | "ParameterValueInvalid" | "ValidationException" | "ValidationError") => {
            !words.contains("TopicArn")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::{Answer, Canned, config};

    async fn refused_by(answer: Answer) -> Unsent {
        let canned = Canned::start(vec![answer]);
        let topics = SnsTopics::new(&config(canned.endpoint()));
        let publication = Publication {
            subject: "isolated".to_owned(),
            text: "ws-1 is cut off".to_owned(),
            attributes: vec![("kind", "outcome".to_owned())],
        };
        let unsent =
            topics.publish("arn:aws:sns:us-east-1:000000000000:soc", &publication).await.unwrap_err();
        assert_eq!(canned.requests().len(), 1, "it is not published again here");
        unsent
    }

    #[tokio::test]
    async fn what_concerns_the_topic_stops_every_message_and_what_is_refused_of_one_does_not() {
        let cases = [
            (400, "Throttling", "Rate exceeded", Fault::Channel),
            (403, "AuthorizationError", "not authorized to perform: SNS:Publish", Fault::Channel),
            (404, "NotFound", "Topic does not exist", Fault::Channel),
            (400, "KMSAccessDenied", "the key is not yours", Fault::Channel),
            (400, "KMSDisabled", "the key is disabled", Fault::Channel),
            (400, "KMSThrottling", "too many", Fault::Channel),
            (500, "InternalError", "ours", Fault::Channel),
            (400, "InvalidParameter", "Invalid parameter: TopicArn Reason: no ARN", Fault::Channel),
            (400, "InvalidParameter", "Invalid parameter: Message too long", Fault::Message),
            (400, "ParameterValueInvalid", "an attribute is empty", Fault::Message),
        ];
        for (status, code, words, fault) in cases {
            let error =
                format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error>");
            let body = format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>");
            let unsent = refused_by(Answer::text(status, body)).await;
            assert_eq!((unsent.fault, unsent.after), (fault, None), "{code}: {unsent:?}");
            assert!(unsent.why.contains(code) && unsent.why.contains(words), "{}", unsent.why);
        }
        let unsent = refused_by(Answer::HangUp).await;
        assert_eq!(unsent.fault, Fault::Channel, "{unsent:?}");
    }
}
