//! Alert, evidence, machine and machine action as the service prints them: plain structs with public fields,
//! Microsoft's names on the wire, and short builders for tests.
//!
//! Enumerations that the service leaves open (severity, status, category) are strings here, so that a test can
//! plant a value nobody has heard of. Nothing here knows HTTP or rules.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use crate::times;

/// One alert. `visible_at` is the simulator's own: before that instant no call shows the alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    pub id: String,
    pub incident_id: Option<i64>,
    pub investigation_id: Option<i64>,
    pub assigned_to: Option<String>,
    pub severity: String,
    pub status: String,
    pub classification: Option<String>,
    pub determination: Option<String>,
    pub investigation_state: Option<String>,
    pub detection_source: Option<String>,
    pub detector_id: Option<String>,
    pub category: Option<String>,
    pub threat_family_name: Option<String>,
    pub title: String,
    pub description: String,
    pub alert_creation_time: Option<Timestamp>,
    pub first_event_time: Option<Timestamp>,
    pub last_event_time: Option<Timestamp>,
    pub last_update_time: Option<Timestamp>,
    pub resolved_time: Option<Timestamp>,
    pub machine_id: Option<String>,
    pub computer_dns_name: Option<String>,
    pub rbac_group_name: Option<String>,
    pub aad_tenant_id: Option<String>,
    pub threat_name: Option<String>,
    pub mitre_techniques: Vec<String>,
    pub related_user: Option<RelatedUser>,
    pub comments: Vec<Comment>,
    pub evidence: Vec<Evidence>,
    pub visible_at: Option<Timestamp>,
}

impl Alert {
    /// A High, New alert on the machine, created, last seen and last updated at `at`, without evidence.
    pub fn new(id: impl Into<String>, machine_id: impl Into<String>, at: Timestamp) -> Alert {
        Alert {
            id: id.into(),
            incident_id: Some(1_126_093),
            investigation_id: None,
            assigned_to: None,
            severity: "High".to_owned(),
            status: "New".to_owned(),
            classification: None,
            determination: None,
            investigation_state: Some("Queued".to_owned()),
            detection_source: Some("WindowsDefenderAtp".to_owned()),
            detector_id: Some("17e10bbc-3a68-474a-8aad-faef14d43952".to_owned()),
            category: Some("Execution".to_owned()),
            threat_family_name: None,
            title: "Suspicious PowerShell command line".to_owned(),
            description: "A suspicious PowerShell activity was observed on the machine.".to_owned(),
            alert_creation_time: Some(at),
            first_event_time: Some(at),
            last_event_time: Some(at),
            last_update_time: Some(at),
            resolved_time: None,
            machine_id: Some(machine_id.into()),
            computer_dns_name: None,
            rbac_group_name: None,
            aad_tenant_id: Some(crate::DEFAULT_TENANT.to_owned()),
            threat_name: None,
            mitre_techniques: Vec::new(),
            related_user: None,
            comments: Vec::new(),
            evidence: Vec::new(),
            visible_at: None,
        }
    }

    /// Puts the alert on this machine: its id, name and device group.
    #[must_use]
    pub fn on(mut self, machine: &Machine) -> Alert {
        self.machine_id = Some(machine.id.clone());
        self.computer_dns_name = machine.computer_dns_name.clone();
        self.rbac_group_name = machine.rbac_group_name.clone();
        self
    }

    #[must_use]
    pub fn severity(mut self, severity: impl Into<String>) -> Alert {
        self.severity = severity.into();
        self
    }

    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Alert {
        self.status = status.into();
        self
    }

    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Alert {
        self.title = title.into();
        self
    }

    #[must_use]
    pub fn category(mut self, category: impl Into<String>) -> Alert {
        self.category = Some(category.into());
        self
    }

    /// When it was last updated; creation and events stay.
    #[must_use]
    pub fn updated(mut self, at: Timestamp) -> Alert {
        self.last_update_time = Some(at);
        self
    }

