//! notify dies, or its queue or state fails, at any operation: nothing is lost, and at most the one delivery is repeated
//! that was in flight.

use crate::{
    digests::{device_name, storm},
    http_receiver::{Answer as Reply, Receiver as Web, env},
    samples::{notice, now, requested, taken, tenant},
    smtp::Settings,
    smtp_receiver::{Manners, Receiver},
    stage::{Blow, Stage},
};
use jiff::SignedDuration;
use model::{ActionTaken, Answer, EffectState, Envelope, Mode, Notice, Topic};
use policy::ChannelKind;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

const BLOWS: [Blow; 4] = [Blow::Fails, Blow::FailsAfter, Blow::Dies, Blow::DiesAfter];

/// How often each letter has arrived, by its Message-ID.
fn arrived(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut arrived = BTreeMap::new();
    for letter in receiver.received() {
        let message = mail_parser::MessageParser::default().parse(&letter.content).unwrap();
        let id = message.message_id().unwrap().split('@').next().unwrap().to_owned();
        *arrived.entry(id).or_default() += 1;
    }
    arrived
}

fn outcomes() -> Vec<Envelope<ActionTaken>> {
    let second = taken(Answer::Isolate, Mode::Enforce, Some(EffectState::Succeeded));
    let envelope = |nth: &str, taken| Envelope::new(&tenant(), &[nth], "trace", now(), taken);
    vec![envelope("1", requested()), envelope("2", second)]
}

fn notices() -> Vec<Envelope<Notice>> {
    vec![Envelope::new(&tenant(), &["3"], "trace", now(), notice(Topic::StillIsolated))]
}

/// Three channels and three messages, struck once; how many deliveries there were in all. None where the blow fell
/// after the last operation.
async fn struck(nth: usize, blow: Blow) -> Option<u64> {
    let receivers = [
        Receiver::start(Manners::default()).await,
        Receiver::start(Manners::default()).await,
        Receiver::start(Manners::default()).await,
    ];
    let channels = receivers.iter().zip(["one", "two", "three"]);
    let channels = channels.map(|(receiver, name)| Settings::plain(receiver).named(name)).collect();
    let mut stage = Stage::new(channels, &[], now());
    stage.send(&outcomes()).await;
    stage.send(&notices()).await;
    stage.strike(nth, blow);
    stage.until_idle().await;
    assert!(stage.dead().await.is_empty());
    let mut total = 0;
    for receiver in &receivers {
        let arrived = arrived(receiver);
        assert_eq!(
            arrived.len(),
            3,
            "operation {nth}, {blow:?}: each channel has every message: {arrived:?}"
        );
        total += arrived.values().sum::<usize>() as u64;
    }
    assert_eq!(total, stage.deliveries());
    assert!((9..=10).contains(&total), "operation {nth}, {blow:?}: {total} deliveries of 9");
    (!stage.is_unstruck()).then_some(total)
}

#[tokio::test]
async fn a_blow_at_any_operation_loses_nothing_and_repeats_at_most_what_was_in_flight() {
    for blow in BLOWS {
        let mut repeated = 0;
        let mut operations = 0;
        while let Some(total) = struck(operations, blow).await {
            operations += 1;
            repeated += usize::from(total > 9);
        }
        assert!(operations > 20, "{operations} operations");
        // Dying between telling and writing it down repeats; a state that fails once is simply asked again.
        let expected = if matches!(blow, Blow::Dies) { 9 } else { 0 };
        assert_eq!(repeated, expected, "{blow:?}, {operations} operations");
    }
}

/// A digest that is told to two channels, struck once.
async fn digest_struck(nth: usize, blow: Blow) -> bool {
    let receivers = [Receiver::start(Manners::default()).await, Receiver::start(Manners::default()).await];
    let channels = receivers.iter().zip(["one", "two"]);
    let channels = channels.map(|(receiver, name)| policy::Channel {
        digest_after: Some(1),
        ..Settings::plain(receiver).named(name)
    });
    let mut stage = Stage::new(channels.collect(), &[], now());
    stage.send(&crate::digests::storm(4)).await;
    stage.strike(nth, blow);
    stage.until_idle().await;
    assert!(stage.dead().await.is_empty());
    let mut total = 0;
    for receiver in &receivers {
        let letters: Vec<String> =
            receiver.received().iter().map(|letter| crate::once::read(&letter.content)).collect();
        for device in 0..4 {
            let name = crate::digests::device_name(device);
            let named = letters.iter().any(|letter| letter.contains(&name));
            assert!(named, "operation {nth}, {blow:?}: nobody was told of {name}");
        }
        total += letters.len();
    }
    // One alone, and a digest with the other three, on each channel. The message that somebody died of comes late and stands
    // in a digest of its own on both; where it was told just before that, once more.
    assert!((4..=7).contains(&total), "operation {nth}, {blow:?}: {total} letters");
    assert!(stage.now.duration_since(now()) < SignedDuration::from_mins(30));
    !stage.is_unstruck()
}

#[tokio::test]
async fn a_blow_while_a_digest_gathers_or_is_told_loses_no_device() {
    for blow in BLOWS {
        let mut operations = 0;
        while digest_struck(operations, blow).await {
            operations += 1;
        }
        assert!(operations > 20, "{operations} operations");
    }
}

/// What a service has taken, and a service that takes what it is told to.
async fn taking(status: impl Fn(&str) -> u16 + Send + Sync + 'static) -> (Arc<Mutex<Vec<String>>>, Web) {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let keeps = taken.clone();
    let web = Web::answering(move |request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let status = status(&body);
        if status == 200 {
            keeps.lock().unwrap().push(body);
        }
        Reply::Status(status, "")
    });
    (taken, web.await)
}

/// What stands in a notice about a channel, and in no outcome.
const NOTICE: &str = "a channel takes nothing";

