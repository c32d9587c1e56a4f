//! Access tokens by client credentials, or by a refresh token, of any OAuth 2.0 token endpoint: one request in flight,
//! kept until five minutes before their end.
//!
//! A new refresh token in an answer is not kept, because nothing here writes a secret down: the one that was given goes
//! on being used. Google's stays good; Entra's ends 90 days after it was given out, and another has to be put in its
//! place. Client credentials know no such end.
//!
//! A refused secret is read anew once, because it may have been rotated. One that stays refused is not hammered:
//! nothing is asked, until another takes its place, for a while that grows from one minute to one hour. What the
//! endpoint writes into an error is not repeated, only its code, because it is a stranger's text about a secret.

use crate::{Calls, Credential, Endpoints, Secret, SecretError};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use model::TenantId;
use reqwest::{Client, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long before its end a token is not used any more.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
const FIRST_REST: SignedDuration = SignedDuration::from_mins(1);
const LONGEST_REST: SignedDuration = SignedDuration::from_hours(1);
const TIMEOUT: Duration = Duration::from_secs(8);

const REFRESH_TOKEN_ENDED: &str = "the refresh token has ended, was revoked or is another app's; consent anew and put the new one in its place";

/// A bearer token. `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct AccessToken {
    secret: SecretString,
}

