//! When two sightings of an alert are the same: a digest over what a decision depends on.
//!
//! Comments, assignment and investigation state are deliberately left out: editing them is triage, not news.

use crate::{Alert, DeviceRef, Evidence, ids::digest};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// The rule by which the digest below is made. A new rule gets a new number, and so a new revision.
const RULE: &str = "1";

/// The digest of one piece of evidence: the same thing seen again has the same identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EvidenceIdentity(String);

impl EvidenceIdentity {
    fn of(evidence: &Evidence) -> EvidenceIdentity {
        let text = |field: &Option<String>| field.as_deref().unwrap_or_default().to_ascii_lowercase();
        let process = evidence.process_id.map(|id| id.to_string()).unwrap_or_default();
        let started = evidence.process_created.map(|at| at.to_string()).unwrap_or_default();
        let parts = [
            evidence.kind.to_ascii_lowercase(),
            text(&evidence.sha1),
            text(&evidence.sha256),
            text(&evidence.file_name),
            text(&evidence.folder),
            process,
            started,
            text(&evidence.ip_address),
            text(&evidence.url),
            text(&evidence.registry_key),
            text(&evidence.registry_value),
            text(&evidence.account_name),
            text(&evidence.account_domain),
            text(&evidence.user_sid),
        ];
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        EvidenceIdentity(digest(&parts).chars().take(16).collect())
    }

    /// The identities of an alert's evidence.
    pub fn all(alert: &Alert) -> BTreeSet<EvidenceIdentity> {
        alert.evidence.iter().map(EvidenceIdentity::of).collect()
    }
}

/// One revision of an alert: `<rule>-<32 hexadecimal digits>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(String);

impl Revision {
    /// The revision of an alert that came with this evidence. Pass the evidence known so far where a listing
    /// brought none: absent evidence means unchanged.
    pub fn of(alert: &Alert, evidence: &BTreeSet<EvidenceIdentity>) -> Revision {
        let device = match &alert.device {
            Some(DeviceRef::Id(id)) => id.as_str(),
            Some(DeviceRef::Unusable(text)) => text,
            None => "",
        };
        let mut parts = vec![
            RULE,
            alert.severity.as_ref().map_or("", |severity| severity.as_str()),
            alert.status.as_ref().map_or("", |status| status.as_str()),
            alert.classification.as_ref().map_or("", |classification| classification.as_str()),
            device,
            &alert.title,
            alert.category.as_deref().unwrap_or_default(),
        ];
        parts.extend(evidence.iter().map(|identity| identity.0.as_str()));
        Revision(format!("{RULE}-{}", digest(&parts)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AlertStatus, Severity, alert::tests::bare};

    fn revision(alert: &Alert) -> Revision {
        Revision::of(alert, &EvidenceIdentity::all(alert))
    }

    fn file(name: &str) -> Evidence {
        Evidence { kind: "File".into(), file_name: Some(name.into()), ..Evidence::default() }
    }

    #[test]
    fn the_order_of_evidence_and_its_copies_do_not_matter() {
        let mut one = bare("a");
        one.evidence = vec![file("a.exe"), file("b.exe")];
        let mut other = bare("a");
        other.evidence = vec![file("b.exe"), file("a.exe"), file("A.EXE")];
        assert_eq!(revision(&one), revision(&other));
    }

    #[test]
    fn what_a_decision_depends_on_changes_the_revision() {
        let base = revision(&bare("a"));
        let changes: [fn(&mut Alert); 5] = [
            |alert| alert.severity = Some(Severity::High),
            |alert| alert.status = Some(AlertStatus::Resolved),
            |alert| alert.title = "Another".into(),
            |alert| alert.device = Some(DeviceRef::parse("x")),
            |alert| alert.evidence = vec![file("a.exe")],
        ];
        for change in changes {
            let mut alert = bare("a");
            change(&mut alert);
            assert_ne!(revision(&alert), base, "{alert:?}");
        }
    }

    #[test]
    fn triage_edits_leave_the_revision_alone() {
        let mut alert = bare("a");
        alert.determination = Some("Malware".into());
        alert.incident_id = Some("7".into());
        assert_eq!(revision(&alert), revision(&bare("a")));
    }
}
