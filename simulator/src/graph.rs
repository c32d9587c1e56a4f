//! The same alerts as Microsoft Graph shows them: `alerts_v2`, their comments, and incidents.
//!
//! Only another view of the world: nothing is kept here, and nothing of Defender's own API is answered here. Names and
//! shapes are those of Graph's pages "List `alerts_v2`", "alert resource type", "Create comment for alert" and "Get
//! incident"; what they leave open stands in the README.

use serde_json::{Map, Value, json};

use crate::entities::{Alert, Evidence, Machine};
use crate::http::{Done, Entity, Item, Refusal, Request, add_comment, is_json, list, visible_alerts};
use crate::odata::{self, Field, Property};
use crate::times::to_ticks;
use crate::world::World;

/// What stands in `serviceSource` of every alert of ours.
const SERVICE: &str = "microsoftDefenderForEndpoint";

const SEVERITIES: &[&str] = &["unknown", "informational", "low", "medium", "high"];
const STATUSES: &[&str] = &["unknown", "new", "inProgress", "resolved"];
const CLASSIFICATIONS: &[&str] =
    &["unknown", "falsePositive", "truePositive", "informationalExpectedActivity"];
/// Graph's page has two tables of these, with different words: both are known here.
const DETERMINATIONS: &[&str] = &[
    "unknown",
    "apt",
    "malware",
    "securityPersonnel",
    "securityTesting",
    "unwantedSoftware",
    "other",
    "multiStagedAttack",
    "compromisedUser",
    "compromisedAccount",
    "phishing",
    "maliciousUserActivity",
    "clean",
    "notMalicious",
    "insufficientData",
    "notEnoughDataToValidate",
    "confirmedUserActivity",
    "confirmedActivity",
    "lineOfBusinessApplication",
];
/// Those that need no `Prefer` header.
const DETECTION_SOURCES: &[&str] = &[
    "unknown",
    "microsoftDefenderForEndpoint",
    "antivirus",
    "smartScreen",
    "customTi",
    "microsoftDefenderForOffice365",
    "automatedInvestigation",
    "microsoftThreatExperts",
    "customDetection",
    "microsoftDefenderForIdentity",
    "cloudAppSecurity",
    "microsoft365Defender",
    "azureAdIdentityProtection",
    "manual",
    "microsoftDataLossPrevention",
    "appGovernancePolicy",
    "appGovernanceDetection",
];

/// An alert on its way out through Graph.
struct GraphAlert<'a> {
    alert: &'a Alert,
    world: &'a World,
    /// Whether the client asked for words that came after the first version.
    every_word: bool,
}

