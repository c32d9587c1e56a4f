//! What it means that a query was not answered with rows.
//!
//! Judged by the status, and where that says too little by the message, which is free text and may change: a message that is
//! not known makes the query a broken one, of which people are told. Sources: Microsoft's pages "Advanced hunting API",
//! "Handle advanced hunting errors" and "Advanced hunting quotas", and issue 4616 of `MicrosoftDocs/microsoft-365-docs`.

use super::HuntError;
use crate::send::{failure_of, said};
use credentials::AccessToken;
use jiff::SignedDuration;
use reqwest::StatusCode;

/// What the service says where less time at once would help. Whole phrases: a column may be called `Timeout`.
const TOO_MUCH: [&str; 6] = [
    "exceeded the allowed result size",
    "result size limit exceeded",
    "exceeded the allowed limits",
    "exceeded the timeout",
    "query timeout",
    "timed out",
];

/// What the service says where the tenant's share of its processors is used up.
const PROCESSORS: [&str; 3] = ["processing resources", "cpu", "allocated resources"];

/// For how long that share is counted.
const CYCLE: SignedDuration = SignedDuration::from_mins(15);

/// How long to wait where the service says of nothing else.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The longest that a window in a message is waited for: whoever asks once an hour finds out for one call.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What an answer with a status other than 2xx means.
pub(crate) fn judged(
    status: StatusCode,
    retry_after: Option<SignedDuration>,
    body: &[u8],
    token: &AccessToken,
) -> HuntError {
    let answer = said(status, body, token);
    let message = answer.message.to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    match answer.status {
        429 => {
            let default = if says(&PROCESSORS) { CYCLE } else { MINUTE };
            used_up(retry_after.or_else(|| window(&message)).unwrap_or(default), &answer.message)
        }
        // A gateway says so where a query runs for too long, and as well where what is behind it does not answer anybody.
        408 | 504 => HuntError::TookTooLong {
            why: format!("the query ran for too long, or the service is ailing ({answer})"),
        },
        400 if says(&TOO_MUCH) => {
            HuntError::TooMuch { why: format!("the answer is too large, or takes too long ({answer})") }
        }
        400 if message.contains("exceeded processing resources") => {
            used_up(retry_after.unwrap_or(CYCLE), &answer.message)
        }
        // The second: a query that is too long.
        400 | 413 => HuntError::Broken(answer),
        _ => HuntError::Api(failure_of(answer, retry_after)),
    }
}

fn used_up(retry_after: SignedDuration, message: &str) -> HuntError {
    let why = if message.is_empty() { "the service does not say which" } else { message };
    HuntError::UsedUp { retry_after: retry_after.max(SignedDuration::from_secs(1)), why: why.to_owned() }
}

