//! The service's records, one by one and in lists: alerts, machines, machine actions.

use super::{SECRET, Target, assert_sayable, assert_survives, is_json};
use crate::seeds;
use defender::{Listed, Unreadable, bodies};
use model::{Alert, AlertId, Device, DeviceId, EvidenceIdentity, MachineAction, Revision};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use std::{collections::BTreeMap, fmt::Debug};

pub(super) const TARGETS: [Target; 8] = [
    Target { name: "alert", check: alert, seeds: seeds::alerts, words: &ALERT_WORDS, cost: 4 },
    Target { name: "alert-list", check: alert_list, seeds: seeds::alert_lists, words: &ALERT_WORDS, cost: 8 },
    Target {
        name: "graph-alert",
        check: graph_alert,
        seeds: seeds::graph_alerts,
        words: &GRAPH_WORDS,
        cost: 4,
    },
    Target {
        name: "graph-alert-list",
        check: graph_alert_list,
        seeds: seeds::graph_alert_lists,
        words: &GRAPH_WORDS,
        cost: 8,
    },
    Target { name: "machine", check: machine, seeds: seeds::machines, words: &MACHINE_WORDS, cost: 1 },
    Target {
        name: "machine-list",
        check: machine_list,
        seeds: seeds::machine_lists,
        words: &MACHINE_WORDS,
        cost: 2,
    },
    Target { name: "action", check: action, seeds: seeds::actions, words: &ACTION_WORDS, cost: 1 },
    Target {
        name: "action-list",
        check: action_list,
        seeds: seeds::action_lists,
        words: &ACTION_WORDS,
        cost: 2,
    },
];

const ALERT_WORDS: [&str; 12] = [
    "id",
    "severity",
    "machineId",
    "evidence",
    "relatedUser",
    "mitreTechniques",
    "lastUpdateTime",
    "High",
    "processId",
    "comments",
    "incidentId",
    SECRET,
];
const GRAPH_WORDS: [&str; 14] = [
    "id",
    "severity",
    "classification",
    "unknownFutureValue",
    "@odata.type",
    "#microsoft.graph.security.deviceEvidence",
    "mdeDeviceId",
    "Main device",
    "userAccount",
    "imageFile",
    "lastUpdateDateTime",
    "alerts",
    "serviceSource",
    SECRET,
];
const MACHINE_WORDS: [&str; 7] =
    ["id", "osPlatform", "Windows11", "machineTags", "mergedIntoMachineId", "lastSeen", "onboardingStatus"];
const ACTION_WORDS: [&str; 8] = [
    "id",
    "type",
    "Isolate",
    "status",
    "Succeeded",
    "machineId",
    "lastUpdateDateTimeUtc",
    "lastUpdateTimeUtc",
];

/// A device id that no generated record has.
const DEVICE: &str = "00000000000000000000000000000000000000aa";

fn alert(input: &[u8]) {
    let read = one(input, bodies::alert);
    among_neighbours(input, &read, &alert_between(), bodies::alert, bodies::alerts);
    if let Ok(alert) = &read {
        assert_alert(alert);
    } else {
        assert_lost_only_without::<AlertId>(input);
    }
    if let Err(error) = bodies::comments(input) {
        assert_sayable(&error.to_string(), 300);
    }
}

fn alert_list(input: &[u8]) {
    list(input, bodies::alerts).iter().for_each(assert_alert);
}