impl GraphAlert<'_> {
    fn severity(&self) -> String {
        match self.alert.severity.as_str() {
            "UnSpecified" => "unknown".to_owned(),
            severity => self.word(SEVERITIES, Some(severity)),
        }
    }

    fn detection_source(&self) -> String {
        match self.alert.detection_source.as_deref() {
            Some("WindowsDefenderAtp") => SERVICE.to_owned(),
            Some("WindowsDefenderAv") => "antivirus".to_owned(),
            Some("CustomerTI") => "customTi".to_owned(),
            source => self.word(DETECTION_SOURCES, source),
        }
    }

    /// The word in Graph's spelling. One that Graph's first version does not know is shown only to who asked for such.
    fn word(&self, known: &[&str], word: Option<&str>) -> String {
        let word = camel(word.unwrap_or("unknown"));
        if self.every_word || known.contains(&word.as_str()) { word } else { "unknownFutureValue".to_owned() }
    }

    fn value(&self) -> Value {
        let alert = self.alert;
        let tenant = alert.aad_tenant_id.as_deref().unwrap_or(&self.world.tenant);
        let incident = alert.incident_id.map(|id| id.to_string());
        let web = |what: &str, id: &str| format!("https://security.microsoft.com/{what}/{id}?tid={tenant}");
        json!({
            "@odata.type": "#microsoft.graph.security.alert",
            "id": alert.id,
            "providerAlertId": alert.id,
            "incidentId": incident,
            "status": self.word(STATUSES, Some(&alert.status)),
            "severity": self.severity(),
            "classification": self.word(CLASSIFICATIONS, alert.classification.as_deref()),
            "determination": self.word(DETERMINATIONS, alert.determination.as_deref()),
            "serviceSource": SERVICE,
            "detectionSource": self.detection_source(),
            "detectorId": alert.detector_id,
            "tenantId": tenant,
            "title": alert.title,
            "description": alert.description,
            "recommendedActions": "",
            "category": alert.category,
            "assignedTo": alert.assigned_to,
            "alertWebUrl": web("alerts", &alert.id),
            "incidentWebUrl": incident.as_deref().map(|id| web("incidents", id)),
            "actorDisplayName": null,
            "threatDisplayName": alert.threat_name,
            "threatFamilyName": alert.threat_family_name,
            "mitreTechniques": alert.mitre_techniques,
            "createdDateTime": time(alert.alert_creation_time),
            "lastUpdateDateTime": time(alert.last_update_time),
            "resolvedDateTime": time(alert.resolved_time),
            "firstActivityDateTime": time(alert.first_event_time),
            "lastActivityDateTime": time(alert.last_event_time),
            "comments": comments(alert),
            "evidence": self.evidence(),
            "systemTags": [],
        })
    }

    /// The device, then what the alert has, then the user that Defender's alert names beside its evidence.
    fn evidence(&self) -> Vec<Value> {
        let alert = self.alert;
        let device = alert.machine_id.as_deref().map(|id| self.device(id));
        let there = alert.evidence.iter().map(|evidence| piece(evidence, alert.machine_id.as_deref()));
        let user = alert.related_user.as_ref().filter(|user| {
            !alert.evidence.iter().any(|evidence| evidence.account_name.as_deref() == Some(&user.user_name))
        });
        let user = user.map(|user| {
            let person = Evidence {
                evidence_creation_time: alert.alert_creation_time,
                account_name: Some(user.user_name.clone()),
                domain_name: Some(user.domain_name.clone()),
                entity_type: "User".to_owned(),
                ..Evidence::default()
            };
            piece(&person, None)
        });
        device.into_iter().chain(there).chain(user).collect()
    }

    fn device(&self, id: &str) -> Value {
        let machine = self.world.find_machine(id);
        let of = |get: fn(&Machine) -> Value| machine.map_or(Value::Null, get);
        let own = json!({
            "firstSeenDateTime": of(|machine| json!(time(machine.first_seen))),
            "mdeDeviceId": id,
            "azureAdDeviceId": of(|machine| json!(machine.aad_device_id)),
            "deviceDnsName": self.alert.computer_dns_name,
            "osPlatform": of(|machine| json!(machine.os_platform)),
            "osBuild": of(|machine| json!(machine.os_build)),
            "version": of(|machine| json!(machine.version)),
            "healthStatus": of(|machine| json!(camel(&machine.health_status))),
            "riskScore": of(|machine| json!(machine.risk_score.as_deref().map(camel))),
            "rbacGroupId": of(|machine| json!(machine.rbac_group_id)),
            "rbacGroupName": self.alert.rbac_group_name,
            "onboardingStatus": of(|machine| json!(camel(&machine.onboarding_status))),
            "defenderAvStatus": "unknown",
            "ipInterfaces": machine.map_or(json!([]), |machine| {
                machine.ip_addresses.iter().map(|address| address.ip_address.as_str()).collect()
            }),
            "loggedOnUsers": [],
            "roles": ["compromised"],
            "detailedRoles": ["Main device"],
            "tags": machine.map_or(json!([]), |machine| json!(machine.machine_tags)),
            "vmMetadata": null,
        });
        typed("device", time(self.alert.alert_creation_time).as_deref(), &own)
    }
}

impl Entity for GraphAlert<'_> {
    fn field(&self, property: &Property) -> Field<'_> {
        let word = |word: String| Field::Text(word.into());
        match property.name {
            "assignedTo" => Field::maybe_text(self.alert.assigned_to.as_ref()),
            "classification" => word(self.word(CLASSIFICATIONS, self.alert.classification.as_deref())),
            "determination" => word(self.word(DETERMINATIONS, self.alert.determination.as_deref())),
            "createdDateTime" => Field::maybe_time(self.alert.alert_creation_time),
            "lastUpdateDateTime" => Field::maybe_time(self.alert.last_update_time),
            "severity" => word(self.severity()),
            "serviceSource" => Field::text(SERVICE),
            "status" => word(self.word(STATUSES, Some(&self.alert.status))),
            _ => Field::Null,
        }
    }

    fn id(&self) -> &str {
        &self.alert.id
    }

    fn write(&self, out: &mut Vec<u8>, _: bool) -> serde_json::Result<()> {
        serde_json::to_writer(out, &self.value())
    }
}

