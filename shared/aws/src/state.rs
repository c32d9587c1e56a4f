//! The state over DynamoDB: one table, an item per key, conditions on the item's version and expiry.
//!
//! An item: `partition` and `sort` (the key), `value` (JSON as text, so that it can be read in the console; what is
//! not UTF-8 as bytes), `version`, and where it expires `expires` (whole seconds, rounded up: the table's TTL
//! attribute) and `expires_at_us` (microseconds: what counts). The service removes expired items some time within
//! days, so that it has removed one is never relied on, in no read and in no condition.
//!
//! Nothing here waits before it tries again: reads are retried by the SDK, writes by whoever asked for them.

use crate::said::{code, maybe_done, words};
use async_trait::async_trait;
use aws_config::{SdkConfig, retry::RetryConfig};
use aws_sdk_dynamodb::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::transact_write_items::TransactWriteItemsError,
    primitives::Blob,
    types::{
        AttributeValue, CancellationReason, ConditionCheck, Delete, KeysAndAttributes, Put, TransactWriteItem,
    },
};
use jiff::Timestamp;
use ports::{CommitError, Expect, Item, Key, Page, StateBackend, StateError, Version, Write, impossible};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

type Attributes = HashMap<String, AttributeValue>;

const PARTITION: &str = "partition";
const SORT: &str = "sort";
const VALUE: &str = "value";
const VERSION: &str = "version";
const EXPIRES: &str = "expires";
const EXPIRES_AT_US: &str = "expires_at_us";

/// The most that the parts of a key may weigh, in bytes.
const MAX_PARTITION_BYTES: usize = 2_048;
const MAX_SORT_BYTES: usize = 1_024;

/// The most keys in one `BatchGetItem`.
const MAX_BATCH_GET: usize = 100;

/// How often in a row a batch may bring nothing of what it was asked for.
const MAX_FRUITLESS: usize = 3;

/// How often a transaction is sent, if no answer comes.
const TRANSACTION_ATTEMPTS: usize = 2;

/// One table.
#[derive(Debug, Clone)]
pub struct DynamoState {
    client: Client,
    table: String,
}

impl DynamoState {
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> DynamoState {
        DynamoState { client: Client::new(config), table: table.into() }
    }
}

#[async_trait]
impl StateBackend for DynamoState {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Item>, StateError> {
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer =
            get.set_key(Some(key_attributes(key))).send().await.map_err(|error| unavailable(&error))?;
        answer.item.map_or(Ok(None), |attributes| item(attributes, now))
    }

