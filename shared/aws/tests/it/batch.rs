//! A batch as Lambda delivers it: what becomes of one message touches no other, and nothing is lost.

use crate::queue::{FOUND, Queues, out, queues};
use aws::{DynamoState, Function, SqsQueue};
use aws_lambda_events::sqs::SqsEvent;
use jiff::{SignedDuration, Timestamp};
use model::{AlertFound, Envelope};
use ports::{Disposition, MAX_RECEIVES, QueueBackend, QueueName, State, dispatch};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// A message that a step can read, and whose id the step is told.
fn good(id: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/fixtures/alert-found.v1.json");
    let mut message: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    message["id"] = json!(id);
    message["tenant"] = json!(TENANT);
    message.to_string()
}

fn at(seconds: i64) -> Timestamp {
    crate::now() + SignedDuration::from_secs(seconds)
}

/// A function over queues of its own, and what it was asked to work on.
struct Bench {
    queues: Queues,
    function: Function,
    begun: Mutex<Vec<String>>,
}

impl Bench {
    async fn new() -> Bench {
        let queues = queues().await;
        let config = crate::emulator().await;
        let sqs = SqsQueue::new(&config, queues.addresses.clone());
        let state = State::new(Arc::new(DynamoState::new(&config, "never-used")));
        let function = Function::new(TENANT.parse().unwrap(), sqs, state);
        Bench { queues, function, begun: Mutex::default() }
    }

    /// Sends messages and receives them as an event source mapping does.
    async fn event(&self, bodies: &[String]) -> SqsEvent {
        let messages: Vec<_> = bodies.iter().map(out).collect();
        for sent in self.queues.queue.send(FOUND, &messages, crate::now()).await {
            sent.unwrap();
        }
        self.receive().await
    }

    async fn receive(&self) -> SqsEvent {
        self.receive_from(FOUND).await
    }

    async fn receive_from(&self, queue: QueueName) -> SqsEvent {
        let url = &self.queues.addresses[&queue].url;
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{}", url.rsplit('/').next().unwrap());
        let receive = self.queues.client.receive_message().queue_url(url);
        let receive = receive.max_number_of_messages(10).message_system_attribute_names("All".into());
        let received = receive.send().await.unwrap().messages.unwrap_or_default();
        let records: Vec<_> = received
            .iter()
            .map(|message| {
                let count = message.attributes().unwrap().iter().map(|(name, value)| (name.as_str(), value));
                json!({
                    "messageId": message.message_id(),
                    "receiptHandle": message.receipt_handle(),
                    "body": message.body(),
                    "attributes": count.collect::<std::collections::BTreeMap<_, _>>(),
                    "messageAttributes": {},
                    "eventSource": "aws:sqs",
                    "eventSourceARN": arn,
                })
            })
            .collect();
        serde_json::from_value(json!({ "Records": records })).unwrap()
    }

    /// What comes again, after Lambda has let go of the rest: it deletes what the answer does not name.
    async fn run(
        &self,
        event: SqsEvent,
        deadline: Timestamp,
        clock: impl Fn() -> Timestamp,
        what: impl Fn(&str) -> Disposition,
    ) -> BTreeSet<String> {
        let records = event.records.clone();
        let what = &what;
        let work = async |message: Envelope<AlertFound>| {
            self.begun.lock().unwrap().push(message.id.as_str().to_owned());
            match message.id.as_str() {
                "hangs" => std::future::pending().await,
                "panics" => panic!("on purpose"),
                id => what(id),
            }
        };
        let step = async |queue: QueueName, body: &str, now| {
            assert_eq!(queue, FOUND);
            dispatch(&self.function.tenant, body, now, work).await
        };
        let needs = SignedDuration::from_secs(10);
        let answer = self.function.batch(event, deadline, needs, clock, step).await;
        let failed: BTreeSet<String> =
            answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        for record in records {
            if !failed.contains(record.message_id.as_deref().unwrap()) {
                let receipt = SqsQueue::receipt(&record.receipt_handle.unwrap(), "");
                self.queues.queue.done(FOUND, &receipt).await.unwrap();
            }
        }
        failed
    }

