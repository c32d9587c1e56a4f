//! The playbook that ships, in a hurry and with room for everything: what it decides stays as it is.
//!
//! Beside it what that policy means for the simulator's own records, written down once more from its text: this is
//! what the policy is checked against, so it must not ask the policy.

use crate::shipped_playbook;
use simulator::{Alert, Machine};
use std::{fs, path::Path};

const CHANGES: [(&str, &str); 2] = [
    ("[poll]\n", "[poll]\ninterval = \"10s\"\n"),
    (
        "[limits]\n",
        "[limits]\nper_hour = 1000\nper_day = 1000\nat_one_time_least = 1000\nbreaker_devices = 1000\n",
    ),
];

/// Writes that playbook into a new folder.
pub(super) fn hurried_playbook(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for file in fs::read_dir(shipped_playbook()).unwrap() {
        let file = file.unwrap();
        let mut text = fs::read_to_string(file.path()).unwrap();
        for (from, to) in CHANGES {
            text = text.replace(from, to);
        }
        fs::write(folder.join(file.file_name()), text).unwrap();
    }
    let playbook = policy::Playbook::read(folder).unwrap();
    assert_eq!((playbook.settings.limits.per_hour, playbook.settings.poll.interval.as_secs()), (1_000, 10));
}

/// Whether the shipped policy has a device isolated on account of this alert, as far as neither is old.
pub(super) fn permits(alert: &Alert, machine: &Machine) -> bool {
    let platform = machine.os_platform.as_deref().unwrap_or_default();
    let is_workstation = ["Windows10", "Windows11", "macOS"].contains(&platform);
    let is_excluded = machine.machine_tags.iter().any(|tag| tag.eq_ignore_ascii_case("cordon-exclude"));
    let source = alert.detection_source.as_deref().unwrap_or("CustomDetection");
    alert.severity == "High"
        && ["New", "InProgress"].contains(&alert.status.as_str())
        && alert.classification.is_none()
        && !["CustomDetection", "CustomerTI"].contains(&source)
        && is_workstation
        && !is_excluded
}
