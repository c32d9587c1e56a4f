//! Posting over HTTP to a service that people read, and what its answer means. What is posted is not known
//! here.
//!
//! The address of a webhook is its key: whoever knows it may post. It stands in no error, no log and no
//! `Debug`. Of what a service says one short word is repeated, such as `invalid_payload`, and nothing else:
//! it may hold what it was sent, which is not for the other channels and the log.

use super::Opening;
use credentials::Secret;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use policy::SecretName;
use ports::{Fault, Unsent};
use reqwest::{
    Client, RequestBuilder, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use secrecy::ExposeSecret;
use serde_json::Value;
use std::{error::Error, time::Duration};
use url::Url;

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a service is left alone at its own word.
const LONGEST_REST: SignedDuration = SignedDuration::from_hours(1);

/// The most of an answer that is read, and of the word in it that is repeated.
const MOST_READ: usize = 8 * 1024;
const MOST_SAID: usize = 60;

/// Clients that follow no redirect and repeat nothing: one for the network, and one for this machine itself,
/// which is never asked for through a proxy.
#[derive(Debug)]
pub(super) struct Http {
    out: Client,
    here: Client,
}

impl Http {
    pub(super) fn open(opening: &mut Opening<'_>) -> Option<Http> {
        let client = |loopback| {
            let built = credentials::http_client(0, loopback);
            built.map_err(|error| format!("no HTTP is possible: {}", error.without_url()))
        };
        let (out, here) = (opening.keep(client(false)), opening.keep(client(true)));
        Some(Http { out: out?, here: here? })
    }

    /// The client for this address.
    pub(super) fn client(&self, url: &str) -> &Client {
        if credentials::is_loopback(url) { &self.here } else { &self.out }
    }
}

/// What a service's answer means for whoever set the channel up; none where it says nothing about the
/// channel. `code`: the word that it answered; empty where there is none.
pub(super) type Hint = fn(status: u16, code: &str) -> Option<&'static str>;

/// A webhook of a service.
#[derive(Debug)]
pub(super) struct Hook {
    service: &'static str,
    hint: Hint,
    http: Http,
    url: Secret,
    /// Where the address is kept: the name of a variable or a field.
    kept_in: String,
}

impl Hook {
    /// An address that is at hand is checked now, any other when it is used.
    pub(super) fn open(
        service: &'static str,
        hint: Hint,
        named: &SecretName,
        opening: &mut Opening<'_>,
    ) -> Option<Hook> {
        let url = opening.secret("url", named);
        let kept_in = opening.kept_in(named);
        let checked = match opening.given(named) {
            Some(text) => checked(text, &kept_in).map(|_| ()),
            None => Ok(()),
        };
        let (checked, http) = (opening.keep(checked), Http::open(opening));
        checked?;
        Some(Hook { service, hint, http: http?, url: url?, kept_in })
    }

    /// Posts JSON, once.
    pub(super) async fn post(&self, headers: HeaderMap, body: Vec<u8>, now: Timestamp) -> Result<(), Unsent> {
        let secret = self.url.read(now).await.map_err(|error| Unsent::channel(error.to_string()))?;
        let url = match checked(secret.expose_secret(), &self.kept_in) {
            Ok(url) => url,
            Err(why) => {
                self.url.forget().await;
                return Err(Unsent::channel(why));
            }
        };
        let request = self.http.client(url.as_str()).post(url.clone()).headers(headers);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let answer = ask(request, self.service, now).await?;
        if answer.is_success() {
            return Ok(());
        }
        let hint = (self.hint)(answer.status.as_u16(), answer.code());
        // There may be another address now, where somebody keeps it anew.
        if hint.is_some() {
            self.url.forget().await;
        }
        let hint = hint.map(|hint| format!("{hint}; the address is kept in `{}`", self.kept_in));
        Err(answer.unsent(self.service, hint.as_deref(), repeats(answer.code(), &url)))
    }
}

/// The address of a webhook, or what is wrong with it, without a word of it.
fn checked(text: &str, kept_in: &str) -> Result<Url, String> {
    let bad = |why: &str| format!("`{kept_in}` holds no usable address: {why}");
    let url = Url::parse(text.trim()).map_err(|_| bad("it is not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(bad("a user name, a password or a `#` has no place in it"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if credentials::is_loopback(url.as_str()) => Ok(url),
        "http" => Err(bad("`http://` is accepted for this machine only; it must begin with https://")),
        _ => Err(bad("it must begin with https://")),
    }
}

/// Whether a word is a part of an address, or has a part of it in it that may be its key.
fn repeats(word: &str, url: &Url) -> bool {
    // What stands in the addresses of Slack and of Power Automate and is no secret.
    const KNOWN: [&str; 8] =
        ["automations", "direct", "invoke", "manual", "powerautomate", "services", "triggers", "workflows"];
    let word = word.to_lowercase();
    let address = percent_encoding::percent_decode_str(url.as_str()).decode_utf8_lossy().to_lowercase();
    if url.as_str().to_lowercase().contains(&word) || address.contains(&word) {
        return true;
    }
    let segments = url.path_segments().into_iter().flatten().flat_map(|raw| {
        let decoded = percent_encoding::percent_decode_str(raw).decode_utf8_lossy().into_owned();
        [raw.to_owned(), decoded]
    });
    let raw_pairs = url.query().into_iter().flat_map(|query| query.split(['&', '='])).map(str::to_owned);
    let pairs = url.query_pairs().map(|(_, value)| value.into_owned());
    segments.chain(raw_pairs).chain(pairs).any(|part| {
        let part = part.to_lowercase();
        part.len() >= 6 && !KNOWN.contains(&part.as_str()) && word.contains(&part)
    })
}

/// What a service has answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How long it wants to be left alone.
    after: Option<SignedDuration>,
    heard: Heard,
}

/// What a service says.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// A word for what is wrong, of letters, digits, `_`, `-` and `.`.
    Code(String),
    /// Anything else: a stranger's, and it may hold what it was sent.
    Words,
}