/// The word with a small first letter, as Graph spells its enumerations.
fn camel(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn time(time: Option<jiff::Timestamp>) -> Option<String> {
    time.map(|time| to_ticks(time).to_string())
}

fn comments(alert: &Alert) -> Vec<Value> {
    let comments = alert.comments.iter().map(|comment| {
        json!({
            "comment": comment.comment,
            "createdByDisplayName": comment.created_by,
            "createdDateTime": time(Some(comment.created_time)),
        })
    });
    comments.collect()
}

/// A piece of evidence of this type: what all have, and what this one has.
fn typed(kind: &str, created: Option<&str>, own: &Value) -> Value {
    let mut piece = Map::new();
    piece.insert("@odata.type".to_owned(), format!("#microsoft.graph.security.{kind}Evidence").into());
    piece.insert("createdDateTime".to_owned(), json!(created));
    piece.insert("verdict".to_owned(), "suspicious".into());
    piece.insert("remediationStatus".to_owned(), "none".into());
    piece.insert("remediationStatusDetails".to_owned(), Value::Null);
    for empty in ["roles", "detailedRoles", "tags"] {
        piece.insert(empty.to_owned(), json!([]));
    }
    if let Some(own) = own.as_object() {
        piece.extend(own.clone());
    }
    Value::Object(piece)
}

/// One of Defender's pieces of evidence in Graph's shape.
fn piece(evidence: &Evidence, machine: Option<&str>) -> Value {
    let detected = evidence.detection_status.as_deref().map(camel);
    let file = || {
        json!({
            "sha1": evidence.sha1,
            "sha256": evidence.sha256,
            "fileName": evidence.file_name,
            "filePath": evidence.file_path,
            "fileSize": null,
            "filePublisher": null,
            "signer": null,
            "issuer": null,
        })
    };
    let account = || {
        json!({
            "accountName": evidence.account_name,
            "domainName": evidence.domain_name,
            "userSid": evidence.user_sid,
            "azureAdUserId": evidence.aad_user_id,
            "userPrincipalName": evidence.user_principal_name,
            "displayName": null,
        })
    };
    let created = time(evidence.evidence_creation_time);
    let (kind, own) = match evidence.entity_type.as_str() {
        "User" => ("user", json!({ "userAccount": account() })),
        "File" => {
            ("file", json!({ "detectionStatus": detected, "mdeDeviceId": machine, "fileDetails": file() }))
        }
        "Process" => (
            "process",
            json!({
                "processId": evidence.process_id,
                "parentProcessId": evidence.parent_process_id,
                "processCommandLine": evidence.process_command_line,
                "processCreationDateTime": time(evidence.process_creation_time),
                "parentProcessCreationDateTime": time(evidence.parent_process_creation_time),
                "detectionStatus": detected,
                "mdeDeviceId": machine,
                "imageFile": file(),
                "parentProcessImageFile": {
                    "sha1": null,
                    "sha256": null,
                    "fileName": evidence.parent_process_file_name,
                    "filePath": evidence.parent_process_file_path,
                    "fileSize": null,
                    "filePublisher": null,
                    "signer": null,
                    "issuer": null,
                },
                "userAccount": account(),
            }),
        ),
        "Ip" => ("ip", json!({ "ipAddress": evidence.ip_address, "countryLetterCode": null })),
        "Url" => ("url", json!({ "url": evidence.url })),
        "Registry" if evidence.registry_value.is_none() => (
            "registryKey",
            json!({ "registryKey": evidence.registry_key, "registryHive": evidence.registry_hive }),
        ),
        "Registry" => (
            "registryValue",
            json!({
                "mdeDeviceId": machine,
                "registryKey": evidence.registry_key,
                "registryHive": evidence.registry_hive,
                "registryValue": evidence.registry_value,
                "registryValueName": null,
                "registryValueType": evidence.registry_value_type,
            }),
        ),
        // What Graph makes of other kinds is not simulated: its type, and nothing else.
        other => return typed(&camel(other), created.as_deref(), &json!({})),
    };
    typed(kind, created.as_deref(), &own)
}

pub(crate) fn context(world: &World, of: &str) -> String {
    format!("{}/v1.0/$metadata#{of}", world.graph_audience)
}

fn with_context(world: &World, of: &str, value: &Value) -> Vec<u8> {
    let mut whole = Map::new();
    whole.insert("@odata.context".to_owned(), context(world, of).into());
    if let Value::Object(members) = value {
        whole.extend(members.clone());
    }
    Value::Object(whole).to_string().into_bytes()
}

fn every_word(request: &Request) -> bool {
    request.header("prefer").is_some_and(|prefer| prefer.contains("include-unknown-enum-members"))
}

fn shown<'a>(world: &'a World, request: &Request) -> Vec<GraphAlert<'a>> {
    let every_word = every_word(request);
    visible_alerts(world).map(|alert| GraphAlert { alert, world, every_word }).collect()
}

