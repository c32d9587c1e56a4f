//! What every backend must keep, as checks for a backend's tests; and [`Unruly`], a queue as unkind as SQS may be.
//!
//! Nothing is asked that the traits do not promise: any order will do, and a message may come more often than it
//! should. Time passes only through `now`, so nothing here waits, but where the service has a clock of its own
//! ([`queue_in_real_time`]). Each check is a promise and has its name.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is test code: a broken promise is a panic"
)]

use crate::{
    CommitError, DeadLetter, DeadPage, Delivery, Expect, Item, Key, MAX_COMMIT, MAX_DELAY, MAX_RECEIVES,
    MAX_VALUE_BYTES, Out, QueueBackend, QueueError, QueueName, Receipt, RedriveError, StateBackend, Version,
    Write,
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use model::MAX_MESSAGE_BYTES;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    mem,
    sync::{Arc, Barrier, Mutex},
    time::Duration,
};
use tokio::runtime::Handle;

/// Makes every check on a backend of its own, and panics with the names of the promises that are broken.
macro_rules! check {
    ($make:ident: $($promise:ident),+ $(,)?) => {{
        // In a task of its own, so that one broken promise does not hide the next, and that all wait together.
        let running = [$((stringify!($promise), tokio::spawn($promise($make().await)))),+];
        let mut broken: Vec<&str> = Vec::new();
        for (promise, check) in running {
            if check.await.is_err() {
                broken.push(promise);
            }
        }
        assert!(broken.is_empty(), "broken promises: {}", broken.join(", "));
    }};
}

/// Holds a queue to the promises of [`QueueBackend`], by the `now` that it is told. `make` makes an empty one.
pub async fn queue<B: QueueBackend + 'static>(make: impl AsyncFn() -> B) {
    queue_by(Clock::Told, make).await;
}

/// Holds a queue whose service has a clock of its own to the same promises, by waiting: some ten times as long as a
/// delivery is invisible, which is for `visibility` where `make` makes the queue. That the longest delay ends is
/// taken on trust.
pub async fn queue_in_real_time<B: QueueBackend + 'static>(
    visibility: SignedDuration,
    make: impl AsyncFn() -> B,
) {
    queue_by(Clock::Real { visibility }, make).await;
}

async fn queue_by<B: QueueBackend + 'static>(clock: Clock, make: impl AsyncFn() -> B) {
    let make = async || Messages { backend: Arc::new(make().await), clock, now: Mutex::new(start()) };
    check!(make:
        everything_sent_is_delivered,
        every_message_has_its_result_in_order,
        strange_and_large_bodies_arrive_unchanged,
        no_more_is_received_than_asked_for,
        a_delivery_is_invisible_for_a_while,
        what_is_not_settled_comes_again_with_a_new_receipt,
        what_is_done_is_gone,
        a_stale_receipt_does_nothing,
        an_unknown_receipt_does_nothing,
        a_delay_is_kept,
        a_long_delay_is_shortened,
        a_retry_comes_after_its_delay,
        a_long_retry_is_shortened,
        what_is_never_settled_becomes_a_dead_letter,
        what_always_fails_becomes_a_dead_letter,
        a_rejected_message_keeps_its_body_and_its_reason,
        what_is_set_aside_is_a_dead_letter,
        dead_letters_come_in_pages_oldest_first,
        what_is_redriven_is_a_new_message_and_no_dead_letter,
        what_never_was_a_message_is_not_redriven,
        what_is_dropped_is_gone,
        a_dead_letter_that_is_not_there_is_neither_redriven_nor_dropped,
        queues_do_not_mix,
        receivers_at_once_share_the_messages,
    );
}

/// Holds a state to the promises of [`StateBackend`]. `make` makes an empty one.
pub async fn state<B: StateBackend + 'static>(make: impl AsyncFn() -> B) {
    let make = async || {
        let items: Items = Arc::new(make().await);
        items
    };
    check!(make:
        what_was_put_is_there,
        every_write_happens_exactly_if_what_it_expects_holds,
        the_refused_write_is_named_and_nothing_is_written,
        ten_writes_of_the_largest_size_go_together,
        what_is_too_much_is_refused,
        a_version_is_never_used_again,
        an_expired_item_is_absent_everywhere,
        a_later_write_decides_when_an_item_expires,
        a_query_yields_a_prefix_in_order_over_pages,
        a_prefix_means_itself,
        partitions_do_not_mix,
        a_batch_is_answered_in_order,
        of_commits_at_once_on_one_version_one_wins,
        a_check_holds_while_others_commit,
    );
}

const FOUND: QueueName = QueueName::AlertsFound;

/// By then whatever was delivered and not settled is visible again: SQS hides nothing for longer.
const LONG: SignedDuration = SignedDuration::from_hours(12);

/// Messages of a usual check: many enough that one stray duplicate proves nothing.
const TEN: usize = 10;

const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn start() -> Timestamp {
    "2026-03-01T08:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

// The queue.

/// Whose clock decides when a message is visible.
#[derive(Debug, Clone, Copy)]
enum Clock {
    /// Whatever `now` says.
    Told,
    /// The service's: time can only be waited for.
    Real { visibility: SignedDuration },
}

/// The queues of one check, and its time.
struct Messages {
    backend: Arc<dyn QueueBackend>,
    clock: Clock,
    now: Mutex<Timestamp>,
}

impl Messages {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "a service's own clock can only be waited for")]
    async fn pass(&self, time: SignedDuration) {
        *self.now.lock().unwrap() += time;
        if let Clock::Real { .. } = self.clock {
            // A little more, because two clocks are never quite alike.
            tokio::time::sleep(time.unsigned_abs() + Duration::from_millis(100)).await;
        }
    }

    /// Until whatever was delivered and not settled is visible again.
    async fn pass_visibility(&self) {
        self.pass(match self.clock {
            Clock::Told => LONG,
            Clock::Real { visibility } => visibility,
        })
        .await;
    }

    /// A delay that can be seen to be kept.
    fn delay(&self) -> SignedDuration {
        SignedDuration::from_secs(match self.clock {
            Clock::Told => 90,
            Clock::Real { .. } => 3,
        })
    }

    /// Whether even the longest delay can be seen to end.
    fn can_outlast(&self) -> bool {
        matches!(self.clock, Clock::Told)
    }

    async fn retry(&self, queue: QueueName, receipt: &Receipt, after: SignedDuration) {
        self.backend.retry(queue, receipt, after, self.now()).await.unwrap();
    }
}

