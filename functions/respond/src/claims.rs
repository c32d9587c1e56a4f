//! The claim on a device, moved from state to state by conditional writes: whoever loses a race writes nothing.

use crate::{READ_BUDGET, Respond, Stop, Work, later};
use defender::EFFECT_TIMEOUT;
use jiff::{SignedDuration, Timestamp};
use model::{ActionId, ActionKind, ClaimId, DeviceId, EffectState, IsolationType, MachineAction};
use ports::{Claim, Expect, OpenEffect, Stored, Write};

/// How long after a message was taken its call may still be under way, by the widest count: three reads before it,
/// each of which may be made twice; its own time-out, twice because of a rejected token; as long again for tokens;
/// and a minute in which the service may finish what it was sent.
pub(crate) const QUIET: SignedDuration =
    SignedDuration::from_secs(6 * READ_BUDGET.as_secs() + 4 * EFFECT_TIMEOUT.as_secs().cast_signed() + 60);

/// When the service is first looked at after it accepted a request.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(2);

/// The claim as it stands in the state, with the version that the next write must find.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) claim: Claim,
    expect: Expect,
}

/// Proof that the claim stands as `requesting` in the state: only the commit that put it there makes one, and
/// without one nothing is asked of the service.
#[derive(Debug)]
pub(crate) struct Requesting {
    held: Held,
}

impl Requesting {
    pub(crate) fn claim(&self) -> &Claim {
        &self.held.claim
    }

    pub(crate) fn into_held(self) -> Held {
        self.held
    }
}

impl Respond {
    pub(crate) async fn read_claim(&self, device: &DeviceId, now: Timestamp) -> Result<Option<Held>, Stop> {
        let stored: Option<Stored<Claim>> = self.state.get(&Claim::key(&self.tenant, device), now).await?;
        Ok(stored.map(|stored| Held { expect: Expect::Is(stored.version), claim: stored.value }))
    }

    /// The machine action that was asked for under this claim: by its last attempt, or by an earlier one that shows
    /// only now, after its quiet time.
    pub(crate) fn own_action<'a>(
        &self,
        claim: &Claim,
        actions: &'a [MachineAction],
    ) -> Option<&'a MachineAction> {
        (1..=claim.attempt).rev().find_map(|attempt| {
            let id = self.claim_id(claim, attempt);
            actions.iter().find(|action| action.kind == ActionKind::Isolate && action.carries(&id))
        })
    }

    /// The id of one attempt of a claim. When it was claimed is part of it: the same generation may come again after
    /// the state was lost, and must not find what an earlier life has asked for.
    fn claim_id(&self, claim: &Claim, attempt: u32) -> ClaimId {
        ClaimId::of(&self.tenant, &claim.device, claim.generation, attempt, claim.claimed_at)
    }

    /// Has the open machine action looked at soon: it has ended, and `track` does not know yet.
    pub(crate) async fn have_looked_at(&self, held: Held, now: Timestamp) -> Result<(), Stop> {
        let Held { mut claim, expect } = held;
        claim.due = now;
        self.write(Held { claim, expect }, now).await.map(|_| ())
    }

    /// Claims the device: the next generation after `before`, or the first. Nothing has been asked yet.
    pub(crate) async fn claim(
        &self,
        work: &Work,
        device: &DeviceId,
        before: Option<Held>,
        how: IsolationType,
    ) -> Result<Held, Stop> {
        let generation = before.as_ref().map_or(1, |held| held.claim.generation + 1);
        let claim = Claim {
            device: device.clone(),
            generation,
            attempt: 0,
            id: ClaimId::of(&self.tenant, device, generation, 0, work.now),
            state: EffectState::Claimed,
            alert: work.message.body.found.alert.id.clone(),
            isolation_type: how,
            due: work.now,
            looks: 0,
            action: None,
            claimed_at: work.now,
            changed_at: work.now,
        };
        let expect = before.map_or(Expect::Absent, |held| held.expect);
        self.write(Held { claim, expect }, work.now).await
    }

    /// Moves the claim to `requesting`: from here on the call may be under way, until the quiet time is over.
    pub(crate) async fn begin_request(
        &self,
        held: Held,
        work: &Work,
        how: IsolationType,
    ) -> Result<Requesting, Stop> {
        let Held { mut claim, expect } = held;
        claim.attempt += 1;
        claim.id = self.claim_id(&claim, claim.attempt);
        claim.alert = work.message.body.found.alert.id.clone();
        claim.isolation_type = how;
        claim.state = EffectState::Requesting;
        claim.due = later(work.now, QUIET);
        claim.changed_at = work.now;
        let held = self.write(Held { claim, expect }, work.now).await?;
        Ok(Requesting { held })
    }

    /// Moves the claim to another state, with the machine action that it led to.
    pub(crate) async fn settle(
        &self,
        held: Held,
        state: EffectState,
        action: Option<ActionId>,
        now: Timestamp,
    ) -> Result<Held, Stop> {
        let Held { mut claim, expect } = held;
        if state.is_open() {
            claim.due = later(now, FIRST_LOOK);
            claim.looks = 0;
        }
        claim.state = state;
        claim.action = action.or(claim.action);
        claim.changed_at = now;
        self.write(Held { claim, expect }, now).await
    }

    /// Writes the claim and, in the same commit, whether it has to be followed.
    async fn write(&self, held: Held, now: Timestamp) -> Result<Held, Stop> {
        let Held { claim, expect } = held;
        let key = Claim::key(&self.tenant, &claim.device);
        let open_key = OpenEffect::key(&self.tenant, &claim.device);
        let pointer = if claim.state.is_open() || claim.state.is_unanswered() {
            Write::put(open_key, &OpenEffect { device: claim.device.clone() }, Expect::Any, None)?
        } else {
            Write::Delete { key: open_key, expect: Expect::Any }
        };
        self.state.commit(&[Write::put(key.clone(), &claim, expect, None)?, pointer], now).await?;
        let written: Option<Stored<Claim>> = self.state.get(&key, now).await?;
        match written {
            Some(stored) if stored.value == claim => Ok(Held { expect: Expect::Is(stored.version), claim }),
            _ => Err(Stop::Again("somebody else has taken the claim over".to_owned())),
        }
    }
}
