//! The playbook as a whole: what the shipped one decides, and how a bad one is refused.
//!
//! Nothing here reaches the network or a clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

mod cases;
mod channels;
mod decisions;
mod faults;
mod hunts;
mod reasoning;
mod schema;
mod shipped;
mod vocabulary;
mod what_if;

use jiff::{SignedDuration, Timestamp};
use model::{Alert, Decision, Device, DeviceFact, DeviceRef, FirstSeen, Mode, Severity};
use policy::{Case, Playbook, Surroundings, Texts};
use serde_json::json;
use std::path::Path;

const DEVICE: &str = "1e5bc9d7e413ddd7902c2932e418702b84d0cc07";
const SETTINGS: &str = "mode = \"enforce\"";

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn shipped_file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbook").join(name)).unwrap()
}

/// The shipped policy, with these settings and lists.
fn shipped_with(settings: &str, assets: &str) -> Playbook {
    let (policy, guarantees) = (shipped_file("policy.cedar"), shipped_file("guarantees.cedar"));
    let texts = Texts { playbook: settings, policy: &policy, guarantees: &guarantees, assets };
    Playbook::parse(&texts).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A policy of its own, in the mode `enforce`.
fn own(policy: &str) -> Playbook {
    Playbook::parse(&Texts { playbook: SETTINGS, policy, ..Texts::default() })
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// What a test changes: a High alert of a minute ago on a healthy workstation, unless it says otherwise.
#[derive(Debug, Clone)]
struct Story {
    alert: Alert,
    device: DeviceFact,
    first_seen: Mode,
    environment: Option<Mode>,
}

impl Story {
    fn new() -> Story {
        let alert = json!({
            "id": "da637472900382838869_1364969609", "title": "Ransomware behaviour", "severity": "High",
            "status": "New", "detection_source": "WindowsDefenderAtp", "category": "Ransomware",
            "created": "2026-11-20T09:59:00.1234567Z", "last_event": "2026-11-20T09:58:00Z",
            "device": {"id": DEVICE}, "techniques": ["T1486"], "evidence": [],
            "user": {"name": "ada", "domain": "example"},
        });
        let device = json!({
            "id": DEVICE, "name": "pc1.example.com", "os_platform": "Windows11", "tags": ["finance"],
            "group": "Clients", "onboarding": "Onboarded", "health": "Active", "last_seen": "2026-11-20T03:00:00Z",
        });
        Story {
            alert: serde_json::from_value(alert).unwrap(),
            device: DeviceFact::Known(serde_json::from_value(device).unwrap()),
            first_seen: Mode::Enforce,
            environment: None,
        }
    }

    fn alert(mut self, change: impl FnOnce(&mut Alert)) -> Story {
        change(&mut self.alert);
        self
    }

    fn device(mut self, change: impl FnOnce(&mut Device)) -> Story {
        match &mut self.device {
            DeviceFact::Known(device) => change(device),
            DeviceFact::Unknown { .. } => panic!("there is no device to change"),
        }
        self
    }

    fn severity(self, severity: &str) -> Story {
        self.alert(|alert| alert.severity = Some(Severity::from(severity)))
    }

    fn platform(self, platform: &str) -> Story {
        self.device(|device| device.os_platform = Some(platform.into()))
    }

    fn source(self, source: &str) -> Story {
        self.alert(|alert| alert.detection_source = Some(source.into()))
    }

    fn no_device(mut self, device: Option<DeviceRef>) -> Story {
        self.alert.device = device;
        self.device = DeviceFact::Unknown { why: "the alert names no machine id".into() };
        self
    }

    fn at(&self, playbook: &Playbook, now: Timestamp) -> Decision {
        playbook.decide(&Case {
            alert: &self.alert,
            device: &self.device,
            first_seen: FirstSeen { at: now, mode: self.first_seen },
            environment_mode: self.environment,
            surroundings: Surroundings::default(),
            now,
        })
    }

    fn by(&self, playbook: &Playbook) -> Decision {
        self.at(playbook, now())
    }
}

fn ago(hours: i64) -> Option<Timestamp> {
    Some(now() - SignedDuration::from_hours(hours))
}

fn ids(notes: &[model::PolicyNote]) -> Vec<&str> {
    notes.iter().map(|note| note.id.as_str()).collect()
}