    async fn batch_get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Item>>, StateError> {
        // A batch must not name a key twice.
        let distinct: Vec<&Key> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut found: HashMap<Key, Item> = HashMap::new();
        for some in distinct.chunks(MAX_BATCH_GET) {
            for attributes in self.get_some(some).await? {
                if let Some(item) = item(attributes, now)? {
                    found.insert(item.key.clone(), item);
                }
            }
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        page: Option<&str>,
        now: Timestamp,
    ) -> Result<Page<Item>, StateError> {
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .expression_attribute_names("#partition", PARTITION)
            .expression_attribute_values(":partition", text(partition));
        // The empty prefix is none: an empty value may not be compared with a part of the key.
        query = if prefix.is_empty() {
            query.key_condition_expression("#partition = :partition")
        } else {
            query
                .key_condition_expression("#partition = :partition AND begins_with(#sort, :prefix)")
                .expression_attribute_names("#sort", SORT)
                .expression_attribute_values(":prefix", text(prefix))
        };
        // A page's name is the sort key of the last item that was looked at, expired or not.
        if let Some(page) = page {
            let after = Key { partition: partition.to_owned(), sort: page.to_owned() };
            query = query.set_exclusive_start_key(Some(key_attributes(&after)));
        }
        let answer = query.send().await.map_err(|error| unavailable(&error))?;
        let next = match answer.last_evaluated_key {
            Some(last) => Some(key(&last)?.sort),
            None => None,
        };
        let mut items = Vec::new();
        for attributes in answer.items.unwrap_or_default() {
            items.extend(item(attributes, now)?);
        }
        Ok(Page { items, next })
    }

    async fn commit(&self, writes: &[Write], now: Timestamp) -> Result<(), CommitError> {
        if let Some(why) = impossible(writes).or_else(|| writes.iter().find_map(unfit)) {
            return Err(CommitError::Unavailable { why, maybe_written: false });
        }
        match writes {
            [] => Ok(()),
            [Write::Put { key, value, expect, expires }] => {
                self.put(key, value, *expect, *expires, now).await
            }
            [Write::Delete { key, expect }] => self.delete(key, *expect, now).await,
            [Write::Check { .. }] | [_, _, ..] => self.transaction(writes, now).await,
        }
    }
}

impl DynamoState {
    async fn get_some(&self, keys: &[&Key]) -> Result<Vec<Attributes>, StateError> {
        let mut found = Vec::new();
        let mut asked: Vec<Attributes> = keys.iter().map(|key| key_attributes(key)).collect();
        let mut fruitless = 0;
        while !asked.is_empty() {
            let wanted = KeysAndAttributes::builder().set_keys(Some(asked)).consistent_read(true).build();
            let wanted = wanted.map_err(|error| StateError::Unavailable(error.to_string()))?;
            let batch = self.client.batch_get_item().request_items(&self.table, wanted);
            let answer = batch.send().await.map_err(|error| unavailable(&error))?;
            let of_table = answer.responses.and_then(|mut tables| tables.remove(&self.table));
            let came = of_table.unwrap_or_default();
            let left = answer.unprocessed_keys.and_then(|mut tables| tables.remove(&self.table));
            asked = left.map(|left| left.keys).unwrap_or_default();
            fruitless = if came.is_empty() { fruitless + 1 } else { 0 };
            if fruitless >= MAX_FRUITLESS && !asked.is_empty() {
                return Err(StateError::Unavailable(format!("{} items were not read", asked.len())));
            }
            found.extend(came);
        }
        Ok(found)
    }

    /// One item alone. It is half the price of a transaction, but has no token that would make a repetition
    /// harmless, so it is sent once: a second time it might refuse what the first time wrote.
    async fn put(
        &self,
        key: &Key,
        value: &[u8],
        expect: Expect,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), CommitError> {
        let condition = Condition::new(expect, now);
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(attributes(key, value, expires)))
            .set_condition_expression(condition.expression)
            .set_expression_attribute_names(condition.names)
            .set_expression_attribute_values(condition.values)
            .customize()
            .config_override(once())
            .send()
            .await
            .map(drop)
            .map_err(|error| lone_failure(&error))
    }

