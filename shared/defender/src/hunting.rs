//! Advanced hunting: one query, its rows as they come.
//!
//! Two of Microsoft's interfaces take the same queries: Graph's `security/runHuntingQuery` and Defender's own
//! `advancedqueries/run`, which ends on 2027-02-01. Which one is asked is a setting; what they answer differently is made
//! the same here. Which windows of time to ask for, and what rows mean, is `hunt`'s business.

use crate::{ApiError, Call, Reader, error::Answer};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

/// The most rows that either interface answers with: an answer of so many may have been cut off. Source: Microsoft's pages
/// "runHuntingQuery" and "Advanced hunting API".
pub const MOST_ROWS: usize = 100_000;

/// The most that an answer may weigh before it is taken for too large and asked for in parts.
pub const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A column of an answer, as the answer's schema has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Microsoft's word for its type, such as `DateTime`, `String`, `Int64`, `Object`; empty where the answer has no schema.
    pub kind: String,
}

/// A row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    values: Map<String, Value>,
}

/// What a query has answered, beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HuntAnswer {
    /// In the order of the answer.
    pub columns: Vec<Column>,
    /// How many rows came, readable or not.
    pub rows: usize,
    /// How many of them could not be read.
    pub unreadable: usize,
    /// How long the service took for it, as far as the caller can tell.
    pub took: SignedDuration,
}

/// A query that was not answered, or not whole; named for what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HuntError {
    /// The answer is cut off or too large, or the query runs for too long: ask for less time at once.
    #[error("{why}")]
    TooMuch { why: String },
    /// The service refuses the query itself.
    #[error("the service refuses the query: {0}")]
    Broken(Answer),
    /// A quota is used up: of calls, or of the time that queries may run. Nothing is to be asked before that time.
    #[error("the quota of hunting is used up for {} s: {why}", .retry_after.as_secs())]
    UsedUp { retry_after: SignedDuration, why: String },
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Row {
    pub fn new(values: Map<String, Value>) -> Row {
        Row { values }
    }

    /// The value of a column; none where the row has none, or null.
    pub fn value(&self, column: &str) -> Option<&Value> {
        self.values.get(column).filter(|value| !value.is_null())
    }

    /// The value as text: a text as it is, everything else as JSON. None where there is none, or only blanks.
    pub fn text(&self, column: &str) -> Option<String> {
        let text = match self.value(column)? {
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        (!text.is_empty()).then_some(text)
    }

    /// The value as a time.
    pub fn time(&self, column: &str) -> Option<Timestamp> {
        crate::wire::parse_time(self.value(column)?.as_str()?)
    }
}

impl Reader {
    /// Runs a query, once: nothing is tried again, because every try costs quota. Its rows are given to `row` one by one, as
    /// they are read; where the answer is an error, some rows may have been given before.
    pub async fn hunt(
        &self,
        query: &str,
        call: Call,
        row: &mut (dyn FnMut(Row) + Send),
    ) -> Result<HuntAnswer, HuntError> {
        let _ = (query, call, row);
        Err(HuntError::TooMuch { why: "not built yet".to_owned() })
    }
}
