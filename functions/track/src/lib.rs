//! The step that follows every open machine action to its end, by reading.
//!
//! It asks for nothing and judges nothing: it moves claims from `requested` over `pending` to what the service
//! says, and announces the end. Unanswered requests (`unknown`) are settled by `respond`, whose message waits
//! for it.

use defender::{ApiError, Call, Reader};
use jiff::{SignedDuration, Timestamp};
use model::{ActionStatus, DeviceId, EffectState, MachineAction, TenantId};
use ports::{
    CaseRow, Claim, CommitError, Count, HistoryEntry, OpenEffect, Queue, QueueError, QueueName, State,
    StateError, Stored, Tally, Write,
};

/// How long one read of the tenant may take, retries included.
const READ_BUDGET: SignedDuration = SignedDuration::from_secs(15);

/// For how long an end waits for `respond` to record what has ended.
const UNRECORDED: SignedDuration = SignedDuration::from_mins(1);

/// The step with all that it needs.
#[derive(Debug, Clone)]
pub struct Track {
    pub tenant: TenantId,
    pub reader: Reader,
    pub queue: Queue,
    pub state: State,
    pub tally: Tally,
}

/// How the unsettled claims stand after a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Devices whose isolation the service has accepted and not finished.
    pub pending: Vec<DeviceId>,
    /// Devices of which it is not known whether their isolation was asked for.
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
    #[error("the outcome could not be announced")]
    Send(#[from] QueueError),
}

impl Track {
    /// Looks at every open machine action that is due. One that fails is left for the next round.
    pub async fn run(&self, now: Timestamp) -> Result<Tracked, TrackError> {
        let mut tracked = Tracked::default();
        let open: Vec<Stored<OpenEffect>> =
            self.state.query_all(&OpenEffect::partition(&self.tenant), "cut-off#", now).await?;
        for effect in open {
            let key = Claim::key(&self.tenant, &effect.value.device);
            let Some(mut claim) = self.state.get::<Claim>(&key, now).await? else { continue };
            if claim.value.state.is_open() && claim.value.due <= now {
                match self.look(&claim, now).await {
                    Ok(after) => claim.value = after,
                    Err(error) => {
                        let device = &claim.value.device;
                        tracing::warn!(%device, error = describe(&error), "a machine action was not followed");
                    }
                }
            }
            let claim = claim.value;
            if claim.state.is_open() {
                tracked.next_look = Some(tracked.next_look.map_or(claim.due, |next| next.min(claim.due)));
                tracked.pending.push(claim.device);
            } else if claim.state.is_unanswered() {
                tracked.unknown.push(claim.device);
            }
        }
        Ok(tracked)
    }

    /// Looks at one claim's machine action and records what the service says. The claim as it stands then.
    async fn look(&self, stored: &Stored<Claim>, now: Timestamp) -> Result<Claim, TrackError> {
        let mut claim = stored.value.clone();
        claim.looks += 1;
        let mut wait = pace(claim.looks);
        let action = match &claim.action {
            Some(id) => self.reader.action(id, Call { now, budget: READ_BUDGET }).await,
            None => return Ok(claim),
        };
        match action {
            Ok(action) if action.device.as_ref() == Some(&claim.device) => claim.state = state_of(&action),
            Ok(_) => {
                tracing::warn!(device = %claim.device, "the service answered with another machine action")
            }
            Err(error) => {
                tracing::warn!(device = %claim.device, %error, "a machine action could not be read");
                wait = wait.max(rest_after(&error));
            }
        }
        claim.due = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        if claim.state != stored.value.state {
            claim.changed_at = now;
        }
        let case = self.case_of(&claim, now).await?;
        let is_recorded = case
            .as_ref()
            .is_some_and(|case| case.value.history.iter().any(|entry| entry.action == claim.action));
        if !is_recorded && now.duration_since(stored.value.changed_at) < UNRECORDED {
            // Whoever asked is about to record it; told now, the end would come before the beginning.
            (claim.state, claim.changed_at) = (stored.value.state, stored.value.changed_at);
        }
        if claim.state.is_open() {
            self.go_on(stored, &claim, case, now).await?;
        } else {
            self.end(stored, &claim, case, now).await?;
        }
        Ok(claim)
    }

    async fn case_of(&self, claim: &Claim, now: Timestamp) -> Result<Option<Stored<CaseRow>>, StateError> {
        self.state.get(&CaseRow::key(&self.tenant, &claim.alert, Some(&claim.device)), now).await
    }