impl AccessToken {
    /// The value of the `Authorization` header, marked as sensitive. None for a token that no header can hold.
    pub fn header(&self) -> Option<header::HeaderValue> {
        let mut value =
            header::HeaderValue::try_from(format!("Bearer {}", self.secret.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The token itself, for a protocol other than HTTP.
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// Whether a text repeats the token: a service or a proxy may echo what it was sent.
    pub fn is_in(&self, text: &str) -> bool {
        text.contains(self.secret.expose_secret())
    }

    /// The application roles in the token; none where it is no JWT or has no such claim. For a preflight only:
    /// the signature is the service's business.
    pub fn roles(&self) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct Claims {
            roles: Option<Vec<String>>,
        }
        let payload = self.secret.expose_secret().split('.').nth(1)?;
        let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        serde_json::from_slice::<Claims>(&json).ok()?.roles
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The endpoint says no; asking again with the same secret is of no use before `retry_at`.
    #[error("sign-in refused ({code}): {hint}")]
    Refused { code: String, hint: &'static str, retry_at: Timestamp },
    /// No usable answer; may pass.
    #[error("no token from {host}: {why}")]
    Unavailable { host: String, why: String },
    /// The app's own secret could not be read; may pass.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// The tokens of one app in one tenant.
#[derive(Debug)]
pub struct Tokens {
    http: Client,
    url: String,
    scope: Option<String>,
    credential: Credential,
    /// The person's or the mailbox's refresh token, where one is used.
    refresh_token: Option<Secret>,
    calls: Calls,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<(AccessToken, Timestamp)>,
    refusal: Option<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    error: TokenError,
    shown: Shown,
    until: Timestamp,
    rest: SignedDuration,
}

/// The secrets of one request.
#[derive(Debug, Clone)]
struct Shown {
    secret: SecretString,
    refresh_token: Option<SecretString>,
}

impl Shown {
    fn is(&self, other: &Shown) -> bool {
        let refresh_token = self.refresh_token.as_ref().map(ExposeSecret::expose_secret);
        let others = other.refresh_token.as_ref().map(ExposeSecret::expose_secret);
        self.secret.expose_secret() == other.secret.expose_secret() && refresh_token == others
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    expires_in: i64,
}

/// Entra's error body. Source: "Microsoft identity platform and OAuth 2.0 client credentials" page.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Denied {
    error: String,
    error_codes: Vec<i64>,
}

impl Tokens {
    pub fn new(
        http: Client,
        endpoints: &Endpoints,
        tenant: &TenantId,
        app: Credential,
        calls: Calls,
    ) -> Tokens {
        let url = entra_token_url(&endpoints.login, tenant.as_str());
        Tokens::at(http, url, Some(format!("{}/.default", endpoints.audience)), app, None, calls)
    }

    /// Tokens of any endpoint, whose address carries no secret: by `refresh_token` where there is one, else by the app's
    /// own credential.
    pub fn at(
        http: Client,
        url: String,
        scope: Option<String>,
        app: Credential,
        refresh_token: Option<Secret>,
        calls: Calls,
    ) -> Tokens {
        Tokens { http, url, scope, credential: app, refresh_token, calls, held: Mutex::default() }
    }

    /// A token that is good for at least five minutes. Whoever else asks meanwhile waits for the same answer.
    pub async fn token(&self, now: Timestamp) -> Result<AccessToken, TokenError> {
        let mut held = self.held.lock().await;
        if let Some((token, until)) = &held.token
            && now < *until
        {
            return Ok(token.clone());
        }
        if let Some(refusal) = &held.refusal
            && now < refusal.until
            && !self.has_another_secret(refusal, now).await
        {
            return Err(refusal.error.clone());
        }
        let mut shown = self.secrets(now).await?;
        let mut answer = self.ask(&shown, now).await;
        if matches!(answer, Err(TokenError::Refused { .. })) && self.forget_secrets().await {
            shown = self.secrets(now).await?;
            answer = self.ask(&shown, now).await;
        }
        match answer {
            Ok((token, until)) => {
                *held = Held { token: Some((token.clone(), until)), refusal: None };
                Ok(token)
            }
            Err(mut error) => {
                held.token = None;
                if let TokenError::Refused { retry_at, .. } = &mut error {
                    let rest =
                        held.refusal.as_ref().map_or(FIRST_REST, |before| LONGEST_REST.min(before.rest * 2));
                    let until = now.checked_add(rest).unwrap_or(Timestamp::MAX);
                    *retry_at = until;
                    held.refusal = Some(Refusal { error: error.clone(), shown, until, rest });
                }
                Err(error)
            }
        }
    }

    /// The service answered 401 to this token: it is not handed out again.
    pub async fn drop_token(&self, rejected: &AccessToken) {
        let mut held = self.held.lock().await;
        let same = |token: &AccessToken| token.secret.expose_secret() == rejected.secret.expose_secret();
        if held.token.as_ref().is_some_and(|(token, _)| same(token)) {
            held.token = None;
        }
    }

    async fn secrets(&self, now: Timestamp) -> Result<Shown, SecretError> {
        let secret = self.credential.secret.read(now).await?;
        let refresh_token = match &self.refresh_token {
            Some(token) => Some(token.read(now).await?),
            None => None,
        };
        Ok(Shown { secret, refresh_token })
    }

    /// Whether there may be other ones now.
    async fn forget_secrets(&self) -> bool {
        let app = self.credential.secret.forget().await;
        let refresh = match &self.refresh_token {
            Some(token) => token.forget().await,
            None => false,
        };
        app || refresh
    }

    /// Whether somebody has put another secret in the place of the one that was refused.
    async fn has_another_secret(&self, refusal: &Refusal, now: Timestamp) -> bool {
        self.secrets(now).await.is_ok_and(|current| !current.is(&refusal.shown))
    }

    async fn ask(&self, shown: &Shown, now: Timestamp) -> Result<(AccessToken, Timestamp), TokenError> {
        self.calls.one("POST token");
        let request = self
            .http
            .post(&self.url)
            .timeout(TIMEOUT)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form(shown));
        let response = request.send().await.map_err(|error| self.unavailable(describe(&error)))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unavailable(describe(&error)))?;
        token_answer(&self.host(), status, &body, now)
    }

    /// The request's body. A function of its own because the serializer must not be kept across an `await`: the
    /// future could not move between threads.
    fn form(&self, shown: &Shown) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        match &shown.refresh_token {
            Some(token) => form
                .append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", token.expose_secret()),
            None => form.append_pair("grant_type", "client_credentials"),
        };
        form.append_pair("client_id", &self.credential.client_id);
        form.append_pair("client_secret", shown.secret.expose_secret());
        if let Some(scope) = &self.scope {
            form.append_pair("scope", scope);
        }
        form.finish()
    }

    fn unavailable(&self, why: String) -> TokenError {
        TokenError::Unavailable { host: self.host(), why }
    }

    fn host(&self) -> String {
        let host = url::Url::parse(&self.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        host.unwrap_or_default()
    }
}

/// Where Entra hands out tokens for a tenant. Source: Microsoft's "OAuth 2.0 client credentials flow" page.
pub fn entra_token_url(login: &str, tenant: &str) -> String {
    format!("{login}/{tenant}/oauth2/v2.0/token")
}

/// What an answer of the token endpoint at `host` says: a token and until when it is used, or why there is none.
pub fn token_answer(
    host: &str,
    status: StatusCode,
    body: &[u8],
    now: Timestamp,
) -> Result<(AccessToken, Timestamp), TokenError> {
    let unavailable = |why: String| TokenError::Unavailable { host: host.to_owned(), why };
    if status.is_success() {
        let granted: Granted = serde_json::from_slice(body)
            .map_err(|_| unavailable("the answer is not a token response".to_owned()))?;
        let life = SignedDuration::from_secs(granted.expires_in.clamp(0, 86_400)) - EARLY;
        let until = now.checked_add(life).unwrap_or(now);
        return Ok((AccessToken { secret: granted.access_token }, until));
    }
    let denied: Denied = serde_json::from_slice(body).unwrap_or_default();
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() || denied.error.is_empty() {
        return Err(unavailable(format!("it answered {}", status.as_u16())));
    }
    Err(refused(&denied, now))
}

/// What a refusal means for whoever set Cordon up: by Entra's number where there is one, else by the word that every
/// endpoint gives.
/// Sources: Microsoft's "Microsoft Entra authentication and authorization error codes" page; RFC 6749, section 5.2.
fn refused(denied: &Denied, now: Timestamp) -> TokenError {
    let number = denied.error_codes.first().copied();
    let hint = match number {
        Some(7_000_215) => "the client secret is wrong; it must be the secret's value, not its id",
        Some(7_000_222) => "the client secret has expired; make a new one in the app registration",
        Some(700_016) => "the tenant does not know this client id",
        Some(90_002) => "there is no such tenant id",
        Some(500_011) => "the tenant does not know the audience; is Defender for Endpoint licensed there?",
        Some(50_173 | 70_000 | 70_008 | 700_082) => REFRESH_TOKEN_ENDED,
        Some(_) => "check the tenant id, the client id and the client secret",
        None => match denied.error.as_str() {
            "invalid_client" => "the client id or the client secret is wrong",
            "invalid_grant" => REFRESH_TOKEN_ENDED,
            "invalid_scope" => "check the scope",
            "unauthorized_client" | "unsupported_grant_type" => "the app may not sign in in this way",
            _ => {
                "check the token's address, the client id, the client secret and, if there is one, the refresh token"
            }
        },
    };
    // A word such as `invalid_client`; anything else is not a code, and might be what was sent.
    let is_code =
        |text: &str| text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let code = match number {
        Some(number) => format!("AADSTS{number}"),
        None if is_code(&denied.error) => denied.error.clone(),
        None => "without a code".to_owned(),
    };
    TokenError::Refused { code, hint, retry_at: now }
}

/// A transport error in words, without the URL.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "it did not answer in time".to_owned()
    } else if error.is_connect() {
        "it cannot be reached".to_owned()
    } else {
        "the connection broke".to_owned()
    }
}
