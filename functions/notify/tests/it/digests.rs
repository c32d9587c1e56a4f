//! A storm becomes a digest that names every device, and nothing waits for it that was not gathered.

use crate::{
    http_receiver::{self, env},
    once::read,
    samples::{notice, now, release, requested, taken, tenant},
    slack,
    smtp::Settings,
    smtp_receiver::{Manners, Receiver},
    stage::Stage,
    teams,
};
use jiff::{SignedDuration, Timestamp};
use model::{ActionTaken, Answer, DeviceFact, DeviceRef, EffectState, Envelope, Mode, Topic};
use policy::ChannelKind;
use ports::{Closed, Expect, Gathered, Latest, Telling, Told, Write};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

pub(crate) fn device_name(nth: usize) -> String {
    format!("storm-{nth:04}-x")
}

/// An outcome about a device of its own.
pub(crate) fn outcome(nth: usize) -> ActionTaken {
    let mut taken = of_device(requested(), nth);
    taken.alert.incident_id = Some(format!("{}", 5_000 + nth));
    taken.alert.device_name = Some(device_name(nth));
    let DeviceFact::Known(device) = &mut taken.device else { panic!("the sample device is known") };
    device.name = Some(device_name(nth));
    if nth % 7 == 3 {
        taken.state = Some(EffectState::Failed);
    }
    taken
}

/// The same of an alert and a device with ids of their own.
fn of_device(mut taken: ActionTaken, nth: usize) -> ActionTaken {
    let id = format!("{nth:040x}");
    taken.alert.id = format!("da{nth:010}_1").parse().unwrap();
    taken.alert.device = Some(DeviceRef::parse(&id));
    let DeviceFact::Known(device) = &mut taken.device else { panic!("the sample device is known") };
    device.id = id.parse().unwrap();
    taken
}

pub(crate) fn storm(devices: usize) -> Vec<Envelope<ActionTaken>> {
    let message = |nth: usize| Envelope::new(&tenant(), &[&nth.to_string()], "trace", now(), outcome(nth));
    (0..devices).map(message).collect()
}

fn minutes(minutes: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minutes)
}

/// The letter of a digest, as it lies in a folder, of so many outcomes about devices of their own.
pub(crate) async fn digest_letter(outcomes: Vec<ActionTaken>) -> Vec<u8> {
    let message = |(nth, taken): (usize, ActionTaken)| {
        Envelope::new(&tenant(), &[&nth.to_string()], "trace", now(), of_device(taken, nth + 1))
    };
    digest_of(&outcomes.into_iter().enumerate().map(message).collect::<Vec<_>>()).await
}

/// The letter of the one digest that these messages become.
async fn digest_of(messages: &[Envelope<ActionTaken>]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let channel = policy::Channel {
        digest_after: Some(1),
        ..policy::Channel::new("folder", ChannelKind::Folder { path: folder.path().to_owned() })
    };
    let mut stage = Stage::new(vec![channel], &[], now());
    // The first is told by itself.
    stage.send(&storm(1)).await;
    stage.work().await;
    stage.send(messages).await;
    stage.until_idle().await;
    assert_eq!(stage.deliveries(), 2, "one by itself, and one digest");
    let letters = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut letters = letters.map(|path| std::fs::read(path).unwrap());
    letters.find(|letter| read(letter).contains("it is told together")).unwrap()
}

