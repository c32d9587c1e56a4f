//! What arrives at the webhook of a Teams workflow: an Adaptive Card by Microsoft's schema, in which no
//! stranger's word acts.

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
use std::{collections::BTreeSet, sync::LazyLock};

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| schema(include_str!("../schemas/adaptive-card.json")));
const TARGET: &str = "/workflows/0123456789abcdef/triggers/manual/paths/invoke\
     ?sp=%2Ftriggers%2Fmanual%2Frun&sig=very-secret-part";

pub(crate) fn channel(receiver: &Receiver) -> Channel {
    let kind = ChannelKind::Teams { url: env("CORDON_TEAMS_URL") };
    opened(kind, &[("CORDON_TEAMS_URL", &receiver.url(TARGET))]).unwrap()
}

/// The card that arrives of a message, checked.
async fn card(message: Message) -> Value {
    let receiver = Receiver::start(Answer::Status(202, "")).await;
    tell(channel(&receiver), message).await;
    let [request] = receiver.received().try_into().unwrap();
    assert_eq!(request.target, TARGET);
    card_of(&request.json())
}

/// The card of a payload, which is as Teams takes it.
pub(crate) fn card_of(message: &Value) -> Value {
    let quoted = Value::String(message.to_string()).to_string();
    let length: usize = quoted.chars().map(|c| if c.is_ascii() { 1 } else { 6 * c.len_utf16() }).sum();
    assert!(length <= 26_100, "{length} bytes");
    assert_eq!(message["type"], "message");
    let [attachment] = message["attachments"].as_array().unwrap().as_slice() else { panic!("{message}") };
    assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
    let mut card = attachment["content"].clone();
    // The schema knows nothing of Teams' own field.
    let own = card.as_object_mut().unwrap().remove("msteams").unwrap();
    assert_eq!(own.pointer("/width"), Some(&"Full".into()));
    keeps_to(&SCHEMA, &card);
    assert_eq!(card.pointer("/version"), Some(&"1.5".into()));
    for run in all_of("TextRun", &card) {
        assert_ne!(run["text"], "", "an empty run is no run");
    }
    for action in all_of("Action.OpenUrl", &card) {
        assert!(action["url"].as_str().unwrap().starts_with(&format!("{PORTAL}/")), "{action}");
    }
    card
}

/// All that a program reads as Markdown.
fn markdown(card: &Value) -> BTreeSet<String> {
    let blocks =
        all_of("TextBlock", card).into_iter().map(|block| block["text"].as_str().unwrap().to_owned());
    let named =
        texts(card).into_iter().filter(|(name, _)| ["fallbackText", "title"].contains(&name.as_str()));
    blocks.chain(named.map(|(_, text)| text)).collect()
}

