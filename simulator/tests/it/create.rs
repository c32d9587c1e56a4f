//! Create alert by reference: an alert made of an event that hunting has shown.

use serde_json::{Value, json};
use simulator::{DEFAULT_CLIENT, DEFAULT_SECRET, Simulator, Table, World};

use crate::{Client, PC, SERVER, code, now, seconds, world};

const PATH: &str = "/api/alerts/CreateAlertByReference";
const TIME: &str = "2026-03-01T11:59:00.1234567Z";

/// The tenant with an event, one more that is visible late, and an app that may create alerts.
fn eventful() -> World {
    let event = |id: Value| json!({ "ReportId": id, "DeviceId": PC });
    let at = TIME.parse().unwrap();
    world().app(DEFAULT_CLIENT, DEFAULT_SECRET, &["Alert.ReadWrite.All"]).table(
        Table::new("events").row(at, event(json!(20_776))).late_row(
            at,
            now() + seconds(60),
            event(json!("20777")),
        ),
    )
}

fn body(changes: &Value) -> String {
    let mut body = json!({
        "machineId": PC,
        "severity": "Low",
        "title": "example",
        "description": "example alert",
        "recommendedAction": "nothing",
        "eventTime": TIME,
        "reportId": "20776",
        "category": "Exploit",
    });
    let documented: Value =
        serde_json::from_str(include_str!("../../samples/request-create-alert.json")).unwrap();
    assert_eq!(body.as_object().unwrap().len(), documented.as_object().unwrap().len());
    for (name, value) in changes.as_object().unwrap() {
        assert!(documented.get(name).is_some() || value == "unknown", "{name} is no documented member");
        if value.is_null() {
            body.as_object_mut().unwrap().remove(name);
        } else {
            body[name] = value.clone();
        }
    }
    body.to_string()
}

#[tokio::test]
async fn an_alert_is_made_of_an_event_and_listed_from_then_on() {
    let simulator = Simulator::start(eventful()).await.unwrap();
    let client = Client::of(&simulator).await;
    let (status, made) = client.post(PATH, &body(&json!({}))).await;
    assert_eq!(status, 200, "{made}");
    let id = made["id"].as_str().unwrap();
    let (digits, number) = id.strip_prefix("da").unwrap().split_once('_').unwrap();
    assert_eq!(digits.len(), 18);
    number.parse::<i32>().unwrap();
    for (name, expected) in [
        ("detectionSource", "CustomerTI"),
        ("status", "New"),
        ("severity", "Low"),
        ("category", "Exploit"),
        ("title", "example"),
        ("machineId", PC),
        ("computerDnsName", "pc1.contoso.com"),
        ("lastEventTime", TIME),
        ("alertCreationTime", "2026-03-01T12:00:00Z"),
    ] {
        assert_eq!(made[name], expected, "{name}");
    }
    assert_eq!(client.get(&format!("/api/alerts/{id}")).await.1["title"], "example");
    let (_, listed) = client.get("/api/alerts?$filter=detectionSource eq 'CustomerTI'").await;
    assert_eq!(listed["value"].as_array().unwrap().len(), 1);
    let (_, graph) = Client::of_graph(&simulator).await.get(&format!("/v1.0/security/alerts_v2/{id}")).await;
    assert_eq!(graph["detectionSource"], "customTi");
    assert_eq!(simulator.count("POST create alert"), 1);
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}

#[tokio::test]
async fn an_open_alert_with_the_same_title_on_the_same_device_absorbs_a_new_one() {
    let simulator = Simulator::start(eventful()).await.unwrap();
    let client = Client::of(&simulator).await;
    let (_, first) = client.post(PATH, &body(&json!({}))).await;
    simulator.advance(seconds(60));
    let (status, again) = client.post(PATH, &body(&json!({ "reportId": "20777", "severity": "High" }))).await;
    assert_eq!((status, &again["id"], &again["severity"]), (200, &first["id"], &json!("Low")));
    assert_eq!(again["lastUpdateTime"], "2026-03-01T12:01:00Z");
    let (_, other) = client.post(PATH, &body(&json!({ "title": "another" }))).await;
    assert_ne!(other["id"], first["id"]);
    let first = first["id"].as_str().unwrap().to_owned();
    simulator.with(|world| world.change_alert(&first, |alert| alert.status = "Resolved".to_owned()));
    let (_, after) = client.post(PATH, &body(&json!({}))).await;
    assert_ne!(after["id"], first.as_str(), "a resolved alert absorbs nothing");
    assert_eq!(simulator.with(|world| world.alerts.len()), 5);
    assert!(simulator.violations().is_empty());
}

