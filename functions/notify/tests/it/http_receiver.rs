//! A web service in the test's own process: keeps what is posted to it and answers as it is told. Speaks just
//! enough HTTP for that, one request per connection, and never repeats anything.

use crate::{
    memory::Memory,
    samples::{PORTAL, envelope, notice, now, release, taken},
};
use credentials::{Problems, Vars};
use jsonschema::Validator;
use model::{Answer as Decided, EffectState, Mode, Severity};
use notify::{Channel, Templates, open, send_sample};
use policy::{ChannelKind, SecretName};
use ports::{Disposition, Tally, Unsent};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What was posted.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// By their names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        assert_eq!((self.method.as_str(), self.header("content-type")), ("POST", "application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// All of it, as a rude service sends it back.
    fn echo(&self) -> String {
        format!("{} {} {:?} {}", self.method, self.target, self.headers, String::from_utf8_lossy(&self.body))
    }
}

/// How the service answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16, &'static str),
    With {
        status: u16,
        header: (&'static str, String),
        body: String,
    },
    /// Says back what it was sent.
    Echo(u16),
    /// Takes the request and says nothing.
    Silence,
    /// Takes the request and hangs up.
    HangUp,
}

pub(crate) struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    pub(crate) async fn start(answer: Answer) -> Receiver {
        Receiver::answering(move |_| answer.clone()).await
    }

    /// What each request gets.
    pub(crate) async fn answering(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&received), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let Some(request) = read(&mut stream).await else { return };
                    kept.lock().unwrap().push(request.clone());
                    write(stream.into_inner(), answer(&request), &request).await;
                });
            }
        });
        Receiver { port, received }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://127.0.0.1:{}{target}", self.port)
    }

    pub(crate) fn received(&self) -> Vec<Request> {
        self.received.lock().unwrap().clone()
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let named = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: BTreeMap<String, String> = lines.iter().skip(1).filter_map(named).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, target, headers, body })
}

