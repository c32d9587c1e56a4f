//! One request and its answer, and the retrying of reads.
//!
//! Nothing above this file sees HTTP; nothing below retries.

use crate::{ApiError, Pause, Reached, error::Answer, wire::Unreadable};
use credentials::{AccessToken, Api, Calls, Tokens};
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

/// Sends requests of one app to one of the tenant's APIs.
#[derive(Debug)]
pub(crate) struct Transport {
    http: Client,
    base: String,
    /// What each request prefers, in the header of that name.
    prefers: Option<&'static str>,
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
    /// Below the API's address, with the query.
    pub(crate) path: &'a str,
    pub(crate) body: Option<String>,
}

/// An answer, good or not.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<SignedDuration>,
    ahead: Option<SignedDuration>,
    is_json: bool,
    /// Empty where the body of a bad answer could not be read.
    pub(crate) body: Vec<u8>,
    /// The token that was sent, which the answer may echo.
    pub(crate) token: AccessToken,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// It did not come within the time that the call had.
    TimedOut(ApiError),
    /// It is larger than so many bytes, and was not read further.
    TooLarge(usize),
    Otherwise(ApiError),
}

impl From<Lost> for ApiError {
    fn from(lost: Lost) -> ApiError {
        match lost {
            Lost::TimedOut(error) | Lost::Otherwise(error) => error,
            Lost::TooLarge(most) => {
                let why = format!("the answer is larger than {most} bytes");
                ApiError::Unavailable { why, reached: Reached::Yes }
            }
        }
    }
}

impl Heard {
    /// The body of a good answer.
    pub(crate) fn good(self) -> Result<Vec<u8>, ApiError> {
        if !self.status.is_success() {
            return Err(failure(self.status, self.retry_after, &self.body, &self.token));
        }
        if !self.is_json && !self.body.is_empty() {
            let why = "the answer is not JSON (is a proxy in between?)".to_owned();
            return Err(ApiError::Unavailable { why, reached: Reached::Maybe });
        }
        Ok(self.body)
    }
}

impl Transport {
    /// `base`: the API's whole address, such as `https://api.security.microsoft.com/api`.
    pub(crate) fn new(
        http: Client,
        base: String,
        prefers: Option<&'static str>,
        tokens: Arc<Tokens>,
        calls: Calls,
    ) -> Transport {
        Transport { http, base, prefers, tokens, calls, ahead: AtomicI64::new(UNHEARD) }
    }

    /// The path, with the query, of a link to this API; none for a link to anywhere else.
    pub(crate) fn path_of<'l>(&self, link: &'l str) -> Option<&'l str> {
        link.strip_prefix(&self.base).filter(|path| path.starts_with('/'))
    }

    pub(crate) async fn token(&self, now: Timestamp) -> Result<AccessToken, ApiError> {
        self.tokens.token(now).await.map_err(|error| ApiError::from_token(&error, now))
    }

    /// The body of a good answer, up to [`MAX_BODY`].
    pub(crate) async fn send(
        &self,
        request: &Request<'_>,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<Vec<u8>, ApiError> {
        let heard = self.exchange(request, now, timeout, MAX_BODY).await?;
        if let Some(ahead) = heard.ahead {
            self.ahead.store(ahead.as_secs(), Ordering::Relaxed);
        }
        heard.good()
    }

    /// The answer, whatever it says, of at most `most` bytes. A rejected token is dropped and one more asked for, once: a
    /// 401 means that the service has not looked at the request.
    pub(crate) async fn exchange(
        &self,
        request: &Request<'_>,
        now: Timestamp,
        timeout: Duration,
        most: usize,
    ) -> Result<Heard, Lost> {
        let token = self.token(now).await.map_err(Lost::Otherwise)?;
        let heard = self.exchange_with(token, request, now, timeout, most).await?;
        if heard.status != StatusCode::UNAUTHORIZED {
            return Ok(heard);
        }
        self.tokens.drop_token(&heard.token).await;
        let token = self.token(now).await.map_err(Lost::Otherwise)?;
        self.exchange_with(token, request, now, timeout, most).await
    }

    async fn exchange_with(
        &self,
        token: AccessToken,
        request: &Request<'_>,
        now: Timestamp,
        timeout: Duration,
        most: usize,
    ) -> Result<Heard, Lost> {
        let url = format!("{}{}", self.base, request.path);
        let unusable = || {
            Lost::Otherwise(ApiError::Unavailable {
                why: "the token is not one".to_owned(),
                reached: Reached::No,
            })
        };
        let mut builder = self
            .http
            .request(request.method.clone(), url)
            .timeout(timeout)
            .header(header::AUTHORIZATION, token.header().ok_or_else(unusable)?)
            .header(header::ACCEPT, "application/json");
        if let Some(prefers) = self.prefers {
            builder = builder.header("Prefer", prefers);
        }
        if let Some(body) = &request.body {
            // Graph wants to be told of what is not ASCII. Source: Microsoft's "runHuntingQuery" page.
            let kind = if body.is_ascii() { "application/json" } else { "application/json; charset=utf-8" };
            builder = builder.header(header::CONTENT_TYPE, kind).body(body.clone());
        }
        self.calls.one(request.route);
        let response = builder.send().await.map_err(|error| lost(&error))?;
        let status = response.status();
        let retry_after = retry_after(&response, now);
        let ahead = ahead(&response, now);
        let is_json = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.to_ascii_lowercase().contains("json"));
        let body = read(response, most).await;
        let body = if status.is_success() { body? } else { body.unwrap_or_default() };
        Ok(Heard { status, retry_after, ahead, is_json, body, token })
    }

    /// By how many seconds the service's clock was ahead at the last answer.
    fn ahead(&self) -> Option<SignedDuration> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        (ahead != UNHEARD).then(|| SignedDuration::from_secs(ahead))
    }
}

