//! Advanced hunting from stored tables, through Graph's `security/runHuntingQuery` and Defender's `advancedqueries/run`:
//! which rows a query is answered with, and the limits of both.
//!
//! It runs no KQL. A query is answered from the table whose marker stands in its text, and of its words only the window
//! is understood: `let CordonFrom = datetime(…);` and `let CordonTo = datetime(…);`, each on a line of its own. A name of
//! Cordon's that no `let` explains is refused, as KQL would.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::graph;
use crate::http::{Api, Done, Refusal, Request, is_json};
use crate::world::World;

/// How far back events are kept. Source: the pages of both interfaces.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How often Graph's share of computing begins anew. Source: Graph's page "Use the Microsoft Graph security API".
const CYCLE: SignedDuration = SignedDuration::from_mins(15);

/// The name under which a query finds the lists of `assets.toml`.
const ASSETS: &str = "CordonAssets";

/// What queries whose text holds `marker` are answered from; the first such table counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub marker: String,
    /// Name and Microsoft's word for the type, such as `DateTime`, `String`, `Int64`, `Object`. Where there is none, rows are
    /// shown with all that they have.
    pub columns: Vec<(String, String)>,
    pub rows: Vec<StoredRow>,
    /// How long a query runs. Nobody waits for it: it counts against the quota, and is too long in words.
    pub takes: SignedDuration,
    /// And how much longer for each hour of its window.
    pub takes_per_hour: SignedDuration,
    /// A query that the service refuses: status and message.
    pub error: Option<(u16, String)>,
    pub schema: Schema,
    /// Graph's schema with `Name` and `Type`, as one example of its page has it.
    pub older_casing: bool,
}

/// Where an answer has its schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Schema {
    #[default]
    BeforeRows,
    AfterRows,
    /// As Microsoft's generated connector knows the answer of Defender's.
    Absent,
}

/// A row, or many that differ in one column.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    /// The time of the event: what a window goes by.
    pub at: Timestamp,
    /// No query shows it before.
    pub visible_at: Timestamp,
    pub values: Values,
    pub copies: Option<Copies>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// By column. `Timestamp` is the time of the event, where nothing else is said; a column that is not here is null.
    Columns(Map<String, Value>),
    /// Stands in the answer as it is, JSON or not.
    Raw(String),
}

/// Makes many rows of one: the row of number n (from 0) is n times `every` later and has n in the column `counter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    pub count: u32,
    pub every: SignedDuration,
    pub counter: String,
}

/// The limits of hunting. Calls are limited like those of every route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HuntingLimits {
    /// An answer ends after so many rows, and does not say so.
    pub rows: usize,
    /// Defender's refuses an answer that is larger.
    pub bytes: usize,
    /// How long a query may run.
    pub defender_request: SignedDuration,
    pub graph_request: SignedDuration,
    /// How long all queries of the tenant together may run at Defender's in an hour, and in a day.
    pub defender_hour: SignedDuration,
    pub defender_day: SignedDuration,
    /// The same at Graph in a quarter of an hour. Microsoft names no number: the share depends on the tenant's size.
    pub graph_cycle: SignedDuration,
}

impl Default for HuntingLimits {
    /// As documented: 100,000 rows, 124 MB, 200 s and 180 s, 10 minutes an hour, 3 hours a day; assumed: 10 minutes a cycle.
    fn default() -> HuntingLimits {
        HuntingLimits {
            rows: 100_000,
            bytes: 124 * 1024 * 1024,
            defender_request: SignedDuration::from_secs(200),
            graph_request: SignedDuration::from_secs(180),
            defender_hour: SignedDuration::from_mins(10),
            defender_day: SignedDuration::from_hours(3),
            graph_cycle: SignedDuration::from_mins(10),
        }
    }
}

/// A query that was run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    api: Api,
    at: Timestamp,
    took: SignedDuration,
}

impl Table {
    /// An empty table that is answered from at once.
    pub fn new(marker: impl Into<String>) -> Table {
        Table {
            marker: marker.into(),
            columns: Vec::new(),
            rows: Vec::new(),
            takes: SignedDuration::ZERO,
            takes_per_hour: SignedDuration::ZERO,
            error: None,
            schema: Schema::default(),
            older_casing: false,
        }
    }

