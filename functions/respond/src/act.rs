//! Carries an isolation out, in phases: claim, read once more, ask once, record.
//!
//! At every point a crash leaves a state from which reading finds the way on: a claim without a request may be
//! taken over, a request without an answer is settled by reading the device's machine actions for our marker,
//! and is repeated only after a quiet time in which none appeared.

use crate::{
    Respond, SOON, Stop, Work,
    claims::{Held, Requesting},
    later,
    standing::{Standing, standing},
    what_follows,
};
use defender::{ApiError, EFFECT_TIMEOUT, Reached};
use jiff::{SignedDuration, Timestamp};
use model::{
    ActionKind, ActionStatus, ActionTaken, Alert, Answer, Decision, Device, DeviceFact, DeviceId,
    EffectState, MachineAction, Mode, one_line,
};
use ports::{Claim, Count};

/// For how long an open isolation counts as open without asking the service.
const RECENT: SignedDuration = SignedDuration::from_mins(1);

/// When a missing answer is looked for again at first: a call that was under way has ended by then.
const LOOK: SignedDuration = SignedDuration::from_secs(EFFECT_TIMEOUT.as_secs().cast_signed());

/// A decided isolation that has not been asked for after this time is news.
pub(crate) const LONG: SignedDuration = SignedDuration::from_mins(5);

/// What was read just before the call.
struct Fresh {
    alert: Alert,
    device: DeviceFact,
    decision: Decision,
    actions: Vec<MachineAction>,
}

impl Respond {
    /// The request that was made on account of this alert and of which its message has not heard the end, because
    /// the answer was lost or whoever asked has died. It is settled whatever would be decided by now: the alert may
    /// have become too old, or the mode another one, and the device may be cut off all the same.
    pub(crate) async fn own_request(&self, work: &Work) -> Result<Option<Held>, Stop> {
        let Some(device) = work.device_id() else { return Ok(None) };
        let held = self.read_claim(device, work.now).await?;
        Ok(held.filter(|held| is_awaited(work, &held.claim)))
    }

    /// Settles the request that [`Respond::own_request`] has found.
    pub(crate) async fn settle_own(&self, work: &mut Work, held: Held) -> Result<(), Stop> {
        match held.claim.state {
            EffectState::Requesting | EffectState::Unknown => {
                let device = held.claim.device.clone();
                Box::pin(self.look_for_own(work, &device, held)).await
            }
            _ => self.join(work, &held.claim).await,
        }
    }

    /// Isolates the device of this alert, or finds out why not to.
    pub(crate) async fn act(&self, work: &mut Work) -> Result<(), Stop> {
        // The policy never answers `isolate` for a device that it does not know.
        let Some(device) = work.message.body.device.known().map(|device| device.id.clone()) else {
            return Err(Stop::Broken("an isolation without a device was decided".to_owned()));
        };
        let Some(held) = self.read_claim(&device, work.now).await? else {
            return self.go_on(work, &device, None).await;
        };
        match held.claim.state {
            EffectState::Requested | EffectState::Pending => self.join_open(work, held).await,
            EffectState::Requesting | EffectState::Unknown => {
                Box::pin(self.look_for_own(work, &device, held)).await
            }
            // Nothing was asked, or an earlier generation is over; how the device stands now is read below.
            EffectState::Claimed
            | EffectState::Succeeded
            | EffectState::Adopted
            | EffectState::Failed
            | EffectState::TimedOut
            | EffectState::Cancelled
            | EffectState::Refused
            | EffectState::Observed
            | EffectState::Proposed => self.go_on(work, &device, Some(held)).await,
        }
    }