/// `GET /security/alerts_v2`.
pub(crate) fn alerts(world: &World, request: &Request) -> Result<Done, Refusal> {
    let options = odata::options(&request.query, &odata::GRAPH_ALERTS)?;
    let shown = shown(world, request);
    if world.most_expanded.is_some_and(|most| options.top.is_none_or(|top| top > most)) {
        return Err(Refusal::new(500, "InternalServerError", "An unexpected error occurred"));
    }
    let raw = world.raw_graph_alerts.iter().map(Item::Raw);
    let all = shown.iter().map(Item::Typed).chain(raw).collect();
    Ok(Done::ok(list(world, request, &odata::GRAPH_ALERTS, &options, all)))
}

/// `GET /security/alerts_v2/{id}`.
pub(crate) fn alert(world: &World, request: &Request, id: &str) -> Result<Done, Refusal> {
    no_options(request, "GET alert")?;
    let raw = world.raw_graph_alerts.iter().find(|alert| alert.get("id").and_then(Value::as_str) == Some(id));
    let found = match raw {
        Some(raw) => raw.clone(),
        None => {
            let every_word = every_word(request);
            let alert = visible_alerts(world).find(|alert| alert.id == id);
            let alert = alert.ok_or_else(|| Refusal::not_found("Alert", id))?;
            GraphAlert { alert, world, every_word }.value()
        }
    };
    Ok(Done::ok(with_context(world, "security/alerts_v2/$entity", &found)))
}

/// `POST /security/alerts_v2/{id}/comments`: appends to the comments that Defender's API shows, and answers with all.
pub(crate) fn comment(world: &mut World, app: &str, request: &Request, id: &str) -> Result<Done, Refusal> {
    let comment = comment_body(request)?;
    let now = to_ticks(world.now);
    let alert = world
        .alerts
        .iter_mut()
        .find(|alert| alert.id == id && alert.visible_at.is_none_or(|at| at <= now))
        .ok_or_else(|| Refusal::not_found("Alert", id))?;
    let violation = add_comment(alert, app, comment, now);
    alert.last_update_time = Some(now);
    let value = json!({ "value": comments(alert) });
    let body = with_context(world, &format!("security/alerts_v2('{id}')/comments"), &value);
    Ok(Done { violation, ..Done::ok(body) })
}

/// The text of a comment. Graph's page asks for the type beside it.
fn comment_body(request: &Request) -> Result<String, Refusal> {
    let wrong = || Refusal::malformed("InvalidRequestBody", "Request body is incorrect");
    if !is_json(request) {
        return Err(wrong().broken_rule("a comment without `Content-Type: application/json`"));
    }
    let Ok(Value::Object(mut body)) = serde_json::from_str::<Value>(&request.body) else {
        return Err(wrong());
    };
    let kind = body.remove("@odata.type");
    let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default();
    let comment = body.remove("comment");
    if kind.trim_start_matches('#') != "microsoft.graph.security.alertComment" || !body.is_empty() {
        return Err(wrong().broken_rule("a comment without its `@odata.type`, or with more than its text"));
    }
    match comment {
        Some(Value::String(comment)) if !comment.trim().is_empty() => Ok(comment),
        _ => Err(wrong()),
    }
}

