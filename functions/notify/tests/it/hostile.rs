//! What an attacker writes into titles, names and command lines reaches people as harmless text, or not at all.

use crate::{
    digests::digest_letter,
    http_receiver::{Answer as Reply, Receiver, env},
    memory::Memory,
    samples::{
        PORTAL, STATES, device, envelope, found, hunted, mail, notice, notice_mail, now, release, requested,
        taken, tenant, topics,
    },
    smtp_tokens::Log,
    stage::Stage,
};
use credentials::{Problems, Vars};
use mail_parser::{HeaderName, MessageParser};
use model::{
    ActionTaken, Answer, Body, DeviceFact, EffectState, Envelope, Evidence, Hunted, Mode, Notice, Severity,
    Table, Topic, User,
};
use notify::{Mail, open};
use ports::{Disposition, Out, QueueBackend, QueueName, Tally};
use serde::Deserialize;

/// One text of the corpus.
#[derive(Debug, Deserialize)]
struct Hostile {
    text: String,
}

/// Texts that try to act wherever they come to stand: those of hostile.json, each with what it tries, and some that are
/// too long for a file.
pub(crate) fn corpus() -> Vec<String> {
    let listed: Vec<Hostile> = serde_json::from_str(include_str!("../hostile.json")).unwrap();
    listed
        .into_iter()
        .map(|hostile| hostile.text)
        .chain([
            ("A".repeat(64) + " ").repeat(1_024),
            "y".repeat(65_536),
            "<b>\u{202e}".repeat(8_192),
            format!("e{}", "\u{0301}".repeat(65_536)),
        ])
        .collect()
}

/// An outcome with the text everywhere where a stranger's text may stand.
pub(crate) fn everywhere(text: &str) -> ActionTaken {
    within(requested(), text)
}

fn within(mut taken: ActionTaken, text: &str) -> ActionTaken {
    let t = || Some(text.to_owned());
    let alert = &mut taken.alert;
    alert.title = text.to_owned();
    alert.incident_id = t();
    alert.severity = Some(text.into());
    alert.category = t();
    alert.detection_source = t();
    alert.threat_name = t();
    alert.techniques = vec![text.to_owned(); 30];
    alert.user = Some(User { name: text.to_owned(), domain: t() });
    alert.evidence = (0..12)
        .map(|id| Evidence {
            kind: text.to_owned(),
            process_id: Some(id),
            file_name: t(),
            folder: t(),
            command_line: t(),
            parent_file_name: t(),
            sha1: t(),
            sha256: t(),
            ip_address: t(),
            url: t(),
            registry_hive: t(),
            registry_key: t(),
            registry_value: t(),
            account_name: t(),
            account_domain: t(),
            user_sid: t(),
            user_principal_name: t(),
            detection_status: t(),
            ..Evidence::default()
        })
        .collect();
    if let DeviceFact::Known(device) = &mut taken.device {
        device.name = t();
        device.os_platform = t();
        device.os_version = t();
        device.group = t();
        device.value = t();
        device.health = t();
        device.tags = Some(vec![text.to_owned(); 30]);
    }
    taken.notes = vec![text.to_owned(); 30];
    taken.decision.doubts = vec![text.to_owned()];
    taken
}

/// A notice with the text everywhere where a stranger's text may stand.
pub(crate) fn notice_of(topic: Topic, text: &str) -> Notice {
    let row = vec![text.to_owned(); 6];
    let table = Table { columns: row.clone(), rows: vec![row; 4], more: 0 };
    let notice = notice(topic);
    Notice {
        device_name: Some(text.to_owned()),
        facts: vec![text.to_owned(); 30],
        table: notice.table.is_some().then_some(table),
        ..notice
    }
}

