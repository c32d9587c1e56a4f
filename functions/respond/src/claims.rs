//! How long respond waits for what, and the proof without which nothing is asked.
//!
//! What moves a claim stands in `ports`: the transition in its ledger, the writes in its claims.

use crate::{READ_BUDGET, Respond, SOON, Stop, Work, later};
use defender::{ApiError, EFFECT_TIMEOUT};
use jiff::{SignedDuration, Timestamp};
use model::{ActionId, DeviceId, Effect, EffectState, IsolationType};
use ports::{Acted, Claim, Claims, Event, Expect, Fleet, Gate, NewClaim, Permit, Stored, Wish, Write};

/// How long after a message was taken its call may still be under way, by the widest count: three reads before it,
/// each of which may be made twice; its own time-out, twice because of a rejected token; as long again for tokens;
/// and a minute in which the service may finish what it was sent.
pub(crate) const QUIET: SignedDuration =
    SignedDuration::from_secs(6 * READ_BUDGET.as_secs() + 4 * EFFECT_TIMEOUT.as_secs().cast_signed() + 60);

/// When the service is first looked at after it accepted a request.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(2);

/// When a missing answer is looked for again at first: a call that was under way has ended by then.
const LOOK: SignedDuration = SignedDuration::from_secs(EFFECT_TIMEOUT.as_secs().cast_signed());

/// Proof that the claim stands as `requesting` in the state: only the commit that put it there makes one, and
/// without one nothing is asked of the service.
#[derive(Debug)]
pub(crate) struct Requesting {
    held: Stored<Claim>,
}

impl Requesting {
    pub(crate) fn claim(&self) -> &Claim {
        &self.held.value
    }

    pub(crate) fn into_held(self) -> Stored<Claim> {
        self.held
    }
}

/// Whether a claim may be asked for.
#[derive(Debug)]
pub(crate) enum Let {
    Through(Box<Requesting>),
    /// The claim stands as it did. People know of it, or are told by whoever gets this.
    Held(Gate),
}