/// The window that a message counts in, as in `1500 per 01:00:00`; a day is `1.00:00:00`. At most an hour.
fn window(message: &str) -> Option<SignedDuration> {
    message.split(" per ").skip(1).find_map(|rest| {
        let text = rest.split_whitespace().next()?.trim_matches(|c: char| !c.is_ascii_digit());
        let (days, time) = text.split_once('.').unwrap_or(("0", text));
        let mut parts = time.split(':').map(|part| part.parse::<u32>().ok());
        let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
        let hours = i64::from(days.parse::<u32>().ok()?) * 24 + i64::from(hours);
        let window = SignedDuration::from_secs(hours * 3_600 + i64::from(minutes) * 60 + i64::from(seconds));
        (parts.next().is_none() && window.is_positive()).then(|| window.min(HOUR))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiError;
    use credentials::token_answer;
    use serde_json::json;

    fn judge(status: u16, retry_after: Option<i64>, message: &str) -> HuntError {
        let granted = json!({"access_token": "secret-token", "expires_in": 3_599}).to_string();
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let (token, _) = token_answer("login", StatusCode::OK, granted.as_bytes(), now).unwrap();
        let body = json!({"error": {"code": "x", "message": message}}).to_string();
        let status = StatusCode::from_u16(status).unwrap();
        judged(status, retry_after.map(SignedDuration::from_secs), body.as_bytes(), &token)
    }

    #[test]
    fn a_quota_says_until_when_it_is_used_up_by_the_header_or_else_by_the_message() {
        let minute = "API calls quota exceeded! maximum allowed 45 per 00:01:00";
        let hour = "API calls quota exceeded! maximum allowed 1500 per 01:00:00";
        let cpu = "You have exceeded processing resources allocated to this tenant. You can run queries again in 3 m.";
        for (retry_after, message, seconds) in [
            (Some(7), minute, 7),
            (Some(1_900), hour, 1_900),
            (Some(0), minute, 1),
            (None, minute, 60),
            (None, hour, 3_600),
            (None, "3 hours used per 1.00:00:00.", 3_600),
            (None, "something per user and 12 per 00:05:00", 300),
            (None, "per 99999999999:00:00", 60),
            (None, "as x per 00:00:00", 60),
            (None, cpu, 900),
            (None, "", 60),
        ] {
            let error = judge(429, retry_after, message);
            let HuntError::UsedUp { retry_after: wait, why } = &error else { panic!("{message}: {error:?}") };
            assert_eq!(wait.as_secs(), seconds, "{message}");
            assert!(!why.is_empty() && message.starts_with(why.as_str()) || message.is_empty(), "{why}");
        }
        assert!(
            matches!(judge(400, None, cpu), HuntError::UsedUp { retry_after, .. } if retry_after == CYCLE)
        );
    }

    #[test]
    fn what_less_time_at_once_would_help_is_too_much() {
        for (status, message) in [
            (
                400,
                "Query execution has exceeded the allowed result size. Optimize your query by limiting the amount of results and try again.",
            ),
            (400, "Query execution has exceeded the allowed limits. The query execution was preempted."),
            (400, "Result size limit exceeded. Use \"summarize\" to aggregate results."),
            (400, "Query exceeded the timeout period."),
            (400, "The request timed out"),
        ] {
            let error = judge(status, None, message);
            assert!(matches!(error, HuntError::TooMuch { .. }), "{status} {message}: {error:?}");
        }
    }

    #[test]
    fn that_a_gateway_gave_up_says_nothing_of_the_query() {
        for (status, message) in [(408, ""), (504, ""), (504, "Query exceeded the timeout period.")] {
            let error = judge(status, None, message);
            assert!(matches!(error, HuntError::TookTooLong { .. }), "{status} {message}: {error:?}");
        }
    }

    #[test]
    fn any_other_400_is_the_querys_fault() {
        for message in [
            "'where' operator: Failed to resolve column or scalar expression named 'Timeout'",
            "A recognition error occurred.",
            "",
        ] {
            let error = judge(400, None, message);
            assert!(matches!(&error, HuntError::Broken(answer) if answer.message == message), "{error:?}");
        }
        assert!(matches!(judge(413, None, ""), HuntError::Broken(_)));
    }

    #[test]
    fn what_is_not_about_the_query_is_the_interfaces() {
        let api = |status| match judge(status, None, "Query exceeded the timeout period.") {
            HuntError::Api(error) => error,
            other => panic!("{status}: {other:?}"),
        };
        assert!(matches!(api(401), ApiError::Unauthorized { .. }));
        assert!(matches!(api(403), ApiError::Forbidden(_)));
        assert!(matches!(api(404), ApiError::NotFound(_)));
        assert!(matches!(api(410), ApiError::BadRequest(_)));
        assert!(matches!(api(500), ApiError::Unavailable { .. }));
        assert!(matches!(api(503), ApiError::Unavailable { .. }));
    }

    #[test]
    fn a_message_that_repeats_the_token_is_withheld_and_judged_as_unknown() {
        let error = judge(400, None, "timed out: Bearer secret-token");
        assert!(matches!(&error, HuntError::Broken(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("secret-token"));
    }
}
