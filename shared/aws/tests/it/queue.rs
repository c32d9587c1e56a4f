//! The queues: the conformance suite in real time, and what is SQS's own.

use crate::{emulator, now, unused};
use aws::{Addresses, SqsQueue};
use aws_sdk_sqs::{
    Client,
    types::{MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry},
};
use jiff::SignedDuration;
use model::MAX_MESSAGE_BYTES;
use ports::{MAX_RECEIVES, Out, QueueBackend, QueueError, QueueName, Receipt, conformance};
use std::collections::{BTreeMap, BTreeSet};

/// Short, because the suite waits for it again and again; long enough for what has to happen within it.
const VISIBILITY_SECONDS: i64 = 4;

pub(crate) const FOUND: QueueName = QueueName::AlertsFound;

/// A queue of each name with its dead letters, and a client to look behind them.
pub(crate) struct Queues {
    pub(crate) queue: SqsQueue,
    pub(crate) client: Client,
    pub(crate) addresses: BTreeMap<QueueName, Addresses>,
}

pub(crate) async fn queues() -> Queues {
    let config = emulator().await;
    let client = Client::new(&config);
    let mut addresses = BTreeMap::new();
    for name in QueueName::ALL {
        let dead = client.create_queue().queue_name(unused("dead")).send().await.unwrap().queue_url.unwrap();
        let arn = QueueAttributeName::QueueArn;
        let about = client.get_queue_attributes().queue_url(&dead).attribute_names(arn.clone());
        let arn = about.send().await.unwrap().attributes.unwrap().remove(&arn).unwrap();
        let redrive = serde_json::json!({ "deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES });
        let create = client
            .create_queue()
            .queue_name(unused(name.as_str()))
            .attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_SECONDS.to_string())
            .attributes(QueueAttributeName::RedrivePolicy, redrive.to_string());
        let url = create.send().await.unwrap().queue_url.unwrap();
        addresses.insert(name, Addresses { url, dead_letters_url: Some(dead) });
    }
    Queues { queue: SqsQueue::new(&config, addresses.clone()), client, addresses }
}

pub(crate) fn out(body: impl Into<String>) -> Out {
    Out { body: body.into(), delay: SignedDuration::ZERO }
}

#[tokio::test]
async fn sqs_keeps_the_promises_of_a_queue() {
    let visibility = SignedDuration::from_secs(VISIBILITY_SECONDS);
    conformance::queue_in_real_time(visibility, async || queues().await.queue).await;
}

#[tokio::test]
async fn one_message_that_fails_takes_no_other_with_it() {
    let Queues { queue, client, addresses } = queues().await;
    let small = client.set_queue_attributes().queue_url(&addresses[&FOUND].url);
    small.attributes(QueueAttributeName::MaximumMessageSize, "1024").send().await.unwrap();
    let bodies = (0..25).map(|n| if n == 13 { "x".repeat(2_000) } else { n.to_string() });
    let results = queue.send(FOUND, &bodies.map(out).collect::<Vec<_>>(), now()).await;
    let failed: Vec<usize> = (0..results.len()).filter(|n| results[*n].is_err()).collect();
    assert_eq!((results.len(), failed), (25, vec![13]), "{results:?}");
    assert_eq!(received(&queue).await.len(), 24);
}

/// Ten of the largest are more than SQS takes in one call.
#[tokio::test]
async fn heavy_messages_go_in_several_batches() {
    let Queues { queue, .. } = queues().await;
    let filler = "x".repeat(MAX_MESSAGE_BYTES - 2);
    let heavy: Vec<Out> = (10..22).map(|n| out(format!("{n}{filler}"))).collect();
    for result in queue.send(FOUND, &heavy, now()).await {
        result.unwrap();
    }
    assert_eq!(received(&queue).await.len(), heavy.len());

    // No JSON, and six times as heavy as it is sent.
    let odd = [out("a"), out("\u{1}".repeat(MAX_MESSAGE_BYTES)), out("b")];
    let results = queue.send(FOUND, &odd, now()).await;
    assert!(matches!(results[..], [Ok(()), Err(QueueError::TooLarge { .. }), Ok(())]), "{results:?}");
}

/// A title may hold anything that JSON can.
#[tokio::test]
async fn characters_that_sqs_refuses_pass_as_json() {
    let Queues { queue, .. } = queues().await;
    let title = serde_json::json!({ "title": "\u{ffff}\u{fffe}\u{0}\u{b} ok" });
    queue.send(FOUND, &[out(title.to_string())], now()).await.pop().unwrap().unwrap();
    queue.set_aside(FOUND, &title.to_string(), "\u{ffff}\u{0}", now()).await.unwrap();
    let came = received(&queue).await;
    let [body] = came.iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), title);
    let letters = queue.dead(FOUND, None).await.unwrap().letters;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&letters[0].body).unwrap(), title);
}