#[tokio::test]
async fn a_storm_of_three_hundred_devices_is_told_in_a_few_messages_that_name_each_of_them() {
    let mail = Receiver::start(Manners::default()).await;
    let other = Receiver::start(Manners::default()).await;
    let slack = http_receiver::Receiver::start(http_receiver::Answer::Status(200, "ok")).await;
    let few = policy::Channel { digest_after: Some(3), ..Settings::plain(&other).named("few") };
    let teams = http_receiver::Receiver::start(http_receiver::Answer::Status(202, "")).await;
    let blocks = policy::Channel::new("blocks", ChannelKind::Slack { url: env("SLACK_URL") });
    let cards = policy::Channel::new("cards", ChannelKind::Teams { url: env("TEAMS_URL") });
    let channels = vec![Settings::plain(&mail).named("mail"), few, blocks, cards];
    let urls = [("SLACK_URL", slack.url("/services/x")), ("TEAMS_URL", teams.url("/workflows/x"))];
    let mut stage = Stage::new(channels, &urls, now());
    stage.send(&storm(300)).await;
    stage.work().await;
    assert_eq!((mail.received().len(), other.received().len()), (10, 3));
    assert_eq!((slack.received().len(), teams.received().len()), (10, 10));

    stage.until(minutes(5)).await;
    assert_eq!((mail.received().len(), other.received().len()), (11, 4), "one digest each");
    let parts = [&slack, &teams].map(|receiver| receiver.received().len() - 10);
    assert!(parts.iter().all(|parts| (2..=16).contains(parts)), "{parts:?} parts");
    stage.until_idle().await;
    assert_eq!((mail.received().len(), other.received().len()), (11, 4));
    assert_eq!(stage.deliveries() as usize, 11 + 4 + 2 * 10 + parts.iter().sum::<usize>());

    let letters = |receiver: &Receiver| -> Vec<String> {
        receiver.received().iter().map(|letter| read(&letter.content)).collect()
    };
    let posts = |receiver: &http_receiver::Receiver| -> Vec<String> {
        receiver.received().iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect()
    };
    slack.received().iter().for_each(|request| drop(slack::checked(request.json())));
    teams.received().iter().for_each(|request| drop(teams::card_of(&request.json())));
    for told in [letters(&mail), letters(&other), posts(&slack), posts(&teams)] {
        for nth in 0..300 {
            let name = device_name(nth);
            assert!(told.iter().any(|message| message.contains(&name)), "{name} is missing");
        }
    }
    let digest = letters(&mail).pop().unwrap();
    assert!(digest.contains("290 messages about 290 devices"), "{digest}");
    let (failed, requested) = (digest.find("FAILED").unwrap(), digest.find("REQUESTED").unwrap());
    assert!(failed < requested, "the worst comes first");
    assert!(digest.contains("cordon explain ALERT_ID") && digest.contains("da0000000299_1"), "{digest}");
}

#[tokio::test]
async fn what_was_gathered_is_remembered_as_told_when_its_digest_was() {
    let mail = Receiver::start(Manners::default()).await;
    let channel = policy::Channel { digest_after: Some(1), ..Settings::plain(&mail).named("mail") };
    let mut stage = Stage::new(vec![channel], &[], now());
    let messages = storm(3);
    stage.send(&messages).await;
    stage.work().await;
    let key = |nth: usize| {
        let message: &Envelope<ActionTaken> = &messages[nth];
        Told::key(&tenant(), &message.body.alert.id, &message.id, "mail")
    };
    let told = async |nth| stage.state().get::<Told>(&key(nth), stage.now).await.unwrap();
    assert!(told(0).await.is_some() && told(1).await.is_none() && told(2).await.is_none());
    let telling = stage.state().get::<Telling>(&Telling::beside(&key(1)), stage.now).await.unwrap().unwrap();
    assert!(telling.value.why.unwrap().contains("waits for the digest of"));

    stage.until_idle().await;
    let told = stage.state().get::<Told>(&key(2), stage.now).await.unwrap().unwrap();
    assert!(told.value.subject.starts_with("in the digest of"), "{told:?}");
    assert!(stage.state().get::<Telling>(&Telling::beside(&key(1)), stage.now).await.unwrap().is_none());
    assert_eq!(mail.received().len(), 2);
}

#[tokio::test]
async fn a_notice_about_cordon_itself_is_never_gathered() {
    let mail = Receiver::start(Manners::default()).await;
    let channel = policy::Channel { digest_after: Some(1), ..Settings::plain(&mail).named("mail") };
    let stage = Stage::new(vec![channel], &[], now());
    stage.send(&storm(3)).await;
    let mut paused = notice(Topic::Paused);
    (paused.device, paused.device_name) = (None, None);
    stage.send(&[Envelope::new(&tenant(), &["n"], "trace", now(), paused)]).await;
    stage.send(&[Envelope::new(&tenant(), &["m"], "trace", now(), notice(Topic::StillIsolated))]).await;
    stage.work().await;
    let subjects: Vec<String> = mail.received().iter().map(|letter| read(&letter.content)).collect();
    assert_eq!(subjects.len(), 2, "the first of the storm, and the notice");
    assert!(subjects[1].contains("paused"), "{}", subjects[1]);
}

