//! Reading: retried where that can help, within the caller's budget, and never taking half for the whole.

use crate::{Client, device, noon, one_device, passing, start, stub::Stub, tenant, whole_day, within};
use defender::{ApiError, Portion};
use jiff::SignedDuration;
use model::{ActionId, AlertId};
use serde_json::json;
use simulator::{ActionType, Alert, Comment, Fault, FaultKind, NextLinks, World};

const ROUTES: [&str; 6] =
    ["GET alerts", "GET alert", "GET machine", "GET machines", "GET machineactions", "GET machineaction"];

/// Reads by this route; whether something came.
async fn read(client: &Client, route: &str, seconds: i64) -> Result<bool, ApiError> {
    let (reader, call) = (&client.reader, within(seconds));
    let alert: AlertId = "a".parse().unwrap();
    let action: ActionId = "00000000-0000-0000-0000-000000000001".parse().unwrap();
    match route {
        "GET alerts" => {
            reader.alerts(whole_day(), 0, Portion::Whole, call).await.map(|page| page.alerts.len() == 1)
        }
        "GET alert" => reader.alert(&alert, call).await.map(|_| true),
        "GET machine" => reader.machine(&device(), call).await.map(|device| device.is_some()),
        "GET machines" => reader.machines(0, call).await.map(|page| page.devices.len() == 1),
        "GET machineactions" => reader.actions_of(&device(), call).await.map(|actions| actions.len() == 1),
        "GET machineaction" => reader.action(&action, call).await.map(|_| true),
        other => unreachable!("{other}"),
    }
}

/// One device, on which an action is open.
fn with_action(faults: Vec<Fault>) -> World {
    let mut world = one_device(faults);
    world.isolate_by_person(device().as_str(), "anna@contoso.com");
    for action in &mut world.actions {
        action.id = "00000000-0000-0000-0000-000000000001".to_owned();
    }
    world
}

#[tokio::test]
async fn every_read_survives_one_fault_of_every_kind() {
    for route in ROUTES {
        for kind in passing() {
            let (simulator, client) = start(with_action(vec![Fault::once(route, kind.clone())])).await;
            assert_eq!(read(&client, route, 90).await, Ok(true), "{kind:?} on {route}");
            assert_eq!(simulator.count(route), 2, "{kind:?} on {route}");
            assert_eq!(client.calls.all()[route], 2, "both were counted");
        }
    }
}

#[tokio::test]
async fn a_read_that_never_succeeds_is_given_up_within_its_budget() {
    for budget in [0, 1, 3, 10, 90] {
        let (simulator, client) =
            tenant(vec![Fault::once("GET alerts", FaultKind::ServerError(503)).always()]).await;
        let error = client.reader.alerts(whole_day(), 0, Portion::Whole, within(budget)).await.unwrap_err();
        assert!(matches!(error, ApiError::Unavailable { .. }), "{error:?}");
        let waited: SignedDuration = client.waited().iter().sum();
        assert!(waited <= SignedDuration::from_secs(budget), "{waited:?} of {budget} s");
        assert_eq!(simulator.count("GET alerts"), client.waited().len() + 1);
        assert!(simulator.count("GET alerts") <= 5);
    }
}