fn out(body: &str) -> Out {
    Out { body: body.to_owned(), delay: SignedDuration::ZERO }
}

/// Sends ten messages and says what they are.
async fn send_ten(messages: &Messages, queue: QueueName, delay: SignedDuration) -> BTreeSet<String> {
    let bodies: BTreeSet<String> = (0..TEN).map(|n| format!("{{\"{queue}\":{n}}}")).collect();
    let out: Vec<Out> = bodies.iter().map(|body| Out { body: body.clone(), delay }).collect();
    send(messages, queue, &out).await;
    bodies
}

async fn send(messages: &Messages, queue: QueueName, out: &[Out]) {
    let results = messages.backend.send(queue, out, messages.now()).await;
    assert_eq!(results.len(), out.len(), "one result per message");
    results.into_iter().for_each(|result| result.expect("what is sent is stored"));
}

/// Receives until nothing more comes.
async fn take(messages: &Messages, queue: QueueName) -> Vec<Delivery> {
    let mut all = Vec::new();
    for _ in 0..1_000 {
        let some = messages.backend.receive(queue, TEN, messages.now()).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
    panic!("what was delivered is delivered again at once, without end");
}

fn bodies(deliveries: &[Delivery]) -> BTreeSet<String> {
    deliveries.iter().map(|delivery| delivery.body.clone()).collect()
}

/// The receive count of each message; the highest where it came more than once.
fn receives(deliveries: &[Delivery]) -> BTreeMap<&str, u32> {
    let mut receives = BTreeMap::new();
    for delivery in deliveries {
        let most: &mut u32 = receives.entry(delivery.body.as_str()).or_default();
        *most = delivery.receives.max(*most);
    }
    receives
}

/// Nothing comes but, at the most, a stray duplicate: those may come at any time.
async fn assert_quiet(messages: &Messages, queue: QueueName, promise: &str) {
    let strays = take(messages, queue).await;
    assert!(strays.len() <= 1, "{promise}, but {} of {TEN} came", strays.len());
}

async fn assert_all(messages: &Messages, queue: QueueName, sent: &BTreeSet<String>, promise: &str) {
    assert_eq!(&bodies(&take(messages, queue).await), sent, "{promise}");
}

async fn dead(messages: &Messages, queue: QueueName) -> Vec<DeadLetter> {
    let (mut all, mut page) = (Vec::new(), None);
    for _ in 0..1_000 {
        let DeadPage { letters, next } = messages.backend.dead(queue, page.as_deref()).await.unwrap();
        all.extend(letters);
        if next.is_none() {
            return all;
        }
        page = next;
    }
    panic!("the pages of dead letters never end");
}

async fn everything_sent_is_delivered(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    let deliveries = take(&messages, FOUND).await;
    assert_eq!(bodies(&deliveries), sent, "exactly what was sent comes");
    assert!(deliveries.iter().all(|delivery| delivery.receives == 1), "it is the first delivery of each");
}

async fn every_message_has_its_result_in_order(messages: Messages) {
    assert!(messages.backend.send(FOUND, &[], start()).await.is_empty(), "nothing sent, nothing answered");
    let too_large = "x".repeat(MAX_MESSAGE_BYTES + 1);
    let results =
        messages.backend.send(FOUND, &[out("{\"n\":1}"), out(&too_large), out("{\"n\":3}")], start()).await;
    assert!(
        matches!(results[..], [Ok(()), Err(QueueError::TooLarge { .. }), Ok(())]),
        "only the one that is too large is refused: {results:?}"
    );
    let many: Vec<Out> = (0..2_345).map(|n| out(&format!("{{\"many\":{n}}}"))).collect();
    send(&messages, FOUND, &many).await;
    let mut sent: BTreeSet<String> = many.into_iter().map(|out| out.body).collect();
    sent.extend(["{\"n\":1}".to_owned(), "{\"n\":3}".to_owned()]);
    assert_all(&messages, FOUND, &sent, "what was stored comes, however many were sent at once").await;
}

async fn strange_and_large_bodies_arrive_unchanged(messages: Messages) {
    let strange = [
        "{\"title\":\"Ünïcödé, 警报, тревога, إنذار, 🚨\"}".to_owned(),
        "{\"title\":\"it's \\\"quoted\\\"; DROP TABLE messages; -- %_?1 $1 \\\\ \\u0000\"}".to_owned(),
        "<a>&amp;</a>\n\tnot even JSON\r\n".to_owned(),
        "ß".repeat(MAX_MESSAGE_BYTES / 2),
    ];
    send(&messages, FOUND, &strange.each_ref().map(|body| out(body))).await;
    assert_all(&messages, FOUND, &BTreeSet::from(strange), "bodies arrive byte for byte").await;
}

async fn no_more_is_received_than_asked_for(messages: Messages) {
    send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    let three = messages.backend.receive(FOUND, 3, start()).await.unwrap();
    assert!((1..=3).contains(&three.len()), "one to three, as asked for: {}", three.len());
    let many = messages.backend.receive(FOUND, 1_000, start()).await.unwrap();
    assert!((1..=10).contains(&many.len()), "never more than ten: {}", many.len());
}

async fn a_delivery_is_invisible_for_a_while(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    assert_all(&messages, FOUND, &sent, "all are delivered").await;
    assert_quiet(&messages, FOUND, "what was just delivered is invisible").await;
    messages.pass(SignedDuration::from_secs(1)).await;
    assert_quiet(&messages, FOUND, "a second later it still is").await;
}

async fn what_is_not_settled_comes_again_with_a_new_receipt(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    let first = take(&messages, FOUND).await;
    messages.pass_visibility().await;
    let second = take(&messages, FOUND).await;
    assert_eq!(bodies(&second), sent, "whatever was not settled comes again");
    assert!(receives(&second).values().all(|count| *count == 2), "and is counted");
    let before: BTreeSet<&str> = first.iter().map(|delivery| delivery.receipt.0.as_str()).collect();
    let anew = |delivery: &Delivery| !before.contains(delivery.receipt.0.as_str());
    assert!(second.iter().all(anew), "each delivery has a receipt of its own");
}

async fn what_is_done_is_gone(messages: Messages) {
    send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    for delivery in take(&messages, FOUND).await {
        messages.backend.done(FOUND, &delivery.receipt).await.unwrap();
    }
    messages.pass_visibility().await;
    assert_quiet(&messages, FOUND, "what is done does not come again").await;
    assert_eq!(dead(&messages, FOUND).await, [], "and is no dead letter");
}

async fn a_stale_receipt_does_nothing(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    let first = take(&messages, FOUND).await;
    messages.pass_visibility().await;
    assert_all(&messages, FOUND, &sent, "all come again").await;

    for Delivery { receipt, .. } in &first {
        messages.retry(FOUND, receipt, SignedDuration::ZERO).await;
    }
    assert_quiet(&messages, FOUND, "a stale retry does not make a message visible").await;
    for Delivery { receipt, .. } in &first {
        let _ = messages.backend.reject(FOUND, receipt, "stale", messages.now()).await.unwrap();
    }
    assert_eq!(dead(&messages, FOUND).await, [], "a stale reject sets nothing aside");
    for Delivery { receipt, .. } in &first {
        messages.backend.done(FOUND, receipt).await.unwrap();
    }
    messages.pass_visibility().await;
    assert_all(&messages, FOUND, &sent, "nothing stale removes a message").await;
}

/// Whether it is an error is left open.
async fn an_unknown_receipt_does_nothing(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    for receipt in ["", "1", "/", "1/", "0/0", "-1/1", "99999999999999999999/1", "'; --", "é"] {
        let receipt = Receipt(receipt.to_owned());
        drop(messages.backend.done(FOUND, &receipt).await);
        drop(messages.backend.retry(FOUND, &receipt, SignedDuration::ZERO, start()).await);
        drop(messages.backend.reject(FOUND, &receipt, "unknown", start()).await);
    }
    assert_eq!(dead(&messages, FOUND).await, [], "an unknown receipt sets nothing aside");
    assert_all(&messages, FOUND, &sent, "and removes nothing").await;
}

async fn a_delay_is_kept(messages: Messages) {
    let sent = send_ten(&messages, FOUND, messages.delay()).await;
    assert_quiet(&messages, FOUND, "a delayed message does not come at once").await;
    messages.pass(messages.delay() - SECOND).await;
    assert_quiet(&messages, FOUND, "nor just before its time").await;
    messages.pass(SECOND).await;
    assert_all(&messages, FOUND, &sent, "but when its time has come").await;
}

async fn a_long_delay_is_shortened(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::from_hours(100)).await;
    assert_comes_after_the_longest_delay(&messages, &sent).await;
}