    /// Reads the alert, the device and its machine actions as they are now, judges once more, and asks if all of
    /// it still says so.
    async fn go_on(&self, work: &mut Work, device: &DeviceId, before: Option<Held>) -> Result<(), Stop> {
        let fresh = match self.read_again(work, device).await? {
            Ok(fresh) => fresh,
            Err(doubt) => return self.refuse(work, before, doubt).await,
        };
        let (state, still_acts) = what_follows(&fresh.decision);
        if !still_acts {
            let note = "the alert or the device had changed when it was read again".to_owned();
            let outcome = outcome_of(work, &fresh, fresh.decision.clone(), state, vec![note]);
            self.give_up(before, work.now).await?;
            return self.finish(work, outcome).await;
        }
        let hands_off = self.playbook.settings.isolation.hands_off_after_release;
        match standing(&fresh.actions, work.now) {
            Standing::Isolating(action) | Standing::Isolated(action) => {
                let action = action.clone();
                self.adopt(work, device, before, &fresh, &action).await
            }
            Standing::Released(at) | Standing::Cancelled(at) if work.now.duration_since(at) < hands_off => {
                let note = format!(
                    "somebody released this device, or cancelled its isolation, at {at:.0}: for {} h after that \
                     Cordon asks instead of acting",
                    hands_off.as_hours()
                );
                let decision = Decision { answer: Answer::Propose, tell: true, ..fresh.decision.clone() };
                let outcome = outcome_of(work, &fresh, decision, Some(EffectState::Proposed), vec![note]);
                self.give_up(before, work.now).await?;
                self.finish(work, outcome).await
            }
            Standing::Unclear => {
                let doubt = "the device's machine actions carry no times, so it cannot be told whether it is isolated";
                self.refuse(work, before, doubt.to_owned()).await
            }
            Standing::Free | Standing::Released(_) | Standing::Cancelled(_) => {
                let how = fresh.decision.isolation_type;
                let held = match before {
                    Some(held) if held.claim.state == EffectState::Claimed => held,
                    before => self.claim(work, device, before, how).await?,
                };
                let requesting = self.begin_request(held, work, how).await?;
                self.ask(work, device, requesting, &fresh).await
            }
        }
    }

    /// The one place where a device is cut off.
    async fn ask(
        &self,
        work: &mut Work,
        device: &DeviceId,
        proof: Requesting,
        fresh: &Fresh,
    ) -> Result<(), Stop> {
        let comment = self.comment(proof.claim(), &fresh.alert);
        let how = fresh.decision.isolation_type;
        let answer = self.responder.isolate(device, how, &comment, work.now).await;
        let held = proof.into_held();
        let failed = match answer {
            Ok(action) if action.kind == ActionKind::Isolate && action.device.as_ref() == Some(device) => {
                return if action.carries(&held.claim.id) {
                    self.requested(work, held, fresh, &action).await
                } else {
                    self.adopt(work, device, Some(held), fresh, &action).await
                };
            }
            Ok(_) => {
                return self
                    .is_unknown(work, device, held, "the service answered with another machine action")
                    .await;
            }
            Err(failed) => failed,
        };
        let why = failed.error.to_string();
        tracing::warn!(%device, claim = %held.claim.id, reached = ?failed.reached, why, "isolating was not confirmed");
        if failed.reached != Reached::No {
            return self.is_unknown(work, device, held, &why).await;
        }
        if let Some(wait) = failed.error.passes_in() {
            self.settle(held, EffectState::Claimed, None, work.now).await?;
            return Err(Stop::Defer { until: later(work.now, wait), why });
        }
        // "Already in progress" comes as a 400 whose code is not documented: look rather than guess.
        if let ApiError::BadRequest(_) = failed.error {
            let Ok(actions) = self.reader.actions_of(device, work.call()).await else {
                return self.is_unknown(work, device, held, &why).await;
            };
            if let Standing::Isolating(action) | Standing::Isolated(action) = standing(&actions, work.now) {
                return self.adopt(work, device, Some(held), fresh, action).await;
            }
        }
        let hint = match failed.error {
            ApiError::Forbidden(_) => "; does the app that acts hold Machine.Isolate?",
            _ => "",
        };
        let held = self.settle(held, EffectState::Failed, None, work.now).await?;
        self.tally.one(Count::IsolationsFailed);
        let outcome = on_claim(
            outcome_of(
                work,
                fresh,
                fresh.decision.clone(),
                Some(EffectState::Failed),
                vec![format!("{why}{hint}")],
            ),
            &held.claim,
        );
        self.finish(work, outcome).await
    }

    /// The call may or may not have reached the service. If our marker can be seen already it has; if not, only
    /// the quiet time can tell.
    async fn is_unknown(
        &self,
        work: &mut Work,
        device: &DeviceId,
        held: Held,
        why: &str,
    ) -> Result<(), Stop> {
        let held = match held.claim.state {
            EffectState::Unknown => held,
            _ => self.settle(held, EffectState::Unknown, None, work.now).await?,
        };
        let due = held.claim.due;
        if let Ok(actions) = self.reader.actions_of(device, work.call()).await
            && let Some(action) = self.own_action(&held.claim, &actions)
        {
            return self.found_own(work, held, action).await;
        }
        let body = &work.message.body;
        let decision = self.decide(&body.found.alert, &body.device, work);
        let note =
            format!("{why}; whether the service has acted is read from its machine actions until {due:.0}");
        let outcome = on_claim(work.outcome(decision, Some(EffectState::Unknown), vec![note]), &held.claim);
        self.announce_meanwhile(work, outcome).await?;
        Err(Stop::Defer {
            until: next_look(&held.claim, work.now),
            why: "it is not known yet whether the isolation was asked for".to_owned(),
        })
    }

