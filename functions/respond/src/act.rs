//! Carries an isolation out, in phases: claim, read once more, ask once, record.
//!
//! At every point a crash leaves a state from which reading finds the way on: a claim without a request may be
//! taken over, a request without an answer is settled by reading the device's machine actions for our marker,
//! and is repeated only after a quiet time in which none appeared.

use crate::{
    Respond, SOON, Stop, Work,
    claims::{Let, Requesting, accepted, asks_again_in, is_spent, next_look},
    later,
    orders::{UNCLEAR, is_releasing, under_way, while_releasing},
    standing::{Standing, standing},
    what_follows,
};
use defender::{ApiError, Failed, Reached};
use jiff::{SignedDuration, Timestamp};
use model::{
    ActionKind, ActionStatus, ActionTaken, Alert, Answer, Cause, Decision, Device, DeviceFact, DeviceId,
    Effect, EffectState, MachineAction, Mode, one_line,
};
use policy::Surroundings;
use ports::{Acted, Claim, Count, Event, Gate, Stored, Wish};

/// For how long an open isolation counts as open without asking the service.
const RECENT: SignedDuration = SignedDuration::from_mins(1);

/// A decided isolation that has not been asked for after this time is news.
pub(crate) const LONG: SignedDuration = SignedDuration::from_mins(5);

/// What was read just before the call.
pub(crate) struct Fresh {
    pub(crate) alert: Alert,
    pub(crate) device: DeviceFact,
    pub(crate) decision: Decision,
    pub(crate) actions: Vec<MachineAction>,
}

/// What an answer to an effect means.
pub(crate) enum Heard {
    /// The service has it, under our mark.
    Ours(MachineAction),
    /// The service answered with somebody else's machine action, which was under way.
    Others(MachineAction),
    /// Whether the service has it is not known.
    Nothing(String),
    /// The service does not have it.
    No(ApiError),
}

impl Respond {
    /// The request that was made on account of this alert and of which its message has not heard the end, because
    /// the answer was lost or whoever asked has died. It is settled whatever would be decided by now: the alert may
    /// have become too old, or the mode another one, and the device may be cut off all the same.
    pub(crate) async fn own_request(&self, work: &Work) -> Result<Option<Stored<Claim>>, Stop> {
        let Some(device) = work.device_id() else { return Ok(None) };
        // Whoever then wants to act reads it once more, and refuses.
        let held: Option<Stored<Claim>> =
            self.state.get_readable(&Claim::key(&self.tenant, device), work.now).await?;
        Ok(held.filter(|held| is_awaited(work, &held.value)))
    }

    /// Settles the request that [`Respond::own_request`] has found.
    pub(crate) async fn settle_own(&self, work: &mut Work, held: Stored<Claim>) -> Result<(), Stop> {
        match held.value.state {
            EffectState::Requesting | EffectState::Unknown => {
                let device = held.value.device.clone();
                Box::pin(self.look_for_own(work, &device, held)).await
            }
            _ => self.join(work, held).await,
        }
    }

    /// Isolates the device of this alert, or finds out why not to.
    pub(crate) async fn act(&self, work: &mut Work) -> Result<(), Stop> {
        // The policy never answers `isolate` for a device that it does not know.
        let Some(device) = work.message.body.device.known().map(|device| device.id.clone()) else {
            return Err(Stop::Broken("an isolation without a device was decided".to_owned()));
        };
        let Some(held) = self.claims().read(&device, work.now).await? else {
            return Box::pin(self.go_on(work, &device, None)).await;
        };
        match (held.value.effect, held.value.state) {
            (Effect::Isolate, EffectState::Requested | EffectState::Pending) => {
                self.join_open(work, held).await
            }
            (Effect::Isolate, EffectState::Requesting | EffectState::Unknown) => {
                Box::pin(self.look_for_own(work, &device, held)).await
            }
            // Whether it was asked for is found out on account of its order, or by `track`.
            (Effect::Release, EffectState::Requesting | EffectState::Unknown) => {
                Err(under_way(&held.value, work.now))
            }
            // The service has said when it may be asked; a message does not wait for longer than a quarter of an hour.
            (Effect::Isolate, EffectState::Claimed) if held.value.due > work.now => {
                Err(not_yet(&held.value, work.now))
            }
            // Nothing was asked, or an earlier generation is over, or the device is being released; how it stands now
            // is read below.
            _ => Box::pin(self.go_on(work, &device, Some(held))).await,
        }
    }