    /// How many messages there are in the queue, visible or not.
    async fn depth(&self) -> usize {
        let about = self.queues.client.get_queue_attributes().queue_url(&self.queues.addresses[&FOUND].url);
        let about = about.attribute_names("All".into()).send().await.unwrap().attributes.unwrap();
        let kinds = ["", "NotVisible", "Delayed"];
        let count =
            |kind| about[&format!("ApproximateNumberOfMessages{kind}").as_str().into()].parse::<usize>();
        kinds.into_iter().map(|kind| count(kind).unwrap()).sum()
    }

    async fn dead(&self) -> Vec<String> {
        let page = self.queues.queue.dead(FOUND, None).await.unwrap();
        page.letters.into_iter().map(|letter| letter.reason).collect()
    }
}

#[tokio::test]
async fn a_poisoned_message_takes_none_of_nine_good_ones_with_it() {
    let bench = Bench::new().await;
    let mut bodies: Vec<String> = (0..9).map(|n| good(&format!("good-{n}"))).collect();
    bodies.insert(4, "not JSON".to_owned());
    let event = bench.event(&bodies).await;
    assert_eq!(event.records.len(), 10);
    let failed = bench.run(event, at(60), crate::now, |_| Disposition::Done).await;
    assert_eq!(failed, BTreeSet::new());
    assert_eq!(bench.begun.lock().unwrap().len(), 9);
    let [reason] = bench.dead().await.try_into().unwrap();
    assert!(reason.contains("cannot be read"), "{reason}");
    assert_eq!(bench.depth().await, 0, "the queue is empty");
}

