//! The hunts of `hunts/*.toml`: which query is run when, what tells its rows apart, and what a row leads to.
//!
//! What a file says is checked here, the query's KQL is not: only the service can do that. When a hunt is due and what it has
//! read already is `hunt`'s business.

use crate::Problems;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
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
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    pub text: String,
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
    text: String,
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
        let _ = playbook;
        Ok(Vec::new())
    }

    /// The query for a window: `CordonFrom` and `CordonTo`, the parameters, and, where the query names it,
    /// `CordonAssets` (a table of `List`, `Kind`, `Value`: what stands in assets.toml), each as a `let` before it.
    pub fn asks(&self, span: Span, lists: &[crate::AssetList]) -> String {
        let _ = (span, lists);
        self.query.clone()
    }

    /// The columns without which a row says nothing to this hunt.
    pub fn needs(&self) -> Vec<&str> {
        Vec::new()
    }
}

impl Schedule {
    /// The first time after `after` at which a hunt of this name is due.
    pub fn next(&self, name: &str, after: Timestamp, zone: &TimeZone) -> Timestamp {
        let _ = (name, zone);
        after
    }

    /// How long it is at most from one run to the next, for telling when one is overdue.
    pub fn longest(&self, after: Timestamp, zone: &TimeZone) -> SignedDuration {
        let _ = (after, zone);
        SignedDuration::ZERO
    }
}

impl Template {
    /// The text with the columns' values; what a row lacks is `?`. One line, at most 300 characters.
    pub fn of(&self, column: impl Fn(&str) -> Option<String>) -> String {
        let _ = column;
        self.text.clone()
    }
}
