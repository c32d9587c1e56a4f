//! What arrives at a webhook: JSON whose signature another implementation of Standard Webhooks accepts; and
//! what all channels over HTTP have in common: rests, time-outs, redirects, and secrets that nobody gets to
//! see.

use crate::{
    graph, hostile,
    http_receiver::{
        ACTING, Answer, Message, Receiver, Request, assert_harmless, assert_honest, env, every_message,
        opened, sent, tell, texts,
    },
    memory::Memory,
    samples::{device, envelope, found, notice, now, release, requested, taken},
    slack, teams,
};
use async_trait::async_trait;
use credentials::{Problems, SecretError, SecretStore, Vars};
use jiff::{SignedDuration, Timestamp};
use model::{EffectState, Mode, Topic};
use notify::{Channel, KeptSecret, OnAws, open};
use policy::{ChannelKind, SecretName};
use ports::{Disposition, Fault, MailBackend, Publication, Tally, TopicBackend, Unsent};
use secrecy::SecretString;
use serde_json::Value;
use standardwebhooks::Webhook;
use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

const TARGET: &str = "/hooks/very-secret-part?token=very-secret-part";
/// The base64 of 32 bytes.
pub(crate) const KEY: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYg==";

fn kind() -> ChannelKind {
    ChannelKind::Webhook { url: env("CORDON_WEBHOOK_URL"), key: env("CORDON_WEBHOOK_KEY") }
}

fn channel(receiver: &Receiver) -> Channel {
    let url = receiver.url(TARGET);
    opened(kind(), &[("CORDON_WEBHOOK_URL", &url), ("CORDON_WEBHOOK_KEY", KEY)]).unwrap()
}

/// What arrives, with a signature that holds.
async fn arrived(message: Message) -> (Request, Value) {
    let receiver = Receiver::start(Answer::Status(204, "")).await;
    tell(channel(&receiver), message).await;
    let [request] = receiver.received().try_into().unwrap();
    assert_eq!(request.target, TARGET);
    let json = request.json();
    let (id, time) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    assert_eq!(json.pointer("/id"), Some(&id.into()));
    assert_eq!(time, now().as_second().to_string());
    let signature = Webhook::new(KEY).unwrap().sign(id, time.parse().unwrap(), &request.body).unwrap();
    assert_eq!(request.header("webhook-signature"), signature);
    (request, json)
}

#[tokio::test]
async fn a_program_reads_what_happened() {
    let (_, json) = arrived(Message::Outcome(Box::new(requested()))).await;
    let expected = [
        ("/version", 1.into()),
        ("/type", "outcome".into()),
        ("/occurred_at", "2026-11-20T10:01:00Z".into()),
        ("/story/name", "incident 1126093 on laptop-7".into()),
        ("/follow_up", false.into()),
        ("/severity", "High".into()),
        ("/action", "isolate".into()),
        ("/outcome", "requested".into()),
        ("/urgent", true.into()),
        ("/device/id", device().id.as_str().into()),
        ("/device/name", "laptop-7".into()),
        ("/alert", requested().alert.id.as_str().into()),
        ("/incident", "1126093".into()),
        ("/hunt", Value::Null),
        ("/table", Value::Null),
        ("/title", "Suspicious encryption of files".into()),
        ("/links/alert", format!("https://security.microsoft.com/alerts/{}", requested().alert.id).into()),
    ];
    for (pointer, value) in expected {
        assert_eq!(json.pointer(pointer), Some::<&Value>(&value), "{pointer} of {json:#}");
    }
    assert!(json["headline"].as_str().unwrap().contains("Defender accepted the request"), "{json}");
    assert!(json["text"].as_str().unwrap().contains("WHAT TO DO NEXT"), "{json}");
    assert!(!json.to_string().contains("powershell.exe -nop"), "a third party gets no command lines: {json}");
}

