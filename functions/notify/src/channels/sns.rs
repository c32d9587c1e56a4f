//! Amazon SNS, through the topics of the AWS host. Who is subscribed, and whether the role may publish, is not known
//! here.
//!
//! What is published is the plain part of a mail, for a mailbox or a program; it is too long for a telephone. There are
//! attributes, by which a subscription's filter policy chooses.

use super::Opening;
use crate::{evidence::show, letter::Letter, page::Page};
use model::Effect;
use ports::{GistKind, Publication, TopicBackend, Unsent};
use std::sync::Arc;

/// The deployment's topic: the one that the function's role may publish to.
const TOPIC: &str = "CORDON_SNS_TOPIC";

/// A subject has fewer than 100 characters. Source: `Publish` in the SNS API reference.
const MAX_SUBJECT: usize = 99;

/// A message has at most 256 KiB, and its attributes count.
const MAX_TEXT: usize = 240 * 1024;

const CUT: &str = "\n(The rest is left out here: a topic takes no more. It stands in the portal.)\n";

#[derive(Debug)]
pub(super) struct Sns {
    topics: Arc<dyn TopicBackend>,
    topic: String,
}

impl Sns {
    pub(super) fn open(opening: &mut Opening<'_>) -> Option<Sns> {
        let aws = opening.aws?;
        let Some(topic) = opening.vars.get(TOPIC) else {
            opening.problem(&format!("{TOPIC} is not set; deploy it with NotifyTopicArn"));
            return None;
        };
        if topic.ends_with(".fifo") {
            opening.problem(&format!(
                "{TOPIC} is a FIFO topic, which Cordon does not serve; name a standard one"
            ));
            return None;
        }
        Some(Sns { topics: aws.topics.clone(), topic: topic.to_owned() })
    }

    pub(super) async fn deliver(&self, letter: &Letter) -> Result<(), Unsent> {
        let publication = Publication {
            subject: subject(&show(&letter.mail.subject, 250)),
            text: text(&letter.mail.text),
            attributes: attributes(&letter.page),
        };
        self.topics.publish(&self.topic, &publication).await
    }
}

/// The subject in the only letters that SNS takes. What it loses stands in the text. Other than a mail's, it may be shown
/// anywhere, and so nothing in it becomes a link.
fn subject(full: &str) -> String {
    let plain = |c: char| match c {
        ' '..='~' => c,
        '·' | '–' | '—' => '-',
        _ => '?',
    };
    let mut subject: String = full.chars().map(plain).collect();
    if subject.len() > MAX_SUBJECT {
        subject.truncate(MAX_SUBJECT - 3);
        subject.push_str("...");
    }
    subject
}

fn text(full: &str) -> String {
    if full.len() <= MAX_TEXT {
        return full.to_owned();
    }
    let mut text = full.to_owned();
    text.truncate(full.floor_char_boundary(MAX_TEXT - CUT.len()));
    text.push_str(CUT);
    text
}

/// The words by which a subscriber chooses: those that the playbook's routes have, too.
fn attributes(page: &Page) -> Vec<(&'static str, String)> {
    let gist = &page.gist;
    let kind = match gist.kind {
        GistKind::Outcome => "outcome",
        GistKind::Notice => "notice",
        GistKind::Digest => "digest",
        GistKind::Test => "test",
    };
    let action = gist.action.map(|action| match action {
        Effect::Isolate => "isolate",
        Effect::Release => "release",
    });
    let all = [
        ("kind", kind.to_owned()),
        ("severity", gist.severity.clone().unwrap_or_default()),
        ("action", action.unwrap_or_default().to_owned()),
        ("outcome", gist.outcome.clone()),
        ("urgent", gist.urgent.to_string()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_short_and_plain() {
        assert_eq!(subject("[Cordon] 1 High · isolation"), "[Cordon] 1 High - isolation");
        assert_eq!(subject("東京\u{202e}\n\u{7f}é"), "??????");
        let long = subject(&"ü".repeat(300));
        assert_eq!((long.len(), long.ends_with("?...")), (99, true), "{long}");
    }

    #[test]
    fn a_text_that_no_topic_takes_is_cut_and_says_so() {
        assert_eq!(text("short\n"), "short\n");
        let long = text(&"ü東".repeat(100_000));
        assert!(
            long.len() <= MAX_TEXT && long.len() > MAX_TEXT - 200 && long.ends_with(CUT),
            "{}",
            long.len()
        );
    }
}