async fn assert_comes_after_the_longest_delay(messages: &Messages, sent: &BTreeSet<String>) {
    if !messages.can_outlast() {
        return assert_quiet(messages, FOUND, "the longest delay is kept").await;
    }
    messages.pass(MAX_DELAY - SECOND).await;
    assert_quiet(messages, FOUND, "the longest delay is kept").await;
    messages.pass(SECOND).await;
    assert_all(messages, FOUND, sent, "nothing is put off for longer").await;
}

async fn a_retry_comes_after_its_delay(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    for delivery in take(&messages, FOUND).await {
        messages.retry(FOUND, &delivery.receipt, messages.delay()).await;
    }
    messages.pass(messages.delay() - SECOND).await;
    assert_quiet(&messages, FOUND, "a retry waits").await;
    messages.pass(SECOND).await;
    let second = take(&messages, FOUND).await;
    assert_eq!(bodies(&second), sent, "and comes when its time has come");
    assert!(receives(&second).values().all(|count| *count == 2), "and a failed delivery counts");
    for delivery in second {
        messages.retry(FOUND, &delivery.receipt, SignedDuration::ZERO).await;
    }
    assert_all(&messages, FOUND, &sent, "without a delay it comes at once").await;
}

async fn a_long_retry_is_shortened(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    for delivery in take(&messages, FOUND).await {
        messages.retry(FOUND, &delivery.receipt, SignedDuration::from_hours(100)).await;
    }
    assert_comes_after_the_longest_delay(&messages, &sent).await;
}

async fn what_is_never_settled_becomes_a_dead_letter(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    for round in 1..=MAX_RECEIVES {
        let deliveries = take(&messages, FOUND).await;
        assert_eq!(bodies(&deliveries), sent, "delivery {round} of {MAX_RECEIVES} takes place");
        assert!(receives(&deliveries).values().all(|count| *count == round), "each delivery is counted");
        messages.pass_visibility().await;
    }
    assert_given_up(&messages, &sent).await;
}

async fn what_always_fails_becomes_a_dead_letter(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    for round in 1..=MAX_RECEIVES {
        let deliveries = take(&messages, FOUND).await;
        assert_eq!(bodies(&deliveries), sent, "delivery {round} of {MAX_RECEIVES} takes place");
        for Delivery { receipt, .. } in deliveries {
            messages.retry(FOUND, &receipt, SignedDuration::ZERO).await;
        }
    }
    assert_given_up(&messages, &sent).await;
}

