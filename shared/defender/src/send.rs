//! One request and its answer, and the retrying of reads.
//!
//! Nothing above this file sees HTTP; nothing below retries.

use crate::{ApiError, Pause, Reached, error::Answer, wire::Unreadable};
use credentials::{AccessToken, Calls, Tokens};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use model::one_line;
use reqwest::{Client, Method, Response, StatusCode, header};
use serde::Deserialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

/// The most that an answer may weigh: a page of 2,000 alerts with rich evidence is about 20 MB.
const MAX_BODY: usize = 96 * 1024 * 1024;

/// How often a read is tried at most, whatever its budget.
const MAX_TRIES: u32 = 5;
const FIRST_BACKOFF: SignedDuration = SignedDuration::from_millis(500);

/// When a call is made, and for how long the caller can wait for it, retries included.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub now: Timestamp,
    pub budget: SignedDuration,
}

/// Sends requests of one app to one tenant's API.
#[derive(Debug)]
pub(crate) struct Transport {
    http: Client,
    base: String,
    tokens: Arc<Tokens>,
    calls: Calls,
    /// How many seconds the service's clock was ahead of the caller's by its last answer.
    ahead: AtomicI64,
}

/// That no answer has said what the time is.
const UNHEARD: i64 = i64::MIN;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The name under which calls are counted, such as `GET alerts`.
    pub(crate) route: &'static str,
    pub(crate) method: Method,
    /// Below `/api`, with the query.
    pub(crate) path: &'a str,
    pub(crate) body: Option<String>,
}

impl Transport {
    pub(crate) fn new(http: Client, api: &str, tokens: Arc<Tokens>, calls: Calls) -> Transport {
        let ahead = AtomicI64::new(UNHEARD);
        Transport { http, base: format!("{api}/api"), tokens, calls, ahead }
    }

    pub(crate) async fn token(&self, now: Timestamp) -> Result<AccessToken, ApiError> {
        self.tokens.token(now).await.map_err(|error| ApiError::from_token(&error, now))
    }

    /// The body of a good answer. A rejected token is dropped and one more asked for, once: a 401 means that
    /// the service has not looked at the request.
    pub(crate) async fn send(
        &self,
        request: &Request<'_>,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<Vec<u8>, ApiError> {
        let token = self.token(now).await?;
        match self.send_with(&token, request, now, timeout).await {
            Err(ApiError::Unauthorized { .. }) => {
                self.tokens.drop_token(&token).await;
                let token = self.token(now).await?;
                self.send_with(&token, request, now, timeout).await
            }
            answer => answer,
        }
    }

