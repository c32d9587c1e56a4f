//! Reads an alert of Microsoft Graph's `alerts_v2` in the words of Defender's own API, so that a policy reads the same and
//! a revision is the same whichever of the two was asked.
//!
//! Where the two cannot be made equal, it is said at the place. Property names, words and types: Microsoft's pages "alert",
//! "deviceEvidence", "processEvidence", "fileEvidence", "userEvidence", "registryValueEvidence" and "userAccount resource
//! type" of Graph.

use super::{Fields, Unreadable, expected, read_list};
use model::{Alert, DeviceRef, Evidence, User};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// The alerts of Defender for Endpoint, among those of all of Microsoft's products.
pub(crate) const SERVICE: &str = "microsoftDefenderForEndpoint";

/// What Graph prints for a word that it does not tell: never one of its own.
const UNTOLD: &str = "unknownFutureValue";

/// What Graph prints where there is nothing to be said.
const UNKNOWN: &str = "unknown";

/// What a device's detailed role is called that an alert is about.
const MAIN: &str = "main device";

pub(crate) fn alert(value: &Value) -> Result<Alert, Unreadable> {
    let mut fields = Fields::of(value, "")?;
    let id = fields.id("id")?;
    let (mut evidence, mut devices, mut user) = (Vec::new(), Vec::new(), None);
    for (index, item) in fields.items("evidence").into_iter().enumerate() {
        let path = format!("evidence[{index}]");
        let Ok(mut piece) = Fields::of(item, &path) else {
            fields.problem(&path, &expected("an object", item));
            continue;
        };
        match kind(&mut piece) {
            Some(Kind::Device) => devices.push(read_device(&mut piece)),
            Some(Kind::Evidence(kind)) => {
                let read = read_evidence(kind, &mut piece);
                if kind == USER && user.is_none() {
                    user = named(&read);
                }
                evidence.push(read);
            }
            None => {}
        }
        fields.absorb(piece);
    }
    let (device, main) = the_device(&devices);
    let severity = word(&mut fields, "severity").map(|word| match word.as_str() {
        "Unknown" => "UnSpecified".to_owned(),
        _ => word,
    });
    let known = |word: &String| !word.eq_ignore_ascii_case(UNKNOWN);
    Ok(Alert {
        id,
        incident_id: fields.text_or_number("incidentId"),
        severity: severity.map(Into::into),
        status: word(&mut fields, "status").map(Into::into),
        // Defender's API has null for what is not classified.
        classification: word(&mut fields, "classification").filter(known).map(Into::into),
        // The two APIs have different words for some: Graph's stay Graph's.
        determination: word(&mut fields, "determination").filter(known),
        category: fields.text("category"),
        detection_source: source(&mut fields),
        detector_id: fields.text("detectorId"),
        title: fields.prose("title").unwrap_or_default(),
        description: fields.prose("description"),
        created: fields.time("createdDateTime"),
        first_event: fields.time("firstActivityDateTime"),
        last_event: fields.time("lastActivityDateTime"),
        updated: fields.time("lastUpdateDateTime"),
        device,
        device_name: main.and_then(|device| device.name.clone()),
        device_group: main.and_then(|device| device.group.clone()),
        threat_family: fields.text("threatFamilyName"),
        threat_name: fields.text("threatDisplayName"),
        techniques: fields.texts("mitreTechniques"),
        user,
        evidence,
        evidence_truncated: false,
        unreadable: fields.problems,
        hunted: None,
    })
}

/// The alerts of an incident that came with them: those of Defender for Endpoint. Fails where one of them cannot be read,
/// where there are more, and where the incident was merged into another, whose alerts these are not. Source: `status` and
/// `redirectIncidentId` on Microsoft's page "incident resource type".
pub(crate) fn alerts_of_incident(body: &[u8]) -> Result<Vec<Alert>, Unreadable> {
    #[derive(Deserialize)]
    struct Incident<'a> {
        #[serde(borrow)]
        alerts: &'a RawValue,
        #[serde(rename = "alerts@odata.nextLink", default, borrow)]
        next_link: Option<&'a RawValue>,
        #[serde(default, borrow)]
        status: Option<&'a RawValue>,
        #[serde(rename = "redirectIncidentId", default, borrow)]
        redirected_to: Option<&'a RawValue>,
    }
    let text = String::from_utf8_lossy(body);
    let shape = |_| Unreadable::new("alerts", "the body is not an incident with its alerts");
    let incident: Incident<'_> = serde_json::from_str(&text).map_err(shape)?;
    if incident.next_link.is_some() {
        return Err(Unreadable::new("alerts", "the incident has more alerts than came with it"));
    }
    let is_redirected = |status: &RawValue| status.get().eq_ignore_ascii_case("\"redirected\"");
    let leads_on = |id: &RawValue| !matches!(id.get(), "null" | "\"\"");
    if incident.status.is_some_and(is_redirected) || incident.redirected_to.is_some_and(leads_on) {
        return Err(Unreadable::new("status", "the incident was merged into another one"));
    }
    let list = format!(r#"{{"value":{}}}"#, incident.alerts.get());
    let listed = read_list(list.as_bytes(), |value| {
        let of = value.get("serviceSource").and_then(Value::as_str);
        let ours = of.is_none_or(|of| of.eq_ignore_ascii_case(SERVICE));
        if ours { alert(value).map(Some) } else { Ok(None) }
    })?;
    match listed.unreadable.into_iter().next() {
        Some(unreadable) => Err(unreadable),
        None => Ok(listed.records.into_iter().flatten().collect()),
    }
}