async fn assert_given_up(messages: &Messages, sent: &BTreeSet<String>) {
    assert_quiet(messages, FOUND, "after the last delivery there is none").await;
    let letters = dead(messages, FOUND).await;
    let kept: BTreeSet<String> = letters.iter().map(|letter| letter.body.clone()).collect();
    assert_eq!(&kept, sent, "each becomes a dead letter, with its body");
    assert!(letters.iter().all(|letter| !letter.reason.is_empty()), "and a reason");
    messages.pass_visibility().await;
    assert_quiet(messages, FOUND, "and never comes back by itself").await;
}

async fn a_rejected_message_keeps_its_body_and_its_reason(messages: Messages) {
    let sent = send_ten(&messages, FOUND, SignedDuration::ZERO).await;
    for Delivery { receipt, body, .. } in take(&messages, FOUND).await {
        messages
            .backend
            .reject(FOUND, &receipt, &format!("läßt sich nicht lesen: {body}"), after(7))
            .await
            .unwrap();
    }
    messages.pass_visibility().await;
    assert_quiet(&messages, FOUND, "what was rejected does not come again").await;
    let letters = dead(&messages, FOUND).await;
    assert_eq!(letters.iter().map(|letter| letter.body.clone()).collect::<BTreeSet<_>>(), sent);
    for DeadLetter { queue, body, reason, since, .. } in letters {
        assert_eq!(
            (queue, since),
            (FOUND, after(7)),
            "it says where it comes from and since when it is there"
        );
        assert_eq!(reason, format!("läßt sich nicht lesen: {body}"), "and why");
    }
}

async fn what_is_set_aside_is_a_dead_letter(messages: Messages) {
    messages.backend.set_aside(FOUND, "{\"what\":\"ever\"}", "it has no id", after(3)).await.unwrap();
    let letters = dead(&messages, FOUND).await;
    let [letter] = letters.as_slice() else { panic!("one dead letter: {letters:?}") };
    assert_eq!(
        (letter.queue, letter.body.as_str(), letter.reason.as_str(), letter.since),
        (FOUND, "{\"what\":\"ever\"}", "it has no id", after(3))
    );
    messages.pass_visibility().await;
    assert_quiet(&messages, FOUND, "it was never a message").await;
}

async fn dead_letters_come_in_pages_oldest_first(messages: Messages) {
    assert_eq!(messages.backend.dead(FOUND, None).await.unwrap(), DeadPage::default(), "none at first");
    for n in 0..230 {
        messages.backend.set_aside(FOUND, &n.to_string(), "one of many", after(n)).await.unwrap();
    }
    let letters = dead(&messages, FOUND).await;
    let since: Vec<Timestamp> = letters.iter().map(|letter| letter.since).collect();
    assert_eq!(since, (0..230).map(after).collect::<Vec<_>>(), "each once, the oldest first");
    let ids: BTreeSet<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
    assert_eq!(ids.len(), letters.len(), "each has an id of its own");
}

/// Ten messages, rejected at their last receive but one: the ids of their dead letters, by body.
async fn reject_ten(messages: &Messages) -> BTreeMap<String, String> {
    let sent = send_ten(messages, FOUND, SignedDuration::ZERO).await;
    for Delivery { receipt, .. } in take(messages, FOUND).await {
        messages.retry(FOUND, &receipt, SignedDuration::ZERO).await;
    }
    for Delivery { receipt, .. } in take(messages, FOUND).await {
        // False for a stray duplicate of what was rejected just before.
        let _ = messages.backend.reject(FOUND, &receipt, "why", messages.now()).await.unwrap();
    }
    let letters = dead(messages, FOUND).await;
    let ids: BTreeMap<String, String> = letters.into_iter().map(|letter| (letter.body, letter.id)).collect();
    assert_eq!(ids.keys().cloned().collect::<BTreeSet<_>>(), sent);
    ids
}

async fn what_is_redriven_is_a_new_message_and_no_dead_letter(messages: Messages) {
    let ids = reject_ten(&messages).await;
    let (some, rest): (Vec<_>, Vec<_>) = ids.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    for (_, (body, id)) in &some {
        assert!(messages.backend.redrive(FOUND, id, messages.now()).await.unwrap(), "{body} is there");
    }
    let expected: BTreeSet<String> = some.iter().map(|(_, (body, _))| (*body).clone()).collect();
    let deliveries = take(&messages, FOUND).await;
    assert_eq!(bodies(&deliveries), expected, "exactly what was redriven comes");
    assert!(receives(&deliveries).values().all(|count| *count == 1), "as if it had never been received");
    let left: BTreeSet<String> = dead(&messages, FOUND).await.into_iter().map(|letter| letter.body).collect();
    assert_eq!(left, rest.iter().map(|(_, (body, _))| (*body).clone()).collect(), "the others stay");
    for (_, (body, id)) in &some {
        assert!(!messages.backend.redrive(FOUND, id, messages.now()).await.unwrap(), "{body}: but once");
    }
    for Delivery { receipt, .. } in &deliveries {
        messages.backend.done(FOUND, receipt).await.unwrap();
    }
    messages.pass_visibility().await;
    assert_quiet(&messages, FOUND, "and it comes once").await;
}

async fn what_never_was_a_message_is_not_redriven(messages: Messages) {
    let unreadable = "{\"kind\":\"unreadable\",\"version\":1,\"body\":\"no alert\"}";
    messages.backend.set_aside(FOUND, unreadable, "it has no id", start()).await.unwrap();
    let id = dead(&messages, FOUND).await.remove(0).id;
    let refused = messages.backend.redrive(FOUND, &id, start()).await;
    assert!(matches!(refused, Err(RedriveError::NeverAMessage)), "{refused:?}");
    assert_eq!(dead(&messages, FOUND).await.len(), 1, "it stays where it is");
    assert_quiet(&messages, FOUND, "and does not come").await;
    assert!(messages.backend.drop_dead(FOUND, &id, start()).await.unwrap(), "but it can be dropped");
    assert_eq!(dead(&messages, FOUND).await, []);
}

