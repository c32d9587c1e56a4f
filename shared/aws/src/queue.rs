//! The queues over SQS: standard queues, each with a dead-letter queue.
//!
//! The service has a clock of its own, so `now` decides nothing here but what a dead letter says. Visibility, the
//! redrive after [`ports::MAX_RECEIVES`] deliveries and retention are the queues' own settings. In Lambda the event
//! source mapping receives, not [`SqsQueue::receive`]; it makes no receipts, so [`SqsQueue::receipt`] does.

use crate::said::{code, words};
use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        ChangeMessageVisibilityBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName,
        SendMessageBatchRequestEntry,
    },
};
use jiff::{SignedDuration, Timestamp};
use model::MAX_MESSAGE_BYTES;
use ports::{
    DeadLetter, DeadPage, Delivery, MAX_DELAY, Out, QueueBackend, QueueError, QueueName, Receipt,
    RedriveError, was_a_message,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

/// The most messages in one call, of any kind.
const MAX_BATCH: usize = 10;

/// The most that a batch may weigh: SQS takes a mebibyte, and this leaves room for what it counts besides bodies.
const MAX_BATCH_BYTES: usize = 1_000_000;

/// The most that the reason of a dead letter may weigh.
const MAX_REASON_BYTES: usize = 1_000;

/// Dead letters in a page.
const DEAD_PAGE: usize = 500;

/// For how long looking at dead letters may hide them from others. They are shown again as soon as it has ended.
const PEEK_SECONDS: i32 = 120;

/// For how long a message that is being moved to the dead letters stays invisible.
const MOVE_SECONDS: i32 = 60;

const REASON: &str = "reason";
const QUEUE: &str = "queue";
const SINCE: &str = "since";

/// Where a queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    pub url: String,
    /// None for whoever only sends.
    pub dead_letters_url: Option<String>,
}

/// The queues that a function may use; the others answer with an error.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    queues: BTreeMap<QueueName, Addresses>,
}

impl SqsQueue {
    pub fn new(config: &SdkConfig, queues: impl IntoIterator<Item = (QueueName, Addresses)>) -> SqsQueue {
        SqsQueue { client: Client::new(config), queues: queues.into_iter().collect() }
    }

    /// The receipt of a message that was received by others, as an event source mapping does. SQS cannot be asked
    /// for the body of a message in flight, and rejecting needs it.
    pub fn receipt(handle: &str, body: &str) -> Receipt {
        Receipt(format!("{handle}\n{body}"))
    }

    /// The queue that an event source mapping names by its ARN: its name is the last part of ARN and of URL. None
    /// where it is none of these.
    pub fn queue_of(&self, arn: &str) -> Option<QueueName> {
        let name = arn.rsplit(':').next()?;
        let is_it = |addresses: &Addresses| addresses.url.rsplit('/').next() == Some(name);
        self.queues.iter().find(|(_, addresses)| is_it(addresses)).map(|(queue, _)| *queue)
    }

    fn addresses(&self, queue: QueueName) -> Result<&Addresses, QueueError> {
        let unknown = || QueueError::Unavailable(format!("queue `{queue}` has no address here"));
        self.queues.get(&queue).ok_or_else(unknown)
    }

    fn dead_letters(&self, queue: QueueName) -> Result<&str, QueueError> {
        let unknown =
            || QueueError::Unavailable(format!("the dead letters of queue `{queue}` have no address here"));
        self.addresses(queue)?.dead_letters_url.as_deref().ok_or_else(unknown)
    }

