//! Acting: asked for exactly once whatever goes wrong, and told apart by whether the service may have acted.

use crate::{Client, device, noon, one_device, start, stub::Stub, tenant, within};
use defender::{ApiError, Failed, Reached};
use model::{ActionKind, ActionStatus, IsolationType, MachineAction, NewAlert, Severity};
use serde_json::{Value, json};
use simulator::{ActionStatus as Status, ActionType, Fault, FaultKind, Simulator, Table, World};

/// An action that is open in every world here.
const OPEN: &str = "00000000-0000-0000-0000-000000000001";

const ROUTES: [&str; 5] =
    ["POST isolate", "POST unisolate", "POST cancel", "PATCH alert", "POST create alert"];

async fn isolate(client: &Client) -> Result<MachineAction, Failed> {
    client.responder.isolate(&device(), IsolationType::Full, "because [cordon:x]", noon()).await
}

/// An alert to be made of the event that hunting shows in every world here.
fn new_alert() -> NewAlert {
    NewAlert {
        event_time: "2026-11-20T12:00:00.0000000Z".to_owned(),
        report_id: "4711".to_owned(),
        severity: Severity::Medium,
        title: "A hunt found something".to_owned(),
        description: "It says what.".to_owned(),
        recommended_action: "Look at it.".to_owned(),
        category: "SuspiciousActivity".to_owned(),
    }
}

/// Acts by this route.
async fn act(client: &Client, route: &str) -> Result<(), Failed> {
    let (responder, why) = (&client.responder, "because [cordon:x]");
    match route {
        "POST isolate" => isolate(client).await.map(|_| ()),
        "POST unisolate" => responder.release(&device(), why, noon()).await.map(|_| ()),
        "POST cancel" => responder.cancel(&OPEN.parse().unwrap(), why, noon()).await.map(|_| ()),
        "PATCH alert" => responder.comment(&"a".parse().unwrap(), why, noon()).await,
        "POST create alert" => responder.create_alert(&device(), &new_alert(), noon()).await.map(|_| ()),
        other => unreachable!("{other}"),
    }
}

/// An open release on another device, and an app that may do everything that is done here.
async fn with_action(faults: Vec<Fault>) -> (Simulator, Client) {
    let roles = &["Alert.ReadWrite.All", "Machine.Read.All", "Machine.Isolate"];
    let events = Table::new("events").row(noon(), json!({"ReportId": 4_711, "DeviceId": device()}));
    let world = one_device(faults).app(simulator::DEFAULT_CLIENT, simulator::DEFAULT_SECRET, roles);
    let mut world = world.table(events);
    world.release_by_person(&"f".repeat(40), "anna@contoso.com");
    for action in &mut world.actions {
        action.id = OPEN.to_owned();
    }
    start(world).await
}

/// Whether the service has done what the route is for.
fn acted(simulator: &Simulator, route: &str) -> bool {
    simulator.with(|world| {
        let asked = |kind| world.actions.iter().any(|action| action.kind == kind && action.id != OPEN);
        match route {
            "POST isolate" => asked(ActionType::Isolate),
            "POST unisolate" => asked(ActionType::Unisolate),
            "POST create alert" => world.alerts.len() > 1,
            "POST cancel" => world.action(OPEN).unwrap().status == Status::Cancelled,
            _ => !world.comments_on("a").is_empty(),
        }
    })
}

