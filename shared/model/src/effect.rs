//! The states of an effect: one list, used in code, messages, mails and docs alike.

use crate::ActionKind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which way an effect goes. Isolating and releasing are one family: a device has one claim for both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Cut the device off the network.
    #[default]
    Isolate,
    /// Give it its network back.
    Release,
}

impl Effect {
    /// The machine action by which the service carries it out.
    pub fn action_kind(self) -> ActionKind {
        match self {
            Effect::Isolate => ActionKind::Isolate,
            Effect::Release => ActionKind::Unisolate,
        }
    }

    /// As it is said to people: "the …".
    pub fn word(self) -> &'static str {
        match self {
            Effect::Isolate => "isolation",
            Effect::Release => "release",
        }
    }
}

/// Where an effect on a device stands. `requested` is not `succeeded`: the service's "accepted" is a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectState {
    /// Nothing asked yet; another worker may take the claim over.
    Claimed,
    /// The call may be under way.
    Requesting,
    /// The service accepted it and gave a machine action's id.
    Requested,
    /// The service has not carried it out yet, for instance because the device is offline.
    Pending,
    Succeeded,
    Failed,
    /// The service gave up, after about three days for a device that stayed offline.
    TimedOut,
    /// Somebody cancelled the machine action.
    Cancelled,
    /// Somebody else's isolation is open or in force: nothing was asked.
    Adopted,
    /// The call may or may not have reached the service; settled by reading, never by asking again blindly.
    Unknown,
    /// A doubt, a prohibition or a limit stood against it.
    Refused,
    /// Decided, and not carried out because of the mode.
    Observed,
    /// A person is asked instead.
    Proposed,
    /// A limit, an open breaker or a pause holds it back until a person lets it go on.
    Held,
    /// The device has its network back.
    Released,
}

impl EffectState {
    /// The word that people read.
    pub const fn word(self) -> &'static str {
        match self {
            EffectState::Claimed => "claimed",
            EffectState::Requesting => "requesting",
            EffectState::Requested => "requested",
            EffectState::Pending => "pending",
            EffectState::Succeeded => "succeeded",
            EffectState::Failed => "failed",
            EffectState::TimedOut => "timed out",
            EffectState::Cancelled => "cancelled",
            EffectState::Adopted => "adopted",
            EffectState::Unknown => "unknown",
            EffectState::Refused => "refused",
            EffectState::Observed => "observed",
            EffectState::Proposed => "proposed",
            EffectState::Held => "held",
            EffectState::Released => "released",
        }
    }

    /// Whether the service has accepted it and may still change it, so that it has to be followed.
    pub fn is_open(self) -> bool {
        matches!(self, EffectState::Requested | EffectState::Pending)
    }

    /// Whether the service may have been asked, and nobody has recorded its answer.
    pub fn is_unanswered(self) -> bool {
        matches!(self, EffectState::Requesting | EffectState::Unknown)
    }
}

impl fmt::Display for EffectState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
