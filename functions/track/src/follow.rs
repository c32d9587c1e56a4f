//! Follows what the service has accepted to its end, and settles what nobody waits for any more.

use crate::{Track, TrackError, Tracked, call, later};
use defender::ApiError;
use jiff::{SignedDuration, Timestamp};
use model::{ActionId, ActionKind, ActionStatus, Effect, EffectState, MachineAction, Topic};
use ports::{CaseRow, Claim, Count, Ending, Event, Order, QueueName, Stored};
use std::collections::BTreeMap;

/// From so many open machine actions on, they are read as one list.
const LIST_FROM: usize = 3;

/// For how long an end waits for `respond` to record what has ended.
const UNRECORDED: SignedDuration = SignedDuration::from_mins(1);

/// How long after its quiet time a request without an answer is left to whoever asked.
const LEFT_TO_ASKER: SignedDuration = SignedDuration::from_mins(10);

/// How long a claim may wait to be asked for once more.
const LEFT_CLAIMED: SignedDuration = SignedDuration::from_hours(6);

/// How long a machine action may be open before people are told. Defender gives up after three days.
const OVERDUE: SignedDuration = SignedDuration::from_hours(96);

/// How far the service's clock may be behind ours.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

type Failed = (String, TrackError);

impl Track {
    /// Looks at every claim that is due.
    pub(crate) async fn follow(&self, claims: Vec<Stored<Claim>>, now: Timestamp) -> (Tracked, Vec<Failed>) {
        let mut tracked = Tracked::default();
        let mut failed = Vec::new();
        let due: Vec<&Claim> = claims
            .iter()
            .map(|claim| &claim.value)
            .filter(|claim| claim.state.is_open() && claim.due <= now)
            .collect();
        let listed = if due.len() < LIST_FROM {
            BTreeMap::new()
        } else {
            self.listed(&due, now).await.unwrap_or_else(|error| {
                failed.push(("listing the machine actions".to_owned(), error.into()));
                BTreeMap::new()
            })
        };
        for stored in claims {
            let device = stored.value.device.clone();
            let looked = match stored.value.state {
                state if state.is_open() && stored.value.due <= now => self.look(&stored, &listed, now).await,
                state if state.is_open() => Ok(stored.value),
                _ => self.settle(&stored, now).await,
            };
            let claim = match looked {
                Ok(claim) => claim,
                Err(error) => {
                    failed.push((format!("the device {device}"), error));
                    continue;
                }
            };
            if claim.state.is_open() {
                tracked.next_look = Some(tracked.next_look.map_or(claim.due, |next| next.min(claim.due)));
                tracked.pending.push(device);
            } else if claim.state.is_unanswered() {
                tracked.unknown.push(device);
            }
        }
        (tracked, failed)
    }

    /// The machine actions behind these claims, in one call.
    async fn listed(
        &self,
        due: &[&Claim],
        now: Timestamp,
    ) -> Result<BTreeMap<ActionId, MachineAction>, ApiError> {
        let oldest = due.iter().map(|claim| claim.claimed_at).min().unwrap_or(now);
        let since = oldest.checked_sub(SKEW).unwrap_or(oldest);
        let actions = self.reader.actions_since(since, call(now)).await?;
        Ok(actions.into_iter().map(|action| (action.id.clone(), action)).collect())
    }

    /// Looks at one claim's machine action and records what the service says. The claim as it stands then.
    async fn look(
        &self,
        stored: &Stored<Claim>,
        listed: &BTreeMap<ActionId, MachineAction>,
        now: Timestamp,
    ) -> Result<Claim, TrackError> {
        let claim = &stored.value;
        let Some(id) = &claim.action else { return Ok(claim.clone()) };
        let found = match listed.get(id) {
            Some(action) => Ok(action.clone()),
            None => self.reader.action(id, call(now)).await,
        };
        let look = later(now, pace(claim.looks + 1));
        let event = match found {
            Ok(action) if action.device.as_ref() == Some(&claim.device) => {
                self.learn(&action, now).await?;
                event_of(&action, look)
            }
            Ok(_) => {
                tracing::warn!(device = %claim.device, "the service answered with another machine action");
                Event::Waiting { look }
            }
            Err(error) => {
                tracing::warn!(device = %claim.device, %error, "a machine action could not be read");
                self.notice_overdue(claim, now).await?;
                let rest = error.passes_in().unwrap_or(SignedDuration::from_mins(10));
                return self.rest(stored, look.max(later(now, rest)), now).await;
            }
        };
        let case = self.case_of(claim, now).await?;
        let is_recorded = case.as_ref().is_some_and(|case| case.value.records(claim));
        let may_be_recorded = claim.alert.is_some() && now.duration_since(claim.changed_at) < UNRECORDED;
        if !is_recorded && may_be_recorded {
            // Whoever asked is about to record it; told now, the end would come before the beginning.
            return self.rest(stored, look, now).await;
        }
        if let Event::Waiting { .. } = event {
            self.notice_overdue(claim, now).await?;
            self.go_on(stored, event, case, now).await
        } else {
            self.end(stored, event, case, Vec::new(), now).await
        }
    }