#[tokio::test]
async fn a_release_and_a_cancellation_carry_their_comment_and_answer_the_action() {
    let (simulator, client) = with_action(Vec::new()).await;
    let release = client.responder.release(&device(), "clean [cordon:y]", noon()).await.unwrap();
    assert_eq!((release.kind, release.device), (ActionKind::Unisolate, Some(device())));
    assert_eq!(
        (release.status, release.comment.as_deref()),
        (ActionStatus::Pending, Some("clean [cordon:y]"))
    );
    let cancelled = client.responder.cancel(&release.id, "not now", noon()).await.unwrap();
    assert_eq!((&cancelled.id, cancelled.status), (&release.id, ActionStatus::Cancelled));
    let asked: Vec<(String, Value)> = simulator
        .journal()
        .into_iter()
        .filter(|entry| entry.method == "POST" && entry.route != "POST token")
        .map(|entry| (entry.path, serde_json::from_str(&entry.body).unwrap()))
        .collect();
    let expected = [
        (format!("/api/machines/{}/unisolate", device()), json!({"Comment": "clean [cordon:y]"})),
        (format!("/api/machineactions/{}/cancel", release.id), json!({"Comment": "not now"})),
    ];
    assert_eq!(asked, expected);
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}

#[tokio::test]
async fn what_has_ended_cannot_be_cancelled_and_was_not() {
    let (simulator, client) = with_action(Vec::new()).await;
    act(&client, "POST cancel").await.unwrap();
    let failed = act(&client, "POST cancel").await.unwrap_err();
    assert!(matches!(failed.error, ApiError::BadRequest(_)), "{failed:?}");
    assert_eq!((failed.reached, simulator.count("POST cancel")), (Reached::No, 2));
}

#[tokio::test]
async fn a_comment_is_added_to_the_alert_and_nothing_else_is_changed() {
    let (simulator, client) = with_action(Vec::new()).await;
    client.responder.comment(&"a".parse().unwrap(), "isolated\nto undo: …", noon()).await.unwrap();
    let journal = simulator.journal();
    let asked = journal.iter().find(|entry| entry.route == "PATCH alert").unwrap();
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!((asked.path.as_str(), body), ("/api/alerts/a", json!({"comment": "isolated\nto undo: …"})));
    assert_eq!(simulator.with(|world| world.comments_on("a").concat()), "isolated\nto undo: …");

    let failed = client.responder.comment(&"b".parse().unwrap(), "x", noon()).await.unwrap_err();
    assert!(matches!(failed.error, ApiError::NotFound(_)), "{failed:?}");
    assert_eq!(failed.reached, Reached::No);
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}

#[tokio::test]
async fn an_alert_is_made_of_an_event_and_its_id_is_the_answer() {
    let (simulator, client) = with_action(Vec::new()).await;
    let create = async |new: &NewAlert| client.responder.create_alert(&device(), new, noon()).await;
    let made = create(&new_alert()).await.unwrap();
    let journal = simulator.journal();
    let asked = journal.iter().find(|entry| entry.route == "POST create alert").unwrap();
    let expected = json!({
        "machineId": device(), "eventTime": "2026-11-20T12:00:00.0000000Z", "reportId": "4711",
        "severity": "Medium", "title": "A hunt found something", "description": "It says what.",
        "recommendedAction": "Look at it.", "category": "SuspiciousActivity",
    });
    assert_eq!(asked.path, "/api/alerts/CreateAlertByReference");
    assert_eq!(serde_json::from_str::<Value>(&asked.body).unwrap(), expected);
    let alert = client.reader.alert(&made, within(90)).await.unwrap();
    assert_eq!((alert.title.as_str(), alert.severity), ("A hunt found something", Some(Severity::Medium)));
    assert_eq!(
        create(&new_alert()).await.unwrap(),
        made,
        "an open one with the same title takes the event in"
    );
    let failed = create(&NewAlert { report_id: "4712".to_owned(), ..new_alert() }).await.unwrap_err();
    assert!(matches!(failed.error, ApiError::NotFound(_)), "{failed:?}");
    assert_eq!(failed.reached, Reached::No);
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}

#[tokio::test]
async fn an_isolation_is_asked_for_with_its_kind_and_comment() {
    let (simulator, client) = tenant(Vec::new()).await;
    let action = isolate(&client).await.unwrap();
    assert_eq!((action.kind, action.device), (ActionKind::Isolate, Some(device())));
    let journal = simulator.journal();
    let asked = journal.iter().find(|entry| entry.route == "POST isolate").unwrap();
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body, json!({"Comment": "because [cordon:x]", "IsolationType": "Full"}));
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}

