//! Microsoft Teams: an Adaptive Card, posted to the webhook of a workflow ("Post to a channel when a webhook
//! request is received").
//!
//! That the workflow has taken a card does not say that the card was posted: the workflow does that
//! afterwards, and tells nobody here. A card that is too long would be lost in that way, so cards stay well
//! below the limit.
//!
//! A `TextBlock` reads Markdown, and so it gets fixed words of ours alone. Everything else is a `TextRun`,
//! which is shown as it is. Source: Microsoft's Adaptive Cards schema 1.5, and "Format cards in Teams".

use super::{
    Opening,
    card::{Card, Tone, fitting},
    http::Hook,
};
use crate::{letter::Letter, line::Line};
use jiff::Timestamp;
use policy::SecretName;
use ports::Unsent;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// The most of a message, as Teams counts it: it takes 28,672 bytes, but 24,453 that were sent were counted
/// as 28,897. Source: MicrosoftDocs/msteams-docs, issue 11274.
const MOST: usize = 26_000;

#[derive(Debug)]
pub(super) struct Teams(Hook);

impl Teams {
    pub(super) fn open(url: &SecretName, opening: &mut Opening<'_>) -> Option<Teams> {
        Hook::open("Teams", hint, url, opening).map(Teams)
    }

    pub(super) async fn deliver(&self, letter: &Letter, now: Timestamp) -> Result<(), Unsent> {
        self.0.post(HeaderMap::new(), written(letter).into_bytes(), now).await
    }
}

/// A workflow that is switched off answers 400 or 404, one of a deleted or unlicensed owner 401 or 404.
fn hint(status: u16, code: &str) -> Option<&'static str> {
    let is_off = ["TriggerIsNotEnabled", "WorkflowDisabled", "WorkflowSuspended"];
    match status {
        401 | 404 | 410 => {
            Some("the workflow was deleted, switched off, or its owner is gone; see to it, or make a new one")
        }
        403 => Some("the workflow does not let Cordon in; it must take requests from anyone"),
        400 if is_off.iter().any(|word| code.contains(word)) => {
            Some("the workflow is switched off; switch it on in Power Automate")
        }
        _ => None,
    }
}

/// As if the card stood within another JSON text, where a quote takes two bytes, and every character beyond
/// ASCII were written as an escape, which is the longest that it can become. What Teams really does is not
/// documented.
fn counted(message: &str) -> usize {
    let one = |c: char| match c {
        '"' | '\\' => 2,
        c if c.is_ascii() => 1,
        c => c.len_utf16().saturating_mul(6),
    };
    message.chars().map(one).sum()
}

/// What is posted.
pub(super) fn written(letter: &Letter) -> String {
    fitting(letter, MOST, counted, message)
}

fn message(card: &Card<'_>) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": adaptive(card),
        }],
    })
}

fn adaptive(card: &Card<'_>) -> Value {
    let mut body = vec![headline(card)];
    body.extend(card.facts.iter().map(|(label, value)| fact(label, value)));
    if !card.rows.is_empty() {
        body.push(heading_of("Rows"));
        body.extend(card.rows.iter().map(|text| said(text)));
    }
    for (heading, lines) in &card.chapters {
        body.push(heading_of(heading));
        body.extend(lines.iter().map(line));
    }
    if !card.evidence.is_empty() {
        body.push(heading_of("Evidence"));
        body.extend(card.evidence.iter().map(|text| said(text)));
    }
    body.push(text(&[run(card.sender, json!({ "isSubtle": true, "size": "Small" }))], "Medium"));
    let open = |(label, url): &(&str, String)| {
        let title = format!("Open {}", label.to_lowercase());
        json!({ "type": "Action.OpenUrl", "title": title, "url": url })
    };
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.5",
        "msteams": { "width": "Full" },
        // Read as Markdown, like a `TextBlock`.
        "fallbackText": "A message of Cordon that this program cannot show. Open it in another Teams.",
        "body": body,
        "actions": card.links.iter().map(open).collect::<Vec<Value>>(),
    })
}

fn headline(card: &Card<'_>) -> Value {
    let style = match card.tone {
        Tone::Loud => "attention",
        Tone::Warning => "warning",
        Tone::Good => "good",
        Tone::Calm => "emphasis",
    };
    let first = run(card.headline, json!({ "weight": "Bolder", "size": "Medium" }));
    let mut items = vec![text(&[first], "None")];
    let about = [Some(&card.about), card.follows.as_ref()].into_iter().flatten();
    items.extend(about.map(|words| said(words)));
    json!({ "type": "Container", "style": style, "bleed": true, "items": items })
}

/// Fixed words alone: they are read as Markdown.
fn heading_of(words: &'static str) -> Value {
    let (text, weight, style) = (words, "Bolder", "heading");
    json!({
        "type": "TextBlock",
        "text": text,
        "weight": weight,
        "style": style,
        "wrap": true,
        "separator": true,
        "spacing": "Medium",
    })
}

fn line(line: &Line) -> Value {
    match line {
        Line::Said(text) => said(text),
        Line::Command(command) => text(&[run(command, json!({ "fontType": "Monospace" }))], "Small"),
    }
}

fn said(words: &str) -> Value {
    text(&[run(words, json!({}))], "Small")
}

fn fact(label: &str, value: &str) -> Value {
    text(&[run(&format!("{label}: "), json!({ "weight": "Bolder" })), run(value, json!({}))], "Small")
}

fn text(inlines: &[Value], spacing: &str) -> Value {
    json!({ "type": "RichTextBlock", "spacing": spacing, "inlines": inlines })
}

/// Words that are shown as they are, in this look.
fn run(words: &str, look: Value) -> Value {
    let mut run = json!({ "type": "TextRun", "text": inert(words) });
    if let (Some(run), Value::Object(look)) = (run.as_object_mut(), look) {
        run.extend(look);
    }
    run
}

/// Breaks up what a card or a workflow may read as an expression: `{{DATE(…)}}`, `${…}`, `@{…}`.
fn inert(words: &str) -> String {
    let mut inert = String::with_capacity(words.len());
    let mut before = ' ';
    for c in words.chars() {
        if c == '{' && matches!(before, '{' | '$' | '@') {
            inert.push(' ');
        }
        inert.push(c);
        before = c;
    }
    inert
}
