//! What the shipped policy means for the simulator's own records, written down once more from what it says of itself. The
//! policy is checked against this, so this must not ask the policy.

use simulator::{Alert, Machine};

/// Whether the device is a workstation.
pub(super) fn is_workstation(machine: &Machine) -> bool {
    matches!(machine.os_platform.as_deref(), Some("Windows10" | "Windows11" | "macOS"))
}

/// Whether its tags ask for a person.
pub(super) fn is_excluded(machine: &Machine) -> bool {
    machine.machine_tags.iter().any(|tag| tag.eq_ignore_ascii_case("cordon-exclude"))
}

/// Whether a device is isolated on account of an alert like this one, as long as it is not too old.
pub(super) fn asks_for_isolation(alert: &Alert) -> bool {
    let source = alert.detection_source.as_deref().unwrap_or("CustomDetection");
    alert.severity == "High"
        && matches!(alert.status.as_str(), "New" | "InProgress")
        && !matches!(alert.classification.as_deref(), Some("FalsePositive" | "InformationalExpectedActivity"))
        && !matches!(source, "CustomDetection" | "CustomerTI")
}
