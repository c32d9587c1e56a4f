//! What Lambda hands to a function: a batch of SQS. The schedule's event is not read at all (`aws::Tick`); what can be
//! asserted is that anything will do.

use super::{Target, is_json};
use crate::seeds;
use aws::{Addresses, DynamoState, Function, SqsQueue, Tick};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use credentials::Vars;
use jiff::{SignedDuration, Timestamp};
use model::AlertFound;
use ports::{Disposition, QueueName, State, dispatch};
use std::{
    cell::RefCell,
    sync::{Arc, OnceLock},
};

pub(super) const TARGETS: [Target; 2] = [
    Target { name: "sqs-event", check: sqs_event, seeds: seeds::sqs_events, words: &WORDS, cost: 2 },
    Target { name: "schedule", check: schedule, seeds: seeds::schedules, words: &WORDS, cost: 1 },
];

const WORDS: [&str; 6] =
    ["Records", "body", "messageId", "receiptHandle", "eventSourceARN", "ApproximateReceiveCount"];

const QUEUE: &str = "cordon-alerts-found";

/// A function over queues that are never called: no message of these tests needs more than an answer.
fn function() -> &'static Function {
    static FUNCTION: OnceLock<Function> = OnceLock::new();
    FUNCTION.get_or_init(|| {
        let vars = [("AWS_REGION", "us-east-1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = aws::config(&vars.into_iter().collect::<Vars>()).unwrap();
        let addresses = Addresses { url: format!("https://sqs/1/{QUEUE}"), dead_letters_url: None };
        let queues = SqsQueue::new(&config, [(QueueName::AlertsFound, addresses)]);
        let state = State::new(Arc::new(DynamoState::new(&config, "cordon")));
        Function::new("11111111-2222-3333-4444-555555555555".parse().unwrap(), queues, state)
    })
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
}

/// Every message of the function's own queue is worked, with its body as it came; all others come again.
fn sqs_event(input: &[u8]) {
    let Ok(event) = serde_json::from_slice::<SqsEvent>(input) else { return };
    let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let worked = RefCell::new(Vec::new());
    let step = async |queue: QueueName, body: &str, now: Timestamp| {
        assert_eq!(queue, QueueName::AlertsFound);
        worked.borrow_mut().push(body.to_owned());
        let tenant = &function().tenant;
        let judged = dispatch::<AlertFound, _>(tenant, body, now, async |_| Disposition::Done).await;
        assert!(!matches!(judged, Disposition::Retry { .. }), "{judged:?}");
        Disposition::Done
    };
    let deadline = now + SignedDuration::from_mins(1);
    let batch = function().batch(event.clone(), deadline, SignedDuration::ZERO, || now, step);
    let answer: SqsBatchResponse = RUNTIME.with(|runtime| runtime.block_on(batch));

    let is_own = |arn: &Option<String>| arn.as_ref().is_some_and(|arn| arn.rsplit(':').next() == Some(QUEUE));
    let (own, others): (Vec<_>, Vec<_>) =
        event.records.into_iter().partition(|record| is_own(&record.event_source_arn));
    let bodies: Vec<String> = own.into_iter().map(|record| record.body.unwrap_or_default()).collect();
    assert_eq!(worked.into_inner(), bodies);
    let again: Vec<String> = others.into_iter().map(|record| record.message_id.unwrap_or_default()).collect();
    let failed: Vec<String> =
        answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    assert_eq!(failed, again);
}

/// Whatever the schedule sends, the step runs.
fn schedule(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    assert_eq!(serde_json::from_str::<Tick>(&text).is_ok(), is_json(&text));
}