/// As an event source mapping does, another client receives.
#[tokio::test]
async fn what_others_received_is_rejected_with_its_reason() {
    let Queues { queue, client, addresses } = queues().await;
    let Addresses { url, dead_letters_url } = &addresses[&FOUND];
    queue.send(FOUND, &[out("not JSON")], now()).await.pop().unwrap().unwrap();
    let message = client.receive_message().queue_url(url).send().await.unwrap().messages.unwrap().remove(0);
    let handle = message.receipt_handle().unwrap();

    let bare = Receipt(handle.to_owned());
    let failure = queue.reject(FOUND, &bare, "it cannot be read", now()).await.unwrap_err();
    assert!(failure.to_string().contains("without its message"), "{failure}");
    let receipt = SqsQueue::receipt(handle, message.body().unwrap());
    queue.reject(FOUND, &receipt, "it cannot be\nread", now()).await.unwrap();

    let letter = client
        .receive_message()
        .queue_url(dead_letters_url.as_deref().unwrap())
        .message_attribute_names("All");
    let letter = letter.send().await.unwrap().messages.unwrap().remove(0);
    assert_eq!(letter.body(), Some("not JSON"));
    let said: BTreeMap<&str, &str> = letter
        .message_attributes()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.string_value().unwrap()))
        .collect();
    let expected =
        [("queue", "alerts-found"), ("reason", "it cannot be read"), ("since", "2026-03-01T08:00:00Z")];
    assert_eq!(said, BTreeMap::from(expected));
    assert_eq!(received(&queue).await, BTreeSet::new(), "and it is gone from its queue");
}

#[tokio::test]
async fn looking_at_dead_letters_leaves_them_where_they_are() {
    let Queues { queue, client, addresses } = queues().await;
    let url = addresses[&FOUND].dead_letters_url.as_deref().unwrap();
    // More than a page.
    let count = 530;
    for some in (0..count).collect::<Vec<_>>().chunks(10) {
        let entries = some.iter().map(|n| {
            let entry = SendMessageBatchRequestEntry::builder().id(n.to_string());
            entry.message_body(n.to_string()).build().unwrap()
        });
        client.send_message_batch().queue_url(url).set_entries(Some(entries.collect())).send().await.unwrap();
    }
    for look in 1..=2 {
        let first = queue.dead(FOUND, None).await.unwrap();
        let second = queue.dead(FOUND, first.next.as_deref()).await.unwrap();
        assert_eq!((first.letters.len(), second.letters.len(), second.next), (500, 30, None), "look {look}");
        let all = first.letters.iter().chain(&second.letters);
        assert!(all.clone().is_sorted_by_key(|letter| letter.since), "the oldest first");
        assert_eq!(all.map(|letter| letter.id.as_str()).collect::<BTreeSet<_>>().len(), count, "each once");
    }
    let shown = client.receive_message().queue_url(url).max_number_of_messages(10).send().await.unwrap();
    assert_eq!(shown.messages().len(), 10, "others see them at once");
    assert!(queue.dead(FOUND, Some("nonsense")).await.is_err(), "no page has this name");
}

