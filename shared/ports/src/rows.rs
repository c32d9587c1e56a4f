//! What lives in the state: every row, its key and how long it stays. A row's name in the code is its sort key's
//! first word. The tenant stands at the start of every key.

use crate::{Claim, Expect, Key, StateError, Stored, Write};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use model::{
    ActionId, ActionTaken, AlertId, Cause, Decision, Device, DeviceId, Effect, EffectRequested, EffectState,
    Envelope, EvidenceIdentity, FirstSeen, MessageId, Revision, Severity, TenantId, Wanted,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How long what is known of an alert stays: longer than Defender keeps an alert (180 days), so that an old one
/// that is touched again is still known.
pub(crate) const ALERT_DAYS: i64 = 200;

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

pub(crate) fn days(now: Timestamp, days: i64) -> Option<Timestamp> {
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
    /// The last look further back than the overlap; none where none was due yet.
    #[serde(default)]
    pub look_back: Option<LookBack>,
}

/// A look further back than the overlap, for alerts that became visible later than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookBack {
    pub began: Timestamp,
    /// What of it is still to be read: `from` is in it, `to` is not.
    pub from: Timestamp,
    pub to: Timestamp,
}

impl LookBack {
    /// How often there is one.
    pub const EVERY: SignedDuration = SignedDuration::from_hours(1);

    /// How far back it reaches. More than the four hours within which an alert is acted upon as shipped.
    pub const REACH: SignedDuration = SignedDuration::from_hours(6);

    pub fn is_read(&self) -> bool {
        self.from >= self.to
    }

    /// Whether it is time for another. Also where this one lies in the future: a clock was wrong; and where it could not
    /// be read to its end for as long as it reaches back.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.began);
        (self.is_read() && (age.is_negative() || age >= LookBack::EVERY)) || age >= LookBack::REACH
    }
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
    /// While it is held: what holds it back, and since when.
    #[serde(default)]
    pub held: Option<Held>,
    pub history: Vec<HistoryEntry>,
}

