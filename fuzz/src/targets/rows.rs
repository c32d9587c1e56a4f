//! Rows as they are read from the state. Cordon wrote them, but another version of it may have, or a person by hand.

use super::{Target, assert_sayable, assert_survives};
use crate::seeds;
use async_trait::async_trait;
use jiff::Timestamp;
use ports::{
    Announced, Answered, Brakes, CaseRow, Claim, CommitError, Cursor, DeviceRow, Dropped, Fleet, Held, Item,
    Key, Observed, Once, Page, State, StateBackend, StateError, Stored, Telling, Told, Trouble, Version,
    Watch, Write,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Debug, pin::pin, sync::Arc, task};

pub(super) const TARGETS: [Target; 1] =
    [Target { name: "row", check: row, seeds: seeds::rows, words: &WORDS, cost: 2 }];

const WORDS: [&str; 9] = [
    "state",
    "requesting",
    "claim",
    "due",
    "spent",
    "held",
    "evidence",
    "2026-11-20T10:00:00.1234567Z",
    "1e5bc9d7e413ddd7902c2932e418702b84d0cc07",
];

/// A state in which the same bytes stand everywhere.
#[derive(Debug)]
struct Everywhere(Vec<u8>);

#[async_trait]
impl StateBackend for Everywhere {
    async fn get(&self, key: &Key, _: Timestamp) -> Result<Option<Item>, StateError> {
        Ok(Some(Item { key: key.clone(), value: self.0.clone(), version: Version(1) }))
    }

    async fn batch_get(&self, _: &[Key], _: Timestamp) -> Result<Vec<Option<Item>>, StateError> {
        Ok(Vec::new())
    }

    async fn query(&self, _: &str, _: &str, _: Option<&str>, _: Timestamp) -> Result<Page<Item>, StateError> {
        Ok(Page { items: Vec::new(), next: None })
    }

    async fn commit(&self, _: &[Write], _: Timestamp) -> Result<(), CommitError> {
        Ok(())
    }
}

fn row(input: &[u8]) {
    rows_of(input);
}

/// As which rows the bytes can be read, in the order of their names.
fn rows_of(input: &[u8]) -> [bool; 16] {
    let state = State::new(Arc::new(Everywhere(input.to_vec())));
    [
        read::<Announced>(&state),
        read::<Answered>(&state),
        read::<Brakes>(&state),
        read::<CaseRow>(&state),
        read::<Claim>(&state),
        read::<Cursor>(&state),
        read::<DeviceRow>(&state),
        read::<Dropped>(&state),
        read::<Fleet>(&state),
        read::<Held>(&state),
        read::<Observed>(&state),
        read::<Once>(&state),
        read::<Telling>(&state),
        read::<Told>(&state),
        read::<Trouble>(&state),
        read::<Watch>(&state),
    ]
}

fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(state: &State) -> bool {
    let key = Key { partition: "tenant#row".to_owned(), sort: "row".to_owned() };
    match at_once(state.get::<T>(&key, Timestamp::UNIX_EPOCH)) {
        Ok(Some(Stored { value, .. })) => {
            assert_survives(&value);
            true
        }
        Ok(None) => panic!("there is a row"),
        Err(error) => {
            assert_sayable(&error.to_string(), 400);
            false
        }
    }
}

/// The outcome of a future that has nothing to wait for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).as_mut().poll(&mut task::Context::from_waker(task::Waker::noop())) {
        task::Poll::Ready(outcome) => outcome,
        task::Poll::Pending => panic!("there is nothing to wait for"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_from_one_of_the_seeds() {
        let read = seeds::rows().iter().map(|seed| rows_of(seed)).fold([false; 16], |mut all, some| {
            all.iter_mut().zip(some).for_each(|(all, some)| *all |= some);
            all
        });
        assert_eq!(read, [true; 16]);
    }
}