    /// As `put`.
    async fn delete(&self, key: &Key, expect: Expect, now: Timestamp) -> Result<(), CommitError> {
        let condition = Condition::new(expect, now);
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key_attributes(key)))
            .set_condition_expression(condition.expression)
            .set_expression_attribute_names(condition.names)
            .set_expression_attribute_values(condition.values)
            .customize()
            .config_override(once())
            .send()
            .await
            .map(drop)
            .map_err(|error| lone_failure(&error))
    }

    /// Several writes. Their token makes a repetition harmless for ten minutes: the service answers it as it
    /// answered the first. So where no answer came they are sent once more, unless that says nothing either.
    async fn transaction(&self, writes: &[Write], now: Timestamp) -> Result<(), CommitError> {
        let items: Result<Vec<_>, _> = writes.iter().map(|write| self.part(write, now)).collect();
        let items = items
            .map_err(|error| CommitError::Unavailable { why: error.to_string(), maybe_written: false })?;
        let token = Uuid::new_v4().to_string();
        let mut unanswered = None;
        for _ in 0..TRANSACTION_ATTEMPTS {
            let transaction = self.client.transact_write_items();
            let transaction =
                transaction.set_transact_items(Some(items.clone())).client_request_token(&token);
            let failure = match transaction.customize().config_override(once()).send().await {
                Ok(_) => return Ok(()),
                Err(error) => transaction_failure(&error),
            };
            match failure {
                CommitError::Unavailable { why, maybe_written: true } => unanswered = Some(why),
                // The first was not done, and will not be: the same token cannot be refused and done.
                CommitError::Refused(_) => return Err(failure),
                CommitError::Contended | CommitError::Unavailable { maybe_written: false, .. } => {
                    return Err(match unanswered {
                        Some(why) => CommitError::Unavailable { why, maybe_written: true },
                        None => failure,
                    });
                }
            }
        }
        Err(CommitError::Unavailable { why: unanswered.unwrap_or_default(), maybe_written: true })
    }

    fn part(
        &self,
        write: &Write,
        now: Timestamp,
    ) -> Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError> {
        let part = TransactWriteItem::builder();
        let part = match write {
            Write::Put { key, value, expect, expires } => {
                let condition = Condition::new(*expect, now);
                part.put(
                    Put::builder()
                        .table_name(&self.table)
                        .set_item(Some(attributes(key, value, *expires)))
                        .set_condition_expression(condition.expression)
                        .set_expression_attribute_names(condition.names)
                        .set_expression_attribute_values(condition.values)
                        .build()?,
                )
            }
            Write::Delete { key, expect } => {
                let condition = Condition::new(*expect, now);
                part.delete(
                    Delete::builder()
                        .table_name(&self.table)
                        .set_key(Some(key_attributes(key)))
                        .set_condition_expression(condition.expression)
                        .set_expression_attribute_names(condition.names)
                        .set_expression_attribute_values(condition.values)
                        .build()?,
                )
            }
            Write::Check { key, expect } => {
                let condition = Condition::of_check(*expect, now);
                part.condition_check(
                    ConditionCheck::builder()
                        .table_name(&self.table)
                        .set_key(Some(key_attributes(key)))
                        .set_condition_expression(condition.expression)
                        .set_expression_attribute_names(condition.names)
                        .set_expression_attribute_values(condition.values)
                        .build()?,
                )
            }
        };
        Ok(part.build())
    }
}

/// An expectation in DynamoDB's words.
#[derive(Debug, Default)]
struct Condition {
    expression: Option<String>,
    names: Option<HashMap<String, String>>,
    values: Option<Attributes>,
}

impl Condition {
    fn new(expect: Expect, now: Timestamp) -> Condition {
        let now = (":now", number(now.as_microsecond()));
        match expect {
            Expect::Any => Condition::default(),
            Expect::Absent => Condition::words(
                "attribute_not_exists(#partition) OR #expires_at_us <= :now",
                &[("#partition", PARTITION), ("#expires_at_us", EXPIRES_AT_US)],
                vec![now],
            ),
            Expect::Is(Version(version)) => Condition::words(
                "#version = :version AND (attribute_not_exists(#expires_at_us) OR #expires_at_us > :now)",
                &[("#version", VERSION), ("#expires_at_us", EXPIRES_AT_US)],
                vec![now, (":version", number(version))],
            ),
        }
    }

    /// A check must say something, even where anything will do.
    fn of_check(expect: Expect, now: Timestamp) -> Condition {
        match expect {
            Expect::Any => {
                let either = "attribute_exists(#partition) OR attribute_not_exists(#partition)";
                let Condition { expression, names, .. } =
                    Condition::words(either, &[("#partition", PARTITION)], Vec::new());
                Condition { expression, names, values: None }
            }
            Expect::Absent | Expect::Is(_) => Condition::new(expect, now),
        }
    }

    fn words(expression: &str, names: &[(&str, &str)], values: Vec<(&str, AttributeValue)>) -> Condition {
        Condition {
            expression: Some(expression.to_owned()),
            names: Some(names.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned())).collect()),
            values: Some(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        }
    }
}

/// An item as it is written, with a version that was never used: 64 random bits from the operating system.
fn attributes(key: &Key, value: &[u8], expires: Option<Timestamp>) -> Attributes {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    let mut attributes = key_attributes(key);
    let value = match str::from_utf8(value) {
        Ok(value) => text(value),
        Err(_) => AttributeValue::B(Blob::new(value)),
    };
    attributes.insert(VALUE.to_owned(), value);
    // The few bits of an UUID that are not random stand at different places in its halves.
    attributes.insert(VERSION.to_owned(), number(high ^ low));
    if let Some(expires) = expires {
        let seconds = expires.as_second().saturating_add(i64::from(expires.subsec_nanosecond() > 0));
        attributes.insert(EXPIRES.to_owned(), number(seconds));
        attributes.insert(EXPIRES_AT_US.to_owned(), number(expires.as_microsecond()));
    }
    attributes
}