/// `GET /security/incidents/{id}`, with its alerts where `$expand=alerts` asks for them. There is an incident where an
/// alert says so.
pub(crate) fn incident(world: &World, request: &Request, id: &str) -> Result<Done, Refusal> {
    let mut expands = false;
    for (name, value) in url::form_urlencoded::parse(request.query.as_bytes()) {
        match (name.as_ref(), value.as_ref()) {
            ("$expand", "alerts") => expands = true,
            (name, value) if name.starts_with('$') => {
                let message = format!("The query option '{name}={value}' is not supported.");
                return Err(Refusal::malformed("ODataError", message));
            }
            _ => {}
        }
    }
    let ours: Vec<_> = shown(world, request)
        .into_iter()
        .filter(|shown| shown.alert.incident_id.is_some_and(|incident| incident.to_string() == id))
        .collect();
    let raw = world
        .raw_graph_alerts
        .iter()
        .filter(|alert| alert.get("incidentId").and_then(Value::as_str) == Some(id));
    let alerts: Vec<Value> = ours.iter().map(GraphAlert::value).chain(raw.cloned()).collect();
    if alerts.is_empty() {
        return Err(Refusal::not_found("Incident", id));
    }
    let open = ours.iter().any(|shown| shown.alert.status != "Resolved");
    let mut incident = json!({
        "@odata.type": "#microsoft.graph.security.incident",
        "id": id,
        "tenantId": world.tenant,
        "status": if open || ours.is_empty() { "active" } else { "resolved" },
        "incidentWebUrl": format!("https://security.microsoft.com/incidents/{id}?tid={}", world.tenant),
        "redirectIncidentId": null,
        "displayName": format!("Incident {id}"),
        "createdDateTime": time(ours.iter().filter_map(|shown| shown.alert.alert_creation_time).min()),
        "lastUpdateDateTime": time(ours.iter().filter_map(|shown| shown.alert.last_update_time).max()),
        "assignedTo": null,
        "classification": "unknown",
        "determination": "unknown",
        "severity": ours.iter().map(GraphAlert::severity).max_by_key(|severity| rank(severity)),
        "customTags": [],
        "comments": [],
        "systemTags": [],
        "description": "",
    });
    if let (true, Some(members)) = (expands, incident.as_object_mut()) {
        members.insert("alerts".to_owned(), Value::Array(alerts));
    }
    Ok(Done::ok(with_context(world, "security/incidents/$entity", &incident)))
}

fn rank(severity: &str) -> Option<usize> {
    SEVERITIES.iter().position(|known| *known == severity)
}

/// Graph's pages name no query option for a single alert.
fn no_options(request: &Request, what: &str) -> Result<(), Refusal> {
    let asked = url::form_urlencoded::parse(request.query.as_bytes()).any(|(name, _)| name.starts_with('$'));
    if asked {
        return Err(Refusal::malformed("ODataError", format!("`{what}` takes no query option")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_spelled_as_graph_does_and_those_it_came_to_know_later_only_on_request() {
        let world = World::new(jiff::Timestamp::UNIX_EPOCH);
        let said = |severity: &str, source: &str, every_word: bool| {
            let mut alert = Alert::new("da1_1", "m", world.now).severity(severity).status("InProgress");
            alert.detection_source = Some(source.to_owned());
            let value = GraphAlert { alert: &alert, world: &world, every_word }.value();
            assert_eq!(
                (&value["status"], &value["classification"]),
                (&json!("inProgress"), &json!("unknown"))
            );
            [value["severity"].clone(), value["detectionSource"].clone()]
        };
        assert_eq!(said("High", "WindowsDefenderAv", false), ["high", "antivirus"]);
        assert_eq!(said("UnSpecified", "CustomerTI", false), ["unknown", "customTi"]);
        assert_eq!(said("Low", "CustomDetection", false), ["low", "customDetection"]);
        assert_eq!(said("Dire", "NobodysSensor", false), ["unknownFutureValue", "unknownFutureValue"]);
        assert_eq!(said("Dire", "NobodysSensor", true), ["dire", "nobodysSensor"]);
    }

    #[test]
    fn an_alert_prints_the_keys_of_microsofts_example_and_so_does_each_piece_of_its_evidence() {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let documented: Value = serde_json::from_str(include_str!("../samples/graph-alert.json")).unwrap();
        let world = World::new(at);
        let key = Evidence { registry_value: None, ..Evidence::registry(at, "k", "v") };
        let evidence = vec![Evidence::file(at, "f", "n", "s"), Evidence::process(at, "f", "n", "c"), key];
        let alert = Alert::new("da1_1", "m", at).evidence(evidence);
        let printed = GraphAlert { alert: &alert, world: &world, every_word: false }.value();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(keys(&printed), keys(&documented));
        let pieces = |value: &Value| value["evidence"].as_array().unwrap().clone();
        assert_eq!(pieces(&printed).len(), 4);
        for (printed, documented) in pieces(&printed).iter().zip(&pieces(&documented)) {
            assert_eq!(printed["@odata.type"], documented["@odata.type"]);
            assert_eq!(keys(printed), keys(documented));
        }
    }
}
