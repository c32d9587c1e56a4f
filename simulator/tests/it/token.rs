//! Signing in, and what a token opens.

use simulator::{DEFAULT_CLIENT, DEFAULT_SECRET, DEFAULT_TENANT, Simulator};

use crate::{Client, SCOPE, code, now, seconds, sign_in, world};

#[tokio::test]
async fn a_good_secret_gets_a_bearer_token_of_an_hour() {
    let simulator = Simulator::start(world()).await.unwrap();
    let (status, body) = sign_in(&simulator, DEFAULT_TENANT, DEFAULT_CLIENT, DEFAULT_SECRET, SCOPE).await;
    let documented: serde_json::Value =
        serde_json::from_str(include_str!("../../samples/token-response.json")).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        (&body["token_type"], &body["expires_in"]),
        (&documented["token_type"], &documented["expires_in"])
    );
    assert_eq!(body["access_token"].as_str().unwrap().split('.').count(), 3);
    let entry = &simulator.journal()[0];
    assert_eq!((entry.route.as_str(), entry.status), ("POST token", Some(200)));
    assert!(!entry.body.contains(DEFAULT_SECRET), "secrets are masked: {}", entry.body);
}

#[tokio::test]
async fn a_wrong_sign_in_gets_entras_error() {
    let simulator = Simulator::start(world()).await.unwrap();
    let unknown = "99999999-2222-3333-4444-555555555555";
    let other = "https://example.com/.default";
    let cases = [
        (DEFAULT_TENANT, DEFAULT_CLIENT, "wrong", SCOPE, 401, "invalid_client", 7_000_215),
        (DEFAULT_TENANT, unknown, DEFAULT_SECRET, SCOPE, 400, "unauthorized_client", 700_016),
        (unknown, DEFAULT_CLIENT, DEFAULT_SECRET, SCOPE, 400, "invalid_request", 90_002),
        (DEFAULT_TENANT, DEFAULT_CLIENT, DEFAULT_SECRET, other, 400, "invalid_resource", 500_011),
        (DEFAULT_TENANT, DEFAULT_CLIENT, DEFAULT_SECRET, "api", 400, "invalid_scope", 1_002_012),
    ];
    for (tenant, client, secret, scope, status, error, number) in cases {
        let (answered, body) = sign_in(&simulator, tenant, client, secret, scope).await;
        assert_eq!((answered, body["error"].as_str()), (status, Some(error)));
        assert_eq!(body["error_codes"][0], number);
        assert!(body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{number}:")));
    }
}

#[tokio::test]
async fn an_expired_a_revoked_and_an_invented_token_are_unauthorized() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    assert_eq!(client.get("/api/alerts").await.0, 200);
    simulator.advance(seconds(3_599));
    let (status, body) = client.get("/api/alerts").await;
    assert_eq!((status, code(&body)), (401, "Unauthorized"));
    let client = Client::of(&simulator).await;
    simulator.with(|world| world.revoke_tokens());
    assert_eq!(client.get("/api/alerts").await.0, 401);
    let invented = Client { token: "a.b.c".to_owned(), ..client };
    assert_eq!(invented.get("/api/alerts").await.0, 401);
    assert_eq!(simulator.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused_and_is_a_violation() {
    let simulator = Simulator::start(world()).await.unwrap();
    let scope = "https://graph.microsoft.com/.default";
    let (_, body) = sign_in(&simulator, DEFAULT_TENANT, DEFAULT_CLIENT, DEFAULT_SECRET, scope).await;
    let token = body["access_token"].as_str().unwrap().to_owned();
    let client = Client { token, ..Client::of(&simulator).await };
    assert_eq!(client.get("/api/alerts").await.0, 401);
    assert_eq!(simulator.violations(), ["a token for `https://graph.microsoft.com` used on `GET alerts`"]);
}

#[tokio::test]
async fn a_role_that_is_missing_is_forbidden() {
    let simulator = Simulator::start(world().app("reader", "r", &["Alert.Read.All"])).await.unwrap();
    let client = Client::of_app(&simulator, "reader", "r").await;
    assert_eq!(client.get("/api/alerts").await.0, 200);
    let (status, body) = client.get("/api/machines").await;
    assert_eq!((status, code(&body)), (403, "Forbidden"));
    let (status, body) = client.isolate(crate::PC).await;
    assert_eq!((status, code(&body)), (403, "Forbidden"));
    assert!(body["error"]["message"].as_str().unwrap().contains("Machine.Isolate"));
    assert_eq!(simulator.with(|world| world.actions.len()), 0);
}

#[tokio::test]
async fn the_clock_can_be_set() {
    let simulator = Simulator::start(world()).await.unwrap();
    simulator.set_now(now() + seconds(5));
    assert_eq!(simulator.with(|world| world.now), now() + seconds(5));
}
