//! What a row means: what tells it from others, and how it becomes an alert, an order or a line of a table.
//!
//! Everything in a row may have been written by an attacker. Nothing here is read from or written to anything.

use crate::read::names;
use defender::{Column, HuntError, Row};
use jiff::Timestamp;
use model::{
    Alert, AlertId, AlertStatus, BadId, DeviceId, DeviceRef, Evidence, Hunted, NewAlert, Severity, Table,
    User, digest, one_line,
};
use policy::{AlertMapping, DefenderAlert, EvidenceField, EvidenceMapping, Hunt, Outcome, SeverityOf};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

/// The most different rows of one answer that are kept: what is more is asked for in parts, so that memory stays flat.
pub(crate) const MOST_KEPT: usize = 5_000;

/// The longest text that is taken from a row, in characters.
const MAX_TEXT: usize = 4_000;

/// The same for names, of which a person or a case has few and short ones.
const MAX_NAME: usize = 300;

/// The longest name of a table's column, in characters. Cells may be as long as any text: whoever tells people cuts them once
/// what is secret has been taken out.
const MAX_COLUMN: usize = 200;

/// The most that a table may weigh, in bytes.
const MAX_TABLE: usize = 60_000;

/// The most columns of a table, and the most that their names may weigh, in bytes.
const MAX_COLUMNS: usize = 60;
const MAX_HEADER: usize = 20_000;

/// How many of an answer's columns are named where one is missing.
const MAX_NAMED: usize = 30;

/// A row that is told from others.
pub(crate) struct Found {
    pub(crate) digest: String,
    pub(crate) row: Row,
}

/// The different rows of one answer, as they come.
pub(crate) struct Kept<'a> {
    hunt: &'a Hunt,
    known: HashSet<String>,
    pub(crate) rows: Vec<Found>,
}

