//! Each channel is told once, whatever becomes of the others and however often a message comes.

use crate::{
    memory::Memory,
    samples::{device, envelope, notice, now, requested, taken, tenant},
    smtp::Settings,
    smtp_receiver::{Manners, Receiver},
};
use credentials::{Problems, Vars};
use model::{ActionTaken, Alert, Answer, Body, DeviceFact, EffectState, Envelope, Mode, Notice, Topic};
use notify::{Notify, open};
use policy::ChannelKind;
use ports::{Count, Disposition, Tally};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

fn folder(path: &Path) -> policy::Channel {
    policy::Channel::new("folder", ChannelKind::Folder { path: path.to_owned() })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn notify(channels: &[policy::Channel]) -> (Notify, Arc<Memory>, Tally) {
    let (memory, state) = Memory::state();
    let tally = Tally::default();
    let mut problems = Problems::default();
    let channels = open(channels, &Vars::default(), None, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    (crate::memory::notify(channels, state, tally.clone()), memory, tally)
}

/// The subject and every part of a letter that people read, links among them.
pub(crate) fn read(letter: &[u8]) -> String {
    let message = mail_parser::MessageParser::default().parse(letter).unwrap();
    let texts = (0..message.text_body_count()).filter_map(|part| message.body_text(part));
    let pages = (0..message.html_body_count()).filter_map(|part| message.body_html(part));
    let subject = message.subject().unwrap_or_default().to_owned();
    texts.chain(pages).fold(subject, |all, part| all + "\n" + &part)
}

async fn again(notify: &Notify) -> String {
    match notify.handle(envelope(requested()), now()).await {
        Disposition::Defer { why, until } => {
            assert!(until > now());
            why
        }
        other => panic!("should be tried again: {other:?}"),
    }
}

#[tokio::test]
async fn a_failing_channel_neither_blocks_nor_repeats_the_others() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("out");
    fs::write(&path, "a file where the folder should be").unwrap();
    let receiver = Receiver::start(Manners::default()).await;
    let (notify, memory, tally) = notify(&[folder(&path), Settings::plain(&receiver).named("mail")]);
    for _ in 0..3 {
        let why = again(&notify).await;
        assert!(why.contains("channel `folder`") && !why.contains("`mail`"), "{why}");
    }
    assert_eq!(receiver.received().len(), 1);

    fs::remove_file(&path).unwrap();
    let why = again(&notify).await;
    assert!(why.contains("it rests after 1 failure(s)"), "{why}");
    let later = now().checked_add(jiff::SignedDuration::from_secs(30)).unwrap();
    for _ in 0..2 {
        assert_eq!(notify.handle(envelope(requested()), later).await, Disposition::Done);
    }
    assert_eq!((receiver.received().len(), files(&path).len()), (1, 1));
    assert_eq!((tally.get(Count::NotificationsSent), tally.get(Count::NotificationsFailed)), (2, 1));
    let id = envelope(requested()).id;
    assert_eq!(memory.keys(), [format!("told#{id}#folder"), format!("told#{id}#mail")]);
}

#[tokio::test]
async fn a_folder_gets_one_private_file_per_message() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("new/out");
    let (notify, memory, _) = notify(&[folder(&path)]);
    memory.told_fails.store(true, Ordering::SeqCst);
    let why = again(&notify).await;
    assert!(why.contains("it was told, but that could not be written down"), "{why}");
    let first = fs::read(&files(&path)[0]).unwrap();
    fs::write(&files(&path)[0], "torn").unwrap();
    let why = again(&notify).await;
    assert!(
        why.contains("another worker"),
        "whoever has just told it may be about to write that down: {why}"
    );
    let later = now().checked_add(jiff::SignedDuration::from_mins(1)).unwrap();
    assert!(matches!(notify.handle(envelope(requested()), later).await, Disposition::Defer { .. }));

    let [file] = files(&path).try_into().unwrap();
    assert_eq!(fs::read(&file).unwrap(), first, "a repeat is the same letter");
    let name = format!("20261120T100100Z-{}.eml", envelope(requested()).id);
    assert_eq!(file.file_name().unwrap().to_str().unwrap(), name);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_message_id_cannot_leave_the_folder() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("out");
    let (notify, _, _) = notify(&[folder(&path)]);
    let mut message = envelope(requested());
    message.id = "../../etc/cron.d/x".parse().unwrap();
    assert_eq!(notify.handle(message, now()).await, Disposition::Done);
    assert_eq!((files(base.path()).len(), files(&path).len()), (1, 1));
}

#[tokio::test]
async fn without_the_state_nobody_is_told_twice() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("out");
    let (notify, memory, tally) = notify(&[folder(&path)]);
    memory.reads_fail.store(true, Ordering::SeqCst);
    assert!(again(&notify).await.contains("channel `folder`"));
    assert!(!path.exists());
    assert_eq!(tally.get(Count::NotificationsSent), 0);
}