    /// Reads the alert, the device and its machine actions as they are now, judges once more, and asks if all of
    /// it still says so.
    async fn go_on(
        &self,
        work: &mut Work,
        device: &DeviceId,
        before: Option<Stored<Claim>>,
    ) -> Result<(), Stop> {
        // What was let through already, or is cut off already and will be adopted, needs no more room.
        let needs_room = before.as_ref().map(|held| &held.value).is_none_or(|claim| {
            !(claim.is_cut_off() || (claim.state == EffectState::Claimed && claim.spent))
        });
        if needs_room && let Some(gate) = self.early_gate(work, device).await? {
            let decision = self.decide_on_message(work);
            let body = &work.message.body;
            let (alert, device) = (body.found.alert.clone(), body.device.clone());
            let fresh = Fresh { alert, device, decision, actions: Vec::new() };
            return self.hold(work, before, &fresh, &gate).await;
        }
        let fresh = match self.read_again(work, device).await? {
            Ok(fresh) => fresh,
            Err(doubt) => return self.refuse(work, before, doubt).await,
        };
        if work.is_by_hand() {
            return Box::pin(self.go_on_by_order(work, device, before, fresh)).await;
        }
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
            Standing::Released(_)
                if is_releasing(&fresh.actions) && was_released_by_timer(before.as_ref(), &fresh) =>
            {
                Err(while_releasing(work.now))
            }
            Standing::Released(at) | Standing::Cancelled(at)
                if work.now.duration_since(at) < hands_off
                    && !was_released_by_timer(before.as_ref(), &fresh) =>
            {
                let note = format!(
                    "somebody released this device, or cancelled its isolation, at {at:.0}: for {} h after that \
                     Cordon asks instead of acting",
                    hands_off.as_hours()
                );
                self.propose(work, before, &fresh, note).await
            }
            Standing::Unclear => self.refuse(work, before, UNCLEAR.to_owned()).await,
            Standing::Free | Standing::Released(_) | Standing::Cancelled(_) => {
                if let Some(at) = given_back_at(before.as_ref())
                    && work.now.duration_since(at) < hands_off
                {
                    let note = format!(
                        "a person gave this device back at {at:.0}, before it was isolated: for {} h after that Cordon \
                         asks instead of acting",
                        hands_off.as_hours()
                    );
                    return self.propose(work, before, &fresh, note).await;
                }
                if work.order.is_none()
                    && let Some(acted) = self.has_acted(work, device, before.as_ref()).await?
                {
                    let note = format!(
                        "this alert has had this device isolated once, at {:.0}: it does so again only if a person \
                         says so",
                        acted.at
                    );
                    return self.propose(work, before, &fresh, note).await;
                }
                Box::pin(self.request(work, device, before, fresh)).await
            }
        }
    }

    /// What stands against this isolation already, before the tenant is asked about it: a storm must not use up the
    /// quota for what will be held.
    async fn early_gate(&self, work: &Work, device: &DeviceId) -> Result<Option<Gate>, Stop> {
        let body = &work.message.body;
        let wish = Wish {
            device,
            group: body.device.known().and_then(|device| device.group.as_deref()),
            causes: if work.is_by_hand() { Vec::new() } else { Wish::causes_of(&body.found.alert) },
            fleet: self.fleet(work.now).await?,
        };
        let limits = &self.playbook.settings.limits;
        let Some((gate, news)) = self.claims().gate(&wish, limits, work.now).await? else { return Ok(None) };
        if let Some(news) = news {
            let alert = &body.found.alert.id;
            self.tell_holding(&gate, news, device, Some(alert), work.now).await?;
        }
        Ok(Some(gate))
    }

    /// Claims the device, passes limits, breaker and pause, and asks.
    pub(crate) async fn request(
        &self,
        work: &mut Work,
        device: &DeviceId,
        before: Option<Stored<Claim>>,
        fresh: Fresh,
    ) -> Result<(), Stop> {
        let how = fresh.decision.isolation_type;
        let held = match before {
            Some(held)
                if held.value.state == EffectState::Claimed && held.value.effect == Effect::Isolate =>
            {
                held
            }
            before => self.claim(work, device, before, how).await?,
        };
        let group = fresh.device.known().and_then(|device| device.group.as_deref());
        match self.begin_request(held.clone(), work, how, group).await? {
            Let::Through(requesting) => Box::pin(self.ask(work, device, *requesting, &fresh)).await,
            Let::Held(gate) => self.hold(work, Some(held), &fresh, &gate).await,
        }
    }

    /// A limit, the breaker or a pause stands against it: nothing was asked, and nothing is forgotten. An order by hand
    /// is no case to hold: whoever gave it hears why not.
    async fn hold(
        &self,
        work: &mut Work,
        before: Option<Stored<Claim>>,
        fresh: &Fresh,
        gate: &Gate,
    ) -> Result<(), Stop> {
        if work.is_by_hand() {
            return self.refuse(work, before, format!("{gate}; {}", gate.way_out())).await;
        }
        self.give_up(before, work.now).await?;
        // People hear of the gate, once, and not of each case behind it.
        let decision = Decision { tell: false, ..fresh.decision.clone() };
        let outcome = outcome_of(work, fresh, decision, Some(EffectState::Held), vec![gate.to_string()]);
        self.tally.one(Count::DecidedHeld);
        self.finish(work, outcome).await
    }

    async fn propose(
        &self,
        work: &mut Work,
        before: Option<Stored<Claim>>,
        fresh: &Fresh,
        note: String,
    ) -> Result<(), Stop> {
        let decision = Decision { answer: Answer::Propose, tell: true, ..fresh.decision.clone() };
        let outcome = outcome_of(work, fresh, decision, Some(EffectState::Proposed), vec![note]);
        self.give_up(before, work.now).await?;
        self.finish(work, outcome).await
    }

    /// Whether this alert has had this device isolated already: a claim of which nothing came does not count. Another
    /// worker with the same alert may have asked since `before` was read, and that isolation is this one: then all of
    /// it is looked at again.
    async fn has_acted(
        &self,
        work: &Work,
        device: &DeviceId,
        before: Option<&Stored<Claim>>,
    ) -> Result<Option<Acted>, Stop> {
        let key = Acted::key(&self.tenant, &work.message.body.found.alert.id, device);
        let acted: Option<Stored<Acted>> = self.state.get(&key, work.now).await?;
        let is_ready = |acted: &Acted| {
            before.is_some_and(|before| {
                let nothing_asked = matches!(before.value.state, EffectState::Claimed | EffectState::Refused);
                nothing_asked && before.value.generation == acted.generation
            })
        };
        let Some(acted) = acted.map(|acted| acted.value).filter(|acted| !is_ready(acted)) else {
            return Ok(None);
        };
        let claim = self.claims().read(device, work.now).await?;
        if Stored::expected(claim.as_ref()) != Stored::expected(before) {
            return Err(Stop::Again("another worker has taken this device's claim on meanwhile".to_owned()));
        }
        Ok(Some(acted))
    }

    /// The one place where a device is cut off.
    async fn ask(
        &self,
        work: &mut Work,
        device: &DeviceId,
        proof: Requesting,
        fresh: &Fresh,
    ) -> Result<(), Stop> {
        let comment = self.comment(proof.claim(), &on_account_of(&fresh.alert));
        let how = fresh.decision.isolation_type;
        let answer = self.responder.isolate(device, how, &comment, work.now).await;
        let held = proof.into_held();
        let failed = match self.heard(&held.value, answer) {
            Heard::Ours(action) => return self.requested(work, held, fresh, &action).await,
            Heard::Others(action) => return self.adopt(work, device, Some(held), fresh, &action).await,
            Heard::Nothing(why) => return Box::pin(self.is_unknown(work, device, held, &why)).await,
            Heard::No(error) => error,
        };
        let why = failed.to_string();
        if let Some(wait) = asks_again_in(&failed, &held.value) {
            let until = later(work.now, wait);
            self.after(&held, Event::NotReached { not_before: until }, work.now).await?;
            return Err(Stop::Defer { until, why });
        }
        // "Already in progress" comes as a 400 whose code is not documented: look rather than guess.
        if let ApiError::BadRequest(_) = failed {
            let Ok(actions) = self.reader.actions_of(device, work.call()).await else {
                return Box::pin(self.is_unknown(work, device, held, &why)).await;
            };
            if let Standing::Isolating(action) | Standing::Isolated(action) = standing(&actions, work.now) {
                return self.adopt(work, device, Some(held), fresh, action).await;
            }
        }
        let held = self.after(&held, Event::Rejected, work.now).await?;
        self.tally.one(Count::IsolationsFailed);
        let note = format!("{why}{}", hint(&failed));
        let outcome = outcome_of(work, fresh, fresh.decision.clone(), Some(EffectState::Failed), vec![note]);
        self.finish(work, on_claim(outcome, &held.value)).await
    }

    /// What an answer to an effect means for its claim.
    pub(crate) fn heard(&self, claim: &Claim, answer: Result<MachineAction, Failed>) -> Heard {
        let device = &claim.device;
        let failed = match answer {
            Ok(action)
                if action.kind == claim.effect.action_kind() && action.device.as_ref() == Some(device) =>
            {
                return if action.carries(&claim.id) { Heard::Ours(action) } else { Heard::Others(action) };
            }
            Ok(_) => return Heard::Nothing("the service answered with another machine action".to_owned()),
            Err(failed) => failed,
        };
        let why = failed.error.to_string();
        tracing::warn!(%device, claim = %claim.id, reached = ?failed.reached, why, "an effect was not confirmed");
        if failed.reached == Reached::No { Heard::No(failed.error) } else { Heard::Nothing(why) }
    }

    /// The call may or may not have reached the service. If our marker can be seen already it has; if not, only
    /// the quiet time can tell.
    async fn is_unknown(
        &self,
        work: &mut Work,
        device: &DeviceId,
        held: Stored<Claim>,
        why: &str,
    ) -> Result<(), Stop> {
        let held = match held.value.state {
            EffectState::Unknown => held,
            _ => self.after(&held, Event::Unanswered, work.now).await?,
        };
        let due = held.value.due;
        if let Ok(actions) = self.reader.actions_of(device, work.call()).await
            && let Some(action) = held.value.own_action(&self.tenant, &actions)
        {
            return self.found_own(work, held, action).await;
        }
        let decision = self.decide_on_message(work);
        let note =
            format!("{why}; whether the service has acted is read from its machine actions until {due:.0}");
        let outcome = on_claim(work.outcome(decision, Some(EffectState::Unknown), vec![note]), &held.value);
        self.announce_meanwhile(work, outcome).await?;
        Err(Stop::Defer {
            until: next_look(&held.value, work.now),
            why: "it is not known yet whether the isolation was asked for".to_owned(),
        })
    }

    /// A request whose answer nobody has recorded: settles it by reading.
    pub(crate) async fn look_for_own(
        &self,
        work: &mut Work,
        device: &DeviceId,
        held: Stored<Claim>,
    ) -> Result<(), Stop> {
        let actions = self.reader.actions_of(device, work.call()).await.map_err(|error| {
            let wait = error.passes_in().unwrap_or(SignedDuration::from_mins(1));
            Stop::Defer { until: later(work.now, wait), why: error.to_string() }
        })?;
        if let Some(action) = held.value.own_action(&self.tenant, &actions) {
            return self.found_own(work, held, action).await;
        }
        if work.now < held.value.due {
            let why = "an isolation of this device may be under way".to_owned();
            return Err(Stop::Defer { until: next_look(&held.value, work.now), why });
        }
        // Nothing of ours has appeared in the quiet time: the service never got it, and may be asked.
        let held = self.after(&held, Event::NotReached { not_before: work.now }, work.now).await?;
        Box::pin(self.go_on(work, device, Some(held))).await
    }

    /// What was decided when the request was made, which was an isolation, in force, whatever would be decided by
    /// now.
    fn decision_behind(&self, claim: &Claim, work: &Work) -> Decision {
        let recorded = work.case.as_ref().map(|case| &case.value.last);
        if let Some(last) = recorded.filter(|last| last.claim.as_ref() == Some(&claim.id)) {
            return last.decision.clone();
        }
        let decision = self.decide_on_message(work);
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

    async fn found_own(
        &self,
        work: &mut Work,
        held: Stored<Claim>,
        action: &MachineAction,
    ) -> Result<(), Stop> {
        let body = &work.message.body;
        let fresh = Fresh {
            alert: body.found.alert.clone(),
            device: body.device.clone(),
            decision: self.decision_behind(&held.value, work),
            actions: Vec::new(),
        };
        self.requested(work, held, &fresh, action).await
    }

    async fn requested(
        &self,
        work: &mut Work,
        held: Stored<Claim>,
        fresh: &Fresh,
        action: &MachineAction,
    ) -> Result<(), Stop> {
        let held = self.after(&held, accepted(&action.id, work.now), work.now).await?;
        let held = self.note_hunted(work, held).await?;
        self.tally.one(Count::IsolationsRequested);
        let outcome =
            outcome_of(work, fresh, fresh.decision.clone(), Some(EffectState::Requested), Vec::new());
        self.finish(work, on_claim(outcome, &held.value)).await
    }

    /// Somebody else's isolation is open or in force. Nothing is asked, and Cordon will never release it by
    /// itself. Where it is one that Cordon asked for on account of another alert, this alert joins that.
    pub(crate) async fn adopt(
        &self,
        work: &mut Work,
        device: &DeviceId,
        before: Option<Stored<Claim>>,
        fresh: &Fresh,
        action: &MachineAction,
    ) -> Result<(), Stop> {
        let waits_to_release = |held: &Stored<Claim>| {
            held.value.effect == Effect::Release && held.value.state == EffectState::Claimed
        };
        let before = match before {
            Some(held) => Some(self.note_hunted(work, held).await?),
            None => None,
        };
        let left_as_it_is = match &before {
            Some(held) if waits_to_release(held) => {
                Some("already isolated, and to be released by order: nothing was asked")
            }
            // The claim stands for it, and is not given away for somebody else's request beside it.
            Some(held) if is_in_force(&held.value, action, &fresh.actions, work.now) => {
                Some("already isolated by Cordon's own earlier request: nothing was asked")
            }
            _ => None,
        };
        if let Some(note) = left_as_it_is {
            let notes = vec![note.to_owned()];
            let outcome = outcome_of(work, fresh, fresh.decision.clone(), Some(EffectState::Adopted), notes);
            return self.finish(work, outcome).await;
        }
        let before = match before {
            Some(held) if held.value.own_action(&self.tenant, std::slice::from_ref(action)).is_some() => {
                match held.value.state {
                    EffectState::Requested | EffectState::Pending | EffectState::Succeeded => {
                        return self.join(work, held).await;
                    }
                    state if !is_spent(state) => return self.requested(work, held, fresh, action).await,
                    _ => Some(held),
                }
            }
            before => before,
        };
        let known = before.as_ref().is_some_and(|held| {
            held.value.state == EffectState::Adopted && held.value.action.as_ref() == Some(&action.id)
        });
        let held = match before {
            Some(held) if known => held,
            Some(held) if !is_spent(held.value.state) => {
                self.after(&held, Event::Adopted { action: action.id.clone() }, work.now).await?
            }
            before => {
                let held = self.claim(work, device, before, fresh.decision.isolation_type).await?;
                self.after(&held, Event::Adopted { action: action.id.clone() }, work.now).await?
            }
        };
        if !known {
            self.tally.one(Count::IsolationsAdopted);
        }
        let who = action.requestor.as_deref().map_or_else(|| "somebody".to_owned(), |who| one_line(who, 80));
        let note = format!("already isolated, or being isolated, at the request of {who}: nothing was asked");
        let outcome = outcome_of(work, fresh, fresh.decision.clone(), Some(EffectState::Adopted), vec![note]);
        self.finish(work, on_claim(outcome, &held.value)).await
    }

    /// This alert's device is being cut off on account of another one, as far as the state knows. If that was a
    /// while ago, the service is asked whether it is still so: an isolation that has failed meanwhile must not be
    /// joined. Then `track` is made to look, and this alert comes again.
    async fn join_open(&self, work: &mut Work, held: Stored<Claim>) -> Result<(), Stop> {
        let is_recent = work.now.duration_since(held.value.changed_at) < RECENT;
        let Some(action) = held.value.action.clone().filter(|_| !is_recent) else {
            return self.join(work, held).await;
        };
        let has_ended = match self.reader.action(&action, work.call()).await {
            Ok(action) => !action.is_open() && action.status != ActionStatus::Succeeded,
            // What became of it can only be seen on the device now.
            Err(ApiError::NotFound(_)) => {
                let device = held.value.device.clone();
                return Box::pin(self.go_on(work, &device, Some(held))).await;
            }
            Err(error) => {
                let wait = error.passes_in().unwrap_or(SignedDuration::from_mins(1));
                return Err(Stop::Defer { until: later(work.now, wait), why: error.to_string() });
            }
        };
        if !has_ended {
            return self.join(work, held).await;
        }
        self.have_looked_at(&held, work.now).await?;
        let why = "the isolation that this alert would have joined has ended".to_owned();
        Err(Stop::Defer { until: later(work.now, SOON), why })
    }

    /// This alert's device is already being cut off on account of another one.
    async fn join(&self, work: &mut Work, held: Stored<Claim>) -> Result<(), Stop> {
        let held = self.note_hunted(work, held).await?;
        let claim = &held.value;
        let body = &work.message.body;
        let mut decision = self.decision_behind(claim, work);
        // What people read about the device is the isolation that it gets, not the one it might have got.
        decision.isolation_type = claim.isolation_type;
        let own = claim.alert.as_ref() == Some(&body.found.alert.id);
        let whose = claim.alert.as_ref().map_or_else(
            || "ordered by hand".to_owned(),
            |alert| format!("asked for on account of alert {alert}"),
        );
        let note = format!("one isolation for this device, {whose}");
        let notes = if own { Vec::new() } else { vec![note] };
        let outcome = on_claim(work.outcome(decision, Some(claim.state), notes), claim);
        self.finish(work, outcome).await
    }

    /// Where what a hunt has found comes to stand behind an isolation that Cordon has asked for, its claim says so, so that
    /// the timer leaves the device to people, whatever alert came first.
    async fn note_hunted(&self, work: &Work, held: Stored<Claim>) -> Result<Stored<Claim>, Stop> {
        let is_hunted = work.message.body.found.alert.hunted.is_some();
        let stands = matches!(
            held.value.state,
            EffectState::Requested | EffectState::Pending | EffectState::Succeeded
        ) && held.value.effect == Effect::Isolate;
        if !is_hunted || !stands || held.value.hunted {
            return Ok(held);
        }
        Ok(self.claims().note_hunted(&held, work.now).await?)
    }

    pub(crate) async fn refuse(
        &self,
        work: &mut Work,
        before: Option<Stored<Claim>>,
        doubt: String,
    ) -> Result<(), Stop> {
        if work.is_by_hand() {
            self.give_up(before, work.now).await?;
            work.refusal = Some(doubt);
            return Ok(());
        }
        let mut decision = self.decide_on_message(work);
        decision.answer = Answer::Refused;
        decision.tell = true;
        decision.doubts.push(doubt);
        self.give_up(before, work.now).await?;
        let outcome = work.outcome(decision, Some(EffectState::Refused), Vec::new());
        self.finish(work, outcome).await
    }

    /// A claim for which nothing was asked is over. Its generation is not used again.
    pub(crate) async fn give_up(&self, before: Option<Stored<Claim>>, now: Timestamp) -> Result<(), Stop> {
        let nothing_asked = |held: &Stored<Claim>| {
            held.value.state == EffectState::Claimed && held.value.effect == Effect::Isolate
        };
        if let Some(held) = before.filter(nothing_asked) {
            self.after(&held, Event::GivenUp, now).await?;
        }
        Ok(())
    }

    /// The inner error is a doubt: reading will not get better by itself.
    async fn read_again(&self, work: &Work, device: &DeviceId) -> Result<Result<Fresh, String>, Stop> {
        let doubt_or_wait = |what: &str, error: &ApiError| match error.passes_in() {
            Some(wait) => Err(Stop::Defer { until: later(work.now, wait), why: format!("{what}: {error}") }),
            None => Ok(format!("{what} could not be read just before acting: {error}")),
        };
        let found = &work.message.body.found.alert;
        // What a hunt has found Defender does not know: it is judged as it was found, by its own age.
        let (alert, alert_read) = match &found.hunted {
            Some(_) => (found.clone(), work.surroundings.alert_read),
            None => match self.reader.alert(&found.id, work.call()).await {
                Ok(alert) if alert.id == found.id => (alert, Some(work.now)),
                Ok(_) => return Ok(Err("the service answered with another alert".to_owned())),
                Err(error) => return doubt_or_wait("the alert", &error).map(Err),
            },
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
        // Of our own state, what was read when the message was taken.
        let known = Surroundings { alert_read, device_read: Some(work.now), ..work.surroundings };
        let decision = self.decide(&alert, &fact, work, known);
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
        let stands = |claim: &Claim| claim.effect == Effect::Isolate && stands(claim.state);
        let held: Option<Stored<Claim>> =
            self.state.get_readable(&Claim::key(&self.tenant, device), work.now).await?;
        if !held.is_some_and(|held| stands(&held.value)) {
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

    /// What stands in the machine action. `about`: on whose account.
    pub(crate) fn comment(&self, claim: &Claim, about: &str) -> String {
        let text = match claim.effect {
            Effect::Isolate => self.playbook.settings.isolation.comment.as_str(),
            Effect::Release => "Released by Cordon",
        };
        // The mark comes first, where nothing can cut it off.
        format!("{} {text}: {about}", claim.id.marker())
    }
}

/// On whose account a device is cut off, for whoever reads that in Defender.
fn on_account_of(alert: &Alert) -> String {
    let title = one_line(&alert.title, 120);
    match &alert.hunted {
        Some(hunted) => {
            format!("found by the hunt {} ({}), {title}", one_line(&hunted.hunt, 60), alert.id)
        }
        None => format!("alert {}, {title}", alert.id),
    }
}

/// What else may help with an error that will not pass by itself.
pub(crate) fn hint(error: &ApiError) -> &'static str {
    match error {
        ApiError::Forbidden(_) => "; does the app that acts hold Machine.Isolate?",
        _ => "",
    }
}

/// When a person gave the device back although Cordon had not isolated it yet.
fn given_back_at(before: Option<&Stored<Claim>>) -> Option<Timestamp> {
    let claim = before.map(|before| &before.value)?;
    let by_person = claim.order.as_ref().is_some_and(|order| order.cause != Cause::Timer);
    let is_given_back = claim.effect == Effect::Release && claim.state == EffectState::Released && by_person;
    is_given_back.then_some(claim.changed_at)
}

/// The service has said that a claim is not to be asked for yet. At least a second, because a queue's clock may be
/// coarser than a claim's.
pub(crate) fn not_yet(claim: &Claim, now: Timestamp) -> Stop {
    let until = claim.due.max(later(now, SignedDuration::from_secs(1)));
    Stop::Defer { until, why: "the service has said that it is not to be asked yet".to_owned() }
}

/// Whether the device was last released by Cordon's own timer, which is no person's word against the next isolation.
fn was_released_by_timer(before: Option<&Stored<Claim>>, fresh: &Fresh) -> bool {
    let releases = fresh.actions.iter().filter(|action| action.kind == ActionKind::Unisolate);
    let last = releases.max_by_key(|action| action.created);
    before.map(|before| &before.value).is_some_and(|claim| {
        let is_timer = claim.order.as_ref().is_some_and(|order| order.cause == Cause::Timer);
        is_timer
            && claim.effect == Effect::Release
            && claim.action.is_some()
            && claim.action.as_ref() == last.map(|action| &action.id)
    })
}

/// Whether the device is isolated by what a claim stands for, whatever `action` was found first: the claim is about its
/// release, or somebody else has asked for one more isolation since.
fn is_in_force(claim: &Claim, action: &MachineAction, actions: &[MachineAction], now: Timestamp) -> bool {
    let Some(own) = &claim.isolation else { return false };
    let is_own = |action: &MachineAction| action.id == *own;
    match claim.effect {
        Effect::Release if is_own(action) => true,
        Effect::Isolate if claim.state != EffectState::Succeeded || is_own(action) => false,
        Effect::Release | Effect::Isolate => {
            let others: Vec<MachineAction> =
                actions.iter().filter(|other| other.id != action.id).cloned().collect();
            matches!(standing(&others, now), Standing::Isolated(action) if is_own(action))
        }
    }
}

/// The decision behind an order: a person's.
pub(crate) fn by_order(decision: &Decision, order: &ports::Order) -> Decision {
    let reason = format!("{} says: {}", one_line(&order.by, 80), one_line(&order.why, 300));
    Decision {
        answer: Answer::Isolate,
        mode: Mode::Enforce,
        permitted_by: vec![model::PolicyNote { id: model::BY_HAND.to_owned(), reason }],
        forbidden_by: Vec::new(),
        doubts: Vec::new(),
        tell: true,
        ..decision.clone()
    }
}

/// Whether this alert's message has yet to hear the end of the claim: it was claimed on its account, or the alert's
/// last outcome is about it.
fn is_awaited(work: &Work, claim: &Claim) -> bool {
    let found = &work.message.body.found;
    // A claim from before this alert was first seen stands for an earlier life of it.
    let on_account = claim.alert.as_ref() == Some(&found.alert.id) && claim.claimed_at >= found.first_seen.at;
    if claim.effect == Effect::Release {
        return false;
    }
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
        | EffectState::Proposed
        | EffectState::Held
        | EffectState::Released => false,
    }
}

/// An outcome on what was read just before it. The alert keeps the message's evidence, shortened as it was.
pub(crate) fn outcome_of(
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

pub(crate) fn on_claim(mut outcome: ActionTaken, claim: &Claim) -> ActionTaken {
    outcome.claim = Some(claim.id.clone());
    outcome.action = claim.action.clone();
    outcome
}
