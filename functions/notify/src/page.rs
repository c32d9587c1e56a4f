//! What a mail says, before it is plain text or HTML: both parts are made of this, so that they say the same.
//!
//! Every text in here is on one line, free of anything that acts or hides, and holds nothing that becomes a link, but
//! those in `links`, and `subject` and the gist's name of the device: a header and a program get these as they are.
//! Escaping for HTML is the template's business.

use crate::{
    evidence::{self, Entry, entries, show, time},
    found::Found,
    line::Line,
    outcome::{is_observing, is_urgent, outcome, told_state},
};
use jiff::Timestamp;
use model::{
    ActionTaken, Alert, Answer, Device, DeviceFact, Effect, EffectState, MessageId, Severity, User, one_line,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ports::{Gist, GistKind};

/// What may stand in a link as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The most reasons, notes, tags or techniques that are shown.
const MAX_LIST: usize = 20;

/// What of a message is shown to a channel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Show<'a> {
    /// Whether command lines are shown, shortened and masked.
    pub(crate) command_lines: bool,
    /// The name of the story that this follows, where the channel was told of it before: then it is shorter.
    pub(crate) follow_up: Option<&'a str>,
    /// How many rows of a table are shown.
    pub(crate) rows: usize,
}

#[derive(Debug)]
pub(crate) struct Page {
    /// The same in one line, and for programs.
    pub(crate) gist: Gist,
    pub(crate) subject: String,
    /// What subjects are sorted by: "1 High".
    pub(crate) sort: String,
    /// What became of it, in few words: "isolation requested".
    pub(crate) phrase: String,
    /// In a follow-up: which story it follows, and what is new.
    pub(crate) follows: Option<String>,
    pub(crate) headline: String,
    pub(crate) severity: String,
    /// Behind white letters, readable in light and dark.
    pub(crate) colour: &'static str,
    pub(crate) title: String,
    /// Who and what, at a glance.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// The hunt that it is about, or that has found what it is about.
    pub(crate) hunt: Option<String>,
    /// What a hunt has found, as a table.
    pub(crate) found: Found,
    /// Paragraphs under headings. Empty ones are left out.
    pub(crate) chapters: Vec<(&'static str, Vec<Line>)>,
    pub(crate) links: Vec<(&'static str, String)>,
    pub(crate) tables: Vec<(&'static str, Vec<(&'static str, String)>)>,
    pub(crate) evidence: Vec<Entry>,
    pub(crate) more_evidence: Option<String>,
    pub(crate) sender: String,
}

pub(crate) fn page(
    taken: &ActionTaken,
    portal: &str,
    occurred_at: Timestamp,
    message: &MessageId,
    shown: Show<'_>,
) -> Page {
    let bare_name = device_name(taken);
    let outcome = outcome(taken, &quoted(&bare_name));
    let severity = severity(taken.alert.severity.as_ref());
    let sort = format!("{} {severity}", rank(taken.alert.severity.as_ref()));
    let title = evidence::title(&taken.alert);
    let subject = subject(&[&sort, &outcome.phrase, &bare_name, &title]);
    let facts = facts(taken, &bare_name, &outcome.phrase);
    let chapters = told(vec![
        ("What to do next", outcome.next),
        ("How to undo it", outcome.undo),
        ("What happened", outcome.meaning),
        ("Why", why(taken)),
    ]);
    // What a follow-up repeats stands in the first message of its story.
    let (evidence, more_evidence) =
        if shown.follow_up.is_some() { (vec![], None) } else { entries(&taken.alert, shown.command_lines) };
    let mut tables = vec![("Response", response_table(taken)), ("Alert", alert_table(taken, occurred_at))];
    if shown.follow_up.is_none() {
        tables.insert(0, ("Device", device_table(taken)));
    }
    Page {
        gist: gist(taken, &bare_name),
        sender: sender(&chapters, message),
        subject,
        sort,
        follows: shown.follow_up.map(|story| follows(story, &outcome.phrase)),
        headline: show(&outcome.headline, 300),
        phrase: show(&outcome.phrase, 120),
        colour: colour(taken.alert.severity.as_ref()),
        severity,
        title: show(&title, 300),
        facts,
        hunt: hunt(taken),
        found: Found::default(),
        chapters,
        links: links(taken, portal),
        tables,
        evidence,
        more_evidence,
    }
}

/// The subject of a message made of these parts.
pub(crate) fn subject(parts: &[&str]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| for_subject(part)).collect();
    one_line(&format!("[Cordon] {}", parts.join(" · ")), 250)
}