    #[must_use]
    pub fn column(mut self, name: &str, kind: &str) -> Table {
        self.columns.push((name.to_owned(), kind.to_owned()));
        self
    }

    #[must_use]
    pub fn columns(mut self, columns: &[(&str, &str)]) -> Table {
        self.columns.extend(columns.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())));
        self
    }

    /// A row that is visible at once. `values` is an object: by column.
    #[must_use]
    pub fn row(self, at: Timestamp, values: Value) -> Table {
        self.late_row(at, at, values)
    }

    /// A row that no query shows before `visible_at`.
    #[must_use]
    pub fn late_row(mut self, at: Timestamp, visible_at: Timestamp, values: Value) -> Table {
        self.rows.push(StoredRow { visible_at, ..StoredRow::new(at, values) });
        self
    }

    /// A row that stands in the answer as it is.
    #[must_use]
    pub fn raw_row(mut self, at: Timestamp, text: &str) -> Table {
        let values = Values::Raw(text.to_owned());
        self.rows.push(StoredRow { at, visible_at: at, values, copies: None });
        self
    }

    /// So many rows, each `every` later than the one before; the column `counter` numbers them from 0.
    #[must_use]
    pub fn many_rows(
        mut self,
        count: u32,
        at: Timestamp,
        every: SignedDuration,
        counter: &str,
        values: Value,
    ) -> Table {
        let copies = Some(Copies { count, every, counter: counter.to_owned() });
        self.rows.push(StoredRow { copies, ..StoredRow::new(at, values) });
        self
    }

    #[must_use]
    pub fn takes(mut self, takes: SignedDuration) -> Table {
        self.takes = takes;
        self
    }

    #[must_use]
    pub fn takes_per_hour(mut self, takes: SignedDuration) -> Table {
        self.takes_per_hour = takes;
        self
    }

    #[must_use]
    pub fn error(mut self, status: u16, message: &str) -> Table {
        self.error = Some((status, message.to_owned()));
        self
    }

    #[must_use]
    pub fn schema(mut self, schema: Schema) -> Table {
        self.schema = schema;
        self
    }

    #[must_use]
    pub fn older_casing(mut self) -> Table {
        self.older_casing = true;
        self
    }

    /// How long a query for this window runs.
    fn runs_for(&self, window: Window) -> SignedDuration {
        let length = window.to.duration_since(window.from).max(SignedDuration::ZERO);
        self.takes + self.takes_per_hour.mul_f64(length.as_secs_f64() / HOUR.as_secs_f64())
    }
}

impl StoredRow {
    /// A single row that is visible at once. `values` is an object: by column.
    pub fn new(at: Timestamp, values: Value) -> StoredRow {
        let values = match values {
            Value::Object(values) => values,
            _ => Map::new(),
        };
        StoredRow { at, visible_at: at, values: Values::Columns(values), copies: None }
    }

    /// Every row that it stands for: its number, its time, when it becomes visible.
    fn each(&self) -> impl Iterator<Item = (u32, Timestamp, Timestamp)> {
        let (count, every) =
            self.copies.as_ref().map_or((1, SignedDuration::ZERO), |copies| (copies.count, copies.every));
        (0..count).map(move |number| {
            let later = every * i32::try_from(number).unwrap_or(i32::MAX);
            (number, self.at + later, self.visible_at + later)
        })
    }

    /// What the row of this number has in a column; null where it has nothing.
    fn value(&self, column: &str, number: u32, at: Timestamp) -> Cow<'_, Value> {
        let Values::Columns(values) = &self.values else { return Cow::Owned(Value::Null) };
        if self.copies.as_ref().is_some_and(|copies| copies.counter == column) {
            return Cow::Owned(number.into());
        }
        match values.get(column) {
            Some(value) => Cow::Borrowed(value),
            None if column == "Timestamp" => Cow::Owned(seven_digits(at).into()),
            None => Cow::Owned(Value::Null),
        }
    }

    /// Appends the row of this number as it stands in an answer.
    fn write(&self, columns: &[(String, String)], number: u32, at: Timestamp, out: &mut Vec<u8>) {
        let values = match &self.values {
            Values::Raw(text) => {
                out.extend_from_slice(text.as_bytes());
                return;
            }
            Values::Columns(values) => values,
        };
        let counter = self.copies.as_ref().map(|copies| &copies.counter);
        let names: Vec<&str> = if columns.is_empty() {
            let own = values.keys().chain(counter).map(String::as_str);
            own.filter(|name| *name != "Timestamp").chain(["Timestamp"]).collect()
        } else {
            columns.iter().map(|(name, _)| name.as_str()).collect()
        };
        for (position, name) in names.into_iter().enumerate() {
            out.push(if position == 0 { b'{' } else { b',' });
            let value = self.value(name, number, at);
            // Writing JSON into memory does not fail.
            let _ = serde_json::to_writer(&mut *out, name);
            out.push(b':');
            let _ = serde_json::to_writer(&mut *out, value.as_ref());
        }
        out.push(b'}');
    }
}