    /// The service gives up after about three days; what is open for longer has to be looked at.
    async fn notice_overdue(&self, claim: &Claim, now: Timestamp) -> Result<(), TrackError> {
        let once = format!("overdue#{}", claim.id);
        if now.duration_since(claim.claimed_at) < OVERDUE || self.was_done(&once, now).await? {
            return Ok(());
        }
        let action = claim.action.as_ref().map_or("", |action| action.as_str());
        let fact = format!(
            "the {} of the device was asked for at {:.0} and has not ended (machine action {action})",
            claim.effect.word(),
            claim.claimed_at
        );
        let identity = ["overdue", claim.id.as_str()];
        self.tell(&identity, Topic::Stuck, Some(&claim.device), vec![fact], now).await?;
        self.done(&once, now).await
    }

    /// Nothing is known but that it has to be looked at again.
    async fn rest(
        &self,
        stored: &Stored<Claim>,
        look: Timestamp,
        now: Timestamp,
    ) -> Result<Claim, TrackError> {
        let held = self.claims().postpone(stored, look, now).await?;
        Ok(held.value)
    }

    /// It is still open. That it has become `pending` is remembered, but is no news to people.
    async fn go_on(
        &self,
        stored: &Stored<Claim>,
        event: Event,
        case: Option<Stored<CaseRow>>,
        now: Timestamp,
    ) -> Result<Claim, TrackError> {
        let moved = stored.value.after(&self.tenant, event.clone(), now).map_err(ports::ClaimError::from)?;
        let mut also = Vec::new();
        if moved.claim.state != stored.value.state
            && let Some(case) = case
        {
            also =
                case.value.moved_on(&moved.claim, Vec::new(), now).writes(&self.tenant, Some(&case), now)?;
        }
        Ok(self.claims().after(stored, event, also, now).await?.value)
    }

    /// It has come to an end. Announced first and recorded then: a crash in between announces the same outcome again
    /// under the same id.
    pub(crate) async fn end(
        &self,
        stored: &Stored<Claim>,
        event: Event,
        case: Option<Stored<CaseRow>>,
        notes: Vec<String>,
        now: Timestamp,
    ) -> Result<Claim, TrackError> {
        let moved = stored.value.after(&self.tenant, event.clone(), now).map_err(ports::ClaimError::from)?;
        let claim = moved.claim;
        let notes: Vec<String> = claim.order.as_ref().map(Order::note).into_iter().chain(notes).collect();
        let trace = format!("{}-track", claim.id);
        let also = match case {
            Some(case) => {
                let mut row = case.value.moved_on(&claim, notes, now);
                row.decided_at = now;
                row.told += 1;
                row.last.decision.tell = true;
                self.send(QueueName::ActionsTaken, &row.announcement(&self.tenant, &trace), now).await?;
                if self.comment_on_alert
                    && let Some(report) = row.report(&self.tenant, &trace, now)
                {
                    self.send(QueueName::EffectsRequested, &report, now).await?;
                }
                row.writes(&self.tenant, Some(&case), now)?
            }
            // Its alert's message comes again and tells it.
            None if claim.alert.is_some() && claim.order.is_none() => Vec::new(),
            None => {
                let topic = Topic::Ordered { effect: claim.effect, state: claim.state };
                let identity = ["ordered", claim.id.as_str(), claim.state.word()];
                self.tell(&identity, topic, Some(&claim.device), notes, now).await?;
                Vec::new()
            }
        };
        let ended = self.claims().after(stored, event, also, now).await?.value;
        self.count(&ended);
        if ended.state == EffectState::Released {
            self.check_release(&ended, now).await;
        }
        Ok(ended)
    }

    fn count(&self, claim: &Claim) {
        let count = match (claim.effect, claim.state) {
            (Effect::Isolate, EffectState::Succeeded) => Count::IsolationsSucceeded,
            (Effect::Isolate, EffectState::Failed) => Count::IsolationsFailed,
            (Effect::Isolate, EffectState::TimedOut) => Count::IsolationsTimedOut,
            (Effect::Isolate, EffectState::Cancelled) => Count::IsolationsCancelled,
            _ => return,
        };
        self.tally.one(count);
    }

