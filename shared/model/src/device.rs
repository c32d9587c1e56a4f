//! A device as Cordon understands it, and how an alert refers to one.
//!
//! Whether a device is isolated is deliberately not here: the service keeps no such flag, it can only be read
//! from the device's machine actions.

use crate::{DeviceId, open_enum::open_enum};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How an alert names a device: by its machine id, or by something that must never be acted upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceRef {
    Id(DeviceId),
    /// What stood in place of a machine id.
    Unusable(String),
}

impl DeviceRef {
    /// Reads what an alert gives as its machine id.
    pub fn parse(text: &str) -> DeviceRef {
        text.parse().map_or_else(|_| DeviceRef::Unusable(text.to_owned()), DeviceRef::Id)
    }

    pub fn id(&self) -> Option<&DeviceId> {
        match self {
            DeviceRef::Id(id) => Some(id),
            DeviceRef::Unusable(_) => None,
        }
    }
}

open_enum!(
    /// Whether the sensor reports to the service.
    Onboarding {
        Onboarded = "Onboarded",
        CanBeOnboarded = "CanBeOnboarded",
        Unsupported = "Unsupported",
        InsufficientInfo = "InsufficientInfo",
    }
);

/// A device that is known to Defender for Endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    pub id: DeviceId,
    pub name: Option<String>,
    /// Such as `Windows11`, `WindowsServer2022`, `Linux`, `macOS`: an open set.
    pub os_platform: Option<String>,
    pub os_version: Option<String>,
    /// Tags, which whoever owns the device can forge. None where the service did not say: that is not the same as none.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    pub group: Option<String>,
    pub value: Option<String>,
    pub health: Option<String>,
    pub risk: Option<String>,
    pub exposure: Option<String>,
    pub onboarding: Option<Onboarding>,
    pub merged_into: Option<String>,
    pub first_seen: Option<Timestamp>,
    /// The last full report, about daily; not the portal's "last seen".
    pub last_seen: Option<Timestamp>,
    pub last_ip: Option<String>,
    /// Fields that had a wrong type, each as `path: what was wrong`. Any entry is a reason not to act.
    #[serde(default)]
    pub unreadable: Vec<String>,
}

/// What kind of machine it is, for the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceClass {
    /// One person's machine: Windows 10 or 11 client, or a Mac.
    Workstation,
    /// Everything else that is known, Linux and multi-session Windows included.
    Server,
}

impl DeviceClass {
    pub fn as_str(self) -> &'static str {
        match self {
            DeviceClass::Workstation => "workstation",
            DeviceClass::Server => "server",
        }
    }
}

impl Device {
    /// The class by a positive list. None for a platform that is not known: nothing may be concluded from it.
    pub fn class(&self) -> Option<DeviceClass> {
        const WORKSTATIONS: [&str; 3] = ["windows10", "windows11", "macos"];
        const KNOWN_FAMILIES: [&str; 14] = [
            "windows",
            "linux",
            "ubuntu",
            "debian",
            "redhat",
            "rhel",
            "centos",
            "suse",
            "sles",
            "oraclelinux",
            "amazonlinux",
            "fedora",
            "ios",
            "android",
        ];
        let platform = self.os_platform.as_deref()?.trim().to_ascii_lowercase();
        if WORKSTATIONS.contains(&platform.as_str()) {
            Some(DeviceClass::Workstation)
        } else if KNOWN_FAMILIES.iter().any(|family| platform.starts_with(family)) {
            Some(DeviceClass::Server)
        } else {
            None
        }
    }
}

/// What is known of the device when an alert is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "it is moved once per alert, and the large variant is the usual one"
)]
pub enum DeviceFact {
    Known(Device),
    /// The alert names no usable device, or the service does not know it.
    Unknown {
        why: String,
    },
}

impl DeviceFact {
    pub fn known(&self) -> Option<&Device> {
        match self {
            DeviceFact::Known(device) => Some(device),
            DeviceFact::Unknown { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(platform: Option<&str>) -> Option<DeviceClass> {
        let device: Device = serde_json::from_value(serde_json::json!({
            "id": "1e5bc9d7e413ddd7902c2932e418702b84d0cc07", "os_platform": platform, "tags": []
        }))
        .unwrap();
        device.class()
    }

    #[test]
    fn only_client_windows_and_macs_are_workstations() {
        for platform in ["Windows10", "Windows11", "macOS", "windows11"] {
            assert_eq!(class_of(Some(platform)), Some(DeviceClass::Workstation), "{platform}");
        }
        for platform in
            ["Windows10WVD", "Windows11WVD", "WindowsServer2022", "Linux", "Windows7", "Ubuntu", "iOS"]
        {
            assert_eq!(class_of(Some(platform)), Some(DeviceClass::Server), "{platform}");
        }
    }

    #[test]
    fn an_unknown_platform_has_no_class() {
        for platform in [None, Some(""), Some("Unknown"), Some("Other"), Some("TempleOS")] {
            assert_eq!(class_of(platform), None, "{platform:?}");
        }
    }

    #[test]
    fn only_a_machine_id_refers_to_a_device() {
        assert!(DeviceRef::parse("1e5bc9d7e413ddd7902c2932e418702b84d0cc07").id().is_some());
        assert_eq!(DeviceRef::parse("PC1"), DeviceRef::Unusable("PC1".into()));
    }
}
