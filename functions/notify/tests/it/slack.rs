//! What arrives at an incoming webhook of Slack: Block Kit by our own schema of it, in which no stranger's
//! word acts.

use crate::{
    hostile::{corpus, everywhere, notice_of},
    http_receiver::{
        ACTING, Answer, Message, Receiver, all_of, assert_harmless, env, every_message, keeps_to, opened,
        schema, sent, tell, texts,
    },
    memory::Memory,
    samples::{PORTAL, found, requested, taken},
};
use jsonschema::Validator;
use model::{Answer as Decided, EffectState, Mode, Topic};
use notify::Channel;
use policy::ChannelKind;
use ports::{Disposition, Fault, Tally};
use serde_json::Value;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| schema(include_str!("../schemas/block-kit.json")));
const TARGET: &str = "/services/T00000000/B00000000/very-secret-part";

pub(crate) fn channel(receiver: &Receiver) -> Channel {
    let kind = ChannelKind::Slack { url: env("CORDON_SLACK_URL") };
    opened(kind, &[("CORDON_SLACK_URL", &receiver.url(TARGET))]).unwrap()
}

/// What arrives of a message, checked.
async fn arrived(message: Message) -> Value {
    let receiver = Receiver::start(Answer::Status(200, "ok")).await;
    tell(channel(&receiver), message).await;
    let [request] = receiver.received().try_into().unwrap();
    assert_eq!(request.target, TARGET);
    checked(request.json())
}

pub(crate) fn checked(message: Value) -> Value {
    keeps_to(&SCHEMA, &message);
    let length = message.to_string().len();
    assert!(length <= 12_000, "{length} bytes");
    for link in all_of("link", &message) {
        assert!(link["url"].as_str().unwrap().starts_with(&format!("{PORTAL}/")), "{link}");
    }
    message
}

fn said(message: &Value) -> String {
    all_of("text", message).iter().map(|text| text["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_message_says_what_happened_what_to_do_and_where_to_look() {
    let message = arrived(Message::Outcome(Box::new(requested()))).await;
    let header = message["blocks"][0]["text"]["text"].as_str().unwrap();
    assert!(header.contains("isolation requested · laptop-7 · Suspicious encryption"), "{header}");
    assert!(message["text"].as_str().unwrap().contains("isolation requested"), "{message}");
    let said = said(&message);
    assert!(said.starts_with("Cordon asked for the isolation of laptop-7, and Defender accepted"), "{said}");
    for part in
        ["High · Suspicious encryption of files", "Accepted is not isolated", "CONTOSO\\alice", "winword.exe"]
    {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    assert!(!said.contains("powershell.exe -nop"), "a third party gets no command lines:\n{said}");
    let commands = all_of("rich_text_preformatted", &message);
    assert!(!commands.is_empty());
    for command in commands {
        assert!(command["elements"][0]["text"].as_str().unwrap().starts_with("cordon "), "{command}");
    }
    assert_eq!(all_of("link", &message).len(), 3);
}

#[tokio::test]
async fn every_kind_of_message_keeps_to_the_schema() {
    for message in every_message() {
        arrived(message).await;
    }
}

#[tokio::test]
async fn no_word_of_a_stranger_acts_in_slack() {
    for text in corpus().into_iter().chain([ACTING.to_owned(), "😀漢".repeat(32_768)]) {
        let notices = [Topic::AlienAction, Topic::Paused, Topic::ReleaseSoon, found()]
            .map(|topic| Message::Notice(notice_of(topic, &text)));
        let messages = [Message::Outcome(Box::new(everywhere(&text)))].into_iter().chain(notices);
        for message in messages {
            let message = arrived(message).await;
            assert!(all_of("mrkdwn", &message).is_empty());
            let notification = message["text"].as_str().unwrap();
            let plain = ["&amp;", "&lt;", "&gt;"]
                .iter()
                .fold(notification.to_owned(), |text, entity| text.replace(entity, ""));
            for acting in ["<", ">", "&", "https:/", ":skull", "evil.example"] {
                assert!(!plain.contains(acting), "{acting} in {notification}");
            }
            let header = message["blocks"][0]["text"]["text"].as_str().unwrap();
            assert!(!header.contains(['<', '>', '&']), "{header}");
            assert!(said(&message).contains("Sent by Cordon"), "from {text:.80}");
            for (_, leaf) in texts(&message) {
                assert_harmless(&leaf, &text);
            }
        }
    }
}

#[tokio::test]
async fn a_follow_up_is_short_and_names_the_story() {
    let receiver = Receiver::start(Answer::Status(200, "ok")).await;
    let (_, state) = Memory::state();
    let notify = crate::memory::notify(vec![channel(&receiver)], state, Tally::default());
    for state in [EffectState::Requested, EffectState::Succeeded] {
        let mut message = crate::samples::envelope(taken(Decided::Isolate, Mode::Enforce, Some(state)));
        message.id = format!("action-taken-{}", state.word()).parse().unwrap();
        assert_eq!(Box::pin(notify.handle(message, crate::samples::now())).await, Disposition::Done);
    }
    let [first, second] = receiver.received().try_into().unwrap();
    let (first, second) = (checked(first.json()), checked(second.json()));
    let said = said(&second);
    assert!(said.contains("incident 1126093 on laptop-7") && said.contains("is isolated"), "{said}");
    assert!(said.contains("High · Suspicious encryption of files"), "what it is about: {said}");
    let follows = "Follows what you were told of incident 1126093 on laptop-7. New: isolation succeeded.";
    assert!(said.contains(follows), "{said}");
    assert!(said.contains("cordon release"), "how to undo it: {said}");
    assert!(!said.contains("winword.exe") && !said.contains("the alert is High"), "{said}");
    assert!(second.to_string().len() < first.to_string().len());
}

#[tokio::test]
async fn an_answer_says_what_to_do() {
    let cases = [
        (404, "no_service", Fault::Channel, "the webhook was removed or switched off"),
        (403, "invalid_token", Fault::Channel, "make a new one"),
        (410, "channel_is_archived", Fault::Channel, "its channel is archived"),
        (403, "action_prohibited", Fault::Channel, "ask whoever runs the workspace"),
        (404, "channel_not_found", Fault::Channel, "kept in `CORDON_SLACK_URL`"),
        (400, "invalid_blocks", Fault::Message, "it said: invalid_blocks"),
        (400, "user_not_found", Fault::Channel, "workspace"),
        (500, "rollup_error", Fault::Channel, "rollup_error"),
    ];
    for (status, body, fault, words) in cases {
        let receiver = Receiver::start(Answer::Status(status, body)).await;
        let unsent = sent(&channel(&receiver)).await.unwrap_err();
        assert_eq!(unsent.fault, fault, "{unsent:?}");
        assert!(unsent.why.contains(words), "{unsent:?}");
    }
}