#[tokio::test]
async fn a_late_worker_gathers_into_the_next_digest_where_the_one_it_wants_is_closed() {
    let mail = Receiver::start(Manners::default()).await;
    let channel = policy::Channel { digest_after: Some(1), ..Settings::plain(&mail).named("mail") };
    let mut stage = Stage::new(vec![channel], &[], now());
    stage.send(&storm(1)).await;
    stage.work().await;
    // A worker whose clock is ahead has closed the digest of this moment.
    let partition = Gathered::partition(&tenant(), "mail", now());
    let closed = Closed { at: now(), parts: Some(vec![]) };
    let write = Write::put(Closed::key(&partition), &closed, Expect::Absent, Closed::expires(now())).unwrap();
    stage.state().commit(&[write], now()).await.unwrap();
    stage.send(&storm(2)[1..]).await;
    stage.until_idle().await;
    let letters: Vec<String> = mail.received().iter().map(|letter| read(&letter.content)).collect();
    assert_eq!(letters.len(), 2);
    assert!(letters[1].contains(&device_name(1)) && stage.now >= minutes(10), "{}", stage.now);
}

#[tokio::test]
async fn a_digest_that_is_not_taken_rests_like_any_message_and_is_set_aside_in_the_end() {
    let mail = Receiver::start(Manners::default()).await;
    let answers = std::sync::atomic::AtomicBool::new(true);
    let taken = std::sync::Arc::new(answers);
    let now_taken = taken.clone();
    let slack = http_receiver::Receiver::answering(move |_| {
        let status = if now_taken.load(std::sync::atomic::Ordering::SeqCst) { 200 } else { 503 };
        http_receiver::Answer::Status(status, "")
    })
    .await;
    let cards = policy::Channel {
        digest_after: Some(1),
        ..policy::Channel::new("cards", ChannelKind::Slack { url: env("SLACK_URL") })
    };
    let channels = vec![cards, Settings::plain(&mail).named("mail")];
    let mut stage = Stage::new(channels, &[("SLACK_URL", slack.url("/services/x"))], now());
    stage.send(&storm(4)).await;
    stage.work().await;
    taken.store(false, std::sync::atomic::Ordering::SeqCst);
    stage.until_idle().await;
    let dead = stage.dead().await;
    assert_eq!(dead.len(), 3, "{dead:#?}");
    assert!(dead.iter().all(|letter| letter.reason.contains("`cards`") && !letter.reason.contains("`mail`")));
    let tries = slack.received().len();
    assert!((90..=130).contains(&tries), "{tries} tries: one per rest, not per message");
    let waited = stage.now.duration_since(now());
    assert!(waited < SignedDuration::from_hours(25), "{waited}");

    // Put back, they are told to the channel alone that was not told.
    taken.store(true, std::sync::atomic::Ordering::SeqCst);
    let (before, mails) = (slack.received().len(), mail.received().len());
    stage.redrive().await;
    stage.until_idle().await;
    assert!(stage.dead().await.is_empty());
    let later: Vec<String> = slack.received()[before..]
        .iter()
        .map(|request| String::from_utf8(request.body.clone()).unwrap())
        .collect();
    let named: BTreeSet<usize> =
        (0..4).filter(|nth| later.iter().any(|card| card.contains(&device_name(*nth)))).collect();
    assert_eq!((named, mail.received().len()), ([1, 2, 3].into(), mails));
}

/// An outcome about a device of its own, which happened at this time.
fn at(time: &str, nth: usize, taken: ActionTaken) -> Envelope<ActionTaken> {
    let identity = format!("{time} {nth} {:?}", taken.state);
    let mut taken = of_device(taken, nth);
    let DeviceFact::Known(device) = &mut taken.device else { panic!("the sample device is known") };
    device.name = Some(device_name(nth));
    Envelope::new(&tenant(), &[&identity], "trace", time.parse().unwrap(), taken)
}

fn isolation(state: EffectState) -> ActionTaken {
    taken(Answer::Isolate, Mode::Enforce, Some(state))
}

/// The subject and the plain part of a digest.
async fn plain(messages: &[Envelope<ActionTaken>]) -> (String, String) {
    let letter = digest_of(messages).await;
    let letter = mail_parser::MessageParser::default().parse(&letter).unwrap();
    assert!(letter.references().as_text().is_none() && letter.in_reply_to().as_text().is_none());
    (letter.subject().unwrap().to_owned(), letter.body_text(0).unwrap().replace("\r\n", "\n"))
}

