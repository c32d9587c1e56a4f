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
use ports::{ChannelRow, Disposition, QueueName, Telling, Told};
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
    assert!(told[5].contains("a channel takes nothing: cards"), "{told:?}");
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
    for command in ["cordon notify-test cards", "cordon dead-letters redrive ID"] {
        assert!(letter.contains(&format!("\n    {command}")), "{letter}");
    }
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

/// A folder keeps mails for whoever looks there; that is nobody who is told.
#[tokio::test]
async fn a_folder_is_nobody_who_is_told_where_another_channel_is() {
    let mail = Receiver::start(Manners::default()).await;
    let base = tempfile::tempdir().unwrap();
    let high = Route { severities: Some(vec![Severity::High]), notices: Notices::Urgent, ..Route::default() };
    let folder = |name: &str, route: Route| policy::Channel {
        route,
        ..policy::Channel::new(name, ChannelKind::Folder { path: base.path().join(name) })
    };
    let people = policy::Channel { route: high.clone(), ..Settings::plain(&mail).named("people") };
    let channels = vec![folder("all", Route::default()), people, folder("few", high.clone())];
    let mut stage = Stage::new(channels, &[], now());
    let files = |name: &str| std::fs::read_dir(base.path().join(name)).map_or(0, Iterator::count);
    let of = |nth: usize, severity: Severity| {
        let mut taken = outcome(nth);
        taken.alert.severity = Some(severity);
        Envelope::new(&tenant(), &[&nth.to_string()], "trace", now(), taken)
    };
    stage.send(&[of(1, Severity::High), of(2, Severity::Medium)]).await;
    stage.until_idle().await;
    assert_eq!((mail.received().len(), files("all"), files("few")), (2, 2, 1));
    let mut resumed = notice(Topic::Resumed);
    (resumed.device, resumed.device_name) = (None, None);
    stage.send(&[Envelope::new(&tenant(), &["n"], "trace", now(), resumed)]).await;
    stage.until_idle().await;
    assert_eq!((mail.received().len(), files("all"), files("few")), (3, 3, 1));

    // Where there is nothing but folders, they are all that there is.
    let mut stage = Stage::new(vec![folder("alone", high)], &[], now());
    stage.send(&[of(1, Severity::Medium)]).await;
    stage.until_idle().await;
    assert_eq!(files("alone"), 1);
}

/// The story that a letter names in its headers, if any, and the text.
fn thread(letter: &[u8]) -> (Option<String>, String) {
    let message = mail_parser::MessageParser::default().parse(letter).unwrap();
    let named = message.references().as_text().map(str::to_owned);
    assert_eq!(message.in_reply_to().as_text(), named.as_deref());
    (named, read(letter))
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
    let threads: Vec<(Option<String>, String)> =
        mail.received().iter().map(|letter| thread(&letter.content)).collect();
    let story = |nth: usize| threads[nth].0.as_deref();
    assert!(story(0).is_some_and(|story| story.ends_with("@example.com")), "{threads:#?}");
    assert!(story(0) == story(1) && story(1) == story(2), "{threads:#?}");
    assert!(story(3) != story(0) && story(4) == story(3), "{threads:#?}");
    assert_eq!((story(5), story(6)), (None, None), "what is about Cordon itself stands alone");
    let follows: Vec<bool> =
        threads.iter().map(|(_, text)| text.contains("Follows what you were told")).collect();
    // Another alert of the same story comes whole, because nobody has seen its evidence.
    assert_eq!(follows, [false, false, true, false, true, false, false]);
}