/// Sends a request once and reads the answer. `service`: what to call it in an error.
pub(super) async fn ask(request: RequestBuilder, service: &str, now: Timestamp) -> Result<Answer, Unsent> {
    let response = request.timeout(TIMEOUT).send().await;
    let mut response = response.map_err(|error| Unsent::channel(format!("{service} {}", broken(&error))))?;
    let status = response.status();
    let after = retry_after(response.headers(), now);
    let mut body = Vec::new();
    // Once there is a status, whatever happens to the words changes nothing.
    while body.len() < MOST_READ
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(MOST_READ);
    Ok(Answer { status, after, heard: heard(&body) })
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// The word that it answered; empty where there is none.
    pub(super) fn code(&self) -> &str {
        match &self.heard {
            Heard::Code(code) => code,
            Heard::Nothing | Heard::Words => "",
        }
    }

    /// Why nothing was taken. `hint`: what it means for the channel; `is_secret`: whether that word is kept
    /// back.
    pub(super) fn unsent(&self, service: &str, hint: Option<&str>, is_secret: bool) -> Unsent {
        let mut why = format!("{service} answered {}", self.status.as_u16());
        if let Some(meaning) = hint.or_else(|| self.meaning()) {
            why.push_str(&format!(": {meaning}"));
        }
        match &self.heard {
            Heard::Nothing => {}
            Heard::Code(code) if !is_secret => why.push_str(&format!(" (it said: {code})")),
            Heard::Code(_) | Heard::Words => why.push_str(" (its words are left out)"),
        }
        let is_of_message = matches!(self.status.as_u16(), 400 | 413 | 422) && hint.is_none();
        let fault = if is_of_message { Fault::Message } else { Fault::Channel };
        Unsent { why, fault, after: self.after }
    }

    fn meaning(&self) -> Option<&'static str> {
        match self.status.as_u16() {
            300..400 => Some("it points elsewhere, and that is not followed; check the address"),
            413 => Some("the message is too long for it"),
            429 => Some("it was told too much in a short time"),
            _ => None,
        }
    }
}