#[tokio::test]
async fn an_event_that_no_query_shows_is_not_found() {
    let simulator = Simulator::start(eventful()).await.unwrap();
    let client = Client::of(&simulator).await;
    for wrong in &[
        json!({ "reportId": "1" }),
        json!({ "reportId": "20777" }),
        json!({ "machineId": SERVER }),
        json!({ "eventTime": "2026-03-01T11:59:00.123456Z" }),
        json!({ "eventTime": "2026-03-01T11:59:00.1234568Z" }),
    ] {
        let (status, error) = client.post(PATH, &body(wrong)).await;
        assert_eq!((status, code(&error)), (404, "ResourceNotFound"), "{wrong}");
    }
    assert!(simulator.unexpected().is_empty() && simulator.violations().is_empty());
    assert_eq!(simulator.with(|world| world.alerts.len()), 2);
}

#[tokio::test]
async fn a_body_that_the_service_would_refuse_makes_nothing() {
    let simulator = Simulator::start(eventful()).await.unwrap();
    let client = Client::of(&simulator).await;
    let mut cases = vec![
        (json!({ "severity": "Informational" }), "InvalidInput"),
        (json!({ "category": "Other" }), "InvalidInput"),
        (json!({ "eventTime": "yesterday" }), "InvalidInput"),
        (json!({ "title": " " }), "MissingRequiredParameter"),
        (json!({ "reportId": 20_776 }), "InvalidRequestBody"),
        (json!({ "Title": "unknown" }), "InvalidRequestBody"),
    ];
    for name in [
        "eventTime",
        "reportId",
        "machineId",
        "severity",
        "title",
        "description",
        "recommendedAction",
        "category",
    ] {
        cases.push((json!({ name: null }), "MissingRequiredParameter"));
    }
    // More than fifteen calls come in a minute.
    simulator.with(|world| world.quotas = false);
    for (changes, expected) in &cases {
        let (status, error) = client.post(PATH, &body(changes)).await;
        assert_eq!((status, code(&error)), (400, *expected), "{changes}");
    }
    assert_eq!(simulator.unexpected().len(), cases.len());
    assert_eq!(simulator.violations(), ["`Title` is no member of an alert to create (case counts)"]);
    assert_eq!(simulator.with(|world| world.alerts.len()), 2);
}

#[tokio::test]
async fn creating_is_limited_to_fifteen_a_minute_and_wants_the_role_to_write() {
    let simulator = Simulator::start(eventful()).await.unwrap();
    let client = Client::of(&simulator).await;
    for number in 0..15 {
        let (status, _) = client.post(PATH, &body(&json!({ "title": format!("t{number}") }))).await;
        assert_eq!(status, 200);
    }
    let (status, error) = client.post(PATH, &body(&json!({}))).await;
    assert_eq!(status, 429);
    assert!(error["error"]["message"].as_str().unwrap().contains("15 per 00:01:00"), "{error}");
    client.post(PATH, &body(&json!({}))).await;
    assert_eq!(simulator.violations().len(), 1, "an alert is an effect: its Retry-After counts");

    let simulator = Simulator::start(world()).await.unwrap();
    let (status, error) = Client::of(&simulator).await.post(PATH, &body(&json!({}))).await;
    assert_eq!(status, 403);
    assert!(error["error"]["message"].as_str().unwrap().contains("(Alert.ReadWrite.All)"), "{error}");
}