/// One judgement or change of state, for `cordon explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub at: Timestamp,
    pub revision: Revision,
    pub decision: Decision,
    #[serde(default)]
    pub effect: Effect,
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

    /// The case after the claim that stands on its account has moved. Nobody was told yet: whoever tells counts.
    pub fn moved_on(&self, claim: &Claim, notes: Vec<String>, now: Timestamp) -> CaseRow {
        let mut row = self.clone();
        row.held = None;
        row.last.state = Some(claim.state);
        row.last.effect = claim.effect;
        row.last.notes.clone_from(&notes);
        (row.last.claim, row.last.action) = (Some(claim.id.clone()), claim.action.clone());
        row.push(HistoryEntry {
            at: now,
            revision: row.last.revision.clone(),
            decision: row.last.decision.in_short(),
            effect: claim.effect,
            state: Some(claim.state),
            notes,
            action: claim.action.clone(),
        });
        row
    }

    /// The case after it was held and nothing will be done about it.
    pub fn given_up(&self, note: String, now: Timestamp) -> CaseRow {
        let mut row = self.clone();
        row.held = None;
        row.last.state = Some(EffectState::Refused);
        row.last.notes = vec![note];
        row.push(HistoryEntry {
            at: now,
            revision: row.last.revision.clone(),
            decision: row.last.decision.in_short(),
            effect: Effect::Isolate,
            state: row.last.state,
            notes: row.last.notes.clone(),
            action: None,
        });
        row
    }

    /// Whether what a claim has led to stands in the history.
    pub fn records(&self, claim: &Claim) -> bool {
        self.history.iter().any(|entry| entry.effect == claim.effect && entry.action == claim.action)
    }

    /// Adds to the history, and forgets the oldest of it.
    pub fn push(&mut self, entry: HistoryEntry) {
        self.history.push(entry);
        let excess = self.history.len().saturating_sub(CaseRow::MAX_HISTORY);
        self.history.drain(..excess);
    }

    /// The pointer to a case in which an isolation was only observed.
    fn observed(&self) -> Option<Observed> {
        let device = self.about.clone().filter(|_| self.last.state == Some(EffectState::Observed))?;
        let policies = self.last.decision.permitted_by.iter().map(|note| note.id.clone()).collect();
        Some(Observed {
            alert: self.last.alert.id.clone(),
            device,
            device_name: self.last.device.known().and_then(|device| device.name.clone()),
            title: model::one_line(&self.last.alert.title, 200),
            severity: self.last.alert.severity.clone(),
            policies,
            at: self.decided_at,
        })
    }

    /// The writes of a case: the row, the pointer to it while it is held, and the one that stays of what was only
    /// observed. One commit must hold all of them.
    pub fn writes(
        &self,
        tenant: &TenantId,
        before: Option<&Stored<CaseRow>>,
        now: Timestamp,
    ) -> Result<Vec<Write>, StateError> {
        let key = CaseRow::key(tenant, &self.last.alert.id, self.about.as_ref());
        let mut writes = vec![Write::put(key, self, Stored::expected(before), CaseRow::expires(now))?];
        let was_held = before.and_then(|before| before.value.held.as_ref());
        let is_held = self.held.as_ref().map(|held| held.key(tenant));
        if let Some(was) = was_held.map(|was| was.key(tenant)).filter(|was| Some(was) != is_held.as_ref()) {
            writes.push(Write::Delete { key: was, expect: Expect::Any });
        }
        if let (Some(held), Some(key)) = (&self.held, is_held) {
            writes.push(Write::put(key, held, Expect::Any, None)?);
        }
        let was_observed = before.and_then(|before| before.value.observed());
        if let Some(observed) = self.observed().filter(|observed| Some(observed) != was_observed.as_ref()) {
            let expires = CaseRow::expires(now);
            writes.push(Write::put(observed.key(tenant), &observed, Expect::Any, expires)?);
        }
        Ok(writes)
    }

    /// The order to write on the alert how the effect stands; the same state is never written twice. None for what a hunt
    /// has found: Defender has no such alert.
    pub fn report(
        &self,
        tenant: &TenantId,
        trace: &str,
        now: Timestamp,
    ) -> Option<Envelope<EffectRequested>> {
        if self.last.alert.hunted.is_some() {
            return None;
        }
        let (claim, state, device) = (self.last.claim.as_ref()?, self.last.state?, self.about.as_ref()?);
        let effect = self.last.effect.word();
        let mark = format!("[cordon:{claim}:{state}]");
        let policies: Vec<&str> =
            self.last.decision.permitted_by.iter().map(|note| note.id.as_str()).collect();
        let why =
            if policies.is_empty() { String::new() } else { format!(" by policy {}", policies.join(", ")) };
        let text = format!(
            "{mark} Cordon: {effect} {state}{why}, device {device}. To undo: cordon release {device} --comment \"…\""
        );
        let identity = ["report", claim.as_str(), effect, state.word()];
        let body = EffectRequested {
            wanted: Wanted::Comment { text, mark },
            device: device.clone(),
            cause: Cause::Report,
            alert: Some(self.last.alert.id.clone()),
            claim: None,
            by: "cordon".to_owned(),
            why: "comment_on_alert".to_owned(),
            not_after: now.checked_add(SignedDuration::from_hours(24)).unwrap_or(now),
        };
        Some(Envelope::new(tenant, &identity, trace, now, body))
    }

    /// The announcement of the last outcome. Its id counts the outcomes, so that the same outcome announced
    /// twice is one message to whoever tells people. How a claim has ended is one message by itself: `track` may
    /// announce that while `respond` is counting another outcome.
    pub fn announcement(&self, tenant: &TenantId, trace: &str) -> Envelope<ActionTaken> {
        let device = self.about.as_ref().map_or("none", DeviceId::as_str);
        let told = self.told.to_string();
        let ended = |state: &EffectState| {
            use EffectState::{Cancelled, Failed, Refused, Released, Succeeded, TimedOut};
            matches!(state, Succeeded | Failed | TimedOut | Cancelled | Released | Refused)
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

/// A case that a limit, a breaker or a pause holds back. The same stands in the case, and, so that held cases can be
/// listed with the most severe first, under a key of its own; both are written in one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub alert: AlertId,
    pub device: DeviceId,
    pub device_name: Option<String>,
    pub title: String,
    pub severity: Option<Severity>,
    /// What holds it back, in words.
    pub gate: String,
    pub since: Timestamp,
}

impl Held {
    /// After this time a held case is given up, and people are told.
    pub const EXPIRES: SignedDuration = SignedDuration::from_hours(24);

    pub fn partition(tenant: &TenantId) -> String {
        format!("{tenant}#held")
    }

    /// The most severe first, and then the oldest.
    pub fn key(&self, tenant: &TenantId) -> Key {
        let rank = self.severity.as_ref().and_then(Severity::rank).unwrap_or(0);
        let below = 9_u8.saturating_sub(rank);
        let since = self.since.as_millisecond();
        let sort = format!("held#{below}#{since:015}#{}#{}", self.alert, self.device);
        Key { partition: Held::partition(tenant), sort }
    }
}

/// An isolation that was decided while Cordon only observed: what it would have done, for `cordon shadow`. Written in one
/// commit with its case, below the day of the decision (UTC), so that some days can be read without the others. It stays,
/// whatever becomes of the case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub alert: AlertId,
    pub device: DeviceId,
    pub device_name: Option<String>,
    pub title: String,
    pub severity: Option<Severity>,
    /// The policies that permitted it, by their ids.
    pub policies: Vec<String>,
    /// When it was decided.
    pub at: Timestamp,
}