/// The plain part with every paragraph on one line.
fn unwrapped(text: &str) -> String {
    text.replace("\n  ", " ")
}

#[tokio::test]
async fn a_digest_says_the_latest_of_each_case_and_what_it_was_before() {
    let (subject, text) = plain(&[
        at("2026-11-20T10:01:00Z", 1, isolation(EffectState::Requested)),
        at("2026-11-20T10:03:00Z", 1, isolation(EffectState::Succeeded)),
        at("2026-11-20T10:02:00Z", 2, isolation(EffectState::Requested)),
    ])
    .await;
    let text = unwrapped(&text);
    assert!(subject.contains("3 messages about 2 devices"), "{subject}");
    assert!(
        text.contains("10:03 · storm-0001-x · isolation succeeded (10:01: isolation requested) ·"),
        "{text}"
    );
    assert_eq!(text.matches("storm-0001-x").count(), 1, "{text}");
    assert!(text.contains("REQUESTED, NOT REPORTED AS DONE 10:02 · storm-0002-x ·"), "{text}");
}

#[tokio::test]
async fn a_release_does_not_stand_for_the_isolation_before_it() {
    let (_, text) = plain(&[
        at("2026-11-20T10:01:00Z", 1, isolation(EffectState::Succeeded)),
        at("2026-11-20T10:03:00Z", 1, release(EffectState::Requested)),
    ])
    .await;
    assert_eq!(text.matches("storm-0001-x").count(), 2, "{text}");
}

#[tokio::test]
async fn a_digest_says_from_when_to_when_it_happened_and_dates_what_is_not_of_today() {
    let (_, text) = plain(&[
        at("2026-11-19T14:05:00Z", 1, isolation(EffectState::Requested)),
        at("2026-11-20T10:03:20Z", 2, isolation(EffectState::Requested)),
    ])
    .await;
    assert!(text.contains(" · 2026-11-19 14:05 to 2026-11-20 10:03 UTC\n"), "{text}");
    assert!(text.contains("  2026-11-19 14:05 · storm-0001-x") && text.contains("\n  10:03 · storm-0002-x"));
    let (_, text) = plain(&[
        at("2026-11-20T10:01:00Z", 1, isolation(EffectState::Requested)),
        at("2026-11-20T10:03:20Z", 2, isolation(EffectState::Requested)),
    ])
    .await;
    assert!(text.contains(" · 2026-11-20 10:01 to 10:03 UTC\n"), "{text}");
}

#[tokio::test]
async fn what_was_only_observed_waits_for_nobody_in_a_digest() {
    let observed = |answer, state| taken(answer, Mode::Observe, Some(state));
    let (subject, text) = plain(&[
        at("2026-11-20T10:01:00Z", 1, observed(Answer::Propose, EffectState::Proposed)),
        at("2026-11-20T10:02:00Z", 2, observed(Answer::Isolate, EffectState::Observed)),
        at("2026-11-20T10:03:00Z", 3, observed(Answer::Refused, EffectState::Refused)),
    ])
    .await;
    let text = unwrapped(&text);
    assert!(subject.contains("9 For your information"), "{subject}");
    assert!(
        text.contains(
            "ONLY OBSERVED: NOTHING WAS ASKED FOR 10:01 · storm-0001-x · isolation proposed (observing)"
        ),
        "{text}"
    );
    assert!(text.contains("isolation refused (observing)"), "{text}");
    assert!(!text.contains("WAITING FOR A PERSON") && !text.contains("cordon isolate"), "{text}");
    assert_eq!(text.matches("ONLY OBSERVED").count(), 1, "{text}");
}

