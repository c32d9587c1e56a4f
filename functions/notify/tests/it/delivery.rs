//! A channel's trouble is its own: how it rests, whom it holds up (nobody), who hears of it, and when it is given up.

use crate::{
    digests::{outcome, storm},
    http_receiver::{Answer, Receiver as Web, env},
    once::read,
    samples::{envelope, notice, now, release, requested, tenant},
    smtp::Settings,
    smtp_receiver::{Manners, Receiver},
    stage::Stage,
};
use jiff::{SignedDuration, Timestamp};
use model::{ActionTaken, EffectState, Envelope, Severity, Topic};
use policy::{ChannelKind, Notices, Route};
use ports::{ChannelRow, QueueName, Telling, Told};
use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

fn cards() -> policy::Channel {
    policy::Channel::new("cards", ChannelKind::Slack { url: env("SLACK_URL") })
}

/// A service that answers with what stands in here, until it is changed.
async fn answering(status: &Arc<AtomicU16>) -> Web {
    let status = Arc::clone(status);
    Web::answering(move |_| Answer::Status(status.load(Ordering::SeqCst), "")).await
}

fn stage(channels: Vec<policy::Channel>, web: &Web) -> Stage {
    Stage::new(channels, &[("SLACK_URL", web.url("/services/x"))], now())
}

fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn subjects(receiver: &Receiver) -> Vec<String> {
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    receiver.received().iter().map(|letter| first_line(read(&letter.content))).collect()
}

#[tokio::test]
async fn a_failing_channel_is_tried_once_per_rest_whatever_waits_for_it() {
    let status = Arc::new(AtomicU16::new(500));
    let (web, mail) = (answering(&status).await, Receiver::start(Manners::default()).await);
    let mut stage = stage(vec![cards(), Settings::plain(&mail).named("mail")], &web);
    stage.send(&storm(8)).await;
    stage.work().await;
    assert_eq!((web.received().len(), mail.received().len()), (1, 8));
    for (seconds, tries) in [(29, 1), (30, 2), (89, 2), (90, 3), (209, 3), (210, 4)] {
        stage.until(after(seconds)).await;
        assert_eq!((web.received().len(), mail.received().len()), (tries, 8), "after {seconds} s");
    }
    status.store(200, Ordering::SeqCst);
    stage.until_idle().await;
    assert_eq!((web.received().len(), mail.received().len()), (4 + 8, 8));
    let row = stage.state().get::<ChannelRow>(&ChannelRow::key(&tenant(), "cards"), stage.now).await.unwrap();
    assert_eq!(row.unwrap().value.failing, None);
}

#[tokio::test]
async fn what_a_service_asks_for_is_respected_by_all_messages() {
    let web = Web::start(Answer::With {
        status: 429,
        header: ("Retry-After", "600".to_owned()),
        body: String::new(),
    })
    .await;
    let mut stage = stage(vec![cards()], &web);
    stage.send(&storm(5)).await;
    stage.until(after(599)).await;
    assert_eq!(web.received().len(), 1);
    stage.until(after(600)).await;
    assert_eq!(web.received().len(), 2);
}

/// This one takes as long as the time-out of a channel.
#[tokio::test]
async fn a_channel_that_hangs_costs_one_time_out_per_rest() {
    let web = Web::start(Answer::Silence).await;
    let base = tempfile::tempdir().unwrap();
    let folder = policy::Channel::new("folder", ChannelKind::Folder { path: base.path().join("out") });
    let stage = stage(vec![cards(), folder], &web);
    stage.send(&storm(6)).await;
    stage.work().await;
    assert_eq!(web.received().len(), 1);
    assert_eq!(std::fs::read_dir(base.path().join("out")).unwrap().count(), 6);
}