async fn what_is_dropped_is_gone(messages: Messages) {
    let ids = reject_ten(&messages).await;
    let (body, id) = ids.first_key_value().unwrap();
    assert!(messages.backend.drop_dead(FOUND, id, messages.now()).await.unwrap(), "it is there");
    let left: BTreeSet<String> = dead(&messages, FOUND).await.into_iter().map(|letter| letter.body).collect();
    assert_eq!(left, ids.keys().filter(|other| *other != body).cloned().collect(), "and nothing else goes");
    assert!(!messages.backend.drop_dead(FOUND, id, messages.now()).await.unwrap(), "it was there but once");
    messages.pass_visibility().await;
    assert_quiet(&messages, FOUND, "what is dropped comes no more").await;
}

async fn a_dead_letter_that_is_not_there_is_neither_redriven_nor_dropped(messages: Messages) {
    messages.backend.set_aside(FOUND, "{}", "why", start()).await.unwrap();
    let id = dead(&messages, FOUND).await.remove(0).id;
    let strange = ["", "0", "-1", "99999999999999999999", "'; --", "é"].map(|id| (FOUND, id));
    for (queue, id) in strange.into_iter().chain([(QueueName::ActionsTaken, id.as_str())]) {
        assert!(!messages.backend.redrive(queue, id, start()).await.unwrap(), "`{id}` of {queue}");
        assert!(!messages.backend.drop_dead(queue, id, start()).await.unwrap(), "`{id}` of {queue}");
    }
    assert_eq!(dead(&messages, FOUND).await.len(), 1, "nothing has happened to the one that is there");
    assert_quiet(&messages, QueueName::ActionsTaken, "nor does it come from another queue").await;
}

async fn queues_do_not_mix(messages: Messages) {
    let mut sent = Vec::new();
    for queue in QueueName::ALL {
        sent.push(send_ten(&messages, queue, SignedDuration::ZERO).await);
        messages.backend.set_aside(queue, queue.as_str(), "set aside", start()).await.unwrap();
    }
    for (queue, sent) in QueueName::ALL.into_iter().zip(&sent) {
        let deliveries = take(&messages, queue).await;
        assert_eq!(&bodies(&deliveries), sent, "a queue delivers what was sent to it");
        for other in QueueName::ALL.into_iter().filter(|other| *other != queue) {
            for Delivery { receipt, .. } in &deliveries {
                drop(messages.backend.done(other, receipt).await);
                drop(messages.backend.reject(other, receipt, "from another queue", start()).await);
            }
        }
        let letters = dead(&messages, queue).await;
        assert_eq!(letters.len(), 1, "dead letters stay with their queue: {letters:?}");
        assert_eq!(letters[0].body, queue.as_str());
    }
    messages.pass_visibility().await;
    for (queue, sent) in QueueName::ALL.into_iter().zip(&sent) {
        assert_all(&messages, queue, sent, "one queue's receipt settles nothing in another").await;
    }
}

async fn receivers_at_once_share_the_messages(messages: Messages) {
    let many: Vec<Out> = (0..100).map(|n| out(&format!("{{\"n\":{n}}}"))).collect();
    send(&messages, FOUND, &many).await;
    let messages = Arc::new(messages);
    let receivers = (0..4).map(|_| {
        let messages = Arc::clone(&messages);
        async move { take(&messages, FOUND).await }
    });
    let deliveries = race(receivers.collect()).await.concat();
    assert_eq!(bodies(&deliveries).len(), many.len(), "together they receive everything");
    assert!(deliveries.len() < 2 * many.len(), "and not everybody everything: {}", deliveries.len());
}

// The state.

type Items = Arc<dyn StateBackend>;

fn key(partition: &str, sort: &str) -> Key {
    Key { partition: partition.to_owned(), sort: sort.to_owned() }
}

fn put(key: &Key, value: impl Into<Vec<u8>>, expect: Expect) -> Write {
    Write::Put { key: key.clone(), value: value.into(), expect, expires: None }
}

fn put_until(key: &Key, value: &str, expires: Timestamp) -> Write {
    Write::Put { key: key.clone(), value: value.into(), expect: Expect::Any, expires: Some(expires) }
}

async fn commit(items: &Items, writes: &[Write]) {
    items.commit(writes, start()).await.expect("nothing stands against this commit");
}

async fn get(items: &Items, key: &Key, now: Timestamp) -> Option<Item> {
    items.get(key, now).await.unwrap()
}

async fn value(items: &Items, key: &Key, now: Timestamp) -> Option<String> {
    get(items, key, now).await.map(|item| String::from_utf8(item.value).unwrap())
}

async fn version(items: &Items, key: &Key) -> Version {
    get(items, key, start()).await.expect("the item is there").version
}

/// Every item of a partition that begins with the prefix.
async fn query(items: &Items, partition: &str, prefix: &str, now: Timestamp) -> Vec<Item> {
    let (mut all, mut page) = (Vec::new(), None);
    for _ in 0..1_000 {
        let answer = items.query(partition, prefix, page.as_deref(), now).await.unwrap();
        all.extend(answer.items);
        if answer.next.is_none() {
            return all;
        }
        page = answer.next;
    }
    panic!("the pages of a query never end");
}

async fn sorts(items: &Items, partition: &str, prefix: &str) -> Vec<String> {
    query(items, partition, prefix, start()).await.into_iter().map(|item| item.key.sort).collect()
}

async fn what_was_put_is_there(items: Items) {
    let bytes: Vec<u8> = (0..=255).collect();
    let (one, other) = (key("t#alert#é 警报", "case#'; --"), key("t#alert#é 警报", "case#\"%_"));
    assert_eq!(get(&items, &one, start()).await, None, "nothing at first");
    commit(&items, &[put(&one, bytes.clone(), Expect::Absent), put(&other, "", Expect::Any)]).await;
    let item = get(&items, &one, start()).await.expect("it is there");
    assert_eq!((item.key, item.value), (one.clone(), bytes), "byte for byte");
    assert_eq!(value(&items, &other, start()).await.as_deref(), Some(""), "an empty value is a value");
    commit(&items, &[Write::Delete { key: one.clone(), expect: Expect::Any }]).await;
    assert_eq!(get(&items, &one, start() + LONG).await, None, "what was deleted is gone");
    assert!(get(&items, &other, start() + LONG).await.is_some(), "and nothing else");
}

