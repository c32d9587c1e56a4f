//! Create alert by reference: an alert of the service's own, made of an event that hunting has shown.
//!
//! Follows Microsoft's page "Create alert API". The automated investigation that such an alert starts is not simulated.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::entities::Alert;
use crate::http::{Done, Refusal, Request, entity, is_json};
use crate::hunting;
use crate::times::to_ticks;
use crate::world::World;

/// What a body must hold, all of it text.
const REQUIRED: [&str; 8] = [
    "eventTime",
    "reportId",
    "machineId",
    "severity",
    "title",
    "description",
    "recommendedAction",
    "category",
];

const CATEGORIES: [&str; 16] = [
    "General",
    "CommandAndControl",
    "Collection",
    "CredentialAccess",
    "DefenseEvasion",
    "Discovery",
    "Exfiltration",
    "Exploit",
    "Execution",
    "InitialAccess",
    "LateralMovement",
    "Malware",
    "Persistence",
    "PrivilegeEscalation",
    "Ransomware",
    "SuspiciousActivity",
];

/// `POST alerts/CreateAlertByReference`. An open alert on the same device with the same title absorbs it, and is what is
/// answered then.
pub(crate) fn alert(world: &mut World, request: &Request) -> Result<Done, Refusal> {
    let body = body(request)?;
    let said = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let (severity, category) = (said("severity"), said("category"));
    if !["Low", "Medium", "High"].contains(&severity) {
        return Err(Refusal::malformed("InvalidInput", format!("Invalid severity: {severity}")));
    }
    if !CATEGORIES.contains(&category) {
        return Err(Refusal::malformed("InvalidInput", format!("Invalid category: {category}")));
    }
    let (report_id, machine_id, event_time) = (said("reportId"), said("machineId"), said("eventTime"));
    let Ok(event_at) = event_time.parse::<Timestamp>() else {
        return Err(Refusal::malformed("InvalidInput", format!("Invalid eventTime: {event_time}")));
    };
    let machine = world.find_machine(machine_id).cloned();
    let (Some(machine), true) = (machine, hunting::has_event(world, report_id, machine_id, event_time))
    else {
        return Err(Refusal::not_found("Event", report_id));
    };
    let now = to_ticks(world.now);
    let title = said("title");
    let absorbs = |alert: &&mut Alert| {
        alert.machine_id.as_deref() == Some(machine_id) && alert.title == title && alert.status != "Resolved"
    };
    if let Some(open) = world.alerts.iter_mut().find(absorbs) {
        open.last_event_time = open.last_event_time.max(Some(event_at));
        open.last_update_time = Some(now);
        let open = open.clone();
        return Ok(Done::ok(entity(world, "Alerts", &open)));
    }
    let incident = world.alerts.iter().filter_map(|alert| alert.incident_id).max().unwrap_or(0) + 1;
    let made = Alert {
        incident_id: Some(incident),
        description: said("description").to_owned(),
        detection_source: Some("CustomerTI".to_owned()),
        detector_id: None,
        first_event_time: Some(event_at),
        last_event_time: Some(event_at),
        ..Alert::new(new_id(world), "", now)
    }
    .on(&machine)
    .title(title)
    .severity(severity)
    .category(category);
    let done = Done::ok(entity(world, "Alerts", &made));
    world.alerts.push(made);
    Ok(done)
}

fn body(request: &Request) -> Result<Map<String, Value>, Refusal> {
    let wrong = || Refusal::malformed("InvalidRequestBody", "Request body is incorrect");
    if !is_json(request) {
        return Err(wrong().broken_rule("an alert to create without `Content-Type: application/json`"));
    }
    let Ok(Value::Object(body)) = serde_json::from_str::<Value>(&request.body) else { return Err(wrong()) };
    if let Some(name) = body.keys().find(|name| !REQUIRED.contains(&name.as_str())) {
        let broken = format!("`{name}` is no member of an alert to create (case counts)");
        return Err(wrong().broken_rule(broken));
    }
    for name in REQUIRED {
        match body.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => {}
            None | Some(Value::Null | Value::String(_)) => {
                let message = format!("Required parameter is missing: {name}");
                return Err(Refusal::malformed("MissingRequiredParameter", message));
            }
            Some(_) => return Err(wrong()),
        }
    }
    Ok(body)
}

/// An id in the service's shape: `da`, 18 digits, a number.
fn new_id(world: &mut World) -> String {
    // The digits look like .NET's ticks, which count from the year 1.
    let ticks = world.now.as_nanosecond() / 100 + 621_355_968_000_000_000;
    format!("da{ticks:018}_{}", world.rng.i32(..))
}