    /// A request whose answer nobody has recorded: settles it by reading.
    async fn look_for_own(&self, work: &mut Work, device: &DeviceId, held: Held) -> Result<(), Stop> {
        let actions = self.reader.actions_of(device, work.call()).await.map_err(|error| {
            let wait = error.passes_in().unwrap_or(SignedDuration::from_mins(1));
            Stop::Defer { until: later(work.now, wait), why: error.to_string() }
        })?;
        if let Some(action) = self.own_action(&held.claim, &actions) {
            return self.found_own(work, held, action).await;
        }
        if work.now < held.claim.due {
            let why = "an isolation of this device may be under way".to_owned();
            return Err(Stop::Defer { until: next_look(&held.claim, work.now), why });
        }
        // Nothing of ours has appeared in the quiet time: the service never got it, and may be asked.
        let held = self.settle(held, EffectState::Claimed, None, work.now).await?;
        self.go_on(work, device, Some(held)).await
    }

    /// What was decided when the request was made, which was an isolation, in force, whatever would be decided by
    /// now.
    fn decision_behind(&self, claim: &Claim, work: &Work) -> Decision {
        let recorded = work.case.as_ref().map(|case| &case.value.last);
        if let Some(last) = recorded.filter(|last| last.claim.as_ref() == Some(&claim.id)) {
            return last.decision.clone();
        }
        let body = &work.message.body;
        let decision = self.decide(&body.found.alert, &body.device, work);
        if what_follows(&decision).1 {
            return decision;
        }
        let (forbidden_by, doubts) = (Vec::new(), Vec::new());
        Decision {
            answer: Answer::Isolate,
            mode: Mode::Enforce,
            forbidden_by,
            doubts,
            tell: true,
            ..decision
        }
    }

    async fn found_own(&self, work: &mut Work, held: Held, action: &MachineAction) -> Result<(), Stop> {
        let body = &work.message.body;
        let fresh = Fresh {
            alert: body.found.alert.clone(),
            device: body.device.clone(),
            decision: self.decision_behind(&held.claim, work),
            actions: Vec::new(),
        };
        self.requested(work, held, &fresh, action).await
    }

    async fn requested(
        &self,
        work: &mut Work,
        held: Held,
        fresh: &Fresh,
        action: &MachineAction,
    ) -> Result<(), Stop> {
        let held = self.settle(held, EffectState::Requested, Some(action.id.clone()), work.now).await?;
        self.tally.one(Count::IsolationsRequested);
        let outcome =
            outcome_of(work, fresh, fresh.decision.clone(), Some(EffectState::Requested), Vec::new());
        self.finish(work, on_claim(outcome, &held.claim)).await
    }

    /// Somebody else's isolation is open or in force. Nothing is asked, and Cordon will never release it by
    /// itself. Where it is one that Cordon asked for on account of another alert, this alert joins that.
    async fn adopt(
        &self,
        work: &mut Work,
        device: &DeviceId,
        before: Option<Held>,
        fresh: &Fresh,
        action: &MachineAction,
    ) -> Result<(), Stop> {
        let before = match before {
            Some(held) if self.own_action(&held.claim, std::slice::from_ref(action)).is_some() => {
                match held.claim.state {
                    EffectState::Requested | EffectState::Pending | EffectState::Succeeded => {
                        return self.join(work, &held.claim).await;
                    }
                    state if !is_spent(state) => return self.requested(work, held, fresh, action).await,
                    _ => Some(held),
                }
            }
            before => before,
        };
        let known = before.as_ref().is_some_and(|held| {
            held.claim.state == EffectState::Adopted && held.claim.action.as_ref() == Some(&action.id)
        });
        let held = match before {
            Some(held) if known => held,
            Some(held) if !is_spent(held.claim.state) => {
                self.settle(held, EffectState::Adopted, Some(action.id.clone()), work.now).await?
            }
            before => {
                let held = self.claim(work, device, before, fresh.decision.isolation_type).await?;
                self.settle(held, EffectState::Adopted, Some(action.id.clone()), work.now).await?
            }
        };
        if !known {
            self.tally.one(Count::IsolationsAdopted);
        }
        let who = action.requestor.as_deref().map_or_else(|| "somebody".to_owned(), |who| one_line(who, 80));
        let note = format!("already isolated, or being isolated, at the request of {who}: nothing was asked");
        let outcome = outcome_of(work, fresh, fresh.decision.clone(), Some(EffectState::Adopted), vec![note]);
        self.finish(work, on_claim(outcome, &held.claim)).await
    }