#[tokio::test]
async fn a_digest_says_first_what_to_do_with_each_group() {
    let states = [
        EffectState::Held,
        EffectState::Failed,
        EffectState::Unknown,
        EffectState::Adopted,
        EffectState::Succeeded,
    ];
    let mut messages: Vec<_> =
        (1..).zip(states).map(|(nth, state)| at("2026-11-20T10:01:00Z", nth, isolation(state))).collect();
    let proposed = taken(Answer::Propose, Mode::Enforce, Some(EffectState::Proposed));
    messages.push(at("2026-11-20T10:02:00Z", 8, proposed));
    messages.push(at("2026-11-20T10:02:00Z", 9, release(EffectState::TimedOut)));
    let (subject, text) = plain(&messages).await;
    assert!(subject.contains("0 Look now"), "{subject}");
    let next = text.find("WHAT TO DO NEXT").unwrap();
    assert!(next < text.find("\nFAILED").unwrap(), "{text}");
    for command in [
        "cordon held",
        "cordon isolate DEVICE_ID --alert ALERT_ID --comment \"…\"",
        "cordon isolate DEVICE_ID --reissue --comment \"…\"",
        "cordon release DEVICE_ID --comment \"…\"",
        "cordon explain ALERT_ID",
    ] {
        assert!(text.contains(&format!("\n    {command}\n")), "{command}: {text}");
    }
    assert!(unwrapped(&text).contains("look at the device's action center"), "{text}");
    assert!(text.contains("\nOPEN OR IN FORCE ALREADY\n") && !text.contains("SOMEBODY ELSE"), "{text}");

    let done = [at("2026-11-20T10:01:00Z", 1, isolation(EffectState::Succeeded))];
    let (subject, text) = plain(&done).await;
    assert!(subject.contains("9 For your information · digest · 1 message about 1 device"), "{subject}");
    assert!(!text.contains("cordon held") && !text.contains("cordon isolate"), "{text}");
}

fn small_cards() -> policy::Channel {
    policy::Channel {
        digest_after: Some(1),
        ..policy::Channel::new("cards", ChannelKind::Slack { url: env("SLACK_URL") })
    }
}

/// A service that answers request by request, the first as number nought, as `status` says.
async fn answering(status: impl Fn(usize, &str) -> u16 + Send + Sync + 'static) -> http_receiver::Receiver {
    let nth = AtomicUsize::new(0);
    http_receiver::Receiver::answering(move |request| {
        let text = String::from_utf8_lossy(&request.body);
        http_receiver::Answer::Status(status(nth.fetch_add(1, Ordering::SeqCst), &text), "")
    })
    .await
}

fn cards_of(receiver: &http_receiver::Receiver) -> Vec<String> {
    receiver.received().iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect()
}

/// How often each device of a storm is named in these.
fn named(devices: usize, messages: &[String]) -> Vec<usize> {
    let count = |name: String| messages.iter().filter(|message| message.contains(&name)).count();
    (0..devices).map(|nth| count(device_name(nth))).collect()
}

#[tokio::test]
async fn a_digest_that_was_begun_goes_on_in_the_parts_that_it_was_split_into_wherever_it_goes() {
    // The one alone and the first part are taken, and then nothing.
    let slack = answering(|nth, _| if nth < 2 { 200 } else { 503 }).await;
    let mut stage = Stage::new(vec![small_cards()], &[("SLACK_URL", slack.url("/services/x"))], now());
    stage.send(&storm(130)).await;
    stage.until(minutes(6)).await;
    assert!(slack.received().len() > 2 && stage.deliveries() == 2);

    // The channel becomes one that takes all of it at once.
    let folder = tempfile::tempdir().unwrap();
    let kind = ChannelKind::Folder { path: folder.path().to_owned() };
    stage.channels = vec![policy::Channel { kind, ..small_cards() }];
    stage.until_idle().await;
    let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut told: Vec<String> = files.map(|path| read(&std::fs::read(path).unwrap())).collect();
    told.extend(cards_of(&slack).into_iter().take(2));
    assert_eq!(named(130, &told), [1; 130]);
}

#[tokio::test]
async fn a_line_that_a_channel_refuses_costs_no_other_message() {
    let poison = device_name(70);
    let bad = poison.clone();
    let slack = answering(move |_, text| if text.contains(&bad) { 400 } else { 200 }).await;
    let mail = Receiver::start(Manners::default()).await;
    let channels = vec![small_cards(), Settings::plain(&mail).named("mail")];
    let mut stage = Stage::new(channels, &[("SLACK_URL", slack.url("/services/x"))], now());
    stage.send(&storm(130)).await;
    stage.until_idle().await;
    let taken: Vec<String> = cards_of(&slack).into_iter().filter(|card| !card.contains(&poison)).collect();
    let mut once = [1; 130];
    once[70] = 0;
    assert_eq!(named(130, &taken), once, "each is told once, but the one that is refused");
    let [dead] = stage.dead().await.try_into().unwrap();
    assert!(dead.body.contains(&poison) && dead.reason.contains("refused 5 times"), "{}", dead.reason);
    let refused = slack.received().len() - taken.len();
    assert_eq!(refused, 1 + 5, "in its part, and alone");
    let letters: Vec<String> = mail.received().iter().map(|letter| read(&letter.content)).collect();
    let notices = letters.iter().filter(|letter| letter.contains("a channel takes nothing")).count();
    assert_eq!(notices, 1, "of the one message that was given up");
}

