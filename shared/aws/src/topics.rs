//! Topics of SNS. Who is subscribed, and whether the role may publish, is not known here.

use crate::said::{code, words};
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
            let is_of_message = matches!(code(&error), Some("InvalidParameter" | "InvalidParameterValue"));
            let fault = if is_of_message { Fault::Message } else { Fault::Channel };
            Unsent { why: format!("SNS did not take the message ({})", words(&error)), fault, after: None }
        })
    }
}