    /// A release was reported as done: is it the last word? One that hung may have been overtaken by an isolation.
    async fn check_release(&self, claim: &Claim, now: Timestamp) {
        let outcome = async {
            let mut actions = self.reader.actions_of(&claim.device, call(now)).await?;
            actions.retain(|action| matches!(action.kind, ActionKind::Isolate | ActionKind::Unisolate));
            let ended = |action: &MachineAction| action.updated.or(action.created);
            let last =
                actions.iter().filter(|action| !action.is_open() || action.kind == ActionKind::Isolate);
            let Some(last) = last.max_by_key(|action| ended(action)) else { return Ok(()) };
            let isolates = last.kind == ActionKind::Isolate
                && (last.is_open() || last.status == ActionStatus::Succeeded);
            if !isolates {
                return Ok(());
            }
            let who = model::one_line(last.requestor.as_deref().unwrap_or("somebody"), 80);
            let facts =
                vec![format!("machine action {} ({}), at the request of {who}", last.id, last.status)];
            let identity = ["still-isolated", claim.id.as_str(), last.id.as_str()];
            self.tell(&identity, Topic::StillIsolated, Some(&claim.device), facts, now).await
        };
        let outcome: Result<(), TrackError> = outcome.await;
        if let Err(error) = outcome {
            // The release stands as the service reported it; this was a second look.
            tracing::warn!(device = %claim.device, error = crate::describe(&error), "a release was not checked");
        }
    }

    /// A claim without an answer, or one that was to be asked for once more: it is left to whoever asked, and settled
    /// here when that must have been lost.
    async fn settle(&self, stored: &Stored<Claim>, now: Timestamp) -> Result<Claim, TrackError> {
        let claim = &stored.value;
        if claim.state == EffectState::Claimed {
            if now.duration_since(claim.changed_at) < LEFT_CLAIMED {
                return Ok(claim.clone());
            }
            return self.abandon(stored, now).await;
        }
        if now < later(claim.due, LEFT_TO_ASKER) {
            return Ok(claim.clone());
        }
        let actions = self.reader.actions_of(&claim.device, call(now)).await?;
        match claim.own_action(&self.tenant, &actions) {
            Some(action) => {
                let event = Event::Accepted { action: action.id.clone(), look: now };
                let case = self.case_of(claim, now).await?;
                let note = "the answer to the request was lost; its machine action was found by its mark";
                self.end(stored, event, case, vec![note.to_owned()], now).await
            }
            // An order has gone stale by now, or is about to.
            None if claim.order.is_some() => {
                let case = self.case_of(claim, now).await?;
                let note = "the request never reached Defender: nothing was done";
                self.end(stored, Event::Rejected, case, vec![note.to_owned()], now).await
            }
            // Surely not asked for: whoever comes back may ask, until it is given up.
            None => Ok(self
                .claims()
                .after(stored, Event::NotReached { not_before: now }, Vec::new(), now)
                .await?
                .value),
        }
    }

    /// Nobody asks for it once more.
    async fn abandon(&self, stored: &Stored<Claim>, now: Timestamp) -> Result<Claim, TrackError> {
        let claim = &stored.value;
        let note = format!(
            "the {} of the device was to be asked for once more since {:.0}, and was not: given up, nothing was done",
            claim.effect.word(),
            claim.changed_at
        );
        let case = self.case_of(claim, now).await?;
        if case.is_none() {
            let identity = ["given-up", claim.id.as_str()];
            self.tell(&identity, Topic::Stuck, Some(&claim.device), vec![note], now).await?;
            return Ok(self.claims().after(stored, Event::GivenUp, Vec::new(), now).await?.value);
        }
        self.end(stored, Event::GivenUp, case, vec![note], now).await
    }

    /// Remembers as whom the service notes what Cordon asks for.
    async fn learn(&self, action: &MachineAction, now: Timestamp) -> Result<(), TrackError> {
        match &action.requestor {
            Some(requestor) if action.is_by_cordon() => self.remember_requestor(requestor, now).await,
            _ => Ok(()),
        }
    }
}

/// What the service's status means. `Cancelled` is not a success, and a status that this version does not know
/// is not an end.
fn event_of(action: &MachineAction, look: Timestamp) -> Event {
    match action.status {
        ActionStatus::Pending | ActionStatus::InProgress | ActionStatus::Other(_) => Event::Waiting { look },
        ActionStatus::Succeeded => Event::Ended(Ending::Succeeded),
        ActionStatus::Failed => Event::Ended(Ending::Failed),
        ActionStatus::TimeOut => Event::Ended(Ending::TimedOut),
        ActionStatus::Cancelled => Event::Ended(Ending::Cancelled),
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