/// Urgent is what somebody has to look at or decide now, or what is about to cut a device off.
#[tokio::test]
async fn a_program_reads_whether_somebody_has_to_look_now() {
    use EffectState::{
        Adopted, Cancelled, Claimed, Failed, Held, Observed, Pending, Proposed, Refused, Released, Requested,
        Requesting, Succeeded, TimedOut, Unknown,
    };
    use model::Answer::{Isolate, None as Nothing, Propose, Refused as Refuse};
    let of = |answer, mode, state| taken(answer, mode, state);
    let mut cases = vec![
        (of(Isolate, Mode::Enforce, None), true),
        (of(Propose, Mode::Enforce, Some(Proposed)), true),
        (of(Refuse, Mode::Enforce, Some(Refused)), true),
        (of(Nothing, Mode::Enforce, None), false),
        // Whoever only observes is woken by nothing.
        (of(Isolate, Mode::Observe, Some(Observed)), false),
        (of(Propose, Mode::Observe, Some(Proposed)), false),
        (of(Refuse, Mode::Observe, Some(Refused)), false),
        // What was asked for before is as it is, whatever the mode is by now.
        (of(Isolate, Mode::Observe, Some(Failed)), true),
    ];
    let isolations = [Claimed, Requesting, Requested, Pending, Failed, TimedOut, Cancelled, Unknown, Held];
    cases.extend(isolations.map(|state| (of(Isolate, Mode::Enforce, Some(state)), true)));
    let calm = [Succeeded, Adopted, Released];
    cases.extend(calm.map(|state| (of(Isolate, Mode::Enforce, Some(state)), false)));
    cases.extend([Failed, TimedOut, Cancelled, Unknown, Refused].map(|state| (release(state), true)));
    cases.extend([Requested, Pending, Succeeded, Released, Observed].map(|state| (release(state), false)));
    for (taken, urgent) in cases {
        let what = format!("{:?} {:?} {:?}", taken.decision.mode, taken.effect, taken.state);
        let (_, json) = arrived(Message::Outcome(Box::new(taken))).await;
        assert_eq!(json["urgent"], urgent, "{what}: {json}");
    }
}

#[tokio::test]
async fn every_kind_of_message_is_signed_and_says_its_kind() {
    for message in every_message() {
        let kind = if matches!(message, Message::Outcome(_)) { "outcome" } else { "notice" };
        assert_eq!(arrived(message).await.1["type"], kind);
    }
    let receiver = Receiver::start(Answer::Status(200, "")).await;
    sent(&channel(&receiver)).await.unwrap();
    assert_eq!(receiver.received()[0].json()["type"], "test");
}

#[tokio::test]
async fn no_word_of_a_stranger_leaves_its_field() {
    for text in hostile::corpus().into_iter().chain([ACTING.to_owned()]) {
        let [alien, found] =
            [Topic::AlienAction, found()].map(|topic| Message::Notice(hostile::notice_of(topic, &text)));
        for message in [Message::Outcome(Box::new(hostile::everywhere(&text))), alien, found] {
            let (request, json) = arrived(message).await;
            let fields: Vec<&String> = json.as_object().unwrap().keys().collect();
            assert_eq!(fields.len(), 20, "{fields:?}");
            for (name, leaf) in texts(&json) {
                // These two are for programs, which search by them.
                let is_plain =
                    name == "subject" || json.pointer("/device/name") == Some(&leaf.as_str().into());
                if is_plain { assert_honest(&leaf, &text) } else { assert_harmless(&leaf, &text) }
            }
            assert!(request.body.len() < 100_000, "{} bytes", request.body.len());
        }
    }
}

#[tokio::test]
async fn a_repeat_has_the_same_id_and_body_and_a_new_time() {
    let receiver = Receiver::start(Answer::Status(200, "")).await;
    for minutes in [0, 5] {
        let (_, state) = Memory::state();
        let notify = crate::memory::notify(vec![channel(&receiver)], state, Tally::default());
        let at = now() + SignedDuration::from_mins(minutes);
        assert_eq!(Box::pin(notify.handle(envelope(requested()), at)).await, Disposition::Done);
    }
    let [first, second] = receiver.received().try_into().unwrap();
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_ne!(first.header("webhook-timestamp"), second.header("webhook-timestamp"));
    assert_ne!(first.header("webhook-signature"), second.header("webhook-signature"));
}

#[test]
fn a_key_or_an_address_that_is_none_is_refused_at_once_without_a_word_of_it() {
    let good = "https://hooks.example.com/hunter2?x=hunter2";
    let keys = [
        "hunter2",
        "whsec_hunter2",
        "whsec_",
        "whsec_c2hvcnQ=",
        "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYg==",
    ];
    for key in keys {
        let why = opened(kind(), &[("CORDON_WEBHOOK_URL", good), ("CORDON_WEBHOOK_KEY", key)]).unwrap_err();
        assert!(why.contains("`CORDON_WEBHOOK_KEY`") && why.contains("openssl rand -base64 32"), "{why}");
        assert!(!why.contains("hunter2") && !why.contains("c2Vj"), "{why}");
    }
    for url in [
        "http://hooks.example.com/hunter2",
        "hunter2",
        "ftp://127.0.0.1/hunter2",
        "https://hunter2@h.example/",
    ] {
        let why = opened(kind(), &[("CORDON_WEBHOOK_URL", url), ("CORDON_WEBHOOK_KEY", KEY)]).unwrap_err();
        assert!(why.contains("channel `people`: `CORDON_WEBHOOK_URL`") && !why.contains("hunter2"), "{why}");
    }
    let why = opened(kind(), &[]).unwrap_err();
    assert!(
        why.contains("CORDON_WEBHOOK_URL is not set") && why.contains("CORDON_WEBHOOK_KEY is not set"),
        "{why}"
    );
}