/// The time as hunting prints it: UTC with seven fraction digits.
fn seven_digits(at: Timestamp) -> String {
    format!("{at:.7}")
}

/// The half-open window of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    from: Timestamp,
    to: Timestamp,
}

/// Refuses a query that comes while the time that queries may run is used up.
pub(crate) fn room(world: &mut World, api: Api) -> Result<(), Refusal> {
    let now = world.now;
    while world.runs.front().is_some_and(|run| now.duration_since(run.at) >= DAY) {
        world.runs.pop_front();
    }
    if !world.quotas {
        return Ok(());
    }
    let limits = &world.hunting;
    let runs: Vec<Run> = world.runs.iter().copied().filter(|run| run.api == api).collect();
    match api {
        Api::Defender => {
            let all = [
                (DAY, limits.defender_day, "03:00:00 per 1.00:00:00"),
                (HOUR, limits.defender_hour, "00:10:00 per 01:00:00"),
            ];
            for (length, limit, said) in all {
                if let Some(until) = free_again(&runs, now, length, limit) {
                    let message = format!("Running time quota exceeded! maximum allowed {said}");
                    return Err(Refusal::for_now(message, seconds_until(now, until)));
                }
            }
            Ok(())
        }
        Api::Graph => {
            let began = now.as_second().div_euclid(CYCLE.as_secs()) * CYCLE.as_secs();
            let used: SignedDuration =
                runs.iter().filter(|run| run.at.as_second() >= began).map(|run| run.took).sum();
            if used < limits.graph_cycle {
                return Ok(());
            }
            let next = Timestamp::from_second(began + CYCLE.as_secs()).unwrap_or(now);
            let seconds = seconds_until(now, next);
            // The words are of Microsoft's page "Handle advanced hunting errors".
            let message = format!(
                "You have exceeded processing resources allocated to this tenant. You can run queries again in {} minutes.",
                seconds.div_ceil(60)
            );
            Err(Refusal::for_now(message, seconds))
        }
    }
}

/// When there is room again, where there is none: once enough of the oldest runs are out of the last `length`.
fn free_again(
    runs: &[Run],
    now: Timestamp,
    length: SignedDuration,
    limit: SignedDuration,
) -> Option<Timestamp> {
    let recent: Vec<&Run> = runs.iter().filter(|run| now.duration_since(run.at) < length).collect();
    let mut used: SignedDuration = recent.iter().map(|run| run.took).sum();
    let mut free = None;
    for run in recent {
        if used < limit {
            break;
        }
        used -= run.took;
        free = Some(run.at + length);
    }
    free
}

/// Whole seconds, at least one.
fn seconds_until(now: Timestamp, then: Timestamp) -> u64 {
    let left = then.duration_since(now);
    let seconds = left.as_secs() + i64::from(left.subsec_nanos() > 0);
    u64::try_from(seconds).unwrap_or(0).max(1)
}

/// Answers a query.
pub(crate) fn run(world: &mut World, api: Api, request: &Request) -> Result<Done, Refusal> {
    let query = query(api, request)?;
    let window = window(world.now, &query)?;
    if query.contains(ASSETS) && said_to_be(&query, ASSETS).is_none() {
        return Err(unresolved(ASSETS));
    }
    let Some(table) = world.tables.iter().find(|table| query.contains(&table.marker)) else {
        return Ok(Done::ok(answer(world, api, &Table::new(""), window)));
    };
    if let Some((status, message)) = &table.error {
        let code = if *status == 400 { "BadRequest" } else { "InternalServerError" };
        return Err(Refusal::new(*status, code, message));
    }
    let longest = match api {
        Api::Defender => world.hunting.defender_request,
        Api::Graph => world.hunting.graph_request,
    };
    let takes = table.runs_for(window);
    let outcome = if takes > longest { Err(too_long(api)) } else { Ok(answer(world, api, table, window)) };
    world.runs.push_back(Run { api, at: world.now, took: takes.min(longest) });
    let body = outcome?;
    if api == Api::Defender && body.len() > world.hunting.bytes {
        let message = "Query execution has exceeded the allowed result size. Optimize your query by limiting the number of results and try again";
        return Err(Refusal::new(400, "BadRequest", message));
    }
    Ok(Done::ok(body))
}

