//! Reads Microsoft's bodies into Cordon's words, tolerantly: unknown members are ignored, unknown words of an
//! enumeration kept, nulls are absences. A field of the wrong type is noted by its path and left out; only a
//! record without a usable id is unreadable, and then only that record.
//!
//! Property names and types: Microsoft's pages "Alert", "Machine" and "`MachineAction` resource type", and where
//! those contradict their own examples, both forms.

pub(crate) mod graph;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use model::{Alert, Device, DeviceRef, Evidence, MachineAction, User, one_line};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::borrow::Cow;

/// A record, or a whole body, that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` cannot be read: {why}")]
pub struct Unreadable {
    /// Where, such as `value[3].id`.
    pub path: String,
    pub why: String,
    /// The record as it came, shortened; may hold anything.
    pub record: String,
}

impl Unreadable {
    pub(crate) fn new(path: impl Into<String>, why: impl Into<String>) -> Unreadable {
        Unreadable { path: path.into(), why: why.into(), record: String::new() }
    }
}

/// A list's readable records, the unreadable ones, and whether the service says that there is more.
#[derive(Debug)]
pub struct Listed<T> {
    pub records: Vec<T>,
    pub unreadable: Vec<Unreadable>,
    pub has_next_link: bool,
    pub(crate) next_link: Option<String>,
}

impl<T> Listed<T> {
    /// How many records came, readable or not.
    pub fn returned(&self) -> usize {
        self.records.len() + self.unreadable.len()
    }
}

/// Reads `{"value": […]}` record by record.
pub(crate) fn read_list<T>(
    body: &[u8],
    read: impl Fn(&Value) -> Result<T, Unreadable>,
) -> Result<Listed<T>, Unreadable> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        value: Vec<&'a RawValue>,
        #[serde(rename = "@odata.nextLink", default, borrow)]
        next_link: Option<&'a RawValue>,
    }
    let text = String::from_utf8_lossy(body);
    // What serde says of JSON of another shape may quote it, and something in between may have echoed the token.
    let body: Body<'_> = serde_json::from_str(&text).map_err(|error| match error.is_data() {
        true => Unreadable::new("value", "the body is not an object with one list of that name"),
        false => Unreadable::new("value", one_line(&error.to_string(), 160)),
    })?;
    let next_link = body.next_link.filter(|link| link.get().starts_with('"'));
    let mut listed = Listed {
        records: Vec::with_capacity(body.value.len()),
        unreadable: Vec::new(),
        has_next_link: next_link.is_some(),
        next_link: next_link.and_then(|link| serde_json::from_str(link.get()).ok()),
    };
    for (index, raw) in body.value.iter().enumerate() {
        match parse(raw.get()).and_then(|value| read(&value)) {
            Ok(record) => listed.records.push(record),
            Err(error) => listed.unreadable.push(Unreadable {
                path: format!("value[{index}].{}", error.path),
                why: error.why,
                record: raw.get().chars().take(10_000).collect(),
            }),
        }
    }
    Ok(listed)
}

/// Reads a body that is one record.
pub(crate) fn read_one<T>(
    body: &[u8],
    read: impl Fn(&Value) -> Result<T, Unreadable>,
) -> Result<T, Unreadable> {
    read(&parse(&String::from_utf8_lossy(body))?)
}

/// Reads JSON, also such as stops a strict reader.
pub(crate) fn parse(text: &str) -> Result<Value, Unreadable> {
    serde_json::from_str(text)
        .or_else(|error| serde_json::from_str(&readable(text)).map_err(|_| error))
        .map_err(|error| Unreadable::new("", one_line(&error.to_string(), 160)))
}

/// How deep a record may be nested: a strict reader goes to 127.
const MAX_DEPTH: usize = 100;

/// What is JSON and stops a strict reader all the same, made readable. Half a character becomes `\ufffd`. A number that
/// is too large for any type, and what is nested too deep, become `true`, which no field here takes: where Cordon reads
/// the field it is noted, and where it does not, nothing is lost.
fn readable(text: &str) -> String {
    let mut readable = String::with_capacity(text.len());
    let (mut rest, mut depth) = (text, 0_usize);
    while let Some(first) = rest.chars().next() {
        let is_too_deep = matches!(first, '[' | '{') && depth == MAX_DEPTH;
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => rest.find(|c: char| !is_of_number(c)).unwrap_or(rest.len()),
            _ if is_too_deep => nested_length(rest),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        match first {
            '"' => readable.push_str(&without_lone_surrogates(token)),
            _ if is_too_deep || token.parse().is_ok_and(f64::is_infinite) => readable.push_str("true"),
            _ => readable.push_str(token),
        }
        match first {
            '[' | '{' if !is_too_deep => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        rest = after;
    }
    readable
}

fn is_of_number(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E')
}

/// How long the JSON string is that a text begins with, its quotation marks included.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            _ => is_escaped = c == '\\' && !is_escaped,
        }
    }
    text.len()
}

