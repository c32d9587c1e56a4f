//! The fields of alerts and devices as a case writes them: which there are, and what each may be.
//!
//! They go by the names that `model` has for them, and are read by `model`; a test holds the two together.

use crate::section::{Reader, Section, kind, parse_duration};
use jiff::Timestamp;
use model::{DeviceId, DeviceRef};
use serde_json::{Map, Value};
use toml::de::DeValue;

/// What a field of an alert or a device is written as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Texts,
    Flag,
    Number,
    Time,
    /// A machine id.
    Machine,
    /// What an alert names as its device.
    NamedDevice,
    Table(&'static [Field]),
    Tables(&'static [Field]),
}

/// A field, by the name that it has in `model`; and whether it may be absent.
pub(super) type Field = (&'static str, Kind, Presence);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Needed,
    Optional,
}

use Presence::{Needed, Optional};

pub(super) const ALERT: [Field; 26] = [
    ("id", Kind::Text, Needed),
    ("incident_id", Kind::Text, Optional),
    ("severity", Kind::Text, Optional),
    ("status", Kind::Text, Optional),
    ("classification", Kind::Text, Optional),
    ("determination", Kind::Text, Optional),
    ("category", Kind::Text, Optional),
    ("detection_source", Kind::Text, Optional),
    ("detector_id", Kind::Text, Optional),
    ("title", Kind::Text, Needed),
    ("description", Kind::Text, Optional),
    ("created", Kind::Time, Optional),
    ("first_event", Kind::Time, Optional),
    ("last_event", Kind::Time, Optional),
    ("updated", Kind::Time, Optional),
    ("device", Kind::NamedDevice, Optional),
    ("device_name", Kind::Text, Optional),
    ("device_group", Kind::Text, Optional),
    ("threat_family", Kind::Text, Optional),
    ("threat_name", Kind::Text, Optional),
    ("techniques", Kind::Texts, Needed),
    ("user", Kind::Table(&USER), Optional),
    ("evidence", Kind::Tables(&EVIDENCE), Needed),
    ("evidence_truncated", Kind::Flag, Needed),
    ("unreadable", Kind::Texts, Needed),
    ("hunted", Kind::Table(&HUNTED), Optional),
];

const HUNTED: [Field; 2] = [("hunt", Kind::Text, Needed), ("may_isolate", Kind::Flag, Needed)];

const USER: [Field; 2] = [("name", Kind::Text, Needed), ("domain", Kind::Text, Optional)];

const EVIDENCE: [Field; 21] = [
    ("kind", Kind::Text, Needed),
    ("created", Kind::Time, Optional),
    ("sha1", Kind::Text, Optional),
    ("sha256", Kind::Text, Optional),
    ("file_name", Kind::Text, Optional),
    ("folder", Kind::Text, Optional),
    ("process_id", Kind::Number, Optional),
    ("command_line", Kind::Text, Optional),
    ("process_created", Kind::Time, Optional),
    ("parent_process_id", Kind::Number, Optional),
    ("parent_file_name", Kind::Text, Optional),
    ("ip_address", Kind::Text, Optional),
    ("url", Kind::Text, Optional),
    ("registry_key", Kind::Text, Optional),
    ("registry_hive", Kind::Text, Optional),
    ("registry_value", Kind::Text, Optional),
    ("account_name", Kind::Text, Optional),
    ("account_domain", Kind::Text, Optional),
    ("user_sid", Kind::Text, Optional),
    ("user_principal_name", Kind::Text, Optional),
    ("detection_status", Kind::Text, Optional),
];

pub(super) const DEVICE: [Field; 16] = [
    ("id", Kind::Machine, Needed),
    ("name", Kind::Text, Optional),
    ("os_platform", Kind::Text, Optional),
    ("os_version", Kind::Text, Optional),
    ("tags", Kind::Texts, Optional),
    ("group", Kind::Text, Optional),
    ("value", Kind::Text, Optional),
    ("health", Kind::Text, Optional),
    ("risk", Kind::Text, Optional),
    ("exposure", Kind::Text, Optional),
    ("onboarding", Kind::Text, Optional),
    ("merged_into", Kind::Text, Optional),
    ("first_seen", Kind::Time, Optional),
    ("last_seen", Kind::Time, Optional),
    ("last_ip", Kind::Text, Optional),
    ("unreadable", Kind::Texts, Needed),
];

/// What a section of a case says, written over a base.
pub(super) fn written<T: serde::de::DeserializeOwned>(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    base: &Value,
    fields: &[Field],
    now: Timestamp,
) -> Option<T> {
    let mut whole = base.as_object()?.clone();
    let at = section.get(key).map_or(section.at, |(_, at)| at);
    if section.get(key).is_some() {
        let section = section.section(reader, key)?;
        whole.extend(fields_of(reader, section, fields, now)?);
    }
    match serde_json::from_value(Value::Object(whole)) {
        Ok(whole) => Some(whole),
        Err(error) => {
            reader.problem(at, format!("`{key}` cannot be read: {error}"));
            None
        }
    }
}

fn fields_of(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    fields: &[Field],
    now: Timestamp,
) -> Option<Map<String, Value>> {
    let before = reader.problems.len();
    let names: Vec<&str> = fields.iter().map(|(name, _, _)| *name).collect();
    section.only(reader, &names);
    let mut found = Map::new();
    for (name, kind, presence) in fields {
        let Some((value, at)) = section.get(name) else { continue };
        if value.as_str() == Some("") {
            if *presence == Needed {
                reader.problem(at, format!("`{name}` cannot be taken away"));
            }
            found.insert((*name).to_owned(), Value::Null);
        } else if let Some(value) = field(reader, section, name, *kind, now) {
            found.insert((*name).to_owned(), value);
        }
    }
    (reader.problems.len() == before).then_some(found)
}

/// A field's value as `model` has it in JSON. None is a problem that was said.
fn field(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    name: &str,
    field: Kind,
    now: Timestamp,
) -> Option<Value> {
    let (value, at) = section.get(name)?;
    let found = match field {
        Kind::Text => value.as_str().map(Value::from),
        Kind::Flag => value.as_bool().map(Value::from),
        Kind::Number => value
            .as_integer()
            .and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok())
            .map(Value::from),
        Kind::Time => {
            timestamp(value).or_else(|| relative(value.as_str()?, now)).map(|at| Value::from(at.to_string()))
        }
        Kind::NamedDevice => {
            value.as_str().and_then(|text| serde_json::to_value(DeviceRef::parse(text)).ok())
        }
        Kind::Texts => {
            let texts = value.as_array().map(|array| array.iter().map(|item| item.get_ref().as_str()));
            texts
                .and_then(|texts| texts.map(|text| text.map(Value::from)).collect::<Option<Vec<_>>>())
                .map(Value::from)
        }
        Kind::Machine => match value.as_str().map(str::parse::<DeviceId>) {
            Some(Ok(id)) => Some(Value::from(id.to_string())),
            Some(Err(error)) => {
                reader.problem(at, error);
                return None;
            }
            None => None,
        },
        Kind::Table(fields) => {
            let section = section.section(reader, name)?;
            return table_of(reader, section, fields, now);
        }
        Kind::Tables(fields) => {
            let mut all = Vec::new();
            for section in section.sections(reader, name) {
                all.push(table_of(reader, section, fields, now)?);
            }
            return Some(Value::from(all));
        }
    };
    if found.is_none() {
        let (what, hint) = should_be(field);
        reader.hinted(at, format!("`{name}` must be {what}, not {}", kind(value)), hint);
    }
    found
}