impl<'a> Kept<'a> {
    pub(crate) fn of(hunt: &'a Hunt) -> Kept<'a> {
        Kept { hunt, known: HashSet::new(), rows: Vec::new() }
    }

    pub(crate) fn take(&mut self, row: Row) {
        if self.known.len() > MOST_KEPT {
            // Nothing of this answer will be used.
            self.rows = Vec::new();
            return;
        }
        let digest = identity(self.hunt, &row);
        if self.known.insert(digest.clone()) {
            self.rows.push(Found { digest, row });
        }
    }

    /// Why the answer is too much, if it is.
    pub(crate) fn too_many(&self) -> Option<HuntError> {
        let is_more = self.known.len() > MOST_KEPT;
        is_more.then(|| HuntError::TooMuch { why: format!("it has more than {MOST_KEPT} different rows") })
    }
}

/// What tells a row from others: the hunt, and the values of the columns that it names. A time is the same however it is
/// written; a value that is not there is one of its own.
fn identity(hunt: &Hunt, row: &Row) -> String {
    let values: Vec<Option<String>> = hunt
        .identity
        .iter()
        .map(|column| {
            let text = row.text(column)?;
            Some(text.parse::<Timestamp>().map_or(text, |time| time.to_string()))
        })
        .collect();
    let mut parts = vec![hunt.name.as_str()];
    for (column, value) in hunt.identity.iter().zip(&values) {
        parts.extend([column.as_str(), if value.is_some() { "is" } else { "absent" }]);
        parts.push(value.as_deref().unwrap_or_default());
    }
    digest(&parts)
}

/// What is wrong with an answer that lacks a column which the hunt needs. Without a schema, the rows tell.
pub(crate) fn missing(hunt: &Hunt, columns: &[Column], rows: &[Found]) -> Option<String> {
    let is_there = |name: &str| {
        if columns.is_empty() {
            rows.is_empty() || rows.iter().any(|found| found.row.value(name).is_some())
        } else {
            names(columns, name)
        }
    };
    let lacking: Vec<String> =
        hunt.needs().into_iter().filter(|name| !is_there(name)).map(|name| format!("`{name}`")).collect();
    if lacking.is_empty() {
        return None;
    }
    let mut has: Vec<String> =
        columns.iter().take(MAX_NAMED).map(|column| one_line(&column.name, 60)).collect();
    if columns.len() > MAX_NAMED {
        has.push(format!("{} more", columns.len() - MAX_NAMED));
    }
    let has = if has.is_empty() { "no schema".to_owned() } else { has.join(", ") };
    Some(format!("the answer lacks {}, which the hunt needs; it has {has}", lacking.join(", ")))
}

/// The alert that a row becomes.
pub(crate) fn alert(
    hunt: &Hunt,
    mapping: &AlertMapping,
    found: &Found,
    now: Timestamp,
) -> Result<Alert, BadId> {
    let row = &found.row;
    let name = |column: &Option<String>| column.as_ref().and_then(|column| text(row, column, MAX_NAME));
    let time = row.time(&mapping.time);
    let mut unreadable = Vec::new();
    if time.is_none()
        && let Some(other) = row.text(&mapping.time)
    {
        unreadable.push(format!("{}: `{}` is no time", mapping.time, one_line(&other, 60)));
    }
    let severity = match &mapping.severity {
        SeverityOf::Always(severity) => Some(severity.clone()),
        SeverityOf::Column(column) => text(row, column, MAX_NAME).map(|word| Severity::from(word.as_str())),
    };
    Ok(Alert {
        id: alert_id(hunt, &found.digest)?,
        incident_id: None,
        severity,
        status: Some(AlertStatus::New),
        classification: None,
        determination: None,
        category: mapping.category.clone(),
        detection_source: Some(Hunted::SOURCE.to_owned()),
        detector_id: Some(hunt.name.clone()),
        title: mapping.title.of(|column| row.text(column)),
        description: Some(hunt.description.clone()),
        created: Some(now),
        first_event: time,
        last_event: time,
        updated: Some(now),
        device: text(row, &mapping.device, MAX_NAME).map(|id| DeviceRef::parse(&id)),
        device_name: text(row, &mapping.device_name, MAX_NAME),
        device_group: None,
        threat_family: None,
        threat_name: None,
        techniques: hunt.techniques.clone(),
        user: name(&mapping.user).map(|user| User { name: user, domain: name(&mapping.user_domain) }),
        evidence: mapping.evidence.iter().filter_map(|mapping| evidence(mapping, row)).collect(),
        evidence_truncated: false,
        unreadable,
        hunted: Some(Hunted { hunt: hunt.name.clone(), may_isolate: mapping.may_isolate }),
    })
}

fn alert_id(hunt: &Hunt, digest: &str) -> Result<AlertId, BadId> {
    format!("{}-{}-{digest}", Hunted::SOURCE, hunt.name).parse()
}

/// A piece of evidence; none where the row has none of its values.
fn evidence(mapping: &EvidenceMapping, row: &Row) -> Option<Evidence> {
    let mut evidence = Evidence { kind: mapping.kind.clone(), ..Evidence::default() };
    let mut is_empty = true;
    for (field, column) in &mapping.columns {
        let Some(value) = text(row, column, MAX_TEXT) else { continue };
        let place = match field {
            EvidenceField::ProcessId => {
                evidence.process_id = value.parse().ok();
                is_empty &= evidence.process_id.is_none();
                continue;
            }
            EvidenceField::Sha1 => &mut evidence.sha1,
            EvidenceField::Sha256 => &mut evidence.sha256,
            EvidenceField::FileName => &mut evidence.file_name,
            EvidenceField::Folder => &mut evidence.folder,
            EvidenceField::CommandLine => &mut evidence.command_line,
            EvidenceField::ParentFileName => &mut evidence.parent_file_name,
            EvidenceField::IpAddress => &mut evidence.ip_address,
            EvidenceField::Url => &mut evidence.url,
            EvidenceField::RegistryKey => &mut evidence.registry_key,
            EvidenceField::RegistryValue => &mut evidence.registry_value,
            EvidenceField::AccountName => &mut evidence.account_name,
            EvidenceField::AccountDomain => &mut evidence.account_domain,
            EvidenceField::UserSid => &mut evidence.user_sid,
            EvidenceField::UserPrincipalName => &mut evidence.user_principal_name,
        };
        *place = Some(value);
        is_empty = false;
    }
    (!is_empty).then_some(evidence)
}

/// The device and the alert that Defender is asked to make of a row; or what the row lacks for it.
pub(crate) fn defender_alert(
    hunt: &Hunt,
    mapping: &DefenderAlert,
    row: &Row,
) -> Result<(DeviceId, NewAlert), &'static str> {
    let device = row.text(DEVICE).and_then(|id| id.parse().ok()).ok_or(DEVICE)?;
    let alert = NewAlert {
        event_time: text(row, TIME, MAX_NAME).ok_or(TIME)?,
        report_id: text(row, REPORT, MAX_NAME).ok_or(REPORT)?,
        severity: mapping.severity.clone(),
        title: mapping.title.of(|column| row.text(column)),
        description: hunt.description.clone(),
        recommended_action: mapping.recommended_action.clone(),
        category: mapping.category.clone(),
    };
    Ok((device, alert))
}

