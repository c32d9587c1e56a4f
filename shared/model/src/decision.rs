//! What was decided about an alert and why. Deciding itself is `policy`'s business.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decide and tell, never act.
    Observe,
    Enforce,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Observe => "observe",
            Mode::Enforce => "enforce",
        }
    }
}

/// What the policy answers for one alert and device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Cut the device off the network.
    Isolate,
    /// Ask a person whether to.
    Propose,
    /// Nothing permits anything.
    None,
    /// Something would be permitted, but a prohibition or a doubt stands against it.
    Refused,
}

impl Answer {
    pub fn as_str(self) -> &'static str {
        match self {
            Answer::Isolate => "isolate",
            Answer::Propose => "propose",
            Answer::None => "none",
            Answer::Refused => "refused",
        }
    }
}

/// How much of the network a device loses. Source: Microsoft's "Isolate machine API" page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IsolationType {
    /// Everything but the sensor's own connection.
    Full,
    /// Outlook, Teams and Skype keep working; Windows only.
    Selective,
}

impl IsolationType {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            IsolationType::Full => "Full",
            IsolationType::Selective => "Selective",
        }
    }
}

/// Stands for a policy's id where a person has ordered what is done. No policy can have it.
pub const BY_HAND: &str = "by-hand";

/// A policy that spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyNote {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`: the sentence that people read.
    pub reason: String,
}

/// On which side a policy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Permit,
    Forbid,
    /// A forbid of `guarantees.cedar`, which is asked apart from the policies.
    Guarantee,
}

/// A policy whose conditions were met, and for which action.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spoke {
    /// The action's name in the schema, such as `isolate`.
    pub action: String,
    pub side: Side,
    /// The policy's `@id`.
    pub policy: String,
}

/// Something that the policies could see and that at least one of them asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// As policies write it, such as `resource.device.class`.
    pub name: String,
    /// In words; none where it is not known.
    pub value: Option<String>,
    /// Whose word it is, such as "Defender's device".
    pub source: String,
    /// When it was read there; none for what has no age.
    pub read_at: Option<Timestamp>,
}

/// What Cordon's own state says beside alert and device. What is none is not known, and absent for the policies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Surroundings {
    /// When the alert was read from the service.
    pub alert_read: Option<Timestamp>,
    /// When the device was read from the service.
    pub device_read: Option<Timestamp>,
    /// How many isolations were let through in the last 60 minutes.
    pub isolations_last_hour: Option<u32>,
    /// How many isolations were let through in the last 24 hours.
    pub isolations_last_day: Option<u32>,
    /// Whether an isolation of the device by Cordon is under way or in force.
    pub open_isolation: Option<bool>,
}

/// How an answer came about, for whoever asks later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reasoning {
    /// What the policies said by themselves. What stands behind them may have taken it away.
    pub policies: Option<Answer>,
    /// The mode by environment and playbook; a policy's own may be stricter.
    pub mode: Option<Mode>,
    /// Of the decision's doubts, those about guarantees: what one of them forbids, or could not be evaluated.
    pub of_guarantees: Vec<String>,
    /// Of the decision's doubts, those about lists that are overdue for their review.
    pub of_lists: Vec<String>,
    pub surroundings: Surroundings,
    /// Every policy that spoke, whatever came of it.
    pub spoke: Vec<Spoke>,
    pub inputs: Vec<Input>,
    /// How many guarantees were asked.
    pub guarantees: usize,
    /// The digest of the playbook that decided; see `policy::Playbook::digest`.
    pub playbook: String,
}

/// A decision with everything that is needed to explain it later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub answer: Answer,
    /// The mode that holds for this decision: the strictest of environment, playbook and policy.
    pub mode: Mode,
    /// For `isolate` and `propose`: which kind.
    pub isolation_type: IsolationType,
    /// The permits that spoke for it.
    pub permitted_by: Vec<PolicyNote>,
    /// The forbids that stood against acting.
    pub forbidden_by: Vec<PolicyNote>,
    /// Why Cordon itself would not act: missing, stale or unreadable data, or an error while deciding.
    pub doubts: Vec<String>,
    /// Whether people are to be told.
    pub tell: bool,
    /// Empty in a history, and in what was recorded before there was any.
    #[serde(default)]
    pub reasoning: Reasoning,
}

impl Decision {
    /// The decision without how it came about, for a place where many stand.
    pub fn in_short(&self) -> Decision {
        Decision { reasoning: Reasoning::default(), ..self.clone() }
    }
}