/// What stands on top of a follow-up.
pub(crate) fn follows(story: &str, phrase: &str) -> String {
    format!("Follows what you were told of {}. New: {}.", one_line(story, 160), show(phrase, 120))
}

/// The same where the channel was told of something later before: what comes late must not pass for news.
pub(crate) fn earlier(story: &str, phrase: &str, occurred_at: Timestamp) -> String {
    let at = occurred_at.strftime("%H:%M");
    let (story, phrase) = (one_line(story, 160), show(phrase, 120));
    format!("Follows what you were told of {story}. Earlier ({at} UTC): {phrase}.")
}

/// Who and what, at a glance.
fn facts(taken: &ActionTaken, device: &str, phrase: &str) -> Vec<(&'static str, String)> {
    let mut rows = Rows::default();
    rows.text("Device", Some(device));
    rows.add("User", taken.alert.user.as_ref().map(user));
    rows.text("State", Some(phrase));
    rows.add("Story", Some(story_name(taken)));
    rows.add("Found by", hunt(taken).map(|hunt| format!("the hunt {hunt}")));
    rows.0
}

/// The hunt that has found it, where that is no alert of Defender's.
fn hunt(taken: &ActionTaken) -> Option<String> {
    taken.alert.hunted.as_ref().map(|hunted| show(&hunted.hunt, 60))
}

fn gist(taken: &ActionTaken, device_name: &str) -> Gist {
    let alert = &taken.alert;
    Gist {
        kind: GistKind::Outcome,
        story: story_name(taken),
        severity: Some(show(alert.severity.as_ref().unwrap_or(&Severity::Unspecified).as_str(), 20)),
        action: Some(taken.effect),
        outcome: outcome_word(taken).to_owned(),
        urgent: is_urgent(taken),
        observing: is_observing(taken),
        device: taken.device.known().map(|device| device.id.clone()),
        device_name: Some(device_name.to_owned()),
        alert: Some(alert.id.clone()),
        incident: incident(alert),
        title: show(&evidence::title(alert), 120),
    }
}

/// The outcome as routes name it: one of [`policy::OUTCOMES`].
pub(crate) fn outcome_word(taken: &ActionTaken) -> &'static str {
    told_state(taken).map_or(policy::NOTHING, EffectState::word)
}

fn incident(alert: &Alert) -> Option<String> {
    alert.incident_id.as_deref().map(|id| show(id, 60)).filter(|id| !id.is_empty())
}

/// What people know the story by.
pub(crate) fn story_name(taken: &ActionTaken) -> String {
    let what = match incident(&taken.alert) {
        Some(incident) => format!("incident {incident}"),
        None => format!("alert {}", show(taken.alert.id.as_str(), 80)),
    };
    format!("{what} on {}", show(&quoted(&device_name(taken)), 62))
}