/// How long the array or object is that a text begins with.
fn nested_length(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or_default();
        at += if first == '"' { string_length(rest) } else { first.len_utf8() };
        match first {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Escapes such as `\ud83d` that are half of a character make a JSON text unreadable to strict readers; a file
/// name on Windows can hold one. Each becomes `\ufffd`.
fn without_lone_surrogates(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        repaired.push_str(before);
        let (kept, length) = match surrogate(escape) {
            Some(0xd800..0xdc00) => match escape.get(6..).and_then(surrogate) {
                Some(0xdc00..0xe000) => (escape.get(..12), 12),
                _ => (None, 6),
            },
            Some(0xdc00..0xe000) => (None, 6),
            _ => {
                // Any other escape: the backslash and the character behind it, whatever that is.
                let length = 1 + escape.chars().nth(1).map_or(0, char::len_utf8);
                (escape.get(..length), length)
            }
        };
        repaired.push_str(kept.unwrap_or("\\ufffd"));
        rest = escape.get(length..).unwrap_or_default();
    }
    repaired.push_str(rest);
    Cow::Owned(repaired)
}

fn surrogate(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// The most that a name or a word may weigh, in bytes of JSON. One that is longer is left out and noted: it would
/// make a message too large for a queue. Prose may be longer; whoever sends it on shortens it.
const MAX_WORD: usize = 2_000;

/// The most that a list of words may weigh.
const MAX_WORDS: usize = 20_000;

/// The most problems that one record reports.
const MAX_PROBLEMS: usize = 20;

/// One JSON object being read, with the list of what was wrong in it.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
    problems: Vec<String>,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value, path: &str) -> Result<Fields<'a>, Unreadable> {
        let map = value.as_object().ok_or_else(|| Unreadable::new(path, "it is not an object"))?;
        Ok(Fields { map, path: path.to_owned(), problems: Vec::new() })
    }

    fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn problem(&mut self, name: &str, why: &str) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(format!("{}: {why}", self.path(name)));
        }
    }

    fn present(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A name or a word.
    fn text(&mut self, name: &str) -> Option<String> {
        let text = self.prose(name)?;
        if weight(&text) > MAX_WORD {
            self.problem(name, &too_long(MAX_WORD));
            return None;
        }
        Some(text)
    }

    /// A text of any length.
    fn prose(&mut self, name: &str) -> Option<String> {
        match self.present(name)? {
            Value::String(text) => Some(text.clone()),
            other => {
                self.problem(name, &expected("a string", other));
                None
            }
        }
    }

    /// A string, or a number as its digits: some ids are printed both ways.
    fn text_or_number(&mut self, name: &str) -> Option<String> {
        match self.present(name)? {
            Value::Number(number) => Some(number.to_string()),
            _ => self.text(name),
        }
    }

    fn integer(&mut self, name: &str) -> Option<i64> {
        let value = self.present(name)?;
        let integer = value.as_i64();
        if integer.is_none() {
            self.problem(name, &expected("an integer", value));
        }
        integer
    }

    /// A time in UTC with any number of fraction digits, with or without the `Z`.
    fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        let time = parse_time(&text);
        if time.is_none() {
            self.problem(name, &format!("`{}` is not a time", one_line(&text, 40)));
        }
        time
    }

    fn texts(&mut self, name: &str) -> Vec<String> {
        let mut texts = Vec::new();
        let mut room = MAX_WORDS;
        for (index, item) in self.items(name).into_iter().enumerate() {
            match item {
                Value::String(text) if weight(text) > MAX_WORD => {
                    self.problem(&format!("{name}[{index}]"), &too_long(MAX_WORD));
                }
                Value::String(text) if weight(text) > room => {
                    self.problem(name, &too_long(MAX_WORDS));
                    break;
                }
                Value::String(text) => {
                    room -= weight(text);
                    texts.push(text.clone());
                }
                Value::Null => {}
                other => self.problem(&format!("{name}[{index}]"), &expected("a string", other)),
            }
        }
        texts
    }

    fn items(&mut self, name: &str) -> Vec<&'a Value> {
        match self.present(name) {
            None => Vec::new(),
            Some(Value::Array(items)) => items.iter().collect(),
            Some(other) => {
                self.problem(name, &expected("an array", other));
                Vec::new()
            }
        }
    }

    fn object(&mut self, name: &str) -> Option<Fields<'a>> {
        let value = self.present(name)?;
        let object = Fields::of(value, &self.path(name)).ok();
        if object.is_none() {
            self.problem(name, &expected("an object", value));
        }
        object
    }

    fn absorb(&mut self, inner: Fields<'_>) {
        let room = MAX_PROBLEMS.saturating_sub(self.problems.len());
        self.problems.extend(inner.problems.into_iter().take(room));
    }

    /// The record's id; without it the record is unreadable.
    fn id<T: std::str::FromStr<Err = model::BadId>>(&mut self, name: &str) -> Result<T, Unreadable> {
        match self.present(name) {
            Some(Value::String(text)) => {
                text.parse().map_err(|error: model::BadId| Unreadable::new(name, error.to_string()))
            }
            Some(other) => Err(Unreadable::new(name, expected("a string", other))),
            None => Err(Unreadable::new(name, "it is missing")),
        }
    }
}