/// How often a service was told of each device of a storm.
fn told_of(devices: usize, taken: &Mutex<Vec<String>>) -> Vec<usize> {
    let taken = taken.lock().unwrap();
    let is_of = |body: &&String, name: &str| body.contains(name) && !body.contains(NOTICE);
    let count = |name: String| taken.iter().filter(|body| is_of(body, &name)).count();
    (0..devices).map(|nth| count(device_name(nth))).collect()
}

fn cards(name: &str, url: &str) -> policy::Channel {
    policy::Channel::new(name, ChannelKind::Slack { url: env(url) })
}

/// One channel that works, one that is down for three tries, and one that refuses a message until that is a dead letter
/// and is put back. Struck once.
async fn trouble_struck(nth: usize, blow: Blow) -> bool {
    let (fails, refuses) = (AtomicUsize::new(3), Arc::new(AtomicBool::new(true)));
    let (poison, is_refusing) = (device_name(1), refuses.clone());
    let fine = taking(|_| 200).await;
    let down = taking(move |_| match fails.load(Ordering::SeqCst) {
        0 => 200,
        left => {
            fails.store(left - 1, Ordering::SeqCst);
            503
        }
    })
    .await;
    let refusing = taking(move |body| match is_refusing.load(Ordering::SeqCst) && body.contains(&poison) {
        true => 400,
        false => 200,
    })
    .await;
    let channels = vec![cards("fine", "A_URL"), cards("down", "B_URL"), cards("refusing", "C_URL")];
    let urls = [("A_URL", &fine.1), ("B_URL", &down.1), ("C_URL", &refusing.1)];
    let urls = urls.map(|(name, web)| (name, web.url("/services/x")));
    let mut stage = Stage::new(channels, &urls, now());
    stage.send(&storm(2)).await;
    stage.strike(nth, blow);
    stage.until_idle().await;
    // Where somebody died between a copy and the acknowledgement there were two of it.
    let dead = stage.dead().await.len();
    assert!((1..=2).contains(&dead), "operation {nth}, {blow:?}: {dead} dead letters");
    assert!(stage.now.duration_since(now()) < SignedDuration::from_hours(2), "{}", stage.now);
    refuses.store(false, Ordering::SeqCst);
    while !stage.dead().await.is_empty() {
        stage.redrive().await;
        stage.until_idle().await;
    }
    let told: Vec<usize> =
        [&fine.0, &down.0, &refusing.0].into_iter().flat_map(|taken| told_of(2, taken)).collect();
    assert!(told.iter().all(|times| *times > 0), "operation {nth}, {blow:?}: {told:?}");
    assert!(told.iter().sum::<usize>() <= 6 + 1, "operation {nth}, {blow:?}: {told:?}");
    let notices = fine.0.lock().unwrap().iter().filter(|body| body.contains(NOTICE)).count();
    assert!((1..=2).contains(&notices), "operation {nth}, {blow:?}: people hear that it was given up");
    !stage.is_unstruck()
}

#[tokio::test]
async fn a_blow_while_channels_fail_and_refuse_loses_nothing_and_repeats_one_delivery_at_most() {
    for blow in BLOWS {
        let mut operations = 0;
        while trouble_struck(operations, blow).await {
            operations += 1;
        }
        assert!(operations > 60, "{operations} operations");
    }
}

/// So many outcomes whose lines are long.
fn long_storm(devices: usize) -> Vec<Envelope<ActionTaken>> {
    let mut storm = storm(devices);
    for message in &mut storm {
        message.body.alert.title = "long ".repeat(60);
    }
    storm
}

/// A digest of several parts, of which the channel refuses one for a line in it. Struck once, when all of it was gathered.
async fn parts_struck(nth: usize, blow: Blow) -> bool {
    const DEVICES: usize = 40;
    let poison = device_name(DEVICES / 2);
    let bad = poison.clone();
    let (taken, web) = taking(move |body| if body.contains(&bad) { 400 } else { 200 }).await;
    let channel = policy::Channel { digest_after: Some(1), ..cards("cards", "A_URL") };
    let mut stage = Stage::new(vec![channel], &[("A_URL", web.url("/services/x"))], now());
    stage.send(&long_storm(DEVICES)).await;
    stage.work().await;
    stage.strike(nth, blow);
    stage.until_idle().await;
    let dead = stage.dead().await;
    assert!((1..=2).contains(&dead.len()) && dead.iter().all(|letter| letter.body.contains(&poison)));
    let told = told_of(DEVICES, &taken);
    let missing: Vec<usize> =
        told.iter().enumerate().filter(|(_, times)| **times == 0).map(|(nth, _)| nth).collect();
    assert_eq!(missing, [DEVICES / 2], "operation {nth}, {blow:?}");
    let bodies = taken.lock().unwrap().clone();
    let letters: BTreeSet<&String> = bodies.iter().collect();
    assert!(letters.len() > 3, "one alone, and several parts");
    assert!(bodies.len() <= letters.len() + 1, "operation {nth}, {blow:?}: {} letters", bodies.len());
    // No device stands in two of them, but for the letter that was repeated.
    let twice = told.iter().filter(|times| **times > 1).count();
    assert!(twice == 0 || bodies.len() > letters.len(), "operation {nth}, {blow:?}: {told:?}");
    !stage.is_unstruck()
}

#[tokio::test]
async fn a_blow_while_a_digest_of_several_parts_is_told_loses_no_device_and_repeats_one_part_at_most() {
    for blow in BLOWS {
        let mut operations = 0;
        // That is beyond the last part, and all that follows is the same for each message.
        while operations < 40 && parts_struck(operations, blow).await {
            operations += 1;
        }
        assert!(operations >= 40, "{operations} operations");
    }
}