/// The whole body, if it is of at most `most` bytes. Of a larger one no more is read than that.
async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, Lost> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
        if body.len() + chunk.len() > most {
            return Err(Lost::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn lost(error: &reqwest::Error) -> Lost {
    if error.is_timeout() && !error.is_connect() {
        Lost::TimedOut(broken(error))
    } else {
        Lost::Otherwise(broken(error))
    }
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
/// `TooManyRequests`, and messages may change.
pub(crate) fn failure(
    status: StatusCode,
    retry_after: Option<SignedDuration>,
    body: &[u8],
    token: &AccessToken,
) -> ApiError {
    failure_of(said(status, body, token), retry_after)
}

/// What the service says with a status other than 2xx, in the shape of either API. Words that repeat the token are
/// withheld.
pub(crate) fn said(status: StatusCode, body: &[u8], token: &AccessToken) -> Answer {
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
        #[serde(rename = "innerError")]
        of_graph: serde_json::Value,
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
    let request_id = inner.of_graph.get("request-id").and_then(|id| id.as_str()).unwrap_or_default();
    let target = if inner.target.is_empty() { request_id } else { &inner.target };
    Answer {
        status: status.as_u16(),
        code: words(&inner.code, 60),
        message: words(&inner.message, 300),
        target: words(target, 60),
    }
}

pub(crate) fn failure_of(answer: Answer, retry_after: Option<SignedDuration>) -> ApiError {
    match answer.status {
        429 => {
            let default = SignedDuration::from_secs(60);
            ApiError::RateLimited { retry_after: retry_after.unwrap_or(default) }
        }
        401 => ApiError::Unauthorized {
            why: format!("the token was rejected ({answer})"),
            retry_after: SignedDuration::from_secs(60),
        },
        403 => ApiError::Forbidden(answer),
        404 => ApiError::NotFound(answer),
        408 | 500..=599 => ApiError::Unavailable { why: answer.to_string(), reached: Reached::Maybe },
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

/// Reads from a tenant. Every read is retried within the caller's budget where that can help; a hunt is not.
#[derive(Debug, Clone)]
pub struct Reader {
    transport: Arc<Transport>,
    graph: Arc<Transport>,
    /// Where alerts are read.
    pub(crate) alerts_api: Api,
    /// Where hunting queries are run.
    pub(crate) hunting_api: Api,
    pause: Arc<dyn Pause>,
    /// Whether the service has refused to order alerts; then it is not asked to any more.
    pub(crate) refuses_order: Arc<AtomicBool>,
    tries: u32,
}

impl Reader {
    /// A reader of Defender's API and of Graph.
    pub(crate) fn new(
        defender: Transport,
        graph: Transport,
        alerts_api: Api,
        hunting_api: Api,
        pause: Arc<dyn Pause>,
    ) -> Reader {
        Reader {
            transport: Arc::new(defender),
            graph: Arc::new(graph),
            alerts_api,
            hunting_api,
            pause,
            refuses_order: Arc::default(),
            tries: MAX_TRIES,
        }
    }

    /// The same, but nothing is tried again: for what is asked beside a read that has just been tried often enough.
    #[must_use]
    pub fn trying_once(&self) -> Reader {
        Reader { tries: 1, ..self.clone() }
    }

    /// The same, but Graph is asked.
    pub(crate) fn on_graph(&self) -> Reader {
        Reader { transport: self.graph.clone(), ..self.clone() }
    }

    pub(crate) fn transport(&self, api: Api) -> &Transport {
        match api {
            Api::Defender => &self.transport,
            Api::Graph => &self.graph,
        }
    }

    /// By how much the service's clock was ahead of the caller's `now` at the last answer of the API that has the alerts, in
    /// whole seconds. The time that a call waits stands in it, but a hunt's. None before an answer that says the time.
    pub fn service_ahead(&self) -> Option<SignedDuration> {
        self.transport(self.alerts_api).ahead()
    }

    /// The application roles for Defender's API that the app has been granted, from a token; none where the token does
    /// not say.
    pub async fn roles(&self, call: Call) -> Result<Option<Vec<String>>, ApiError> {
        Ok(self.transport(Api::Defender).token(call.now).await?.roles())
    }

    /// Like [`Reader::roles`], for Microsoft Graph.
    pub async fn graph_roles(&self, call: Call) -> Result<Option<Vec<String>>, ApiError> {
        Ok(self.transport(Api::Graph).token(call.now).await?.roles())
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

    /// GETs a path below the API's address and reads its body with `decode`.
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
