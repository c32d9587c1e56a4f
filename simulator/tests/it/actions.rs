//! Isolating and releasing: the life of an action, repeats, refusals.

use serde_json::json;
use simulator::{Behaviour, DEFAULT_CLIENT, Duplicate, Fault, FaultKind, Machine, Simulator};

use crate::{Client, PC, code, ids, now, seconds, world};

#[tokio::test]
async fn an_isolation_is_created_pending_and_succeeds_as_time_passes() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    let (status, action) = client.isolate(PC).await;
    assert_eq!(status, 201);
    assert_eq!(
        (&action["type"], &action["status"], &action["scope"]),
        (&json!("Isolate"), &json!("Pending"), &json!("Full"))
    );
    assert_eq!(action["requestor"], DEFAULT_CLIENT);
    assert_eq!(action["requestorComment"], "Isolate machine due to alert 1234");
    let path = format!("/api/machineactions/{}", action["id"].as_str().unwrap());
    for (wait, status) in [(1, "InProgress"), (2, "Succeeded")] {
        simulator.advance(seconds(wait));
        assert_eq!(client.get(&path).await.1["status"], status);
    }
    let query = format!(
        "/api/machineactions?$filter=machineId eq '{PC}' and type eq 'Isolate' and status eq 'Succeeded'"
    );
    assert_eq!(ids(&client.get(&query).await.1), [action["id"].as_str().unwrap()]);
    assert!(simulator.with(|world| world.is_isolated(PC)));
    let (status, release) =
        client.post(&format!("/api/machines/{PC}/unisolate"), r#"{"Comment":"done"}"#).await;
    assert_eq!((status, &release["type"]), (201, &json!("Unisolate")));
    simulator.advance(seconds(3));
    assert!(!simulator.with(|world| world.is_isolated(PC)));
    assert_eq!(simulator.count("POST isolate"), 1);
    assert_eq!(simulator.violations(), Vec::<String>::new());
    assert_eq!(simulator.unexpected().len(), 0);
}

#[tokio::test]
async fn offline_failing_and_cancelled_end_as_they_should() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    simulator.with(|world| world.take_offline(PC));
    let (_, action) = client.isolate(PC).await;
    simulator.advance(seconds(71 * 3_600));
    let client = Client::of(&simulator).await;
    let path = format!("/api/machineactions/{}", action["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.1["status"], "Pending");
    let (status, cancelled) = client.post(&format!("{path}/cancel"), r#"{"Comment":"no"}"#).await;
    assert_eq!((status, &cancelled["status"]), (200, &json!("Cancelled")));
    assert_eq!(client.post(&format!("{path}/cancel"), r#"{"Comment":"no"}"#).await.0, 400);

    simulator.with(|world| world.machine_mut(PC).unwrap().behaviour = Behaviour::Fails);
    let (_, action) = client.isolate(PC).await;
    simulator.advance(seconds(3));
    let path = format!("/api/machineactions/{}", action["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.1["status"], "Failed");

    simulator.with(|world| world.take_offline(PC));
    let (_, action) = client.isolate(PC).await;
    simulator.advance(seconds(72 * 3_600));
    let client = Client::of(&simulator).await;
    let path = format!("/api/machineactions/{}", action["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.1["status"], "TimeOut");
}

#[tokio::test]
async fn a_repeat_while_one_is_under_way_gets_what_the_world_says() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    let (_, first) = client.isolate(PC).await;
    let (status, second) = client.isolate(PC).await;
    assert_eq!((status, &second["id"]), (201, &first["id"]));
    simulator.with(|world| world.duplicate = Duplicate::ActiveRequestAlreadyExists);
    let (status, body) = client.isolate(PC).await;
    assert_eq!((status, code(&body)), (400, "ActiveRequestAlreadyExists"));
    simulator.with(|world| world.duplicate = Duplicate::AlreadyInProgress);
    let (status, body) = client.isolate(PC).await;
    assert_eq!((status, &body["error"]["message"]), (400, &json!("Action is already in progress")));
    assert_eq!(simulator.with(|world| world.actions.len()), 1);
    assert_eq!(simulator.violations().len(), 3);
    assert_eq!(simulator.unexpected().len(), 0);
}

#[tokio::test]
async fn a_repeat_on_an_isolated_device_is_accepted_and_runs_after_the_release() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    client.isolate(PC).await;
    simulator.advance(seconds(3));
    let (status, stuck) = client.isolate(PC).await;
    assert_eq!((status, &stuck["status"]), (201, &json!("Pending")));
    assert_eq!(simulator.violations().len(), 1);
    simulator.advance(seconds(1_000));
    let path = format!("/api/machineactions/{}", stuck["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.1["status"], "Pending");
    simulator.with(|world| world.release_by_person(PC, "analyst@contoso.com"));
    simulator.advance(seconds(3));
    assert!(!simulator.with(|world| world.is_isolated(PC)));
    simulator.advance(seconds(3));
    assert!(simulator.with(|world| world.is_isolated(PC)));
}

#[tokio::test]
async fn a_body_that_the_service_would_refuse_is_refused() {
    let linux = Machine::new("m", "old.contoso.com", "Linux", now()).cannot_be_isolated();
    let simulator = Simulator::start(world().machine(linux)).await.unwrap();
    let client = Client::of(&simulator).await;
    let path = format!("/api/machines/{PC}/isolate");
    let cases = [
        ("{}", "MissingRequiredParameter"),
        (r#"{"Comment":" ","IsolationType":"Full"}"#, "MissingRequiredParameter"),
        (r#"{"comment":"x"}"#, "InvalidRequestBody"),
        (r#"{"Comment":"x","isolationType":"Full"}"#, "InvalidRequestBody"),
        (r#"{"Comment":"x","IsolationType":"full"}"#, "InvalidInput"),
        ("not json", "InvalidRequestBody"),
    ];
    for (body, expected) in cases {
        let (status, answer) = client.post(&path, body).await;
        assert_eq!((status, code(&answer)), (400, expected), "{body}");
    }
    assert_eq!(simulator.unexpected().len(), cases.len());
    let (status, answer) = client.isolate("m").await;
    assert_eq!((status, code(&answer)), (400, "OsPlatformNotSupported"));
    let (status, answer) = client.isolate("nowhere").await;
    assert_eq!((status, code(&answer)), (404, "ResourceNotFound"));
    assert_eq!(simulator.with(|world| world.actions.len()), 0);
}

#[tokio::test]
async fn an_effect_repeated_before_its_retry_after_is_a_violation() {
    let throttle = Fault::once("POST isolate", FaultKind::Throttle { retry_after: Some(30) });
    let simulator = Simulator::start(world().fault(throttle)).await.unwrap();
    let client = Client::of(&simulator).await;
    assert_eq!(client.isolate(PC).await.0, 429);
    assert_eq!(simulator.violations(), Vec::<String>::new());
    simulator.advance(seconds(29));
    assert_eq!(client.isolate(PC).await.0, 201);
    assert_eq!(simulator.violations().len(), 1, "{:?}", simulator.violations());
}
