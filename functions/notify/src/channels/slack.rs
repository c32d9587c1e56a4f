//! Slack: Block Kit, posted to an incoming webhook.
//!
//! Everything stands in `rich_text` blocks, which show their text as it is: no mrkdwn, no mentions, no emoji.
//! The header is plain text. What is read as mrkdwn is the text for notifications alone, and nothing in that
//! acts. Source: Slack's Block Kit reference.

use super::{
    Opening,
    card::{Card, fitting},
    http::Hook,
};
use crate::{evidence::show, letter::Letter, line::Line};
use jiff::Timestamp;
use policy::SecretName;
use ports::Unsent;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// The most of a message. Slack refuses somewhat more than 13,000 characters of blocks
/// (`msg_blocks_too_long`), though its reference names no limit. Source: slackapi/bolt-js, issue 2509.
const MOST: usize = 12_000;

/// The most of a header, in characters.
const MOST_HEADER: usize = 150;

#[derive(Debug)]
pub(super) struct Slack(Hook);

impl Slack {
    pub(super) fn open(url: &SecretName, opening: &mut Opening<'_>) -> Option<Slack> {
        Hook::open("Slack", hint, url, opening).map(Slack)
    }

    pub(super) async fn deliver(&self, letter: &Letter, now: Timestamp) -> Result<(), Unsent> {
        self.0.post(HeaderMap::new(), written(letter).into_bytes(), now).await
    }
}

/// Slack says in one word what is wrong. Source: "Sending messages using incoming webhooks", and its list of
/// errors.
fn hint(status: u16, code: &str) -> Option<&'static str> {
    match (status, code) {
        (
            _,
            "no_service" | "no_service_id" | "no_active_hooks" | "invalid_token" | "token_revoked"
            | "no_team",
        ) => Some("the webhook was removed or switched off; make a new one"),
        (_, "channel_is_archived") => Some("its channel is archived; make a webhook for another one"),
        (_, "channel_not_found") => Some("its channel is gone; make a webhook for another one"),
        (
            _,
            "action_prohibited" | "posting_to_general_channel_denied" | "team_disabled" | "user_not_found",
        ) => Some("the workspace does not let this webhook post; ask whoever runs the workspace"),
        (401 | 403 | 404 | 410, _) => Some("the webhook is not known, or may not post; make a new one"),
        _ => None,
    }
}

/// What is posted.
pub(super) fn written(letter: &Letter) -> String {
    let subject = letter.page.subject.trim_start_matches("[Cordon] ");
    fitting(letter, MOST, str::len, |card| message(subject, card))
}

fn message(subject: &str, card: &Card<'_>) -> Value {
    let mut blocks = vec![header(subject), headline(card)];
    if !card.rows.is_empty() {
        let lines: Vec<Line> = card.rows.iter().map(|text| Line::from(text.as_str())).collect();
        blocks.push(chapter("Rows", &lines));
    }
    blocks.extend(card.chapters.iter().map(|(heading, lines)| chapter(heading, lines)));
    if !card.evidence.is_empty() {
        let lines: Vec<Line> = card.evidence.iter().map(|text| Line::from(text.as_str())).collect();
        blocks.push(chapter("Evidence", &lines));
    }
    if !card.links.is_empty() {
        blocks.push(links(card));
    }
    blocks.push(rich(&[section(&[json!({
        "type": "text", "text": card.sender, "style": { "italic": true }
    })])]));
    json!({
        "text": notification(subject),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

/// The line of a notification, in which nothing acts: neither `<!channel>` nor a link nor `:emoji:`.
fn notification(subject: &str) -> String {
    let plain = show(subject, 300).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    plain.replace(':', ": ")
}

/// Plain text, and yet without the characters that Slack's markup begins with.
fn header(subject: &str) -> Value {
    let text = show(subject, 200).replace('<', "‹").replace('>', "›").replace('&', "+");
    let text = model::one_line(&text, MOST_HEADER);
    json!({ "type": "header", "text": { "type": "plain_text", "text": text, "emoji": false } })
}

/// A heading, paragraphs and commands, in their order.
fn chapter(heading: &str, lines: &[Line]) -> Value {
    let mut elements = vec![];
    let mut words = vec![bold(heading)];
    for line in lines {
        match line {
            Line::Said(text) if words.is_empty() => words.push(plain(text)),
            Line::Said(text) => words.push(plain(&format!("\n{text}"))),
            Line::Command(command) => {
                elements.extend((!words.is_empty()).then(|| section(&std::mem::take(&mut words))));
                elements.push(json!({ "type": "rich_text_preformatted", "elements": [plain(command)] }));
            }
        }
    }
    elements.extend((!words.is_empty()).then(|| section(&words)));
    rich(&elements)
}

/// The headline, what it is about, and who and what.
fn headline(card: &Card<'_>) -> Value {
    let mut words = vec![bold(card.headline), plain(&format!("\n{}", card.about))];
    words.extend(card.follows.iter().map(|follows| plain(&format!("\n{follows}"))));
    for (label, value) in &card.facts {
        words.extend([bold(&format!("\n{label}: ")), plain(value)]);
    }
    rich(&[section(&words)])
}

fn links(card: &Card<'_>) -> Value {
    let mut words = vec![bold("In the portal: ")];
    for (at, (label, url)) in card.links.iter().enumerate() {
        words.extend((at > 0).then(|| plain(" · ")));
        words.push(json!({ "type": "link", "url": url, "text": label }));
    }
    rich(&[section(&words)])
}

fn rich(elements: &[Value]) -> Value {
    json!({ "type": "rich_text", "elements": elements })
}

fn section(elements: &[Value]) -> Value {
    json!({ "type": "rich_text_section", "elements": elements })
}

fn plain(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn bold(text: &str) -> Value {
    json!({ "type": "text", "text": text, "style": { "bold": true } })
}