/// A word of an enumeration, which Graph prints as `inProgress` and Defender's API as `InProgress`. That Graph does not tell
/// it is a reason not to act.
fn word(fields: &mut Fields<'_>, name: &str) -> Option<String> {
    let word = fields.text(name)?;
    if word.eq_ignore_ascii_case(UNTOLD) {
        fields.problem(name, "the service does not tell it");
        return None;
    }
    let mut chars = word.chars();
    Some(chars.next()?.to_ascii_uppercase().to_string() + chars.as_str())
}

/// What raised the alert, in Defender's word for it; a word that has none there stays as it came. What is not known is
/// absent: a policy must not take it for anything.
fn source(fields: &mut Fields<'_>) -> Option<String> {
    const SAME: [(&str, &str); 11] = [
        ("microsoftDefenderForEndpoint", "WindowsDefenderAtp"),
        ("antivirus", "WindowsDefenderAv"),
        ("smartScreen", "WindowsDefenderSmartScreen"),
        ("customTi", "CustomerTI"),
        ("customDetection", "CustomDetection"),
        ("automatedInvestigation", "AutomatedInvestigation"),
        ("microsoftThreatExperts", "ThreatExperts"),
        ("microsoftDefenderForOffice365", "OfficeATP"),
        ("microsoftDefenderForIdentity", "AzureATP"),
        ("cloudAppSecurity", "MCAS"),
        ("microsoft365Defender", "MTP"),
    ];
    let came = fields.text("detectionSource")?;
    if came.eq_ignore_ascii_case(UNTOLD) {
        fields.problem("detectionSource", "the service does not tell it");
        return None;
    }
    if came.eq_ignore_ascii_case(UNKNOWN) {
        return None;
    }
    let same = SAME.iter().find(|(graphs, _)| came.eq_ignore_ascii_case(graphs));
    Some(same.map_or(came, |(_, defenders)| (*defenders).to_owned()))
}

