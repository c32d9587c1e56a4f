//! The brakes: pause, limits and breaker, in one row, so that one conditional write checks and counts all of them.
//!
//! Pure: who writes the row, and with which claim in the same commit, is the steps' business.

use crate::Key;
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Limits, TenantId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A day: how long an isolation counts.
const DAY: SignedDuration = SignedDuration::from_hours(24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// How long people are left alone about a limit after they were told that it holds cases back.
const QUIET: SignedDuration = HOUR;

/// What holds isolations back. One row per tenant; never expires.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brakes {
    pub pause: Option<Said>,
    /// Until when the limits per hour, per day and at one time are at least this.
    pub raised: Option<Raised>,
    /// The isolations of the last day.
    pub spent: Vec<Spent>,
    /// How many devices are isolated by Cordon, or about to be.
    pub standing: u32,
    /// Breakers that are open.
    pub open: Vec<Breaker>,
    /// Breakers that a person has closed: what was isolated before that counts no more for them.
    pub closed: Vec<Breaker>,
    /// Which gates people were told of, and when.
    pub told: Vec<ToldGate>,
}

/// Who said something, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub at: Timestamp,
    pub by: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    pub to: u32,
    pub until: Timestamp,
    pub said: Said,
}

/// One isolation that was let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    pub at: Timestamp,
    pub device: DeviceId,
    pub group: Option<String>,
    /// What the breaker goes by, each in sixteen letters: a day's isolations stand in one row, and titles are long.
    pub causes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// `detector …` or `title …`.
    pub cause: String,
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldGate {
    pub gate: String,
    pub at: Timestamp,
}

/// An isolation that wants to be let through.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    pub device: &'a DeviceId,
    pub group: Option<&'a str>,
    /// What the breaker goes by: the alert's detector and title; none for an order by hand.
    pub causes: Vec<String>,
    /// How many devices are onboarded, as far as that is known.
    pub fleet: Option<u64>,
}

impl Wish<'_> {
    /// What the breaker goes by for an alert.
    pub fn causes_of(alert: &model::Alert) -> Vec<String> {
        let detector = alert.detector_id.as_deref().map(|id| format!("detector {}", model::one_line(id, 60)));
        let title = model::one_line(&alert.title, 80);
        let title = (!title.is_empty()).then(|| format!("title {title}"));
        detector.into_iter().chain(title).collect()
    }
}

/// What stands against an isolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    Paused(Said),
    PerHour { most: u32 },
    PerDay { most: u32 },
    Standing { most: u32 },
    Group { group: String, most: u32 },
    Breaker { cause: String },
}

impl Gate {
    /// A word for the gate, by which it is remembered who was told.
    pub fn key(&self) -> String {
        match self {
            Gate::Paused(said) => format!("paused {}", said.at),
            Gate::PerHour { .. } => "per hour".to_owned(),
            Gate::PerDay { .. } => "per day".to_owned(),
            Gate::Standing { .. } => "at one time".to_owned(),
            Gate::Group { group, .. } => format!("group {group}"),
            Gate::Breaker { cause } => format!("breaker {cause}"),
        }
    }
}

impl Gate {
    /// What lets an isolation through all the same.
    pub fn way_out(&self) -> &'static str {
        match self {
            Gate::Paused(_) => "`cordon resume` ends it",
            Gate::Breaker { .. } => "`cordon limits close` closes it",
            Gate::Group { .. } => "only the playbook's `per_group` changes it",
            Gate::PerHour { .. } | Gate::PerDay { .. } | Gate::Standing { .. } => {
                "`cordon limits raise` lets more through"
            }
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::Paused(said) => write!(
                f,
                "paused by {} at {}: {}",
                model::one_line(&said.by, 80),
                said.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
                model::one_line(&said.why, 200)
            ),
            Gate::PerHour { most } => write!(f, "the limit of {most} isolations in an hour is reached"),
            Gate::PerDay { most } => write!(f, "the limit of {most} isolations in a day is reached"),
            Gate::Standing { most } => {
                write!(f, "the limit of {most} devices isolated by Cordon at one time is reached")
            }
            Gate::Group { group, most } => write!(
                f,
                "the limit of {most} isolations in a day for the device group `{}` is reached",
                model::one_line(group, 80)
            ),
            Gate::Breaker { cause } => write!(
                f,
                "the breaker is open for the {}: a person has to look and close it",
                model::one_line(cause, 100)
            ),
        }
    }
}

impl Brakes {
    pub fn key(tenant: &TenantId) -> Key {
        Key { partition: format!("{tenant}#brakes"), sort: "brakes".to_owned() }
    }

    /// The most in force now for a limit that stands at `own`.
    pub fn most(&self, own: u32, now: Timestamp) -> u32 {
        let raised = self.raised.as_ref().filter(|raised| now < raised.until).map(|raised| raised.to);
        raised.map_or(own, |raised| raised.max(own))
    }

    /// How many isolations were let through in the last 60 minutes.
    pub fn used_in_hour(&self, now: Timestamp) -> u32 {
        self.used(HOUR, now)
    }

    /// How many isolations were let through in the last 24 hours.
    pub fn used_in_day(&self, now: Timestamp) -> u32 {
        self.used(DAY, now)
    }

    fn used(&self, span: SignedDuration, now: Timestamp) -> u32 {
        count(self.spent.iter().filter(|spent| now.duration_since(spent.at) < span))
    }

