//! The ledger: the claim on a device, and the one function that moves it from state to state.
//!
//! Pure: a claim and an event give the next claim and what has to be counted with it, or the event is impossible
//! there. Who writes it, and under which condition, is the steps' business.

use crate::{Key, rows::device_partition};
use jiff::Timestamp;
use model::{
    ActionId, AlertId, Cause, ClaimId, DeviceId, Effect, EffectState, IsolationType, MachineAction,
    MessageId, TenantId,
};
use serde::{Deserialize, Serialize};

/// The claim on a device: isolating and releasing share one. Never expires: without it a device could be isolated twice,
/// or what Cordon isolated be taken for somebody else's. There is one per device that was ever claimed, not one per
/// isolation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    pub device: DeviceId,
    /// One effect per generation; the next effect, a release among them, starts the next.
    pub generation: u32,
    /// How often this generation's effect was about to be asked for.
    pub attempt: u32,
    pub id: ClaimId,
    #[serde(default)]
    pub effect: Effect,
    pub state: EffectState,
    /// The alert on whose account it stands; none where a person has named the device alone.
    pub alert: Option<AlertId>,
    /// Who ordered it, where it does not follow from an alert by itself.
    #[serde(default)]
    pub order: Option<Order>,
    pub isolation_type: IsolationType,
    /// While `claimed`: when it may be asked for. While `requesting` or `unknown`: until when the call may still be under
    /// way. While open: when to look next.
    pub due: Timestamp,
    /// How often the open machine action was looked at.
    pub looks: u32,
    pub action: Option<ActionId>,
    /// The machine action by which Cordon isolated the device, as long as that may be in force: also while the
    /// device is being released. Only what stands here is ever released by Cordon itself.
    #[serde(default)]
    pub isolation: Option<ActionId>,
    /// Whether this generation was counted against the limits per hour and day.
    #[serde(default)]
    pub spent: bool,
    /// Whether the device counts among those that are isolated by Cordon now.
    #[serde(default)]
    pub counted: bool,
    /// Whether what a hunt has found stands behind this generation's isolation, alone or beside other alerts: then the
    /// timer leaves the device to people.
    #[serde(default)]
    pub hunted: bool,
    pub claimed_at: Timestamp,
    pub changed_at: Timestamp,
}

/// An order of a person, or of the timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub cause: Cause,
    pub by: String,
    pub why: String,
    /// The message that brought it.
    pub message: MessageId,
}

impl Order {
    /// Who wants it and why, for people.
    pub fn note(&self) -> String {
        let (by, why) = (model::one_line(&self.by, 80), model::one_line(&self.why, 300));
        match self.cause {
            Cause::Timer => format!("by the timer `release_after`: {why}"),
            Cause::Held => format!("a held case, let go on by {by}: {why}"),
            Cause::Operator | Cause::Reissue | Cause::Report | Cause::Hunt => {
                format!("ordered by {by}: {why}")
            }
        }
    }
}

/// What happened to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is about to be asked for. Until `quiet`, the call may be under way.
    Asked { quiet: Timestamp },
    /// The service gave a machine action, or ours was found by its mark.
    Accepted { action: ActionId, look: Timestamp },
    /// The service may have been asked and gave no usable answer.
    Unanswered,
    /// The service surely has it not: it may be asked again, but not before the time that it said.
    NotReached { not_before: Timestamp },
    /// The service said no for good, or nobody is left who would ask again.
    Rejected,
    /// Somebody else's machine action is open or in force.
    Adopted { action: ActionId },
    /// Nothing was asked, and nothing will be.
    GivenUp,
    /// The machine action was looked at and has not ended.
    Waiting { look: Timestamp },
    /// The machine action has ended.
    Ended(Ending),
    /// The device was read as having its network, whoever gave it back.
    Free,
}

/// How a machine action ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Succeeded,
    Failed,
    TimedOut,
    Cancelled,
}

/// A claim after an event, and what has to be written with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    pub claim: Claim,
    /// This generation is to be counted against the limits per hour and day, now.
    pub spends: bool,
    /// This generation was counted, and nothing came of it but that somebody else's isolation was found.
    pub gives_back: bool,
    /// The change of how many devices are isolated by Cordon.
    pub standing: i32,
}

/// An event that cannot happen in that state: whoever read the claim has read something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a claim for {effect:?} that is `{state}` cannot take {event}")]
pub struct Impossible {
    effect: Effect,
    state: EffectState,
    event: String,
}