enum Kind {
    Device,
    Evidence(&'static str),
}

const USER: &str = "User";

/// What a piece of evidence is; none for what no alert of Defender's API has, and for what does not say.
fn kind(piece: &mut Fields<'_>) -> Option<Kind> {
    let Some(name) = piece.text("@odata.type") else {
        if piece.present("@odata.type").is_none() {
            piece.problem("@odata.type", "it is missing");
        }
        return None;
    };
    match name.rsplit('.').next().unwrap_or_default() {
        "deviceEvidence" => Some(Kind::Device),
        "processEvidence" => Some(Kind::Evidence("Process")),
        "fileEvidence" => Some(Kind::Evidence("File")),
        "userEvidence" => Some(Kind::Evidence(USER)),
        "ipEvidence" => Some(Kind::Evidence("Ip")),
        "urlEvidence" => Some(Kind::Evidence("Url")),
        "registryKeyEvidence" | "registryValueEvidence" => Some(Kind::Evidence("Registry")),
        _ => None,
    }
}

/// As with Defender's, whoever sends it on cuts it.
fn read_evidence(kind: &str, piece: &mut Fields<'_>) -> Evidence {
    let mut evidence = Evidence {
        kind: kind.to_owned(),
        created: piece.time("createdDateTime"),
        process_id: piece.integer("processId"),
        command_line: piece.prose("processCommandLine"),
        process_created: piece.time("processCreationDateTime"),
        parent_process_id: piece.integer("parentProcessId"),
        ip_address: piece.prose("ipAddress"),
        url: piece.prose("url"),
        registry_key: piece.prose("registryKey"),
        registry_hive: piece.prose("registryHive"),
        registry_value: piece.prose("registryValue"),
        detection_status: word(piece, "detectionStatus"),
        ..Evidence::default()
    };
    for name in ["fileDetails", "imageFile"] {
        if let Some(mut file) = piece.object(name) {
            evidence.sha1 = file.prose("sha1");
            evidence.sha256 = file.prose("sha256");
            evidence.file_name = file.prose("fileName");
            evidence.folder = file.prose("filePath");
            piece.absorb(file);
        }
    }
    if let Some(mut parent) = piece.object("parentProcessImageFile") {
        evidence.parent_file_name = parent.prose("fileName");
        piece.absorb(parent);
    }
    if let Some(mut account) = piece.object("userAccount") {
        evidence.account_name = account.prose("accountName");
        evidence.account_domain = account.prose("domainName");
        evidence.user_sid = account.prose("userSid");
        evidence.user_principal_name = account.prose("userPrincipalName");
        piece.absorb(account);
    }
    evidence
}

/// Graph has no `relatedUser`. The first user among the evidence stands for it; where Defender's API names one whom the
/// evidence does not, or another of several, the two differ. No revision depends on it, and a policy that asks for
/// `resource.users` sees all of them.
fn named(evidence: &Evidence) -> Option<User> {
    let name = evidence.account_name.clone().filter(|name| !name.is_empty())?;
    Some(User { name, domain: evidence.account_domain.clone() })
}

/// A device that an alert names.
struct Named {
    id: Option<String>,
    name: Option<String>,
    group: Option<String>,
    is_main: bool,
}

fn read_device(piece: &mut Fields<'_>) -> Named {
    let roles = piece.texts("detailedRoles");
    Named {
        id: piece.text("mdeDeviceId").filter(|id| !id.is_empty()),
        name: piece.text("deviceDnsName"),
        group: piece.text("rbacGroupName"),
        is_main: roles.iter().any(|role| role.trim().eq_ignore_ascii_case(MAIN)),
    }
}

/// The device that an alert is about: the only one that it names, or the only one of several that is said to be the main
/// one. In any other case it is not known which, and none may be acted upon.
fn the_device(named: &[Named]) -> (Option<DeviceRef>, Option<&Named>) {
    let mains: Vec<&Named> = named.iter().filter(|device| device.is_main).collect();
    let all: Vec<&Named> = named.iter().collect();
    match only(&all).or_else(|| only(&mains)) {
        Some(device) => (device.id.as_deref().map(DeviceRef::parse), Some(device)),
        None if named.is_empty() => (None, None),
        None => {
            let count = named.len();
            let why = format!("the alert names {count} devices and does not say which of them it is about");
            (Some(DeviceRef::Unusable(why)), None)
        }
    }
}

/// The one device that all of these are: the same may be named twice.
fn only<'n>(named: &[&'n Named]) -> Option<&'n Named> {
    let first = *named.first()?;
    let same = |other: &&Named| match (&first.id, &other.id) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    };
    named.iter().skip(1).all(same).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Classification, Severity};
    use serde_json::json;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const OTHER: &str = "2222222222222222222222222222222222222222";

    fn device(id: impl Into<Value>, roles: &[&str]) -> Value {
        let kind = "#microsoft.graph.security.deviceEvidence";
        json!({"@odata.type": kind, "mdeDeviceId": id.into(), "detailedRoles": roles})
    }

    fn device_of(evidence: &[Value]) -> Option<DeviceRef> {
        let read = alert(&json!({"id": "a", "evidence": evidence})).unwrap();
        assert!(read.unreadable.is_empty(), "{:?}", read.unreadable);
        read.device
    }

    #[test]
    fn the_device_is_the_only_one_or_the_only_main_one_and_else_nobody_knows_which() {
        let is = |id: &str| Some(DeviceRef::parse(id));
        assert_eq!(device_of(&[]), None);
        assert_eq!(device_of(&[device(Value::Null, &[])]), None);
        assert_eq!(device_of(&[device("", &["Main device"])]), None);
        assert_eq!(device_of(&[device(ONE, &[])]), is(ONE));
        assert_eq!(device_of(&[device(ONE, &[]), device(ONE, &["Attacker"])]), is(ONE));
        assert_eq!(device_of(&[device(OTHER, &[]), device(ONE, &["x", "main Device"])]), is(ONE));
        let unknown = [
            [device(ONE, &[]), device(OTHER, &[])],
            [device(ONE, &["Main device"]), device(OTHER, &["Main device"])],
            [device(ONE, &[]), device(Value::Null, &[])],
        ];
        for devices in unknown {
            let found = device_of(&devices);
            assert!(
                matches!(&found, Some(DeviceRef::Unusable(why)) if why.contains("2 devices")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_machine_id_that_is_none_is_unusable_and_one_of_another_type_a_problem() {
        assert_eq!(device_of(&[device("pc1", &[])]), Some(DeviceRef::Unusable("pc1".to_owned())));
        let read = alert(&json!({"id": "a", "evidence": [device(7, &[])]})).unwrap();
        assert_eq!(read.device, None);
        assert!(read.unreadable[0].starts_with("evidence[0].mdeDeviceId"), "{:?}", read.unreadable);
    }

    #[test]
    fn words_are_defenders() {
        let read = |name: &str, word: &str| alert(&json!({"id": "a", name: word})).unwrap();
        for (graphs, defenders) in
            [("high", "High"), ("informational", "Informational"), ("unknown", "UnSpecified")]
        {
            assert_eq!(read("severity", graphs).severity.unwrap().as_str(), defenders);
        }
        for (graphs, defenders) in [("new", "New"), ("inProgress", "InProgress"), ("resolved", "Resolved")] {
            assert_eq!(read("status", graphs).status.unwrap().as_str(), defenders);
        }
        assert_eq!(
            read("classification", "informationalExpectedActivity").classification,
            Some(Classification::InformationalExpectedActivity)
        );
        assert_eq!(read("classification", "unknown").classification, None);
        assert_eq!(read("determination", "multiStagedAttack").determination.unwrap(), "MultiStagedAttack");
        for (graphs, defenders) in [
            ("antivirus", Some("WindowsDefenderAv")),
            ("customTi", Some("CustomerTI")),
            ("customDetection", Some("CustomDetection")),
            ("manual", Some("manual")),
            ("unknown", None),
        ] {
            assert_eq!(read("detectionSource", graphs).detection_source.as_deref(), defenders);
        }
        assert_eq!(read("severity", "critical").severity, Some(Severity::Other("Critical".to_owned())));
    }

    #[test]
    fn a_word_that_is_withheld_is_a_reason_not_to_act() {
        for name in ["severity", "status", "classification", "detectionSource"] {
            let read = alert(&json!({"id": "a", name: "unknownFutureValue"})).unwrap();
            assert_eq!(read.unreadable, [format!("{name}: the service does not tell it")]);
        }
    }

    #[test]
    fn evidence_that_does_not_say_what_it_is_is_a_problem_and_of_another_product_none() {
        let of_mail =
            json!({"@odata.type": "#microsoft.graph.security.mailboxEvidence", "primaryAddress": 7});
        let read = alert(&json!({"id": "a", "evidence": [of_mail, {}, 7]})).unwrap();
        assert!(read.evidence.is_empty());
        let problems = read.unreadable;
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("evidence[1].@odata.type") && problems[1].starts_with("evidence[2]"));
    }

    #[test]
    fn microsofts_example_is_read_whole() {
        let body = include_bytes!("../../../../simulator/samples/graph-alert.json");
        let read = super::super::read_one(body, alert).unwrap();
        assert!(read.unreadable.is_empty(), "{:?}", read.unreadable);
        assert_eq!(read.device, Some(DeviceRef::parse("73e7e2de709dff64ef64b1d0c30e67fab63279db")));
        assert_eq!(
            (read.device_name.as_deref(), read.device_group.as_deref()),
            (Some("tempDns"), Some("UnassignedGroup"))
        );
        assert_eq!((read.severity.as_ref(), read.classification.as_ref()), (Some(&Severity::Low), None));
        assert_eq!(read.updated.unwrap().to_string(), "2021-05-02T14:19:01.3266667Z");
        let kinds: Vec<&str> = read.evidence.iter().map(|evidence| evidence.kind.as_str()).collect();
        assert_eq!(kinds, ["File", "Process", "Registry"]);
        let [file, process, registry] = &read.evidence[..] else { panic!() };
        assert_eq!(
            (file.file_name.as_deref(), file.detection_status.as_deref()),
            (Some("MsSense.exe"), Some("Detected"))
        );
        assert_eq!(
            (process.process_id, process.parent_file_name.as_deref()),
            (Some(4780), Some("services.exe"))
        );
        assert_eq!(process.account_name.as_deref(), Some("SYSTEM"));
        assert!(registry.registry_key.is_some() && read.user.is_none());
    }

    #[test]
    fn an_incident_gives_the_alerts_of_defender_for_endpoint_or_none_at_all() {
        let ours = json!({"id": "a", "serviceSource": SERVICE});
        let mail = json!({"id": "b", "serviceSource": "microsoftDefenderForOffice365"});
        let read = |body: Value| alerts_of_incident(body.to_string().as_bytes());
        let found = read(json!({"id": "7", "status": "active", "redirectIncidentId": null, "alerts": [ours, mail, {"id": "c"}]})).unwrap();
        assert_eq!(found.iter().map(|alert| alert.id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        for body in [
            json!({"id": "7"}),
            json!({"alerts": null}),
            json!({"alerts": [ours, 7]}),
            json!({"alerts": [ours, {"serviceSource": SERVICE}]}),
            json!({"alerts": [ours], "alerts@odata.nextLink": "https://graph.microsoft.com/v1.0/x"}),
            json!({"alerts": [ours], "status": "redirected"}),
            json!({"alerts": [ours], "status": "resolved", "redirectIncidentId": "8"}),
        ] {
            assert!(read(body.clone()).is_err(), "{body}");
        }
    }
}