/// Every channel over HTTP, to this service.
fn all(receiver: &Receiver) -> [Channel; 4] {
    [teams::channel(receiver), slack::channel(receiver), channel(receiver), graph::channel(receiver)]
}

/// A service that answers like this, and hands out tokens.
async fn service(answer: Answer) -> Receiver {
    Receiver::answering(move |request| graph::token(request).unwrap_or_else(|| answer.clone())).await
}

#[tokio::test]
async fn a_service_that_wants_a_rest_gets_it() {
    for (status, value, rest) in [
        (429, "90".to_owned(), SignedDuration::from_secs(90)),
        (503, "Fri, 20 Nov 2026 10:06:00 GMT".to_owned(), SignedDuration::from_secs(60)),
        (429, "999999".to_owned(), SignedDuration::from_hours(1)),
    ] {
        let answer = Answer::With { status, header: ("Retry-After", value), body: String::new() };
        let receiver = service(answer).await;
        for channel in all(&receiver) {
            let unsent = sent(&channel).await.unwrap_err();
            assert_eq!((unsent.fault, unsent.after), (Fault::Channel, Some(rest)), "{unsent:?}");
        }
    }
}

/// What each channel over HTTP says of a service that answers like this.
async fn said_of(answer: Answer) -> Vec<String> {
    let receiver = service(answer).await;
    let mut said = vec![];
    for channel in all(&receiver) {
        said.push(sent(&channel).await.unwrap_err().why);
    }
    said
}

