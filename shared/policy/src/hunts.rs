//! The hunts of `hunts/*.toml`: which query is run when, what tells its rows apart, and what a row leads to.
//!
//! What a file says is checked here, the query's KQL is not: only the service can do that. When a hunt is due and what it has
//! read already is `hunt`'s business.

mod kql;
mod read;
mod schedule;
mod template;

use crate::{Problems, problems::files};
use jiff::{SignedDuration, Timestamp};
use model::Severity;
use std::{collections::BTreeMap, path::Path};

/// The folder of the hunts, in the playbook's.
pub const HUNTS: &str = "hunts";

/// One hunt.
#[derive(Debug, Clone, PartialEq)]
pub struct Hunt {
    /// The file's name without `.toml`: small letters, digits and hyphens, at most 40.
    pub name: String,
    /// Whether its schedule runs it. Default: yes. By hand it runs anyway.
    pub enabled: bool,
    /// What it looks for, in a sentence.
    pub description: String,
    /// ATT&CK technique ids, such as `T1219`.
    pub techniques: Vec<String>,
    /// What harmless things it is expected to find.
    pub noise: Option<String>,
    /// The KQL as it is sent, but for what [`Hunt::asks`] puts before it.
    pub query: String,
    /// `[parameters]`: names that the query may use.
    pub parameters: BTreeMap<String, Parameter>,
    pub schedule: Schedule,
    /// How far back the very first run reaches.
    pub look_back: SignedDuration,
    /// How far each run reaches back behind the end of the one before: for events that the service shows late, and for
    /// queries that need more than the new events.
    pub overlap: SignedDuration,
    /// Whether a window that is too large for one answer may be asked for in halves. No for a query that counts or compares
    /// over its whole window. Default: yes.
    pub divisible: bool,
    /// The columns whose values together tell one row from another.
    pub identity: Vec<String>,
    pub outcome: Outcome,
    /// How many rows at most one run makes known; the next runs go on with the rest. For a table: how many rows of it people
    /// are sent.
    pub most: usize,
    /// A digest of the file (and of the query's): a hunt that the service has refused is tried again when it has changed.
    pub digest: String,
}

/// A value that the query uses by its name. It is written into KQL as a literal, never as code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    Text(String),
    Number(i64),
    /// A `dynamic` array of texts.
    Texts(Vec<String>),
}

/// When a hunt is run.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// Every so often. Hunts of the same rhythm begin at different minutes, by their names.
    Every(SignedDuration),
    /// At these minutes, in the playbook's time zone.
    Cron(Box<Cron>),
}

/// Five fields: minute, hour, day of the month, month, day of the week.
#[derive(Debug, Clone)]
pub struct Cron {
    /// As it stands in the file.
    pub text: String,
    parsed: schedule::Parsed,
}

/// What a row leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// An alert of Cordon's own, which goes through the pipeline like any other.
    Alert(Box<AlertMapping>),
    /// A table, sent to people.
    Table,
    /// An alert of Defender's own, made of the event: `ReportId`, `DeviceId` and `Timestamp` of the row say which.
    DefenderAlert(Box<DefenderAlert>),
}

/// How a row becomes an alert of Cordon's own. Names of columns, if nothing else is said.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertMapping {
    /// Holds the machine id. Default: `DeviceId`.
    pub device: String,
    /// Holds the device's name. Default: `DeviceName`.
    pub device_name: String,
    /// Holds the time of the event. Default: `Timestamp`.
    pub time: String,
    pub user: Option<String>,
    pub user_domain: Option<String>,
    pub severity: SeverityOf,
    pub title: Template,
    pub category: Option<String>,
    pub evidence: Vec<EvidenceMapping>,
    /// Whether what the hunt finds may cut a device off, if the policy permits it. Default: no.
    pub may_isolate: bool,
}

/// Where the severity of a row stands.
#[derive(Debug, Clone, PartialEq)]
pub enum SeverityOf {
    Always(Severity),
    Column(String),
}

/// A piece of evidence that a row holds. A row that has none of its values has no such evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceMapping {
    /// `Process`, `File`, `Ip`, `Url`, `User`, `Registry`.
    pub kind: String,
    /// By the name of a field of `model::Evidence`: the column that holds it.
    pub columns: BTreeMap<EvidenceField, String>,
}

/// The fields of a piece of evidence that a hunt can fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvidenceField {
    Sha1,
    Sha256,
    FileName,
    Folder,
    ProcessId,
    CommandLine,
    ParentFileName,
    IpAddress,
    Url,
    RegistryKey,
    RegistryValue,
    AccountName,
    AccountDomain,
    UserSid,
    UserPrincipalName,
}

