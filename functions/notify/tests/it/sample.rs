//! A sample that a person asks a deployed function for: sent at once, once, and answered.

use crate::{
    http_receiver::{Answer, Receiver as Web, env},
    samples::{envelope, now, requested, tenant},
    stage::Stage,
};
use model::{Envelope, MessageId};
use notify::sample_notice;
use policy::ChannelKind;
use ports::{ChannelRow, Telling, Told};
use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

/// A stage with one channel, whose service answers with what stands in `status`.
async fn stage(status: &Arc<AtomicU16>) -> (Stage, Web) {
    let answer = Arc::clone(status);
    let web = Web::answering(move |_| Answer::Status(answer.load(Ordering::SeqCst), "")).await;
    let cards = policy::Channel::new("cards", ChannelKind::Slack { url: env("SLACK_URL") });
    (Stage::new(vec![cards], &[("SLACK_URL", web.url("/services/x"))], now()), web)
}

/// Asks for a sample, and has it sent.
async fn ask(stage: &mut Stage, channel: &str, nth: &str) -> MessageId {
    let notice = Envelope::new(&tenant(), &[nth], "trace", stage.now, sample_notice(channel));
    let id = notice.id.clone();
    stage.send(&[notice]).await;
    stage.work().await;
    id
}

#[tokio::test]
async fn a_channel_that_rests_is_tried_at_once_and_goes_on_resting() {
    let status = Arc::new(AtomicU16::new(500));
    let (mut stage, web) = stage(&status).await;
    stage.send(&[envelope(requested())]).await;
    stage.work().await;
    status.store(200, Ordering::SeqCst);
    let id = ask(&mut stage, "cards", "1").await;
    assert_eq!(web.received().len(), 2);
    let told: Option<_> =
        stage.state().get::<Told>(&Told::of_notice(&tenant(), &id, "cards"), stage.now).await.unwrap();
    assert!(told.unwrap().value.subject.contains("TEST"));
    let row = stage.state().get::<ChannelRow>(&ChannelRow::key(&tenant(), "cards"), stage.now).await.unwrap();
    assert!(row.unwrap().value.failing.is_some(), "a sample says nothing of the next message");
}

#[tokio::test]
async fn a_sample_that_is_not_taken_is_answered_and_never_tried_again() {
    let status = Arc::new(AtomicU16::new(404));
    let (mut stage, web) = stage(&status).await;
    let id = ask(&mut stage, "cards", "1").await;
    let key = Telling::beside(&Told::of_notice(&tenant(), &id, "cards"));
    let telling = stage.state().get::<Telling>(&key, stage.now).await.unwrap().unwrap().value;
    assert!(telling.why.unwrap().contains("404"));
    stage.until_idle().await;
    assert_eq!((web.received().len(), stage.dead().await.len()), (1, 0));
    let row = stage.state().get::<ChannelRow>(&ChannelRow::key(&tenant(), "cards"), stage.now).await.unwrap();
    assert!(row.is_none(), "nobody else has to hear of it");
}

#[tokio::test]
async fn a_sample_of_a_channel_that_is_not_there_is_nothing() {
    let (mut stage, web) = stage(&Arc::new(AtomicU16::new(200))).await;
    ask(&mut stage, "gone", "1").await;
    assert_eq!((web.received().len(), stage.dead().await.len()), (0, 0));
}