#[tokio::test]
async fn of_what_a_service_says_one_short_word_is_repeated_and_nothing_else() {
    let left_out = [
        "powershell -enc hunter2 is no good",
        r#"{"error":{"message":"hunter2"}}"#,
        r#"{"error":{"code":"hunter2 hunter2"}}"#,
        // A part of the address, or more than it.
        "secret-part",
        "VERY-SECRET-PART-x",
        "x.very-secret-part",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd",
    ];
    for words in left_out {
        for status in [400, 403, 500] {
            for said in said_of(Answer::Status(status, words)).await {
                assert!(!said.contains("hunter2"), "{said} of {words}");
                // Its address is no secret.
                let is_graph = said.starts_with("Microsoft Graph") && words.to_lowercase().contains("part");
                assert!(is_graph || said.ends_with("(its words are left out)"), "{said} of {words}");
            }
        }
    }
    for words in ["payload-of-the-token", "signature", "x-header-of-the-token"] {
        let said = said_of(Answer::Status(403, words)).await.pop().unwrap();
        assert!(said.starts_with("Microsoft Graph") && said.ends_with("left out)"), "{said} of {words}");
    }
    let code = r#"{"error":{"code":"invalid.code-1_x","message":"\u0076ery-secret-part, hunter2"}}"#;
    for words in [code, "invalid.code-1_x\n", r#"{"ok":false,"error":"invalid.code-1_x"}"#] {
        for said in said_of(Answer::Status(400, words)).await {
            assert!(said.ends_with("(it said: invalid.code-1_x)"), "{said}");
        }
    }
    for said in said_of(Answer::Echo(400)).await {
        assert!(said.ends_with("(its words are left out)"), "{said}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start(Answer::Status(200, "")).await;
    for status in [301, 302, 307, 308] {
        let header = ("Location", elsewhere.url("/elsewhere"));
        let receiver = service(Answer::With { status, header, body: String::new() }).await;
        for channel in all(&receiver) {
            let unsent = sent(&channel).await.unwrap_err();
            assert!(unsent.why.contains("that is not followed"), "{unsent:?}");
        }
    }
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_after_ten_seconds() {
    let receiver = service(Answer::Silence).await;
    let channels = all(&receiver);
    let [teams, slack, webhook, graph] = &channels;
    let all = tokio::join!(sent(teams), sent(slack), sent(webhook), sent(graph));
    for unsent in [all.0, all.1, all.2, all.3].map(Result::unwrap_err) {
        assert!(unsent.why.ends_with("did not answer in 10 s"), "{unsent:?}");
        assert_eq!(unsent.fault, Fault::Channel);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_the_channels_fault_and_nothing_is_sent_twice() {
    let receiver = service(Answer::HangUp).await;
    for channel in all(&receiver) {
        let unsent = sent(&channel).await.unwrap_err();
        assert!(unsent.why.ends_with("broke off the connection"), "{unsent:?}");
        assert_eq!(unsent.fault, Fault::Channel);
    }
    assert_eq!(receiver.received().iter().filter(|request| graph::token(request).is_none()).count(), 4);
}

/// A store that holds another address once it was told to forget the first one.
#[derive(Debug)]
struct Store {
    urls: [String; 2],
    forgotten: AtomicUsize,
}

#[async_trait]
impl SecretStore for Store {
    async fn field(&self, _: &str, field: &str, _: Timestamp) -> Result<SecretString, SecretError> {
        let at = self.forgotten.load(Ordering::SeqCst).min(1);
        Ok(if field == "key" { KEY } else { &self.urls[at] }.into())
    }

    async fn forget(&self, _: &str) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }
}

/// Services that these channels do not use.
#[derive(Debug)]
struct Unused;

#[async_trait]
impl MailBackend for Unused {
    async fn send(&self, _: &str, _: &[String], _: Vec<u8>) -> Result<(), Unsent> {
        Err(Unsent::channel("nobody asked for this"))
    }
}

#[async_trait]
impl TopicBackend for Unused {
    async fn publish(&self, _: &str, _: &Publication) -> Result<(), Unsent> {
        Err(Unsent::channel("nobody asked for this"))
    }
}

#[tokio::test]
async fn an_address_that_is_turned_down_is_read_anew() {
    let kept = |field: &str| SecretName { env: None, field: Some(field.to_owned()) };
    for status in [401, 403, 404, 410] {
        let (old, new) = (
            Receiver::start(Answer::Status(status, "")).await,
            Receiver::start(Answer::Status(202, "")).await,
        );
        let kinds = [
            ChannelKind::Teams { url: kept("url") },
            ChannelKind::Slack { url: kept("url") },
            ChannelKind::Webhook { url: kept("url"), key: kept("key") },
        ];
        for kind in kinds {
            let store =
                Arc::new(Store { urls: [old.url(TARGET), new.url(TARGET)], forgotten: AtomicUsize::new(0) });
            let secret = Some(KeptSecret { store, name: "channels".to_owned() });
            let aws = OnAws { mail: Arc::new(Unused), topics: Arc::new(Unused), secret };
            let settings = [policy::Channel::new("people", kind)];
            let channels = open(&settings, &Vars::default(), Some(&aws), &mut Problems::default());
            let unsent = sent(&channels[0]).await.unwrap_err();
            assert!(unsent.why.contains(&format!("answered {status}")), "{unsent:?}");
            sent(&channels[0]).await.unwrap();
        }
        assert_eq!((old.received().len(), new.received().len()), (3, 3));
    }
}

/// Keeps what is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_stands_in_an_error_a_debug_text_or_a_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut said = Vec::new();
    let echoes = [200, 302, 400, 401, 403, 404, 410, 413, 429, 500, 503].map(Answer::Echo);
    for answer in echoes.into_iter().chain([Answer::HangUp]) {
        let receiver = service(answer).await;
        for channel in all(&receiver) {
            said.push(format!("{channel:?}"));
            said.push(format!("{:?}", sent(&channel).await));
            let (_, state) = Memory::state();
            let notify = crate::memory::notify(vec![channel], state, Tally::default());
            said.push(format!("{:?}", Box::pin(notify.handle(envelope(requested()), now())).await));
            said.push(format!(
                "{:?}",
                Box::pin(notify.handle_notice(envelope(notice(Topic::Paused)), now())).await
            ));
        }
    }
    said.push(String::from_utf8(log.0.lock().unwrap().clone()).unwrap());
    let said = said.join("\n");
    assert!(said.contains("its words are left out") && said.contains("told"), "something was said");
    let key = KEY.trim_start_matches("whsec_");
    for secret in ["very-secret-part", "0123456789abcdef", key, graph::CLIENT_SECRET, graph::TOKEN] {
        let found = said.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret}");
    }
}
