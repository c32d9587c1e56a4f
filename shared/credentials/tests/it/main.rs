//! Tokens against the simulated token endpoint: asked for once, kept, replaced, and not asked for again and again
//! where the answer is no.

#![expect(clippy::unwrap_used, reason = "what the tests share fails loudly, too")]

use credentials::{Calls, Connection, Problems, TokenError, Tokens, Vars, http_client};
use jiff::{SignedDuration, Timestamp};
use simulator::{Fault, FaultKind, Simulator, World};

mod grants;
mod kept;

const WRONG_SECRET: &str = "hunter2-wrong-secret";

fn noon() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn tokens_of(url: &str, more: &[(&str, &str)]) -> Tokens {
    let usual = [
        ("DEFENDER_TENANT_ID", simulator::DEFAULT_TENANT),
        ("DEFENDER_CLIENT_ID", simulator::DEFAULT_CLIENT),
        ("DEFENDER_CLIENT_SECRET", simulator::DEFAULT_SECRET),
        ("DEFENDER_API_URL", url),
        ("DEFENDER_LOGIN_URL", url),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut vars: Vars = more.iter().copied().map(owned).collect();
    vars.add_defaults(usual.map(owned));
    let connection = Connection::from_vars(&vars, None, &mut Problems::default()).unwrap();
    let http = http_client(4, true).unwrap();
    Tokens::new(http, &connection.endpoints, &connection.tenant, connection.reader, Calls::default())
}

async fn tenant(faults: Vec<Fault>) -> (Simulator, Tokens) {
    let mut world = World::new(noon());
    world.faults = faults;
    let simulator = Simulator::start(world).await.unwrap();
    let tokens = tokens_of(&simulator.url(), &[]);
    (simulator, tokens)
}

async fn with_a_wrong_secret() -> (Simulator, Tokens) {
    let simulator = Simulator::start(World::new(noon())).await.unwrap();
    let tokens = tokens_of(&simulator.url(), &[("DEFENDER_CLIENT_SECRET", WRONG_SECRET)]);
    (simulator, tokens)
}

fn asked(simulator: &Simulator) -> usize {
    simulator.count("POST token")
}

#[tokio::test]
async fn many_callers_at_once_share_one_request() {
    let (simulator, tokens) =
        tenant(vec![Fault::once("POST token", FaultKind::Slow { millis: 100 }).always()]).await;
    let tokens = std::sync::Arc::new(tokens);
    let ask = || {
        let tokens = tokens.clone();
        tokio::spawn(async move { tokens.token(noon()).await.unwrap().header().unwrap() })
    };
    let callers: Vec<_> = (0..50).map(|_| ask()).collect();
    let mut headers = Vec::new();
    for caller in callers {
        headers.push(caller.await.unwrap());
    }
    assert_eq!(asked(&simulator), 1);
    headers.dedup();
    assert_eq!(headers.len(), 1);
    assert!(headers[0].is_sensitive());
}

#[tokio::test]
async fn a_token_is_kept_until_five_minutes_before_its_end() {
    let (simulator, tokens) = tenant(Vec::new()).await;
    // It lives for 3,599 seconds.
    for (after, expected) in [(0, 1), (60, 1), (3_298, 1), (3_299, 2), (3_300, 2), (2 * 3_299, 3)] {
        tokens.token(noon() + seconds(after)).await.unwrap();
        assert_eq!(asked(&simulator), expected, "after {after} s");
    }
}

#[tokio::test]
async fn a_token_that_lives_shorter_than_five_minutes_is_used_once() {
    let (simulator, tokens) = tenant(Vec::new()).await;
    simulator.with(|world| world.token_life = seconds(60));
    for _ in 0..2 {
        tokens.token(noon()).await.unwrap();
    }
    assert_eq!(asked(&simulator), 2);
}

#[tokio::test]
async fn a_rejected_token_is_dropped_and_only_that_one() {
    let (simulator, tokens) = tenant(Vec::new()).await;
    let first = tokens.token(noon()).await.unwrap();
    tokens.drop_token(&first).await;
    let second = tokens.token(noon()).await.unwrap();
    assert_ne!(first.header(), second.header());
    // Somebody else was late to find the first one rejected.
    tokens.drop_token(&first).await;
    assert_eq!(tokens.token(noon()).await.unwrap().header(), second.header());
    assert_eq!(asked(&simulator), 2);
}

#[tokio::test]
async fn a_refused_secret_rests_for_longer_each_time_up_to_an_hour() {
    let (simulator, tokens) = with_a_wrong_secret().await;
    let mut now = noon();
    for (times, rest) in (1..).zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
        let error = tokens.token(now).await.unwrap_err();
        assert!(
            matches!(error, TokenError::Refused { retry_at, .. } if retry_at == now + minutes(rest)),
            "{error:?}"
        );
        let meanwhile = tokens.token(now + minutes(rest) - seconds(1)).await.unwrap_err();
        assert_eq!((meanwhile, asked(&simulator)), (error, times), "while resting for {rest} min");
        now += minutes(rest);
    }
}