impl Respond {
    pub(crate) fn claims(&self) -> Claims<'_> {
        Claims { tenant: &self.tenant, state: &self.state }
    }

    /// Claims the device for an isolation: the next generation after `before`, or the first. Nothing has been asked
    /// yet.
    pub(crate) async fn claim(
        &self,
        work: &Work,
        device: &DeviceId,
        before: Option<Stored<Claim>>,
        how: IsolationType,
    ) -> Result<Stored<Claim>, Stop> {
        let new = NewClaim {
            device: device.clone(),
            effect: Effect::Isolate,
            alert: Some(work.message.body.found.alert.id.clone()),
            order: work.order.clone(),
            isolation_type: how,
        };
        self.claim_anew(before, new, work.now).await
    }

    pub(crate) async fn claim_anew(
        &self,
        before: Option<Stored<Claim>>,
        new: NewClaim,
        now: Timestamp,
    ) -> Result<Stored<Claim>, Stop> {
        let claim = Claim::new(&self.tenant, before.as_ref().map(|before| &before.value), new, now);
        let expect = before.map_or(Expect::Absent, |before| Expect::Is(before.version));
        Ok(self.claims().begin(claim, expect, now).await?)
    }

    /// Moves the claim of an alert to `requesting`, if limits, breaker and pause let it through: from here on the
    /// call may be under way, until the quiet time is over.
    pub(crate) async fn begin_request(
        &self,
        mut held: Stored<Claim>,
        work: &Work,
        how: IsolationType,
        group: Option<&str>,
    ) -> Result<Let, Stop> {
        let alert = &work.message.body.found.alert;
        held.value.alert = Some(alert.id.clone());
        held.value.isolation_type = how;
        held.value.order.clone_from(&work.order);
        let acted = Acted {
            claim: held.value.id_of(&self.tenant, held.value.attempt + 1),
            generation: held.value.generation,
            at: work.now,
        };
        let key = Acted::key(&self.tenant, &alert.id, &held.value.device);
        let also = vec![Write::put(key, &acted, Expect::Any, ports::CaseRow::expires(work.now))?];
        let device = held.value.device.clone();
        let wish = Wish {
            device: &device,
            group,
            causes: if work.is_by_hand() { Vec::new() } else { Wish::causes_of(alert) },
            fleet: self.fleet(work.now).await?,
        };
        self.ask_brakes(held, &wish, also, work.now).await
    }

    /// Asks the brakes. Whoever is held back, and has to be told of it for the first time, is told here.
    pub(crate) async fn ask_brakes(
        &self,
        held: Stored<Claim>,
        wish: &Wish<'_>,
        also: Vec<Write>,
        now: Timestamp,
    ) -> Result<Let, Stop> {
        let limits = &self.playbook.settings.limits;
        match self.claims().ask(&held, wish, limits, later(now, QUIET), also, now).await? {
            Permit::Given(held) => Ok(Let::Through(Box::new(Requesting { held }))),
            Permit::Held { gate, news } => {
                if let Some(news) = news {
                    let Claim { device, alert, .. } = &held.value;
                    self.tell_holding(&gate, news, device, alert.as_ref(), now).await?;
                }
                Ok(Let::Held(gate))
            }
        }
    }

    /// How many devices are onboarded, where that was counted not too long ago. Without it the least holds.
    pub(crate) async fn fleet(&self, now: Timestamp) -> Result<Option<u64>, Stop> {
        let fleet: Option<Stored<Fleet>> = self.state.get_readable(&Fleet::key(&self.tenant), now).await?;
        let fresh = fleet.filter(|fleet| now.duration_since(fleet.value.counted_at) <= Fleet::FRESH);
        Ok(fresh.map(|fleet| fleet.value.onboarded))
    }

    /// The open machine action is to be looked at soon: it has ended, and `track` does not know yet.
    pub(crate) async fn have_looked_at(&self, held: &Stored<Claim>, now: Timestamp) -> Result<(), Stop> {
        self.after(held, Event::Waiting { look: now }, now).await.map(|_| ())
    }

    /// Moves the claim by an event.
    pub(crate) async fn after(
        &self,
        held: &Stored<Claim>,
        event: Event,
        now: Timestamp,
    ) -> Result<Stored<Claim>, Stop> {
        Ok(self.claims().after(held, event, Vec::new(), now).await?)
    }
}

/// The service has accepted a request; when to look at it first.
pub(crate) fn accepted(action: &ActionId, now: Timestamp) -> Event {
    Event::Accepted { action: action.clone(), look: later(now, FIRST_LOOK) }
}

/// Whether nothing can come of a claim any more but what is recorded: the next effect needs a new generation.
pub(crate) fn is_spent(state: EffectState) -> bool {
    state != EffectState::Claimed && !state.is_unanswered()
}

/// How often a device is asked for of which the service says that it is not there.
const ASKED_IN_DOUBT: u32 = 3;

/// When to ask again for what the service surely has not taken; none where its answer is final. A 404 for a device that
/// was read a moment ago is no such answer at once: the service is reported to give one now and then for what exists
/// (MicrosoftDocs/microsoft-365-docs#13047).
pub(crate) fn asks_again_in(error: &ApiError, claim: &Claim) -> Option<SignedDuration> {
    match error {
        ApiError::NotFound(_) if claim.attempt < ASKED_IN_DOUBT => Some(SOON),
        error => error.passes_in(),
    }
}

/// When to look again for the machine action of a request without an answer: ever more rarely, because many devices
/// share the quota, and at last when its quiet time is over.
pub(crate) fn next_look(claim: &Claim, now: Timestamp) -> Timestamp {
    let waited = now.duration_since(claim.changed_at);
    later(now, waited.max(LOOK)).min(claim.due)
}
