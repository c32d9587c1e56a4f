//! A made-up outcome, as it could be: for a test of a channel, and to try templates on messages of every kind.
//!
//! Nothing of it is anybody's: names end in `.example`, ids are of zeros, and no address leads anywhere.

use crate::{
    notice,
    page::{Page, Show, page},
};
use jiff::Timestamp;
use model::{ActionTaken, Effect, EffectState, MessageId, Notice, Topic, one_line};
use ports::{Gist, GistKind};

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

/// A page of every kind, and what it is, to try templates on.
pub(crate) fn pages() -> Vec<(&'static str, Page)> {
    const PORTAL: &str = "https://security.example";
    let at = Timestamp::UNIX_EPOCH;
    let id = MessageId::of("example", &[]);
    let first = Show { command_lines: true, follow_up: None };
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
    }
    for topic in [Topic::Holding, Topic::StillIsolated, Topic::Sample { channel: "mail".to_owned() }] {
        let notice = Notice { topic, device: None, device_name: None, facts: vec!["a fact".to_owned()] };
        pages.push(("a notice", notice::page(&notice, PORTAL, at, &id, first)));
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_can_be_read() {
        assert_eq!(requested().unwrap().state, Some(EffectState::Requested));
        assert_eq!(pages().len(), 7);
    }
}
