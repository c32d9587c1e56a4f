//! The conformance suites, on a file and in memory, and what the store offers beyond the ports.

use jiff::{SignedDuration, Timestamp};
use local::{Depth, Store, VISIBILITY};
use ports::{
    Disposition, Expect, Key, MAX_DELAY, Out, QueueBackend, QueueName, Settled, StateBackend, Write,
    conformance::{self, Unruly},
    settle,
};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};
use tempfile::TempDir;

fn now() -> Timestamp {
    "2026-03-01T08:00:00Z".parse().unwrap()
}

/// A new file with each call.
fn files(folder: &TempDir) -> impl Fn() -> PathBuf {
    let (folder, next) = (folder.path().to_owned(), AtomicU64::new(0));
    move || folder.join(format!("{}.db", next.fetch_add(1, Ordering::Relaxed)))
}

#[tokio::test]
async fn a_file_keeps_the_promises_of_a_queue() {
    let folder = TempDir::new().unwrap();
    let file = files(&folder);
    conformance::queue(async || Store::open(&file()).unwrap()).await;
}

#[tokio::test]
async fn a_file_keeps_the_promises_of_a_state() {
    let folder = TempDir::new().unwrap();
    let file = files(&folder);
    conformance::state(async || Store::open(&file()).unwrap()).await;
}

#[tokio::test]
async fn memory_keeps_the_promises_of_a_queue() {
    conformance::queue(async || Store::in_memory().unwrap()).await;
}

#[tokio::test]
async fn memory_keeps_the_promises_of_a_state() {
    conformance::state(async || Store::in_memory().unwrap()).await;
}

/// The suite asks for no more than SQS gives: a queue that repeats and reorders passes.
#[tokio::test]
async fn an_unruly_queue_keeps_the_promises_too() {
    let seed = AtomicU64::new(0);
    for _ in 0..5 {
        let unruly = || Unruly::new(Store::in_memory().unwrap(), seed.fetch_add(1, Ordering::Relaxed));
        conformance::queue(async || unruly()).await;
    }
}

#[tokio::test]
async fn an_unruly_queue_repeats_and_reorders() {
    let unruly = Unruly::new(Store::in_memory().unwrap(), 1);
    let sent: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    send(&unruly, &sent).await;
    let mut came = Vec::new();
    loop {
        let some = unruly.receive(QueueName::AlertsFound, 10, now()).await.unwrap();
        if some.is_empty() {
            break;
        }
        came.extend(some.into_iter().map(|delivery| delivery.body));
    }
    let distinct: BTreeSet<&String> = came.iter().collect();
    assert_eq!(distinct.len(), sent.len(), "nothing is lost");
    assert!(came.len() > sent.len(), "some come twice");
    assert!(!came.is_sorted_by_key(|body| body.parse::<u32>().unwrap()), "out of order");
}

/// What took time in proportion to what is stored would make this minutes instead of seconds.
#[tokio::test]
async fn ten_thousand_messages_pass() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder.path().join("cordon.db")).unwrap();
    let sent: Vec<String> = (0..10_000).map(|n| format!("{{\"alert\":{n}}}")).collect();
    send(&store, &sent).await;
    let mut came = Vec::new();
    loop {
        let some = store.receive(QueueName::AlertsFound, 10, now()).await.unwrap();
        if some.is_empty() {
            break;
        }
        for delivery in some {
            store.done(QueueName::AlertsFound, &delivery.receipt).await.unwrap();
            came.push(delivery.body);
        }
    }
    assert_eq!(came, sent, "each once; this queue even keeps their order");
    assert_eq!(store.depth(QueueName::AlertsFound, now()).unwrap(), Depth::default());
}

