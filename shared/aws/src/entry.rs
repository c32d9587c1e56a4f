//! The entry of a Lambda function: a batch of messages, or the tick of a schedule.
//!
//! A batch is worked on one message after the other, each with its own `now`; what becomes of one touches no other.
//! What a message means is not known here, only which queue it comes from; the answer to a batch is always a list of
//! those that failed.

use crate::{Error, Function, SqsQueue, said::chain};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{LambdaEvent, run, service_fn};
use model::TenantId;
use ports::{Delivery, Disposition, Queue, QueueName, Settled, State, settle};
use serde::de::IgnoredAny;
use std::{error, fmt, sync::Arc, time::Duration};

/// What is kept of an invocation's time for settling what it has in hand, and after that for its answer.
const MARGIN: SignedDuration = SignedDuration::from_secs(3);
const LAST_MARGIN: SignedDuration = SignedDuration::from_millis(500);

/// When a message is begun anew whose step was given up.
const REST: SignedDuration = SignedDuration::from_secs(30);

/// What the schedule sends: any JSON, of which nothing is read.
pub type Tick = IgnoredAny;

impl Function {
    /// A function over these backends.
    pub fn new(tenant: TenantId, sqs: SqsQueue, state: State) -> Function {
        let sqs = Arc::new(sqs);
        Function { tenant, queue: Queue::new(sqs.clone()), state, sqs }
    }

    /// Takes the messages of the function's own queues through a step, as long as there are any. `needs`: a message
    /// is not begun when less time is left.
    pub async fn consume(
        self,
        needs: SignedDuration,
        step: impl AsyncFn(QueueName, &str, Timestamp) -> Disposition,
    ) -> Result<(), Error> {
        let (function, step) = (&self, &step);
        run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
            let deadline = deadline(event.context.deadline);
            Ok::<_, Error>(function.batch(event.payload, deadline, needs, clock, step).await)
        }))
        .await
    }

    /// Runs a step whenever the schedule says so. An error is the invocation's, and shows in its metrics.
    pub async fn on_schedule<F, T, E>(self, step: impl Fn(Timestamp) -> F) -> Result<(), Error>
    where
        F: Future<Output = Result<T, E>>,
        T: fmt::Debug,
        E: error::Error,
    {
        let step = &step;
        run(service_fn(|_: LambdaEvent<Tick>| async move {
            match step(clock()).await {
                Ok(outcome) => {
                    tracing::info!(?outcome, "done");
                    Ok(())
                }
                Err(error) => {
                    let why = chain(&error);
                    tracing::error!(why, "not done; the next one goes on there");
                    Err::<(), Error>(why.into())
                }
            }
        }))
        .await
    }

    /// One batch, which is of one queue. The messages in the answer come again; the others are gone, or where they
    /// belong.
    pub async fn batch(
        &self,
        event: SqsEvent,
        deadline: Timestamp,
        needs: SignedDuration,
        clock: impl Fn() -> Timestamp,
        step: impl AsyncFn(QueueName, &str, Timestamp) -> Disposition,
    ) -> SqsBatchResponse {
        let mut answer = SqsBatchResponse::default();
        for (index, record) in event.records.into_iter().enumerate() {
            let now = clock();
            let left = deadline.duration_since(now);
            let id = record.message_id.clone().unwrap_or_default();
            let source = record.event_source_arn.clone().unwrap_or_default();
            let Some(queue) = self.sqs.queue_of(&source) else {
                tracing::error!(
                    source,
                    id,
                    "a message of a queue that is not this function's; it is left alone"
                );
                answer.add_failure(id);
                continue;
            };
            let delivery = delivery(record);
            let disposition = if index > 0 && left < needs {
                tracing::info!(%queue, id, "not begun: the invocation's time is nearly over");
                too_late(now)
            } else {
                let work = step(queue, &delivery.body, now);
                let worked = tokio::time::timeout(patience(left, MARGIN), work).await;
                worked.unwrap_or_else(|_| {
                    tracing::error!(%queue, id, "a step was given up: the invocation's time is over");
                    out_of_time(now)
                })
            };
            let ended = clock();
            let settling = settle(&*self.sqs, queue, &delivery, disposition, now, ended);
            let left = deadline.duration_since(ended);
            match tokio::time::timeout(patience(left, LAST_MARGIN), settling).await {
                Ok(Ok(Settled::Acknowledge | Settled::SetAside)) => {}
                Ok(Ok(Settled::Again)) => answer.add_failure(id),
                Ok(Err(error)) => {
                    tracing::error!(%queue, id, %error, "what became of a message could not be written down");
                    answer.add_failure(id);
                }
                Err(_) => {
                    tracing::error!(%queue, id, "what became of a message could not be written down in time");
                    answer.add_failure(id);
                }
            }
        }
        answer
    }
}

/// Waiting is not failing: what there was no time for begins anew as a copy, with its count at nought.
fn too_late(now: Timestamp) -> Disposition {
    Disposition::Defer { until: now, why: "not begun: the invocation's time is nearly over".to_owned() }
}

/// The step was given up where it stood, as if the function had been killed there. Every step goes on from such
/// a point, but not at once: something is slow.
fn out_of_time(now: Timestamp) -> Disposition {
    let until = now.checked_add(REST).unwrap_or(now);
    Disposition::Defer { until, why: "the invocation's time was over".to_owned() }
}

fn patience(left: SignedDuration, margin: SignedDuration) -> Duration {
    Duration::try_from(left - margin).unwrap_or_default()
}

fn delivery(record: SqsMessage) -> Delivery {
    let body = record.body.unwrap_or_default();
    let receives = record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
    Delivery {
        receipt: SqsQueue::receipt(&record.receipt_handle.unwrap_or_default(), &body),
        body,
        receives: receives.unwrap_or(1),
    }
}

/// An invocation's deadline, from milliseconds since 1970.
fn deadline(millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

#[expect(clippy::disallowed_methods, reason = "this host's only look at the clock")]
fn clock() -> Timestamp {
    Timestamp::now()
}
