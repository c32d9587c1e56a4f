//! What the service and Entra answer when they do not answer with records: errors, tokens, `Retry-After`.

use super::{SECRET, Target, assert_sayable, assert_silent};
use crate::seeds;
use credentials::{AccessToken, token_answer};
use defender::{Reached, bodies};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(super) const TARGETS: [Target; 3] = [
    Target { name: "error-answer", check: error_answer, seeds: seeds::errors, words: &WORDS, cost: 1 },
    Target { name: "token", check: token, seeds: seeds::tokens, words: &TOKEN_WORDS, cost: 1 },
    Target { name: "retry-after", check: retry_after, seeds: seeds::waits, words: &WAIT_WORDS, cost: 1 },
];

const WORDS: [&str; 5] = ["error", "code", "message", "target", SECRET];
const TOKEN_WORDS: [&str; 7] =
    ["access_token", "expires_in", "error", "error_codes", "invalid_client", "7000215", SECRET];
const WAIT_WORDS: [&str; 6] = ["GMT", "Sun, ", "-", "9999999999999999999", "+0000", "0"];

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
