//! Updating alerts, above all with comments; and what the app does that nobody asked for.

use serde_json::{Value, json};
use simulator::{ActionType, DEFAULT_CLIENT, DEFAULT_SECRET, Fault, FaultKind, Simulator, World};

use crate::{Client, PC, SERVER, code, ids, now, seconds, world};

const PATH: &str = "/api/alerts/da1_1";

/// The tenant with an app that may also write on alerts.
fn writable() -> World {
    world().app(DEFAULT_CLIENT, DEFAULT_SECRET, &["Alert.ReadWrite.All", "Machine.Read.All"])
}

fn comment(text: &str) -> String {
    json!({ "comment": text }).to_string()
}

#[tokio::test]
async fn a_comment_is_appended_and_moves_the_alerts_last_update() {
    let simulator = Simulator::start(writable()).await.unwrap();
    let client = Client::of(&simulator).await;
    simulator.advance(seconds(60));
    let (status, updated) = client.patch(PATH, &comment("isolated by Cordon")).await;
    assert_eq!(status, 200);
    let expected = json!([{
        "comment": "isolated by Cordon",
        "createdBy": DEFAULT_CLIENT,
        "createdTime": "2026-03-01T12:01:00Z",
    }]);
    assert_eq!(updated["comments"], expected);
    client.patch(PATH, &comment("and released")).await;

    let (_, alert) = client.get(PATH).await;
    assert_eq!((&alert["comments"][0], alert["comments"].as_array().unwrap().len()), (&expected[0], 2));
    assert_eq!((&alert["lastUpdateTime"], &alert["status"]), (&json!("2026-03-01T12:01:00Z"), &json!("New")));
    let (_, list) = client.get("/api/alerts?$filter=lastUpdateTime gt 2026-03-01T12:00:00Z").await;
    assert_eq!(ids(&list), ["da1_1"]);
    simulator.with(|world| {
        assert_eq!(world.comments_on("da1_1"), ["isolated by Cordon", "and released"]);
        assert!(world.comments_on("da1_-2").is_empty() && world.comments_on("no such").is_empty());
    });
    assert_eq!(simulator.count("PATCH alert"), 2);
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}

#[tokio::test]
async fn the_same_comment_twice_is_a_violation_on_one_alert_only() {
    let simulator = Simulator::start(writable()).await.unwrap();
    let client = Client::of(&simulator).await;
    client.patch(PATH, &comment("x")).await;
    client.patch("/api/alerts/da1_-2", &comment("x")).await;
    assert!(simulator.violations().is_empty());
    assert_eq!(client.patch(PATH, &comment("x")).await.0, 200);
    assert_eq!(simulator.violations(), ["the same comment posted twice on alert da1_1"]);
}

#[tokio::test]
async fn what_is_left_out_of_an_update_keeps_its_value() {
    let simulator = Simulator::start(writable()).await.unwrap();
    let client = Client::of(&simulator).await;
    let body = json!({
        "status": "Resolved",
        "assignedTo": "anna@contoso.com",
        "classification": "TruePositive",
        "determination": "Malware",
    });
    assert_eq!(client.patch(PATH, &body.to_string()).await.0, 200);
    let (_, alert) = client.patch(PATH, r#"{"status":"InProgress"}"#).await;
    let kept = ["assignedTo", "classification", "determination"].map(|name| &alert[name]);
    assert_eq!(kept, [&body["assignedTo"], &body["classification"], &body["determination"]]);
    assert_eq!((&alert["status"], &alert["comments"]), (&json!("InProgress"), &json!([])));
}

#[tokio::test]
async fn an_update_that_the_service_would_refuse_changes_nothing() {
    let simulator = Simulator::start(writable()).await.unwrap();
    let client = Client::of(&simulator).await;
    let cases = [
        ("{}", "InvalidRequestBody"),
        ("not json", "InvalidRequestBody"),
        (r#"{"Comment":"x"}"#, "InvalidRequestBody"),
        (r#"{"comment":7}"#, "InvalidRequestBody"),
        (r#"{"comment":"x","severity":"Low"}"#, "InvalidRequestBody"),
        (r#"{"comment":"x","status":"Closed"}"#, "InvalidInput"),
    ];
    for (body, expected) in cases {
        let (status, answer) = client.patch(PATH, body).await;
        assert_eq!((status, code(&answer)), (400, expected), "{body}");
    }
    assert_eq!(simulator.unexpected().len(), cases.len());
    let (status, answer) = client.patch("/api/alerts/no-such", &comment("x")).await;
    assert_eq!((status, code(&answer)), (404, "ResourceNotFound"));
    assert!(simulator.with(|world| world.comments_on("da1_1").is_empty()));
}

#[tokio::test]
async fn updating_needs_its_own_role_and_has_quota_and_faults_like_every_route() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    let (status, answer) = client.patch(PATH, &comment("x")).await;
    assert_eq!(status, 403);
    assert!(answer["error"]["message"].as_str().unwrap().contains("(Alert.ReadWrite.All)"), "{answer}");

    let throttle = Fault::once("PATCH alert", FaultKind::Throttle { retry_after: Some(30) });
    let simulator = Simulator::start(writable().fault(throttle).quota("PATCH alert", 1, 10)).await.unwrap();
    let client = Client::of(&simulator).await;
    assert_eq!(client.patch(PATH, &comment("a")).await.0, 429);
    simulator.advance(seconds(30));
    assert_eq!(client.patch(PATH, &comment("b")).await.0, 200);
    assert_eq!(client.patch(PATH, &comment("c")).await.0, 429);
    assert!(simulator.violations().is_empty());
    assert_eq!(client.patch(PATH, &comment("d")).await.0, 429);
    assert_eq!(simulator.violations().len(), 1, "an update is an effect: its Retry-After counts");
    assert_eq!(simulator.with(|world| world.comments_on("da1_1").join(" ")), "b");
}

#[tokio::test]
async fn an_action_of_the_app_that_nobody_asked_for_looks_like_any_of_its_own() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    let (_, asked) = client.isolate(PC).await;
    simulator.advance(seconds(60));
    let alien = simulator.with(|world| world.act_as(DEFAULT_CLIENT, ActionType::Isolate, SERVER));
    simulator.with(|world| world.release_by_person(PC, "anna@contoso.com"));
    simulator.with(|world| world.act_as(DEFAULT_CLIENT, ActionType::RunAntiVirusScan, PC));
    let (_, action) = client.get(&format!("/api/machineactions/{alien}")).await;
    for same in ["requestor", "requestSource", "scope", "type", "status"] {
        assert_eq!(action[same], asked[same], "{same}");
    }
    assert_eq!(simulator.count("POST isolate"), 1);

    let ours = format!("requestor eq '{DEFAULT_CLIENT}'");
    let moves = "(type eq 'Isolate' or type eq 'Unisolate')";
    let later = format!("creationDateTimeUtc ge {}", now() + seconds(1));
    for (filter, expected) in [
        (format!("{ours} and {moves}"), 2),
        (moves.to_owned(), 3),
        (format!("{later} and {moves}"), 2),
        (format!("{ours} and {moves} and {later}"), 1),
        (format!("creationDateTimeUtc ge {}", now() + seconds(61)), 0),
    ] {
        let (status, list): (u16, Value) = client.get(&format!("/api/machineactions?$filter={filter}")).await;
        assert_eq!((status, ids(&list).len()), (200, expected), "{filter}");
    }
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}
