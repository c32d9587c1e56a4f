//! Advanced hunting: one query, its rows as they come.
//!
//! Two of Microsoft's interfaces take the same queries: Graph's `security/runHuntingQuery` and Defender's own
//! `advancedqueries/run`, which ends on 2027-02-01. Which one is asked is a setting; what they answer differently is made
//! the same here. Which windows of time to ask for, and what rows mean, is `hunt`'s business.

mod answer;
mod refusal;
mod row;

pub(crate) use answer::read;
pub(crate) use refusal::judged;
pub use row::Row;

use crate::{
    ApiError, Call, Reader,
    error::Answer,
    send::{Lost, Request},
};
use credentials::Api;
use jiff::SignedDuration;
use reqwest::Method;
use std::time::{Duration, Instant};

/// The most rows that either interface answers with: an answer of so many may have been cut off. Source: Microsoft's pages
/// "runHuntingQuery" and "Advanced hunting API".
pub const MOST_ROWS: usize = 100_000;

/// The most that an answer may weigh before it is taken for too large and asked for in parts. An answer is held in memory
/// once, while its rows are read one by one.
pub const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A column of an answer, as the answer's schema has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Microsoft's word for its type, such as `DateTime`, `String`, `Int64`, `Object`; empty where the answer has no schema.
    pub kind: String,
}

/// What a query has answered, beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HuntAnswer {
    /// In the order of the answer; where it has no schema, those that its rows have.
    pub columns: Vec<Column>,
    /// How many rows came, readable or not.
    pub rows: usize,
    /// How many of them could not be read.
    pub unreadable: usize,
    /// How long the service took for it, by its own word or else as far as the caller can tell.
    pub took: SignedDuration,
}

/// A query that was not answered, or not whole; named for what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HuntError {
    /// The answer is cut off or too large, or the service says that the query needs too much: ask for less time at once.
    #[error("{why}")]
    TooMuch { why: String },
    /// No answer came in time, or a gateway gave up waiting. Less time may help; but the service may be ailing just as
    /// well, and then nothing is wrong with the query: it is to be asked again later.
    #[error("{why}")]
    TookTooLong { why: String },
    /// The service refuses the query itself.
    #[error("the service refuses the query: {0}")]
    Broken(Answer),
    /// A quota is used up: of calls, or of the time that queries may run. Nothing is to be asked before that time.
    #[error("the quota of hunting is used up for {} s: {why}", .retry_after.as_secs())]
    UsedUp { retry_after: SignedDuration, why: String },
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// How long a query may run, by Microsoft's pages: on Graph three minutes, on Defender's interface 200 seconds.
fn longest(api: Api) -> SignedDuration {
    match api {
        Api::Graph => SignedDuration::from_secs(180),
        Api::Defender => SignedDuration::from_secs(200),
    }
}

impl Reader {
    /// Runs a query, once: nothing is tried again, because every try costs quota; only a rejected token is replaced. Its rows
    /// are given to `row` one by one, as they are read; where the answer is an error, some rows may have been given
    /// before. The app needs `ThreatHunting.Read.All` on Graph, `AdvancedQuery.Read.All` on Defender's interface.
    pub async fn hunt(
        &self,
        query: &str,
        call: Call,
        row: &mut (dyn FnMut(Row) + Send),
    ) -> Result<HuntAnswer, HuntError> {
        let api = self.hunting_api;
        let (route, path) = match api {
            Api::Graph => ("POST runHuntingQuery", "/security/runHuntingQuery"),
            Api::Defender => ("POST advancedqueries", "/advancedqueries/run"),
        };
        let body = serde_json::json!({ "Query": query }).to_string();
        let request = Request { route, method: Method::POST, path, body: Some(body) };
        let timeout = call.budget.clamp(SignedDuration::from_secs(1), longest(api));
        let timeout = Duration::try_from(timeout).unwrap_or_default();
        #[expect(
            clippy::disallowed_methods,
            reason = "people are told how long a hunt takes; nothing is decided by it"
        )]
        let started = Instant::now();
        let heard = match self.transport(api).exchange(&request, call.now, timeout, MOST_BYTES).await {
            Ok(heard) => heard,
            Err(Lost::TimedOut(_)) => {
                let why = format!("the query was not answered within {} s", timeout.as_secs());
                return Err(HuntError::TookTooLong { why });
            }
            Err(Lost::TooLarge(most)) => {
                let why = format!("the answer is larger than {} MB", most / 1024 / 1024);
                return Err(HuntError::TooMuch { why });
            }
            Err(Lost::Otherwise(error)) => return Err(error.into()),
        };
        let waited = SignedDuration::try_from(started.elapsed()).unwrap_or_default();
        if !heard.status.is_success() {
            return Err(judged(heard.status, heard.retry_after, &heard.body, &heard.token));
        }
        let mut answer = read(&heard.good()?, row)?;
        if answer.took.is_zero() {
            answer.took = waited;
        }
        Ok(answer)
    }
}