/// Every kind of write, against an item that is absent, there, or expired, with every expectation.
async fn every_write_happens_exactly_if_what_it_expects_holds(items: Items) {
    let now = after(60);
    for write in ["put", "delete", "check"] {
        for situation in ["absent", "there", "expired"] {
            for expect in ["absent", "its version", "another version", "any"] {
                let case = format!("{write} on {situation}, expecting {expect}");
                let key = key("cases", &case);
                // The version of an item that was there, is there, or has expired.
                commit(&items, &[put(&key, "before", Expect::Absent)]).await;
                let another = version(&items, &key).await;
                commit(&items, &[put_until(&key, "before", now)]).await;
                if situation == "there" {
                    commit(&items, &[put(&key, "before", Expect::Any)]).await;
                }
                let its = version(&items, &key).await;
                if situation == "absent" {
                    commit(&items, &[Write::Delete { key: key.clone(), expect: Expect::Is(its) }]).await;
                }

                let expect = match expect {
                    "absent" => Expect::Absent,
                    "its version" => Expect::Is(its),
                    "another version" => Expect::Is(another),
                    _ => Expect::Any,
                };
                let there = situation == "there";
                let holds = match expect {
                    Expect::Absent => !there,
                    Expect::Is(version) => there && version == its,
                    Expect::Any => true,
                };
                let before = there.then_some("before");
                let (asked, afterwards) = match write {
                    "put" => (put(&key, "afterwards", expect), Some("afterwards")),
                    "delete" => (Write::Delete { key: key.clone(), expect }, None),
                    _ => (Write::Check { key: key.clone(), expect }, before),
                };
                let answer = items.commit(&[asked], now).await;
                if holds {
                    answer.unwrap_or_else(|error| panic!("{case}: should happen: {error:?}"));
                } else {
                    assert!(
                        matches!(answer, Err(CommitError::Refused(0))),
                        "{case}: refused, not {answer:?}"
                    );
                }
                let expected = if holds { afterwards } else { before };
                assert_eq!(
                    value(&items, &key, now).await.as_deref(),
                    expected,
                    "{case}: what is there afterwards"
                );
            }
        }
    }
}

async fn the_refused_write_is_named_and_nothing_is_written(items: Items) {
    let keys: Vec<Key> = (0..6).map(|n| key("refused", &n.to_string())).collect();
    for at in 0..keys.len() {
        commit(&items, &[put(&keys[4], "before", Expect::Any), put(&keys[5], "before", Expect::Any)]).await;
        let mut writes: Vec<Write> = keys[..4].iter().map(|key| put(key, "new", Expect::Absent)).collect();
        writes.push(Write::Delete {
            key: keys[4].clone(),
            expect: Expect::Is(version(&items, &keys[4]).await),
        });
        writes.push(put(&keys[5], "new", Expect::Is(version(&items, &keys[5]).await)));
        // Something that is not there, expected to be.
        writes[at] = Write::Check { key: key("refused", "nothing"), expect: Expect::Is(Version(1)) };
        let answer = items.commit(&writes, start()).await;
        assert!(
            matches!(answer, Err(CommitError::Refused(index)) if index == at),
            "the write that did not hold is {at}: {answer:?}"
        );
        for key in &keys[..4] {
            assert_eq!(get(&items, key, start()).await, None, "nothing of a refused commit is written");
        }
        for key in &keys[4..] {
            let value = value(&items, key, start()).await;
            assert_eq!(value.as_deref(), Some("before"), "nothing of a refused commit is written");
        }
    }
}

async fn ten_writes_of_the_largest_size_go_together(items: Items) {
    // Text, as steps store it: other bytes weigh more in a request.
    let large: Vec<u8> = (b' '..=b'~').cycle().take(MAX_VALUE_BYTES).collect();
    let keys: Vec<Key> = (0..MAX_COMMIT).map(|n| key("large", &n.to_string())).collect();
    commit(&items, &keys.iter().map(|key| put(key, large.clone(), Expect::Absent)).collect::<Vec<_>>()).await;
    for item in items.batch_get(&keys, start()).await.unwrap() {
        assert!(item.expect("each is there").value == large, "each is as it was put");
    }
}

async fn what_is_too_much_is_refused(items: Items) {
    let keys: Vec<Key> = (0..=MAX_COMMIT).map(|n| key("too much", &n.to_string())).collect();
    let eleven = keys.iter().map(|key| put(key, "x", Expect::Any)).collect::<Vec<_>>();
    let twice =
        [put(&keys[0], "x", Expect::Any), Write::Check { key: keys[0].clone(), expect: Expect::Absent }];
    let heavy = [put(&keys[0], vec![b'x'; MAX_VALUE_BYTES + 1], Expect::Any)];
    for (writes, what) in
        [(&eleven[..], "eleven writes"), (&twice, "one key twice"), (&heavy, "a heavy value")]
    {
        let answer = items.commit(writes, start()).await;
        assert!(
            matches!(answer, Err(CommitError::Unavailable { maybe_written: false, .. })),
            "{what}: refused for certain, not {answer:?}"
        );
    }
    assert_eq!(query(&items, "too much", "", start()).await, [], "nothing was written");
}