    async fn send_with(
        &self,
        token: &AccessToken,
        request: &Request<'_>,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<Vec<u8>, ApiError> {
        let url = format!("{}{}", self.base, request.path);
        let unusable =
            || ApiError::Unavailable { why: "the token is not one".to_owned(), reached: Reached::No };
        let mut builder = self
            .http
            .request(request.method.clone(), url)
            .timeout(timeout)
            .header(header::AUTHORIZATION, token.header().ok_or_else(unusable)?)
            .header(header::ACCEPT, "application/json");
        if let Some(body) = &request.body {
            builder = builder.header(header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        self.calls.one(request.route);
        let response = builder.send().await.map_err(|error| broken(&error))?;
        let status = response.status();
        let retry_after = retry_after(&response, now);
        if let Some(ahead) = ahead(&response, now) {
            self.ahead.store(ahead.as_secs(), Ordering::Relaxed);
        }
        let is_json = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.to_ascii_lowercase().contains("json"));
        let body = read(response).await;
        if status.is_success() {
            let body = body?;
            if !is_json && !body.is_empty() {
                let why = "the answer is not JSON (is a proxy in between?)".to_owned();
                return Err(ApiError::Unavailable { why, reached: Reached::Maybe });
            }
            return Ok(body);
        }
        Err(failure(status, retry_after, &body.unwrap_or_default(), token))
    }
}

/// The whole body, up to [`MAX_BODY`].
async fn read(mut response: Response) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            let why = format!("the answer is larger than {MAX_BODY} bytes");
            return Err(ApiError::Unavailable { why, reached: Reached::Yes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A transport error. Only a connection that was never made is known not to have reached the service.
fn broken(error: &reqwest::Error) -> ApiError {
    let reached = if error.is_connect() || error.is_builder() { Reached::No } else { Reached::Maybe };
    let why = if error.is_connect() {
        "it cannot be reached"
    } else if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "the connection broke"
    };
    ApiError::Unavailable { why: why.to_owned(), reached }
}

/// What a status other than 2xx means. Judged by status, never by text: 429 comes with the code `429` or
/// `TooManyRequests`, and messages may change. Words that repeat the token are withheld.
pub(crate) fn failure(
    status: StatusCode,
    retry_after: Option<SignedDuration>,
    body: &[u8],
    token: &AccessToken,
) -> ApiError {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        error: Inner,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        code: String,
        message: String,
        target: String,
    }
    let inner = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
    let words = |text: &str, max_chars: usize| {
        // Also as it would be shown: what is invisible is taken out there, and would put the token together again.
        if token.is_in(text) || token.is_in(&one_line(text, usize::MAX)) {
            "(withheld: it repeats the token)".to_owned()
        } else {
            one_line(text, max_chars)
        }
    };
    let answer = Answer {
        status: status.as_u16(),
        code: words(&inner.code, 60),
        message: words(&inner.message, 300),
        target: words(&inner.target, 60),
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            let default = SignedDuration::from_secs(60);
            ApiError::RateLimited { retry_after: retry_after.unwrap_or(default) }
        }
        StatusCode::UNAUTHORIZED => ApiError::Unauthorized {
            why: format!("the token was rejected ({answer})"),
            retry_after: SignedDuration::from_secs(60),
        },
        StatusCode::FORBIDDEN => ApiError::Forbidden(answer),
        StatusCode::NOT_FOUND => ApiError::NotFound(answer),
        StatusCode::REQUEST_TIMEOUT => {
            ApiError::Unavailable { why: answer.to_string(), reached: Reached::Maybe }
        }
        status if status.is_server_error() => {
            ApiError::Unavailable { why: answer.to_string(), reached: Reached::Maybe }
        }
        _ => ApiError::BadRequest(answer),
    }
}

/// By how much the service's clock, as `Date` says it, is ahead.
fn ahead(response: &Response, now: Timestamp) -> Option<SignedDuration> {
    let date = response.headers().get(header::DATE)?.to_str().ok()?;
    Some(rfc2822::parse(date).ok()?.timestamp().duration_since(now))
}

fn retry_after(response: &Response, now: Timestamp) -> Option<SignedDuration> {
    wait(response.headers().get(header::RETRY_AFTER)?.to_str().ok()?, now)
}

/// What `Retry-After` says, in seconds or as a date. Kept between nothing and a day.
pub(crate) fn wait(value: &str, now: Timestamp) -> Option<SignedDuration> {
    let value = value.trim();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let wait = match value.parse::<i64>() {
        Ok(seconds) => SignedDuration::from_secs(seconds.clamp(0, 86_400)),
        // More seconds than fit is long, not unknown.
        Err(_) if is_number => SignedDuration::MAX,
        Err(_) => rfc2822::parse(value).ok()?.timestamp().duration_since(now),
    };
    Some(wait.clamp(SignedDuration::ZERO, SignedDuration::from_hours(24)))
}

/// Reads from a tenant. Every read is retried within the caller's budget where that can help.
#[derive(Debug, Clone)]
pub struct Reader {
    transport: Arc<Transport>,
    pause: Arc<dyn Pause>,
    /// Whether the service has refused to order alerts; then it is not asked to any more.
    pub(crate) refuses_order: Arc<AtomicBool>,
    tries: u32,
}

impl Reader {
    pub(crate) fn new(transport: Transport, pause: Arc<dyn Pause>) -> Reader {
        Reader { transport: Arc::new(transport), pause, refuses_order: Arc::default(), tries: MAX_TRIES }
    }