/// Whether the service may have acted where this goes wrong; none where nothing does.
fn expected(kind: &FaultKind, route: &str) -> Option<Reached> {
    match kind {
        // Nobody reads what a comment is answered with.
        FaultKind::NotJson | FaultKind::EmptyBody if route == "PATCH alert" => None,
        FaultKind::Slow { .. } | FaultKind::ActsThenSlow { .. } => None,
        FaultKind::Throttle { .. } | FaultKind::Spurious404 => Some(Reached::No),
        FaultKind::ServerError(_)
        | FaultKind::ServerErrorAfterActing(_)
        | FaultKind::Reset
        | FaultKind::ResetAfter
        | FaultKind::TruncatedBody
        | FaultKind::WrongContentType => Some(Reached::Maybe),
        FaultKind::NotJson | FaultKind::EmptyBody => Some(Reached::Yes),
    }
}

#[tokio::test]
async fn an_effect_is_asked_for_once_whatever_goes_wrong() {
    for route in ROUTES {
        for kind in FaultKind::all() {
            let (simulator, client) = with_action(vec![Fault::once(route, kind.clone()).always()]).await;
            let answer = act(&client, route).await;
            let reached = answer.as_ref().err().map(|failed| failed.reached);
            assert_eq!(reached, expected(&kind, route), "{kind:?} on {route}: {answer:?}");
            assert_eq!((simulator.count(route), client.waited().len()), (1, 0), "{kind:?} on {route}");
            // What is said not to have been reached, was not.
            assert!(!acted(&simulator, route) || reached != Some(Reached::No), "{kind:?} on {route}");
        }
    }
}