    #[must_use]
    pub fn evidence(mut self, evidence: Vec<Evidence>) -> Alert {
        self.evidence = evidence;
        self
    }

    /// No call shows the alert before this instant, although its times say that it existed.
    #[must_use]
    pub fn visible_at(mut self, at: Timestamp) -> Alert {
        self.visible_at = Some(at);
        self
    }
}

impl Serialize for Alert {
    /// With its evidence, as `GET alerts/{id}` and `$expand=evidence` give it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        AlertBody { alert: self, expanded: true }.serialize(serializer)
    }
}

/// An alert on its way out, with its evidence or with the empty list that the service gives instead.
pub(crate) struct AlertBody<'a> {
    pub(crate) alert: &'a Alert,
    pub(crate) expanded: bool,
}

impl Serialize for AlertBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Alert {
            id,
            incident_id,
            investigation_id,
            assigned_to,
            severity,
            status,
            classification,
            determination,
            investigation_state,
            detection_source,
            detector_id,
            category,
            threat_family_name,
            title,
            description,
            alert_creation_time,
            first_event_time,
            last_event_time,
            last_update_time,
            resolved_time,
            machine_id,
            computer_dns_name,
            rbac_group_name,
            aad_tenant_id,
            threat_name,
            mitre_techniques,
            related_user,
            comments,
            evidence,
            visible_at: _,
        } = self.alert;
        let mut body = serializer.serialize_struct("Alert", 29)?;
        body.serialize_field("id", id)?;
        body.serialize_field("incidentId", incident_id)?;
        body.serialize_field("investigationId", investigation_id)?;
        body.serialize_field("assignedTo", assigned_to)?;
        body.serialize_field("severity", severity)?;
        body.serialize_field("status", status)?;
        body.serialize_field("classification", classification)?;
        body.serialize_field("determination", determination)?;
        body.serialize_field("investigationState", investigation_state)?;
        body.serialize_field("detectionSource", detection_source)?;
        body.serialize_field("detectorId", detector_id)?;
        body.serialize_field("category", category)?;
        body.serialize_field("threatFamilyName", threat_family_name)?;
        body.serialize_field("title", title)?;
        body.serialize_field("description", description)?;
        body.serialize_field("alertCreationTime", &alert_creation_time.map(times::to_ticks))?;
        body.serialize_field("firstEventTime", &first_event_time.map(times::to_ticks))?;
        body.serialize_field("lastEventTime", &last_event_time.map(times::to_ticks))?;
        body.serialize_field("lastUpdateTime", &last_update_time.map(times::to_ticks))?;
        body.serialize_field("resolvedTime", &resolved_time.map(times::to_ticks))?;
        body.serialize_field("machineId", machine_id)?;
        body.serialize_field("computerDnsName", computer_dns_name)?;
        body.serialize_field("rbacGroupName", rbac_group_name)?;
        body.serialize_field("aadTenantId", aad_tenant_id)?;
        body.serialize_field("threatName", threat_name)?;
        body.serialize_field("mitreTechniques", mitre_techniques)?;
        body.serialize_field("relatedUser", related_user)?;
        body.serialize_field("comments", comments)?;
        let evidence: &[Evidence] = if self.expanded { evidence } else { &[] };
        body.serialize_field("evidence", evidence)?;
        body.end()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelatedUser {
    pub user_name: String,
    pub domain_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comment {
    pub comment: String,
    pub created_by: String,
    #[serde(serialize_with = "times::time")]
    pub created_time: Timestamp,
}

/// One piece of evidence: every key is always printed, null where it does not apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    pub entity_type: String,
    #[serde(serialize_with = "times::maybe")]
    pub evidence_creation_time: Option<Timestamp>,
    pub sha1: Option<String>,
    pub sha256: Option<String>,
    pub file_name: Option<String>,
    pub file_path: Option<String>,
    pub process_id: Option<i64>,
    pub process_command_line: Option<String>,
    #[serde(serialize_with = "times::maybe")]
    pub process_creation_time: Option<Timestamp>,
    pub parent_process_id: Option<i64>,
    #[serde(serialize_with = "times::maybe")]
    pub parent_process_creation_time: Option<Timestamp>,
    pub parent_process_file_name: Option<String>,
    pub parent_process_file_path: Option<String>,
    pub ip_address: Option<String>,
    pub url: Option<String>,
    pub registry_key: Option<String>,
    pub registry_hive: Option<String>,
    pub registry_value_type: Option<String>,
    pub registry_value: Option<String>,
    pub account_name: Option<String>,
    pub domain_name: Option<String>,
    pub user_sid: Option<String>,
    pub aad_user_id: Option<String>,
    pub user_principal_name: Option<String>,
    pub detection_status: Option<String>,
}