/// How many bytes a text takes in a message, with its quotation marks and a comma.
fn weight(text: &str) -> usize {
    serde_json::to_string(text).map_or(usize::MAX, |json| json.len() + 1)
}

fn too_long(most: usize) -> String {
    format!("it is longer than {most} bytes")
}

fn expected(what: &str, found: &Value) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("{what} was expected, {found} found")
}

pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let as_utc =
        || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    text.parse().ok().or_else(as_utc)
}

pub(crate) fn alert(value: &Value) -> Result<Alert, Unreadable> {
    let mut fields = Fields::of(value, "")?;
    let id = fields.id("id")?;
    let user = fields.object("relatedUser").and_then(|mut user| {
        let name = user.text("userName");
        let domain = user.text("domainName");
        fields.absorb(user);
        name.map(|name| User { name, domain })
    });
    let mut evidence = Vec::new();
    for (index, item) in fields.items("evidence").into_iter().enumerate() {
        let path = format!("evidence[{index}]");
        match Fields::of(item, &path) {
            Ok(mut piece) => {
                evidence.push(read_evidence(&mut piece));
                fields.absorb(piece);
            }
            Err(_) => fields.problem(&path, &expected("an object", item)),
        }
    }
    Ok(Alert {
        id,
        incident_id: fields.text_or_number("incidentId"),
        severity: fields.text("severity").map(Into::into),
        status: fields.text("status").map(Into::into),
        classification: fields.text("classification").map(Into::into),
        determination: fields.text("determination"),
        category: fields.text("category"),
        detection_source: fields.text("detectionSource"),
        detector_id: fields.text("detectorId"),
        title: fields.prose("title").unwrap_or_default(),
        description: fields.prose("description"),
        created: fields.time("alertCreationTime"),
        first_event: fields.time("firstEventTime"),
        last_event: fields.time("lastEventTime"),
        updated: fields.time("lastUpdateTime"),
        device: fields.text("machineId").filter(|id| !id.is_empty()).map(|id| DeviceRef::parse(&id)),
        device_name: fields.text("computerDnsName"),
        device_group: fields.text("rbacGroupName"),
        threat_family: fields.text("threatFamilyName"),
        threat_name: fields.text("threatName"),
        techniques: fields.texts("mitreTechniques"),
        user,
        evidence,
        evidence_truncated: false,
        unreadable: fields.problems,
        hunted: None,
    })
}

/// The texts of an alert's comments. Microsoft's page shows a list of objects, and a single one in an example.
pub(crate) fn comments(value: &Value) -> Result<Vec<String>, Unreadable> {
    let text = |comment: &Value| match comment.get("comment") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(Unreadable::new("comments", expected("a string", other))),
    };
    match value.get("comments") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(comments)) => comments.iter().map(text).collect(),
        Some(one @ Value::Object(_)) => Ok(vec![text(one)?]),
        Some(other) => Err(Unreadable::new("comments", expected("an array", other))),
    }
}

