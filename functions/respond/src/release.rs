//! Gives a device its network back, by order: cancels an isolation that has not been carried out, releases one that
//! has.
//!
//! Nothing holds a release back, neither limit nor pause. The timer's orders touch only what Cordon isolated itself;
//! a person may release what anybody has isolated.

use crate::{
    Respond, SOON, Stop,
    act::not_yet,
    claims::Let,
    later,
    orders::{Ordered, UNCLEAR, is_releasing, under_way},
    standing::{Standing, standing},
};
use defender::Reached;
use jiff::Timestamp;
use model::{ActionStatus, Cause, Effect, EffectState, MachineAction, one_line};
use ports::{Claim, Ending, Event, NewClaim, Stored, Wish};

impl Respond {
    pub(crate) async fn release(
        &self,
        order: &Ordered,
        mut before: Option<Stored<Claim>>,
    ) -> Result<(), Stop> {
        let (now, device) = (order.now, order.device());
        let is_timer = order.message.body.cause == Cause::Timer;
        if is_timer && !before.as_ref().is_some_and(|held| is_meant(order, &held.value)) {
            let said = "the isolation that the timer was set for is over: what stands now is left alone";
            return self.answer(order, None, said.to_owned()).await;
        }
        if is_timer && before.as_ref().is_some_and(|held| held.value.hunted) {
            let said = "meanwhile a hunt has found something on the device: it is left to people";
            return self.answer(order, None, said.to_owned()).await;
        }
        if let Some(held) = &before {
            let is_own = order.is_for(&held.value);
            match (held.value.effect, held.value.state) {
                (Effect::Release, state) if is_own && state.is_unanswered() => {
                    match self.settled(order, held).await? {
                        Some(held) => before = Some(held),
                        None => return Ok(()),
                    }
                }
                (_, state) if state.is_unanswered() => return Err(under_way(&held.value, now)),
                (Effect::Release, EffectState::Claimed) if held.value.due > now => {
                    return Err(not_yet(&held.value, now));
                }
                (Effect::Release, state) if state.is_open() => {
                    let said = "a release was asked for already, and has not been carried out yet";
                    return self.answer(order, Some(state), said.to_owned()).await;
                }
                _ => {}
            }
        }
        let actions = match self.reader.actions_of(device, order.call()).await {
            Ok(actions) => actions,
            Err(error) => return self.unreadable(order, "the device's machine actions", &error).await,
        };
        match standing(&actions, now) {
            Standing::Isolating(action) | Standing::Isolated(action)
                if is_timer && !is_ours(before.as_ref(), action) =>
            {
                let said = "what isolates the device now is not Cordon's own: the timer leaves it alone";
                self.answer(order, None, said.to_owned()).await
            }
            Standing::Isolating(action) => {
                let action = action.clone();
                let others: Vec<MachineAction> =
                    actions.iter().filter(|other| other.id != action.id).cloned().collect();
                let is_isolated_too = matches!(standing(&others, now), Standing::Isolated(_));
                self.cancel(order, before, &action, is_isolated_too).await
            }
            Standing::Isolated(_) => self.ask_for_release(order, before).await,
            Standing::Unclear if is_timer => self.answer(order, None, UNCLEAR.to_owned()).await,
            Standing::Unclear => self.ask_for_release(order, before).await,
            Standing::Free | Standing::Released(_) | Standing::Cancelled(_) => {
                self.is_free(order, before, &actions).await
            }
        }
    }

    /// The device has its network, or gets it back by somebody else's request that is open.
    async fn is_free(
        &self,
        order: &Ordered,
        before: Option<Stored<Claim>>,
        actions: &[MachineAction],
    ) -> Result<(), Stop> {
        if is_releasing(actions) {
            let said = "somebody has asked for its release already, and it has not been carried out yet";
            return self.answer(order, Some(EffectState::Pending), said.to_owned()).await;
        }
        let said =
            "the device is not isolated, as far as its machine actions tell: there is nothing to release";
        let Some(held) = before else { return self.answer(order, None, said.to_owned()).await };
        let claim = &held.value;
        let is_listed = actions.iter().any(|action| Some(&action.id) == claim.action.as_ref());
        match (claim.effect, claim.state) {
            // The service accepted it, and does not show it yet.
            (Effect::Isolate, EffectState::Requested | EffectState::Pending) => {
                let why = "the isolation that was asked for does not show yet, or has just ended".to_owned();
                Err(Stop::Defer { until: later(order.now, SOON * 2), why })
            }
            (Effect::Isolate, EffectState::Succeeded | EffectState::Adopted) if !is_listed => {
                // Cordon knows of an isolation that the service does not list any more: the device may be cut off.
                self.ask_for_release(order, Some(held)).await
            }
            (Effect::Isolate, EffectState::Claimed) => {
                let said = "its isolation was decided and not asked for yet: it is not asked for now";
                let new = NewClaim {
                    device: claim.device.clone(),
                    effect: Effect::Release,
                    alert: claim.alert.clone(),
                    order: Some(order.order()),
                    isolation_type: claim.isolation_type,
                };
                let held = self.claim_anew(Some(held), new, order.now).await?;
                self.end_claim(order, &held, Event::Free, said).await
            }
            _ if claim.is_cut_off() => self.end_claim(order, &held, Event::Free, said).await,
            _ => self.answer(order, None, said.to_owned()).await,
        }
    }