impl Claim {
    pub fn key(tenant: &TenantId, device: &DeviceId) -> Key {
        Key { partition: device_partition(tenant, device), sort: "claim#cut-off".to_owned() }
    }

    /// The first claim on a device, or the next generation after `before`. Nothing has been asked yet.
    pub fn new(tenant: &TenantId, before: Option<&Claim>, new: NewClaim, now: Timestamp) -> Claim {
        let NewClaim { device, effect, alert, order, isolation_type } = new;
        let generation = before.map_or(1, |before| before.generation + 1);
        Claim {
            id: ClaimId::of(tenant, &device, generation, 0, now),
            device,
            generation,
            attempt: 0,
            effect,
            state: EffectState::Claimed,
            alert,
            order,
            isolation_type,
            due: now,
            looks: 0,
            action: None,
            isolation: before.and_then(|before| before.isolation.clone()),
            spent: false,
            counted: before.is_some_and(|before| before.counted),
            hunted: false,
            claimed_at: now,
            changed_at: now,
        }
    }

    /// The id of one attempt. When it was claimed is part of it: the same generation may come again after the state
    /// was lost, and must not find what an earlier life has asked for.
    pub fn id_of(&self, tenant: &TenantId, attempt: u32) -> ClaimId {
        ClaimId::of(tenant, &self.device, self.generation, attempt, self.claimed_at)
    }

    /// The machine action that was asked for under this claim: by its last attempt, or by an earlier one that shows
    /// only now, after its quiet time.
    pub fn own_action<'a>(
        &self,
        tenant: &TenantId,
        actions: &'a [MachineAction],
    ) -> Option<&'a MachineAction> {
        let kind = self.effect.action_kind();
        (1..=self.attempt).rev().find_map(|attempt| {
            let id = self.id_of(tenant, attempt);
            actions.iter().find(|action| action.kind == kind && action.carries(&id))
        })
    }

    /// The claim after an event. Pure; the only place where a claim's state changes.
    pub fn after(&self, tenant: &TenantId, event: Event, now: Timestamp) -> Result<Moved, Impossible> {
        use EffectState::{Claimed, Pending, Requested, Requesting, Succeeded, Unknown};
        let mut claim = self.clone();
        let state = match (self.state, &event) {
            (Claimed, Event::Asked { .. }) => Requesting,
            (Requesting | Unknown, Event::Accepted { .. }) => Requested,
            // What an earlier attempt has asked for may show after its quiet time.
            (Claimed, Event::Accepted { .. }) if self.attempt > 0 => Requested,
            (Requesting, Event::Unanswered) => Unknown,
            (Requesting | Unknown, Event::NotReached { .. }) => Claimed,
            (Claimed | Requesting | Unknown, Event::Rejected) => EffectState::Failed,
            (Claimed | Requesting, Event::Adopted { .. }) if self.effect == Effect::Isolate => {
                EffectState::Adopted
            }
            (Claimed, Event::GivenUp) => EffectState::Refused,
            (Requested | Pending, Event::Waiting { .. }) => Pending,
            (Requested | Pending, Event::Ended(ending)) => match (ending, self.effect) {
                (Ending::Succeeded, Effect::Isolate) => Succeeded,
                (Ending::Succeeded, Effect::Release) => EffectState::Released,
                (Ending::Failed, _) => EffectState::Failed,
                (Ending::TimedOut, _) => EffectState::TimedOut,
                (Ending::Cancelled, _) => EffectState::Cancelled,
            },
            (Succeeded | EffectState::Adopted, Event::Free) => EffectState::Released,
            (Claimed | Requesting | Unknown | Requested | Pending, Event::Free)
            | (
                EffectState::Failed | EffectState::TimedOut | EffectState::Cancelled | EffectState::Refused,
                Event::Free,
            ) if self.effect == Effect::Release => EffectState::Released,
            _ => {
                return Err(Impossible {
                    effect: self.effect,
                    state: self.state,
                    event: format!("{event:?}"),
                });
            }
        };
        if state != self.state {
            claim.changed_at = now;
        }
        claim.state = state;
        let mut spends = false;
        match event {
            Event::Asked { quiet } => {
                claim.attempt += 1;
                claim.id = claim.id_of(tenant, claim.attempt);
                claim.due = quiet;
                if claim.effect == Effect::Isolate {
                    spends = !claim.spent;
                    claim.spent = true;
                    claim.counted = true;
                }
            }
            Event::Accepted { action, look } => {
                if claim.effect == Effect::Isolate {
                    claim.isolation = Some(action.clone());
                }
                claim.action = Some(action);
                (claim.due, claim.looks) = (look, 0);
            }
            Event::Adopted { action } => claim.action = Some(action),
            Event::Waiting { look } => {
                claim.looks += 1;
                claim.due = look;
            }
            Event::Ended(_) => claim.looks += 1,
            Event::NotReached { not_before } => claim.due = not_before,
            Event::Unanswered | Event::Rejected | Event::GivenUp | Event::Free => {}
        }
        if !claim.may_be_ours() {
            (claim.counted, claim.isolation) = (false, None);
        }
        let standing = i32::from(claim.counted) - i32::from(self.counted);
        let gives_back = claim.state == EffectState::Adopted && claim.spent;
        claim.spent &= !gives_back;
        Ok(Moved { claim, spends, gives_back, standing })
    }

    /// Whether the device may be cut off by Cordon's doing, or be about to.
    fn may_be_ours(&self) -> bool {
        match self.effect {
            // A release that came to nothing leaves the device as it was.
            Effect::Release => self.state != EffectState::Released,
            // A request that was not reached keeps its place until it is asked again or given up.
            Effect::Isolate => matches!(
                self.state,
                EffectState::Claimed
                    | EffectState::Requesting
                    | EffectState::Unknown
                    | EffectState::Requested
                    | EffectState::Pending
                    | EffectState::Succeeded
            ),
        }
    }

    /// Whether the device is, or may be, without its network by what this claim stands for, somebody else's isolation
    /// among it.
    pub fn is_cut_off(&self) -> bool {
        match self.effect {
            Effect::Isolate => matches!(
                self.state,
                EffectState::Requesting
                    | EffectState::Unknown
                    | EffectState::Requested
                    | EffectState::Pending
                    | EffectState::Succeeded
                    | EffectState::Adopted
            ),
            Effect::Release => self.state != EffectState::Released,
        }
    }

    /// Whether somebody has to come back to it: it is open at the service, its answer is missing, or it is to
    /// be asked for once more.
    pub fn is_unsettled(&self) -> bool {
        let waits_to_be_asked_again = self.state == EffectState::Claimed && self.attempt > 0;
        self.state.is_open() || self.state.is_unanswered() || waits_to_be_asked_again
    }
}

