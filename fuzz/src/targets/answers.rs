//! What the service and Entra answer when they do not answer with records: errors, tokens, `Retry-After`, and the rows of
//! a hunting query.

use super::{SECRET, Target, assert_sayable, assert_silent};
use crate::seeds;
use credentials::{AccessToken, token_answer};
use defender::{ApiError, HuntError, MOST_ROWS, Reached, bodies};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(super) const TARGETS: [Target; 4] = [
    Target { name: "error-answer", check: error_answer, seeds: seeds::errors, words: &WORDS, cost: 1 },
    Target { name: "token", check: token, seeds: seeds::tokens, words: &TOKEN_WORDS, cost: 1 },
    Target { name: "retry-after", check: retry_after, seeds: seeds::waits, words: &WAIT_WORDS, cost: 1 },
    Target { name: "hunt", check: hunt, seeds: seeds::hunts, words: &HUNT_WORDS, cost: 2 },
];

const WORDS: [&str; 5] = ["error", "code", "message", "target", SECRET];
const TOKEN_WORDS: [&str; 7] =
    ["access_token", "expires_in", "error", "error_codes", "invalid_client", "7000215", SECRET];
const WAIT_WORDS: [&str; 6] = ["GMT", "Sun, ", "-", "9999999999999999999", "+0000", "0"];

const HUNT_WORDS: [&str; 12] = [
    "schema", "Schema", "results", "Results", "name", "Type", "SByte", "Int64", "DateTime", "Stats", "error",
    "null",
];

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// The token that was sent, which an answer may echo.
fn sent() -> AccessToken {
    let granted = json!({"access_token": SECRET, "expires_in": 3_599}).to_string();
    token_answer("login", StatusCode::OK, granted.as_bytes(), now()).unwrap().0
}

fn error_answer(body: &[u8]) {
    let token = sent();
    for (status, reached) in [
        (400, Reached::No),
        (401, Reached::No),
        (403, Reached::No),
        (404, Reached::No),
        (408, Reached::Maybe),
        (409, Reached::No),
        (429, Reached::No),
        (500, Reached::Maybe),
        (503, Reached::Maybe),
    ] {
        let error = bodies::failure(StatusCode::from_u16(status).unwrap(), Some(DAY), body, &token);
        assert_eq!(error.reached(), reached, "{status}: judged by status, whatever the body says");
        assert_sayable(&error.to_string(), 700);
        assert_silent(&format!("{error:?}"));
        assert!(error.passes_in().is_none_or(|wait| wait >= SignedDuration::from_secs(1) && wait <= DAY));
        refused_hunt(status, body, &token);
    }
}

/// To a hunting query the same answer may also mean that less is to be asked for, or that the query is wrong.
fn refused_hunt(status: u16, body: &[u8], token: &AccessToken) {
    let error = bodies::hunt_failure(StatusCode::from_u16(status).unwrap(), None, body, token);
    assert_sayable(&error.to_string(), 800);
    assert_silent(&format!("{error:?}"));
    match (status, &error) {
        (429, HuntError::UsedUp { retry_after, .. }) => {
            assert!(*retry_after >= SignedDuration::from_secs(1) && *retry_after <= DAY, "{retry_after:?}");
        }
        (400, HuntError::Broken(_) | HuntError::TooMuch { .. } | HuntError::UsedUp { .. })
        | (408, HuntError::TookTooLong { .. })
        | (401 | 403 | 404 | 409 | 500 | 503, HuntError::Api(_)) => {}
        _ => panic!("{status}: judged by status, whatever the body says: {error:?}"),
    }
}

/// Every row is given or counted; what is given can be looked into; what is no answer gives no row.
fn hunt(body: &[u8]) {
    let mut given = 0;
    let answer = bodies::hunt(body, &mut |row| {
        given += 1;
        for path in ["Timestamp", "A.B", "AdditionalFields.x.y", ".", ""] {
            let text = row.text(path);
            assert!(text.as_ref().is_none_or(|text| !text.trim().is_empty()), "{path}: {text:?}");
            assert!(row.time(path).is_none() || text.is_some(), "{path}");
        }
    });
    match answer {
        Ok(answer) => {
            assert_eq!(answer.rows, given + answer.unreadable);
            assert!(answer.rows < MOST_ROWS);
            assert!(answer.took >= SignedDuration::ZERO && answer.took < DAY, "{:?}", answer.took);
        }
        Err(error) => {
            assert_sayable(&error.to_string(), 300);
            assert_silent(&format!("{error:?}"));
            let is_whole = serde_json::from_slice::<Value>(body).is_ok();
            let is_broken_off = matches!(error, HuntError::Api(ApiError::Unavailable { .. }));
            assert!(!(is_whole && is_broken_off), "an answer that is JSON is taken for one that broke off");
            assert_eq!(given, 0, "an answer that cannot be read has given rows");
        }
    }
}

fn token(body: &[u8]) {
    for status in [200, 400, 401, 429, 500] {
        let status = StatusCode::from_u16(status).unwrap();
        match token_answer("login.example", status, body, now()) {
            Ok((token, until)) => {
                assert!(status.is_success());
                assert!(until <= now() + DAY, "{until}");
                assert_kept(&token, body);
            }
            Err(error) => {
                assert_sayable(&error.to_string(), 300);
                assert_silent(&format!("{error:?}"));
            }
        }
    }
}

/// A token shows itself nowhere, and reading its roles never fails.
fn assert_kept(token: &AccessToken, body: &[u8]) {
    let shown = format!("{token:?}{:?}", token.header());
    assert_silent(&shown);
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(text) = body.get("access_token").and_then(Value::as_str).filter(|text| text.len() > 20) {
        assert!(!shown.contains(text), "the token is told: {shown}");
        assert!(token.is_in(&format!("echo: {text}")));
    }
    let _ = token.roles();
}

/// Between nothing and a day, and never less than what a number says.
fn retry_after(input: &[u8]) {
    let Ok(value) = std::str::from_utf8(input) else { return };
    let wait = bodies::retry_after(value, now());
    assert!(wait.is_none_or(|wait| wait >= SignedDuration::ZERO && wait <= DAY), "{wait:?}");
    let digits = value.trim();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = digits.parse().unwrap_or(i64::MAX).min(86_400);
        assert_eq!(wait, Some(SignedDuration::from_secs(seconds)));
    }
}