impl Evidence {
    /// Evidence of this entity type, everything else null.
    pub fn of(entity_type: impl Into<String>, at: Timestamp) -> Evidence {
        Evidence { entity_type: entity_type.into(), evidence_creation_time: Some(at), ..Evidence::default() }
    }

    pub fn user(at: Timestamp, domain: impl Into<String>, account: impl Into<String>) -> Evidence {
        Evidence {
            account_name: Some(account.into()),
            domain_name: Some(domain.into()),
            ..Evidence::of("User", at)
        }
    }

    pub fn process(
        at: Timestamp,
        folder: impl Into<String>,
        file_name: impl Into<String>,
        command_line: impl Into<String>,
    ) -> Evidence {
        Evidence {
            file_name: Some(file_name.into()),
            file_path: Some(folder.into()),
            process_command_line: Some(command_line.into()),
            process_creation_time: Some(at),
            detection_status: Some("Detected".to_owned()),
            ..Evidence::of("Process", at)
        }
    }

    pub fn file(
        at: Timestamp,
        folder: impl Into<String>,
        file_name: impl Into<String>,
        sha1: impl Into<String>,
    ) -> Evidence {
        Evidence {
            file_name: Some(file_name.into()),
            file_path: Some(folder.into()),
            sha1: Some(sha1.into()),
            detection_status: Some("Detected".to_owned()),
            ..Evidence::of("File", at)
        }
    }

    pub fn ip(at: Timestamp, address: impl Into<String>) -> Evidence {
        Evidence {
            ip_address: Some(address.into()),
            detection_status: Some("Detected".to_owned()),
            ..Evidence::of("Ip", at)
        }
    }

    pub fn url(at: Timestamp, url: impl Into<String>) -> Evidence {
        Evidence {
            url: Some(url.into()),
            detection_status: Some("Detected".to_owned()),
            ..Evidence::of("Url", at)
        }
    }

    pub fn registry(at: Timestamp, key: impl Into<String>, value: impl Into<String>) -> Evidence {
        Evidence {
            registry_hive: Some("HKEY_LOCAL_MACHINE".to_owned()),
            registry_key: Some(key.into()),
            registry_value_type: Some("Unicode".to_owned()),
            registry_value: Some(value.into()),
            detection_status: Some("Detected".to_owned()),
            ..Evidence::of("Registry", at)
        }
    }
}

/// One device. The fields after `ip_addresses` are the simulator's own and never printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub id: String,
    pub computer_dns_name: Option<String>,
    #[serde(serialize_with = "times::maybe")]
    pub first_seen: Option<Timestamp>,
    #[serde(serialize_with = "times::maybe")]
    pub last_seen: Option<Timestamp>,
    pub os_platform: Option<String>,
    pub version: Option<String>,
    pub os_processor: Option<String>,
    pub os_architecture: Option<String>,
    pub last_ip_address: Option<String>,
    pub last_external_ip_address: Option<String>,
    pub os_build: Option<i64>,
    pub health_status: String,
    pub onboarding_status: String,
    pub rbac_group_id: Option<i64>,
    pub rbac_group_name: Option<String>,
    pub risk_score: Option<String>,
    pub exposure_level: Option<String>,
    pub is_aad_joined: Option<bool>,
    pub aad_device_id: Option<String>,
    pub device_value: Option<String>,
    pub machine_tags: Vec<String>,
    pub ip_addresses: Vec<IpAddress>,
    /// What becomes of actions on the machine.
    #[serde(skip)]
    pub behaviour: Behaviour,
    /// How fast actions move on this machine; default: the world's.
    #[serde(skip)]
    pub pace: Option<Pace>,
    /// Since when the machine can be reached again; `World::bring_online` sets it.
    #[serde(skip)]
    pub online_since: Option<Timestamp>,
    /// False: isolating is refused with `OsPlatformNotSupported`.
    #[serde(skip)]
    pub can_be_isolated: bool,
}