/// The columns by which the service finds the event that an alert is to be made of. Source: Microsoft's page "Create alert
/// from event API".
const DEVICE: &str = "DeviceId";
const TIME: &str = "Timestamp";
const REPORT: &str = "ReportId";

/// The rows as a table: at most as many as the hunt says, and no more than fits into a message. With the number of columns
/// that have no room in it.
pub(crate) fn table(hunt: &Hunt, columns: &[Column], found: &[&Found]) -> (Table, usize) {
    let mut names: Vec<String> = if columns.is_empty() {
        hunt.needs().into_iter().map(str::to_owned).collect()
    } else {
        columns.iter().map(|column| column.name.clone()).collect()
    };
    let all = names.len();
    let mut weight = 0;
    let mut table = Table { columns: Vec::new(), rows: Vec::new(), more: found.len() };
    for name in names.iter().take(MAX_COLUMNS) {
        let name = one_line(name, MAX_COLUMN);
        weight += weighs(&name);
        if weight > MAX_HEADER {
            break;
        }
        table.columns.push(name);
    }
    names.truncate(table.columns.len());
    for found in found.iter().take(hunt.most) {
        let cell = |name: &String| one_line(&found.row.text(name).unwrap_or_default(), MAX_TEXT);
        let cells: Vec<String> = names.iter().map(cell).collect();
        let heavier = weight + cells.iter().map(|cell| weighs(cell)).sum::<usize>();
        // One that is too heavy must not hide those behind it.
        if heavier > MAX_TABLE {
            continue;
        }
        weight = heavier;
        table.rows.push(cells);
        table.more -= 1;
    }
    (table, all - names.len())
}

/// The bytes of a cell in JSON, where a quotation mark or a backslash is two.
fn weighs(cell: &str) -> usize {
    cell.len() + cell.matches(['"', '\\']).count() + 3
}

/// The time of a row's event; none where it has none that can be read.
pub(crate) fn time(hunt: &Hunt, row: &Row) -> Option<Timestamp> {
    row.time(match &hunt.outcome {
        Outcome::Alert(mapping) => &mapping.time,
        Outcome::Table | Outcome::DefenderAlert(_) => TIME,
    })
}

/// The rows in the order in which they are made known: first one of each device, then a second of each, and so on, so that a
/// device with a thousand rows delays no other's beyond `act_within`; among these, and of each device, what is most serious
/// first, then what is newest.
pub(crate) fn sort(hunt: &Hunt, rows: &mut [Found]) {
    let device = match &hunt.outcome {
        Outcome::Alert(mapping) => mapping.device.as_str(),
        Outcome::Table | Outcome::DefenderAlert(_) => DEVICE,
    };
    let rank = |row: &Row| match &hunt.outcome {
        Outcome::Alert(mapping) => match &mapping.severity {
            SeverityOf::Column(column) => {
                row.text(column).and_then(|word| Severity::from(word.as_str()).rank())
            }
            SeverityOf::Always(_) => None,
        },
        Outcome::Table | Outcome::DefenderAlert(_) => None,
    };
    rows.sort_by_cached_key(|found| {
        (Reverse(rank(&found.row)), Reverse(time(hunt, &found.row)), found.digest.clone())
    });
    let mut of_device: HashMap<Option<String>, usize> = HashMap::new();
    let nth: HashMap<String, usize> = rows
        .iter()
        .map(|found| {
            let nth = of_device.entry(found.row.text(device)).or_default();
            *nth += 1;
            (found.digest.clone(), *nth)
        })
        .collect();
    // It keeps the order of what is equal.
    rows.sort_by_key(|found| nth.get(&found.digest).copied());
}

/// A column's value, cut where it is too long to be kept.
fn text(row: &Row, column: &str, most: usize) -> Option<String> {
    let mut text = row.text(column)?;
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    Some(text)
}
