//! Any program: JSON by HTTP, signed as the Standard Webhooks specification says, so that a receiver can tell
//! that it is Cordon's and not old.
//!
//! The same message always has the same id and body; a repeat has a new time and so another signature. Fields
//! are added, never changed, as long as `version` stays. Source: standard-webhooks/standard-webhooks,
//! `spec/standard-webhooks.md`.

use super::{Opening, http::Hook};
use crate::{found::Found, letter::Letter};
use base64::{Engine, engine::general_purpose::STANDARD};
use credentials::Secret;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use model::Effect;
use policy::SecretName;
use ports::{GistKind, Unsent};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretSlice};
use serde::Serialize;
use sha2::Sha256;
use std::collections::BTreeMap;

/// How long a key may be, in bytes.
const KEY: std::ops::RangeInclusive<usize> = 24..=64;

#[derive(Debug)]
pub(super) struct Webhook {
    hook: Hook,
    key: Secret,
    /// Where the key is kept: the name of a variable or a field.
    key_in: String,
}

/// What programs read.
#[derive(Debug, Serialize)]
struct Payload<'a> {
    version: u8,
    #[serde(rename = "type")]
    kind: GistKind,
    id: &'a str,
    occurred_at: Timestamp,
    story: Story<'a>,
    follow_up: bool,
    subject: &'a str,
    severity: Option<&'a str>,
    /// As the playbook's routes name it.
    action: Option<Effect>,
    outcome: &'a str,
    urgent: bool,
    device: Option<Device<'a>>,
    alert: Option<&'a str>,
    incident: Option<&'a str>,
    hunt: Option<&'a str>,
    table: Option<Table<'a>>,
    title: &'a str,
    headline: &'a str,
    text: &'a str,
    links: BTreeMap<String, &'a str>,
}

#[derive(Debug, Serialize)]
struct Story<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Debug, Serialize)]
struct Device<'a> {
    id: &'a str,
    name: Option<&'a str>,
}

/// What a hunt has found.
#[derive(Debug, Serialize)]
struct Table<'a> {
    columns: &'a [String],
    rows: &'a [Vec<String>],
    /// How many there are beside these.
    more: usize,
}

impl Webhook {
    pub(super) fn open(url: &SecretName, key: &SecretName, opening: &mut Opening<'_>) -> Option<Webhook> {
        let key_in = opening.kept_in(key);
        let checked = match opening.given(key) {
            Some(text) => checked(text, &key_in).map(|_| ()),
            None => Ok(()),
        };
        let checked = opening.keep(checked);
        let (hook, key) = (Hook::open("the webhook", hint, url, opening), opening.secret("key", key));
        checked?;
        Some(Webhook { hook: hook?, key: key?, key_in })
    }

    pub(super) async fn deliver(&self, letter: &Letter, now: Timestamp) -> Result<(), Unsent> {
        let key = self.key.read(now).await.map_err(|error| Unsent::channel(error.to_string()))?;
        let key = match checked(key.expose_secret(), &self.key_in) {
            Ok(key) => key,
            Err(why) => {
                self.key.forget().await;
                return Err(Unsent::channel(why));
            }
        };
        let id = letter.word_of_id();
        let body =
            serde_json::to_vec(&payload(letter, &id)).map_err(|error| Unsent::message(error.to_string()))?;
        let sent = self.hook.post(headers(&key, &id, now, &body)?, body, now).await;
        if sent.is_err() {
            // There may be another key by now.
            self.key.forget().await;
        }
        sent
    }
}

fn hint(status: u16, _: &str) -> Option<&'static str> {
    match status {
        401 | 403 => Some("it does not accept Cordon; check that it has the same key and the right time"),
        404 | 410 => Some("nobody listens there any more; check the address"),
        _ => None,
    }
}

/// The key's bytes, or what is wrong with it, without a word of it.
fn checked(text: &str, kept_in: &str) -> Result<SecretSlice<u8>, String> {
    let bytes = text.trim().strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
    let good = bytes.filter(|bytes| KEY.contains(&bytes.len()));
    good.map(SecretSlice::from).ok_or_else(|| {
        format!(
            "`{kept_in}` holds no usable key: it must be `whsec_` and then the base64 of {} to {} random bytes, \
             as `openssl rand -base64 32` makes it",
            KEY.start(),
            KEY.end()
        )
    })
}

fn headers(key: &SecretSlice<u8>, id: &str, now: Timestamp, body: &[u8]) -> Result<HeaderMap, Unsent> {
    let time = now.as_second().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret())
        .map_err(|error| Unsent::channel(format!("nothing can be signed: {error}")))?;
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(part);
    }
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let mut headers = HeaderMap::new();
    for (name, value) in [("webhook-id", id), ("webhook-timestamp", &time), ("webhook-signature", &signature)]
    {
        let value = HeaderValue::from_str(value).map_err(|error| Unsent::message(error.to_string()))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

fn payload<'a>(letter: &'a Letter, id: &'a str) -> Payload<'a> {
    let (page, gist) = (&letter.page, &letter.page.gist);
    let device = gist.device.as_ref();
    Payload {
        version: 1,
        kind: gist.kind,
        id,
        occurred_at: letter.occurred_at,
        story: Story { id: letter.story.id.as_str(), name: &letter.story.name },
        follow_up: letter.is_follow_up,
        subject: &letter.mail.subject,
        severity: gist.severity.as_deref(),
        action: gist.action,
        outcome: &gist.outcome,
        urgent: gist.urgent,
        device: device.map(|id| Device { id: id.as_str(), name: gist.device_name.as_deref() }),
        alert: gist.alert.as_ref().map(|alert| alert.as_str()),
        incident: gist.incident.as_deref(),
        hunt: page.hunt.as_deref(),
        table: (!page.found.is_empty()).then(|| table(&page.found)),
        title: &page.title,
        headline: &page.headline,
        text: &letter.mail.text,
        links: page.links.iter().map(|(label, url)| (label.to_lowercase(), url.as_str())).collect(),
    }
}

fn table(found: &Found) -> Table<'_> {
    Table { columns: &found.columns, rows: &found.rows, more: found.more }
}
