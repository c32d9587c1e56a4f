//! notify dies, or its queue or state fails, at any operation: nothing is lost, and at most the one delivery is repeated
//! that was in flight.

use crate::{
    samples::{notice, now, requested, taken, tenant},
    smtp::Settings,
    smtp_receiver::{Manners, Receiver},
    stage::{Blow, Stage},
};
use jiff::SignedDuration;
use model::{ActionTaken, Answer, EffectState, Envelope, Mode, Notice, Topic};
use std::collections::BTreeMap;

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
