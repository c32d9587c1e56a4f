//! An alert as Cordon understands it. The wire's shape is `defender`'s business.
//!
//! Every field that the service may leave out is optional here: what is missing is a fact for the policy.

use crate::{DeviceRef, open_enum::open_enum};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

open_enum!(
    /// How serious the service holds an alert to be.
    Severity { Unspecified = "UnSpecified", Informational = "Informational", Low = "Low", Medium = "Medium", High = "High" }
);

impl Severity {
    /// 0 (`UnSpecified`) to 4 (`High`); none for a word that this version does not know.
    pub fn rank(&self) -> Option<u8> {
        match self {
            Severity::Unspecified => Some(0),
            Severity::Informational => Some(1),
            Severity::Low => Some(2),
            Severity::Medium => Some(3),
            Severity::High => Some(4),
            Severity::Other(_) => None,
        }
    }
}

open_enum!(
    /// Where people stand with an alert.
    AlertStatus { Unknown = "Unknown", New = "New", InProgress = "InProgress", Resolved = "Resolved" }
);

open_enum!(
    /// What people found an alert to be.
    Classification {
        Unknown = "Unknown",
        TruePositive = "TruePositive",
        FalsePositive = "FalsePositive",
        InformationalExpectedActivity = "InformationalExpectedActivity",
    }
);

/// An alert of Defender for Endpoint with the evidence that came with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub id: crate::AlertId,
    pub incident_id: Option<String>,
    /// None where the service sent none.
    pub severity: Option<Severity>,
    pub status: Option<AlertStatus>,
    pub classification: Option<Classification>,
    pub determination: Option<String>,
    pub category: Option<String>,
    /// The product that raised it, such as `WindowsDefenderAtp` or `CustomDetection`: an open set.
    pub detection_source: Option<String>,
    pub detector_id: Option<String>,
    pub title: String,
    pub description: Option<String>,
    pub created: Option<Timestamp>,
    pub first_event: Option<Timestamp>,
    pub last_event: Option<Timestamp>,
    pub updated: Option<Timestamp>,
    /// None where the alert names no device at all.
    pub device: Option<DeviceRef>,
    pub device_name: Option<String>,
    pub device_group: Option<String>,
    pub threat_family: Option<String>,
    pub threat_name: Option<String>,
    /// ATT&CK technique ids, such as `T1486`.
    pub techniques: Vec<String>,
    pub user: Option<User>,
    pub evidence: Vec<Evidence>,
    /// True where evidence was cut to keep a message small; see [`Alert::shorten_to`].
    #[serde(default)]
    pub evidence_truncated: bool,
    /// Fields that had a wrong type, each as `path: what was wrong`. Any entry is a reason not to act.
    #[serde(default)]
    pub unreadable: Vec<String>,
    /// The hunt whose row this is; none for an alert of Defender's, which the service can be asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hunted: Option<Hunted>,
}

/// What an alert that a hunt has found says of its hunt. Defender knows no such alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunted {
    /// The hunt's name.
    pub hunt: String,
    /// Whether the hunt says that what it finds may cut a device off, if the policy permits it.
    pub may_isolate: bool,
}

impl Hunted {
    /// What stands as `detection_source` of an alert that a hunt has found.
    pub const SOURCE: &'static str = "hunt";
}

/// The user that the alert names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    pub domain: Option<String>,
}

/// One piece of evidence: a user, process, file, address, URL or registry value. Fields that do not apply are
/// none. Everything in it may have been written by an attacker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// `User`, `Process`, `File`, `Ip`, `Url`, `Registry`, …: an open set.
    pub kind: String,
    pub created: Option<Timestamp>,
    pub sha1: Option<String>,
    pub sha256: Option<String>,
    pub file_name: Option<String>,
    /// The folder; the name stands in `file_name`.
    pub folder: Option<String>,
    pub process_id: Option<i64>,
    pub command_line: Option<String>,
    pub process_created: Option<Timestamp>,
    pub parent_process_id: Option<i64>,
    pub parent_file_name: Option<String>,
    pub ip_address: Option<String>,
    pub url: Option<String>,
    pub registry_key: Option<String>,
    pub registry_hive: Option<String>,
    pub registry_value: Option<String>,
    pub account_name: Option<String>,
    pub account_domain: Option<String>,
    pub user_sid: Option<String>,
    pub user_principal_name: Option<String>,
    pub detection_status: Option<String>,
}

/// The longest text that an alert keeps in one field, in characters.
const MAX_TEXT: usize = 4_000;

impl Alert {
    /// Shortens over-long texts, then drops evidence from the end until the alert's JSON is at most
    /// `max_bytes`. Says so in `evidence_truncated`, which policies can see.
    pub fn shorten_to(&mut self, max_bytes: usize) {
        let texts = [Some(&mut self.title), self.description.as_mut()].into_iter().flatten();
        let evidence_texts = self.evidence.iter_mut().flat_map(|e| {
            [
                e.command_line.as_mut(),
                e.url.as_mut(),
                e.registry_value.as_mut(),
                e.registry_key.as_mut(),
                e.folder.as_mut(),
                e.file_name.as_mut(),
            ]
            .into_iter()
            .flatten()
        });
        for text in texts.chain(evidence_texts) {
            cut(text, MAX_TEXT);
        }
        self.unreadable.truncate(20);
        let mut size = json_size(self);
        while size > max_bytes
            && let Some(dropped) = self.evidence.pop()
        {
            self.evidence_truncated = true;
            size = size.saturating_sub(json_size(&dropped));
        }
    }
}

fn json_size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

fn cut(text: &mut String, max_chars: usize) {
    if let Some((end, _)) = text.char_indices().nth(max_chars) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An alert with nothing but an id and a title, for tests to fill.
    pub(crate) fn bare(id: &str) -> Alert {
        serde_json::from_value(serde_json::json!({
            "id": id, "title": "A title", "techniques": [], "evidence": []
        }))
        .unwrap()
    }

    #[test]
    fn severities_are_ordered_and_unknown_words_kept() {
        assert!(Severity::High.rank() > Severity::Medium.rank());
        assert_eq!(Severity::from("high"), Severity::High);
        assert_eq!(Severity::from("Critical").rank(), None);
        assert_eq!(Severity::from("Critical").as_str(), "Critical");
    }

    #[test]
    fn a_huge_alert_is_shortened_and_says_so() {
        let mut alert = bare("a");
        let line = Evidence { command_line: Some("x".repeat(70_000)), ..Evidence::default() };
        alert.evidence = vec![line; 100];
        alert.shorten_to(100_000);
        assert!(alert.evidence_truncated);
        assert!(!alert.evidence.is_empty());
        assert!(json_size(&alert) <= 100_000);
    }

    #[test]
    fn a_small_alert_is_left_as_it_is() {
        let mut alert = bare("a");
        let before = alert.clone();
        alert.shorten_to(100_000);
        assert_eq!(alert, before);
    }
}