/// The item that attributes describe; none if it has expired.
fn item(mut attributes: Attributes, now: Timestamp) -> Result<Option<Item>, StateError> {
    let key = key(&attributes)?;
    if let Some(expires) = attributes.get(EXPIRES_AT_US) {
        let expires: i64 = read_number(&key, EXPIRES_AT_US, expires)?;
        if expires <= now.as_microsecond() {
            return Ok(None);
        }
    }
    let version = attributes.get(VERSION).ok_or_else(|| unreadable(&key, VERSION))?;
    let version = Version(read_number(&key, VERSION, version)?);
    let value = match attributes.remove(VALUE) {
        Some(AttributeValue::S(value)) => value.into_bytes(),
        Some(AttributeValue::B(value)) => value.into_inner(),
        _ => return Err(unreadable(&key, VALUE)),
    };
    Ok(Some(Item { key, value, version }))
}

fn key_attributes(key: &Key) -> Attributes {
    [(PARTITION.to_owned(), text(&key.partition)), (SORT.to_owned(), text(&key.sort))].into()
}

fn key(attributes: &Attributes) -> Result<Key, StateError> {
    let part = |name: &str| attributes.get(name).and_then(|value| value.as_s().ok()).cloned();
    match (part(PARTITION), part(SORT)) {
        (Some(partition), Some(sort)) => Ok(Key { partition, sort }),
        _ => Err(StateError::Unavailable(
            "the table's keys are not the strings `partition` and `sort`".to_owned(),
        )),
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

fn read_number<N: std::str::FromStr>(key: &Key, name: &str, value: &AttributeValue) -> Result<N, StateError> {
    let number = value.as_n().ok().and_then(|number| number.parse().ok());
    number.ok_or_else(|| unreadable(key, name))
}

fn unreadable(key: &Key, name: &str) -> StateError {
    let why = format!("its attribute `{name}` is missing or not of its type");
    StateError::Unreadable { key: key.clone(), why }
}

/// A key that DynamoDB would not take.
fn unfit(write: &Write) -> Option<String> {
    let (key, _) = write.condition();
    let fits = |part: &str, most| (1..=most).contains(&part.len());
    let fit = fits(&key.partition, MAX_PARTITION_BYTES) && fits(&key.sort, MAX_SORT_BYTES);
    (!fit).then(|| format!("`{key}` is no key: a part of it is empty or too long"))
}

/// No repetition by the SDK.
fn once() -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::Config::builder().retry_config(RetryConfig::disabled())
}

fn unavailable<E>(error: &SdkError<E, HttpResponse>) -> StateError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    StateError::Unavailable(words(error))
}

fn lone_failure<E>(error: &SdkError<E, HttpResponse>) -> CommitError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match code(error) {
        Some("ConditionalCheckFailedException") => CommitError::Refused(0),
        Some(code) if is_contention(code) => CommitError::Contended,
        _ => CommitError::Unavailable { why: words(error), maybe_written: maybe_done(error) },
    }
}

fn transaction_failure(error: &SdkError<TransactWriteItemsError, HttpResponse>) -> CommitError {
    if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
        return cancellation(cancelled.cancellation_reasons());
    }
    match code(error) {
        Some(code) if is_contention(code) => CommitError::Contended,
        // An earlier sending of this very transaction is still under way.
        Some("TransactionInProgressException") => {
            CommitError::Unavailable { why: words(error), maybe_written: true }
        }
        _ => CommitError::Unavailable { why: words(error), maybe_written: maybe_done(error) },
    }
}