/// What was said of one alert must not stand in the next one's letter, and least of all a device that it has not.
#[tokio::test]
async fn a_letter_about_an_alert_without_a_device_has_nothing_of_the_one_before() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("out");
    let receiver = Receiver::start(Manners::default()).await;
    let (notify, ..) = notify(&[folder(&path), Settings::plain(&receiver).named("mail")]);
    let first = requested();
    let mut second = taken(Answer::Refused, Mode::Enforce, Some(EffectState::Refused));
    second.alert = Alert {
        id: "da111111111111111111_-2".parse().unwrap(),
        incident_id: None,
        title: "Sign-in from an unusual place".to_owned(),
        device: None,
        device_name: None,
        user: None,
        evidence: Vec::new(),
        ..second.alert
    };
    second.device = DeviceFact::Unknown { why: "the alert names no device".to_owned() };
    let tell = async |taken: &ActionTaken| {
        let message = Envelope::new(&tenant(), &[taken.alert.id.as_str()], "trace", now(), taken.clone());
        assert_eq!(notify.handle(message, now()).await, Disposition::Done);
    };
    tell(&first).await;
    let before = files(&path);
    tell(&second).await;
    let after = files(&path);
    let new = after.iter().find(|file| !before.contains(file)).unwrap();
    let in_folder = read(&fs::read(new).unwrap());
    let by_mail = read(&receiver.received().last().unwrap().content);
    let device = device();
    for letter in [in_folder, by_mail] {
        assert!(letter.contains("da111111111111111111_-2") && letter.contains("names no device"), "{letter}");
        for words in
            [device.id.as_str(), "laptop-7", "alice", first.alert.id.as_str(), "encryption", "1126093"]
        {
            assert!(!letter.contains(words), "`{words}` in {letter}");
        }
    }
}

#[tokio::test]
async fn what_nobody_is_to_be_told_is_not_told() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("out");
    let (notify, memory, _) = notify(&[folder(&path)]);
    let mut quiet = requested();
    quiet.decision.tell = false;
    assert_eq!(notify.handle(envelope(quiet), now()).await, Disposition::Done);
    assert!(!path.exists() && memory.keys().is_empty());
}

#[tokio::test]
async fn a_notice_is_told_once_like_an_outcome_and_remembered_without_an_alert() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("out");
    let (notify, memory, tally) = notify(&[folder(&path)]);
    let message = envelope(notice(Topic::Holding));
    for _ in 0..2 {
        let body = message.encode().unwrap();
        assert_eq!(notify.take(&tenant(), &body, now()).await, Disposition::Done);
    }
    assert_eq!((files(&path).len(), tally.get(Count::NotificationsSent)), (1, 1));
    assert_eq!(memory.keys(), [format!("told#{}#folder", message.id)]);
    assert_eq!(memory.partitions(), [format!("{}#notice", tenant())]);
}

#[tokio::test]
async fn a_notice_that_no_channel_takes_is_tried_again() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("out");
    fs::write(&file, "a file where the folder should be").unwrap();
    let (notify, memory, _) = notify(&[folder(&file)]);
    let body = envelope(notice(Topic::AlienAction)).encode().unwrap();
    let answer = notify.take(&tenant(), &body, now()).await;
    assert!(matches!(&answer, Disposition::Defer { why, .. } if why.contains("`folder`")), "{answer:?}");
    assert!(memory.keys().is_empty());
}

#[tokio::test]
async fn both_kinds_of_message_are_taken_and_no_other() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("out");
    let (notify, ..) = notify(&[folder(&path)]);
    let outcome = envelope(requested()).encode().unwrap();
    let told = envelope(notice(Topic::Paused)).encode().unwrap();
    for body in [&outcome, &told] {
        assert_eq!(notify.take(&tenant(), body, now()).await, Disposition::Done);
    }
    assert_eq!(files(&path).len(), 2);
    let stray = told.replace("\"notice\"", "\"rumour\"");
    for body in [stray.as_str(), "not JSON", "{}", &told.replace("paused", "no such topic")] {
        let answer = notify.take(&tenant(), body, now()).await;
        assert!(matches!(answer, Disposition::Reject { .. }), "{body}: {answer:?}");
    }
    let newer = told.replace(&format!("\"version\":{}", Notice::VERSION), "\"version\":99");
    assert!(matches!(notify.take(&tenant(), &newer, now()).await, Disposition::Defer { .. }));
    assert_eq!(files(&path).len(), 2);
}

#[tokio::test]
async fn another_tenants_notice_is_set_aside() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("out");
    let (notify, ..) = notify(&[folder(&path)]);
    let other = "99999999-2222-3333-4444-555555555555".parse().unwrap();
    let message = Envelope::new(&other, &["x"], "trace", now(), notice(Topic::Paused));
    let answer = notify.take(&tenant(), &message.encode().unwrap(), now()).await;
    assert!(matches!(answer, Disposition::Reject { .. }), "{answer:?}");
    assert!(!path.exists());
}