impl Observed {
    pub fn partition(tenant: &TenantId, day: Date) -> String {
        format!("{tenant}#observed#{day}")
    }

    /// The oldest first.
    pub fn key(&self, tenant: &TenantId) -> Key {
        let day = self.at.to_zoned(TimeZone::UTC).date();
        let at = self.at.as_millisecond();
        let sort = format!("observed#{at:015}#{}#{}", self.alert, self.device);
        Key { partition: Observed::partition(tenant, day), sort }
    }
}

/// How many devices are onboarded, counted from the machine list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    pub onboarded: u64,
    pub counted_at: Timestamp,
}

impl Fleet {
    /// How old the count may be to be gone by.
    pub const FRESH: SignedDuration = SignedDuration::from_hours(72);

    pub fn key(tenant: &TenantId) -> Key {
        Key { partition: format!("{tenant}#track"), sort: "fleet".to_owned() }
    }
}

/// What track knows of the tenant's machine actions at large.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// As whom the service notes what Cordon asks for, learned from Cordon's own machine actions.
    pub requestor: Option<String>,
    /// What was asked for before this is not looked at.
    pub since: Timestamp,
    pub looked_at: Timestamp,
    /// Machine actions of which people were told already.
    pub alarmed: Vec<ActionId>,
}

impl Watch {
    pub fn key(tenant: &TenantId) -> Key {
        Key { partition: format!("{tenant}#track"), sort: "watch".to_owned() }
    }
}

/// That track or poll has done something which a round a minute must not do again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Once {
    pub at: Timestamp,
}

impl Once {
    pub fn key(tenant: &TenantId, what: &str) -> Key {
        Key { partition: format!("{tenant}#track"), sort: format!("once#{what}") }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, 7)
    }
}

/// The last time that a step on a schedule failed, or that something was wrong with it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub at: Timestamp,
    pub why: String,
}

impl Trouble {
    /// What a poll that succeeds may have found wrong: the clock, a cursor that stands still, evidence that cannot be
    /// listed. Written anew with every poll that finds it so.
    pub const DOUBTS: [&str; 3] = ["clock", "cursor", "evidence"];

    /// `step`: `poll` or `track`; for what is wrong with polls that succeed, one of [`Trouble::DOUBTS`].
    pub fn key(tenant: &TenantId, step: &str) -> Key {
        Key { partition: format!("{tenant}#{step}"), sort: "trouble".to_owned() }
    }
}

/// What became of an order, for whoever gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub at: Timestamp,
    /// The state in which the effect is now; none where there was nothing to do.
    pub state: Option<EffectState>,
    /// A sentence.
    pub said: String,
}

impl Answered {
    pub fn key(tenant: &TenantId, order: &MessageId) -> Key {
        Key { partition: format!("{tenant}#order#{order}"), sort: "answered".to_owned() }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, 7)
    }
}

/// A dead letter that a person has dropped: all that is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub at: Timestamp,
    /// Who dropped it.
    pub by: String,
    /// Why they did.
    pub why: String,
    /// Why it was a dead letter.
    pub reason: String,
    pub queue: String,
    /// The id that it had there.
    pub letter: String,
}

impl Dropped {
    pub fn partition(tenant: &TenantId) -> String {
        format!("{tenant}#dropped")
    }

    /// The oldest first.
    pub fn key(&self, tenant: &TenantId) -> Key {
        let at = self.at.as_millisecond();
        let sort = format!("dropped#{at:015}#{}#{}", self.queue, self.letter);
        Key { partition: Dropped::partition(tenant), sort }
    }

    pub fn expires(now: Timestamp) -> Option<Timestamp> {
        days(now, ALERT_DAYS)
    }
}
