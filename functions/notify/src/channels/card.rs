//! What a card says, whichever program shows it: a page, shortened until it fits. How a card is written is
//! the channels' business.
//!
//! What is left out first is what helps least at night: evidence, then facts, then the ends of long texts,
//! and at the very last lines of a long list. The headline, what to do, how to undo it and the links always
//! stay, and a command is never cut: half of one would be another one.

use crate::{evidence::Entry, found::Found, letter::Letter, line::Line};
use model::EffectState;
use serde_json::Value;

/// What is said of one message.
#[derive(Debug)]
pub(super) struct Card<'a> {
    pub(super) tone: Tone,
    pub(super) headline: &'a str,
    /// What it is about: severity and title.
    pub(super) about: String,
    /// In a follow-up: the story that goes on.
    pub(super) follows: Option<String>,
    pub(super) chapters: Vec<(&'static str, Vec<Line>)>,
    /// Who and what, at a glance.
    pub(super) facts: Vec<(&'static str, String)>,
    /// What a hunt has found, a line for each row.
    pub(super) rows: Vec<String>,
    pub(super) evidence: Vec<String>,
    /// The label says where it leads: into the portal, and nowhere else.
    pub(super) links: &'a [(&'static str, String)],
    pub(super) sender: &'a str,
}

/// How loud a card is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Loud,
    Warning,
    Good,
    Calm,
}

/// How much of a page is said.
#[derive(Debug, Clone, Copy)]
struct Amount {
    evidence: usize,
    /// The most rows of what a hunt has found.
    found: usize,
    /// Whether more is said than who and what.
    rows: bool,
    /// The most characters of a line.
    line: usize,
    /// The most lines of a chapter.
    lines: usize,
}

const AMOUNTS: [Amount; 6] = [
    Amount { evidence: 5, found: 10, rows: true, line: 400, lines: usize::MAX },
    Amount { evidence: 0, found: 10, rows: true, line: 400, lines: usize::MAX },
    Amount { evidence: 0, found: 10, rows: false, line: 400, lines: usize::MAX },
    Amount { evidence: 0, found: 10, rows: false, line: 120, lines: usize::MAX },
    Amount { evidence: 0, found: 10, rows: false, line: 60, lines: usize::MAX },
    Amount { evidence: 0, found: 4, rows: false, line: 60, lines: 8 },
];

/// The chapters that are never shortened: they are in our own words.
const WHOLE: [&str; 2] = ["What to do next", "How to undo it"];

/// The chapter that a follow-up does without, unless nothing was done: it was told before.
const TOLD_BEFORE: &str = "Why";

/// The rows of the page's tables that stand beside who and what; in a follow-up the notes alone.
const ROWS: [&str; 9] =
    ["As of", "Category", "Decided", "Group", NOTE, "Reported", "Tags", "Threat", "Value"];
const NOTE: &str = "Note";

/// The fullest card whose JSON takes at most so much.
pub(super) fn fitting(
    letter: &Letter,
    most: usize,
    size: impl Fn(&str) -> usize,
    write: impl Fn(&Card<'_>) -> Value,
) -> String {
    let mut written = String::new();
    for amount in AMOUNTS {
        written = write(&Card::new(letter, amount)).to_string();
        if size(&written) <= most {
            break;
        }
    }
    written
}

impl Card<'_> {
    fn new(letter: &Letter, amount: Amount) -> Card<'_> {
        let page = &letter.page;
        let follows = letter.is_follow_up;
        let about = format!("{} · {}", page.severity, page.title);
        let line = match &page.follows {
            Some(line) => Some(line.clone()),
            None => follows.then(|| format!("Follows what you were told of {}.", letter.story.name)),
        };
        // Why nothing was done is not what was told before.
        let is_stopped = [EffectState::Refused, EffectState::Held].map(EffectState::word);
        let tells_why = !follows || is_stopped.contains(&page.gist.outcome.as_str());
        let chapters = page.chapters.iter().filter(|(heading, _)| tells_why || *heading != TOLD_BEFORE);
        let evidence = if follows { 0 } else { amount.evidence };
        Card {
            tone: tone(letter),
            headline: &page.headline,
            about: model::one_line(&about, amount.line),
            follows: line.map(|line| model::one_line(&line, amount.line)),
            chapters: chapters.map(|(heading, lines)| (*heading, chapter(heading, lines, amount))).collect(),
            facts: facts(letter, amount),
            rows: rows_of(&page.found, amount),
            evidence: said_of(&page.evidence, page.more_evidence.as_deref(), evidence),
            links: &page.links,
            sender: &page.sender,
        }
    }
}

