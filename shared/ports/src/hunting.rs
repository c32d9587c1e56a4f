//! What the state knows of hunts: how far each has come, which rows it has made known, and whether the service has said to
//! wait. A hunt's rows are told apart by a digest; nothing of what was found stands here.

use crate::{
    Expect, Key, StateError, Write,
    rows::{ALERT_DAYS, days},
};
use jiff::{SignedDuration, Timestamp};
use model::{FirstSeen, TenantId};
use serde::{Deserialize, Serialize};

/// How a hunt stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HuntRow {
    pub hunt: String,
    /// The digest of the hunt's file when it last ran.
    pub digest: String,
    /// The columns by which it told rows apart when it last ran; empty where that is not known.
    #[serde(default)]
    pub identity: Vec<String>,
    /// Rows of events before this time, or of no time, may have been found already under another identity, and while only
    /// observing: as long as they are not known otherwise, they count as first seen while observing.
    #[serde(default)]
    pub observed_until: Option<Timestamp>,
    /// Everything before this time has been read and made known. None before the first run.
    pub cursor: Option<Timestamp>,
    /// Nothing from before this time is ever asked for: where the first run began.
    #[serde(default)]
    pub floor: Option<Timestamp>,
    /// What is still to be read of a window that was not read to its end; none where the next run takes a new one.
    #[serde(default)]
    pub left: Option<HuntLeft>,
    /// When it is due. While a run is under way: when another may take over.
    pub next: Timestamp,
    /// Since when it has to have run: from here it is counted whether it is overdue.
    pub since: Timestamp,
    /// The end of the last window that was read, and made known, whole.
    pub last_success: Option<Timestamp>,
    /// The last run that asked the service for anything.
    pub last: Option<HuntRun>,
    /// What stands against it; none while all is well.
    #[serde(default)]
    pub trouble: Option<HuntTrouble>,
    /// Whether people were told that it is overdue.
    #[serde(default)]
    pub overdue_told: bool,
    /// Whether people were told that it finds more than one run makes known.
    #[serde(default)]
    pub crowded_told: bool,
}

/// The rest of a window. Its end stays what it was when the window was begun, so that what becomes visible meanwhile in the
/// part that was read already is still within the overlap of the next window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HuntLeft {
    pub from: Timestamp,
    /// Where the part ends that is asked for next: more at once was too much.
    pub first: Timestamp,
    pub to: Timestamp,
}

/// One run of a hunt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HuntRun {
    pub at: Timestamp,
    /// The window that it was to read.
    pub from: Timestamp,
    pub to: Timestamp,
    /// How many rows came, and how many of them were new.
    pub rows: u64,
    pub new: u64,
    /// What it cost: calls of the service, and for how long the service was at work.
    pub calls: u32,
    pub took_ms: u64,
}

/// Why a hunt does not come to an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HuntTrouble {
    pub since: Timestamp,
    /// One line.
    pub why: String,
    /// Whether the fault lies with the hunt itself: it is not run before its file has changed, but for a try a day.
    pub broken: bool,
}

impl HuntRow {
    pub fn key(tenant: &TenantId, hunt: &str) -> Key {
        Key { partition: HuntRow::partition(tenant), sort: format!("hunt#{hunt}") }
    }

    /// The partition of all hunts; their sort keys begin with `hunt#`.
    pub fn partition(tenant: &TenantId) -> String {
        format!("{tenant}#hunts")
    }

    /// Whether the service, or its rows, are such that this file cannot be run.
    pub fn is_broken(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.broken)
    }

    /// Whether this version of the file was found to be so, of which people were told.
    pub fn is_known_broken(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.broken && trouble.since >= self.since)
    }
}

/// That a row of a hunt was found, and perhaps made known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HuntSeen {
    /// When it was found first, and in which mode: what is first seen while observing is never acted upon.
    pub first_seen: FirstSeen,
    /// Whether the queue has taken what became of it. Until then it is sent again, as it was seen first.
    pub is_told: bool,
    /// When this was written last. A row that is found again and again must not be forgotten.
    #[serde(default)]
    pub written: Timestamp,
}

impl HuntSeen {
    /// `row`: the digest of what tells it from others.
    pub fn key(tenant: &TenantId, hunt: &str, row: &str) -> Key {
        Key { partition: format!("{tenant}#hunt#{hunt}"), sort: format!("row#{row}") }
    }

    /// As long as an alert is known. The service keeps events for 30 days; but a row that is told from others by something
    /// else than its time, such as a program on a device, is found for as long as that goes on: it is written anew then.
    pub fn write(&self, key: Key, expect: Expect, now: Timestamp) -> Result<Write, StateError> {
        Write::put(key, self, expect, days(now, ALERT_DAYS))
    }

    /// Whether it is to be written anew where the row is found again: once a day.
    pub fn is_to_be_renewed(&self, now: Timestamp) -> bool {
        now.duration_since(self.written) > SignedDuration::from_hours(24)
    }
}

/// That the service has said to wait, to whichever hunt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HuntRest {
    pub until: Timestamp,
    pub why: String,
}

impl HuntRest {
    pub fn key(tenant: &TenantId) -> Key {
        Key { partition: HuntRow::partition(tenant), sort: "rest".to_owned() }
    }
}