#[tokio::test]
async fn a_notice_comes_whole_to_a_channel_that_does_not_know_its_story() {
    let receivers = [Receiver::start(Manners::default()).await, Receiver::start(Manners::default()).await];
    let route = Route { severities: Some(vec![Severity::Low]), ..Route::default() };
    let low = policy::Channel { route, ..Settings::plain(&receivers[1]).named("low") };
    let mut stage = Stage::new(vec![Settings::plain(&receivers[0]).named("all"), low], &[], now());
    stage.send(&[envelope(requested())]).await;
    stage.until_idle().await;
    for nth in ["a", "b"] {
        stage.send(&[Envelope::new(&tenant(), &[nth], "trace", now(), notice(Topic::StillIsolated))]).await;
        stage.until_idle().await;
    }
    let follows = receivers.each_ref().map(|receiver| {
        let letters = receiver.received();
        let follows = |text: String| text.contains("Follows what you were told");
        letters.iter().map(|letter| follows(read(&letter.content))).collect::<Vec<bool>>()
    });
    assert_eq!(follows, [vec![false, true, true], vec![false, true]]);
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

#[tokio::test]
async fn what_comes_late_is_told_as_what_was_before() {
    let mail = Receiver::start(Manners::default()).await;
    let mut stage = Stage::new(vec![Settings::plain(&mail).named("mail")], &[], now());
    let told = |nth: &str, state: EffectState, at: i64| {
        let taken = ActionTaken { state: Some(state), ..requested() };
        Envelope::new(&tenant(), &[nth], "trace", after(at), taken)
    };
    for message in [
        told("1", EffectState::Succeeded, 60),
        told("2", EffectState::Requested, 0),
        told("3", EffectState::Released, 120),
    ] {
        stage.send(&[message]).await;
        stage.until_idle().await;
    }
    let letters: Vec<String> = mail.received().iter().map(|letter| read(&letter.content)).collect();
    let is_new = |nth: usize| letters[nth].contains(" New: ");
    let is_earlier = |nth: usize| letters[nth].contains(" Earlier (10:05 UTC): ");
    assert!(is_earlier(1) && !is_new(1), "{}", letters[1]);
    assert!(is_new(2) && !is_earlier(2), "{}", letters[2]);
}

#[tokio::test]
async fn a_clock_that_was_ahead_and_is_put_back_silences_nobody() {
    let status = Arc::new(AtomicU16::new(500));
    let web = answering(&status).await;
    let day = SignedDuration::from_hours(24);
    let few = policy::Channel { digest_after: Some(1), ..cards() };
    let mut stage = stage(vec![few], &web);
    // A week too early: a message is told, one is gathered, and then the channel fails.
    stage.now = now() + 7 * day;
    status.store(200, Ordering::SeqCst);
    stage.send(&storm(1)).await;
    stage.work().await;
    stage.send(&storm(2)[1..]).await;
    stage.work().await;
    status.store(500, Ordering::SeqCst);
    stage.send(&[envelope(notice(Topic::Paused))]).await;
    stage.work().await;
    let body = |nth: usize| storm(nth + 1)[nth].encode().unwrap();
    stage.now = now();
    let before = web.received().len();
    status.store(200, Ordering::SeqCst);
    for nth in [1, 2] {
        let end = stage.worker().take(&tenant(), &body(nth), now()).await;
        // The third is one of too many by now.
        assert_eq!(matches!(end, Disposition::Done), nth == 1, "{end:?}");
    }
    assert_eq!(web.received().len(), before + 1);
}

#[tokio::test]
async fn two_copies_of_a_message_that_is_given_up_are_both_set_aside_in_one_day() {
    let status = Arc::new(AtomicU16::new(500));
    let (web, mail) = (answering(&status).await, Receiver::start(Manners::default()).await);
    let mut stage = stage(vec![cards(), Settings::plain(&mail).named("mail")], &web);
    let message = storm(1);
    stage.send(&message).await;
    stage.send(&message).await;
    stage.until_idle().await;
    let waited = stage.now.duration_since(now());
    assert!(waited < SignedDuration::from_hours(25), "{waited}");
    assert_eq!(stage.dead().await.len(), 2);
    // Whoever puts them back at once has them tried at once, and told once.
    status.store(200, Ordering::SeqCst);
    let before = web.received().len();
    stage.redrive().await;
    stage.until_idle().await;
    assert!(stage.dead().await.is_empty());
    assert_eq!(web.received().len(), before + 1);
}

#[tokio::test]
async fn what_waits_is_no_trouble_and_what_fails_is() {
    let status = Arc::new(AtomicU16::new(500));
    let web = answering(&status).await;
    let few = policy::Channel { digest_after: Some(1), name: "few".to_owned(), ..cards() };
    let mut stage = stage(vec![few], &web);
    let (log, guard) = crate::smtp_tokens::Log::listen();
    stage.send(&storm(1)).await;
    stage.work().await;
    let warnings = |log: &str| log.lines().filter(|line| line.contains(" WARN ")).count();
    assert_eq!(warnings(&log.text()), 1, "{}", log.text());
    // One waits for the channel, and two for the digest.
    stage.send(&storm(2)[1..]).await;
    stage.work().await;
    status.store(200, Ordering::SeqCst);
    stage.until(after(31)).await;
    stage.send(&storm(4)[2..]).await;
    stage.until_idle().await;
    assert_eq!(warnings(&log.text()), 1, "{}", log.text());
    drop(guard);
}

#[tokio::test]
async fn another_worker_that_tells_it_meanwhile_at_any_moment_is_not_joined() {
    for nth in 0.. {
        let mail = Receiver::start(Manners::default()).await;
        let stage = Stage::new(vec![Settings::plain(&mail).named("mail")], &[], now());
        let (other, body) = (stage.other_worker(), envelope(requested()).encode().unwrap());
        let same = body.clone();
        stage.meanwhile(nth, async move { drop(other.take(&tenant(), &same, now()).await) });
        stage.worker().take(&tenant(), &body, now()).await;
        if stage.is_still_to_happen() {
            assert!(nth > 3, "{nth} operations");
            return;
        }
        assert_eq!(mail.received().len(), 1, "before operation {nth}");
    }
}

#[tokio::test]
async fn what_another_worker_has_told_in_a_digest_meanwhile_joins_no_other() {
    for nth in 0.. {
        let mail = Receiver::start(Manners::default()).await;
        let few = policy::Channel { digest_after: Some(1), ..Settings::plain(&mail).named("mail") };
        let mut stage = Stage::new(vec![few], &[], now());
        let bodies: Vec<String> = storm(2).iter().map(|message| message.encode().unwrap()).collect();
        stage.worker().take(&tenant(), &bodies[0], now()).await;
        let (other, same) = (stage.other_worker(), bodies[1].clone());
        stage.meanwhile(nth, async move {
            other.take(&tenant(), &same, now()).await;
            other.take(&tenant(), &same, after(300)).await;
        });
        stage.worker().take(&tenant(), &bodies[1], after(300)).await;
        if stage.is_still_to_happen() {
            assert!(nth > 2, "{nth} operations");
            return;
        }
        stage.now = after(300);
        // The third is in the next digest, which must not name the second again.
        stage.send(&storm(3)[1..]).await;
        stage.until_idle().await;
        let named = subjects_and_texts(&mail).iter().filter(|text| text.contains("storm-0001-x")).count();
        assert_eq!(named, 1, "before operation {nth}");
    }
}

fn subjects_and_texts(receiver: &Receiver) -> Vec<String> {
    receiver.received().iter().map(|letter| read(&letter.content)).collect()
}

/// The clock that measures stands still, but for jumps to the next time-out.
#[tokio::test(start_paused = true)]
async fn a_message_that_another_worker_is_telling_is_left_alone_though_that_takes_long() {
    let web = Web::start(Answer::Silence).await;
    let stage = stage(vec![cards()], &web);
    let (body, tenant) = (envelope(requested()).encode().unwrap(), tenant());
    let (slow, quick) = (stage.worker(), stage.worker());
    let late = async {
        while web.received().is_empty() {
            tokio::task::yield_now().await;
        }
        quick.take(&tenant, &body, after(10)).await
    };
    let (_, end) = tokio::join!(slow.take(&tenant, &body, now()), late);
    assert_eq!(web.received().len(), 1);
    let Disposition::Defer { why, .. } = end else { panic!("{end:?}") };
    assert!(why.contains("another worker"), "{why}");
}

#[tokio::test]
async fn two_workers_with_other_messages_for_a_failing_channel_try_it_once() {
    let status = Arc::new(AtomicU16::new(500));
    let web = answering(&status).await;
    let stage = stage(vec![cards()], &web);
    let bodies: Vec<String> = storm(4).iter().map(|message| message.encode().unwrap()).collect();
    let tenant = tenant();
    stage.worker().take(&tenant, &bodies[0], now()).await;
    let workers: Vec<_> = bodies.iter().map(|_| stage.worker()).collect();
    let all = workers.iter().zip(&bodies).map(|(worker, body)| worker.take(&tenant, body, after(30)));
    futures_util::future::join_all(all).await;
    assert_eq!(web.received().len(), 2, "one before, and one of the four");
}

/// The clock that measures stands still, but for jumps to the next time-out.
#[tokio::test(start_paused = true)]
async fn no_delivery_is_begun_when_the_others_have_taken_all_of_the_time() {
    let web = Web::start(Answer::Silence).await;
    let folder = tempfile::tempdir().unwrap();
    let last = policy::Channel::new("zz-last", ChannelKind::Folder { path: folder.path().to_owned() });
    let silent = ["a", "b", "c"].map(|name| policy::Channel { name: name.to_owned(), ..cards() });
    let stage = stage([silent.to_vec(), vec![last]].concat(), &web);
    let (body, tenant) = (envelope(requested()).encode().unwrap(), tenant());
    let Disposition::Defer { why, .. } = stage.worker().take(&tenant, &body, now()).await else { panic!() };
    assert!(why.contains("`zz-last`: telling the others took all"), "{why}");
    assert_eq!(stage.deliveries(), 0);
    stage.worker().take(&tenant, &body, after(31)).await;
    assert_eq!(stage.deliveries(), 1);
}
