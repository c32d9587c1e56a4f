//! The words and the messages of Cordon: identifiers, alert, device, machine action, decision, state of an
//! effect, and the envelopes that cross queues.
//!
//! This crate does no I/O, knows no clock and no wire format of Microsoft's: `defender` translates the
//! service's bodies into these types, and every other crate speaks only these.

mod action;
mod alert;
mod clean;
mod decision;
mod device;
mod effect;
mod ids;
mod limits;
mod message;
mod open_enum;
mod revision;

pub use action::{ActionKind, ActionStatus, MachineAction};
pub use alert::{Alert, AlertStatus, Classification, Evidence, Hunted, Severity, User};
pub use clean::one_line;
pub use decision::{
    Answer, BY_HAND, Decision, Input, IsolationType, Mode, PolicyNote, Reasoning, Side, Spoke, Surroundings,
};
pub use device::{Device, DeviceClass, DeviceFact, DeviceRef, Onboarding};
pub use effect::{Effect, EffectState};
pub use ids::{ActionId, AlertId, BadId, ClaimId, DeviceId, MessageId, TenantId, digest};
pub use limits::Limits;
pub use message::{
    ActionTaken, AlertEnriched, AlertFound, Body, Cause, EffectRequested, Envelope, FirstSeen,
    MAX_MESSAGE_BYTES, NewAlert, Notice, Table, Topic, Undecodable, Wanted, kind_of,
};
pub use revision::{EvidenceIdentity, Revision};