fn facts(letter: &Letter, amount: Amount) -> Vec<(&'static str, String)> {
    let page = &letter.page;
    let is_wanted = |label: &str| match letter.is_follow_up {
        true => label == NOTE,
        false => label == NOTE || amount.rows && ROWS.contains(&label),
    };
    let rows = page.tables.iter().flat_map(|(_, rows)| rows).filter(|(label, _)| is_wanted(label));
    let shorter =
        |(label, value): &(&'static str, String)| (*label, model::one_line(value, amount.line.min(200)));
    let first = page.facts.iter().map(shorter);
    let facts = first.chain(rows.map(shorter).take(amount.lines));
    facts.filter(|(_, value)| !value.is_empty()).collect()
}

fn chapter(heading: &str, lines: &[Line], amount: Amount) -> Vec<Line> {
    let lines = lines.iter().filter(|line| !line.is_empty());
    if WHOLE.contains(&heading) {
        return lines.cloned().collect();
    }
    let short = |line: &Line| match line {
        Line::Said(text) => Line::Said(model::one_line(text, amount.line)),
        Line::Command(_) => line.clone(),
    };
    let mut short: Vec<Line> = lines.map(short).collect();
    let left = short.len().saturating_sub(amount.lines);
    short.truncate(amount.lines);
    if left > 0 {
        short.push(Line::Said(format!("and {left} more: see the portal")));
    }
    short
}

/// Each row in one line.
fn rows_of(found: &Found, amount: Amount) -> Vec<String> {
    let one = |(number, cells): (usize, Vec<(&str, &str)>)| {
        let cells = cells.iter().map(|(column, cell)| format!("{column}: {cell}"));
        model::one_line(&format!("{number}. {}", cells.collect::<Vec<_>>().join(" · ")), amount.line)
    };
    let mut lines: Vec<String> = (1..).zip(found.blocks()).take(amount.found).map(one).collect();
    lines.extend(found.rest(lines.len()));
    lines
}

/// Each entry in one line.
fn said_of(entries: &[Entry], more: Option<&str>, most: usize) -> Vec<String> {
    if most == 0 {
        return vec![];
    }
    let one = |entry: &Entry| {
        let details = entry.details.iter().map(|(label, value)| format!("{label} {value}"));
        let parts: Vec<String> =
            [format!("{}: {}", entry.kind, entry.name)].into_iter().chain(details).collect();
        model::one_line(&parts.join(" · "), 400)
    };
    let mut lines: Vec<String> = entries.iter().take(most).map(one).collect();
    match entries.len().saturating_sub(most) {
        0 => lines.extend(more.map(str::to_owned)),
        _ => lines.push("and more".to_owned()),
    }
    lines
}

fn tone(letter: &Letter) -> Tone {
    let gist = &letter.page.gist;
    match (gist.outcome.as_str(), gist.severity.as_deref()) {
        ("released", _) => Tone::Good,
        (_, Some("High")) => Tone::Loud,
        (_, Some("Medium")) => Tone::Warning,
        (_, Some(_)) => Tone::Calm,
        (_, None) if gist.urgent => Tone::Loud,
        (_, None) => Tone::Calm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Mail,
        channels::{slack, teams},
        example,
        letter::Story,
    };
    use jiff::Timestamp;
    use model::MessageId;

    fn letter(chapters: Vec<(&'static str, Vec<Line>)>) -> Letter {
        let (_, page) = example::pages().remove(0);
        let id = MessageId::of("test", &[]);
        Letter {
            id: id.clone(),
            story: Story { id, name: "incident 1 on laptop.example".to_owned() },
            is_follow_up: false,
            occurred_at: Timestamp::UNIX_EPOCH,
            mail: Mail { subject: page.subject.clone(), text: String::new(), html: String::new() },
            page: crate::page::Page { chapters, ..page },
        }
    }

    #[test]
    fn a_digest_that_has_room_keeps_every_line_whatever_a_stranger_writes() {
        // As much as `Channel::room` gives to a card.
        const ROOM: (usize, usize) = (60, 8_000);
        for filler in ['a', '"', '漢', '😀'] {
            for count in [1, 6, 12, 20, 30, 45, ROOM.0] {
                let bytes = ROOM.1 / count - 80;
                let fill = (bytes / filler.len_utf8()).min(320).saturating_sub(24);
                let line =
                    |at: usize| format!("10:01 · device-{at:02} · {}", filler.to_string().repeat(fill));
                let lines = (0..count).map(|at| Line::Said(line(at))).collect();
                // More than a digest ever says there.
                let next = vec![Line::Said("x".repeat(1_000)), Line::Command("y".repeat(500))];
                let letter =
                    letter(vec![("What to do next", next), ("Requested, not reported as done", lines)]);
                for (card, most) in [(teams::written(&letter), 28_000), (slack::written(&letter), 12_000)] {
                    let lost = (0..count).find(|at| !card.contains(&format!("device-{at:02}")));
                    assert_eq!(lost, None, "of {count} with {filler}");
                    assert!(card.len() <= most, "{} bytes of {count} with {filler}", card.len());
                }
            }
        }
    }

    #[test]
    fn what_to_do_is_never_cut_and_a_long_list_says_what_it_leaves_out() {
        let long: Vec<Line> = (0..500).map(|at| Line::Said(format!("{at}: {}", "漢".repeat(400)))).collect();
        let command = Line::Command(format!("cordon isolate {}", "0".repeat(300)));
        let next = vec![Line::Said("Look at it. ".repeat(40)), command];
        let letter = letter(vec![("Why", long), ("What to do next", next)]);
        for card in [teams::written(&letter), slack::written(&letter)] {
            assert!(card.contains(&"Look at it. ".repeat(40)) && card.contains(&"0".repeat(300)));
            assert!(card.contains("and 492 more"), "{card}");
        }
    }

    #[test]
    fn the_chapters_that_are_never_cut_are_there() {
        let headings: Vec<&str> = example::pages()
            .iter()
            .flat_map(|(_, page)| page.chapters.iter().map(|(heading, _)| *heading))
            .collect();
        for heading in WHOLE.into_iter().chain([TOLD_BEFORE]) {
            assert!(headings.contains(&heading), "{heading} is none of {headings:?}");
        }
    }
}