    /// One call: at most ten messages that are not too heavy together. The results come in the order of the messages.
    async fn send_batch(&self, url: &str, batch: &[&Out]) -> Vec<Result<(), QueueError>> {
        let entries: Result<Vec<_>, _> = batch.iter().enumerate().map(|(n, out)| entry(n, out)).collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return repeat(batch.len(), &error.to_string()),
        };
        match self.client.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await {
            Err(error) => repeat(batch.len(), &words(&error)),
            Ok(answer) => {
                let mut results = repeat(batch.len(), "it gave no answer for this message");
                let place = |id: &str| id.parse::<usize>().ok();
                for sent in answer.successful() {
                    if let Some(result) = place(sent.id()).and_then(|n| results.get_mut(n)) {
                        *result = Ok(());
                    }
                }
                for failed in answer.failed() {
                    if let Some(result) = place(failed.id()).and_then(|n| results.get_mut(n)) {
                        let why = format!("{}: {}", failed.code(), failed.message().unwrap_or_default());
                        *result = Err(QueueError::Unavailable(model::one_line(&why, 400)));
                    }
                }
                results
            }
        }
    }

    /// Moves the end of a delivery's invisibility. Whether the receipt was still good.
    async fn hide_for(&self, url: &str, handle: &str, seconds: i32) -> Result<bool, QueueError> {
        let change = self.client.change_message_visibility().queue_url(url).receipt_handle(handle);
        was_good(change.visibility_timeout(seconds).send().await)
    }

    async fn bury(
        &self,
        queue: QueueName,
        body: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let mut letter =
            self.client.send_message().queue_url(self.dead_letters(queue)?).message_body(permitted(body));
        for (name, value) in [(REASON, cleaned(reason)), (QUEUE, queue.to_string()), (SINCE, now.to_string())]
        {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            letter = letter
                .message_attributes(name, value.map_err(|error| QueueError::Unavailable(error.to_string()))?);
        }
        letter.send().await.map_err(|error| unavailable(&error))?;
        Ok(())
    }

    /// Some dead letters, hidden from others for a while. It waits a second for them, because only then does SQS
    /// look everywhere.
    async fn peek(&self, url: &str) -> Result<Vec<Message>, QueueError> {
        let peek = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10)
            .visibility_timeout(PEEK_SECONDS)
            .wait_time_seconds(1)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        Ok(peek.send().await.map_err(|error| unavailable(&error))?.messages.unwrap_or_default())
    }

    /// Shows what was hidden. Where that fails it shows itself after [`PEEK_SECONDS`].
    async fn show_again(&self, url: &str, handles: &[String]) {
        for some in handles.chunks(MAX_BATCH) {
            let entries = some.iter().enumerate().filter_map(|(n, handle)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(n.to_string());
                entry.receipt_handle(handle).visibility_timeout(0).build().ok()
            });
            let change = self.client.change_message_visibility_batch().queue_url(url);
            if let Err(error) = change.set_entries(Some(entries.collect())).send().await {
                let why = words(&error);
                tracing::warn!(why, "dead letters that were looked at stay hidden for {PEEK_SECONDS} s");
            }
        }
    }

    /// Takes one dead letter in hand, hidden from others. Looks at as many as it takes to come upon it.
    async fn find(
        &self,
        url: &str,
        id: &str,
        handles: &mut Vec<String>,
    ) -> Result<Option<Message>, QueueError> {
        let mut seen = BTreeSet::new();
        loop {
            let mut found = None;
            let mut anything_new = false;
            for message in self.peek(url).await? {
                anything_new |= seen.insert(message.message_id.clone());
                if message.message_id.as_deref() == Some(id) {
                    found = Some(message);
                } else {
                    handles.extend(message.receipt_handle);
                }
            }
            if found.is_some() || !anything_new {
                return Ok(found);
            }
        }
    }

    /// Does something with one dead letter, and shows again whatever was hidden on the way to it; the letter too,
    /// where that failed. None where it was not found.
    async fn with_letter<T, E: From<QueueError>>(
        &self,
        queue: QueueName,
        id: &str,
        act: impl AsyncFnOnce(&str, &Message) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let url = self.dead_letters(queue)?;
        let mut handles = Vec::new();
        let found = self.find(url, id, &mut handles).await;
        let acted = match &found {
            Ok(Some(letter)) => Some(act(url, letter).await),
            _ => None,
        };
        if let (Ok(Some(letter)), Some(Err(_))) = (&found, &acted) {
            handles.extend(letter.receipt_handle.clone());
        }
        self.show_again(url, &handles).await;
        found?;
        acted.transpose()
    }

    async fn delete(&self, url: &str, message: &Message) -> Result<(), QueueError> {
        let delete = self.client.delete_message().queue_url(url);
        let delete = delete.set_receipt_handle(message.receipt_handle.clone());
        was_good(delete.send().await).map(drop)
    }

    /// Looks at every dead letter; keeps the oldest of those after `after`, and one more if there are more.
    async fn look_through(
        &self,
        queue: QueueName,
        url: &str,
        after: Option<&Place>,
        handles: &mut Vec<String>,
    ) -> Result<BTreeMap<Place, DeadLetter>, QueueError> {
        let mut seen = BTreeSet::new();
        let mut oldest = BTreeMap::new();
        loop {
            let mut anything_new = false;
            for message in self.peek(url).await? {
                handles.extend(message.receipt_handle.clone());
                let Some(letter) = letter(queue, message) else { continue };
                anything_new |= seen.insert(letter.id.clone());
                let place = Place { since: letter.since, id: letter.id.clone() };
                if after.is_none_or(|after| place > *after) {
                    oldest.insert(place, letter);
                }
                if oldest.len() > DEAD_PAGE + 1 {
                    oldest.pop_last();
                }
            }
            // What comes again has been hidden for as long as it could be: there may be no end to it.
            if !anything_new {
                return Ok(oldest);
            }
        }
    }
}