    /// What stands against an isolation; none where it may go through. A breaker that it would overload is opened:
    /// then the row has to be written although nothing is let through.
    pub fn gate(&mut self, wish: &Wish<'_>, limits: &Limits, now: Timestamp) -> Option<Gate> {
        if let Some(said) = &self.pause {
            return Some(Gate::Paused(said.clone()));
        }
        if let Some(open) = self.open.iter().find(|open| wish.causes.contains(&open.cause)) {
            return Some(Gate::Breaker { cause: open.cause.clone() });
        }
        if let Some(cause) = wish.causes.iter().find(|cause| self.is_overloaded(cause, wish, limits, now)) {
            self.open.push(Breaker { cause: cause.clone(), since: now });
            return Some(Gate::Breaker { cause: cause.clone() });
        }
        let most = self.most(limits.per_hour, now);
        if self.used_in_hour(now) >= most {
            return Some(Gate::PerHour { most });
        }
        let most = self.most(limits.per_day, now);
        if self.used_in_day(now) >= most {
            return Some(Gate::PerDay { most });
        }
        let most = self.most(limits.standing(wish.fleet), now);
        if self.standing >= most {
            return Some(Gate::Standing { most });
        }
        let (group, most) = limits.per_group.get_key_value(wish.group?)?;
        let in_group = self.spent.iter().filter(|spent| spent.group.as_deref() == Some(group.as_str()));
        let used = count(in_group.filter(|spent| now.duration_since(spent.at) < DAY));
        (used >= *most).then(|| Gate::Group { group: group.clone(), most: *most })
    }

    fn is_overloaded(&self, cause: &str, wish: &Wish<'_>, limits: &Limits, now: Timestamp) -> bool {
        let closed = self.closed.iter().find(|closed| closed.cause == cause).map(|closed| closed.since);
        let short = shorthand(cause);
        let devices: std::collections::BTreeSet<&DeviceId> = self
            .spent
            .iter()
            .filter(|spent| spent.causes.contains(&short))
            .filter(|spent| now.duration_since(spent.at) < limits.breaker_window)
            .filter(|spent| closed.is_none_or(|closed| spent.at >= closed))
            .map(|spent| &spent.device)
            .collect();
        !devices.contains(wish.device) && count(devices.iter()) >= limits.breaker_devices
    }

    /// Counts an isolation that was let through, and forgets what counts no more.
    pub fn spend(&mut self, wish: &Wish<'_>, now: Timestamp) {
        self.forget(now);
        self.spent.push(Spent {
            at: now,
            device: wish.device.clone(),
            group: wish.group.map(str::to_owned),
            causes: wish.causes.iter().map(|cause| shorthand(cause)).collect(),
        });
    }

    /// Takes back the last isolation that was counted for a device: nothing came of it.
    pub fn give_back(&mut self, device: &DeviceId) {
        if let Some(last) = self.spent.iter().rposition(|spent| spent.device == *device) {
            self.spent.remove(last);
        }
    }

    /// Changes how many devices are isolated by Cordon.
    pub fn count(&mut self, change: i32) {
        self.standing = self.standing.saturating_add_signed(change);
    }

    /// Whether people are to be told that a gate holds cases back: once, and again after an hour for a limit, after a
    /// day for a pause or an open breaker, which only a person ends.
    pub fn is_news(&self, gate: &Gate, now: Timestamp) -> bool {
        let key = gate.key();
        let quiet = if matches!(gate, Gate::Paused(_) | Gate::Breaker { .. }) { DAY } else { QUIET };
        !self.told.iter().any(|told| told.gate == key && now.duration_since(told.at) < quiet)
    }

    /// What tells this telling of a gate from every other: when people were told before; else when the breaker was
    /// closed that is open again; else the hour, because what was told is forgotten after a day.
    pub fn turn(&self, gate: &Gate, now: Timestamp) -> String {
        let key = gate.key();
        if let Some(told) = self.told.iter().filter(|told| told.gate == key).map(|told| told.at).max() {
            return format!("after {told}");
        }
        let closed = self.closed.iter().find(|closed| format!("breaker {}", closed.cause) == key);
        closed.map_or_else(
            || format!("hour {}", now.as_second().div_euclid(HOUR.as_secs())),
            |closed| format!("closed {}", closed.since),
        )
    }

    pub fn note_told(&mut self, gate: &Gate, now: Timestamp) {
        self.forget(now);
        self.told.push(ToldGate { gate: gate.key(), at: now });
    }

    /// Closes a breaker. False where it is not open: then an earlier closing holds as before.
    pub fn close(&mut self, cause: &str, now: Timestamp) -> bool {
        let before = self.open.len();
        self.open.retain(|open| open.cause != cause);
        if self.open.len() == before {
            return false;
        }
        self.closed.retain(|closed| closed.cause != cause);
        self.closed.push(Breaker { cause: cause.to_owned(), since: now });
        self.told.retain(|told| told.gate != format!("breaker {cause}"));
        true
    }

    fn forget(&mut self, now: Timestamp) {
        let is_recent = |at: Timestamp| now.duration_since(at) < DAY;
        self.spent.retain(|spent| is_recent(spent.at));
        self.closed.retain(|closed| is_recent(closed.since));
        self.told.retain(|told| is_recent(told.at));
        if self.raised.as_ref().is_some_and(|raised| raised.until <= now) {
            self.raised = None;
        }
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

/// A cause in a few letters, the same in every build (FNV-1a). Two causes that fall together open a breaker too early,
/// which a person can close.
fn shorthand(cause: &str) -> String {
    let hash = cause.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