    fn put_case(
        &self,
        before: &Stored<CaseRow>,
        row: &CaseRow,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Write, StateError> {
        let key = CaseRow::key(&self.tenant, &claim.alert, Some(&claim.device));
        Write::put(key, row, Stored::expected(Some(before)), CaseRow::expires(now))
    }

    /// It is still open. That it has become `pending` is remembered, but is no news to people.
    async fn go_on(
        &self,
        stored: &Stored<Claim>,
        claim: &Claim,
        case: Option<Stored<CaseRow>>,
        now: Timestamp,
    ) -> Result<(), TrackError> {
        let key = Claim::key(&self.tenant, &claim.device);
        let mut writes = vec![Write::put(key, claim, Stored::expected(Some(stored)), None)?];
        if claim.state != stored.value.state
            && let Some(case) = case
        {
            writes.push(self.put_case(&case, &moved_on(&case.value, claim, now), claim, now)?);
        }
        Ok(self.state.commit(&writes, now).await?)
    }

    /// The service has come to an end with it. Announced first and recorded then: a crash in between announces
    /// the same outcome again under the same id.
    async fn end(
        &self,
        stored: &Stored<Claim>,
        claim: &Claim,
        case: Option<Stored<CaseRow>>,
        now: Timestamp,
    ) -> Result<(), TrackError> {
        let claim_key = Claim::key(&self.tenant, &claim.device);
        let mut writes = vec![
            Write::put(claim_key, claim, Stored::expected(Some(stored)), None)?,
            Write::Delete { key: OpenEffect::key(&self.tenant, &claim.device), expect: ports::Expect::Any },
        ];
        if let Some(case) = case {
            let mut row = moved_on(&case.value, claim, now);
            row.decided_at = now;
            row.told += 1;
            let trace = format!("{}-track", claim.alert);
            self.queue
                .send_one(QueueName::ActionsTaken, &row.announcement(&self.tenant, &trace), now)
                .await?;
            writes.push(self.put_case(&case, &row, claim, now)?);
        }
        self.state.commit(&writes, now).await?;
        match claim.state {
            EffectState::Succeeded => self.tally.one(Count::IsolationsSucceeded),
            EffectState::Failed => self.tally.one(Count::IsolationsFailed),
            EffectState::TimedOut => self.tally.one(Count::IsolationsTimedOut),
            EffectState::Cancelled => self.tally.one(Count::IsolationsCancelled),
            EffectState::Claimed
            | EffectState::Requesting
            | EffectState::Requested
            | EffectState::Pending
            | EffectState::Adopted
            | EffectState::Unknown
            | EffectState::Refused
            | EffectState::Observed
            | EffectState::Proposed => {}
        }
        Ok(())
    }
}

/// The case on whose account a claim stands, after the claim has moved on.
fn moved_on(case: &CaseRow, claim: &Claim, now: Timestamp) -> CaseRow {
    let mut row = case.clone();
    row.last.state = Some(claim.state);
    row.last.notes = Vec::new();
    (row.last.claim, row.last.action) = (Some(claim.id.clone()), claim.action.clone());
    row.history.push(HistoryEntry {
        at: now,
        revision: row.last.revision.clone(),
        decision: row.last.decision.clone(),
        state: Some(claim.state),
        notes: Vec::new(),
        action: claim.action.clone(),
    });
    let excess = row.history.len().saturating_sub(CaseRow::MAX_HISTORY);
    row.history.drain(..excess);
    row
}

/// What the service's status means. `Cancelled` is not a success, and a status that this version does not know
/// is not an end.
fn state_of(action: &MachineAction) -> EffectState {
    match action.status {
        ActionStatus::Pending | ActionStatus::InProgress | ActionStatus::Other(_) => EffectState::Pending,
        ActionStatus::Succeeded => EffectState::Succeeded,
        ActionStatus::Failed => EffectState::Failed,
        ActionStatus::TimeOut => EffectState::TimedOut,
        ActionStatus::Cancelled => EffectState::Cancelled,
    }
}

/// How long to wait after so many looks: seconds while it may be quick, then ever longer. A device that stays
/// offline until the service gives up after three days costs fewer than 60 looks.
fn pace(looks: u32) -> SignedDuration {
    match looks {
        0..=3 => SignedDuration::from_secs(1 << looks.max(1)),
        _ => SignedDuration::from_mins(1 << (looks - 4).min(7)).min(SignedDuration::from_hours(2)),
    }
}

/// How long an error asks to be left alone.
fn rest_after(error: &ApiError) -> SignedDuration {
    error.passes_in().unwrap_or(SignedDuration::from_mins(10))
}

fn describe(error: &TrackError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_stays_offline_for_three_days_costs_fewer_than_sixty_looks() {
        let mut spent = SignedDuration::ZERO;
        let mut looks = 0;
        while spent < SignedDuration::from_hours(72) {
            looks += 1;
            spent += pace(looks);
        }
        assert!(looks < 60, "{looks} looks");
    }

    #[test]
    fn the_first_looks_are_quick() {
        let first: Vec<i64> = (1..=6).map(|looks| pace(looks).as_secs()).collect();
        assert_eq!(first, [2, 4, 8, 60, 120, 240]);
    }
}