#[tokio::test]
async fn a_message_that_a_channel_refuses_does_not_rest_the_channel_and_is_set_aside_within_the_hour() {
    let poison = "storm-0002-x";
    let web = Web::answering(move |request| {
        let is_poison = String::from_utf8_lossy(&request.body).contains(poison);
        Answer::Status(if is_poison { 400 } else { 200 }, "")
    })
    .await;
    let mail = Receiver::start(Manners::default()).await;
    let mut stage = stage(vec![cards(), Settings::plain(&mail).named("mail")], &web);
    stage.send(&storm(5)).await;
    stage.work().await;
    assert_eq!((web.received().len(), mail.received().len()), (5, 5));
    let row = stage.state().get::<ChannelRow>(&ChannelRow::key(&tenant(), "cards"), now()).await.unwrap();
    assert_eq!(row.unwrap().value.failing, None);
    stage.until_idle().await;
    let [dead] = stage.dead().await.try_into().unwrap();
    assert!(dead.reason.contains("channel `cards`: it was refused 5 times"), "{}", dead.reason);
    assert_eq!(stage.now, after(30 + 120 + 480 + 1_800));
    assert_eq!(web.received().len(), 4 + 5);
    let told = subjects(&mail);
    assert_eq!(told.len(), 6);
    assert!(told[5].contains("a channel takes nothing"), "{told:?}");
}

#[tokio::test]
async fn people_hear_on_the_other_channels_of_one_that_fails_for_ten_minutes_once_per_outage() {
    let status = Arc::new(AtomicU16::new(500));
    let (web, mail) = (answering(&status).await, Receiver::start(Manners::default()).await);
    let mut stage = stage(vec![cards(), Settings::plain(&mail).named("mail")], &web);
    stage.send(&storm(2)).await;
    stage.until(after(599)).await;
    assert_eq!(mail.received().len(), 2);
    stage.until(after(3_600)).await;
    let told = subjects(&mail);
    assert_eq!(told.len(), 3, "{told:?}");
    let letter = read(&mail.received()[2].content);
    assert!(letter.contains("The channel `cards` does not take"), "{letter}");
    assert!(letter.contains("since 2026-11-20 10:05:00 UTC") && letter.contains("500"), "{letter}");
    status.store(200, Ordering::SeqCst);
    stage.until_idle().await;
    assert_eq!(mail.received().len(), 3);
    // Another outage is another message.
    status.store(500, Ordering::SeqCst);
    stage.send(&storm(3)[2..]).await;
    let end = stage.now + SignedDuration::from_mins(30);
    stage.until(end).await;
    assert_eq!(mail.received().len(), 5);
}

#[tokio::test]
async fn a_channel_is_waited_for_for_a_day_and_a_dead_letter_that_is_put_back_has_another() {
    let status = Arc::new(AtomicU16::new(500));
    let (web, mail) = (answering(&status).await, Receiver::start(Manners::default()).await);
    let mut stage = stage(vec![cards(), Settings::plain(&mail).named("mail")], &web);
    stage.send(&storm(2)).await;
    stage.until(after(24 * 3_600 - 1)).await;
    assert!(stage.dead().await.is_empty());
    stage.until_idle().await;
    let dead = stage.dead().await;
    assert_eq!(dead.len(), 2);
    assert!(dead[0].reason.contains("channel `cards`: it could not be told for 24 h"), "{}", dead[0].reason);
    assert!(!dead[0].reason.contains("`mail`"));
    let begun = stage.now;
    stage.redrive().await;
    stage.until(begun + SignedDuration::from_hours(23)).await;
    assert!(stage.dead().await.is_empty(), "they have another day");
    let (before, mails) = (web.received().len(), mail.received().len());
    status.store(200, Ordering::SeqCst);
    stage.until_idle().await;
    assert!(stage.dead().await.is_empty());
    assert_eq!((web.received().len(), mail.received().len()), (before + 2, mails));
}

#[tokio::test]
async fn two_channels_that_both_fail_do_not_tell_of_each_other_for_ever() {
    let status = Arc::new(AtomicU16::new(500));
    let web = answering(&status).await;
    let other = policy::Channel { name: "other".to_owned(), ..cards() };
    let mut stage = stage(vec![cards(), other], &web);
    stage.send(&storm(1)).await;
    stage.until_idle().await;
    let dead = stage.dead().await;
    assert!((1..=6).contains(&dead.len()), "{dead:#?}");
    let waited = stage.now.duration_since(now());
    assert!(waited < SignedDuration::from_hours(50), "{waited}");
}