    /// This alert's device is being cut off on account of another one, as far as the state knows. If that was a
    /// while ago, the service is asked whether it is still so: an isolation that has failed meanwhile must not be
    /// joined. Then `track` is made to look, and this alert comes again.
    async fn join_open(&self, work: &mut Work, held: Held) -> Result<(), Stop> {
        let is_recent = work.now.duration_since(held.claim.changed_at) < RECENT;
        let Some(action) = held.claim.action.clone().filter(|_| !is_recent) else {
            return self.join(work, &held.claim).await;
        };
        let has_ended = match self.reader.action(&action, work.call()).await {
            Ok(action) => !action.is_open() && action.status != ActionStatus::Succeeded,
            // What became of it can only be seen on the device now.
            Err(ApiError::NotFound(_)) => {
                let device = held.claim.device.clone();
                return Box::pin(self.go_on(work, &device, Some(held))).await;
            }
            Err(error) => {
                let wait = error.passes_in().unwrap_or(SignedDuration::from_mins(1));
                return Err(Stop::Defer { until: later(work.now, wait), why: error.to_string() });
            }
        };
        if !has_ended {
            return self.join(work, &held.claim).await;
        }
        self.have_looked_at(held, work.now).await?;
        let why = "the isolation that this alert would have joined has ended".to_owned();
        Err(Stop::Defer { until: later(work.now, SOON), why })
    }

    /// This alert's device is already being cut off on account of another one.
    async fn join(&self, work: &mut Work, claim: &Claim) -> Result<(), Stop> {
        let body = &work.message.body;
        let mut decision = self.decision_behind(claim, work);
        // What people read about the device is the isolation that it gets, not the one it might have got.
        decision.isolation_type = claim.isolation_type;
        let own = claim.alert == body.found.alert.id;
        let note = format!("one isolation for this device, asked for on account of alert {}", claim.alert);
        let notes = if own { Vec::new() } else { vec![note] };
        let outcome = on_claim(work.outcome(decision, Some(claim.state), notes), claim);
        self.finish(work, outcome).await
    }

    async fn refuse(&self, work: &mut Work, before: Option<Held>, doubt: String) -> Result<(), Stop> {
        let body = &work.message.body;
        let mut decision = self.decide(&body.found.alert, &body.device, work);
        decision.answer = Answer::Refused;
        decision.tell = true;
        decision.doubts.push(doubt);
        self.give_up(before, work.now).await?;
        let outcome = work.outcome(decision, Some(EffectState::Refused), Vec::new());
        self.finish(work, outcome).await
    }

    /// A claim for which nothing was asked is over. Its generation is not used again.
    async fn give_up(&self, before: Option<Held>, now: Timestamp) -> Result<(), Stop> {
        if let Some(held) = before.filter(|held| held.claim.state == EffectState::Claimed) {
            self.settle(held, EffectState::Refused, None, now).await?;
        }
        Ok(())
    }

    /// The inner error is a doubt: reading will not get better by itself.
    async fn read_again(&self, work: &Work, device: &DeviceId) -> Result<Result<Fresh, String>, Stop> {
        let doubt_or_wait = |what: &str, error: &ApiError| match error.passes_in() {
            Some(wait) => Err(Stop::Defer { until: later(work.now, wait), why: format!("{what}: {error}") }),
            None => Ok(format!("{what} could not be read just before acting: {error}")),
        };
        let id = &work.message.body.found.alert.id;
        let alert = match self.reader.alert(id, work.call()).await {
            Ok(alert) if alert.id == *id => alert,
            Ok(_) => return Ok(Err("the service answered with another alert".to_owned())),
            Err(error) => return doubt_or_wait("the alert", &error).map(Err),
        };
        let known: Device = match self.reader.machine(device, work.call()).await {
            Ok(Some(known)) => known,
            Ok(None) => return Ok(Err(format!("the service does not know the device {device} any more"))),
            Err(error) => return doubt_or_wait("the device", &error).map(Err),
        };
        let actions = match self.reader.actions_of(device, work.call()).await {
            Ok(actions) => actions,
            Err(error) => return doubt_or_wait("the device's machine actions", &error).map(Err),
        };
        let fact = DeviceFact::Known(known);
        let decision = self.decide(&alert, &fact, work);
        Ok(Ok(Fresh { alert, device: fact, decision, actions }))
    }