/// The chapters that say something.
pub(crate) fn told(mut chapters: Vec<(&'static str, Vec<Line>)>) -> Vec<(&'static str, Vec<Line>)> {
    chapters.retain(|(_, lines)| !lines.iter().all(Line::is_empty));
    chapters
}

/// The last line, and where commands are given if there are any.
pub(crate) fn sender(chapters: &[(&'static str, Vec<Line>)], message: &MessageId) -> String {
    let lines = || chapters.iter().flat_map(|(_, lines)| lines);
    let hunts = lines().any(Line::is_hunt);
    let others = lines().any(|line| line.is_command() && !line.is_hunt());
    let commands = match (others, hunts) {
        (true, false) => "Give commands where Cordon runs; for a deployment, add --stack and its name. ",
        (false, true) => "Give the command with the settings of the app that reads; it takes no --stack. ",
        (true, true) => {
            "Give commands where Cordon runs; for a deployment, add --stack and its name, but not to `cordon hunt NAME`: \
             that needs the settings of the app that reads. "
        }
        (false, false) => "",
    };
    let message = show(message.as_str(), 200);
    format!(
        "{commands}Sent by Cordon, automated response for Microsoft Defender for Endpoint (message {message})."
    )
}

/// A part of the subject that cannot pass for two parts, nor for an encoded word (`=?utf-8?q?…?=`), which mail
/// programs decode into whatever it hides, line breaks included.
pub(crate) fn for_subject(part: &str) -> String {
    one_line(&one_line(part, 120).replace('·', " ").replace("=?", "= ?"), 130)
}

fn severity(severity: Option<&Severity>) -> String {
    match severity {
        Some(Severity::Unspecified) | None => "No severity".to_owned(),
        Some(known) => show(known.as_str(), 20),
    }
}

/// Subjects in the order of their names are in the order of their weight.
fn rank(severity: Option<&Severity>) -> u8 {
    match severity {
        Some(Severity::High) => 1,
        Some(Severity::Medium) => 2,
        Some(Severity::Low) => 3,
        Some(Severity::Informational) => 4,
        Some(Severity::Unspecified | Severity::Other(_)) | None => 5,
    }
}

fn colour(severity: Option<&Severity>) -> &'static str {
    match severity {
        Some(Severity::High) => "#b42318",
        Some(Severity::Medium) => "#9a5b00",
        Some(Severity::Low) => "#1f5fa8",
        Some(Severity::Informational | Severity::Unspecified | Severity::Other(_)) | None => "#4a5563",
    }
}

/// What to call the device: its name, else its id, else that there is none.
fn device_name(taken: &ActionTaken) -> String {
    let name = match &taken.device {
        DeviceFact::Known(device) => device.name.as_deref().unwrap_or(device.id.as_str()),
        DeviceFact::Unknown { .. } => taken.alert.device_name.as_deref().unwrap_or_default(),
    };
    let name = one_line(name, 60);
    if name.is_empty() { "an unknown device".to_owned() } else { name }
}

/// A name that could be mistaken for our own words is put in quotes.
pub(crate) fn quoted(name: &str) -> String {
    let plain = ["an unknown device", "a device"].contains(&name)
        || name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    // Letters of Greek and Cyrillic among Latin ones are there to be taken for those.
    let in_disguise = name.contains(|c: char| c.is_ascii_alphabetic())
        && name.contains(|c| ('\u{370}'..'\u{530}').contains(&c));
    let like_ours = in_disguise || name.to_lowercase().contains("cordon");
    if plain && !like_ours { name.to_owned() } else { format!("\"{}\"", name.replace('"', "'")) }
}

fn why(taken: &ActionTaken) -> Vec<Line> {
    // The policy that isolates a device says nothing of its release: who has ordered that stands in the notes.
    if taken.effect == Effect::Release || taken.state == Some(EffectState::Released) {
        let noted = taken.notes.iter().map(|note| format!("Noted: {}", show(note, 300))).collect();
        return limited(noted).into_iter().map(Line::Said).collect();
    }
    let decision = &taken.decision;
    let notes = |label: &str, notes: &[model::PolicyNote]| -> Vec<String> {
        let say = |note: &model::PolicyNote| {
            format!("{label}: {} (policy {})", show(&note.reason, 300), show(&note.id, 80))
        };
        limited(notes.iter().map(say).collect())
    };
    let doubts = decision.doubts.iter().map(|doubt| format!("Doubt: {}", show(doubt, 300))).collect();
    let gates = taken.notes.iter().filter(|_| taken.state == Some(EffectState::Held));
    let gates = gates.map(|gate| format!("Held back: {}", show(gate, 300))).collect();
    let spoke =
        [notes("For it", &decision.permitted_by), notes("Against it", &decision.forbidden_by)].concat();
    [spoke, limited(doubts), limited(gates)].concat().into_iter().map(Line::Said).collect()
}

/// The first of them, and how many more there are.
pub(crate) fn limited(mut all: Vec<String>) -> Vec<String> {
    let left = all.len().saturating_sub(MAX_LIST);
    all.truncate(MAX_LIST);
    if left > 0 {
        all.push(format!("and {left} more"));
    }
    all
}

/// A page of the portal.
pub(crate) fn link(portal: &str, kind: &str, id: &str) -> String {
    format!("{portal}/{kind}/{}", utf8_percent_encode(id, UNRESERVED))
}

fn links(taken: &ActionTaken, portal: &str) -> Vec<(&'static str, String)> {
    let link = |kind: &str, id: &str| link(portal, kind, id);
    // The portal has no page for what a hunt has found.
    let alert = taken.alert.hunted.is_none().then(|| ("Alert", link("alerts", taken.alert.id.as_str())));
    let mut links: Vec<(&'static str, String)> = alert.into_iter().collect();
    links.extend(taken.device.known().map(|device| ("Device", link("machines", device.id.as_str()))));
    let incident = taken.alert.incident_id.as_deref().map(|id| one_line(id, 100)).filter(|id| !id.is_empty());
    links.extend(incident.map(|id| ("Incident", link("incidents", &id))));
    links
}

/// Rows of a table; those without a value are left out.
#[derive(Default)]
struct Rows(Vec<(&'static str, String)>);

impl Rows {
    fn add(&mut self, label: &'static str, value: Option<String>) {
        self.0.extend(value.filter(|value| !value.is_empty()).map(|value| (label, value)));
    }

    /// A stranger's text.
    fn text(&mut self, label: &'static str, value: Option<&str>) {
        self.add(label, value.map(|value| show(value, 200)));
    }
}

fn device_table(taken: &ActionTaken) -> Vec<(&'static str, String)> {
    let mut rows = Rows::default();
    match &taken.device {
        DeviceFact::Known(device) => known_device(&mut rows, device),
        DeviceFact::Unknown { why } => {
            rows.text("Unknown", Some(why));
            let name = taken.alert.device_name.as_deref().map(|name| show(name, 100));
            rows.add("Name", name.map(|name| format!("{name} (as the alert has it)")));
        }
    }
    rows.add("User", taken.alert.user.as_ref().map(user));
    rows.0
}

fn known_device(rows: &mut Rows, device: &Device) {
    rows.text("Name", device.name.as_deref());
    rows.text("Device id", Some(device.id.as_str()));
    let system: Vec<&str> =
        [&device.os_platform, &device.os_version].into_iter().filter_map(|part| part.as_deref()).collect();
    rows.text("System", Some(&system.join(" ")));
    rows.text("Group", device.group.as_deref());
    rows.add(
        "Tags",
        Some(limited(device.tags.iter().flatten().map(|tag| show(tag, 60)).collect()).join(", ")),
    );
    rows.text("Value", device.value.as_deref());
    rows.text("Health", device.health.as_deref());
    rows.add("Reported", device.last_seen.map(time));
}

fn user(user: &User) -> String {
    match user.domain.as_deref().map(|domain| show(domain, 100)).filter(|domain| !domain.is_empty()) {
        Some(domain) => format!("{domain}\\{}", show(&user.name, 100)),
        None => show(&user.name, 100),
    }
}

fn response_table(taken: &ActionTaken) -> Vec<(&'static str, String)> {
    let mut rows = Rows::default();
    rows.add("Answer", Some(taken.decision.answer.as_str().to_owned()));
    rows.add("Mode", Some(taken.decision.mode.as_str().to_owned()));
    let released = taken.effect == Effect::Release;
    rows.add("Effect", released.then(|| taken.effect.word().to_owned()));
    rows.add("State", Some(taken.state.map_or("nothing was to be done", EffectState::word).to_owned()));
    let isolates = matches!(taken.decision.answer, Answer::Isolate | Answer::Propose);
    rows.add("Type", isolates.then(|| taken.decision.isolation_type.as_str().to_owned()));
    rows.text("Action id", taken.action.as_ref().map(|id| id.as_str()));
    rows.text("Claim", taken.claim.as_ref().map(|id| id.as_str()));
    for note in limited(taken.notes.iter().map(|note| show(note, 300)).collect()) {
        rows.add("Note", Some(note));
    }
    rows.0
}

fn alert_table(taken: &ActionTaken, occurred_at: Timestamp) -> Vec<(&'static str, String)> {
    let alert: &Alert = &taken.alert;
    let mut rows = Rows::default();
    rows.text("Alert id", Some(alert.id.as_str()));
    rows.text("Category", alert.category.as_deref());
    rows.text("Source", alert.detection_source.as_deref());
    rows.text("Threat", alert.threat_name.as_deref().or(alert.threat_family.as_deref()));
    let techniques = limited(alert.techniques.iter().map(|technique| show(technique, 20)).collect());
    rows.add("ATT&CK", Some(techniques.join(", ")));
    rows.text("Status", alert.status.as_ref().map(|status| status.as_str()));
    rows.add("Created", alert.created.map(time));
    rows.add("First event", alert.first_event.map(time));
    rows.add("Last event", alert.last_event.map(time));
    let settled_now = matches!(
        taken.state,
        None | Some(EffectState::Observed | EffectState::Proposed | EffectState::Refused)
    );
    rows.add(if settled_now { "Decided" } else { "As of" }, Some(time(occurred_at)));
    rows.0
}