impl Machine {
    /// An active, onboarded, online machine last seen at `at`.
    pub fn new(
        id: impl Into<String>,
        name: impl Into<String>,
        os_platform: impl Into<String>,
        at: Timestamp,
    ) -> Machine {
        Machine {
            id: id.into(),
            computer_dns_name: Some(name.into()),
            first_seen: Some(at - SignedDuration::from_hours(24 * 90)),
            last_seen: Some(at),
            os_platform: Some(os_platform.into()),
            version: Some("23H2".to_owned()),
            os_processor: Some("x64".to_owned()),
            os_architecture: Some("64-bit".to_owned()),
            last_ip_address: Some("10.20.30.40".to_owned()),
            last_external_ip_address: Some("203.0.113.17".to_owned()),
            os_build: Some(22_631),
            health_status: "Active".to_owned(),
            onboarding_status: "Onboarded".to_owned(),
            rbac_group_id: Some(140),
            rbac_group_name: Some("Workstations".to_owned()),
            risk_score: Some("Low".to_owned()),
            exposure_level: Some("Medium".to_owned()),
            is_aad_joined: Some(true),
            aad_device_id: None,
            device_value: Some("Normal".to_owned()),
            machine_tags: Vec::new(),
            ip_addresses: vec![IpAddress {
                ip_address: "10.20.30.40".to_owned(),
                mac_address: "8CEC4B897E73".to_owned(),
                operational_status: "Up".to_owned(),
            }],
            behaviour: Behaviour::Online,
            pace: None,
            online_since: None,
            can_be_isolated: true,
        }
    }

    #[must_use]
    pub fn behaviour(mut self, behaviour: Behaviour) -> Machine {
        self.behaviour = behaviour;
        self
    }

    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Machine {
        self.pace = Some(pace);
        self
    }

    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Machine {
        self.machine_tags.push(tag.into());
        self
    }

    #[must_use]
    pub fn group(mut self, id: i64, name: impl Into<String>) -> Machine {
        self.rbac_group_id = Some(id);
        self.rbac_group_name = Some(name.into());
        self
    }

    #[must_use]
    pub fn cannot_be_isolated(mut self) -> Machine {
        self.can_be_isolated = false;
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IpAddress {
    pub ip_address: String,
    pub mac_address: String,
    pub operational_status: String,
}

/// What becomes of actions on a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// They move at the pace and succeed.
    #[default]
    Online,
    /// They stay as they are and time out after `World::times_out_after`.
    Offline,
    /// They move at the pace and fail.
    Fails,
}

/// How fast an action moves, counted from the moment the machine can take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub in_progress_after: SignedDuration,
    pub finished_after: SignedDuration,
}