    /// Whether the device is isolated, or about to be, by a claim of ours and by its machine actions. In doubt it is
    /// not: then people are asked.
    pub(crate) async fn is_cut_off(&self, work: &Work) -> Result<bool, Stop> {
        let Some(device) = work.device_id() else { return Ok(false) };
        let stands = |state| {
            matches!(
                state,
                EffectState::Requested | EffectState::Pending | EffectState::Succeeded | EffectState::Adopted
            )
        };
        if !self.read_claim(device, work.now).await?.is_some_and(|held| stands(held.claim.state)) {
            return Ok(false);
        }
        let actions = self.reader.actions_of(device, work.call()).await.unwrap_or_default();
        Ok(matches!(standing(&actions, work.now), Standing::Isolating(_) | Standing::Isolated(_)))
    }

    /// An isolation was decided and cannot be asked for yet. If that goes on for a while, people hear of it: they
    /// may have to act in Cordon's place.
    pub(crate) async fn tell_delay(
        &self,
        work: &mut Work,
        decision: Decision,
        why: &str,
    ) -> Result<(), Stop> {
        let waiting = work.now.duration_since(work.message.body.found.first_seen.at);
        let is_known = work.case.as_ref().is_some_and(|case| case.value.last.claim.is_some());
        if waiting < LONG || is_known {
            return Ok(());
        }
        let note = format!("not asked for yet, after {} min: {why}", waiting.as_mins());
        let outcome = work.outcome(decision, Some(EffectState::Claimed), vec![note]);
        self.announce_meanwhile(work, outcome).await
    }

    fn comment(&self, claim: &Claim, alert: &Alert) -> String {
        let text = &self.playbook.settings.isolation.comment;
        // The mark comes first, where nothing can cut it off.
        format!("{} {text}: alert {}, {}", claim.id.marker(), alert.id, one_line(&alert.title, 120))
    }
}

/// Whether this alert's message has yet to hear the end of the claim: it was claimed on its account, or the alert's
/// last outcome is about it.
fn is_awaited(work: &Work, claim: &Claim) -> bool {
    let found = &work.message.body.found;
    // A claim from before this alert was first seen stands for an earlier life of it.
    let on_account = claim.alert == found.alert.id && claim.claimed_at >= found.first_seen.at;
    match claim.state {
        EffectState::Requesting | EffectState::Unknown => on_account,
        EffectState::Requested
        | EffectState::Pending
        | EffectState::Succeeded
        | EffectState::Failed
        | EffectState::TimedOut
        | EffectState::Cancelled => match work.case.as_ref().map(|case| &case.value) {
            None => on_account,
            Some(case) => case.last.claim.as_ref() == Some(&claim.id) && case.last.revision == found.revision,
        },
        EffectState::Claimed
        | EffectState::Adopted
        | EffectState::Refused
        | EffectState::Observed
        | EffectState::Proposed => false,
    }
}

/// Whether nothing can come of a claim any more but what is recorded: the next effect needs a new generation.
fn is_spent(state: EffectState) -> bool {
    state != EffectState::Claimed && !state.is_unanswered()
}

/// When to look again for the machine action of a request without an answer: ever more rarely, because many devices
/// share the quota, and at last when its quiet time is over.
fn next_look(claim: &Claim, now: Timestamp) -> Timestamp {
    let waited = now.duration_since(claim.changed_at);
    later(now, waited.max(LOOK)).min(claim.due)
}

/// An outcome on what was read just before it. The alert keeps the message's evidence, shortened as it was.
fn outcome_of(
    work: &Work,
    fresh: &Fresh,
    decision: Decision,
    state: Option<EffectState>,
    notes: Vec<String>,
) -> ActionTaken {
    let mut outcome = work.outcome(decision, state, notes);
    outcome.device = fresh.device.clone();
    outcome.alert.status = fresh.alert.status.clone();
    outcome.alert.severity = fresh.alert.severity.clone();
    outcome.alert.classification = fresh.alert.classification.clone();
    outcome
}

fn on_claim(mut outcome: ActionTaken, claim: &Claim) -> ActionTaken {
    outcome.claim = Some(claim.id.clone());
    outcome.action = claim.action.clone();
    outcome
}
