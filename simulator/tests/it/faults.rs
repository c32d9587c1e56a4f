//! Each kind of fault as a client meets it, and whether the request was processed all the same.

use std::time::{Duration, Instant};

use simulator::{Chaos, Fault, FaultKind, Simulator};

use crate::{Client, PC, code, http, world};

const BODY: &str = r#"{"Comment":"x"}"#;

/// Isolates through the fault; gives the answer and whether an action exists afterwards.
async fn isolate_through(kind: FaultKind) -> (Result<reqwest::Response, reqwest::Error>, bool, Simulator) {
    let simulator = Simulator::start(world().fault(Fault::once("POST isolate", kind))).await.unwrap();
    let client = Client::of(&simulator).await;
    let answer = client.send(&format!("/api/machines/{PC}/isolate"), Some(BODY)).await;
    let acted = simulator.with(|world| !world.actions.is_empty());
    (answer, acted, simulator)
}

#[tokio::test]
async fn a_reset_gives_no_answer_and_does_nothing() {
    let (answer, acted, simulator) = isolate_through(FaultKind::Reset).await;
    answer.unwrap_err();
    assert!(!acted);
    let entry = simulator.journal().pop().unwrap();
    assert_eq!((entry.fault.as_deref(), entry.status), (Some("reset"), None));
}

#[tokio::test]
async fn a_reset_after_acting_gives_no_answer_and_has_acted() {
    let (answer, acted, simulator) = isolate_through(FaultKind::ResetAfter).await;
    answer.unwrap_err();
    assert!(acted);
    assert_eq!(simulator.count("POST isolate"), 1);
}

#[tokio::test]
async fn a_server_error_does_nothing_unless_it_comes_after_acting() {
    let (answer, acted, _simulator) = isolate_through(FaultKind::ServerError(503)).await;
    assert_eq!((answer.unwrap().status().as_u16(), acted), (503, false));
    let (answer, acted, _simulator) = isolate_through(FaultKind::ServerErrorAfterActing(500)).await;
    assert_eq!((answer.unwrap().status().as_u16(), acted), (500, true));
}

#[tokio::test]
async fn a_throttle_has_the_retry_after_it_was_given_or_none() {
    let (answer, acted, _simulator) = isolate_through(FaultKind::Throttle { retry_after: Some(7) }).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status().as_u16(), acted), (429, false));
    assert_eq!(answer.headers()["retry-after"], "7");
    let (answer, _, _simulator) = isolate_through(FaultKind::Throttle { retry_after: None }).await;
    assert_eq!(answer.unwrap().headers().get("retry-after"), None);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the time that an answer took is what is tested")]
async fn a_slow_answer_comes_late() {
    for kind in [FaultKind::Slow { millis: 200 }, FaultKind::ActsThenSlow { millis: 200 }] {
        let before = Instant::now();
        let (answer, acted, _simulator) = isolate_through(kind).await;
        assert_eq!((answer.unwrap().status().as_u16(), acted), (201, true));
        assert!(before.elapsed() >= Duration::from_millis(200));
    }
}

#[tokio::test]
async fn who_gives_up_on_a_slow_call_has_acted_only_if_it_acts_first() {
    for (kind, acts) in
        [(FaultKind::Slow { millis: 60_000 }, false), (FaultKind::ActsThenSlow { millis: 60_000 }, true)]
    {
        let simulator = Simulator::start(world().fault(Fault::once("POST isolate", kind))).await.unwrap();
        let client = Client::of(&simulator).await;
        let impatient = reqwest::Client::builder().timeout(Duration::from_millis(500)).build().unwrap();
        let client = Client { http: impatient, ..client };
        let answer = client.send(&format!("/api/machines/{PC}/isolate"), Some(BODY)).await;
        assert!(answer.unwrap_err().is_timeout());
        assert_eq!(simulator.with(|world| !world.actions.is_empty()), acts);
    }
}

#[tokio::test]
async fn a_truncated_answer_has_a_status_and_half_a_body() {
    let (answer, acted, _simulator) = isolate_through(FaultKind::TruncatedBody).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status().as_u16(), acted), (201, true));
    answer.bytes().await.unwrap_err();
}

#[tokio::test]
async fn a_login_page_is_html_with_200_and_does_nothing() {
    let (answer, acted, _simulator) = isolate_through(FaultKind::WrongContentType).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status().as_u16(), acted), (200, false));
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert!(answer.text().await.unwrap().starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn an_answer_that_is_no_json_and_one_that_is_empty_have_acted() {
    let (answer, acted, _simulator) = isolate_through(FaultKind::NotJson).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status().as_u16(), acted), (201, true));
    serde_json::from_str::<serde_json::Value>(&answer.text().await.unwrap()).unwrap_err();
    let (answer, acted, _simulator) = isolate_through(FaultKind::EmptyBody).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status().as_u16(), acted), (201, true));
    assert_eq!(answer.text().await.unwrap(), "");
}

#[tokio::test]
async fn a_spurious_404_is_over_with_the_next_call() {
    let fault = Fault::once("GET alert", FaultKind::Spurious404);
    let simulator = Simulator::start(world().fault(fault)).await.unwrap();
    let client = Client::of(&simulator).await;
    let (status, body) = client.get("/api/alerts/da1_1").await;
    assert_eq!((status, code(&body)), (404, "ResourceNotFound"));
    assert_eq!(client.get("/api/alerts/da1_1").await.0, 200);
}

#[tokio::test]
async fn chaos_leaves_a_server_that_still_answers() {
    let kinds = vec![FaultKind::Reset, FaultKind::ServerError(500), FaultKind::TruncatedBody];
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    simulator.with(|world| world.chaos = Some(Chaos::new(7, 0.5).kinds(kinds).routes(&["GET alerts"])));
    for _ in 0..40 {
        let _ = client.send("/api/alerts", None).await;
    }
    let faults = simulator.journal().iter().filter(|entry| entry.fault.is_some()).count();
    assert!((5..=35).contains(&faults), "{faults}");
    simulator.with(|world| world.chaos = None);
    assert_eq!(client.get("/api/alerts").await.0, 200);
}

#[tokio::test]
async fn a_dropped_simulator_no_longer_answers() {
    let simulator = Simulator::start(world()).await.unwrap();
    let url = simulator.url();
    drop(simulator);
    http().get(url).send().await.unwrap_err();
}

#[tokio::test]
async fn an_address_that_others_can_reach_is_refused() {
    let error = Simulator::start_on(world(), "0.0.0.0:0".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "`0.0.0.0:0` is not a loopback address");
}
