//! What lives in the state: every row, its key and how long it stays. A row's name in the code is its sort key's
//! first word. The tenant stands at the start of every key.

use crate::Key;
use jiff::{SignedDuration, Timestamp};
use model::{
    ActionId, ActionTaken, AlertId, ClaimId, Decision, Device, DeviceId, EffectState, Envelope,
    EvidenceIdentity, FirstSeen, IsolationType, Revision, Severity, TenantId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How long what is known of an alert stays: longer than Defender keeps an alert (180 days), so that an old one
/// that is touched again is still known.
const ALERT_DAYS: i64 = 200;

/// How long a device stays in the cache without being read again.
const DEVICE_DAYS: i64 = 30;

/// The partition of everything about one alert.
pub fn alert_partition(tenant: &TenantId, alert: &AlertId) -> String {
    format!("{tenant}#alert#{alert}")
}

/// The partition of everything about one device.
pub fn device_partition(tenant: &TenantId, device: &DeviceId) -> String {
    format!("{tenant}#device#{device}")
}

fn days(now: Timestamp, days: i64) -> Option<Timestamp> {
    now.checked_add(SignedDuration::from_hours(24 * days)).ok()
}

/// How far the poller has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The largest `lastUpdateTime` up to which every alert has been announced.
    pub stamp: Timestamp,
    /// Nothing that was last updated before this is ever read: where the very first poll began.
    pub floor: Timestamp,
    /// When a poll last ended without an error.
    pub last_success: Option<Timestamp>,
}

impl Cursor {
    pub fn key(tenant: &TenantId) -> Key {
        Key { partition: format!("{tenant}#poll"), sort: "cursor".to_owned() }
    }
}

/// Which revisions of an alert have been announced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announced {
    pub first_seen: FirstSeen,
    /// The latest last; at most [`Announced::MAX_REVISIONS`].
    pub revisions: Vec<Revision>,
    /// Everything that was ever in evidence: a listing without evidence means that it is unchanged.
    pub evidence: BTreeSet<EvidenceIdentity>,
}

impl Announced {
    pub const MAX_REVISIONS: usize = 50;
    pub const MAX_EVIDENCE: usize = 2_000;

    pub fn key(tenant: &TenantId, alert: &AlertId) -> Key {
        Key { partition: alert_partition(tenant, alert), sort: "announced".to_owned() }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, ALERT_DAYS)
    }
}

/// A device as it was last read from the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceRow {
    pub device: Device,
    pub observed_at: Timestamp,
}

impl DeviceRow {
    /// How old a cached device may be for judging an alert. Whoever acts reads the device again anyway.
    pub const FRESH: SignedDuration = SignedDuration::from_hours(1);

    pub fn key(tenant: &TenantId, device: &DeviceId) -> Key {
        Key { partition: device_partition(tenant, device), sort: "device".to_owned() }
    }

    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.observed_at);
        !age.is_negative() && age <= DeviceRow::FRESH
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, DEVICE_DAYS)
    }
}

/// What became of one alert on one device: by alert and device, not by revision, so that a new revision of an
/// alert that was acted upon is not acted upon again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseRow {
    /// The device; none for an alert that names no usable one.
    pub about: Option<DeviceId>,
    /// The last outcome.
    pub last: ActionTaken,
    pub decided_at: Timestamp,
    /// Revisions that were judged, the latest last; at most [`Announced::MAX_REVISIONS`].
    pub judged: Vec<Revision>,
    /// The highest severity and all evidence that were judged: only more than this makes the alert actionable
    /// once again.
    pub severity: Option<Severity>,
    pub evidence: BTreeSet<EvidenceIdentity>,
    /// The latest `lastUpdateTime` that was judged: a message about an earlier one brings nothing new.
    #[serde(default)]
    pub updated: Option<Timestamp>,
    /// How many outcomes were announced: part of the id of the next one.
    pub told: u32,
    pub history: Vec<HistoryEntry>,
}

/// One judgement or change of state, for `cordon explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub at: Timestamp,
    pub revision: Revision,
    pub decision: Decision,
    pub state: Option<EffectState>,
    pub notes: Vec<String>,
    pub action: Option<ActionId>,
}

impl CaseRow {
    /// The most that a case remembers of its past.
    pub const MAX_HISTORY: usize = 50;

    /// `device` is a machine id, or none for an alert without a usable device.
    pub fn key(tenant: &TenantId, alert: &AlertId, device: Option<&DeviceId>) -> Key {
        let device = device.map_or("none", DeviceId::as_str);
        Key { partition: alert_partition(tenant, alert), sort: format!("case#{device}") }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, ALERT_DAYS)
    }

    /// The announcement of the last outcome. Its id counts the outcomes, so that the same outcome announced
    /// twice is one message to whoever tells people. How a claim has ended is one message by itself: `track` may
    /// announce that while `respond` is counting another outcome.
    pub fn announcement(&self, tenant: &TenantId, trace: &str) -> Envelope<ActionTaken> {
        let device = self.about.as_ref().map_or("none", DeviceId::as_str);
        let told = self.told.to_string();
        let ended = |state: &EffectState| {
            use EffectState::{Cancelled, Failed, Succeeded, TimedOut};
            matches!(state, Succeeded | Failed | TimedOut | Cancelled)
        };
        let identity = match (&self.last.claim, self.last.state.filter(ended)) {
            (Some(claim), Some(end)) => {
                [self.last.alert.id.as_str(), device, claim.as_str(), end.word()].to_vec()
            }
            _ => [self.last.alert.id.as_str(), device, &told].to_vec(),
        };
        Envelope::new(tenant, &identity, trace, self.decided_at, self.last.clone())
    }
}

/// The claim on a device: isolating and releasing share one. Never expires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    pub device: DeviceId,
    /// One isolation per generation; a release starts the next.
    pub generation: u32,
    /// How often this generation's isolation was about to be asked for.
    pub attempt: u32,
    pub id: ClaimId,
    pub state: EffectState,
    /// The alert on whose account it stands.
    pub alert: AlertId,
    pub isolation_type: IsolationType,
    /// While `requesting`: until when the call may still be under way. While open: when to look next.
    pub due: Timestamp,
    /// How often the open machine action was looked at.
    pub looks: u32,
    pub action: Option<ActionId>,
    pub claimed_at: Timestamp,
    pub changed_at: Timestamp,
}

impl Claim {
    pub fn key(tenant: &TenantId, device: &DeviceId) -> Key {
        Key { partition: device_partition(tenant, device), sort: "claim#cut-off".to_owned() }
    }
}

/// Points to a claim that is not settled, so that unsettled claims can be listed: written and deleted in the
/// same commit as the claim.
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

/// A message that a channel has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub at: Timestamp,
    pub channel: String,
    pub subject: String,
}

impl Told {
    pub fn key(tenant: &TenantId, alert: &AlertId, message: &model::MessageId, channel: &str) -> Key {
        Key { partition: alert_partition(tenant, alert), sort: format!("told#{message}#{channel}") }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, ALERT_DAYS)
    }
}