async fn write(mut stream: TcpStream, answer: Answer, request: &Request) {
    let (status, header, body) = match answer {
        Answer::Status(status, body) => (status, String::new(), body.to_owned()),
        Answer::With { status, header: (name, value), body } => {
            (status, format!("{name}: {value}\r\n"), body)
        }
        Answer::Echo(status) => (status, String::new(), request.echo()),
        Answer::Silence => return std::future::pending().await,
        Answer::HangUp => return,
    };
    let head =
        format!("HTTP/1.1 {status} X\r\n{header}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // A client that does not want the answer is no failure of the test's.
    stream.write_all(head.as_bytes()).await.ok();
    stream.write_all(body.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

/// The variable that holds a secret of the tests.
pub(crate) fn env(name: &str) -> SecretName {
    SecretName { env: Some(name.to_owned()), field: None }
}

/// The channel, or what is wrong with it.
pub(crate) fn opened(kind: ChannelKind, vars: &[(&str, &str)]) -> Result<Channel, String> {
    let vars: Vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut problems = Problems::default();
    let mut channels = open(&[policy::Channel::new("people", kind)], &vars, None, &mut problems);
    match problems.iter().collect::<Vec<_>>().join("\n") {
        none if none.is_empty() => Ok(channels.pop().unwrap()),
        problems => Err(problems),
    }
}

/// Sends the sample, and gives back what the channel says of it.
pub(crate) async fn sent(channel: &Channel) -> Result<(), Unsent> {
    send_sample(channel, &Templates::shipped(), PORTAL, now()).await.map(|_| ())
}

/// Tells a message of its own story.
pub(crate) async fn tell(channel: Channel, message: Message) {
    let (_, state) = Memory::state();
    let notify = crate::memory::notify(vec![channel], state, Tally::default());
    assert_eq!(message.take(&notify).await, Disposition::Done);
}

/// A message of the queue.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Outcome(Box<model::ActionTaken>),
    Notice(model::Notice),
}

impl Message {
    pub(crate) async fn take(self, notify: &notify::Notify) -> Disposition {
        match self {
            Message::Outcome(taken) => Box::pin(notify.handle(envelope(*taken), now())).await,
            Message::Notice(notice) => Box::pin(notify.handle_notice(envelope(notice), now())).await,
        }
    }
}

/// One of every kind: each state of an isolation and of a release, what was only decided, and each topic.
pub(crate) fn every_message() -> Vec<Message> {
    let isolation = |state| taken(Decided::Isolate, Mode::Enforce, Some(state));
    let states = crate::samples::STATES.into_iter().flat_map(|state| [isolation(state), release(state)]);
    let decided = [Decided::Isolate, Decided::Propose, Decided::Refused, Decided::None]
        .into_iter()
        .flat_map(|answer| [Mode::Observe, Mode::Enforce].map(|mode| taken(answer, mode, None)));
    let severities = [Severity::Medium, Severity::Low, Severity::Informational].map(|severity| {
        let mut taken = isolation(EffectState::Succeeded);
        taken.alert.severity = Some(severity);
        taken
    });
    let outcomes = states.chain(decided).chain(severities).map(|taken| Message::Outcome(Box::new(taken)));
    outcomes.chain(crate::samples::topics().into_iter().map(|topic| Message::Notice(notice(topic)))).collect()
}

/// Words of a stranger that try to act in a card.
pub(crate) const ACTING: &str = "*b* _i_ ~s~ `c` [here](https://evil.example/x) <https://evil.example|x> \
     <!channel> <@U012AB3CD> @here :skull: # H1 {{DATE(2026-11-20T10:00:00Z, SHORT)}} {{{x}}} ${x} $${x} @{x} \
     &lt;!here&gt; <at>all</at> \"}]}";

/// Every text in a JSON value, with the name of its field.
pub(crate) fn texts(value: &Value) -> Vec<(String, String)> {
    fn walk(name: &str, value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::String(text) => found.push((name.to_owned(), text.clone())),
            Value::Array(items) => items.iter().for_each(|item| walk(name, item, found)),
            Value::Object(fields) => fields.iter().for_each(|(name, item)| walk(name, item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    walk("", value, &mut found);
    found
}

/// Nothing in it acts on a terminal, turns the direction of what is read, or is not seen.
#[track_caller]
pub(crate) fn assert_honest(text: &str, from: &str) {
    let unseen = |c| {
        matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
    };
    let acting = text.chars().find(|c| *c != '\n' && (c.is_control() || unseen(*c)));
    assert_eq!(acting, None, "in {text:.200} from {from:.80}");
}

/// Nor does a program make a link of it: there is none but into the portal.
#[track_caller]
pub(crate) fn assert_harmless(text: &str, from: &str) {
    assert_honest(text, from);
    let in_link = |c: char| c.is_ascii_alphanumeric() || "-_.~%/".contains(c);
    let is_ours = |word: &&str| {
        word.strip_prefix(PORTAL).is_some_and(|rest| rest.starts_with('/') && rest.chars().all(in_link))
    };
    let words = text.split_whitespace().filter(|word| !is_ours(word));
    let strange = words.collect::<Vec<_>>().join(" ").to_lowercase();
    let linkable = ["http:/", "https:/", "file:", "mailto:", "www.", "evil.example", "192.0.2.1", "\\\\192"];
    let found = linkable.into_iter().find(|live| strange.contains(live));
    assert_eq!(found, None, "in {text:.400} from {from:.80}");
}

/// Every object in a JSON value that has this `type`.
pub(crate) fn all_of<'v>(kind: &str, value: &'v Value) -> Vec<&'v Value> {
    let own = (value.get("type").and_then(Value::as_str) == Some(kind)).then_some(value);
    let within: Vec<&Value> = match value {
        Value::Array(items) => items.iter().flat_map(|item| all_of(kind, item)).collect(),
        Value::Object(fields) => fields.values().flat_map(|item| all_of(kind, item)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![],
    };
    own.into_iter().chain(within).collect()
}

/// A schema of `tests/schemas`.
pub(crate) fn schema(text: &str) -> Validator {
    jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap()
}

/// Fails where it does not keep to the schema.
pub(crate) fn keeps_to(schema: &Validator, value: &Value) {
    let errors: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{}: {error:.300}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
}