/// Evidence is cut, or left out, by whoever sends it on: what an attacker can write here must not keep the alert
/// from being acted upon.
fn read_evidence(piece: &mut Fields<'_>) -> Evidence {
    Evidence {
        kind: piece.prose("entityType").unwrap_or_default(),
        created: piece.time("evidenceCreationTime"),
        sha1: piece.prose("sha1"),
        sha256: piece.prose("sha256"),
        file_name: piece.prose("fileName"),
        folder: piece.prose("filePath"),
        process_id: piece.integer("processId"),
        command_line: piece.prose("processCommandLine"),
        process_created: piece.time("processCreationTime"),
        parent_process_id: piece.integer("parentProcessId"),
        parent_file_name: piece.prose("parentProcessFileName"),
        ip_address: piece.prose("ipAddress"),
        url: piece.prose("url"),
        registry_key: piece.prose("registryKey"),
        registry_hive: piece.prose("registryHive"),
        registry_value: piece.prose("registryValue"),
        account_name: piece.prose("accountName"),
        account_domain: piece.prose("domainName"),
        user_sid: piece.prose("userSid"),
        user_principal_name: piece.prose("userPrincipalName"),
        detection_status: piece.prose("detectionStatus"),
    }
}

pub(crate) fn device(value: &Value) -> Result<Device, Unreadable> {
    let mut fields = Fields::of(value, "")?;
    Ok(Device {
        id: fields.id("id")?,
        name: fields.text("computerDnsName"),
        os_platform: fields.text("osPlatform"),
        os_version: fields.text("version"),
        tags: fields.present("machineTags").is_some().then(|| fields.texts("machineTags")),
        group: fields.text("rbacGroupName"),
        value: fields.text("deviceValue"),
        health: fields.text("healthStatus"),
        risk: fields.text("riskScore"),
        exposure: fields.text("exposureLevel"),
        onboarding: fields.text("onboardingStatus").map(Into::into),
        merged_into: fields.text("mergedIntoMachineId").filter(|id| !id.is_empty()),
        first_seen: fields.time("firstSeen"),
        last_seen: fields.time("lastSeen"),
        last_ip: fields.text("lastIpAddress"),
        unreadable: fields.problems,
    })
}