/// One reason per write, in order; `None` for those that nothing stood against.
fn cancellation(reasons: &[CancellationReason]) -> CommitError {
    let codes = || reasons.iter().map(|reason| reason.code().unwrap_or("None"));
    if let Some(refused) = codes().position(|code| code == "ConditionalCheckFailed") {
        return CommitError::Refused(refused);
    }
    if codes().any(is_contention) {
        return CommitError::Contended;
    }
    let said = reasons.iter().filter(|reason| reason.code() != Some("None"));
    let said = said.map(|reason| {
        format!("{}: {}", reason.code().unwrap_or("no code"), reason.message().unwrap_or("no message"))
    });
    let why = model::one_line(&said.collect::<Vec<_>>().join("; "), 400);
    CommitError::Unavailable { why: format!("the transaction was cancelled: {why}"), maybe_written: false }
}

/// Too much at once, on one item or altogether. Nothing was written. As an error and as a reason for a cancellation
/// these have different names.
fn is_contention(code: &str) -> bool {
    matches!(
        code.strip_suffix("Exception").unwrap_or(code),
        "TransactionConflict"
            | "ThrottlingError"
            | "Throttling"
            | "ProvisionedThroughputExceeded"
            | "RequestLimitExceeded"
            | "ReplicatedWriteConflict"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::{self, Answer, Canned};
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        "2026-03-01T08:00:00Z".parse().unwrap()
    }

    fn put(sort: &str) -> Write {
        let key = Key { partition: "p".to_owned(), sort: sort.to_owned() };
        Write::Put { key, value: b"{}".to_vec(), expect: Expect::Absent, expires: None }
    }

    fn error(code: &str) -> Answer {
        Answer::json(
            400,
            &json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "why" }),
        )
    }

    fn broken() -> Answer {
        Answer::json(500, &json!({ "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError" }))
    }

    fn cancelled(reasons: &[&str]) -> Answer {
        let reasons: Vec<Value> =
            reasons.iter().map(|code| json!({ "Code": code, "Message": "why" })).collect();
        Answer::json(
            400,
            &json!({
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "Message": "Transaction cancelled", "CancellationReasons": reasons,
            }),
        )
    }

    fn done() -> Answer {
        Answer::json(200, &json!({}))
    }

    /// What a commit comes to, in short, and the requests that it made.
    async fn commit(writes: &[Write], answers: Vec<Answer>) -> (String, Vec<Value>) {
        let service = Canned::start(answers);
        let state = DynamoState::new(&canned::config(service.endpoint()), "table");
        let result = match state.commit(writes, now()).await {
            Ok(()) => "done".to_owned(),
            Err(CommitError::Refused(index)) => format!("refused {index}"),
            Err(CommitError::Contended) => "contended".to_owned(),
            Err(CommitError::Unavailable { maybe_written: true, .. }) => "maybe written".to_owned(),
            Err(CommitError::Unavailable { maybe_written: false, .. }) => "not written".to_owned(),
        };
        (result, service.requests())
    }

    #[tokio::test]
    async fn what_becomes_of_one_write() {
        for (answer, expected) in [
            (done(), "done"),
            (error("ConditionalCheckFailedException"), "refused 0"),
            (error("TransactionConflictException"), "contended"),
            (error("ThrottlingException"), "contended"),
            (error("ProvisionedThroughputExceededException"), "contended"),
            (error("RequestLimitExceeded"), "contended"),
            (error("AccessDeniedException"), "not written"),
            (error("ResourceNotFoundException"), "not written"),
            (error("ValidationException"), "not written"),
            (broken(), "maybe written"),
            (Answer::json(503, &json!({})), "maybe written"),
            (Answer::HangUp, "maybe written"),
        ] {
            let case = format!("{answer:?}");
            let (result, requests) = commit(&[put("a")], vec![answer]).await;
            assert_eq!((result.as_str(), requests.len()), (expected, 1), "{case}: and sent once only");
        }
    }

    #[tokio::test]
    async fn what_becomes_of_several() {
        for (answers, expected) in [
            (vec![done()], "done"),
            (vec![cancelled(&["None", "ConditionalCheckFailed"])], "refused 1"),
            (vec![cancelled(&["TransactionConflict", "ConditionalCheckFailed"])], "refused 1"),
            (vec![cancelled(&["None", "TransactionConflict"])], "contended"),
            (vec![cancelled(&["ThrottlingError", "None"])], "contended"),
            (vec![cancelled(&["ProvisionedThroughputExceeded", "None"])], "contended"),
            (vec![cancelled(&["None", "ValidationError"])], "not written"),
            (vec![error("ThrottlingException")], "contended"),
            (vec![error("AccessDeniedException")], "not written"),
            // Without an answer it is sent once more, and only what that says for certain is certain.
            (vec![broken(), done()], "done"),
            (vec![Answer::HangUp, done()], "done"),
            (vec![error("TransactionInProgressException"), done()], "done"),
            (vec![broken(), cancelled(&["None", "ConditionalCheckFailed"])], "refused 1"),
            (vec![broken(), cancelled(&["None", "TransactionConflict"])], "maybe written"),
            (vec![broken(), error("ThrottlingException")], "maybe written"),
            (vec![broken(), broken()], "maybe written"),
            (vec![Answer::HangUp, Answer::HangUp], "maybe written"),
        ] {
            let (case, sent) = (format!("{answers:?}"), answers.len());
            let (result, requests) = commit(&[put("a"), put("b")], answers).await;
            assert_eq!((result.as_str(), requests.len()), (expected, sent), "{case}");
            let tokens: BTreeSet<String> =
                requests.iter().map(|request| request["ClientRequestToken"].to_string()).collect();
            assert_eq!(tokens.len(), 1, "{case}: every sending has the same token");
            let items: BTreeSet<String> =
                requests.iter().map(|request| request["TransactItems"].to_string()).collect();
            assert_eq!(items.len(), 1, "{case}: and says the same");
        }
    }

    #[tokio::test]
    async fn without_a_connection_nothing_was_written() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let state = DynamoState::new(&canned::config(&format!("http://{nobody}")), "table");
        for writes in [vec![put("a")], vec![put("a"), put("b")]] {
            let failure = state.commit(&writes, now()).await.unwrap_err();
            assert!(matches!(failure, CommitError::Unavailable { maybe_written: false, .. }), "{failure:?}");
        }
    }

    #[tokio::test]
    async fn what_a_batch_left_out_is_asked_for_again() {
        let stored = |sort: &str| json!({ "partition": { "S": "p" }, "sort": { "S": sort }, "value": { "S": "{}" }, "version": { "N": "7" } });
        let left = json!({ "table": { "Keys": [{ "partition": { "S": "p" }, "sort": { "S": "b" } }] } });
        let service = Canned::start(vec![
            Answer::json(200, &json!({ "Responses": { "table": [stored("a")] }, "UnprocessedKeys": left })),
            Answer::json(200, &json!({ "Responses": {}, "UnprocessedKeys": left })),
            Answer::json(200, &json!({ "Responses": { "table": [stored("b")] }, "UnprocessedKeys": {} })),
        ]);
        let state = DynamoState::new(&canned::config(service.endpoint()), "table");
        let keys = ["b", "a", "b"].map(|sort| Key { partition: "p".to_owned(), sort: sort.to_owned() });
        let items = state.batch_get(&keys, now()).await.unwrap();
        let found: Vec<&str> = items.iter().flatten().map(|item| item.key.sort.as_str()).collect();
        assert_eq!(found, ["b", "a", "b"]);
        let asked: Vec<usize> = service
            .requests()
            .iter()
            .map(|request| request["RequestItems"]["table"]["Keys"].as_array().unwrap().len())
            .collect();
        assert_eq!(asked, [2, 1, 1], "no key twice in one request, and later only what is left");
    }

    #[tokio::test]
    async fn a_batch_that_brings_nothing_ends() {
        let left = json!({ "table": { "Keys": [{ "partition": { "S": "p" }, "sort": { "S": "b" } }] } });
        let nothing = || Answer::json(200, &json!({ "Responses": {}, "UnprocessedKeys": left }));
        let service = Canned::start(vec![nothing(), nothing(), nothing()]);
        let state = DynamoState::new(&canned::config(service.endpoint()), "table");
        let key = Key { partition: "p".to_owned(), sort: "b".to_owned() };
        let failure = state.batch_get(&[key], now()).await.unwrap_err();
        assert!(failure.to_string().contains("1 items were not read"), "{failure}");
    }
}
