//! The step that runs the playbook's hunting queries on their schedules and makes known what they find.
//!
//! Each hunt reads windows of time that overlap, tells rows that it has made known from new ones by their identity, and moves
//! its cursor only past what the queue has confirmed. It judges nothing, and changes nothing in the tenant: what is to be done
//! about a row is an alert for `respond`, an order to it, or a table for people.

mod announce;
mod by_hand;
mod due;
mod read;
mod rows;
mod trouble;

pub use by_hand::ByHand;
pub use trouble::is_overdue;

use defender::{Reader, on_tick};
use due::Standing;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{BadId, Mode, TenantId};
use policy::{AssetList, Hunt};
use ports::{CommitError, Queue, QueueError, State, StateError, Tally};
use read::Round;
use std::sync::Arc;

/// How often a host runs this step. What is left to do at the end of a run waits for so long.
const RHYTHM: SignedDuration = SignedDuration::from_mins(1);

/// The step with all that it needs.
#[derive(Debug, Clone)]
pub struct Hunting {
    pub tenant: TenantId,
    pub reader: Reader,
    pub queue: Queue,
    pub state: State,
    pub tally: Tally,
    pub hunts: Arc<[Hunt]>,
    /// The asset lists, for queries that join with them.
    pub lists: Arc<[AssetList]>,
    /// The mode that holds now: what is first seen while observing is never acted upon.
    pub mode: Mode,
    /// The playbook's, for schedules that name an hour.
    pub time_zone: TimeZone,
}

/// What a run of the step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HuntsRun {
    /// Hunts that asked the service for something.
    pub ran: usize,
    /// Rows that were made known, in whatever way.
    pub announced: usize,
    /// When there is something to do next, a minute from now at the earliest; none without hunts.
    pub next_due: Option<Timestamp>,
}

/// Why a run stopped before its end. The next one goes on where this one was confirmed.
#[derive(Debug, thiserror::Error)]
pub enum HuntingError {
    #[error("the state could not be read")]
    State(#[from] StateError),
    #[error("the state could not be written")]
    Commit(#[from] CommitError),
    #[error("what was found was not confirmed by the queue")]
    Send(#[from] QueueError),
    /// The playbook's reader lets no such name through.
    #[error("a hunt's name cannot stand in an alert's id")]
    Name(#[from] BadId),
}

impl Hunting {
    /// Runs every hunt that is due, the most overdue first, as far as the calls of one run go. What the service does not
    /// answer is no error here: it stands in the hunt's row. What fails for one hunt holds up no other: the first error is
    /// the answer, after all have had their turn.
    pub async fn run(&self, now: Timestamp) -> Result<HuntsRun, HuntingError> {
        let now = on_tick(now);
        let mut round = Round::begin(self.resting(now).await?);
        let mut standing = self.standing(now).await?;
        standing.sort_by(|a, b| (a.row.next, &a.hunt.name).cmp(&(b.row.next, &b.hunt.name)));
        let mut waiting = standing.iter().filter(|hunt| hunt.row.next <= now).count();
        let mut failure = None;
        for hunt in &mut standing {
            let is_due = hunt.row.next <= now;
            waiting -= usize::from(is_due);
            round.others_wait = waiting > 0;
            if let Err(error) = self.look_after(hunt, is_due, &mut round, now).await {
                tracing::error!(hunt = hunt.hunt.name, %error, "a hunt's run has failed");
                failure = failure.or(Some(error));
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let next = standing.iter().map(|hunt| hunt.row.next).min();
        let rest = round.rest.as_ref().map_or(Timestamp::MIN, |rest| rest.until);
        round.done.next_due = next.map(|next| next.max(rest).max(later(now, RHYTHM)));
        Ok(round.done)
    }

    async fn look_after(
        &self,
        hunt: &mut Standing<'_>,
        is_due: bool,
        round: &mut Round,
        now: Timestamp,
    ) -> Result<(), HuntingError> {
        let is_ours = !(is_due && round.may_ask()) || self.pursue(hunt, round, now).await?;
        if is_ours { self.look_whether_overdue(hunt, round.rest.as_ref(), now).await } else { Ok(()) }
    }
}

fn back(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