/// A machine action whose type or status cannot be read is unreadable: it might be an isolation.
pub(crate) fn action(value: &Value) -> Result<MachineAction, Unreadable> {
    let mut fields = Fields::of(value, "")?;
    let id = fields.id("id")?;
    let missing = |name: &str| Unreadable::new(name, "it is missing or not a string");
    Ok(MachineAction {
        id,
        kind: fields.text("type").ok_or_else(|| missing("type"))?.into(),
        status: fields.text("status").ok_or_else(|| missing("status"))?.into(),
        scope: fields.text("scope"),
        requestor: fields.text("requestor"),
        comment: fields.prose("requestorComment"),
        device: fields.text("machineId").and_then(|id| id.parse().ok()),
        created: fields.time("creationDateTimeUtc"),
        // Microsoft's pages print both names; the service is reported to send the first.
        updated: fields.time("lastUpdateDateTimeUtc").or_else(|| fields.time("lastUpdateTimeUtc")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn ticks_and_any_number_of_fraction_digits_are_kept() {
        for (text, nanos) in [
            ("2021-01-26T20:33:57.7220239Z", 722_023_900),
            ("2021-01-26T20:33:59.2Z", 200_000_000),
            ("2021-01-26T20:33:59Z", 0),
            ("2021-01-26T20:33:59.5", 500_000_000),
        ] {
            assert_eq!(parse_time(text).unwrap().subsec_nanosecond(), nanos, "{text}");
        }
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_by_its_path_and_the_rest_is_read() {
        let value = json!({"id": "a", "severity": 5, "title": "T", "mitreTechniques": ["T1", 2],
            "evidence": [{"entityType": "File", "processId": "x"}, "nonsense"], "relatedUser": "bob"});
        let alert = alert(&value).unwrap();
        assert_eq!(alert.title, "T");
        assert_eq!(alert.techniques, ["T1"]);
        let problems = alert.unreadable.join("\n");
        for path in ["severity", "mitreTechniques[1]", "evidence[0].processId", "evidence[1]", "relatedUser"]
        {
            assert!(problems.contains(&format!("{path}: ")), "{path} in {problems}");
        }
    }

    #[test]
    fn one_unreadable_record_leaves_its_neighbours_alone() {
        let body = json!({"value": [{"id": "a"}, {"id": 7}, 3, {"id": "b"}]}).to_string();
        let listed = read_list(body.as_bytes(), alert).unwrap();
        assert_eq!(listed.records.len(), 2);
        assert_eq!(listed.unreadable.len(), 2);
        assert!(listed.unreadable[0].path.starts_with("value[1].id"), "{:?}", listed.unreadable);
    }

    #[test]
    fn a_body_that_is_no_list_is_not_quoted() {
        for body in [r#""Bearer hunter2""#, r#"{"value":"hunter2"}"#, r#"{"value":[],"value":[]}"#, "7", "{}"]
        {
            let error = read_list(body.as_bytes(), alert).unwrap_err().to_string();
            assert!(error.contains("not an object with one list") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn half_a_character_in_a_title_is_replaced() {
        let body = r#"{"value":[{"id":"a","title":"x\ud83dy \\ud83d \ud83d\ude00 \udc00"}]}"#;
        let listed = read_list(body.as_bytes(), alert).unwrap();
        assert_eq!(listed.records[0].title, "x\u{fffd}y \\ud83d 😀 \u{fffd}");
    }

    #[test]
    fn a_number_that_no_type_holds_is_its_fields_fault_alone() {
        let body =
            r#"{"value":[{"id":"a","title":"T","evidence":[{"processId":-1e999}],"unknown":[9e999]}]}"#;
        let listed = read_list(body.as_bytes(), alert).unwrap();
        assert_eq!(listed.records[0].title, "T");
        assert_eq!(listed.records[0].unreadable.len(), 1, "{:?}", listed.records);
        assert!(listed.records[0].unreadable[0].starts_with("evidence[0].processId"));
    }

    #[test]
    fn what_is_nested_too_deep_is_its_fields_fault_alone() {
        let deep = format!(r#"{}"]\"]"{}"#, "[".repeat(5_000), "]".repeat(5_000));
        let body =
            format!(r#"{{"id":"a","title":"T","unknown":{deep},"relatedUser":{deep},"severity":"High"}}"#);
        let alert = read_one(body.as_bytes(), alert).unwrap();
        assert_eq!((alert.title.as_str(), alert.severity), ("T", Some(model::Severity::High)));
        assert_eq!(alert.unreadable.len(), 1, "{:?}", alert.unreadable);
        let list = format!(r#"{{"value":[],"@odata.nextLink":{deep}}}"#);
        assert!(!read_list(list.as_bytes(), device).unwrap().has_next_link);
    }

    #[test]
    fn a_null_severity_is_an_absence_and_an_unknown_word_is_kept() {
        let read = |severity: Value| alert(&json!({"id": "a", "severity": severity})).unwrap();
        assert_eq!(read(Value::Null).severity, None);
        assert!(read(Value::Null).unreadable.is_empty());
        assert_eq!(read("Critical".into()).severity.unwrap().as_str(), "Critical");
    }

    /// Any JSON, with the names of an alert among its keys.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
            Just(json!("2021-01-26T20:33:57.7220239Z")),
        ];
        leaf.prop_recursive(3, 40, 6, |inner| {
            let name = prop_oneof![
                Just("id".to_owned()),
                Just("severity".to_owned()),
                Just("evidence".to_owned()),
                Just("machineId".to_owned()),
                Just("type".to_owned()),
                Just("status".to_owned()),
                Just("mitreTechniques".to_owned()),
                Just("relatedUser".to_owned()),
                ".{0,6}",
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_makes_the_readers_panic(value in any_json()) {
            let _ = alert(&value);
            let _ = device(&value);
            let _ = action(&value);
        }

        #[test]
        fn no_body_makes_the_list_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_list(&body, alert);
        }

        #[test]
        fn every_record_of_a_list_is_either_read_or_set_aside(values in prop::collection::vec(any_json(), 0..8)) {
            let body = json!({"value": values}).to_string();
            prop_assert_eq!(read_list(body.as_bytes(), alert).unwrap().returned(), values.len());
        }

        #[test]
        fn repairing_surrogates_leaves_good_json_alone(text in ".{0,40}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(without_lone_surrogates(&json).into_owned(), json);
        }

        #[test]
        fn what_can_be_read_strictly_is_left_as_it_is(value in any_json()) {
            let json = value.to_string();
            prop_assert_eq!(readable(&json), json);
        }

        #[test]
        fn unknown_members_change_nothing(name in "[a-z]{1,8}X", value in any_json()) {
            let plain = json!({"id": "a", "title": "t", "severity": "High"});
            let mut more = plain.clone();
            more[&name] = value;
            prop_assert_eq!(alert(&more).unwrap(), alert(&plain).unwrap());
        }
    }
}
