//! Acting: asked for exactly once whatever goes wrong, and told apart by whether the service may have acted.

use crate::{Client, device, noon, one_device, start, stub::Stub, tenant, within};
use defender::{ApiError, Failed, Reached};
use model::{ActionKind, IsolationType, MachineAction};
use serde_json::{Value, json};
use simulator::{Fault, FaultKind, World};

async fn isolate(client: &Client) -> Result<MachineAction, Failed> {
    client.responder.isolate(&device(), IsolationType::Full, "because [cordon:x]", noon()).await
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
fn expected(kind: &FaultKind) -> Option<Reached> {
    match kind {
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
async fn an_isolation_is_asked_for_once_whatever_goes_wrong() {
    for kind in FaultKind::all() {
        let (simulator, client) = tenant(vec![Fault::once("POST isolate", kind.clone()).always()]).await;
        let answer = isolate(&client).await;
        assert_eq!(
            answer.as_ref().err().map(|failed| failed.reached),
            expected(&kind),
            "{kind:?}: {answer:?}"
        );
        assert_eq!((simulator.count("POST isolate"), client.waited().len()), (1, 0), "{kind:?}");
        // What is said not to have been reached, was not.
        let acted = simulator.with(|world| !world.actions.is_empty());
        assert!(!acted || expected(&kind) != Some(Reached::No), "{kind:?}");
    }
}

#[tokio::test]
async fn an_isolation_that_is_forbidden_or_wrong_was_not_carried_out() {
    let reads_only = &["Alert.Read.All", "Machine.Read.All"];
    let world = one_device(Vec::new()).app(simulator::DEFAULT_CLIENT, simulator::DEFAULT_SECRET, reads_only);
    let (simulator, client) = start(world).await;
    let failed = isolate(&client).await.unwrap_err();
    assert!(matches!(failed.error, ApiError::Forbidden(_)), "{failed:?}");
    assert_eq!((failed.reached, simulator.count("POST isolate")), (Reached::No, 1));

    for status in [400, 409] {
        let (simulator, client) =
            tenant(vec![Fault::once("POST isolate", FaultKind::ServerError(status)).always()]).await;
        let failed = isolate(&client).await.unwrap_err();
        assert!(matches!(failed.error, ApiError::BadRequest(_)), "{failed:?}");
        assert_eq!((failed.reached, simulator.count("POST isolate")), (Reached::No, 1));
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
        let client = Client::of(&Stub::saying(body).url);
        let failed = isolate(&client).await.unwrap_err();
        assert_eq!(failed.reached, Reached::Yes, "{body}");
    }
}

#[tokio::test]
async fn every_isolation_goes_over_a_connection_of_its_own() {
    let action = json!({"id": "x", "type": "Isolate", "status": "Pending", "machineId": device()});
    let stub = Stub::saying(&action.to_string());
    let client = Client::of(&stub.url);
    let action = "x".parse().unwrap();
    for _ in 0..2 {
        client.reader.action(&action, within(90)).await.unwrap();
        isolate(&client).await.unwrap();
    }
    let on = |word: &str| -> Vec<usize> {
        stub.requests()
            .into_iter()
            .filter(|(_, line)| line.starts_with(word))
            .map(|(number, _)| number)
            .collect()
    };
    let (reads, posts) = (on("GET"), on("POST /api"));
    assert_eq!((reads.len(), posts.len()), (2, 2));
    assert_eq!(reads[0], reads[1], "reads share one");
    assert!(posts[0] != posts[1] && !posts.contains(&reads[0]), "{posts:?}, reads on {reads:?}");
}