/// What broke, in our own words: those of the client may hold the address.
fn broken(error: &reqwest::Error) -> String {
    let mut cause: Option<&dyn Error> = Some(error);
    let mut is_of_certificate = false;
    while let Some(error) = cause {
        is_of_certificate |= error.to_string().contains("certificate");
        cause = error.source();
    }
    if error.is_timeout() {
        format!("did not answer in {} s", TIMEOUT.as_secs())
    } else if is_of_certificate {
        "shows a certificate that is not trusted".to_owned()
    } else if error.is_connect() {
        "cannot be reached".to_owned()
    } else {
        "broke off the connection".to_owned()
    }
}

/// Seconds, or a time. Source: RFC 9110, section 10.2.3.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match text.parse::<u32>() {
        Ok(seconds) => SignedDuration::from_secs(seconds.into()),
        Err(_) => rfc2822::parse(text).ok()?.timestamp().duration_since(now),
    };
    Some(after.clamp(SignedDuration::ZERO, LONGEST_REST))
}

/// The code of an error as Microsoft's services write it, or an answer of one word, as Slack's are.
fn heard(body: &[u8]) -> Heard {
    let json = serde_json::from_slice::<Value>(body).ok();
    let error = json.as_ref().and_then(|json| json.pointer("/error/code").or_else(|| json.pointer("/error")));
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let word = error.and_then(Value::as_str).unwrap_or(text);
    let in_words = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if text.is_empty() {
        Heard::Nothing
    } else if (1..=MOST_SAID).contains(&word.len()) && word.bytes().all(in_words) {
        Heard::Code(word.to_owned())
    } else {
        Heard::Words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://prod-1.example.com/workflows/0123456789abcdef/triggers/manual/paths/\
         invoke?sp=%2Ftriggers%2Fmanual%2Frun&sig=aB3-_secret%2Bpart";

    fn now() -> Timestamp {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    fn rest(value: &str) -> Option<i64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        retry_after(&headers, now()).map(|rest| rest.as_secs())
    }

    #[test]
    fn a_rest_is_seconds_or_a_time_and_never_longer_than_an_hour() {
        assert_eq!(rest("30"), Some(30));
        assert_eq!(rest("Fri, 20 Nov 2026 10:02:00 GMT"), Some(120));
        assert_eq!(rest("Fri, 20 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!(rest("86400"), Some(3_600));
        assert_eq!(rest("soon"), None);
        assert_eq!(rest("-5"), None);
    }

    #[test]
    fn an_address_is_https_or_this_machine_and_an_error_says_nothing_of_it() {
        for good in [URL, "http://127.0.0.1:8080/a?b=c", " https://hooks.example.com/services/T/B/X\n"] {
            assert!(checked(good, "X").is_ok(), "{good}");
        }
        let bad = [
            "hunter2",
            "http://hunter2.example/",
            "ftp://hunter2/",
            "https://a:hunter2@b.example/",
            "https://b.example/#hunter2",
            "",
        ];
        for bad in bad {
            let why = checked(bad, "CORDON_URL").unwrap_err();
            assert!(why.contains("`CORDON_URL`") && !why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn a_word_that_repeats_a_part_of_the_address_is_known() {
        let url = Url::parse(URL).unwrap();
        for word in
            ["0123456789ABCDEF", "x.0123456789abcdef-x", "abcdef", "aB3-_secret", "sig", "prod-1.example.com"]
        {
            assert!(repeats(word, &url), "{word}");
        }
        for word in ["WorkflowTriggerIsNotEnabled", "invalid_blocks", "TriggersManual"] {
            assert!(!repeats(word, &url), "{word}");
        }
    }

    #[test]
    fn one_short_word_is_heard_and_nothing_else() {
        let code = |word: &str| Heard::Code(word.to_owned());
        let body = br#"{"error":{"code":"ErrorAccessDenied","message":"Access is denied.\r\nCheck."}}"#;
        assert_eq!(heard(body), code("ErrorAccessDenied"));
        assert_eq!(heard(b"no_service\n"), code("no_service"));
        assert_eq!(heard(br#"{"ok":false,"error":"no_team"}"#), code("no_team"));
        assert_eq!(heard(b" \r\n"), Heard::Nothing);
        let long = "x".repeat(61);
        let others: [&[u8]; 6] =
            [b"no service", b"\x1b[31m", b"\xff", br#"{"error":{"code":7}}"#, b"{}", long.as_bytes()];
        for other in others {
            assert_eq!(heard(other), Heard::Words);
        }
    }
}