/// A mail of every kind with the text in it: isolations and releases where a device may be cut off, is held or is
/// released, and every notice.
fn mails(text: &str) -> Vec<Mail> {
    let states = [EffectState::Requested, EffectState::Held, EffectState::Released, EffectState::Refused];
    let isolations = states.map(|state| taken(Answer::Isolate, Mode::Enforce, Some(state)));
    let releases = states.map(release);
    let outcomes = isolations.into_iter().chain(releases).map(|taken| mail(&within(taken, text)));
    let in_some_state = |topic: &Topic| match topic {
        Topic::Ordered { state, .. } => states.contains(state),
        _ => true,
    };
    let topics = topics().into_iter().filter(in_some_state);
    let notices = topics.map(|topic| notice_mail(&notice_of(topic, text)));
    let mut of_a_hunt = hunted(taken(Answer::Refused, Mode::Enforce, Some(EffectState::Refused)));
    of_a_hunt.alert.hunted = Some(Hunted { hunt: text.to_owned(), may_isolate: false });
    outcomes.chain(notices).chain([mail(&within(of_a_hunt, text))]).collect()
}

/// The names and targets of all tags of an HTML text.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).map(|tag| tag.split('>').next().unwrap()).collect()
}

#[test]
fn no_markup_and_no_link_but_ours() {
    for (text, mail) in corpus().iter().flat_map(|text| mails(text).into_iter().map(move |mail| (text, mail)))
    {
        assert_no_markup_but_ours(&mail.html, text);
    }
}

/// No tag but ours, no link but into the portal, and nothing of which a mail program makes one.
#[track_caller]
fn assert_no_markup_but_ours(html: &str, from: &str) {
    const OURS: [&str; 14] = [
        "html", "head", "meta", "title", "style", "body", "div", "table", "tr", "td", "h1", "h2", "span", "a",
    ];
    for tag in tags(html) {
        let name = tag.trim_start_matches('/').split([' ', '\n', '\r']).next().unwrap();
        assert!(OURS.contains(&name) || tag.starts_with('!'), "<{tag}> from {from:.80}");
        if tag.starts_with("a ") {
            assert_eq!(tag.matches('"').count(), 6, "<{tag}>");
            assert!(tag.starts_with(&format!("a href=\"{PORTAL}/")), "<{tag}> from {from:.80}");
        }
    }
    // The title of the document is the subject; no program makes links of it.
    let (_, body) = html.split_once("<body").unwrap();
    let body: String =
        body.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
    for linkable in ["http:/", "https:/", "www.", "evil.example", "\\\\192", "192.0.2.1", "file:", "mailto:"]
    {
        assert!(!body.contains(linkable), "{linkable} in the mail for {from:.80}");
    }
}

/// Whether a character acts on a terminal, turns the direction of what is read, or is not seen.
pub(crate) fn acts(c: char) -> bool {
    let unseen = matches!(c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}');
    c.is_control() || unseen
}

#[test]
fn the_plain_part_is_safe_in_a_terminal() {
    for (text, mail) in corpus().iter().flat_map(|text| mails(text).into_iter().map(move |mail| (text, mail)))
    {
        for part in [&mail.text, &mail.html, &mail.subject] {
            let acting = part.chars().find(|c| *c != '\n' && acts(*c));
            assert_eq!(acting, None, "from {text:.80}");
        }
        assert!(!mail.subject.contains('\n') && mail.subject.chars().count() <= 250);
        assert!(mail.text.len() < 60_000, "{} bytes", mail.text.len());
        let whole = |line: &&str| line.contains(PORTAL) || line.starts_with("    cordon ");
        let too_long = mail.text.lines().filter(|line| !whole(line)).find(|line| line.chars().count() > 78);
        assert_eq!(too_long, None, "from {text:.80}");
    }
}

#[test]
fn nobody_can_forge_the_first_line_or_a_heading() {
    let mut taken = everywhere("laptop-7 is clean. Nothing to do · isolation succeeded");
    taken.alert.severity = Some(Severity::High);
    let mail = mail(&taken);
    assert!(
        mail.text.starts_with("Cordon asked for the isolation of \"laptop-7 is clean. Nothing"),
        "{}",
        mail.text
    );
    assert!(!mail.subject.contains("· isolation succeeded"), "{}", mail.subject);
    for line in mail.text.lines().skip(1).filter(|line| line.contains("isolation succeeded")) {
        assert!(line.starts_with("  ") || line.starts_with("High · "), "{line}");
    }
}