#[tokio::test]
async fn a_panic_is_the_failure_of_its_own_message() {
    let bench = Bench::new().await;
    let event = bench.event(&[good("one"), good("panics"), good("two")]).await;
    let panics = event.records.iter().find(|record| record.body.as_deref().unwrap().contains("panics"));
    let id = panics.unwrap().message_id.clone().unwrap();
    let failed = bench.run(event, at(60), crate::now, |_| Disposition::Done).await;
    assert_eq!(failed, BTreeSet::from([id]));
    assert_eq!(bench.dead().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_fails_on_its_last_receive_is_set_aside_with_the_reason() {
    let bench = Bench::new().await;
    let fails = |_: &str| Disposition::retry(SignedDuration::ZERO, "the disk is on fire");
    let mut event = bench.event(&[good("fails")]).await;
    for receive in 1..MAX_RECEIVES {
        assert_eq!(bench.run(event, at(60), crate::now, fails).await.len(), 1, "receive {receive}");
        event = bench.receive().await;
    }
    assert_eq!(
        bench.run(event, at(60), crate::now, fails).await.len(),
        0,
        "the last one does not come again"
    );
    let [reason] = bench.dead().await.try_into().unwrap();
    assert!(reason.contains("failed 5 times") && reason.contains("the disk is on fire"), "{reason}");
    assert_eq!(bench.depth().await, 0);
}

#[tokio::test]
async fn what_there_is_no_time_for_is_not_begun_and_begins_anew() {
    let bench = Bench::new().await;
    let event = bench.event(&[good("one"), good("two"), good("three")]).await;
    // Nine seconds are left, and a message needs ten.
    assert_eq!(bench.run(event, at(9), crate::now, |_| Disposition::Done).await, BTreeSet::new());
    assert_eq!(bench.begun.lock().unwrap().len(), 1, "the first is always begun");
    let again = bench.receive().await;
    let counts: Vec<&str> =
        again.records.iter().map(|record| record.attributes["ApproximateReceiveCount"].as_str()).collect();
    assert_eq!(counts, ["1", "1"], "as copies: waiting does not count as failing");
    bench.run(again, at(60), crate::now, |_| Disposition::Done).await;
    let begun: BTreeSet<String> = bench.begun.lock().unwrap().iter().cloned().collect();
    assert_eq!(begun.len(), 3, "each once: {begun:?}");
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_given_up_in_time_and_begins_anew() {
    let bench = Bench::new().await;
    let event = bench.event(&[good("hangs")]).await;
    // The margin of three seconds and a moment.
    let deadline = crate::now() + SignedDuration::from_millis(3_100);
    assert_eq!(bench.run(event, deadline, crate::now, |_| Disposition::Done).await, BTreeSet::new());
    assert!(bench.receive().await.records.is_empty(), "not at once: something is slow");
    assert_eq!(bench.depth().await, 1, "a copy waits");
    assert_eq!(bench.dead().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_must_wait_is_a_delayed_copy_and_no_failure() {
    let bench = Bench::new().await;
    let event = bench.event(&[good("waits")]).await;
    let waits = |_: &str| Disposition::Defer { until: at(900), why: "the quota".to_owned() };
    assert_eq!(bench.run(event, at(60), crate::now, waits).await, BTreeSet::new());
    assert!(bench.receive().await.records.is_empty(), "not before its time");
    let about = bench.queues.client.get_queue_attributes().queue_url(&bench.queues.addresses[&FOUND].url);
    let about = about.attribute_names("All".into()).send().await.unwrap().attributes.unwrap();
    assert_eq!(about[&"ApproximateNumberOfMessagesDelayed".into()], "1");
}

#[tokio::test]
async fn what_cannot_be_settled_comes_again() {
    let bench = Bench::new().await;
    let event = bench.event(&["not JSON".to_owned(), good("one")]).await;
    let poisoned = event.records.iter().find(|record| record.body.as_deref() == Some("not JSON"));
    let id = poisoned.unwrap().message_id.clone().unwrap();
    let mut addresses = bench.queues.addresses.clone();
    addresses.get_mut(&FOUND).unwrap().dead_letters_url = None;
    let config = crate::emulator().await;
    let state = State::new(Arc::new(DynamoState::new(&config, "never-used")));
    let function = Function::new(TENANT.parse().unwrap(), SqsQueue::new(&config, addresses), state);
    let bench = Bench { function, ..bench };
    let failed = bench.run(event, at(60), crate::now, |_| Disposition::Done).await;
    assert_eq!(failed, BTreeSet::from([id]), "it cannot be set aside, so it is kept");
}

#[tokio::test]
async fn a_step_is_told_which_of_its_queues_a_message_comes_from() {
    let bench = Bench::new().await;
    let order = QueueName::EffectsRequested;
    for (queue, body) in [(FOUND, "an alert"), (order, "an order")] {
        bench.queues.queue.send(queue, &[out(body)], crate::now()).await.pop().unwrap().unwrap();
        let told = Mutex::new(Vec::new());
        let step = async |queue: QueueName, body: &str, _: Timestamp| {
            told.lock().unwrap().push((queue, body.to_owned()));
            Disposition::Reject { reason: "a test".to_owned() }
        };
        let event = bench.receive_from(queue).await;
        let needs = SignedDuration::from_secs(10);
        let answer = bench.function.batch(event, at(60), needs, crate::now, step).await;
        assert_eq!(answer.batch_item_failures.len(), 0);
        assert_eq!(told.into_inner().unwrap(), [(queue, body.to_owned())]);
        let letters = bench.queues.queue.dead(queue, None).await.unwrap().letters;
        assert_eq!(letters.len(), 1, "it is settled in the queue that it came from");
    }
}

#[tokio::test]
async fn a_message_of_a_queue_that_is_not_its_own_is_left_alone() {
    let bench = Bench::new().await;
    let mut event = bench.event(&[good("foreign")]).await;
    event.records[0].event_source_arn = Some("arn:aws:sqs:us-east-1:000000000000:somebody-elses".to_owned());
    let step = async |_: QueueName, _: &str, _: Timestamp| -> Disposition { panic!("it was begun") };
    let needs = SignedDuration::from_secs(10);
    let answer = bench.function.batch(event, at(60), needs, crate::now, step).await;
    assert_eq!(
        answer.batch_item_failures.len(),
        1,
        "it comes again, and is set aside by the queue in the end"
    );
}