#[tokio::test]
async fn a_channel_without_another_beside_it_is_waited_for_all_the_same() {
    let status = Arc::new(AtomicU16::new(500));
    let web = answering(&status).await;
    let mut stage = stage(vec![cards()], &web);
    stage.send(&storm(1)).await;
    stage.until(after(7_200)).await;
    assert_eq!(stage.store.depth(QueueName::ActionsTaken, stage.now).unwrap().waiting, 1);
    status.store(200, Ordering::SeqCst);
    stage.until_idle().await;
    assert!(stage.dead().await.is_empty() && stage.deliveries() == 1);
}

#[tokio::test]
async fn two_workers_with_the_same_message_tell_each_channel_once() {
    let receivers = [Receiver::start(Manners::default()).await, Receiver::start(Manners::default()).await];
    let channels = receivers.iter().zip(["one", "two"]);
    let channels = channels.map(|(receiver, name)| Settings::plain(receiver).named(name)).collect();
    let mut stage = Stage::new(channels, &[], now());
    let body = envelope(requested()).encode().unwrap();
    let workers = [stage.worker(), stage.worker(), stage.worker()];
    let tenant = tenant();
    let take = |worker: usize| workers[worker].take(&tenant, &body, now());
    let ends = tokio::join!(take(0), take(1), take(2));
    assert_eq!(stage.deliveries(), 2, "{ends:?}");
    stage.send(&[envelope(requested())]).await;
    stage.until_idle().await;
    assert_eq!(receivers.map(|receiver| receiver.received().len()), [1, 1]);
}

#[tokio::test]
async fn two_workers_with_other_messages_do_not_lose_what_they_have_told() {
    let mail = Receiver::start(Manners::default()).await;
    let mut stage = Stage::new(vec![Settings::plain(&mail).named("mail")], &[], now());
    let bodies: Vec<String> = storm(6).iter().map(|message| message.encode().unwrap()).collect();
    let tenant = tenant();
    let workers: Vec<_> = bodies.iter().map(|_| stage.worker()).collect();
    let all = workers.iter().zip(&bodies).map(|(worker, body)| worker.take(&tenant, body, now()));
    futures_util::future::join_all(all).await;
    assert_eq!(stage.deliveries(), 6);
    stage.send(&storm(6)).await;
    stage.until_idle().await;
    assert_eq!(mail.received().len(), 6);
}

#[tokio::test]
async fn a_route_chooses_among_channels_and_what_none_takes_goes_to_all() {
    let receivers = [Receiver::start(Manners::default()).await, Receiver::start(Manners::default()).await];
    let routes = [
        Route { severities: Some(vec![Severity::High]), notices: Notices::Urgent, ..Route::default() },
        Route {
            severities: Some(vec![Severity::Medium]),
            outcomes: Some(vec!["failed".to_owned()]),
            notices: Notices::None,
            ..Route::default()
        },
    ];
    let channels = receivers.iter().zip(["high", "medium"]).zip(routes);
    let channels = channels
        .map(|((receiver, name), route)| policy::Channel { route, ..Settings::plain(receiver).named(name) });
    let mut stage = Stage::new(channels.collect(), &[], now());
    let counts = || [receivers[0].received().len(), receivers[1].received().len()];
    let of = |nth: usize, severity: Severity, state: EffectState| -> Envelope<ActionTaken> {
        let mut taken = outcome(nth);
        (taken.alert.severity, taken.state) = (Some(severity), Some(state));
        Envelope::new(&tenant(), &[&nth.to_string()], "trace", now(), taken)
    };
    for (message, expected) in [
        (of(1, Severity::High, EffectState::Failed), [1, 0]),
        (of(2, Severity::Medium, EffectState::Failed), [1, 1]),
        (of(3, Severity::Medium, EffectState::Requested), [2, 2]),
        (of(4, Severity::Low, EffectState::Failed), [3, 3]),
    ] {
        stage.send(&[message]).await;
        stage.until_idle().await;
        assert_eq!(counts(), expected);
    }
    for (topic, expected) in [
        (Topic::AlienAction, [4, 3]),
        (Topic::Resumed, [5, 4]),
        (Topic::ChannelFailing { channel: "high".to_owned() }, [5, 5]),
        (Topic::Sample { channel: "high".to_owned() }, [6, 5]),
        (Topic::Sample { channel: "gone".to_owned() }, [6, 5]),
    ] {
        let mut notice = notice(topic.clone());
        notice.device = None;
        stage.send(&[Envelope::new(&tenant(), &[&format!("{topic:?}")], "trace", now(), notice)]).await;
        stage.until_idle().await;
        assert_eq!(counts(), expected, "{topic:?}");
    }
}