fn graph_alert(input: &[u8]) {
    let read = one(input, bodies::graph_alert);
    let evidence = format!(
        r##"[{{"@odata.type":"#microsoft.graph.security.deviceEvidence","mdeDeviceId":"{DEVICE}"}}]"##
    );
    let neighbour =
        format!(r#"{{"id":"neighbour","title":"A title","severity":"high","evidence":{evidence}}}"#);
    among_neighbours(input, &read, &neighbour, bodies::graph_alert, bodies::graph_alerts);
    if let Ok(alert) = &read {
        assert_alert(alert);
    } else {
        assert_lost_only_without::<AlertId>(input);
    }
}

/// As a list, and as what came with an incident: there all are read, or none.
fn graph_alert_list(input: &[u8]) {
    list(input, bodies::graph_alerts).iter().for_each(assert_alert);
    let text = String::from_utf8_lossy(input);
    let value: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap_or_default();
    let Some(alerts) = value.get("value") else { return };
    match bodies::graph_incident(format!(r#"{{"alerts":{}}}"#, alerts.get()).as_bytes()) {
        Ok(alerts) => alerts.iter().for_each(assert_alert),
        Err(error) => assert_sayable(&error.to_string(), 300),
    }
}

fn machine(input: &[u8]) {
    let read = one(input, bodies::machine);
    let neighbour = format!(r#"{{"id":"{DEVICE}","osPlatform":"Windows11"}}"#);
    among_neighbours(input, &read, &neighbour, bodies::machine, bodies::machines);
    if let Ok(device) = &read {
        assert_machine(device);
    } else {
        assert_lost_only_without::<DeviceId>(input);
    }
}

fn machine_list(input: &[u8]) {
    list(input, bodies::machines).iter().for_each(assert_machine);
}

fn action(input: &[u8]) {
    let read = one(input, bodies::action);
    let neighbour =
        format!(r#"{{"id":"neighbour","type":"Isolate","status":"Pending","machineId":"{DEVICE}"}}"#);
    among_neighbours(input, &read, &neighbour, bodies::action, bodies::actions);
    if let Ok(action) = &read {
        assert_action(action);
    }
}

fn action_list(input: &[u8]) {
    list(input, bodies::actions).iter().for_each(assert_action);
}

fn alert_between() -> String {
    format!(r#"{{"id":"neighbour","title":"A title","severity":"High","machineId":"{DEVICE}"}}"#)
}

fn one<T>(input: &[u8], read: fn(&[u8]) -> Result<T, Unreadable>) -> Result<T, Unreadable> {
    let read = read(input);
    if let Err(error) = &read {
        assert_sayable(&error.to_string(), 300);
    }
    read
}

/// A record that is JSON at all, whatever it says, is read in a list as it is alone, and leaves its neighbours as they
/// are alone.
fn among_neighbours<T: PartialEq + Debug>(
    input: &[u8],
    alone: &Result<T, Unreadable>,
    neighbour: &str,
    one: fn(&[u8]) -> Result<T, Unreadable>,
    many: fn(&[u8]) -> Result<Listed<T>, Unreadable>,
) {
    let text = String::from_utf8_lossy(input);
    if !is_json(&text) {
        return;
    }
    let body = format!(r#"{{"value":[{neighbour},{text},{neighbour}]}}"#);
    let mut listed = many(body.as_bytes()).unwrap_or_else(|error| panic!("the whole list is lost: {error}"));
    assert_eq!(listed.returned(), 3);
    let neighbour = one(neighbour.as_bytes()).unwrap();
    assert_eq!(listed.records.pop().as_ref(), Some(&neighbour));
    match (alone, listed.records.as_slice(), listed.unreadable.as_slice()) {
        (Ok(alone), [first, record], []) => assert_eq!((first, record), (&neighbour, alone)),
        (Err(_), [first], [unreadable]) => {
            assert_eq!(*first, neighbour);
            assert!(unreadable.path.starts_with("value[1]"), "{unreadable:?}");
            assert_unreadable(unreadable);
        }
        (alone, ..) => panic!("alone {alone:?}, among others {listed:?}"),
    }
}

fn assert_unreadable(unreadable: &Unreadable) {
    assert_sayable(&unreadable.to_string(), 300);
    assert!(unreadable.record.chars().count() <= 10_000);
}

/// Only a record without a usable id is unreadable: every other fault is one field's.
fn assert_lost_only_without<Id: std::str::FromStr>(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap_or_default();
    let id = fields.get("id").and_then(|id| serde_json::from_str::<String>(id.get()).ok());
    let is_usable = id.is_some_and(|id| id.parse::<Id>().is_ok());
    assert!(!is_usable, "a record with an id is lost");
}

/// As many records are read or set aside as there are; whatever is read survives the way through a queue.
fn list<T>(input: &[u8], read: fn(&[u8]) -> Result<Listed<T>, Unreadable>) -> Vec<T>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let listed = match read(input) {
        Ok(listed) => listed,
        Err(error) => {
            assert_sayable(&error.to_string(), 300);
            return Vec::new();
        }
    };
    if let Ok(Value::Object(body)) = serde_json::from_slice(input) {
        let value = body.get("value").and_then(Value::as_array).unwrap();
        assert_eq!(listed.returned(), value.len());
    }
    listed.unreadable.iter().for_each(assert_unreadable);
    listed.records
}

fn assert_alert(alert: &Alert) {
    let again = assert_survives(alert);
    let evidence = EvidenceIdentity::all(alert);
    let revision = Revision::of(alert, &evidence);
    assert_eq!(Revision::of(&again, &EvidenceIdentity::all(&again)), revision);
    let mut turned = again;
    turned.evidence.reverse();
    assert_eq!(Revision::of(&turned, &EvidenceIdentity::all(&turned)), revision);
    assert_problems(&alert.unreadable);
    // With all of the evidence's identities, and with what enrich and respond add, it must fit into a message.
    let mut short = turned;
    short.shorten_to(60_000);
    let weight = serde_json::to_string(&short).unwrap().len();
    assert!(weight <= 60_000 || short.evidence.is_empty() && weight <= 120_000, "{weight} bytes");
    assert_eq!(short.evidence_truncated, short.evidence.len() < alert.evidence.len());
}

fn assert_machine(device: &Device) {
    assert_survives(device);
    assert_problems(&device.unreadable);
    let class = device.class();
    assert!(class.is_none() || device.os_platform.is_some());
    let weight = serde_json::to_string(device).unwrap().len();
    assert!(weight <= 50_000, "{weight} bytes are more than a message has room for");
}

fn assert_action(action: &MachineAction) {
    assert_survives(action);
    assert!(action.id.as_str().len() <= 100);
}

fn assert_problems(problems: &[String]) {
    assert!(problems.len() <= 20, "{problems:?}");
    problems.iter().for_each(|problem| assert_sayable(problem, 200));
}