impl Default for Pace {
    /// In progress after one second, finished after three.
    fn default() -> Pace {
        Pace { in_progress_after: SignedDuration::from_secs(1), finished_after: SignedDuration::from_secs(3) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum ActionType {
    RunAntiVirusScan,
    Offboard,
    LiveResponse,
    CollectInvestigationPackage,
    Isolate,
    Unisolate,
    StopAndQuarantineFile,
    RestrictCodeExecution,
    UnrestrictCodeExecution,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum ActionStatus {
    Pending,
    InProgress,
    Succeeded,
    Failed,
    TimeOut,
    Cancelled,
}

impl ActionStatus {
    pub fn is_final(self) -> bool {
        match self {
            ActionStatus::Pending | ActionStatus::InProgress => false,
            ActionStatus::Succeeded
            | ActionStatus::Failed
            | ActionStatus::TimeOut
            | ActionStatus::Cancelled => true,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            ActionStatus::Pending => "Pending",
            ActionStatus::InProgress => "InProgress",
            ActionStatus::Succeeded => "Succeeded",
            ActionStatus::Failed => "Failed",
            ActionStatus::TimeOut => "TimeOut",
            ActionStatus::Cancelled => "Cancelled",
        }
    }
}

impl fmt::Display for ActionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ActionType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ActionType::RunAntiVirusScan => "RunAntiVirusScan",
            ActionType::Offboard => "Offboard",
            ActionType::LiveResponse => "LiveResponse",
            ActionType::CollectInvestigationPackage => "CollectInvestigationPackage",
            ActionType::Isolate => "Isolate",
            ActionType::Unisolate => "Unisolate",
            ActionType::StopAndQuarantineFile => "StopAndQuarantineFile",
            ActionType::RestrictCodeExecution => "RestrictCodeExecution",
            ActionType::UnrestrictCodeExecution => "UnrestrictCodeExecution",
        }
    }
}

/// One machine action. `wedged` is the simulator's own: a repeated isolation that waits for a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineAction {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: ActionType,
    pub title: Option<String>,
    pub scope: Option<String>,
    pub requestor: String,
    pub requestor_comment: String,
    pub request_source: String,
    pub external_id: Option<String>,
    pub status: ActionStatus,
    pub machine_id: String,
    pub computer_dns_name: Option<String>,
    #[serde(serialize_with = "times::time")]
    pub creation_date_time_utc: Timestamp,
    #[serde(serialize_with = "times::time")]
    pub last_update_date_time_utc: Timestamp,
    #[serde(serialize_with = "times::maybe")]
    pub cancellation_date_time_utc: Option<Timestamp>,
    pub cancellation_requestor: Option<String>,
    pub cancellation_comment: Option<String>,
    pub related_file_info: Option<RelatedFile>,
    pub commands: Vec<serde_json::Value>,
    pub error_h_result: i64,
    #[serde(skip)]
    pub wedged: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelatedFile {
    pub file_identifier: String,
    pub file_identifier_type: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(value: &serde_json::Value) -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    }

    fn every_documented_key_is_printed(documented: &str, printed: &impl Serialize) {
        let documented: serde_json::Value = serde_json::from_str(documented).unwrap();
        let printed = serde_json::to_value(printed).unwrap();
        let printed = keys(&printed);
        for key in keys(&documented) {
            assert!(key.starts_with('@') || printed.contains(&key), "{key} is documented, not printed");
        }
    }

    #[test]
    fn an_alert_prints_the_keys_of_microsofts_example_and_no_other() {
        let alert = Alert::new("da1_1", "m", Timestamp::UNIX_EPOCH).evidence(vec![Evidence::user(
            Timestamp::UNIX_EPOCH,
            "CONTOSO",
            "a",
        )]);
        let documented: serde_json::Value =
            serde_json::from_str(include_str!("../samples/alert-single.json")).unwrap();
        let printed = serde_json::to_value(&alert).unwrap();
        assert_eq!(keys(&printed), keys(&documented));
        assert_eq!(keys(&printed["evidence"][0]), keys(&documented["evidence"][0]));
    }

    #[test]
    fn machines_and_actions_print_the_keys_of_microsofts_examples() {
        let machine = Machine::new("m", "n", "Windows11", Timestamp::UNIX_EPOCH);
        every_documented_key_is_printed(include_str!("../samples/machine-single.json"), &machine);
        let mut world = crate::World::new(Timestamp::UNIX_EPOCH).machine(machine);
        let id = world.isolate_by_person("m", "a@contoso.com");
        let action = world.action(&id).unwrap();
        every_documented_key_is_printed(include_str!("../samples/machineaction-isolate.json"), action);
    }
}