#[tokio::test]
async fn the_store_says_when_something_is_due_and_how_full_it_is() {
    let store = Store::in_memory().unwrap();
    let queue = QueueName::ActionsTaken;
    let later = |seconds| now() + SignedDuration::from_secs(seconds);
    assert_eq!(store.next_due(now()).unwrap(), None);

    let out = |seconds| Out { body: "{}".to_owned(), delay: SignedDuration::from_secs(seconds) };
    store.send(queue, &[out(60), out(40)], now()).await.into_iter().for_each(Result::unwrap);
    assert_eq!(store.next_due(now()).unwrap(), Some(later(40)), "the first of the delayed");
    assert_eq!(store.next_due(later(50)).unwrap(), Some(later(50)), "what is visible is due now");

    let [first] = store.receive(queue, 10, later(50)).await.unwrap().try_into().unwrap();
    let full = |visible, waiting, in_flight, dead| Depth { visible, waiting, in_flight, dead };
    assert_eq!(store.depth(queue, later(50)).unwrap(), full(0, 1, 1, 0));
    assert_eq!(store.depth(queue, later(60)).unwrap(), full(1, 0, 1, 0));
    assert_eq!(store.depth(queue, later(50) + VISIBILITY).unwrap(), full(2, 0, 0, 0));

    store.retry(queue, &first.receipt, SignedDuration::MAX, later(50)).await.unwrap();
    assert_eq!(store.depth(queue, later(50)).unwrap(), full(0, 2, 0, 0));
    let [second] = store.receive(queue, 10, later(60)).await.unwrap().try_into().unwrap();
    store.reject(queue, &second.receipt, "on purpose", later(60)).await.unwrap();
    assert_eq!(store.depth(queue, later(60)).unwrap(), full(0, 1, 0, 1));
    assert_eq!(store.next_due(later(60)).unwrap(), Some(later(50) + MAX_DELAY));
    assert_eq!(
        store.depth(QueueName::AlertsFound, later(60)).unwrap(),
        Depth::default(),
        "queues do not mix"
    );
}

#[tokio::test]
async fn what_has_expired_is_removed_in_portions() {
    let store = Store::in_memory().unwrap();
    let key = |n: i64| Key { partition: "p".to_owned(), sort: n.to_string() };
    for n in 0..10 {
        let expires = (n != 0).then(|| now() + SignedDuration::from_secs(n));
        let put = Write::Put { key: key(n), value: b"{}".to_vec(), expect: Expect::Absent, expires };
        store.commit(&[put], now()).await.unwrap();
    }
    let then = now() + SignedDuration::from_secs(7);
    assert_eq!(store.clean(now(), 5).unwrap(), 0, "nothing has expired");
    assert_eq!([5, 2, 0], [5; 3].map(|limit| store.clean(then, limit).unwrap()));
    for n in 0..10 {
        let there = store.get(&key(n), now()).await.unwrap().is_some();
        assert_eq!(there, n == 0 || n > 7, "item {n}");
    }
}

async fn send(queue: &impl QueueBackend, bodies: &[String]) {
    let out = |body: &String| Out { body: body.clone(), delay: SignedDuration::ZERO };
    let out: Vec<Out> = bodies.iter().map(out).collect();
    queue.send(QueueName::AlertsFound, &out, now()).await.into_iter().for_each(Result::unwrap);
}

/// A service that says "in ten seconds" says so while the step is at work.
#[tokio::test]
async fn what_waits_waits_as_long_from_the_end_of_the_step_as_the_step_said_from_its_beginning() {
    let store = Store::in_memory().unwrap();
    let queue = QueueName::AlertsEnriched;
    let (began, ended) = (now(), now() + SignedDuration::from_secs(4));
    store.send(queue, &[Out { body: "{}".to_owned(), delay: SignedDuration::ZERO }], began).await;
    let [delivery] = store.receive(queue, 1, began).await.unwrap().try_into().unwrap();
    let wait = Disposition::Defer { until: began + SignedDuration::from_secs(10), why: "a 429".to_owned() };
    let settled = settle(&store, queue, &delivery, wait, began, ended).await.unwrap();
    assert_eq!(settled, Settled::Acknowledge);
    store.done(queue, &delivery.receipt).await.unwrap();
    for (seconds, visible) in [(9_999, 0), (10_000, 1)] {
        let at = ended + SignedDuration::from_millis(seconds);
        assert_eq!(store.receive(queue, 10, at).await.unwrap().len(), visible, "after {seconds} ms");
    }
}
