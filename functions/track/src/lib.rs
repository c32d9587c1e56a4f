//! The step that follows every open machine action to its end, by reading, and notices what has been left lying.
//!
//! It asks the tenant for nothing and judges nothing. It moves claims from `requested` over `pending` to what the
//! service says, settles requests that nobody waits for any more, gives up held cases that have expired, sends the
//! timer's orders, and pauses Cordon when its app has done what Cordon did not ask for.

mod follow;
mod tend;
mod watch;

use defender::{ApiError, Call, Reader};
use jiff::{SignedDuration, Timestamp};
use model::{Body, DeviceId, Envelope, Notice, TenantId, Topic};
use ports::{
    CaseRow, Claim, ClaimError, Claims, CommitError, DeviceRow, Queue, QueueError, QueueName, State,
    StateError, Stored, Tally, Trouble, Write,
};

/// How long one read of the tenant may take, retries included.
const READ_BUDGET: SignedDuration = SignedDuration::from_secs(15);

/// The step with all that it needs.
#[derive(Debug, Clone)]
pub struct Track {
    pub tenant: TenantId,
    pub reader: Reader,
    pub queue: Queue,
    pub state: State,
    pub tally: Tally,
    /// After how long Cordon releases what it isolated by itself; none for never.
    pub release_after: Option<SignedDuration>,
    /// Whether the end of an effect is written on its alert.
    pub comment_on_alert: bool,
    /// From how many devices on, isolated by Cordon at one time, the fleet is counted.
    pub count_fleet_from: u32,
}

/// How the unsettled claims stand after a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Devices whose isolation or release the service has accepted and not finished.
    pub pending: Vec<DeviceId>,
    /// Devices of which it is not known whether their isolation or release was asked for.
    pub unknown: Vec<DeviceId>,
    /// When the next look at a pending one is due.
    pub next_look: Option<Timestamp>,
}

#[derive(Debug, thiserror::Error)]
pub enum TrackError {
    #[error("the state could not be read")]
    State(#[from] StateError),
    #[error("the state could not be written")]
    Commit(#[from] CommitError),
    #[error("a claim could not be moved")]
    Claim(#[from] ClaimError),
    #[error("the outcome could not be announced")]
    Send(#[from] QueueError),
    #[error("the tenant could not be read")]
    Read(#[from] ApiError),
}

impl Track {
    /// Looks at everything that is due. What fails is left for the next round, and keeps nothing else from being
    /// looked at.
    pub async fn run(&self, now: Timestamp) -> Result<Tracked, TrackError> {
        let claims = self.claims().unsettled(now).await?;
        let (tracked, troubles) = self.follow(claims, now).await;
        let tended = [
            ("watching the machine actions", self.watch(now).await),
            ("giving up expired cases", self.give_up_expired(now).await),
            ("the timer", self.release_in_time(now).await),
            ("counting the fleet", self.count_fleet(now).await),
        ];
        let failed = tended.into_iter().filter_map(|(what, outcome)| Some((what.to_owned(), outcome.err()?)));
        let mut why = Vec::new();
        for (what, error) in troubles.into_iter().chain(failed) {
            let error = describe(&error);
            tracing::warn!(what, error, "not done; the next round goes on there");
            why.push(format!("{what}: {error}"));
        }
        if !why.is_empty() {
            let trouble = Trouble { at: now, why: model::one_line(&why.join("; "), 1_000) };
            let write = Write::put(Trouble::key(&self.tenant, "track"), &trouble, ports::Expect::Any, None)?;
            if let Err(error) = self.state.commit(&[write], now).await {
                tracing::warn!(%error, "what was not done was not written down");
            }
        }
        Ok(tracked)
    }

    fn claims(&self) -> Claims<'_> {
        Claims { tenant: &self.tenant, state: &self.state }
    }

    async fn case_of(&self, claim: &Claim, now: Timestamp) -> Result<Option<Stored<CaseRow>>, StateError> {
        let Some(alert) = &claim.alert else { return Ok(None) };
        // Without a case people are told by a notice.
        self.state.get_readable(&CaseRow::key(&self.tenant, alert, Some(&claim.device)), now).await
    }

    /// Tells people something. `identity`: the same again is the same notice.
    async fn tell(
        &self,
        identity: &[&str],
        topic: Topic,
        device: Option<&DeviceId>,
        facts: Vec<String>,
        now: Timestamp,
    ) -> Result<(), TrackError> {
        let device_name = match device {
            Some(device) => {
                let row: Option<Stored<DeviceRow>> =
                    self.state.get(&DeviceRow::key(&self.tenant, device), now).await?;
                row.and_then(|row| row.value.device.name)
            }
            None => None,
        };
        let notice = Notice { topic, device: device.cloned(), device_name, facts, table: None };
        let trace = model::one_line(&format!("track {}", identity.join(" ")), 100);
        self.send(QueueName::ActionsTaken, &Envelope::new(&self.tenant, identity, &trace, now, notice), now)
            .await
    }

    async fn send<B: Body>(
        &self,
        queue: QueueName,
        message: &Envelope<B>,
        now: Timestamp,
    ) -> Result<(), TrackError> {
        Ok(self.queue.send_one(queue, message, now).await?)
    }
}

fn call(now: Timestamp) -> Call {
    Call { now, budget: READ_BUDGET }
}

fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

fn describe(error: &TrackError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