#[async_trait]
impl QueueBackend for SqsQueue {
    /// A call that brought no answer is repeated by the SDK, so a message may be stored twice.
    async fn send(&self, queue: QueueName, out: &[Out], _: Timestamp) -> Vec<Result<(), QueueError>> {
        let url = match self.addresses(queue) {
            Ok(addresses) => &addresses.url,
            Err(error) => return repeat(out.len(), &error.to_string()),
        };
        let mut results = Vec::with_capacity(out.len());
        let mut rest = out;
        while let Some((first, others)) = rest.split_first() {
            if !fits(first) {
                results.push(Err(QueueError::TooLarge { bytes: first.body.len() }));
                rest = others;
                continue;
            }
            let mut weight = 0;
            let goes_with = |out: &&Out| {
                weight += permitted(&out.body).len();
                fits(out) && weight <= MAX_BATCH_BYTES
            };
            let batch: Vec<&Out> = rest.iter().take(MAX_BATCH).take_while(goes_with).collect();
            results.extend(self.send_batch(url, &batch).await);
            rest = rest.get(batch.len()..).unwrap_or_default();
        }
        results
    }

    /// Does not wait: SQS looks in some of its places only, so that nothing comes does not prove that nothing is
    /// there.
    async fn receive(&self, queue: QueueName, max: usize, _: Timestamp) -> Result<Vec<Delivery>, QueueError> {
        let Ok(max @ 1..) = i32::try_from(max.min(MAX_BATCH)) else { return Ok(Vec::new()) };
        let receive = self
            .client
            .receive_message()
            .queue_url(&self.addresses(queue)?.url)
            .max_number_of_messages(max)
            .wait_time_seconds(0)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let messages =
            receive.send().await.map_err(|error| unavailable(&error))?.messages.unwrap_or_default();
        Ok(messages.into_iter().filter_map(delivery).collect())
    }

    async fn done(&self, queue: QueueName, receipt: &Receipt) -> Result<(), QueueError> {
        let (handle, _) = parts(receipt);
        let url = &self.addresses(queue)?.url;
        was_good(self.client.delete_message().queue_url(url).receipt_handle(handle).send().await).map(drop)
    }

    async fn retry(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        after: SignedDuration,
        _: Timestamp,
    ) -> Result<(), QueueError> {
        let (handle, _) = parts(receipt);
        self.hide_for(&self.addresses(queue)?.url, handle, whole_seconds(after)).await.map(drop)
    }

    /// The dead letter is stored before the message is deleted: between the two lies a duplicate, never a loss.
    async fn reject(
        &self,
        queue: QueueName,
        receipt: &Receipt,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        let (handle, Some(body)) = parts(receipt) else {
            return Err(QueueError::Unavailable(
                "a receipt without its message cannot be rejected".to_owned(),
            ));
        };
        let is_ours = self.hide_for(&self.addresses(queue)?.url, handle, MOVE_SECONDS).await?;
        if is_ours {
            self.bury(queue, body, reason, now).await?;
            self.done(queue, receipt).await?;
        }
        Ok(is_ours)
    }

    async fn set_aside(
        &self,
        queue: QueueName,
        body: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        self.bury(queue, body, reason, now).await
    }

