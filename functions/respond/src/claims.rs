//! The claim on a device, moved from state to state by conditional writes: whoever loses a race writes nothing.

use crate::{Respond, Stop, Work};
use jiff::{SignedDuration, Timestamp};
use model::{ActionId, ClaimId, DeviceId, EffectState, IsolationType, MachineAction};
use ports::{Claim, Expect, OpenEffect, Stored, Write};

/// How long after a call began it may still be under way, by the widest count: the reads before it, its own
/// time-out twice (a rejected token), and the time in which the service may still finish what it was sent.
pub(crate) const QUIET: SignedDuration = SignedDuration::from_mins(3);

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
    pub(crate) fn own_action<'a>(&self, claim: &Claim, actions: &'a [MachineAction]) -> Option<&'a MachineAction> {
        (1..=claim.attempt).rev().find_map(|attempt| {
            let id = ClaimId::of(&self.tenant, &claim.device, claim.generation, attempt);
            actions.iter().find(|action| action.carries(&id))
        })
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
            id: ClaimId::of(&self.tenant, device, generation, 0),
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
    pub(crate) async fn begin_request(&self, held: Held, work: &Work, how: IsolationType) -> Result<Requesting, Stop> {
        let Held { mut claim, expect } = held;
        claim.attempt += 1;
        claim.id = ClaimId::of(&self.tenant, &claim.device, claim.generation, claim.attempt);
        claim.alert = work.message.body.found.alert.id.clone();
        claim.isolation_type = how;
        claim.state = EffectState::Requesting;
        claim.due = work.now.checked_add(QUIET).unwrap_or(Timestamp::MAX);
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
            claim.due = now.checked_add(FIRST_LOOK).unwrap_or(now);
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
        let must_be_followed = match claim.state {
            EffectState::Requesting | EffectState::Unknown | EffectState::Requested | EffectState::Pending => true,
            EffectState::Claimed
            | EffectState::Succeeded
            | EffectState::Failed
            | EffectState::TimedOut
            | EffectState::Cancelled
            | EffectState::Adopted
            | EffectState::Refused
            | EffectState::Observed
            | EffectState::Proposed => false,
        };
        let pointer = if must_be_followed {
            Write::put(open_key, &OpenEffect { device: claim.device.clone() }, Expect::Any, None)?
        } else {
            Write::Delete { key: open_key, expect: Expect::Any }
        };
        self.state.commit(&[Write::put(key.clone(), &claim, expect, None)?, pointer], now).await?;
        let written: Option<Stored<Claim>> = self.state.get(&key, now).await?;
        match written {
            Some(stored) if stored.value == claim => Ok(Held { expect: Expect::Is(stored.version), claim }),
            _ => Err(Stop::Retry("somebody else has taken the claim over".to_owned())),
        }
    }
}
