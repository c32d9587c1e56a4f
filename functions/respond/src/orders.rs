//! Orders: effects that a person or a timer wants outside the course of an alert, and comments on alerts.
//!
//! An isolation by order passes the same claims and brakes as any other; what the policy thinks of it is asked only
//! for held cases. Releasing has a file of its own, and so has making alerts.

use crate::{
    Respond, SOON, Stop, Work,
    act::{Fresh, Heard, by_order, hint, not_yet},
    claims::{Let, QUIET, accepted, asks_again_in, next_look},
    later,
    standing::{Standing, standing},
};
use defender::{ApiError, Call, Reached};
use jiff::{SignedDuration, Timestamp};
use model::{
    ActionKind, AlertEnriched, AlertFound, AlertId, Cause, Device, DeviceClass, DeviceId, DeviceRef, Effect,
    EffectRequested, EffectState, Envelope, FirstSeen, IsolationType, MachineAction, Mode, Onboarding,
    Wanted, one_line,
};
use policy::Surroundings;
use ports::{Announced, Answered, CaseRow, Claim, Count, Event, NewClaim, Once, Order, Stored, Wish, Write};

/// An order that is being carried out.
pub(crate) struct Ordered {
    pub(crate) message: Envelope<EffectRequested>,
    pub(crate) now: Timestamp,
}

impl Ordered {
    pub(crate) fn device(&self) -> &DeviceId {
        &self.message.body.device
    }

    pub(crate) fn call(&self) -> Call {
        Call { now: self.now, budget: crate::READ_BUDGET }
    }

    pub(crate) fn order(&self) -> Order {
        let body = &self.message.body;
        Order {
            cause: body.cause,
            by: one_line(&body.by, 200),
            why: one_line(&body.why, 500),
            message: self.message.id.clone(),
        }
    }

    /// Whether a claim stands on account of this very order.
    pub(crate) fn is_for(&self, claim: &Claim) -> bool {
        claim.order.as_ref().is_some_and(|order| order.message == self.message.id)
    }
}

/// How far the clock of whoever gives an order may be behind.
const SKEW: SignedDuration = SignedDuration::from_mins(2);

/// What an order to isolate says about how.
#[derive(Clone, Copy)]
pub(crate) struct How {
    isolation_type: Option<IsolationType>,
    even_so: bool,
}

impl Respond {
    pub(crate) async fn carry_out(
        &self,
        message: Envelope<EffectRequested>,
        now: Timestamp,
    ) -> Result<(), Stop> {
        let order = Ordered { message, now };
        let body = &order.message.body;
        // What changes nothing on the device needs to know nothing of its claim, and goes on also where that is not readable.
        let before = match body.wanted {
            Wanted::Isolate { .. } | Wanted::Release => self.claims().read(&body.device, now).await?,
            Wanted::Comment { .. } | Wanted::CreateAlert(_) => None,
        };
        if Box::pin(self.is_over(&order, before.as_ref())).await? {
            return Ok(());
        }
        let is_own = before.as_ref().is_some_and(|held| order.is_for(&held.value));
        let mode = self.environment_mode.unwrap_or(self.playbook.settings.mode);
        let is_by_itself = matches!(body.cause, Cause::Timer | Cause::Report | Cause::Hunt);
        if mode == Mode::Observe && (is_by_itself || matches!(body.wanted, Wanted::Isolate { .. })) {
            let said = match body.wanted {
                Wanted::CreateAlert(_) => "the mode is `observe`: Cordon has no alert made",
                _ => {
                    "the mode is `observe`: Cordon only releases, and only if a person says so; use the portal, or \
                     set the mode to `enforce`"
                }
            };
            return self.answer_people(&order, Some(EffectState::Refused), said.to_owned()).await;
        }
        match &body.wanted {
            Wanted::Comment { text, mark } => Box::pin(self.comment_on_alert(&order, text, mark)).await,
            Wanted::CreateAlert(alert) => Box::pin(self.make_alert(&order, alert)).await,
            Wanted::Release => Box::pin(self.release(&order, before)).await,
            Wanted::Isolate { isolation_type, even_so } => {
                if body.cause == Cause::Reissue
                    && !is_own
                    && let Some(said) = nothing_to_reissue(before.as_ref().map(|held| &held.value))
                {
                    return self.answer(&order, None, said).await;
                }
                let how = How { isolation_type: *isolation_type, even_so: *even_so };
                match &body.alert {
                    Some(alert) => Box::pin(self.isolate_for(&order, alert, before)).await,
                    None => Box::pin(self.isolate_alone(&order, before, how)).await,
                }
            }
        }
    }