#[tokio::test]
async fn each_wait_is_about_twice_the_one_before() {
    let (_simulator, client) = tenant(vec![Fault::once("GET alerts", FaultKind::Reset).always()]).await;
    client.reader.alerts(whole_day(), 0, Portion::Whole, within(90)).await.unwrap_err();
    let waited = client.waited();
    assert_eq!(waited.len(), 4);
    for (wait, millis) in waited.into_iter().zip([500, 1_000, 2_000, 4_000]) {
        let range = SignedDuration::from_millis(millis / 2)..=SignedDuration::from_millis(millis * 3 / 2);
        assert!(range.contains(&wait), "{wait:?}, not in {range:?}");
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_and_a_minute_where_there_is_none() {
    for (retry_after, floor) in [(Some(17), 17), (None, 60)] {
        let (_simulator, client) =
            tenant(vec![Fault::once("GET alert", FaultKind::Throttle { retry_after })]).await;
        assert_eq!(read(&client, "GET alert", 90).await, Ok(true));
        let waited = client.waited();
        let range = SignedDuration::from_secs(floor)..SignedDuration::from_secs(floor + 2);
        assert!(waited.len() == 1 && range.contains(&waited[0]), "{waited:?}");
    }
}

#[tokio::test]
async fn a_budget_shorter_than_retry_after_gives_up_at_once() {
    let throttle = Fault::once("GET alert", FaultKind::Throttle { retry_after: Some(120) });
    let (simulator, client) = tenant(vec![throttle]).await;
    let error = read(&client, "GET alert", 90).await.unwrap_err();
    assert_eq!(error, ApiError::RateLimited { retry_after: SignedDuration::from_secs(120) });
    assert_eq!((simulator.count("GET alert"), client.waited().len()), (1, 0));
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    for status in [400, 403, 404, 409] {
        let (simulator, client) =
            tenant(vec![Fault::once("GET alerts", FaultKind::ServerError(status)).always()]).await;
        let error = read(&client, "GET alerts", 90).await.unwrap_err();
        let (ApiError::BadRequest(answer) | ApiError::Forbidden(answer) | ApiError::NotFound(answer)) = error
        else {
            panic!("{status}: {error:?}")
        };
        assert_eq!(answer.status, status);
        // A 400 may be about the order asked for: alerts are asked for once more without one.
        let calls = if status == 400 { 2 } else { 1 };
        assert_eq!((simulator.count("GET alerts"), client.waited().len()), (calls, 0), "{status}");
    }
}

#[tokio::test]
async fn an_app_without_the_role_is_told_so() {
    let world = one_device(Vec::new()).app(
        simulator::DEFAULT_CLIENT,
        simulator::DEFAULT_SECRET,
        &["Machine.Read.All"],
    );
    let (_simulator, client) = start(world).await;
    let error = read(&client, "GET alerts", 90).await.unwrap_err();
    assert!(
        matches!(&error, ApiError::Forbidden(answer) if answer.message.contains("Alert.Read.All")),
        "{error:?}"
    );
    assert_eq!(client.reader.roles(within(90)).await, Ok(Some(vec!["Machine.Read.All".to_owned()])));
}

#[tokio::test]
async fn a_404_on_one_thing_is_asked_for_once_more_before_it_is_believed() {
    for route in ["GET alert", "GET machine", "GET machineactions"] {
        let (simulator, client) = start(with_action(vec![Fault::once(route, FaultKind::Spurious404)])).await;
        assert_eq!(read(&client, route, 90).await, Ok(true), "{route}");
        assert_eq!(simulator.count(route), 2, "{route}");
    }
}

#[tokio::test]
async fn a_404_that_comes_twice_is_believed() {
    let twice = |route| vec![Fault::once(route, FaultKind::Spurious404).always()];
    let (simulator, client) = tenant(twice("GET machine")).await;
    assert_eq!(client.reader.machine(&device(), within(90)).await, Ok(None));
    assert_eq!(simulator.count("GET machine"), 2);
    let (_simulator, client) = tenant(twice("GET alert")).await;
    assert!(matches!(read(&client, "GET alert", 90).await, Err(ApiError::NotFound(_))));
    let (_simulator, client) = tenant(twice("GET machines")).await;
    assert_eq!(client.reader.machines(0, within(90)).await.unwrap().next_skip, None);
}

#[tokio::test]
async fn another_device_than_the_one_asked_for_is_none() {
    let other = json!({"id": "f".repeat(40), "osPlatform": "Windows11"}).to_string();
    let client = Client::of(&Stub::saying(&other).url);
    assert_eq!(client.reader.machine(&device(), within(90)).await, Ok(None));
}

fn action(fields: &[(&str, &str)]) -> serde_json::Value {
    let mut action = json!({"id": "x", "type": "Isolate", "status": "Pending", "machineId": device()});
    for (name, value) in fields {
        action.as_object_mut().unwrap().insert((*name).to_owned(), json!(value));
    }
    action
}

#[tokio::test]
async fn half_a_list_of_actions_is_not_taken_for_the_whole() {
    let mut without_type = action(&[]);
    without_type["type"] = json!(null);
    let mut without_status = action(&[]);
    without_status["status"] = json!(7);
    let mut without_device = action(&[]);
    without_device["machineId"] = json!(null);
    let long = "x".repeat(5_000);
    let bodies = [
        json!({"value": [action(&[]), 5]}),
        json!({"value": [action(&[]), without_type]}),
        json!({"value": [action(&[]), without_status]}),
        json!({"value": [action(&[]), without_device]}),
        json!({"value": [action(&[]), action(&[("status", &long)])]}),
        json!({"value": [action(&[])], "@odata.nextLink": "https://api.security.microsoft.com/api/machineactions?x"}),
        json!({"value": vec![action(&[]); 10_000]}),
        json!({"values": [action(&[])]}),
    ];
    for body in bodies {
        let body = body.to_string();
        let client = Client::of(&Stub::saying(&body).url);
        let answer = client.reader.actions_of(&device(), within(90)).await;
        let shown: String = body.chars().take(300).collect();
        assert!(matches!(answer, Err(ApiError::Unreadable { .. })), "{shown}: {answer:?}");
    }
    let whole = json!({"value": [action(&[]), action(&[("machineId", &"f".repeat(40))])]}).to_string();
    let client = Client::of(&Stub::saying(&whole).url);
    let actions = client.reader.actions_of(&device(), within(90)).await.unwrap();
    assert_eq!(actions.len(), 1, "another device's action is left out");
}

#[tokio::test]
async fn isolations_and_releases_since_a_time_are_listed_whoever_asked_and_on_whichever_device() {
    let mut world = one_device(Vec::new());
    let other = "f".repeat(40);
    world.act_as(simulator::DEFAULT_CLIENT, ActionType::Isolate, device().as_str());
    world.advance(SignedDuration::from_secs(60));
    let since = world.now;
    let release = world.release_by_person(device().as_str(), "anna@contoso.com");
    world.act_as(simulator::DEFAULT_CLIENT, ActionType::RunAntiVirusScan, &other);
    let isolation = world.act_as(simulator::DEFAULT_CLIENT, ActionType::Isolate, &other);
    let (simulator, client) = start(world).await;
    let actions = client.reader.actions_since(since, within(90)).await.unwrap();
    let mut found: Vec<(&str, Option<&str>)> =
        actions.iter().map(|action| (action.id.as_str(), action.requestor.as_deref())).collect();
    let mut expected =
        [(release.as_str(), Some("anna@contoso.com")), (isolation.as_str(), Some(simulator::DEFAULT_CLIENT))];
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let later = since + SignedDuration::from_secs(1);
    assert_eq!(client.reader.actions_since(later, within(90)).await, Ok(Vec::new()));
    assert_eq!(simulator.count("GET machineactions"), 2);
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}

#[tokio::test]
async fn half_a_list_of_actions_since_a_time_is_not_taken_for_the_whole() {
    let mut without_status = action(&[]);
    without_status["status"] = json!(7);
    let bodies = [
        json!({"value": [action(&[]), 5]}),
        json!({"value": [action(&[]), without_status]}),
        json!({"value": [action(&[])], "@odata.nextLink": "https://api.security.microsoft.com/api/machineactions?x"}),
        json!({"value": vec![action(&[]); 10_000]}),
        json!({"values": []}),
    ];
    for body in bodies {
        let client = Client::of(&Stub::saying(&body.to_string()).url);
        let answer = client.reader.actions_since(noon(), within(90)).await;
        assert!(matches!(answer, Err(ApiError::Unreadable { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn the_alerts_of_an_incident_are_read_whole_or_not_at_all() {
    let alert = |id: &str, incident| Alert {
        incident_id: Some(incident),
        ..Alert::new(id, device().as_str(), noon())
    };
    let world = one_device(Vec::new()).alert(alert("b", 7)).alert(alert("c", 7)).alert(alert("d", 8));
    let (_simulator, client) = start(world).await;
    let alerts = client.reader.alerts_of_incident(7, within(90)).await.unwrap();
    let mut ids: Vec<&str> = alerts.iter().map(|alert| alert.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["b", "c"]);
    assert_eq!(client.reader.alerts_of_incident(9, within(90)).await.map(|alerts| alerts.len()), Ok(0));

    let one = json!({"id": "a"});
    for body in [
        json!({"value": [one, 5]}),
        json!({"value": vec![one.clone(); 2_000]}),
        json!({"value": [one], "@odata.nextLink": "https://api.security.microsoft.com/api/alerts?x"}),
    ] {
        let client = Client::of(&Stub::saying(&body.to_string()).url);
        let answer = client.reader.alerts_of_incident(7, within(90)).await;
        assert!(matches!(answer, Err(ApiError::Unreadable { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn the_comments_on_an_alert_are_read_as_they_were_written() {
    let comment = |text: &str| Comment {
        comment: text.to_owned(),
        created_by: "anna@contoso.com".to_owned(),
        created_time: noon(),
    };
    let mut alert = Alert::new("b", device().as_str(), noon());
    alert.comments = vec![comment("looked at it\nnothing"), comment("[cordon:x]")];
    let (_simulator, client) = start(one_device(Vec::new()).alert(alert)).await;
    let read = async |id: &str| client.reader.comments_on(&id.parse().unwrap(), within(90)).await;
    let both = ["looked at it\nnothing", "[cordon:x]"].map(str::to_owned).to_vec();
    assert_eq!((read("b").await, read("a").await), (Ok(both), Ok(Vec::new())));
    assert!(matches!(read("c").await, Err(ApiError::NotFound(_))));
}

#[tokio::test]
async fn one_comment_without_a_list_is_read_and_what_is_no_comment_is_not_taken_for_none() {
    let one = json!({"comment": "x"});
    for (comments, expected) in [
        (json!(null), Some(vec![])),
        (json!([]), Some(vec![])),
        (one.clone(), Some(vec!["x"])),
        (json!([one, one]), Some(vec!["x", "x"])),
        (json!("x"), None),
        (json!(7), None),
    ] {
        let client = Client::of(&Stub::saying(&json!({"id": "a", "comments": comments}).to_string()).url);
        let read = client.reader.comments_on(&"a".parse().unwrap(), within(90)).await;
        match expected {
            Some(texts) => assert_eq!(read.unwrap(), texts, "{comments}"),
            None => assert!(matches!(read, Err(ApiError::Unreadable { .. })), "{comments}: {read:?}"),
        }
    }
}

#[tokio::test]
async fn more_actions_than_a_page_are_an_error_and_not_a_part() {
    let mut world = with_action(Vec::new());
    world.actions = vec![world.actions[0].clone(); 10_001];
    world.next_links = NextLinks::Always;
    let (_simulator, client) = start(world).await;
    let error = client.reader.actions_of(&device(), within(90)).await.unwrap_err();
    assert!(error.to_string().contains("more machine actions than one page"), "{error}");
}

#[tokio::test]
async fn ids_are_encoded_in_paths() {
    let stub = Stub::saying("{}");
    let client = Client::of(&stub.url);
    for id in ["a/../b", "a?b=c#d", "a%2Fb", "a'b\"c"] {
        // The stub's answer is no alert; what was asked is what counts.
        client.reader.alert(&id.parse().unwrap(), within(0)).await.unwrap_err();
    }
    client.reader.action(&"x/../y".parse().unwrap(), within(0)).await.unwrap_err();
    let asked: Vec<String> = stub.requests().into_iter().map(|(_, line)| line).collect();
    let expected = [
        "GET /api/alerts/a%2F..%2Fb?$expand=evidence HTTP/1.1",
        "GET /api/alerts/a%3Fb%3Dc%23d?$expand=evidence HTTP/1.1",
        "GET /api/alerts/a%252Fb?$expand=evidence HTTP/1.1",
        "GET /api/alerts/a%27b%22c?$expand=evidence HTTP/1.1",
        "GET /api/machineactions/x%2F..%2Fy HTTP/1.1",
    ];
    assert_eq!(asked[1..], expected);
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once_and_the_second_401_is_the_answer() {
    let (simulator, client) = tenant(Vec::new()).await;
    assert_eq!(read(&client, "GET alert", 90).await, Ok(true));
    simulator.with(World::revoke_tokens);
    assert_eq!(read(&client, "GET alert", 90).await, Ok(true));
    assert_eq!((simulator.count("POST token"), simulator.count("GET alert")), (2, 3));

    let (simulator, client) =
        tenant(vec![Fault::once("GET alert", FaultKind::ServerError(401)).always()]).await;
    let error = read(&client, "GET alert", 90).await.unwrap_err();
    assert!(matches!(error, ApiError::Unauthorized { .. }), "{error:?}");
    assert_eq!((simulator.count("POST token"), simulator.count("GET alert")), (2, 2));
}

#[tokio::test]
async fn every_call_says_whose_it_is() {
    let (simulator, client) = tenant(Vec::new()).await;
    for route in ["GET alerts", "GET machine", "GET machineactions"] {
        read(&client, route, 90).await.unwrap();
    }
    let expected = format!("MdePartner-Cordon-Cordon/{}", env!("CARGO_PKG_VERSION"));
    let journal = simulator.journal();
    assert_eq!(journal.len(), 4);
    for entry in journal {
        let agent =
            entry.headers.iter().find(|(name, _)| name == "user-agent").map(|(_, value)| value.as_str());
        assert_eq!(agent, Some(expected.as_str()), "{}", entry.route);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_given_up() {
    let (simulator, client) =
        tenant(vec![Fault::once("GET alert", FaultKind::Slow { millis: 5_000 }).always()]).await;
    let error = read(&client, "GET alert", 1).await.unwrap_err();
    assert!(error.to_string().contains("did not answer in time"), "{error}");
    assert_eq!(simulator.count("GET alert"), 1);
    assert_eq!(noon(), simulator.with(|world| world.now));
}