/// Among more than one batch of others, which stay visible.
#[tokio::test]
async fn one_of_many_dead_letters_is_redriven_and_another_dropped() {
    let Queues { queue, client, addresses } = queues().await;
    for n in 0..35 {
        queue.set_aside(FOUND, &n.to_string(), "why", now()).await.unwrap();
    }
    let letters = queue.dead(FOUND, None).await.unwrap().letters;
    assert!(queue.redrive(FOUND, &letters[17].id, now()).await.unwrap());
    assert!(queue.drop_dead(FOUND, &letters[30].id, now()).await.unwrap());
    assert_eq!(received(&queue).await, BTreeSet::from([letters[17].body.clone()]));
    let url = addresses[&FOUND].dead_letters_url.as_deref().unwrap();
    let shown = client.get_queue_attributes().queue_url(url).attribute_names("All".into());
    let shown = shown.send().await.unwrap().attributes.unwrap();
    assert_eq!(shown[&"ApproximateNumberOfMessages".into()], "33", "others see the rest at once");
}

/// The message is stored first, so that nothing is lost where it cannot be.
#[tokio::test]
async fn what_cannot_be_put_back_stays_a_dead_letter() {
    let Queues { queue, addresses, .. } = queues().await;
    queue.set_aside(FOUND, "{}", "why", now()).await.unwrap();
    let id = queue.dead(FOUND, None).await.unwrap().letters.remove(0).id;
    let Addresses { url, dead_letters_url } = addresses[&FOUND].clone();
    let nowhere = Addresses { url: format!("{url}-never-made"), dead_letters_url };
    let broken = SqsQueue::new(&emulator().await, [(FOUND, nowhere)]);
    broken.redrive(FOUND, &id, now()).await.unwrap_err();
    assert_eq!(queue.dead(FOUND, None).await.unwrap().letters.len(), 1, "and is shown again");
}

#[tokio::test]
async fn a_delivery_says_how_often_it_came() {
    let Queues { queue, client, addresses } = queues().await;
    queue.send(FOUND, &[out("{}")], now()).await.pop().unwrap().unwrap();
    for expected in 1..=2 {
        let [delivery] = queue.receive(FOUND, 10, now()).await.unwrap().try_into().unwrap();
        assert_eq!(delivery.receives, expected);
        queue.retry(FOUND, &delivery.receipt, SignedDuration::ZERO, now()).await.unwrap();
    }
    let count = MessageSystemAttributeName::ApproximateReceiveCount;
    let receive = client.receive_message().queue_url(&addresses[&FOUND].url);
    let third = receive.message_system_attribute_names(count.clone()).send().await.unwrap();
    assert_eq!(third.messages()[0].attributes().unwrap()[&count], "3", "it is the service's own count");
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_an_error() {
    let config = emulator().await;
    let nowhere = queues().await.addresses.remove(&FOUND).unwrap();
    let url = format!("{}-never-made", nowhere.url);
    let addresses = Addresses { url: url.clone(), dead_letters_url: Some(url) };
    let queue = SqsQueue::new(&config, [(FOUND, addresses)]);
    let receipt = SqsQueue::receipt("AQEB", "{}");
    let failures = [
        queue.send(FOUND, &[out("{}")], now()).await.pop().unwrap().unwrap_err(),
        queue.receive(FOUND, 10, now()).await.unwrap_err(),
        queue.done(FOUND, &receipt).await.unwrap_err(),
        queue.retry(FOUND, &receipt, SignedDuration::ZERO, now()).await.unwrap_err(),
        queue.reject(FOUND, &receipt, "why", now()).await.unwrap_err(),
        queue.set_aside(FOUND, "{}", "why", now()).await.unwrap_err(),
        queue.dead(FOUND, None).await.unwrap_err(),
        queue.drop_dead(FOUND, "id", now()).await.unwrap_err(),
    ];
    for failure in failures {
        let QueueError::Unavailable(why) = &failure else { panic!("{failure:?}") };
        assert!(why.contains("NonExistentQueue") || why.contains("QueueDoesNotExist"), "{why}");
    }
    let other = queue.send(QueueName::ActionsTaken, &[out("{}")], now()).await.pop().unwrap().unwrap_err();
    assert!(other.to_string().contains("`actions-taken` has no address here"), "{other}");
}

async fn received(queue: &SqsQueue) -> BTreeSet<String> {
    let mut bodies = BTreeSet::new();
    loop {
        let some = queue.receive(FOUND, 10, now()).await.unwrap();
        if some.is_empty() {
            return bodies;
        }
        bodies.extend(some.into_iter().map(|delivery| delivery.body));
    }
}