    /// The isolation is still pending: it is cancelled, so that it cannot be carried out later.
    async fn cancel(
        &self,
        order: &Ordered,
        before: Option<Stored<Claim>>,
        action: &MachineAction,
        is_isolated_too: bool,
    ) -> Result<(), Stop> {
        let now = order.now;
        let comment = format!("Cancelled by Cordon, {}", order.order().note());
        match self.responder.cancel(&action.id, &comment, now).await {
            Ok(cancelled) if cancelled.status == ActionStatus::Cancelled => {}
            // Accepted, or too late because it has ended, or not known: its end is read.
            Ok(_) => return Err(look_again(now, "the isolation is being cancelled".to_owned())),
            Err(failed) => {
                let why = failed.error.to_string();
                tracing::warn!(device = %order.device(), why, "cancelling was not confirmed");
                let will_pass = failed.error.passes_in();
                return match (failed.reached, will_pass) {
                    (Reached::No, Some(wait)) => Err(Stop::Defer { until: later(now, wait), why }),
                    (Reached::No, None) if matches!(failed.error, defender::ApiError::Forbidden(_)) => {
                        let said = format!("{why}{}", crate::act::hint(&failed.error));
                        self.answer(order, Some(EffectState::Failed), said).await
                    }
                    _ => Err(Stop::Defer { until: later(now, SOON * 6), why }),
                };
            }
        }
        let said = "the isolation had not been carried out and was cancelled";
        let is_its = |held: &Stored<Claim>| {
            held.value.state.is_open()
                && held.value.effect == Effect::Isolate
                && held.value.action.as_ref() == Some(&action.id)
        };
        match before.filter(is_its) {
            Some(held) => {
                let event = Event::Ended(Ending::Cancelled);
                if is_isolated_too {
                    self.after(&held, event, now).await?;
                    let why = "an earlier isolation is in force, and is to be released too".to_owned();
                    return Err(look_again(now, why));
                }
                self.end_claim(order, &held, event, said).await
            }
            None if is_isolated_too => {
                Err(look_again(now, "an earlier isolation is in force, and is to be released too".to_owned()))
            }
            None => self.answer(order, Some(EffectState::Cancelled), said.to_owned()).await,
        }
    }

    async fn ask_for_release(&self, order: &Ordered, before: Option<Stored<Claim>>) -> Result<(), Stop> {
        let (now, device) = (order.now, order.device());
        let held = match before {
            Some(held)
                if held.value.effect == Effect::Release && held.value.state == EffectState::Claimed =>
            {
                held
            }
            before => {
                let claim = before.as_ref().map(|held| &held.value);
                let new = NewClaim {
                    device: device.clone(),
                    effect: Effect::Release,
                    alert: claim
                        .and_then(|claim| claim.alert.clone())
                        .or_else(|| order.message.body.alert.clone()),
                    order: Some(order.order()),
                    isolation_type: claim.map_or(self.playbook.settings.isolation.isolation_type, |claim| {
                        claim.isolation_type
                    }),
                };
                self.claim_anew(before, new, now).await?
            }
        };
        let wish = Wish { device, group: None, causes: Vec::new(), fleet: None };
        let requesting = match self.ask_brakes(held, &wish, Vec::new(), now).await? {
            Let::Through(requesting) => *requesting,
            Let::Held(gate) => return Err(Stop::Broken(format!("a release was held back: {gate}"))),
        };
        let comment = self.comment(requesting.claim(), &one_line(&order.order().note(), 300));
        let answer = self.responder.release(device, &comment, now).await;
        let held = requesting.into_held();
        let heard = self.heard(&held.value, answer);
        self.conclude(order, held, heard, None).await
    }
}

/// Whether the timer's order was set for what stands now: that isolation, or its own release of it.
fn is_meant(order: &Ordered, claim: &Claim) -> bool {
    let is_isolation =
        claim.effect == Effect::Isolate && order.message.body.claim.as_ref() == Some(&claim.id);
    is_isolation || order.is_for(claim)
}

/// Whether a machine action is what Cordon isolated the device by.
fn is_ours(before: Option<&Stored<Claim>>, action: &MachineAction) -> bool {
    before.is_some_and(|held| held.value.isolation.as_ref() == Some(&action.id))
}

fn look_again(now: Timestamp, why: String) -> Stop {
    Stop::Defer { until: later(now, SOON), why }
}
