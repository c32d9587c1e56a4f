//! A made-up outcome, as it could be: for a test of a channel, and to try templates on messages of every kind.
//!
//! Nothing of it is anybody's: names end in `.example`, ids are of zeros, and no address leads anywhere.

use crate::{
    channels::MOST_ROWS,
    digest::in_one,
    notice,
    page::{Page, Show, page},
};
use jiff::Timestamp;
use model::{ActionTaken, DeviceFact, Effect, EffectState, MessageId, Notice, Table, Topic, one_line};
use ports::{Gathered, Gist, GistKind};

const PORTAL: &str = "https://security.example";

/// What a digest tells: which device, and what became of it; none where nothing was to be done.
const STORM: [(&str, Option<EffectState>); 12] = [
    ("laptop-01.example", Some(EffectState::Succeeded)),
    ("laptop-02.example", Some(EffectState::Requested)),
    ("東京営業部-ノートパソコン-07", Some(EffectState::Requested)),
    ("营销部-笔记本电脑-12", Some(EffectState::Failed)),
    ("마케팅-노트북-3", Some(EffectState::Pending)),
    ("laptop-03.example", Some(EffectState::Held)),
    ("a-workstation-with-a-name-as-long-as-anybody-gives.example", Some(EffectState::Held)),
    ("server-01.example", Some(EffectState::Proposed)),
    ("laptop-04.example", Some(EffectState::Unknown)),
    ("laptop-05.example", Some(EffectState::Adopted)),
    ("laptop-06.example", Some(EffectState::Released)),
    ("laptop-07.example", None),
];

/// The isolation of a made-up device was requested.
fn requested() -> Option<ActionTaken> {
    let read = serde_json::from_str(include_str!("example.json"));
    read.inspect_err(|error| tracing::error!(%error, "the example cannot be read")).ok()
}

/// What a channel is sent to try it: a whole message, marked everywhere as one that means nothing.
pub(crate) fn test_page(
    channel: &str,
    portal: &str,
    occurred_at: Timestamp,
    message: &MessageId,
    shown: Show<'_>,
) -> Option<Page> {
    let page = page(&requested()?, portal, occurred_at, message, Show { follow_up: None, ..shown });
    let channel = one_line(channel, 60);
    let nothing = format!(
        "This is a test of the channel `{channel}`, which a person has asked for: the alert, the device and the user are \
         made up. What follows is how a message looks. Do nothing."
    );
    let mut chapters = vec![("Nothing has happened", vec![nothing.into()])];
    chapters.extend(page.chapters);
    Some(Page {
        gist: Gist { kind: GistKind::Test, ..page.gist },
        subject: page.subject.replacen("[Cordon] ", "[Cordon] TEST ", 1),
        headline: format!("TEST, nothing has happened: {}", page.headline),
        title: format!("TEST: {}", page.title),
        chapters,
        // They would lead to what there is not.
        links: vec![],
        ..page
    })
}

/// What a storm becomes, when it is told together.
fn digest(taken: &ActionTaken) -> Page {
    let at = Timestamp::UNIX_EPOCH;
    let gathered = |(nth, (name, state)): (usize, (&str, Option<EffectState>))| {
        let message = MessageId::of("example", &[&nth.to_string()]);
        let mut taken = ActionTaken { state, ..taken.clone() };
        if let DeviceFact::Known(device) = &mut taken.device {
            device.name = Some(name.to_owned());
            device.id = format!("{nth:040}").parse().unwrap_or_else(|_| device.id.clone());
        }
        let gist = page(&taken, PORTAL, at, &message, Show::default()).gist;
        Gathered { message, occurred_at: at, gist }
    };
    let storm = STORM.into_iter().enumerate().map(gathered).collect();
    in_one(storm, at, &MessageId::of("example", &["digest"]))
}

/// A page of every kind, and what it is, to try templates on.
pub(crate) fn pages() -> Vec<(&'static str, Page)> {
    let at = Timestamp::UNIX_EPOCH;
    let id = MessageId::of("example", &[]);
    let first = Show { command_lines: true, follow_up: None, rows: MOST_ROWS };
    let mut pages = Vec::new();
    if let Some(taken) = requested() {
        let told = |state, effect, shown| {
            page(&ActionTaken { state, effect, ..taken.clone() }, PORTAL, at, &id, shown)
        };
        let (held, released) = (Some(EffectState::Held), Some(EffectState::Released));
        let later = Show { follow_up: Some("incident 1 on laptop.example"), ..first };
        pages.push(("an isolation", told(taken.state, Effect::Isolate, first)));
        pages.push(("an isolation that is held", told(held, Effect::Isolate, first)));
        pages.push(("an alert alone", told(None, Effect::Isolate, Show::default())));
        pages.push(("a release that follows", told(released, Effect::Release, later)));
        pages.push(("a digest", digest(&taken)));
    }
    for topic in [Topic::Holding, Topic::StillIsolated, Topic::Sample { channel: "mail".to_owned() }] {
        let notice =
            Notice { topic, device: None, device_name: None, facts: vec!["a fact".to_owned()], table: None };
        pages.push(("a notice", notice::page(&notice, PORTAL, at, &id, first)));
    }
    pages.push(("what a hunt has found", notice::page(&found(), PORTAL, at, &id, first)));
    pages
}

/// A hunt has found two rows, and more.
fn found() -> Notice {
    let row = |device: &str| vec![device.to_owned(), "tool.exe --password ***".to_owned()];
    let columns = ["DeviceName", "ProcessCommandLine"].map(str::to_owned).to_vec();
    let table = Table { columns, rows: vec![row("laptop-01.example"), row("laptop-02.example")], more: 3 };
    let topic = Topic::HuntFound { hunt: "an-example".to_owned() };
    Notice { topic, device: None, device_name: None, facts: vec!["a fact".to_owned()], table: Some(table) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_can_be_read() {
        assert_eq!(requested().unwrap().state, Some(EffectState::Requested));
        assert_eq!(pages().len(), 9);
    }

    #[test]
    fn the_digest_names_every_device_once() {
        let (_, digest) = pages().into_iter().find(|(kind, _)| *kind == "a digest").unwrap();
        assert!(digest.subject.contains("12 messages about 12 devices"), "{}", digest.subject);
    }
}