#[tokio::test]
async fn an_effect_that_is_forbidden_or_wrong_was_not_carried_out() {
    for route in ROUTES {
        let (simulator, client) = with_action(Vec::new()).await;
        simulator.with(|world| {
            let reads_only = &["Alert.Read.All", "Machine.Read.All"];
            *world = world.clone().app(simulator::DEFAULT_CLIENT, simulator::DEFAULT_SECRET, reads_only);
        });
        let failed = act(&client, route).await.unwrap_err();
        assert!(matches!(failed.error, ApiError::Forbidden(_)), "{failed:?}");
        assert_eq!((failed.reached, simulator.count(route)), (Reached::No, 1));
        assert!(!acted(&simulator, route), "{route}");

        for status in [400, 409] {
            let (simulator, client) =
                with_action(vec![Fault::once(route, FaultKind::ServerError(status)).always()]).await;
            let failed = act(&client, route).await.unwrap_err();
            assert!(matches!(failed.error, ApiError::BadRequest(_)), "{failed:?}");
            assert_eq!((failed.reached, simulator.count(route)), (Reached::No, 1));
        }
    }
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_has_not_acted() {
    let (simulator, client) = tenant(Vec::new()).await;
    client.reader.roles(within(90)).await.unwrap();
    drop(simulator);
    let failed = isolate(&client).await.unwrap_err();
    assert_eq!(failed.reached, Reached::No, "{failed:?}");
    assert!(failed.error.to_string().contains("cannot be reached"), "{failed:?}");
}

#[tokio::test]
async fn without_a_token_nothing_is_asked_for() {
    for kind in [FaultKind::ServerError(503), FaultKind::Reset, FaultKind::NotJson] {
        let (simulator, client) = tenant(vec![Fault::once("POST token", kind.clone()).always()]).await;
        let failed = isolate(&client).await.unwrap_err();
        assert_eq!((failed.reached, simulator.count("POST isolate")), (Reached::No, 0), "{kind:?}");
    }
}

#[tokio::test]
async fn a_401_means_that_nothing_was_done_and_a_fresh_token_is_tried_once() {
    let (simulator, client) = tenant(Vec::new()).await;
    client.reader.roles(within(90)).await.unwrap();
    simulator.with(World::revoke_tokens);
    isolate(&client).await.unwrap();
    assert_eq!((simulator.count("POST token"), simulator.count("POST isolate")), (2, 2));
    assert_eq!(simulator.with(|world| world.actions.len()), 1);

    let (simulator, client) =
        tenant(vec![Fault::once("POST isolate", FaultKind::ServerError(401)).always()]).await;
    let failed = isolate(&client).await.unwrap_err();
    assert!(matches!(failed.error, ApiError::Unauthorized { .. }), "{failed:?}");
    assert_eq!((failed.reached, simulator.count("POST isolate")), (Reached::No, 2));
}

#[tokio::test]
async fn after_a_401_another_fault_is_still_not_answered_by_asking_again() {
    let faults = vec![
        Fault::once("POST isolate", FaultKind::ServerError(401)),
        Fault::once("POST isolate", FaultKind::ResetAfter).always(),
    ];
    let (simulator, client) = tenant(faults).await;
    let failed = isolate(&client).await.unwrap_err();
    assert_eq!((failed.reached, simulator.count("POST isolate")), (Reached::Maybe, 2));
    assert_eq!(simulator.with(|world| world.actions.len()), 1);
}

#[tokio::test]
async fn an_answer_that_is_no_action_leaves_it_open_what_was_done() {
    let long = "x".repeat(5_000);
    for body in
        ["[]", "null", "{}", r#"{"id": "x"}"#, r#"{"id": 5, "type": "Isolate", "status": "Pending"}"#, &long]
    {
        for route in ["POST isolate", "POST unisolate", "POST cancel", "POST create alert"] {
            // An id is all that is wanted of a new alert.
            if route == "POST create alert" && body.contains(r#""x""#) {
                continue;
            }
            let client = Client::of(&Stub::saying(body).url);
            let failed = act(&client, route).await.unwrap_err();
            assert_eq!(failed.reached, Reached::Yes, "{body} to {route}");
        }
    }
}

#[tokio::test]
async fn ids_in_an_effects_path_are_encoded() {
    let stub = Stub::saying("{}");
    let client = Client::of(&stub.url);
    client.responder.cancel(&"x/../y".parse().unwrap(), "x", noon()).await.unwrap_err();
    client.responder.comment(&"a?b#c".parse().unwrap(), "x", noon()).await.unwrap();
    let asked: Vec<String> = stub.requests().into_iter().map(|(_, line)| line).collect();
    let expected =
        ["POST /api/machineactions/x%2F..%2Fy/cancel HTTP/1.1", "PATCH /api/alerts/a%3Fb%23c HTTP/1.1"];
    assert_eq!(asked[1..], expected);
}

#[tokio::test]
async fn every_effect_goes_over_a_connection_of_its_own() {
    let action = json!({"id": "x", "type": "Isolate", "status": "Pending", "machineId": device()});
    let stub = Stub::saying(&action.to_string());
    let client = Client::of(&stub.url);
    let action = "x".parse().unwrap();
    for _ in 0..2 {
        client.reader.action(&action, within(90)).await.unwrap();
        isolate(&client).await.unwrap();
        act(&client, "POST unisolate").await.unwrap();
    }
    let on = |word: &str| -> Vec<usize> {
        stub.requests()
            .into_iter()
            .filter(|(_, line)| line.starts_with(word))
            .map(|(number, _)| number)
            .collect()
    };
    let (reads, posts) = (on("GET"), on("POST /api"));
    assert_eq!((reads.len(), posts.len()), (2, 4));
    assert_eq!(reads[0], reads[1], "reads share one");
    let own: std::collections::BTreeSet<&usize> = posts.iter().collect();
    assert!(own.len() == 4 && !posts.contains(&reads[0]), "{posts:?}, reads on {reads:?}");
}