#[test]
fn a_device_that_is_named_like_cordon_stands_in_quotes() {
    for name in ["Cordon", "cordon-7", "C\u{43e}rdon", "\u{421}ordon"] {
        let mut taken = requested();
        if let DeviceFact::Known(device) = &mut taken.device {
            device.name = Some(name.into());
        }
        let text = mail(&taken).text;
        assert!(text.starts_with(&format!("Cordon asked for the isolation of \"{name}\", and")), "{text}");
    }
}

#[test]
fn nobody_can_forge_a_command() {
    let ours = |text: &str| {
        let commands = text.lines().filter(|line| line.starts_with("    cordon "));
        commands.map(str::to_owned).collect::<Vec<_>>()
    };
    for text in ["cordon release --all", "x\n    cordon release --all --comment y", "    cordon resume"] {
        for (forged, plain) in mails(text).into_iter().zip(mails("x")) {
            assert_eq!(ours(&forged.text), ours(&plain.text), "{}", forged.text);
        }
    }
    let known: Vec<String> = mails("x").iter().flat_map(|mail| ours(&mail.text)).collect();
    assert!(known.iter().any(|line| line.contains(device().id.as_str())), "{known:?}");
}

#[tokio::test]
async fn a_digest_is_as_harmless_as_what_it_tells() {
    let ours = ["laptop-7 · isolation succeeded · High · alert da1_1", "x\n  10:05 · laptop-7 · released"];
    let forged = ours.map(str::to_owned);
    // Wherever a digest takes a text from; no longer than a message may be.
    let told = |text: &String| {
        let text: &String = &text.chars().take(10_000).collect();
        let mut taken = requested();
        (taken.alert.title, taken.alert.severity) = (text.clone(), Some(text.as_str().into()));
        taken.alert.incident_id = Some(text.clone());
        if let DeviceFact::Known(device) = &mut taken.device {
            device.name = Some(text.clone());
        }
        taken
    };
    let outcomes: Vec<ActionTaken> = corpus().iter().chain(&forged).map(told).collect();
    let count = outcomes.len();
    let letter = digest_letter(outcomes).await;
    let letter = MessageParser::default().parse(&letter).unwrap();
    let (text, html) = (letter.body_text(0).unwrap(), letter.body_html(0).unwrap());
    let acting = text.chars().chain(html.chars()).find(|c| !['\r', '\n'].contains(c) && acts(*c));
    assert_eq!(acting, None);
    assert_no_markup_but_ours(&html, "a digest");
    // Each is one line, which says itself what became of the device.
    let told: Vec<&str> =
        html.lines().filter(|line| line.contains("<td") && line.contains(">10:05 · ")).collect();
    assert_eq!(told.len(), count);
    for line in told {
        assert_eq!(line.matches(" · isolation requested · ").count(), 1, "{line}");
        assert!(!line.contains("· isolation succeeded") && !line.contains("· released"), "{line}");
    }
}

#[tokio::test]
async fn no_header_can_be_injected() {
    for text in corpus() {
        let taken = everywhere(&text);
        arrives_whole(envelope(taken.clone()), mail_of(&envelope(taken)), false).await;
        for topic in [Topic::Holding, Topic::AlienAction, Topic::StillIsolated, found()] {
            let message = envelope(notice_of(topic, &text));
            let mail = notify::render_notice(&message.body, PORTAL, message.occurred_at, &message.id);
            let stands_alone = message.body.device.is_none();
            arrives_whole(message, mail, stands_alone).await;
        }
    }
}

#[tokio::test]
async fn every_state_and_topic_arrives_as_a_letter_that_a_program_can_read() {
    for state in STATES {
        for taken in [taken(Answer::Isolate, Mode::Enforce, Some(state)), release(state)] {
            let message = envelope(taken);
            let mail = mail_of(&message);
            arrives_whole(message, mail, false).await;
        }
    }
    for topic in topics() {
        let message = envelope(notice(topic));
        let mail = notify::render_notice(&message.body, PORTAL, message.occurred_at, &message.id);
        let stands_alone = message.body.device.is_none();
        arrives_whole(message, mail, stands_alone).await;
    }
}

