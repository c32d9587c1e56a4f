//! The step that judges each alert against the policy, claims the effect, acts and records: the only one that
//! may change anything in a tenant.
//!
//! Everything that it does can happen twice without harm: a message that comes again finds what was done. Whether
//! an outcome is followed to its end is `track`'s business, telling people is `notify`'s.

mod act;
mod claims;
mod create;
mod orders;
mod outcome;
mod release;
mod standing;
mod surroundings;

use defender::{Call, Reader, Responder};
use jiff::{SignedDuration, Timestamp};
use model::{
    ActionTaken, AlertEnriched, Answer, Decision, DeviceFact, EffectRequested, EffectState, Envelope, Mode,
    TenantId,
};
use policy::{Case, Playbook, Surroundings};
use ports::{
    CaseRow, ClaimError, CommitError, Disposition, Order, Queue, QueueError, QueueName, State, StateError,
    Stored, Tally, dispatch,
};
use std::sync::Arc;

pub use standing::{Standing, standing};

/// How long one read of the tenant may take before acting, retries included. Three of them fit into the time that a
/// Lambda function has for a message; a service that asks to wait for longer is waited for by deferring.
const READ_BUDGET: SignedDuration = SignedDuration::from_secs(8);

/// When to come back after our own queue or state failed, or somebody else was faster.
const SOON: SignedDuration = SignedDuration::from_secs(5);

/// The step with all that it needs.
#[derive(Debug, Clone)]
pub struct Respond {
    pub tenant: TenantId,
    pub reader: Reader,
    pub responder: Arc<Responder>,
    pub playbook: Arc<Playbook>,
    /// What `CORDON_MODE` says.
    pub environment_mode: Option<Mode>,
    pub queue: Queue,
    pub state: State,
    pub tally: Tally,
}

/// Why a message cannot be finished now.
#[derive(Debug)]
enum Stop {
    /// Something of ours was not available, or somebody else was faster: soon again, from the start. Waiting is
    /// not failing: an alert that can be read is never a dead letter for this.
    Again(String),
    /// The service has to be waited for.
    Defer { until: Timestamp, why: String },
    /// A row of the state that has to be known cannot be read, and will not be by itself.
    Unreadable(String),
    /// This should not be. Counts as failing.
    Broken(String),
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Stop {
        match error {
            StateError::Unavailable(_) => Stop::Again(error.to_string()),
            StateError::Unreadable { .. } => Stop::Unreadable(error.to_string()),
        }
    }
}

/// Whatever kept a write from happening, reading again and going on from there is right: a lost race, too.
impl From<CommitError> for Stop {
    fn from(error: CommitError) -> Stop {
        Stop::Again(error.to_string())
    }
}

impl From<ClaimError> for Stop {
    fn from(error: ClaimError) -> Stop {
        match error {
            ClaimError::State(error) => error.into(),
            ClaimError::Commit(error) => error.into(),
            ClaimError::Lost => Stop::Again(error.to_string()),
            ClaimError::Impossible(_) => Stop::Broken(error.to_string()),
        }
    }
}

impl From<QueueError> for Stop {
    fn from(error: QueueError) -> Stop {
        match error {
            QueueError::Unavailable(_) => Stop::Again(error.to_string()),
            QueueError::TooLarge { .. } => Stop::Broken(error.to_string()),
        }
    }
}

/// One alert on one device, while it is worked on.
struct Work {
    message: Envelope<AlertEnriched>,
    case: Option<Stored<CaseRow>>,
    /// The order by which it is worked on, where it does not come from the alert by itself.
    order: Option<Order>,
    how: Option<orders::How>,
    /// Why an order by hand is not carried out: the case stays as it is, and whoever gave the order hears it.
    refusal: Option<String>,
    /// What our own state says for the policies.
    surroundings: Surroundings,
    now: Timestamp,
}

impl Work {
    fn device_id(&self) -> Option<&model::DeviceId> {
        self.message.body.about.as_ref().and_then(|about| about.id())
    }

    /// Whether a person has ordered it, so that the policy is not asked.
    fn is_by_hand(&self) -> bool {
        self.order.as_ref().is_some_and(|order| order.cause != model::Cause::Held)
    }

    fn call(&self) -> Call {
        Call { now: self.now, budget: READ_BUDGET }
    }

    /// An outcome on what the message brought.
    fn outcome(&self, decision: Decision, state: Option<EffectState>, notes: Vec<String>) -> ActionTaken {
        let body = &self.message.body;
        ActionTaken {
            alert: body.found.alert.clone(),
            revision: body.found.revision.clone(),
            device: body.device.clone(),
            decision,
            effect: model::Effect::Isolate,
            state,
            notes,
            claim: None,
            action: None,
        }
    }

    /// Whether this revision brings a raised severity or new evidence over what was judged, and is not older than
    /// that: messages come in any order. True for the first.
    fn is_newly_actionable(&self) -> bool {
        let Some(case) = self.case.as_ref().map(|case| &case.value).filter(|case| !case.judged.is_empty())
        else {
            return true;
        };
        let found = &self.message.body.found;
        let rank =
            |severity: &Option<model::Severity>| severity.as_ref().and_then(|severity| severity.rank());
        let is_older = found.alert.updated < case.updated;
        let brings_more =
            rank(&found.alert.severity) > rank(&case.severity) || !found.evidence.is_subset(&case.evidence);
        brings_more && !is_older
    }

    fn was_judged(&self) -> bool {
        let revision = &self.message.body.found.revision;
        self.case.as_ref().is_some_and(|case| case.value.judged.contains(revision))
    }
}