async fn a_version_is_never_used_again(items: Items) {
    let key = key("versions", "one");
    let mut seen = Vec::new();
    for round in 0..4 {
        for _ in 0..3 {
            // The same value: a write is a write.
            commit(&items, &[put(&key, "same", Expect::Any)]).await;
            let version = version(&items, &key).await;
            assert!(!seen.contains(&version), "round {round}: {version:?} was used before");
            seen.push(version);
        }
        if round % 2 == 0 {
            commit(&items, &[Write::Delete { key: key.clone(), expect: Expect::Any }]).await;
        } else {
            commit(&items, &[put_until(&key, "expired at once", start())]).await;
        }
    }
    commit(&items, &[put(&key, "last", Expect::Absent)]).await;
    for version in seen {
        let stale = items.commit(&[put(&key, "stale", Expect::Is(version))], start()).await;
        assert!(matches!(stale, Err(CommitError::Refused(0))), "{version:?} is stale: {stale:?}");
    }
}

async fn an_expired_item_is_absent_everywhere(items: Items) {
    let (mortal, immortal) = (key("expiry", "a"), key("expiry", "b"));
    commit(&items, &[put_until(&mortal, "short", after(60)), put(&immortal, "long", Expect::Any)]).await;
    for (now, there) in [(after(0), true), (after(59), true), (after(60), false), (after(1_000_000), false)] {
        let found = [
            get(&items, &mortal, now).await.is_some(),
            items.batch_get(&[mortal.clone(), immortal.clone()], now).await.unwrap()[0].is_some(),
            query(&items, "expiry", "", now).await.len() == 2,
            items.commit(&[Write::Check { key: mortal.clone(), expect: Expect::Absent }], now).await.is_err(),
        ];
        assert_eq!(found, [there; 4], "at {now}: get, batch_get, query and conditions agree");
        assert_eq!(
            value(&items, &immortal, now).await.as_deref(),
            Some("long"),
            "what does not expire stays"
        );
    }
}

async fn a_later_write_decides_when_an_item_expires(items: Items) {
    let key = key("expiry", "later");
    commit(&items, &[put_until(&key, "one", after(60))]).await;
    commit(&items, &[put_until(&key, "two", after(120))]).await;
    assert_eq!(value(&items, &key, after(60)).await.as_deref(), Some("two"));
    commit(&items, &[put(&key, "three", Expect::Any)]).await;
    assert_eq!(value(&items, &key, start() + LONG).await.as_deref(), Some("three"));
}

async fn a_query_yields_a_prefix_in_order_over_pages(items: Items) {
    // More than any page: DynamoDB's end at a megabyte.
    let large = "x".repeat(6_000);
    let expected: Vec<String> = (0..250).map(|n| format!("case#{n:03}")).collect();
    for some in expected.chunks(MAX_COMMIT).rev() {
        let puts: Vec<Write> =
            some.iter().map(|sort| put(&key("p", sort), large.as_str(), Expect::Any)).collect();
        commit(&items, &puts).await;
    }
    commit(
        &items,
        &["announced", "case", "casf", "told#1"].map(|sort| put(&key("p", sort), "{}", Expect::Any)),
    )
    .await;
    assert_eq!(sorts(&items, "p", "case#").await, expected, "all that begins with the prefix, in order");
    assert_eq!(sorts(&items, "p", "case#01").await, expected[10..20], "and nothing else");
    assert_eq!(sorts(&items, "p", "").await.len(), expected.len() + 4, "the empty prefix means everything");
    assert_eq!(sorts(&items, "p", "nothing").await, [] as [&str; 0]);
    let first = items.query("p", "case#", None, start()).await.unwrap();
    assert!(first.items.len() < expected.len() && first.next.is_some(), "a page has an end");

    let mut order = ["Z", "a", "a#", "aa", "z", "é", "警", "🚨"];
    commit(&items, &order.map(|sort| put(&key("order", sort), "{}", Expect::Any))).await;
    order.sort_unstable();
    assert_eq!(sorts(&items, "order", "").await, order, "the order is that of the bytes");
}

async fn a_prefix_means_itself(items: Items) {
    let all = ["a%b", "a%b#2", "a_b", "axb", "A%b", "a*b", "a\\%b", "%", "_"];
    commit(&items, &all.map(|sort| put(&key("literal", sort), "{}", Expect::Any))).await;
    for (prefix, expected) in [
        ("a%", &["a%b", "a%b#2"][..]),
        ("a_", &["a_b"]),
        ("a*", &["a*b"]),
        ("a\\", &["a\\%b"]),
        ("A", &["A%b"]),
        ("%", &["%"]),
        ("_", &["_"]),
    ] {
        assert_eq!(sorts(&items, "literal", prefix).await, expected, "prefix `{prefix}`");
    }
}

async fn partitions_do_not_mix(items: Items) {
    let partitions = ["t#alert#1", "t#alert#12", "t#alert#%", "T#alert#1"];
    commit(&items, &partitions.map(|partition| put(&key(partition, "case"), partition, Expect::Absent)))
        .await;
    for partition in partitions {
        let found = query(&items, partition, "", start()).await;
        let values: Vec<&[u8]> = found.iter().map(|item| item.value.as_slice()).collect();
        assert_eq!(values, [partition.as_bytes()], "`{partition}` holds only its own");
    }
}

async fn a_batch_is_answered_in_order(items: Items) {
    assert_eq!(items.batch_get(&[], start()).await.unwrap(), [], "nothing asked, nothing answered");
    let key = |n: usize| key(&format!("batch#{}", n % 7), &n.to_string());
    // Every third is missing.
    let there: Vec<usize> = (0..350).filter(|n| n % 3 != 0).collect();
    for some in there.chunks(MAX_COMMIT) {
        let puts: Vec<Write> = some.iter().map(|n| put(&key(*n), n.to_string(), Expect::Any)).collect();
        commit(&items, &puts).await;
    }
    // Backwards, and one of them twice.
    let asked: Vec<usize> = (0..350).rev().chain([200]).collect();
    let answers =
        items.batch_get(&asked.iter().copied().map(key).collect::<Vec<_>>(), start()).await.unwrap();
    let found: Vec<Option<(Key, String)>> = answers
        .into_iter()
        .map(|answer| answer.map(|item| (item.key, String::from_utf8(item.value).unwrap())))
        .collect();
    let expected: Vec<Option<(Key, String)>> =
        asked.iter().map(|n| (n % 3 != 0).then(|| (key(*n), n.to_string()))).collect();
    assert_eq!(found, expected, "one answer per key, in order");
}