    /// SQS has no list of messages. So every dead letter of the queue is received and shown again, for each page
    /// anew: they come oldest first and each once, but those that somebody else is looking at are missing, all are
    /// hidden from others meanwhile, and thousands take minutes. A letter that SQS moved by itself has no reason of
    /// its own, and counts from when its message was sent.
    async fn dead(&self, queue: QueueName, page: Option<&str>) -> Result<DeadPage, QueueError> {
        let after = page.map(Place::parse).transpose()?;
        let url = self.dead_letters(queue)?;
        let mut handles = Vec::new();
        let looked = self.look_through(queue, url, after.as_ref(), &mut handles).await;
        self.show_again(url, &handles).await;
        let mut letters = looked?;
        let more = letters.len() > DEAD_PAGE;
        while letters.len() > DEAD_PAGE {
            letters.pop_last();
        }
        let next = letters.last_key_value().filter(|_| more).map(|(place, _)| place.name());
        Ok(DeadPage { letters: letters.into_values().collect(), next })
    }

    /// The message is stored before the dead letter is deleted: between the two lies a duplicate, never a loss. One
    /// that somebody else is looking at is not found for as long.
    async fn redrive(&self, queue: QueueName, id: &str, now: Timestamp) -> Result<bool, RedriveError> {
        let redriven = self.with_letter(queue, id, async |url, letter| {
            let body = letter.body.clone().unwrap_or_default();
            if !was_a_message(&body) {
                return Err(RedriveError::NeverAMessage);
            }
            let again = Out { body, delay: SignedDuration::ZERO };
            for sent in self.send(queue, &[again], now).await {
                sent?;
            }
            Ok(self.delete(url, letter).await?)
        });
        Ok(redriven.await?.is_some())
    }

    async fn drop_dead(&self, queue: QueueName, id: &str, _: Timestamp) -> Result<bool, QueueError> {
        let dropped = self.with_letter(queue, id, async |url, letter| self.delete(url, letter).await);
        Ok(dropped.await?.is_some())
    }
}

/// Where a dead letter stands among the others. A page is named by the place of the last letter before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    since: Timestamp,
    id: String,
}

impl Place {
    fn name(&self) -> String {
        format!("{} {}", self.since, self.id)
    }

    fn parse(name: &str) -> Result<Place, QueueError> {
        let parts = name.split_once(' ').and_then(|(since, id)| Some((since.parse().ok()?, id.to_owned())));
        let Some((since, id)) = parts else {
            return Err(QueueError::Unavailable("no page of dead letters has this name".to_owned()));
        };
        Ok(Place { since, id })
    }
}

fn entry(n: usize, out: &Out) -> Result<SendMessageBatchRequestEntry, aws_sdk_sqs::error::BuildError> {
    SendMessageBatchRequestEntry::builder()
        .id(n.to_string())
        .message_body(permitted(&out.body))
        .delay_seconds(whole_seconds(out.delay))
        .build()
}

/// Whether a message may be sent at all. What is no JSON may weigh more as it is sent.
fn fits(out: &Out) -> bool {
    out.body.len() <= MAX_MESSAGE_BYTES && permitted(&out.body).len() <= MAX_BATCH_BYTES
}

fn delivery(message: Message) -> Option<Delivery> {
    let attributes = message.attributes.as_ref();
    let count = attributes.and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount));
    let receives = count.and_then(|count| count.parse().ok()).unwrap_or(1);
    let body = message.body?;
    Some(Delivery { receipt: SqsQueue::receipt(&message.receipt_handle?, &body), body, receives })
}

fn letter(queue: QueueName, message: Message) -> Option<DeadLetter> {
    let attributes = message.message_attributes.unwrap_or_default();
    let said = |name: &str| attributes.get(name).and_then(MessageAttributeValue::string_value);
    let since = said(SINCE).and_then(|since| since.parse().ok());
    let sent = || since_sent(message.attributes.as_ref());
    let reason = said(REASON).map_or_else(
        || "delivered too often without success; the log of its function says why".to_owned(),
        str::to_owned,
    );
    Some(DeadLetter {
        id: message.message_id?,
        queue,
        body: message.body?,
        reason,
        since: since.unwrap_or_else(sent),
    })
}

