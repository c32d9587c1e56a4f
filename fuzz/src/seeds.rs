//! What the targets begin with: Microsoft's examples (`simulator/samples`, sources named there), tenants that the
//! simulator makes up, every message that ever shipped (`shared/model/fixtures`), the events of `tests/events`, the
//! playbook that ships, and by hand whatever no sample has.

use crate::targets::SECRET;
use jiff::Timestamp;
use serde_json::{Value, json};
use simulator::generate::{GenerateOptions, Generated, tenant};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder that end so, in the order of their names.
fn files(folder: &str, end: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(end));
    paths.sort();
    assert!(!paths.is_empty(), "{folder} holds nothing that ends in {end}");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Vec<u8>> {
    texts.map(|text| text.as_bytes().to_vec()).into()
}

fn bytes(values: impl IntoIterator<Item = Value>) -> Vec<Vec<u8>> {
    values.into_iter().map(|value| value.to_string().into_bytes()).collect()
}

fn noon() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// A small tenant, a harmless one and one whose texts attack whoever prints them.
fn made(hostile: bool) -> Generated {
    let options = GenerateOptions { alerts: 6, devices: 6, hostile, ..GenerateOptions::new(noon()) };
    tenant(if hostile { 8 } else { 7 }, &options)
}

fn listed(records: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let list = |records: &[Vec<u8>]| {
        let texts: Vec<&str> = records.iter().map(|record| std::str::from_utf8(record).unwrap()).collect();
        let link = r#""@odata.nextLink":"https://api.security.microsoft.com/api/alerts?$skip=2""#;
        format!(r#"{{"@odata.context":"x","value":[{}],{link}}}"#, texts.join(",")).into_bytes()
    };
    let mut lists = texts([r#"{"value":[]}"#, r#"{"value":[{"id":7},3,null,{}]}"#]);
    lists.extend(records.chunks(4).map(list));
    lists
}

pub(crate) fn alerts() -> Vec<Vec<u8>> {
    let mut alerts = vec![file("simulator/samples/alert-single.json").into_bytes()];
    let generated = [made(false), made(true)].into_iter().flat_map(|made| made.alerts);
    alerts.extend(bytes(generated.map(|alert| serde_json::to_value(alert).unwrap())));
    alerts.extend(texts([
        r#"{"id":"a","severity":5,"title":null,"mitreTechniques":["T1",2],"evidence":[{"processId":"x"},7]}"#,
        r#"{"id":"a","incidentId":"7","relatedUser":{"userName":"u"},"comments":{"comment":"x"}}"#,
        r#"{"id":"a","title":"x\ud83dy \\ud83d \ud83d\ude00 \udc00","lastUpdateTime":"2021-01-26T20:33:57.7220239Z"}"#,
    ]));
    alerts
}

pub(crate) fn alert_lists() -> Vec<Vec<u8>> {
    listed(&alerts())
}

pub(crate) fn graph_alerts() -> Vec<Vec<u8>> {
    let mut alerts = vec![file("simulator/samples/graph-alert.json").into_bytes()];
    let of = |kind: &str| format!("#microsoft.graph.security.{kind}Evidence");
    let device = |id: &str, role: &str| json!({"@odata.type": of("device"), "mdeDeviceId": id, "detailedRoles": [role]});
    let account = json!({"accountName": "ada", "domainName": "CONTOSO", "userSid": "S-1-5-21-1", "userPrincipalName": "ada@contoso.com"});
    alerts.extend(bytes([
        json!({"id": "a", "severity": "unknownFutureValue", "status": "inProgress", "evidence": [
            device("1e5bc9d7e413ddd7902c2932e418702b84d0cc07", "Main device"), device("x", ""), 7, {}]}),
        json!({"id": "a", "serviceSource": "microsoftDefenderForOffice365", "incidentId": 7, "evidence": [
            {"@odata.type": of("user"), "userAccount": account},
            {"@odata.type": of("ip"), "ipAddress": "198.51.100.7"},
            {"@odata.type": of("url"), "url": "https://x.example"},
            {"@odata.type": of("registryValue"), "registryKey": "k", "registryValue": "v"},
            {"@odata.type": of("mailbox"), "primaryAddress": "x"}]}),
    ]));
    alerts.extend(texts([
        r#"{"id":"a","title":"x\ud83dy","evidence":[{"@odata.type":"x.processEvidence","processId":1e999}]}"#,
    ]));
    alerts
}

pub(crate) fn graph_alert_lists() -> Vec<Vec<u8>> {
    listed(&graph_alerts())
}

/// Answers to hunting queries.
pub(crate) fn hunts() -> Vec<Vec<u8>> {
    let mut hunts = files("simulator/samples", "query-result.json");
    hunts.extend(files("simulator/samples", "huntingquery-result.json"));
    hunts.extend(bytes([
        json!({"Stats": {"ExecutionTime": 4.6}, "Results": [{"A": {"B": 1}, "Timestamp": noon()}],
            "Schema": [{"Name": "A", "Type": "Object"}, {"Name": "C", "Type": "SByte"}]}),
        json!({"schema": [{"name": "N", "type": "Int64"}], "results": [{"N": "7", "AdditionalFields": "{\"x\":{\"y\":1}}"}, 5, null]}),
        json!({"error": {"code": "BadRequest", "message": SECRET}, "results": []}),
    ]));
    hunts.extend(texts([r#"{"results":[{"A":"\ud83d","B":1e999}]}"#, r#"{"results":["#, "{}"]));
    hunts
}

pub(crate) fn machines() -> Vec<Vec<u8>> {
    let mut machines = vec![file("simulator/samples/machine-single.json").into_bytes()];
    let generated = [made(false), made(true)].into_iter().flat_map(|made| made.machines);
    machines.extend(bytes(generated.map(|machine| serde_json::to_value(machine).unwrap())));
    machines
}

pub(crate) fn machine_lists() -> Vec<Vec<u8>> {
    listed(&machines())
}

pub(crate) fn actions() -> Vec<Vec<u8>> {
    let device = "1e5bc9d7e413ddd7902c2932e418702b84d0cc07";
    let mut actions = vec![file("simulator/samples/machineaction-isolate.json").into_bytes()];
    for (kind, status) in [("Unisolate", "Pending"), ("Offboard", "InProgress"), ("Isolate", "Frobnicated")] {
        actions.extend(bytes([json!({
            "id": "5382f7ea-7557-4ab7-9782-d50480024a4e", "type": kind, "scope": "Full", "status": status,
            "requestorComment": "Isolated by Cordon [cordon:c0ffee]", "machineId": device,
            "creationDateTimeUtc": noon(), "lastUpdateTimeUtc": noon(), "commands": [],
        })]));
    }
    actions
}

pub(crate) fn action_lists() -> Vec<Vec<u8>> {
    listed(&actions())
}

pub(crate) fn errors() -> Vec<Vec<u8>> {
    let mut errors = files("simulator/samples", "-resource-not-found.json");
    errors.extend(files("simulator/samples", "-invalid-request-body.json"));
    let echo = format!("The header was `Bearer {SECRET}`.");
    errors.extend(bytes([
        json!({"error": {"code": "429", "message": "API calls quota exceeded", "target": "|7"}}),
        json!({"error": {"code": "InvalidRequest", "message": echo, "target": SECRET}}),
        json!({"error": "invalid_token", "message": echo}),
        json!({"error": {"code": "BadRequest", "message": "Query exceeded the timeout period.", "innerError": {"request-id": SECRET}}}),
        json!({"error": {"code": "429", "message": "maximum allowed 1500 per 01:00:00", "innerError": null}}),
    ]));
    errors.extend(texts(["", "<html><body>502 Bad Gateway</body></html>"]));
    errors
}

pub(crate) fn tokens() -> Vec<Vec<u8>> {
    let mut tokens = files("simulator/samples", "token-response.json");
    // A token with the claims {"roles":["Alert.Read.All"]}, and the refusals that are known.
    let jwt = format!("eyJhbGciOiJub25lIn0.eyJyb2xlcyI6WyJBbGVydC5SZWFkLkFsbCJdfQ.{SECRET}");
    tokens.extend(bytes([
        json!({"access_token": jwt, "expires_in": 3_599, "token_type": "Bearer"}),
        json!({"access_token": SECRET, "expires_in": -1}),
        json!({"error": "invalid_client", "error_codes": [7_000_215], "error_description": SECRET}),
        json!({"error": SECRET, "error_codes": []}),
        json!({"error": "unauthorized_client", "error_codes": [700_016], "trace_id": "x"}),
    ]));
    tokens
}

pub(crate) fn waits() -> Vec<Vec<u8>> {
    texts([
        "0",
        "35",
        "86401",
        "-7",
        " 12 ",
        "99999999999999999999",
        "1.5",
        "Fri, 20 Nov 2026 12:00:35 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ])
}

pub(crate) fn messages() -> Vec<Vec<u8>> {
    let mut messages = files("shared/model/fixtures", ".json");
    for event in files("tests/events", ".json") {
        let event: Value = serde_json::from_slice(&event).unwrap();
        let records = event.get("Records").and_then(Value::as_array).cloned().unwrap_or_default();
        let bodies = records.iter().filter_map(|record| record.get("body")?.as_str());
        messages.extend(bodies.map(|body| body.as_bytes().to_vec()));
    }
    messages.extend(texts([
        r#"{"kind":"unreadable","version":1,"tenant":"11111111-2222-3333-4444-555555555555","body":"x"}"#,
        r#"{"kind":"notice","version":99,"body":"something else entirely"}"#,
    ]));
    messages
}

#[cfg(feature = "lambda")]
pub(crate) fn sqs_events() -> Vec<Vec<u8>> {
    let mut events = files("tests/events", ".json");
    events.extend(texts([r#"{"Records":[]}"#]));
    events
}

#[cfg(feature = "lambda")]
pub(crate) fn schedules() -> Vec<Vec<u8>> {
    let mut events = files("tests/events", "poll.json");
    events.extend(texts(["{}", "null", r#""""#]));
    events
}

pub(crate) fn rows() -> Vec<Vec<u8>> {
    let at = noon();
    let body = |name: &str| -> Value {
        let message: Value =
            serde_json::from_str(&file(&format!("shared/model/fixtures/{name}.v1.json"))).unwrap();
        message.get("body").cloned().unwrap()
    };
    let (taken, found) = (body("action-taken"), body("alert-found"));
    let of = |body: &Value, field: &str| body.get(field).cloned().unwrap();
    let device = "1e5bc9d7e413ddd7902c2932e418702b84d0cc07";
    let said = json!({"at": at, "by": "operator@contoso.com", "why": "drill"});
    let held = json!({"alert": "a", "device": device, "device_name": null, "title": "A title",
        "severity": "High", "gate": "paused", "since": at});
    bytes([
        json!({"stamp": at, "floor": at, "last_success": at}),
        json!({"first_seen": of(&found, "first_seen"), "revisions": [of(&found, "revision")], "evidence": ["0123456789abcdef"]}),
        json!({"device": {"id": device, "tags": ["t"], "os_platform": "Windows11"}, "observed_at": at}),
        json!({"about": device, "last": taken, "decided_at": at, "judged": [of(&taken, "revision")], "severity": "High",
            "evidence": [], "updated": at, "told": 1, "held": held, "history": [{"at": at, "revision":
            of(&taken, "revision"), "decision": of(&taken, "decision"), "state": "held", "notes": [], "action": null}]}),
        json!({"device": device, "generation": 1, "attempt": 1, "id": "c0ffee", "effect": "isolate",
            "state": "requesting", "alert": "a", "order": {"cause": "operator", "by": "x", "why": "y", "message": "m"},
            "isolation_type": "Full", "due": at, "looks": 0, "action": "x", "claimed_at": at, "changed_at": at}),
        json!({"pause": said, "raised": {"to": 30, "until": at, "said": said}, "spent": [{"at": at, "device": device,
            "group": "g", "causes": ["title x"]}], "standing": 1, "open": [{"cause": "title x", "since": at}],
            "closed": [], "told": [{"gate": "hour", "at": at}]}),
        json!({"at": at, "channel": "mail", "subject": "s"}),
        json!({"until": at}),
        json!({"onboarded": 2_000, "counted_at": at}),
        held,
        json!({"alert": "a", "device": device, "device_name": null, "title": "A title", "severity": "High",
            "policies": ["isolate-high"], "at": at}),
        json!({"requestor": "app", "since": at, "looked_at": at, "alarmed": ["x"]}),
        json!({"at": at, "why": "the service gave no usable answer"}),
        json!({"at": at, "state": "requested", "said": "asked"}),
        json!({"at": at, "by": "x", "why": "y", "reason": "z", "queue": "alerts-found", "letter": "1"}),
    ])
}

/// `playbook.toml`, `policy.cedar`, `guarantees.cedar` and `assets.toml`, as they ship.
pub(crate) fn shipped_playbook() -> [String; 4] {
    ["playbook.toml", "policy.cedar", "guarantees.cedar", "assets.toml"]
        .map(|name| file(&format!("playbook/{name}")))
}

/// What ships, and the same with every example in it switched on.
fn with_examples(text: &str) -> Vec<Vec<u8>> {
    let lines =
        text.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line));
    let all = lines.collect::<Vec<_>>().join("\n");
    vec![text.as_bytes().to_vec(), all.into_bytes()]
}

/// A section or a whole setting, and no sentence that begins with one.
fn is_setting(line: &str) -> bool {
    let line = line.split(" #").next().unwrap_or_default().trim_end();
    let word = |c: char| c.is_ascii_lowercase() || c == '_';
    let is_whole = |value: &str| {
        let is_date_or_number = value.chars().all(|c| c.is_ascii_digit() || c == '-');
        value.ends_with(['"', ']']) || value == "true" || value == "false" || is_date_or_number
    };
    let setting = line.split_once(" = ").map(|(key, value)| (key.trim_matches('"'), value));
    line.starts_with('[') && line.ends_with(']')
        || setting.is_some_and(|(key, value)| key.to_lowercase().chars().all(word) && is_whole(value))
}

pub(crate) fn playbooks() -> Vec<Vec<u8>> {
    let [playbook, ..] = shipped_playbook();
    let mut playbooks = with_examples(&playbook);
    let password = format!(
        "mode = \"enforce\"\n[[channels]]\nname = \"team\"\nkind = \"smtp\"\nhost = \"mail.example.com\"\n\
         from = \"a@example.com\"\nto = [\"b@example.com\"]\nusername = \"x\"\npassword = \"{SECRET}\"\n"
    );
    playbooks.push(password.into_bytes());
    playbooks.extend(texts([
        "mode = \"enforce\"\n[limits]\nper_hour = 0x10\nper_day = 1_000\n[limits.per_group]\n\"Vorstand\" = 0\n",
        "[isolation]\ntype = \"Selective\"\ncomment = \"c\"\nrelease_after = \"never\"\ncomment_on_alert = true\n",
        "[poll]\ninterval = \"10s\"\noverlap = \"24h\"\n",
    ]));
    playbooks
}

pub(crate) fn assets() -> Vec<Vec<u8>> {
    let [.., assets] = shipped_playbook();
    let mut all = with_examples(&assets);
    all.extend(texts([
        "",
        "[[lists]]\nname = \"a\"\nowner = \"o\"\nreview_by = 2027-03-31\ntags = [\"t\"]\n",
    ]));
    all
}

/// What ships, file by file, and one that says all that a case can say.
pub(crate) fn cases() -> Vec<Vec<u8>> {
    let mut all = files("playbook/cases", ".toml");
    all.extend(texts([
        "",
        "[[lists]]\nname = \"a\"\ntags = [\"t\"]\n[[cases]]\nname = \"x\"\nalert = { severity = \"\", created = \"5h ago\", \
         user = { name = \"ada\" }, evidence = [{ kind = \"File\", process_id = 7 }], techniques = [\"T1\"] }\n\
         device = { tags = [\"t\"], last_seen = 2026-11-20T09:00:00Z }\nat = 2026-11-20T10:00:00Z\nseen = \"observe\"\n\
         mode = \"unset\"\nisolations_last_hour = 3\nopen_isolation = true\nexpect = \"refused\"\nby = [\"isolate-high\"]\n\
         against = []\ndoubts = [\"x\"]\ntold = true\nacts_in = \"observe\"\nisolation_type = \"Full\"\n",
    ]));
    all
}

pub(crate) fn policies() -> Vec<Vec<u8>> {
    let [_, policy, ..] = shipped_playbook();
    let mut policies = vec![policy.clone().into_bytes()];
    let rules: Vec<&str> = policy.split("\n@id(").skip(1).collect();
    policies.extend(rules.iter().map(|rule| format!("@id({rule}").into_bytes()));
    policies.extend(texts([
        "",
        "@id(\"a\")\n@reason(\"b\")\npermit (principal, action == Action::\"isolate\", resource)\nwhen { context.hour > 7 };",
    ]));
    policies
}

pub(crate) fn env_files() -> Vec<Vec<u8>> {
    let good = "\u{feff}# the tenant\nDEFENDER_TENANT_ID=11111111-2222-3333-4444-555555555555\n\
        export DEFENDER_CLIENT_ID=\"app\"\n";
    let with = |more: &str| format!("{good}{more}").into_bytes();
    vec![
        with(&format!("DEFENDER_CLIENT_SECRET='{SECRET}'\nCORDON_MODE=enforce\nCORDON_LOOKBACK=2d 12h\n")),
        with(&format!(
            "DEFENDER_CLIENT_SECRET={SECRET}\r\nDEFENDER_CLOUD=gcc-high\r\nDEFENDER_AUDIENCE=x/\r\n"
        )),
        with("DEFENDER_API_URL=http://localhost:8765/\nDEFENDER_LOGIN_URL=https://login.example/a/\n"),
        with(&format!(
            "DEFENDER_ACTOR_CLIENT_ID=b\nDEFENDER_ACTOR_CLIENT_SECRET={SECRET}\nDEFENDER_SECRET_ID=x\n"
        )),
        with(&format!(
            "DEFENDER_CERTIFICATE=/etc/cordon.pem\nDEFENDER_API_URL=https://user:{SECRET}@example.com\n"
        )),
        format!("{SECRET}\n1{SECRET}=x\n").into_bytes(),
    ]
}

pub(crate) fn certificates() -> Vec<Vec<u8>> {
    let certificate = file("fuzz/seeds/ca.pem");
    let key = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n");
    vec![
        certificate.clone().into_bytes(),
        format!("{certificate}{key}").into_bytes(),
        format!("{key}{certificate}{certificate}").into_bytes(),
        key.into_bytes(),
        Vec::new(),
    ]
}
