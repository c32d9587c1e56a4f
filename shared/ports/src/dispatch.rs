//! The heart that both hosts share: decode one body, run the step, catch a panic, classify, and do with the message
//! what came of it.
//!
//! How a host takes messages and lets them go (a row, a batch response) is its own business.

use crate::{Delivery, MAX_DELAY, MAX_RECEIVES, Out, QueueBackend, QueueError, QueueName};
use jiff::{SignedDuration, Timestamp};
use model::{Body, Envelope, TenantId, Undecodable};
use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// What is to become of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    Done,
    /// It failed; try again. Counts towards [`crate::MAX_RECEIVES`].
    Retry {
        after: SignedDuration,
        why: String,
    },
    /// It must wait, and waiting is not failing: a delayed copy is sent and this delivery acknowledged.
    Defer {
        until: Timestamp,
        why: String,
    },
    /// It can never succeed: a dead letter with this reason.
    Reject {
        reason: String,
    },
}

impl Disposition {
    /// Failed for a passing reason.
    pub fn retry(after: SignedDuration, why: impl std::fmt::Display) -> Disposition {
        Disposition::Retry { after, why: format!("{why}") }
    }
}

/// Runs a step on one body. A panic in the step is a failure of this message alone; a message of another tenant
/// than the one that the step works for is set aside.
pub async fn dispatch<B, F>(
    tenant: &TenantId,
    body: &str,
    now: Timestamp,
    step: impl FnOnce(Envelope<B>) -> F,
) -> Disposition
where
    B: Body,
    F: Future<Output = Disposition>,
{
    let envelope = match Envelope::<B>::decode(body) {
        Ok(envelope) => envelope,
        // To be left for a newer reader, however long that takes: waiting is not failing.
        Err(newer @ Undecodable::Newer { .. }) => {
            let until = now.checked_add(SignedDuration::from_mins(1)).unwrap_or(now);
            return Disposition::Defer { until, why: newer.to_string() };
        }
        Err(hopeless @ (Undecodable::WrongKind { .. } | Undecodable::Malformed { .. })) => {
            return Disposition::Reject { reason: hopeless.to_string() };
        }
    };
    if envelope.tenant != *tenant {
        let reason = format!(
            "it belongs to tenant {}, and DEFENDER_TENANT_ID says {tenant}: use one state per tenant",
            envelope.tenant
        );
        tracing::error!(kind = B::KIND, id = %envelope.id, reason, "set aside");
        return Disposition::Reject { reason };
    }
    let (id, trace) = (envelope.id.clone(), envelope.trace.clone());
    // Boxed, because a step's future is large and would be copied through every caller's frame.
    let disposition = match catch_unwind(AssertUnwindSafe(|| Box::pin(step(envelope)))) {
        Ok(future) => or_panic(future).await,
        Err(panic) => Err(panic),
    }
    .unwrap_or_else(|panic| {
        Disposition::retry(
            SignedDuration::from_secs(10),
            format!("the step panicked: {}", message_of(&*panic)),
        )
    });
    match &disposition {
        Disposition::Done => tracing::debug!(kind = B::KIND, %id, %trace, "handled"),
        Disposition::Retry { after, why } => {
            tracing::warn!(kind = B::KIND, %id, %trace, after_s = after.as_secs(), why, "failed, to be tried again");
        }
        Disposition::Defer { until, why } => {
            tracing::info!(kind = B::KIND, %id, %trace, %until, why, "deferred")
        }
        Disposition::Reject { reason } => tracing::error!(kind = B::KIND, %id, %trace, reason, "set aside"),
    }
    disposition
}

/// What is left to do with a delivery after [`settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The message is to go.
    Acknowledge,
    /// It has become a dead letter already.
    SetAside,
    /// It comes again.
    Again,
}

/// Does with a delivery what its disposition says, except for letting the message go: hosts differ in how they do
/// that. After an error the message comes again. `began` is the step's `now`, and `now` is later by as long as it
/// took: what a step lets wait from its `now` on waits that long from here, because a service that said "in a
/// minute" said so in between.
pub async fn settle(
    backend: &dyn QueueBackend,
    queue: QueueName,
    delivery: &Delivery,
    disposition: Disposition,
    began: Timestamp,
    now: Timestamp,
) -> Result<Settled, QueueError> {
    let reason = match disposition {
        Disposition::Done => return Ok(Settled::Acknowledge),
        Disposition::Retry { after, .. } if delivery.receives < MAX_RECEIVES => {
            backend.retry(queue, &delivery.receipt, after.min(MAX_DELAY), now).await?;
            return Ok(Settled::Again);
        }
        Disposition::Defer { until, .. } => {
            let delay = until.duration_since(began).clamp(SignedDuration::ZERO, MAX_DELAY);
            let copy = Out { body: delivery.body.clone(), delay };
            for sent in backend.send(queue, &[copy], now).await {
                sent?;
            }
            return Ok(Settled::Acknowledge);
        }
        Disposition::Retry { why, .. } => format!("failed {} times; the last time: {why}", delivery.receives),
        Disposition::Reject { reason } => reason,
    };
    if !backend.reject(queue, &delivery.receipt, &reason, now).await? {
        tracing::warn!(%queue, reason, "a message that was to be set aside is not ours any more: it comes again");
        return Ok(Settled::Again);
    }
    tracing::error!(%queue, reason, "a message was set aside as a dead letter");
    Ok(Settled::SetAside)
}

type Panic = Box<dyn Any + Send>;

/// Polls a future to its end; a panic while polling is its error.
async fn or_panic<T>(future: impl Future<Output = T>) -> Result<T, Panic> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    model::one_line(text.unwrap_or("without a message"), 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::AlertEnriched;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";

    async fn run_for(tenant: &str, body: &str) -> Disposition {
        let tenant = tenant.parse().unwrap();
        dispatch::<AlertEnriched, _>(&tenant, body, Timestamp::UNIX_EPOCH, async |_| panic!("on purpose"))
            .await
    }

    async fn run(body: &str) -> Disposition {
        run_for(TENANT, body).await
    }

    fn fixture() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/fixtures/alert-enriched.v1.json");
        std::fs::read_to_string(path).unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_its_message_alone() {
        let Disposition::Retry { why, .. } = run(&fixture()).await else { panic!("should be tried again") };
        assert!(why.contains("on purpose"), "{why}");
    }

    #[tokio::test]
    async fn garbage_is_set_aside_with_its_reason() {
        let Disposition::Reject { reason } = run("not JSON").await else { panic!("should be set aside") };
        assert!(reason.contains("cannot be read"), "{reason}");
    }

    #[tokio::test]
    async fn a_newer_version_is_left_for_a_newer_reader() {
        let newer = fixture().replace("\"version\": 1", "\"version\": 2");
        assert!(matches!(run(&newer).await, Disposition::Defer { .. }));
    }

    #[tokio::test]
    async fn a_message_of_another_tenant_is_set_aside() {
        let disposition = run_for("99999999-2222-3333-4444-555555555555", &fixture()).await;
        let Disposition::Reject { reason } = disposition else { panic!("should be set aside") };
        assert!(reason.contains("DEFENDER_TENANT_ID"), "{reason}");
    }
}