fn since_sent(attributes: Option<&HashMap<MessageSystemAttributeName, String>>) -> Timestamp {
    let sent = attributes.and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
    let millis = sent.and_then(|millis| millis.parse().ok());
    millis.and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The handle, and the body where the receipt has it. A handle holds no line break.
fn parts(receipt: &Receipt) -> (&str, Option<&str>) {
    match receipt.0.split_once('\n') {
        Some((handle, body)) => (handle, Some(body)),
        None => (&receipt.0, None),
    }
}

/// A delay as SQS takes it: whole seconds, never less than asked for, within what it allows.
fn whole_seconds(delay: SignedDuration) -> i32 {
    let delay = delay.clamp(SignedDuration::ZERO, MAX_DELAY);
    let seconds = delay.as_secs() + i64::from(delay.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(0)
}

/// A body with what SQS refuses (as XML would) written as JSON escapes. In JSON such characters stand in strings
/// only, so it means the same, and nobody can have a message refused by what they put in a title.
fn permitted(body: &str) -> Cow<'_, str> {
    let refused = |c: char| match c {
        '\t' | '\n' | '\r' => false,
        '\u{fffe}' | '\u{ffff}' => true,
        c => c < ' ',
    };
    if !body.contains(refused) {
        return Cow::Borrowed(body);
    }
    let mut escaped = String::with_capacity(body.len() + 16);
    for c in body.chars() {
        if refused(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// A reason as an attribute may hold it: one line, not empty, not too long.
fn cleaned(reason: &str) -> String {
    let mut reason = model::one_line(reason, MAX_REASON_BYTES);
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    if reason.is_empty() { "no reason was given".to_owned() } else { reason }
}

fn repeat(times: usize, why: &str) -> Vec<Result<(), QueueError>> {
    (0..times).map(|_| Err(QueueError::Unavailable(why.to_owned()))).collect()
}

/// Whether a call on a receipt found its delivery. One that is over, or never was, is nothing to worry about.
fn was_good<T, E>(answer: Result<T, SdkError<E, HttpResponse>>) -> Result<bool, QueueError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Err(error) = answer else { return Ok(true) };
    match code(&error) {
        Some(code) if is_over(code) => {
            tracing::debug!(why = words(&error), "a receipt is not good any more");
            Ok(false)
        }
        _ => Err(unavailable(&error)),
    }
}

/// The codes for a receipt whose delivery is over; the last is what a deleted message's gets, among other things.
fn is_over(code: &str) -> bool {
    let code = code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code);
    let code = code.strip_suffix("Exception").unwrap_or(code);
    matches!(code, "ReceiptHandleIsInvalid" | "MessageNotInflight" | "InvalidParameterValue")
}

fn unavailable<E>(error: &SdkError<E, HttpResponse>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    QueueError::Unavailable(words(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqs_refuses_is_written_as_json_escapes() {
        let body = "{\"title\":\"\u{ffff}\u{fffe}\u{1} ü\t🚨\"}";
        assert_eq!(permitted(body), "{\"title\":\"\\uffff\\ufffe\\u0001 ü\t🚨\"}");
        assert!(matches!(permitted("{\"title\":\"ü\\u0000\"}\r\n"), Cow::Borrowed(_)));
        let means: serde_json::Value = serde_json::from_str(&permitted("\"\u{ffff}\"")).unwrap();
        assert_eq!(means, "\u{ffff}");
    }

    #[test]
    fn delays_are_whole_seconds_and_never_shorter() {
        for (millis, seconds) in
            [(-5_000, 0), (0, 0), (1, 1), (1_000, 1), (1_001, 2), (900_000, 900), (900_001, 900)]
        {
            assert_eq!(whole_seconds(SignedDuration::from_millis(millis)), seconds, "{millis} ms");
        }
    }

    #[test]
    fn a_reason_fits_and_is_never_empty() {
        assert_eq!(cleaned(" two\nlines "), "two lines");
        assert_eq!(cleaned("\u{0}"), "no reason was given");
        let long = cleaned(&"警".repeat(2_000));
        assert!(long.len() <= MAX_REASON_BYTES && long.len() > MAX_REASON_BYTES - 4, "{}", long.len());
    }

    #[test]
    fn a_receipt_keeps_its_message() {
        let body = "{\n}";
        assert_eq!(parts(&SqsQueue::receipt("AQEB/+=", body)), ("AQEB/+=", Some(body)));
        assert_eq!(parts(&Receipt("AQEB".to_owned())), ("AQEB", None));
    }
}