/// A query that ran into its time limit. Graph's answer is one that users have shown (microsoftgraph/microsoft-graph-docs
/// issue 19954: 504 and no message); Defender's is assumed.
fn too_long(api: Api) -> Refusal {
    let message = match api {
        Api::Defender => "The query was cancelled: it ran for longer than a request may.",
        Api::Graph => "",
    };
    Refusal::new(504, "GatewayTimeout", message)
}

/// The query in a request's body.
fn query(api: Api, request: &Request) -> Result<String, Refusal> {
    let wrong = || Refusal::malformed("InvalidRequestBody", "Request body is incorrect");
    if !is_json(request) {
        return Err(wrong().broken_rule("a query without `Content-Type: application/json`"));
    }
    let kind = request.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if api == Api::Graph && !request.body.is_ascii() && !kind.contains("charset=utf-8") {
        // Graph's page asks for it; what happens without it is not documented.
        return Err(wrong().broken_rule("a query with letters beyond ASCII without `charset=utf-8`"));
    }
    let Ok(Value::Object(mut body)) = serde_json::from_str::<Value>(&request.body) else {
        return Err(wrong());
    };
    let query = body.remove("Query");
    if let Some(name) = body.keys().next() {
        let broken = format!("`{name}` is no member of a query's body here (case counts)");
        return Err(wrong().broken_rule(broken));
    }
    match query {
        Some(Value::String(query)) if !query.trim().is_empty() => Ok(query),
        _ => Err(Refusal::malformed("MissingRequiredParameter", "Required parameter is missing: Query")),
    }
}

/// The window that a query asks for, as far as events are kept and have happened.
fn window(now: Timestamp, query: &str) -> Result<Window, Refusal> {
    let (from, to) = (bound(query, "CordonFrom")?, bound(query, "CordonTo")?);
    let oldest = now - KEPT;
    Ok(Window {
        from: from.map_or(oldest, |from| from.max(oldest)),
        // What has no end goes up to and with this instant.
        to: to.unwrap_or(now + SignedDuration::from_nanos(1)),
    })
}

/// What a query's `let` says that this name is, as far as its line goes.
fn said_to_be<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("let ")?.trim_start().strip_prefix(name)?;
        rest.trim_start().strip_prefix('=').map(str::trim)
    })
}

fn unresolved(name: &str) -> Refusal {
    let message = format!("Failed to resolve table or scalar expression named '{name}'");
    Refusal::malformed("BadRequest", message)
        .broken_rule(format!("a query that uses `{name}` and does not say what it is"))
}

/// The time that a query says this name to be; none where the query does not have the name at all.
fn bound(query: &str, name: &str) -> Result<Option<Timestamp>, Refusal> {
    match said_to_be(query, name) {
        None if query.contains(name) => Err(unresolved(name)),
        None => Ok(None),
        Some(literal) => {
            let time = literal.strip_prefix("datetime(").and_then(|text| text.strip_suffix(");"));
            let time = time.and_then(|text| text.parse().ok());
            time.map(Some).ok_or_else(|| {
                Refusal::malformed("BadRequest", format!("Query could not be parsed at '{name}'"))
                    .broken_rule(format!("`{name}` is no datetime: {literal}"))
            })
        }
    }
}