/// What stands in `References`, and the text.
fn thread(letter: &[u8]) -> (String, String) {
    let message = mail_parser::MessageParser::default().parse(letter).unwrap();
    (message.references().as_text().unwrap().to_owned(), read(letter))
}

#[tokio::test]
async fn what_follows_on_one_incident_and_device_joins_its_story_and_a_notice_the_devices_latest() {
    let mail = Receiver::start(Manners::default()).await;
    let mut stage = Stage::new(vec![Settings::plain(&mail).named("mail")], &[], now());
    let other_alert = {
        let mut taken = requested();
        taken.alert.id = "da222_2".parse().unwrap();
        taken
    };
    let other_incident = {
        let mut taken = requested();
        taken.alert.incident_id = Some("77".to_owned());
        taken
    };
    let taken = [requested(), other_alert, release(EffectState::Released), other_incident];
    for (nth, taken) in taken.into_iter().enumerate() {
        stage.send(&[Envelope::new(&tenant(), &[&nth.to_string()], "trace", now(), taken)]).await;
        stage.until_idle().await;
    }
    stage.send(&[envelope(notice(Topic::StillIsolated))]).await;
    stage.until_idle().await;
    for nth in ["a", "b"] {
        let mut paused = notice(Topic::Paused);
        (paused.device, paused.device_name) = (None, None);
        stage.send(&[Envelope::new(&tenant(), &[nth], "trace", now(), paused)]).await;
        stage.until_idle().await;
    }
    let threads: Vec<(String, String)> =
        mail.received().iter().map(|letter| thread(&letter.content)).collect();
    let story = |nth: usize| threads[nth].0.as_str();
    assert!(story(0) == story(1) && story(1) == story(2), "{threads:#?}");
    assert!(story(3) != story(0) && story(4) == story(3), "{threads:#?}");
    assert!(story(5) != story(6) && story(5) != story(4), "Cordon itself has no endless thread");
    let follows: Vec<bool> =
        threads.iter().map(|(_, text)| text.contains("Follows what you were told")).collect();
    assert_eq!(follows, [false, true, true, false, true, false, false]);
}

#[tokio::test]
async fn how_a_try_has_ended_stands_beside_the_message_until_it_is_told() {
    let status = Arc::new(AtomicU16::new(500));
    let web = answering(&status).await;
    let mut stage = stage(vec![cards()], &web);
    let message = envelope(requested());
    stage.send(std::slice::from_ref(&message)).await;
    stage.work().await;
    let told = Told::key(&tenant(), &message.body.alert.id, &message.id, "cards");
    let telling = Telling::beside(&told);
    let row = stage.state().get::<Telling>(&telling, now()).await.unwrap().unwrap().value;
    assert_eq!((row.channel.as_str(), row.tries, row.since), ("cards", 1, Some(now())));
    assert!(row.why.unwrap().contains("500"));
    status.store(200, Ordering::SeqCst);
    stage.until_idle().await;
    assert!(stage.state().get::<Telling>(&telling, stage.now).await.unwrap().is_none());
    assert!(stage.state().get::<Told>(&told, stage.now).await.unwrap().is_some());
}