/// What a new claim is for.
#[derive(Debug, Clone)]
pub struct NewClaim {
    pub device: DeviceId,
    pub effect: Effect,
    pub alert: Option<AlertId>,
    pub order: Option<Order>,
    pub isolation_type: IsolationType,
}

/// Points to a claim that is not settled, so that those can be listed: written and deleted in the claim's commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEffect {
    pub device: DeviceId,
}

impl OpenEffect {
    pub fn partition(tenant: &TenantId) -> String {
        format!("{tenant}#open")
    }

    pub fn key(tenant: &TenantId, device: &DeviceId) -> Key {
        Key { partition: OpenEffect::partition(tenant), sort: format!("cut-off#{device}") }
    }
}

/// Points to a device that is, or may be, cut off ([`Claim::is_cut_off`]): written and deleted in the claim's commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOff {
    pub device: DeviceId,
}

impl CutOff {
    pub fn partition(tenant: &TenantId) -> String {
        format!("{tenant}#cut-off")
    }

    pub fn key(tenant: &TenantId, device: &DeviceId) -> Key {
        Key { partition: CutOff::partition(tenant), sort: format!("device#{device}") }
    }
}

/// That an alert has had a device isolated: by alert and device, not by revision. It never does so again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    pub claim: ClaimId,
    pub generation: u32,
    pub at: Timestamp,
}

impl Acted {
    pub fn key(tenant: &TenantId, alert: &AlertId, device: &DeviceId) -> Key {
        Key { partition: crate::alert_partition(tenant, alert), sort: format!("acted#cut-off#{device}") }
    }
}

/// A machine action that Cordon asked for. One by Cordon's app that has no such row is an alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAction {
    pub device: DeviceId,
    pub claim: ClaimId,
}

impl KnownAction {
    pub fn key(tenant: &TenantId, action: &ActionId) -> Key {
        Key { partition: format!("{tenant}#action#{action}"), sort: "known".to_owned() }
    }

    /// As long as what is known of an alert stays, which is longer than Defender shows a machine action (180 days), and
    /// by far longer than `track` looks back for those that it does not know (four days): none that this stood for is
    /// ever taken for somebody else's.
    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        crate::CaseRow::expires(now)
    }
}