/// The answer as the interface that was asked prints it.
fn answer(world: &World, api: Api, table: &Table, window: Window) -> Vec<u8> {
    let [schema_key, results_key, name_key, type_key] = match api {
        Api::Graph if table.older_casing => ["schema", "results", "Name", "Type"],
        Api::Graph => ["schema", "results", "name", "type"],
        Api::Defender => ["Schema", "Results", "Name", "Type"],
    };
    let columns = table.columns.iter().map(|(name, kind)| json!({ name_key: name, type_key: kind }));
    let schema = format!("\"{schema_key}\":{}", Value::Array(columns.collect()));
    let mut out = vec![b'{'];
    if api == Api::Graph {
        let context = graph::context(world, "microsoft.graph.security.huntingQueryResults");
        out.extend(format!("\"@odata.context\":{},", json!(context)).into_bytes());
    }
    if table.schema == Schema::BeforeRows {
        out.extend(format!("{schema},").into_bytes());
    }
    out.extend(format!("\"{results_key}\":[").into_bytes());
    let all = table.rows.iter().flat_map(|row| row.each().map(move |each| (row, each)));
    let asked = all
        .filter(|(_, (_, at, visible_at))| (window.from..window.to).contains(at) && *visible_at <= world.now);
    for (position, (row, (number, at, _))) in asked.take(world.hunting.rows).enumerate() {
        if position > 0 {
            out.push(b',');
        }
        row.write(&table.columns, number, at, &mut out);
    }
    out.push(b']');
    if table.schema == Schema::AfterRows {
        out.extend(format!(",{schema}").into_bytes());
    }
    out.push(b'}');
    out
}

/// Whether a table has an event with this report id on this device at exactly this time, and shows it.
pub(crate) fn has_event(world: &World, report_id: &str, machine: &str, time: &str) -> bool {
    let said = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    world.tables.iter().flat_map(|table| &table.rows).any(|row| {
        row.each().any(|(number, at, visible_at)| {
            visible_at <= world.now
                && [("ReportId", report_id), ("DeviceId", machine), ("Timestamp", time)]
                    .iter()
                    .all(|(column, wanted)| said(&row.value(column, number, at)) == *wanted)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_has_seven_fraction_digits() {
        for (given, printed) in [
            ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00.0000000Z"),
            ("2026-03-01T12:00:00.76886411Z", "2026-03-01T12:00:00.7688641Z"),
        ] {
            assert_eq!(seven_digits(at(given)), printed);
        }
    }

    #[test]
    fn the_window_of_a_query_is_read_from_its_lets() {
        let now = at("2026-03-01T12:00:00Z");
        let query = "let CordonFrom = datetime(2026-03-01T10:00:00.0000000Z);\r\n  let CordonTo=datetime(2026-03-01T11:00:00Z);\nT | where Timestamp >= CordonFrom and Timestamp < CordonTo";
        let read = window(now, query).unwrap();
        assert_eq!((read.from, read.to), (at("2026-03-01T10:00:00Z"), at("2026-03-01T11:00:00Z")));
        assert_eq!(window(now, "T | take 5").unwrap().from, now - KEPT);
        for wrong in [
            "T | where Timestamp >= CordonFrom",
            "let CordonFrom = now();\nT | where Timestamp >= CordonFrom",
            "let CordonTo = datetime(2026-03-01T11:00:00Z); T\n| where Timestamp < CordonTo",
        ] {
            window(now, wrong).expect_err(wrong);
        }
    }

    #[test]
    fn room_for_queries_comes_back_as_the_oldest_runs_leave_the_hour_and_the_day() {
        let mut world = World::new(at("2026-03-01T12:00:00Z"));
        let refused =
            |world: &mut World| room(world, Api::Defender).err().map(|refusal| format!("{refusal:?}"));
        for _ in 0..3 {
            assert_eq!(refused(&mut world), None);
            world.runs.push_back(Run {
                api: Api::Defender,
                at: world.now,
                took: SignedDuration::from_secs(200),
            });
            world.advance(SignedDuration::from_secs(60));
        }
        let said = refused(&mut world).unwrap();
        assert!(said.contains("00:10:00 per 01:00:00") && said.contains("Some(3420)"), "{said}");
        room(&mut world, Api::Graph).unwrap();
        world.advance(SignedDuration::from_secs(3_420));
        assert_eq!(refused(&mut world), None);
        world.hunting.defender_day = SignedDuration::from_secs(500);
        let said = refused(&mut world).unwrap();
        assert!(said.contains("per 1.00:00:00") && said.contains("Some(82800)"), "{said}");
        world.quotas = false;
        assert_eq!(refused(&mut world), None);
    }
}