async fn of_commits_at_once_on_one_version_one_wins(items: Items) {
    for round in 0..20 {
        let key = key("race", &round.to_string());
        commit(&items, &[put(&key, "before", Expect::Absent)]).await;
        let expect = Expect::Is(version(&items, &key).await);
        let writers = (0..4).map(|n| persist(&items, vec![put(&key, n.to_string(), expect)]));
        let answers = race(writers.collect()).await;
        let winners: Vec<usize> = (0..4).filter(|n| answers[*n].is_ok()).collect();
        let [winner] = winners.as_slice() else { panic!("one wins, not {winners:?}: {answers:?}") };
        let refused = |answer: &&Result<(), CommitError>| matches!(answer, Err(CommitError::Refused(0)));
        assert_eq!(answers.iter().filter(refused).count(), 3, "the others are refused: {answers:?}");
        assert_eq!(value(&items, &key, start()).await, Some(winner.to_string()), "and wrote nothing");
    }
}

/// Each writes its own item as long as the other's is absent: together they must not.
async fn a_check_holds_while_others_commit(items: Items) {
    for round in 0..20 {
        let keys = [key("doctors", &format!("{round} a")), key("doctors", &format!("{round} b"))];
        let commit_if_absent = |own: usize, other: usize| {
            let check = Write::Check { key: keys[other].clone(), expect: Expect::Absent };
            persist(&items, vec![put(&keys[own], "on leave", Expect::Absent), check])
        };
        let answers = race(vec![commit_if_absent(0, 1), commit_if_absent(1, 0)]).await;
        let winners = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(winners, 1, "one of the two: {answers:?}");
    }
}

/// Commits, again and again while somebody else is writing the same.
fn persist(
    items: &Items,
    writes: Vec<Write>,
) -> impl Future<Output = Result<(), CommitError>> + Send + use<> {
    let items = Arc::clone(items);
    async move {
        for _ in 0..1_000 {
            let answer = items.commit(&writes, start()).await;
            if !matches!(answer, Err(CommitError::Contended)) {
                return answer;
            }
        }
        Err(CommitError::Contended)
    }
}

/// Runs all at once, each on a thread of its own.
async fn race<T: Send + 'static>(racers: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let line = Arc::new(Barrier::new(racers.len()));
    let mut running = Vec::new();
    for racer in racers {
        let (line, handle) = (Arc::clone(&line), Handle::current());
        running.push(tokio::task::spawn_blocking(move || {
            line.wait();
            handle.block_on(racer)
        }));
    }
    let mut finished = Vec::new();
    for racer in running {
        finished.push(racer.await.unwrap());
    }
    finished
}

/// A queue that delivers out of order and one message in four twice, the second time perhaps after the first was
/// settled: all of it allowed, none of it seen often enough in a well-behaved queue. Steps are tested on it.
///
/// What it holds back comes with one of the next calls, so receiving until nothing comes empties it.
#[derive(Debug)]
pub struct Unruly<B> {
    backend: B,
    mood: Mutex<Mood>,
}

#[derive(Debug)]
struct Mood {
    /// The state of the random numbers.
    seed: u64,
    held: BTreeMap<QueueName, Vec<Delivery>>,
}

impl<B> Unruly<B> {
    /// The same seed is unkind in the same way.
    pub fn new(backend: B, seed: u64) -> Unruly<B> {
        Unruly { backend, mood: Mutex::new(Mood { seed, held: BTreeMap::new() }) }
    }
}

impl Mood {
    /// A number below `end` (`SplitMix64`, which is random enough to be a nuisance).
    fn below(&mut self, end: usize) -> usize {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(end).unwrap()).unwrap()
    }

    /// Takes deliveries in, and gives up to `max` of those it has, in any order.
    fn deliver(&mut self, queue: QueueName, came: Vec<Delivery>, max: usize) -> Vec<Delivery> {
        let mut held = mem::take(self.held.entry(queue).or_default());
        for delivery in came {
            if self.below(4) == 0 {
                held.push(delivery.clone());
            }
            held.push(delivery);
        }
        let mut given = Vec::new();
        while given.len() < max && !held.is_empty() {
            given.push(held.swap_remove(self.below(held.len())));
        }
        self.held.insert(queue, held);
        given
    }
}

#[async_trait]
impl<B: QueueBackend> QueueBackend for Unruly<B> {
    async fn send(&self, queue: QueueName, out: &[Out], now: Timestamp) -> Vec<Result<(), QueueError>> {
        self.backend.send(queue, out, now).await
    }

    async fn receive(
        &self,
        queue: QueueName,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, QueueError> {
        let came = self.backend.receive(queue, max, now).await?;
        Ok(self.mood.lock().unwrap().deliver(queue, came, max.min(10)))
    }

    async fn done(&self, queue: QueueName, receipt: &Receipt) -> Result<(), QueueError> {
        self.backend.done(queue, receipt).await
    }

    async fn retry(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        after: SignedDuration,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        self.backend.retry(queue, receipt, after, now).await
    }

    async fn reject(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        self.backend.reject(queue, receipt, reason, now).await
    }

    async fn set_aside(
        &self,
        queue: QueueName,
        body: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        self.backend.set_aside(queue, body, reason, now).await
    }

    async fn dead(&self, queue: QueueName, page: Option<&str>) -> Result<DeadPage, QueueError> {
        self.backend.dead(queue, page).await
    }

    async fn redrive(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, RedriveError> {
        self.backend.redrive(queue, id, now).await
    }

    async fn drop_dead(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, QueueError> {
        self.backend.drop_dead(queue, id, now).await
    }
}