impl Respond {
    /// Takes a message of one of its two queues.
    pub async fn take(&self, queue: QueueName, body: &str, now: Timestamp) -> Disposition {
        if queue == QueueName::EffectsRequested {
            dispatch(&self.tenant, body, now, |order| self.handle_order(order, now)).await
        } else {
            dispatch(&self.tenant, body, now, |enriched| self.handle(enriched, now)).await
        }
    }

    /// Decides one alert on one device, and does what the decision says.
    pub async fn handle(&self, message: Envelope<AlertEnriched>, now: Timestamp) -> Disposition {
        let since = message.occurred_at;
        disposition(Box::pin(self.judge(message, now)).await, since, now)
    }

    /// Carries out an order, unless it has gone stale.
    pub async fn handle_order(&self, order: Envelope<EffectRequested>, now: Timestamp) -> Disposition {
        let since = order.occurred_at;
        disposition(Box::pin(self.carry_out(order, now)).await, since, now)
    }

    async fn judge(&self, message: Envelope<AlertEnriched>, now: Timestamp) -> Result<(), Stop> {
        let about = message.body.about.as_ref().and_then(|about| about.id());
        let key = CaseRow::key(&self.tenant, &message.body.found.alert.id, about);
        let case = match self.state.get(&key, now).await {
            Err(error @ StateError::Unreadable { .. }) => {
                return self.tell_undecided(&message, &error, now).await;
            }
            case => case?,
        };
        let mut work = Work {
            message,
            case,
            order: None,
            how: None,
            refusal: None,
            surroundings: Surroundings::default(),
            now,
        };
        match Box::pin(self.judge_case(&mut work)).await {
            // A claim, the brakes: what cannot be known is a doubt, and to wait for it is no answer.
            Err(Stop::Unreadable(why)) => self.refuse(&mut work, None, why).await,
            judged => judged,
        }
    }

    async fn judge_case(&self, work: &mut Work) -> Result<(), Stop> {
        if work.was_judged() {
            return self.announce_again(work).await;
        }
        work.surroundings = self.surroundings(work).await?;
        if let Some(held) = self.own_request(work).await? {
            return Box::pin(self.settle_own(work, held)).await;
        }
        let decision = self.decide_on_message(work);
        if !work.is_newly_actionable() {
            return self.record_triage(work, decision).await;
        }
        let (state, acts) = what_follows(&decision);
        if acts {
            let acted = Box::pin(self.act(work)).await;
            if let Err(Stop::Defer { why, .. }) = &acted {
                self.tell_delay(work, decision, why).await?;
            }
            return acted;
        }
        let mut outcome = work.outcome(decision, state, Vec::new());
        if outcome.decision.answer == Answer::Propose && self.is_cut_off(work).await? {
            outcome.decision.tell = false;
            outcome
                .notes
                .push("this device is isolated, or about to be: nobody is asked whether to".to_owned());
        }
        if outcome.decision.answer == Answer::Refused && !outcome.decision.tell {
            outcome.notes.extend(self.came_too_late(work));
            outcome.decision.tell = !outcome.notes.is_empty();
        }
        self.finish(work, outcome).await
    }

    /// What people have to know of an alert that would have been acted upon when it was found, and is not now
    /// because Cordon took so long.
    fn came_too_late(&self, work: &Work) -> Option<String> {
        let found = &work.message.body.found;
        let waited = work.now.duration_since(found.first_seen.at);
        let then = self.playbook.decide(&Case {
            alert: &found.alert,
            device: &work.message.body.device,
            first_seen: found.first_seen,
            environment_mode: self.environment_mode,
            surroundings: work.surroundings,
            now: found.first_seen.at,
        });
        let was_wanted = matches!(then.answer, Answer::Isolate | Answer::Propose);
        (was_wanted && waited >= act::LONG).then(|| {
            let answer = then.answer.as_str();
            format!(
                "when it was found, {} min ago, the answer was `{answer}`: Cordon comes too late",
                waited.as_mins()
            )
        })
    }

    fn decide_on_message(&self, work: &Work) -> Decision {
        let body = &work.message.body;
        self.decide(&body.found.alert, &body.device, work, work.surroundings)
    }

    fn decide(
        &self,
        alert: &model::Alert,
        device: &DeviceFact,
        work: &Work,
        surroundings: Surroundings,
    ) -> Decision {
        self.playbook.decide(&Case {
            alert,
            device,
            first_seen: work.message.body.found.first_seen,
            environment_mode: self.environment_mode,
            surroundings,
            now: work.now,
        })
    }
}

/// The state that a decision leads to by itself, and whether it is to be carried out.
fn what_follows(decision: &Decision) -> (Option<EffectState>, bool) {
    match (decision.answer, decision.mode) {
        (Answer::Isolate, Mode::Enforce) => (None, true),
        (Answer::Isolate, Mode::Observe) => (Some(EffectState::Observed), false),
        (Answer::Propose, _) => (Some(EffectState::Proposed), false),
        (Answer::Refused, _) => (Some(EffectState::Refused), false),
        (Answer::None, _) => (None, false),
    }
}

/// `since`: how old the message is. A state that refuses for long (a permission taken away) fails nothing and ages
/// nothing: it is an error in the log, which is what an alarm can hear.
fn disposition(outcome: Result<(), Stop>, since: Timestamp, now: Timestamp) -> Disposition {
    match outcome {
        Ok(()) => Disposition::Done,
        Err(Stop::Again(why)) => {
            let age = now.duration_since(since);
            if age > act::LONG {
                tracing::error!(
                    why,
                    age_min = age.as_mins(),
                    "our own state or queue keeps a message waiting"
                );
            }
            Disposition::Defer { until: later(now, SOON), why }
        }
        Err(Stop::Defer { until, why }) => Disposition::Defer { until, why },
        Err(Stop::Broken(why) | Stop::Unreadable(why)) => Disposition::Retry { after: SOON, why },
    }
}

fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