fn runs(card: &Value) -> String {
    all_of("TextRun", card).iter().map(|run| run["text"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_card_says_what_happened_what_to_do_and_where_to_look() {
    let card = card(Message::Outcome(Box::new(requested()))).await;
    let body = card["body"].as_array().unwrap();
    assert_eq!((&body[0]["type"], &body[0]["style"]), (&"Container".into(), &"attention".into()));
    let said = runs(&card);
    assert!(said.starts_with("Cordon asked for the isolation of laptop-7, and Defender accepted"), "{said}");
    for part in
        ["High · Suspicious encryption of files", "Accepted is not isolated", "CONTOSO\\alice", "winword.exe"]
    {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    assert!(!said.contains("powershell.exe -nop"), "a third party gets no command lines:\n{said}");
    let commands: Vec<&Value> =
        all_of("TextRun", &card).into_iter().filter(|run| run["fontType"] == "Monospace").collect();
    assert!(!commands.is_empty());
    for command in commands {
        assert!(command["text"].as_str().unwrap().starts_with("cordon "), "{command}");
    }
    let titles: Vec<&str> =
        all_of("Action.OpenUrl", &card).iter().map(|a| a["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Open alert", "Open device", "Open incident"]);
}

#[tokio::test]
async fn every_kind_of_message_is_a_card_by_the_schema() {
    let mut styles = BTreeSet::new();
    for message in every_message() {
        let card = card(message).await;
        styles.insert(card["body"][0]["style"].as_str().unwrap().to_owned());
    }
    let expected = ["attention", "emphasis", "good", "warning"];
    assert_eq!(styles.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn no_word_of_a_stranger_acts_in_a_card() {
    let mut ours = BTreeSet::new();
    for message in every_message() {
        ours.extend(markdown(&card(message).await));
    }
    for text in corpus().into_iter().chain([ACTING.to_owned(), "😀漢".repeat(32_768)]) {
        let notices = [Topic::AlienAction, Topic::Paused, Topic::ReleaseSoon, found()]
            .map(|topic| Message::Notice(notice_of(topic, &text)));
        let messages = [Message::Outcome(Box::new(everywhere(&text)))].into_iter().chain(notices);
        for message in messages {
            let card = card(message).await;
            let foreign: Vec<String> = markdown(&card).difference(&ours).cloned().collect();
            assert!(foreign.is_empty(), "{foreign:?} from {text:.80}");
            for (name, leaf) in texts(&card).into_iter().filter(|(name, _)| name != "$schema") {
                assert_harmless(&leaf, &text);
                let text = leaf;
                for acting in ["{{", "${", "@{"] {
                    assert!(!text.contains(acting), "{acting} in {name}: {text}");
                }
            }
            assert!(runs(&card).contains("Sent by Cordon"), "from {text:.80}");
        }
    }
}

#[tokio::test]
async fn a_follow_up_is_short_and_names_the_story() {
    let receiver = Receiver::start(Answer::Status(202, "")).await;
    let (_, state) = Memory::state();
    let notify = crate::memory::notify(vec![channel(&receiver)], state, Tally::default());
    for state in [EffectState::Requested, EffectState::Succeeded] {
        let message = taken(Decided::Isolate, Mode::Enforce, Some(state));
        let mut message = crate::samples::envelope(message);
        message.id = format!("action-taken-{}", state.word()).parse().unwrap();
        assert_eq!(Box::pin(notify.handle(message, crate::samples::now())).await, Disposition::Done);
    }
    let [first, second] = receiver.received().try_into().unwrap();
    let (first, second) = (card_of(&first.json()), card_of(&second.json()));
    let said = runs(&second);
    assert!(said.contains("incident 1126093 on laptop-7") && said.contains("is isolated"), "{said}");
    assert!(said.contains("High · Suspicious encryption of files"), "what it is about: {said}");
    let follows = "Follows what you were told of incident 1126093 on laptop-7. New: isolation succeeded.";
    assert!(said.contains(follows), "{said}");
    assert!(said.contains("cordon release"), "how to undo it: {said}");
    assert!(!said.contains("winword.exe") && !said.contains("the alert is High"), "{said}");
    assert!(second.to_string().len() < first.to_string().len());
}

#[tokio::test]
async fn a_follow_up_says_why_where_nothing_was_done() {
    for (answer, state, why) in [
        (Decided::Refused, EffectState::Refused, "Against it: it is a server"),
        (Decided::Isolate, EffectState::Held, "For it: the alert is High"),
    ] {
        let receiver = Receiver::start(Answer::Status(202, "")).await;
        let notify = crate::memory::notify(vec![channel(&receiver)], Memory::state().1, Tally::default());
        for (nth, state) in [EffectState::Requested, state].into_iter().enumerate() {
            let mut message = crate::samples::envelope(taken(answer, Mode::Enforce, Some(state)));
            message.id = format!("action-taken-{nth}").parse().unwrap();
            assert_eq!(Box::pin(notify.handle(message, crate::samples::now())).await, Disposition::Done);
        }
        let said = runs(&card_of(&receiver.received()[1].json()));
        assert!(said.contains("Follows what you were told") && said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn an_answer_says_what_to_do() {
    let cases = [
        (404, "", Fault::Channel, "the workflow was deleted, switched off, or its owner is gone"),
        (401, "", Fault::Channel, "the workflow was deleted, switched off, or its owner is gone"),
        (410, "", Fault::Channel, "kept in `CORDON_TEAMS_URL`"),
        (
            400,
            r#"{"error":{"code":"WorkflowTriggerIsNotEnabled","message":"is disabled"}}"#,
            Fault::Channel,
            "switch it on",
        ),
        (
            400,
            r#"{"error":{"code":"InvalidRequestContent","message":"no"}}"#,
            Fault::Message,
            "(it said: InvalidRequestContent)",
        ),
        (413, "", Fault::Message, "too long"),
        (422, "", Fault::Message, "422"),
        (408, "", Fault::Channel, "408"),
        (500, "oops", Fault::Channel, "500 (it said: oops)"),
        (302, "", Fault::Channel, "not followed"),
    ];
    for (status, body, fault, words) in cases {
        let receiver = Receiver::start(Answer::Status(status, body)).await;
        let unsent = sent(&channel(&receiver)).await.unwrap_err();
        assert_eq!(unsent.fault, fault, "{unsent:?}");
        assert!(unsent.why.contains(words) && unsent.why.starts_with("Teams answered"), "{unsent:?}");
        assert_eq!(receiver.received().len(), 1, "nothing is tried twice");
    }
}