    /// The same, but nothing is tried again: for what is asked beside a read that has just been tried often enough.
    #[must_use]
    pub fn trying_once(&self) -> Reader {
        Reader { tries: 1, ..self.clone() }
    }

    /// By how much the service's clock was ahead of the caller's `now` at the last answer, in whole seconds. The time
    /// that a call waits stands in it. None before an answer that says the time.
    pub fn service_ahead(&self) -> Option<SignedDuration> {
        let ahead = self.transport.ahead.load(Ordering::Relaxed);
        (ahead != UNHEARD).then(|| SignedDuration::from_secs(ahead))
    }

    /// The application roles that the app has been granted, from a token; none where the token does not say.
    pub async fn roles(&self, call: Call) -> Result<Option<Vec<String>>, ApiError> {
        Ok(self.transport.token(call.now).await?.roles())
    }

    /// Like [`Reader::get`], but a 404 is asked for once more before it is believed: the service is reported to
    /// give one for a thing that exists.
    pub(crate) async fn get_surely<T>(
        &self,
        route: &'static str,
        path: &str,
        call: Call,
        decode: impl Fn(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<T, ApiError> {
        match self.get(route, path, call, &decode).await {
            Err(ApiError::NotFound(_)) => {
                self.pause.pause(FIRST_BACKOFF * 2).await;
                self.get(route, path, call, &decode).await
            }
            answer => answer,
        }
    }

    /// GETs a path below `/api` and reads its body with `decode`.
    pub(crate) async fn get<T>(
        &self,
        route: &'static str,
        path: &str,
        call: Call,
        decode: impl Fn(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<T, ApiError> {
        let request = Request { route, method: Method::GET, path, body: None };
        #[expect(
            clippy::disallowed_methods,
            reason = "how long a call really took bounds its retries; nothing is decided by it"
        )]
        let started = Instant::now();
        let left = |paused: SignedDuration| {
            let spent = SignedDuration::try_from(started.elapsed()).unwrap_or(SignedDuration::MAX);
            call.budget.saturating_sub(spent.max(paused))
        };
        let mut backoff = FIRST_BACKOFF;
        let mut paused = SignedDuration::ZERO;
        let mut tried = 0;
        loop {
            tried += 1;
            let timeout = left(paused).clamp(SignedDuration::from_secs(1), SignedDuration::from_secs(60));
            let timeout = Duration::try_from(timeout).unwrap_or_default();
            let error = match self.transport.send(&request, call.now, timeout).await {
                Ok(body) => match decode(&body) {
                    Ok(value) => return Ok(value),
                    Err(unreadable) => undecodable(&body, &unreadable),
                },
                Err(error) => error,
            };
            let wait = match &error {
                ApiError::RateLimited { retry_after } => jittered(backoff).max(*retry_after),
                ApiError::Unavailable { .. } | ApiError::Unreadable { .. } => jittered(backoff),
                ApiError::Unauthorized { .. }
                | ApiError::Forbidden(_)
                | ApiError::NotFound(_)
                | ApiError::BadRequest(_) => return Err(error),
            };
            if tried >= self.tries || wait >= left(paused) {
                return Err(error);
            }
            tracing::debug!(route, tried, wait_ms = wait.as_millis(), %error, "a read is tried again");
            self.pause.pause(wait).await;
            paused += wait;
            backoff *= 2;
        }
    }
}

/// What is no JSON at all is a passing fault of whatever stands in between; JSON of another shape is the service's.
fn undecodable(body: &[u8], unreadable: &Unreadable) -> ApiError {
    let why = unreadable.to_string();
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Ok(_) => ApiError::Unreadable { why },
        Err(_) => ApiError::Unavailable { why, reached: Reached::Yes },
    }
}

/// Between half and one and a half times the backoff, so that workers do not come back in step.
fn jittered(backoff: SignedDuration) -> SignedDuration {
    backoff.mul_f64(0.5 + fastrand::f64())
}

/// A value in a query or a path: everything but letters, digits and `-._~` is percent-encoded.
pub(crate) fn encoded(text: &str) -> impl std::fmt::Display {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, KEPT)
}

/// A word in an OData filter, quoted; a quotation mark in it is doubled.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