/// A table in which every field that is needed has to be written.
fn table_of(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    fields: &[Field],
    now: Timestamp,
) -> Option<Value> {
    let missing =
        fields.iter().find(|(name, _, presence)| *presence == Needed && section.get(name).is_none());
    if let Some((name, _, _)) = missing {
        reader.problem(section.at, format!("`{name}` is missing"));
    }
    fields_of(reader, section, fields, now).map(Value::Object).filter(|_| missing.is_none())
}

/// What a field has to be, and an example.
fn should_be(field: Kind) -> (&'static str, &'static str) {
    match field {
        Kind::Text | Kind::NamedDevice => ("a text in quotes", "an empty text takes the field away"),
        Kind::Machine => ("a machine id in quotes", "40 hexadecimal digits"),
        Kind::Texts => ("a list of texts", "such as [\"a\", \"b\"]; an empty text takes the field away"),
        Kind::Flag => ("true or false", "without quotes"),
        Kind::Number => ("a whole number", "without quotes"),
        Kind::Time => (
            "a time",
            "such as 2026-11-20T09:30:00Z without quotes, or before and after `at`: \"5h ago\", \"11m ahead\"",
        ),
        Kind::Table(_) | Kind::Tables(_) => ("a section", "such as { name = \"ada\" }"),
    }
}

/// A time with its offset.
pub(super) fn timestamp(value: &DeValue<'_>) -> Option<Timestamp> {
    match value {
        DeValue::Datetime(at) => at.to_string().parse().ok(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}

/// `5h ago`, `11m ahead`
fn relative(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(before) = text.strip_suffix(" ago") {
        return now.checked_sub(parse_duration(before)?).ok();
    }
    now.checked_add(parse_duration(text.strip_suffix(" ahead")?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Alert, Device};
    use serde_json::json;
    use std::collections::BTreeSet;

    fn names(value: &impl serde::Serialize) -> BTreeSet<String> {
        let json = serde_json::to_value(value).unwrap();
        json.as_object().unwrap().keys().cloned().collect()
    }

    fn of(fields: &[Field]) -> BTreeSet<String> {
        fields.iter().map(|(name, _, _)| (*name).to_owned()).collect()
    }

    #[test]
    fn every_field_of_an_alert_and_a_device_can_be_written() {
        let alert = json!({"id": "a", "title": "t", "techniques": [], "evidence": []});
        let mut alert: Alert = serde_json::from_value(alert).unwrap();
        let hunted = model::Hunted { hunt: "h".into(), may_isolate: false };
        alert.hunted = Some(hunted.clone());
        let device: Device =
            serde_json::from_value(json!({"id": "1e5bc9d7e413ddd7902c2932e418702b84d0cc07"})).unwrap();
        let user = model::User { name: "ada".into(), domain: None };
        assert_eq!(of(&ALERT), names(&alert));
        assert_eq!(of(&DEVICE), names(&device));
        assert_eq!(of(&HUNTED), names(&hunted));
        assert_eq!(of(&USER), names(&user));
        assert_eq!(of(&EVIDENCE), names(&model::Evidence::default()));
    }

    #[test]
    fn times_are_told_from_the_moment_of_the_case() {
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        assert_eq!(relative("5h ago", now), "2026-11-20T05:00:00Z".parse().ok());
        assert_eq!(relative("11m ahead", now), "2026-11-20T10:11:00Z".parse().ok());
        for bad in ["5h", "5h before", "ago", "-5h ago", "99999999999d ago"] {
            assert_eq!(relative(bad, now), None, "{bad}");
        }
    }
}