fn mail_of(message: &Envelope<ActionTaken>) -> Mail {
    notify::render(&message.body, PORTAL, message.occurred_at, &message.id)
}

/// Works on what holds a stranger's text everywhere, over a channel that says it back; and on bodies that cannot be read
/// because of it, which are set aside.
async fn worked_on(text: &str) {
    let words: &'static str = Box::leak(text.to_owned().into_boxed_str());
    let receiver = Receiver::start(Reply::Status(400, words)).await;
    let kind = policy::ChannelKind::Teams { url: env("TEAMS_URL") };
    let teams = policy::Channel::new("teams", kind);
    let stage = Stage::new(vec![teams], &[("TEAMS_URL", receiver.url("/"))], now());
    let good = serde_json::to_value(envelope(everywhere(text))).unwrap();
    let bad = |place: &str| {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap() = text.into();
        bad.to_string()
    };
    let places = [
        "/kind",
        "/version",
        "/id",
        "/tenant",
        "/occurred_at",
        "/body/state",
        "/body/decision/answer",
        "/body/device/known/id",
        "/body/alert/id",
        "/body/alert/created",
    ];
    let bodies = places.iter().map(|place| bad(place)).chain([good.to_string(), text.to_owned()]);
    let out: Vec<Out> = bodies.map(|body| Out { body, delay: jiff::SignedDuration::ZERO }).collect();
    stage.store.send(QueueName::ActionsTaken, &out, stage.now).await;
    stage.work().await;
}

#[tokio::test]
async fn no_log_line_lets_a_strangers_text_act() {
    for is_json in [false, true] {
        let (log, _guard) = if is_json { Log::listen_as_on_aws() } else { Log::listen() };
        for text in corpus() {
            worked_on(&format!("{text}\nFORGED {text}")).await;
        }
        let log = log.text();
        for words in ["not told", "set aside", "FORGED"] {
            assert!(log.contains(words), "{words} is not in {log:.4000}");
        }
        for line in log.lines() {
            assert_eq!(line.chars().find(|c| acts(*c)), None, "{line:.400}");
            if is_json {
                assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line:.400}");
            } else {
                assert!(line.starts_with("20"), "{line:.400}");
            }
        }
    }
}

/// Whether a message that travels as text comes out as this mail, with our headers and no other.
async fn arrives_whole<B: Body>(message: Envelope<B>, mail: Mail, stands_alone: bool) {
    let folder = tempfile::tempdir().unwrap();
    let channel =
        policy::Channel::new("folder", policy::ChannelKind::Folder { path: folder.path().to_owned() });
    let channels = open(&[channel], &Vars::default(), None, &mut Problems::default());
    let (_, state) = Memory::state();
    let notify = crate::memory::notify(channels, state, Tally::default());
    let taken = notify.take(&tenant(), &message.encode().unwrap(), now()).await;
    assert_eq!(taken, Disposition::Done);

    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let content = std::fs::read(file).unwrap();
    let about = &mail.subject;
    assert!(content.is_ascii(), "{about}");
    let longest = content.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap();
    assert!(longest <= 998, "{about}: a line of {longest}");
    let letter = MessageParser::default().parse(&content).unwrap();
    let names: Vec<&str> = letter.headers().iter().map(|header| header.name.as_str()).collect();
    let before = ["From", "Subject", "Date", "Message-ID"];
    let of_story: &[&str] = if stands_alone { &[] } else { &["In-Reply-To", "References"] };
    let after = ["Auto-Submitted", "To", "MIME-Version", "Content-Type"];
    assert_eq!(names, [before.as_slice(), of_story, after.as_slice()].concat(), "{about}");
    assert!(letter.header(HeaderName::Bcc).is_none());
    assert_eq!(letter.subject().unwrap(), mail.subject);
    assert_eq!((letter.parts.len(), letter.attachment_count()), (3, 0), "{about}");
    assert_eq!(letter.body_text(0).unwrap().replace("\r\n", "\n"), mail.text, "{about}");
    assert_eq!(letter.body_html(0).unwrap().replace("\r\n", "\n"), mail.html, "{about}");
}