#[tokio::test]
async fn a_row_of_a_digest_that_cannot_be_read_costs_only_its_place_in_it() {
    let mail = Receiver::start(Manners::default()).await;
    let channel = policy::Channel { digest_after: Some(1), ..Settings::plain(&mail).named("mail") };
    let mut stage = Stage::new(vec![channel], &[], now());
    let messages = storm(5);
    stage.send(&messages).await;
    stage.work().await;
    let key = |nth: usize| Gathered::key(&Gathered::partition(&tenant(), "mail", now()), &messages[nth].id);
    let expires = Gathered::expires(now());
    let garbage = Write::put(key(2), &"no row", Expect::Any, expires).unwrap();
    let gone = Write::Delete { key: key(3), expect: Expect::Any };
    stage.state().commit(&[garbage, gone], now()).await.unwrap();
    stage.until_idle().await;
    let letters: Vec<String> = mail.received().iter().map(|letter| read(&letter.content)).collect();
    assert_eq!((named(5, &letters), letters.len()), (vec![1; 5], 4));
    assert!(stage.dead().await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_for_a_day_is_set_aside() {
    let mail = Receiver::start(Manners::default()).await;
    let channel = policy::Channel { digest_after: Some(1), ..Settings::plain(&mail).named("mail") };
    let mut stage = Stage::new(vec![channel], &[], now());
    stage.send(&storm(3)).await;
    stage.work().await;
    stage.hide("gathered#");
    stage.until(minutes(25 * 60)).await;
    let dead = stage.dead().await;
    assert_eq!(dead.len(), 2);
    assert!(dead[0].reason.contains("cannot be read"), "{}", dead[0].reason);
}

#[tokio::test]
async fn the_last_part_of_a_digest_has_no_more_than_a_day_either() {
    let healthy = Arc::new(AtomicBool::new(true));
    let parts = Arc::new(AtomicUsize::new(0));
    let (is_healthy, taken) = (healthy.clone(), parts.clone());
    // After its bad day it takes one part, and then nothing for ever.
    let slack = answering(move |_, _| match is_healthy.load(Ordering::SeqCst) {
        true if taken.fetch_add(1, Ordering::SeqCst) < 2 => 200,
        _ => 503,
    })
    .await;
    let mail = Receiver::start(Manners::default()).await;
    let channels = vec![small_cards(), Settings::plain(&mail).named("mail")];
    let mut stage = Stage::new(channels, &[("SLACK_URL", slack.url("/services/x"))], now());
    stage.send(&storm(130)).await;
    stage.work().await;
    healthy.store(false, Ordering::SeqCst);
    stage.until(minutes(23 * 60)).await;
    healthy.store(true, Ordering::SeqCst);
    stage.until_idle().await;
    assert!(parts.load(Ordering::SeqCst) > 2, "it took a part, and was asked to take another");
    let waited = stage.now.duration_since(now());
    assert!(waited < SignedDuration::from_hours(25), "{waited}");
    let dead = stage.dead().await.len();
    assert!((20..129).contains(&dead), "{dead}: those of the part that was told are not among them");
}

#[tokio::test]
async fn a_notice_joins_the_story_that_its_device_had_in_a_digest() {
    let mail = Receiver::start(Manners::default()).await;
    let channel = policy::Channel { digest_after: Some(1), ..Settings::plain(&mail).named("mail") };
    let mut stage = Stage::new(vec![channel], &[], now());
    let messages = storm(3);
    stage.send(&messages).await;
    stage.until_idle().await;
    for message in &messages {
        let device = &message.body.device.known().unwrap().id;
        let latest = stage.state().get::<Latest>(&Latest::key(&tenant(), device), stage.now).await.unwrap();
        assert!(latest.unwrap().value.name.contains("incident 500"));
    }
}
