//! Topics of SNS: what is published arrives at a subscriber, with the attributes by which it was chosen.

use crate::{emulator, unused};
use aws::{SdkConfig, SnsTopics};
use aws_sdk_sns::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use ports::{Fault, Publication, TopicBackend};
use serde_json::{Value, json};

/// A queue that is subscribed to a topic.
struct Subscriber {
    sqs: aws_sdk_sqs::Client,
    url: String,
}

impl Subscriber {
    /// Subscribed to what the filter lets through.
    async fn of(topic: &str, filter: &Value, config: &SdkConfig) -> Subscriber {
        let sqs = aws_sdk_sqs::Client::new(config);
        let url =
            sqs.create_queue().queue_name(unused("subscriber")).send().await.unwrap().queue_url.unwrap();
        let arn = QueueAttributeName::QueueArn;
        let has =
            sqs.get_queue_attributes().queue_url(&url).attribute_names(arn.clone()).send().await.unwrap();
        let arn = has.attributes.unwrap().remove(&arn).unwrap();
        let subscribe = Client::new(config).subscribe().topic_arn(topic).protocol("sqs").endpoint(arn);
        subscribe.attributes("FilterPolicy", filter.to_string()).send().await.unwrap();
        Subscriber { sqs, url }
    }

    /// What has arrived, in the envelope that SNS puts it into.
    async fn received(&self) -> Vec<Value> {
        let received = self.sqs.receive_message().queue_url(&self.url).max_number_of_messages(10).send();
        let messages = received.await.unwrap().messages.unwrap_or_default();
        messages.iter().map(|message| serde_json::from_str(message.body.as_ref().unwrap()).unwrap()).collect()
    }
}

fn publication() -> Publication {
    let attributes =
        [("kind", "outcome"), ("severity", "High"), ("outcome", "requested"), ("urgent", "true")];
    Publication {
        subject: "[Cordon] 1 High - isolation requested".to_owned(),
        text: "Zoë's laptop:\nit is not cut off yet <b>\n東京\n".to_owned(),
        attributes: attributes.map(|(name, value)| (name, value.to_owned())).to_vec(),
    }
}

#[tokio::test]
async fn what_is_published_arrives_at_whoever_chose_it() {
    let config = emulator().await;
    let created = Client::new(&config).create_topic().name(unused("soc")).send().await.unwrap();
    let topic = created.topic_arn.unwrap();
    let wants = Subscriber::of(&topic, &json!({ "severity": ["High"], "urgent": ["true"] }), &config).await;
    let does_not = Subscriber::of(&topic, &json!({ "severity": ["Low"] }), &config).await;
    SnsTopics::new(&config).publish(&topic, &publication()).await.unwrap();

    let [arrived] = wants.received().await.try_into().unwrap();
    assert_eq!(arrived["TopicArn"], topic);
    assert_eq!(arrived["Subject"], publication().subject);
    assert_eq!(arrived["Message"], publication().text);
    let attributes = arrived["MessageAttributes"].as_object().unwrap();
    assert_eq!(attributes.len(), publication().attributes.len());
    for (name, value) in publication().attributes {
        assert_eq!(attributes[name], json!({ "Type": "String", "Value": value }));
    }
    assert_eq!(does_not.received().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_named_and_stops_every_message() {
    let config = emulator().await;
    let topic = format!("arn:aws:sns:us-east-1:000000000000:{}", unused("nobodys"));
    let unsent = SnsTopics::new(&config).publish(&topic, &publication()).await.unwrap_err();
    assert_eq!((unsent.fault, unsent.after), (Fault::Channel, None), "{unsent:?}");
    assert!(unsent.why.contains("SNS did not take") && unsent.why.contains("NotFound"), "{}", unsent.why);
}