/// How a row becomes an alert of Defender's own.
#[derive(Debug, Clone, PartialEq)]
pub struct DefenderAlert {
    /// `Low`, `Medium` or `High`.
    pub severity: Severity,
    /// An open alert on the same device with the same title absorbs a new one.
    pub title: Template,
    pub recommended_action: String,
    pub category: String,
}

/// A text with columns in it: `{FileName} was started on {DeviceName}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<template::Part>,
}

/// The window of time that a run asks for: `from` is in it, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Hunt {
    /// Reads every file of the folder `hunts` of a playbook, by name. No such folder: no hunts.
    pub fn read_all(playbook: &Path) -> Result<Vec<Hunt>, Problems> {
        let folder = playbook.join(HUNTS);
        let (mut hunts, mut problems) = (Vec::new(), Vec::new());
        match files(&folder) {
            Ok(files) => {
                for file in files {
                    hunts.extend(read::file(&folder, &file, &mut problems));
                }
            }
            Err(problem) => problems.push(problem),
        }
        if problems.is_empty() { Ok(hunts) } else { Err(Problems::new(problems)) }
    }

    /// Reads the text of one file, such as that of `hunts/lsass-dump.toml` with the name `lsass-dump`. A query in a file of its
    /// own cannot be read this way.
    pub fn parse(name: &str, text: &str) -> Result<Hunt, Problems> {
        let mut problems = Vec::new();
        let hunt = read::hunt(None, &format!("{name}.toml"), text, &mut problems);
        match hunt {
            Some(hunt) if problems.is_empty() => Ok(hunt),
            Some(_) | None => Err(Problems::new(problems)),
        }
    }

    /// The query for a window: `CordonFrom` and `CordonTo`, the parameters, and, where the query names it,
    /// `CordonAssets` (a table of `List`, `Kind`, `Value`: what stands in assets.toml), each as a `let` before it.
    /// `Kind` is `device`, `group`, `tag` or `user`.
    pub fn asks(&self, span: Span, lists: &[crate::AssetList]) -> String {
        kql::before(&self.query, span, self.parameters.iter(), lists) + &self.query
    }

    /// The columns without which a row says nothing to this hunt: of `AdditionalFields.Key` the first part. Each once. What
    /// is only shown (title, user, evidence) may be missing.
    pub fn needs(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.identity.iter().map(String::as_str).collect();
        match &self.outcome {
            Outcome::Alert(alert) => {
                all.extend([alert.device.as_str(), alert.time.as_str()]);
                if let SeverityOf::Column(column) = &alert.severity {
                    all.push(column);
                }
            }
            Outcome::Table => {}
            Outcome::DefenderAlert(_) => all.extend(DefenderAlert::COLUMNS),
        }
        let mut needed = Vec::new();
        for column in all {
            let column = column.split('.').next().unwrap_or(column);
            if !needed.contains(&column) {
                needed.push(column);
            }
        }
        needed
    }
}

impl DefenderAlert {
    /// The columns by which Defender finds the event, whatever the hunt says. Microsoft's page "Create alert API".
    pub const COLUMNS: [&'static str; 3] = ["Timestamp", "ReportId", "DeviceId"];
}

impl EvidenceField {
    /// As a hunt's file, and `model::Evidence`, name it.
    pub fn as_str(self) -> &'static str {
        match self {
            EvidenceField::Sha1 => "sha1",
            EvidenceField::Sha256 => "sha256",
            EvidenceField::FileName => "file_name",
            EvidenceField::Folder => "folder",
            EvidenceField::ProcessId => "process_id",
            EvidenceField::CommandLine => "command_line",
            EvidenceField::ParentFileName => "parent_file_name",
            EvidenceField::IpAddress => "ip_address",
            EvidenceField::Url => "url",
            EvidenceField::RegistryKey => "registry_key",
            EvidenceField::RegistryValue => "registry_value",
            EvidenceField::AccountName => "account_name",
            EvidenceField::AccountDomain => "account_domain",
            EvidenceField::UserSid => "user_sid",
            EvidenceField::UserPrincipalName => "user_principal_name",
        }
    }

    const ALL: [EvidenceField; 15] = [
        EvidenceField::Sha1,
        EvidenceField::Sha256,
        EvidenceField::FileName,
        EvidenceField::Folder,
        EvidenceField::ProcessId,
        EvidenceField::CommandLine,
        EvidenceField::ParentFileName,
        EvidenceField::IpAddress,
        EvidenceField::Url,
        EvidenceField::RegistryKey,
        EvidenceField::RegistryValue,
        EvidenceField::AccountName,
        EvidenceField::AccountDomain,
        EvidenceField::UserSid,
        EvidenceField::UserPrincipalName,
    ];
}

/// A column's name, or one with the names of fields within it behind dots: `AdditionalFields.Key`.
fn is_column(text: &str) -> bool {
    text.split('.').all(kql::is_identifier)
}
