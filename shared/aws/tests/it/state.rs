//! The state: the conformance suite, and what is DynamoDB's own.

use crate::{emulator, now, unused};
use aws::DynamoState;
use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    },
};
use jiff::SignedDuration;
use ports::{CommitError, Expect, Key, StateBackend, StateError, Write, conformance};
use std::sync::Arc;

/// A new table and its name. TTL is off: the suite's `now` is not the service's.
async fn table() -> (DynamoState, Client, String) {
    let config = emulator().await;
    let (client, name) = (Client::new(&config), unused("state"));
    let mut create = client.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
    for (part, key_type) in [("partition", KeyType::Hash), ("sort", KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(part);
        let attribute = attribute.attribute_type(ScalarAttributeType::S).build().unwrap();
        let key = KeySchemaElement::builder().attribute_name(part).key_type(key_type).build().unwrap();
        create = create.attribute_definitions(attribute).key_schema(key);
    }
    create.send().await.unwrap();
    (DynamoState::new(&config, &name), client, name)
}

fn key(sort: &str) -> Key {
    Key { partition: "p".to_owned(), sort: sort.to_owned() }
}

fn put(sort: &str) -> Write {
    Write::Put { key: key(sort), value: b"{}".to_vec(), expect: Expect::Any, expires: None }
}

#[tokio::test]
async fn dynamodb_keeps_the_promises_of_a_state() {
    conformance::state(async || table().await.0).await;
}

/// Each adds one to two numbers, in one commit, again until it is done.
#[tokio::test]
async fn nothing_is_lost_when_many_count_at_once() {
    let (state, _, _) = table().await;
    let state = Arc::new(state);
    let racers = (0..6).map(|_| {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            for _ in 0..10 {
                while !count(&state).await {}
            }
        })
    });
    for racer in racers.collect::<Vec<_>>() {
        racer.await.unwrap();
    }
    for name in ["left", "right"] {
        assert_eq!(state.get(&key(name), now()).await.unwrap().unwrap().value, b"60", "{name}");
    }
}

async fn count(state: &DynamoState) -> bool {
    let mut writes = Vec::new();
    for name in ["left", "right"] {
        let item = state.get(&key(name), now()).await.unwrap();
        let (expect, old) = item.map_or((Expect::Absent, 0), |item| {
            (Expect::Is(item.version), str::from_utf8(&item.value).unwrap().parse::<u32>().unwrap())
        });
        let value = (old + 1).to_string().into_bytes();
        writes.push(Write::Put { key: key(name), value, expect, expires: None });
    }
    match state.commit(&writes, now()).await {
        Ok(()) => true,
        Err(CommitError::Refused(_) | CommitError::Contended) => false,
        Err(unavailable) => panic!("{unavailable:?}"),
    }
}

#[tokio::test]
async fn an_item_can_be_read_by_people_and_by_ttl() {
    let (state, client, table) = table().await;
    let expires = now() + SignedDuration::from_millis(1_500);
    let write = Write::Put {
        key: key("a"),
        value: b"{\"n\":1}".to_vec(),
        expect: Expect::Any,
        expires: Some(expires),
    };
    state.commit(&[write], now()).await.unwrap();
    let get = client.get_item().table_name(&table).key("partition", AttributeValue::S("p".to_owned()));
    let stored = get.key("sort", AttributeValue::S("a".to_owned())).send().await.unwrap().item.unwrap();
    assert_eq!(stored["value"], AttributeValue::S("{\"n\":1}".to_owned()));
    let whole = expires.as_second() + 1;
    assert_eq!(stored["expires"], AttributeValue::N(whole.to_string()), "never before it has expired");
    assert_eq!(stored["expires_at_us"], AttributeValue::N(expires.as_microsecond().to_string()));
    let just_before = expires - SignedDuration::from_micros(1);
    assert!(state.get(&key("a"), just_before).await.unwrap().is_some());
    assert!(state.get(&key("a"), expires).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_not_ours_is_unreadable_and_named() {
    let (state, client, table) = table().await;
    let foreign = client.put_item().table_name(&table).item("partition", AttributeValue::S("p".to_owned()));
    let foreign = foreign.item("sort", AttributeValue::S("foreign".to_owned()));
    foreign.item("value", AttributeValue::Bool(true)).send().await.unwrap();
    let failure = state.get(&key("foreign"), now()).await.unwrap_err();
    assert!(
        matches!(&failure, StateError::Unreadable { key, why } if key.sort == "foreign" && why.contains("`version`")),
        "{failure}"
    );
}

#[tokio::test]
async fn a_key_that_dynamodb_cannot_hold_is_refused_for_certain() {
    let (state, _, _) = table().await;
    for sort in [String::new(), "x".repeat(1_025)] {
        for writes in [vec![put(&sort)], vec![put("fine"), put(&sort)]] {
            let failure = state.commit(&writes, now()).await.unwrap_err();
            assert!(matches!(failure, CommitError::Unavailable { maybe_written: false, .. }), "{failure:?}");
        }
    }
    assert_eq!(state.get(&key("fine"), now()).await.unwrap(), None);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_unavailable() {
    let state = DynamoState::new(&emulator().await, unused("never-made"));
    let StateError::Unavailable(why) = state.get(&key("a"), now()).await.unwrap_err() else { panic!() };
    assert!(why.contains("ResourceNotFoundException"), "{why}");
    let failure = state.commit(&[put("a")], now()).await.unwrap_err();
    assert!(matches!(failure, CommitError::Unavailable { maybe_written: false, .. }), "{failure:?}");
}