#[tokio::test]
async fn once_the_secret_is_right_the_refusal_is_forgotten() {
    let (simulator, tokens) = with_a_wrong_secret().await;
    tokens.token(noon()).await.unwrap_err();
    tokens.token(noon() + minutes(1)).await.unwrap_err();
    simulator.with(|world| world.apps[0].secret = WRONG_SECRET.to_owned());
    let token = tokens.token(noon() + minutes(3)).await.unwrap();
    simulator.with(|world| world.apps[0].secret = "another".to_owned());
    tokens.drop_token(&token).await;
    let error = tokens.token(noon() + minutes(4)).await.unwrap_err();
    assert!(
        matches!(error, TokenError::Refused { retry_at, .. } if retry_at == noon() + minutes(5)),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_endpoint_that_is_not_available_is_no_refusal_and_is_asked_again_at_once() {
    let kinds = [
        FaultKind::ServerError(503),
        FaultKind::Throttle { retry_after: Some(30) },
        FaultKind::Reset,
        FaultKind::TruncatedBody,
        FaultKind::WrongContentType,
        FaultKind::NotJson,
        FaultKind::EmptyBody,
        FaultKind::Spurious404,
    ];
    for kind in kinds {
        let (simulator, tokens) = tenant(vec![Fault::once("POST token", kind.clone())]).await;
        let error = tokens.token(noon()).await.unwrap_err();
        assert!(matches!(error, TokenError::Unavailable { .. }), "{kind:?}: {error:?}");
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
        tokens.token(noon()).await.unwrap();
        assert_eq!(asked(&simulator), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_no_refusal() {
    let (simulator, tokens) = tenant(Vec::new()).await;
    drop(simulator);
    let error = tokens.token(noon()).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test]
async fn a_refusal_names_what_to_correct() {
    let simulator = Simulator::start(World::new(noon())).await.unwrap();
    let cases = [
        (("DEFENDER_CLIENT_SECRET", WRONG_SECRET), "AADSTS7000215", "secret is wrong"),
        (("DEFENDER_CLIENT_ID", "ffffffff-bbbb-cccc-dddd-eeeeeeeeeeee"), "AADSTS700016", "client id"),
        (("DEFENDER_TENANT_ID", "ffffffff-2222-3333-4444-555555555555"), "AADSTS90002", "tenant id"),
        (("DEFENDER_AUDIENCE", "https://nothing.example"), "AADSTS500011", "audience"),
    ];
    for (setting, number, word) in cases {
        let error = tokens_of(&simulator.url(), &[setting]).token(noon()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(number) && text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn neither_the_secret_nor_the_words_of_entra_are_ever_shown() {
    let (simulator, tokens) = with_a_wrong_secret().await;
    let error = tokens.token(noon()).await.unwrap_err();
    simulator.with(|world| world.apps[0].secret = WRONG_SECRET.to_owned());
    let token = tokens.token(noon() + minutes(2)).await.unwrap();
    let header = token.header().unwrap();
    let bearer = header.to_str().unwrap().trim_start_matches("Bearer ");
    let shown = format!("{error} {error:?} {error:#?} {tokens:?} {tokens:#?} {token:?} {header:?}");
    // "Invalid client secret provided" and "Trace ID" are what the simulator, like Entra, writes.
    for hidden in [WRONG_SECRET, bearer, "Invalid client secret provided", "Trace ID"] {
        assert!(!shown.contains(hidden), "`{hidden}` in {shown}");
    }
    assert!(shown.contains("AADSTS7000215"));
    let sent = simulator.journal();
    assert!(sent.iter().all(|entry| entry.body.contains("client_secret=") && entry.query.is_empty()));
}

#[tokio::test]
async fn the_roles_stand_in_the_token() {
    let simulator = Simulator::start(World::new(noon())).await.unwrap();
    let roles = tokens_of(&simulator.url(), &[]).token(noon()).await.unwrap().roles().unwrap();
    assert_eq!(roles, simulator::DEFAULT_ROLES);
    simulator.with(|world| world.apps[0].roles.clear());
    let roles = tokens_of(&simulator.url(), &[]).token(noon()).await.unwrap().roles().unwrap();
    assert!(roles.is_empty());
}