    /// Whether nothing is left to do for an order: it was carried out and comes once more, it has gone stale, or
    /// something else was begun on the device after it was given. What it has begun itself, and does not know the end
    /// of, is gone on with in any case.
    async fn is_over(&self, order: &Ordered, before: Option<&Stored<Claim>>) -> Result<bool, Stop> {
        let (now, body) = (order.now, &order.message.body);
        let own = before.filter(|held| order.is_for(&held.value));
        if own.is_some_and(|own| own.value.state.is_unanswered()) {
            return Ok(false);
        }
        let waits = own.filter(|own| own.value.state == EffectState::Claimed);
        if waits.is_none() {
            let key = Answered::key(&self.tenant, &order.message.id);
            let answered: Option<Stored<Answered>> = self.state.get(&key, now).await?;
            if answered.is_some() {
                return Ok(true);
            }
            if let Some(own) = own {
                self.close_again(order, &own.value).await?;
                return Ok(true);
            }
        }
        if now > body.not_after {
            let said = format!("it came too late: the order held until {:.0}", body.not_after);
            tracing::warn!(device = %body.device, said, "an order has gone stale");
            match waits {
                Some(held) => {
                    let held = self.after(held, Event::GivenUp, now).await?;
                    self.close(order, &held.value, None, said).await?;
                }
                None => self.answer_people(order, None, said).await?,
            }
            return Ok(true);
        }
        let wanted = match body.wanted {
            Wanted::Isolate { .. } => Effect::Isolate,
            Wanted::Release => Effect::Release,
            Wanted::Comment { .. } | Wanted::CreateAlert(_) => return Ok(false),
        };
        let later_one = before.map(|held| &held.value).filter(|claim| {
            let began_after = claim.claimed_at.duration_since(order.message.occurred_at) > SKEW;
            let did_something = !matches!(claim.state, EffectState::Claimed | EffectState::Refused);
            !order.is_for(claim) && claim.effect != wanted && began_after && did_something
        });
        if let Some(claim) = later_one {
            let said = format!(
                "after this order was given, the {} of the device was begun at {:.0}: the order does not hold for that",
                claim.effect.word(),
                claim.claimed_at
            );
            self.answer(order, None, said).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// An isolation by order on account of an alert that Cordon knows.
    async fn isolate_for(
        &self,
        order: &Ordered,
        alert: &AlertId,
        before: Option<Stored<Claim>>,
    ) -> Result<(), Stop> {
        let now = order.now;
        let key = CaseRow::key(&self.tenant, alert, Some(order.device()));
        let case: Option<Stored<CaseRow>> = self.state.get(&key, now).await?;
        let Some(case) = case else {
            let said = format!("Cordon knows of no alert {alert} on the device {}", order.device());
            return self.answer(order, None, said).await;
        };
        let is_own = |held: &Stored<Claim>| order.is_for(&held.value);
        let is_unanswered = |held: &&Stored<Claim>| held.value.state.is_unanswered();
        let asked = before.as_ref().filter(|held| is_own(held)).filter(is_unanswered).cloned();
        if order.message.body.cause == Cause::Held && case.value.held.is_none() && asked.is_none() {
            // Dropped, expired or gone on meanwhile, also while this was waiting to ask.
            self.give_up(before.filter(is_own), now).await?;
            let said = format!("the case of alert {alert} is not held any more");
            return self.answer(order, case.value.last.state, said).await;
        }
        if case.value.last.device.known().is_none()
            && let Some(how) = how_of(order)
        {
            // The alert has told nothing of the device: it is read as if it were named alone.
            return Box::pin(self.isolate_alone(order, before, how)).await;
        }
        let mut work = self.work_for(order, case).await?;
        match asked {
            Some(held) => {
                let device = held.value.device.clone();
                Box::pin(self.look_for_own(&mut work, &device, held)).await?;
            }
            None => Box::pin(self.act(&mut work)).await?,
        }
        if let Some(said) = work.refusal.take() {
            return self.answer(order, Some(EffectState::Refused), said).await;
        }
        let Some(case) = &work.case else { return Ok(()) };
        let last = &case.value.last;
        let mut said: Vec<String> = last.notes.clone();
        said.extend(last.decision.doubts.iter().cloned());
        self.answer(order, last.state, said.join("; ")).await
    }

    /// The case as if its alert came once more.
    async fn work_for(&self, order: &Ordered, case: Stored<CaseRow>) -> Result<Work, Stop> {
        let last = &case.value.last;
        let key = Announced::key(&self.tenant, &last.alert.id);
        let announced: Option<Stored<Announced>> = self.state.get(&key, order.now).await?;
        let first_seen = announced
            .map_or(FirstSeen { at: case.value.decided_at, mode: last.decision.mode }, |announced| {
                announced.value.first_seen
            });
        let about = DeviceRef::Id(order.device().clone());
        let body = AlertEnriched {
            found: AlertFound {
                alert: last.alert.clone(),
                revision: last.revision.clone(),
                evidence: case.value.evidence.clone(),
                devices: vec![about.clone()],
                first_seen,
            },
            about: Some(about),
            device: last.device.clone(),
            observed_at: order.now,
        };
        let identity = [order.message.id.as_str()];
        let message = Envelope::new(&self.tenant, &identity, &order.message.trace, order.now, body);
        let mut work = Work {
            message,
            case: Some(case),
            order: Some(order.order()),
            how: how_of(order),
            refusal: None,
            surroundings: Surroundings::default(),
            now: order.now,
        };
        let known = self.surroundings(&work).await?;
        // When alert and device of the last outcome were read is not known any more.
        work.surroundings = Surroundings { alert_read: None, device_read: None, ..known };
        Ok(work)
    }

    /// A person has ordered it: what was read just before says whether the device may be isolated, not the policy.
    pub(crate) async fn go_on_by_order(
        &self,
        work: &mut Work,
        device: &DeviceId,
        before: Option<Stored<Claim>>,
        mut fresh: Fresh,
    ) -> Result<(), Stop> {
        let (Some(order), Some(known)) = (work.order.clone(), fresh.device.known()) else {
            return Err(Stop::Broken("an order without a device was let through".to_owned()));
        };
        if let Some(objection) = self.objection(known, work.how.is_some_and(|how| how.even_so), work.now) {
            return self.refuse(work, before, objection).await;
        }
        fresh.decision = by_order(&fresh.decision, &order);
        if let Some(kind) = work.how.and_then(|how| how.isolation_type) {
            fresh.decision.isolation_type = kind;
        }
        match standing(&fresh.actions, work.now) {
            Standing::Isolating(action) | Standing::Isolated(action) => {
                let action = action.clone();
                self.adopt(work, device, before, &fresh, &action).await
            }
            Standing::Released(_) if is_releasing(&fresh.actions) => Err(while_releasing(work.now)),
            Standing::Unclear => self.refuse(work, before, UNCLEAR.to_owned()).await,
            Standing::Free | Standing::Released(_) | Standing::Cancelled(_) => {
                Box::pin(self.request(work, device, before, fresh)).await
            }
        }
    }

    /// Why a device is not isolated by hand either.
    fn objection(&self, device: &Device, even_so: bool, now: Timestamp) -> Option<String> {
        if let Some(other) = &device.merged_into {
            return Some(format!("the device was merged into `{}`", one_line(other, 60)));
        }
        if !device.unreadable.is_empty() {
            return Some("the device could not be read in full".to_owned());
        }
        match &device.onboarding {
            None | Some(Onboarding::Onboarded) => {}
            Some(other) => {
                return Some(format!("the device is not onboarded: `{}`", one_line(other.as_str(), 60)));
            }
        }
        if even_so {
            return None;
        }
        let listed = self.playbook.listed(device);
        if !listed.is_empty() {
            return Some(format!(
                "the device stands on the asset list(s) {}: order it once more with --even-so if it has to be cut \
                 off all the same",
                listed.join(", ")
            ));
        }
        if self.playbook.lists().iter().any(|list| list.is_stale(now)) {
            return Some(
                "an asset list is past its review date, so it cannot be told whether the device is special: --even-so \
                 isolates it all the same"
                    .to_owned(),
            );
        }
        match device.class() {
            Some(DeviceClass::Workstation) => None,
            Some(DeviceClass::Server) => Some(
                "the device is a server: order it once more with --even-so if it has to be cut off"
                    .to_owned(),
            ),
            None => Some("the device's platform is not known: --even-so isolates it all the same".to_owned()),
        }
    }

    /// An isolation by order of a device alone.
    async fn isolate_alone(
        &self,
        order: &Ordered,
        mut before: Option<Stored<Claim>>,
        how: How,
    ) -> Result<(), Stop> {
        let (now, device) = (order.now, order.device());
        if let Some(held) = &before {
            let is_own = order.is_for(&held.value);
            match (held.value.effect, held.value.state) {
                (_, state) if is_own && state.is_unanswered() => match self.settled(order, held).await? {
                    Some(held) => before = Some(held),
                    None => return Ok(()),
                },
                (_, state) if state.is_unanswered() => return Err(under_way(&held.value, now)),
                (Effect::Isolate, EffectState::Claimed) if held.value.due > now => {
                    return Err(not_yet(&held.value, now));
                }
                (Effect::Isolate, state) if state.is_open() => {
                    let said = "its isolation was asked for already, and has not been carried out yet";
                    return self.answer(order, Some(state), said.to_owned()).await;
                }
                _ => {}
            }
        }
        let known = match self.reader.machine(device, order.call()).await {
            Ok(Some(known)) => known,
            Ok(None) => {
                let said = format!("Defender knows no device {device}");
                return self.refuse_alone(order, before, said).await;
            }
            Err(error) => return self.unreadable(order, "the device", &error).await,
        };
        if let Some(objection) = self.objection(&known, how.even_so, now) {
            return self.refuse_alone(order, before, objection).await;
        }
        let actions = match self.reader.actions_of(device, order.call()).await {
            Ok(actions) => actions,
            Err(error) => return self.unreadable(order, "the device's machine actions", &error).await,
        };
        let found = match standing(&actions, now) {
            Standing::Isolating(action) | Standing::Isolated(action) => Some(action),
            Standing::Unclear => {
                return self.refuse_alone(order, before, UNCLEAR.to_owned()).await;
            }
            Standing::Released(_) if is_releasing(&actions) => return Err(while_releasing(now)),
            Standing::Free | Standing::Released(_) | Standing::Cancelled(_) => None,
        };
        if let Some(action) = found {
            return self.adopt_alone(order, before, &known, action, how).await;
        }
        let held = match before {
            Some(held) if order.is_for(&held.value) && held.value.state == EffectState::Claimed => held,
            before => self.claim_alone(order, before, how).await?,
        };
        let group = known.group.as_deref();
        let wish = Wish { device, group, causes: Vec::new(), fleet: self.fleet(now).await? };
        let requesting = match self.ask_brakes(held.clone(), &wish, Vec::new(), now).await? {
            Let::Through(requesting) => *requesting,
            Let::Held(gate) => {
                self.give_up(Some(held), now).await?;
                let said = format!("{gate}; {}", gate.way_out());
                return self.answer(order, Some(EffectState::Refused), said).await;
            }
        };
        let kind = requesting.claim().isolation_type;
        let comment = self.comment(requesting.claim(), &order.order().note());
        let answer = self.responder.isolate(device, kind, &comment, now).await;
        let held = requesting.into_held();
        let heard = self.heard(&held.value, answer);
        if let Heard::Others(action) = &heard {
            let held = self.after(&held, Event::Adopted { action: action.id.clone() }, now).await?;
            return self.close(order, &held.value, known.name, adopted_by(action)).await;
        }
        self.conclude(order, held, heard, known.name).await
    }

    /// Nothing is asked; what this order has claimed is given up.
    async fn refuse_alone(
        &self,
        order: &Ordered,
        before: Option<Stored<Claim>>,
        said: String,
    ) -> Result<(), Stop> {
        self.give_up(before.filter(|held| order.is_for(&held.value)), order.now).await?;
        self.answer(order, Some(EffectState::Refused), said).await
    }

    async fn claim_alone(
        &self,
        order: &Ordered,
        before: Option<Stored<Claim>>,
        how: How,
    ) -> Result<Stored<Claim>, Stop> {
        let new = NewClaim {
            device: order.device().clone(),
            effect: Effect::Isolate,
            alert: None,
            order: Some(order.order()),
            isolation_type: how.isolation_type.unwrap_or(self.playbook.settings.isolation.isolation_type),
        };
        self.claim_anew(before, new, order.now).await
    }

    /// The device is isolated, or about to be, already.
    async fn adopt_alone(
        &self,
        order: &Ordered,
        before: Option<Stored<Claim>>,
        known: &Device,
        action: &MachineAction,
        how: How,
    ) -> Result<(), Stop> {
        let is_known = before.as_ref().is_some_and(|held| {
            let claim = &held.value;
            claim.is_cut_off()
                && (claim.action.as_ref() == Some(&action.id) || claim.isolation.as_ref() == Some(&action.id))
        });
        let said = adopted_by(action);
        if is_known {
            return self.answer(order, Some(EffectState::Adopted), said).await;
        }
        let held = match before {
            Some(held)
                if held.value.state == EffectState::Claimed && held.value.effect == Effect::Isolate =>
            {
                held
            }
            before => self.claim_alone(order, before, how).await?,
        };
        let held = self.after(&held, Event::Adopted { action: action.id.clone() }, order.now).await?;
        self.close(order, &held.value, known.name.clone(), said).await
    }

    /// What became of an effect that was asked for by order.
    pub(crate) async fn conclude(
        &self,
        order: &Ordered,
        held: Stored<Claim>,
        heard: Heard,
        name: Option<String>,
    ) -> Result<(), Stop> {
        let now = order.now;
        match heard {
            Heard::Ours(action) | Heard::Others(action) => {
                let held = self.after(&held, accepted(&action.id, now), now).await?;
                if held.value.effect == Effect::Isolate {
                    self.tally.one(Count::IsolationsRequested);
                }
                self.close(order, &held.value, name, String::new()).await
            }
            Heard::Nothing(why) => {
                let held = self.after(&held, Event::Unanswered, now).await?;
                tracing::warn!(device = %held.value.device, why, "an order's effect is not known");
                self.tell_claim(&held.value, name, vec![order.order().note(), why], now).await?;
                Err(under_way(&held.value, now))
            }
            Heard::No(error) => {
                let why = error.to_string();
                if let Some(wait) = asks_again_in(&error, &held.value) {
                    let until = later(now, wait);
                    self.after(&held, Event::NotReached { not_before: until }, now).await?;
                    return Err(Stop::Defer { until, why });
                }
                let held = self.after(&held, Event::Rejected, now).await?;
                self.close(order, &held.value, name, format!("{why}{}", hint(&error))).await
            }
        }
    }

    /// The order's own request, whose answer was lost: found and told, or free to be asked again (then the claim is the
    /// answer), or waited for.
    pub(crate) async fn settled(
        &self,
        order: &Ordered,
        held: &Stored<Claim>,
    ) -> Result<Option<Stored<Claim>>, Stop> {
        let now = order.now;
        let actions = self.reader.actions_of(order.device(), order.call()).await.map_err(|error| {
            let wait = error.passes_in().unwrap_or(SignedDuration::from_mins(1));
            Stop::Defer { until: later(now, wait), why: error.to_string() }
        })?;
        if let Some(action) = held.value.own_action(&self.tenant, &actions) {
            let held = self.after(held, accepted(&action.id, now), now).await?;
            self.close(order, &held.value, None, String::new()).await?;
            return Ok(None);
        }
        if now < held.value.due {
            return Err(under_way(&held.value, now));
        }
        if now > order.message.body.not_after {
            let held = self.after(held, Event::Rejected, now).await?;
            let said =
                "the request never reached Defender, and the order has gone stale meanwhile".to_owned();
            self.close(order, &held.value, None, said).await?;
            return Ok(None);
        }
        Ok(Some(self.after(held, Event::NotReached { not_before: now }, now).await?))
    }

    /// Tells people and whoever gave the order how the claim stands now.
    pub(crate) async fn close(
        &self,
        order: &Ordered,
        claim: &Claim,
        name: Option<String>,
        said: String,
    ) -> Result<(), Stop> {
        let notes =
            [order.order().note(), said.clone()].into_iter().filter(|note| !note.is_empty()).collect();
        self.tell_claim(claim, name, notes, order.now).await?;
        self.answer(order, Some(claim.state), said).await
    }

    /// The order comes again after its effect was asked for: whoever did that may have died before telling.
    pub(crate) async fn close_again(&self, order: &Ordered, claim: &Claim) -> Result<(), Stop> {
        let case = self.case_of(claim, order.now).await?;
        if case.is_some_and(|case| case.value.records(claim)) {
            return self.answer(order, Some(claim.state), String::new()).await;
        }
        self.close(order, claim, None, String::new()).await
    }

    /// Answers whoever gave the order.
    pub(crate) async fn answer(
        &self,
        order: &Ordered,
        state: Option<EffectState>,
        said: String,
    ) -> Result<(), Stop> {
        let now = order.now;
        let answered = Answered { at: now, state, said: one_line(&said, 1_000) };
        let key = Answered::key(&self.tenant, &order.message.id);
        let write = Write::put(key, &answered, ports::Expect::Any, Answered::expires(now))?;
        Ok(self.state.commit(&[write], now).await?)
    }

    /// What has to be known for the order cannot be read: waited for, or the end of it.
    pub(crate) async fn unreadable(&self, order: &Ordered, what: &str, error: &ApiError) -> Result<(), Stop> {
        let why = format!("{what} could not be read: {error}");
        match error.passes_in() {
            Some(wait) => Err(Stop::Defer { until: later(order.now, wait), why }),
            None => self.answer(order, Some(EffectState::Refused), why).await,
        }
    }

    /// Writes on the alert, unless what is to be written stands there already.
    async fn comment_on_alert(&self, order: &Ordered, text: &str, mark: &str) -> Result<(), Stop> {
        let Some(alert) = &order.message.body.alert else {
            return self.answer(order, None, "a comment needs an alert".to_owned()).await;
        };
        let comments = match self.reader.comments_on(alert, order.call()).await {
            Ok(comments) => comments,
            Err(error) => return self.unreadable(order, "the alert's comments", &error).await,
        };
        if comments.iter().any(|comment| comment.contains(mark)) {
            return self.answer(order, None, "it stands there already".to_owned()).await;
        }
        // Two workers with the same report have read the same comments: one of them writes.
        let key = Once::key(&self.tenant, mark);
        let once: Option<Stored<Once>> = self.state.get(&key, order.now).await?;
        if once.as_ref().is_some_and(|once| order.now.duration_since(once.value.at) < QUIET) {
            let why = "somebody else may be writing it on the alert".to_owned();
            return Err(Stop::Defer { until: later(order.now, SOON * 6), why });
        }
        let write = Write::put(
            key,
            &Once { at: order.now },
            Stored::expected(once.as_ref()),
            Once::expires(order.now),
        )?;
        self.state.commit(&[write], order.now).await?;
        let Err(failed) = self.responder.comment(alert, text, order.now).await else {
            return self.answer(order, None, "written".to_owned()).await;
        };
        let why = failed.error.to_string();
        match (failed.reached, failed.error.passes_in()) {
            // Whether it stands there is read before it is written again.
            (Reached::Maybe | Reached::Yes, _) => Err(Stop::Defer { until: later(order.now, SOON * 4), why }),
            (Reached::No, Some(wait)) => Err(Stop::Defer { until: later(order.now, wait), why }),
            (Reached::No, None) => {
                let said = format!("{why}; does the app that acts hold Alert.ReadWrite.All?");
                tracing::error!(%alert, said, "a comment could not be written on an alert");
                self.answer(order, None, said).await
            }
        }
    }
}

pub(crate) const UNCLEAR: &str =
    "the device's machine actions carry no times, so it cannot be told whether it is isolated";

pub(crate) fn how_of(order: &Ordered) -> Option<How> {
    match &order.message.body.wanted {
        Wanted::Isolate { isolation_type, even_so } => {
            Some(How { isolation_type: *isolation_type, even_so: *even_so })
        }
        Wanted::Release | Wanted::Comment { .. } | Wanted::CreateAlert(_) => None,
    }
}

/// An effect on the device may be under way: whoever asked for it finds out, and this waits for it.
pub(crate) fn under_way(claim: &Claim, now: Timestamp) -> Stop {
    let why = format!("a request for the {} of this device may be under way", claim.effect.word());
    Stop::Defer { until: next_look(claim, now).max(later(now, SOON)), why }
}

/// Whether a release of the device is open.
pub(crate) fn is_releasing(actions: &[MachineAction]) -> bool {
    actions.iter().any(|action| action.is_open() && action.kind == ActionKind::Unisolate)
}

/// An isolation beside a release that is open could come out either way: it waits for the release's end.
pub(crate) fn while_releasing(now: Timestamp) -> Stop {
    Stop::Defer { until: later(now, SOON * 4), why: "a release of this device is open".to_owned() }
}

/// Why nothing is asked for once more, where nothing has come to nothing.
fn nothing_to_reissue(claim: Option<&Claim>) -> Option<String> {
    let Some(claim) = claim else {
        return Some(
            "Cordon has never asked for the isolation of this device: order it without --reissue".to_owned(),
        );
    };
    let came_to_nothing = matches!(
        claim.state,
        EffectState::Failed | EffectState::TimedOut | EffectState::Cancelled | EffectState::Refused
    );
    (claim.effect != Effect::Isolate || !came_to_nothing).then(|| {
        format!(
            "the last request for this device, its {}, is {}: there is nothing to ask for once more",
            claim.effect.word(),
            claim.state
        )
    })
}

fn adopted_by(action: &MachineAction) -> String {
    let who = action.requestor.as_deref().map_or_else(|| "somebody".to_owned(), |who| one_line(who, 80));
    format!("already isolated, or being isolated, at the request of {who}: nothing was asked")
}
