//! A storm becomes a digest that names every device, and nothing waits for it that was not gathered.

use crate::{
    http_receiver::{self, env},
    once::read,
    samples::{notice, now, requested, tenant},
    smtp::Settings,
    smtp_receiver::{Manners, Receiver},
    stage::Stage,
};
use jiff::{SignedDuration, Timestamp};
use model::{ActionTaken, DeviceFact, DeviceRef, EffectState, Envelope, Topic};
use policy::ChannelKind;
use ports::{Closed, Expect, Gathered, Telling, Told, Write};
use std::collections::BTreeSet;

pub(crate) fn device_name(nth: usize) -> String {
    format!("storm-{nth:04}-x")
}

/// An outcome about a device of its own.
pub(crate) fn outcome(nth: usize) -> ActionTaken {
    let mut taken = requested();
    let id = format!("{nth:040x}");
    taken.alert.id = format!("da{nth:010}_1").parse().unwrap();
    taken.alert.incident_id = Some(format!("{}", 5_000 + nth));
    taken.alert.device = Some(DeviceRef::parse(&id));
    taken.alert.device_name = Some(device_name(nth));
    let DeviceFact::Known(device) = &mut taken.device else { panic!("the sample device is known") };
    device.id = id.parse().unwrap();
    device.name = Some(device_name(nth));
    if nth % 7 == 3 {
        taken.state = Some(EffectState::Failed);
    }
    taken
}

pub(crate) fn storm(devices: usize) -> Vec<Envelope<ActionTaken>> {
    let message = |nth: usize| Envelope::new(&tenant(), &[&nth.to_string()], "trace", now(), outcome(nth));
    (0..devices).map(message).collect()
}

fn minutes(minutes: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minutes)
}

#[tokio::test]
async fn a_storm_of_three_hundred_devices_is_told_in_a_few_messages_that_name_each_of_them() {
    let mail = Receiver::start(Manners::default()).await;
    let other = Receiver::start(Manners::default()).await;
    let slack = http_receiver::Receiver::start(http_receiver::Answer::Status(200, "ok")).await;
    let few = policy::Channel { digest_after: Some(3), ..Settings::plain(&other).named("few") };
    let cards = policy::Channel::new("cards", ChannelKind::Slack { url: env("SLACK_URL") });
    let channels = vec![Settings::plain(&mail).named("mail"), few, cards];
    let mut stage = Stage::new(channels, &[("SLACK_URL", slack.url("/services/x"))], now());
    stage.send(&storm(300)).await;
    stage.work().await;
    assert_eq!((mail.received().len(), other.received().len(), slack.received().len()), (10, 3, 10));

    stage.until(minutes(5)).await;
    assert_eq!((mail.received().len(), other.received().len()), (11, 4), "one digest each");
    let parts = slack.received().len() - 10;
    assert!((2..=16).contains(&parts), "{parts} parts");
    stage.until_idle().await;
    assert_eq!((mail.received().len(), other.received().len()), (11, 4));
    assert_eq!(stage.deliveries() as usize, 11 + 4 + 10 + parts);

    let letters = |receiver: &Receiver| -> Vec<String> {
        receiver.received().iter().map(|letter| read(&letter.content)).collect()
    };
    let cards: Vec<String> =
        slack.received().iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect();
    for told in [letters(&mail), letters(&other), cards] {
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
    let closed = Closed { at: now(), told: true };
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
