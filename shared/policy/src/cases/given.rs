//! What is given in a case: an alert and a device, written over a default, and what else a decision depends on.
//!
//! The default is what most cases are about, so that a case says only what is so in it alone.

use super::{
    Given,
    fields::{ALERT, DEVICE, timestamp, written},
    read::{MODES, Records, one_of},
};
use crate::{
    AssetList, Surroundings,
    problems::read_file,
    section::{Reader, Section, Word},
};
use jiff::{SignedDuration, Timestamp};
use model::{Alert, DeviceFact, DeviceRef, Hunted, Mode};
use serde_json::json;

/// More isolations than any limit lets through in a day.
const MOST_ISOLATIONS: u32 = 100_000;

/// When a case happens that does not say when. A Friday.
const AT: &str = "2026-11-20T10:00:00Z";

/// None where something is wrong with it, which is then a problem of the reader's.
pub(super) fn given(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    lists: &Option<Vec<AssetList>>,
    records: &Records<'_>,
) -> Option<Given> {
    let at = match section.get("at") {
        Some((value, place)) => {
            let at = timestamp(value);
            if at.is_none() {
                let hint = "such as 2026-11-20T22:30:00Z, without quotes";
                reader.hinted(place, "`at` must be a time with its offset", hint);
            }
            at
        }
        None => AT.parse().ok(),
    };
    let now = at.unwrap_or(Timestamp::UNIX_EPOCH);
    let alert = alert(reader, section, now, records);
    let device = device(reader, section, now, records);
    let first_seen = one_of(reader, section, "seen", &MODES).unwrap_or(Mode::Enforce);
    let modes = [("observe", Some(Mode::Observe)), ("enforce", Some(Mode::Enforce)), ("unset", None)];
    let environment_mode = one_of(reader, section, "mode", &modes).unwrap_or(Some(Mode::Enforce));
    let surroundings = Surroundings {
        alert_read: at,
        device_read: at,
        isolations_last_hour: number(reader, section, "isolations_last_hour"),
        isolations_last_day: number(reader, section, "isolations_last_day"),
        open_isolation: known(section, "open_isolation")
            .then(|| section.flag(reader, "open_isolation", false)),
    };
    let (alert, device) = of_one(section, alert?, device?);
    let lists = lists.clone();
    Some(Given { alert, device, first_seen, environment_mode, surroundings, at: at?, lists })
}

/// Whether a key is not taken away by an empty text.
fn known(section: Section<'_>, key: &str) -> bool {
    section.get(key).is_none_or(|(value, _)| value.as_str() != Some(""))
}

fn number(reader: &mut Reader<'_>, section: Section<'_>, key: &str) -> Option<u32> {
    known(section, key).then(|| section.number(reader, key, 0, MOST_ISOLATIONS))
}

/// Whether a section of a case says something.
fn has(section: Section<'_>, key: &str, field: &str) -> bool {
    let table = section.get(key).and_then(|(value, _)| value.as_table());
    table.is_some_and(|table| Section { table, at: 0 }.get(field).is_some())
}

/// Alert and device, made to speak of one device: where only one of the two says which, the other means the same. An
/// alert that names no usable device is about an unknown one, where nothing is said of it.
fn of_one(section: Section<'_>, mut alert: Alert, mut device: DeviceFact) -> (Alert, DeviceFact) {
    let alert_says = section.get("alert_file").is_some() || has(section, "alert", "device");
    let device_says = section.get("device_file").is_some() || has(section, "device", "id");
    let is_written = section.get("device").is_some() || device_says;
    if let DeviceFact::Known(known) = &mut device {
        match &alert.device {
            _ if !alert_says => alert.device = Some(DeviceRef::Id(known.id.clone())),
            Some(DeviceRef::Id(id)) if !device_says => known.id = id.clone(),
            Some(DeviceRef::Unusable(_)) | None if !is_written => {
                device = DeviceFact::Unknown { why: "the alert names no machine id".to_owned() };
            }
            Some(_) | None => {}
        }
    }
    (alert, device)
}

/// The device of a case that does not say which.
const MACHINE: &str = "1e5bc9d7e413ddd7902c2932e418702b84d0cc07";

fn alert(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    now: Timestamp,
    records: &Records<'_>,
) -> Option<Alert> {
    let ago = |seconds| now - SignedDuration::from_secs(seconds);
    let base = match record(reader, section, "alert_file", records, records.decoders.alert) {
        Some(alert) => serde_json::to_value(alert?).ok()?,
        None => json!({
            "id": "da637472900382838869_1364969609", "incident_id": "924565", "severity": "High",
            "status": "New", "title": "Ransomware behaviour", "category": "Ransomware",
            "detection_source": "WindowsDefenderAtp", "detector_id": "2c3b1a4e-0f36-4b8e-9a6d-7b0f5e1d2c3b",
            "created": ago(60), "first_event": ago(120), "last_event": ago(60), "updated": ago(60),
            "device": {"id": MACHINE}, "device_name": "pc1.contoso.com", "device_group": "Clients",
            "techniques": ["T1486"], "user": {"name": "ada", "domain": "contoso"}, "evidence": [],
        }),
    };
    let mut alert: Alert = written(reader, section, "alert", &base, &ALERT, now)?;
    // What a hunt has found comes from no other source.
    if let Some(hunted) = &alert.hunted {
        if !has(section, "alert", "detection_source") {
            alert.detection_source = Some(Hunted::SOURCE.to_owned());
        }
        if !has(section, "alert", "detector_id") {
            alert.detector_id = Some(hunted.hunt.clone());
        }
    }
    Some(alert)
}

fn device(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    now: Timestamp,
    records: &Records<'_>,
) -> Option<DeviceFact> {
    let ago = |hours| now - SignedDuration::from_hours(hours);
    if let Some((value, at)) = section.get("device")
        && let Some(word) = value.as_str()
    {
        if word == "unknown" {
            return Some(DeviceFact::Unknown { why: "the service does not know it".to_owned() });
        }
        let hint = "write device = { os_platform = \"Linux\" }, or device = \"unknown\"";
        let word = model::one_line(word, 60);
        reader.hinted(at, format!("`device` cannot be `{word}`"), hint);
        return None;
    }
    let base = match record(reader, section, "device_file", records, records.decoders.device) {
        Some(device) => serde_json::to_value(device?).ok()?,
        None => json!({
            "id": MACHINE, "name": "pc1.contoso.com", "os_platform": "Windows11", "os_version": "24H2",
            "tags": [], "group": "Clients", "value": "Normal", "health": "Active", "risk": "High",
            "exposure": "Low", "onboarding": "Onboarded", "first_seen": ago(30 * 24), "last_seen": ago(7),
            "last_ip": "10.0.0.4",
        }),
    };
    written(reader, section, "device", &base, &DEVICE, now).map(DeviceFact::Known)
}

/// What stands in a file of its own. None where none is named; the inner none where it cannot be read.
fn record<T>(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    records: &Records<'_>,
    decode: fn(&str) -> Result<T, String>,
) -> Option<Option<T>> {
    section.get(key)?;
    let Word { text: file, at } = section.text(reader, key)?;
    let read = read_file(records.beside, file).and_then(|text| {
        decode(&text).map_err(|why| format!("`{}` cannot be read: {why}", model::one_line(file, 80)))
    });
    if let Err(problem) = &read {
        reader.hinted(at, problem, "a record as Defender's API gives it, its path counted from this file");
    }
    Some(read.ok())
}
