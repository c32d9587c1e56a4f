//! Reads an answer of either interface: its schema wherever it stands, and its rows one by one.
//!
//! Graph writes `schema`, `results`, `name`, `type`; Defender's interface begins each with a capital, and so does an older
//! example of Graph's page. Either is taken from either.

use super::{Column, HuntAnswer, HuntError, MOST_ROWS, Row, row::Kind};
use crate::{ApiError, Reached, wire};
use jiff::SignedDuration;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use std::fmt;

/// The most columns that are told of an answer that has no schema.
const MOST_COLUMNS: usize = 1_000;

/// The parts of an answer, unread.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(alias = "Schema", default, borrow)]
    schema: Option<&'a RawValue>,
    #[serde(alias = "Results", borrow)]
    results: &'a RawValue,
    #[serde(alias = "Stats", default, borrow)]
    stats: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(alias = "Name")]
    name: String,
    #[serde(alias = "Type", default)]
    r#type: Option<String>,
}

/// Gives the rows of an answer to `row`. A row that cannot be read is counted and left out. An answer with as many rows as
/// there can be is too much, after its rows have been given. `took` is what the answer says of it, or nothing.
pub(crate) fn read(body: &[u8], row: &mut dyn FnMut(Row)) -> Result<HuntAnswer, HuntError> {
    let text = String::from_utf8_lossy(body);
    // A list is no answer, though its elements could be taken for the parts.
    let parts: Option<Parts<'_>> =
        serde_json::from_str(&text).ok().filter(|_| text.trim_start().starts_with('{'));
    let Some(parts) = parts else {
        // What serde says of JSON of another shape may quote it.
        let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        return Err(if is_json { unreadable("it has no rows") } else { broken_off() });
    };
    if parts.error.is_some() {
        return Err(unreadable("it holds an error beside its rows"));
    }
    let schema = parts.schema.and_then(|schema| serde_json::from_str::<Vec<Named>>(schema.get()).ok());
    let columns = schema.unwrap_or_default().into_iter();
    let columns = columns.map(|Named { name, r#type }| Column { name, kind: r#type.unwrap_or_default() });
    let mut answer = HuntAnswer { columns: columns.collect(), ..HuntAnswer::default() };
    let kinds: Vec<(String, Kind)> = answer
        .columns
        .iter()
        .filter_map(|column| Some((column.name.clone(), Kind::named(&column.kind)?)))
        .collect();
    let has_schema = !answer.columns.is_empty();
    let each = Each(&mut |raw: &RawValue| {
        answer.rows += 1;
        let Ok(Value::Object(values)) = wire::parse(raw.get()) else {
            answer.unreadable += 1;
            return;
        };
        let mut read = Row::new(values);
        for (name, kind) in &kinds {
            read.make_typed(name, *kind);
        }
        read.pack();
        if !has_schema {
            note_columns(&read, &mut answer.columns);
        }
        row(read);
    });
    let mut rows = serde_json::Deserializer::from_str(parts.results.get());
    each.deserialize(&mut rows).map_err(|_| unreadable("its rows are no list"))?;
    if answer.rows >= MOST_ROWS {
        let why = format!("the answer has {} rows, the most that there can be", answer.rows);
        return Err(HuntError::TooMuch { why });
    }
    answer.took = parts.stats.and_then(took).unwrap_or_default();
    Ok(answer)
}

/// Notes the columns of a row that are not known yet.
fn note_columns(row: &Row, columns: &mut Vec<Column>) {
    for name in row.names() {
        if columns.len() < MOST_COLUMNS && !columns.iter().any(|column| column.name == name) {
            columns.push(Column { name: name.to_owned(), kind: String::new() });
        }
    }
}

/// What an answer says of how long it took, in seconds.
fn took(stats: &RawValue) -> Option<SignedDuration> {
    let stats: Value = serde_json::from_str(stats.get()).ok()?;
    let seconds = stats.get("ExecutionTime")?.as_f64()?;
    (0.0..86_400.0).contains(&seconds).then(|| SignedDuration::from_secs_f64(seconds))
}

fn unreadable(why: &str) -> HuntError {
    HuntError::Api(ApiError::Unreadable { why: format!("the answer to a hunting query: {why}") })
}

fn broken_off() -> HuntError {
    let why = "the answer is no JSON, or broke off".to_owned();
    HuntError::Api(ApiError::Unavailable { why, reached: Reached::Yes })
}

/// Takes the elements of a list one after the other, and keeps none.
struct Each<'f>(&'f mut dyn FnMut(&RawValue));

impl<'de> DeserializeSeed<'de> for Each<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Each<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(raw) = list.next_element::<&'de RawValue>()? {
            (self.0)(raw);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows_of(body: &str) -> (Result<HuntAnswer, HuntError>, Vec<Row>) {
        let mut rows = Vec::new();
        let answer = read(body.as_bytes(), &mut |row| rows.push(row));
        (answer, rows)
    }

    #[test]
    fn microsofts_examples_of_both_interfaces_are_read() {
        for (body, columns) in [
            (include_str!("../../../../simulator/samples/graph-runhuntingquery-result.json"), 3),
            (include_str!("../../../../simulator/samples/advancedquery-result.json"), 4),
        ] {
            let (answer, rows) = rows_of(body);
            let answer = answer.unwrap();
            assert_eq!(
                (answer.columns.len(), answer.rows, answer.unreadable, rows.len()),
                (columns, 2, 0, 2)
            );
            assert_eq!(
                (answer.columns[0].name.as_str(), answer.columns[0].kind.as_str()),
                ("Timestamp", "DateTime")
            );
            assert!(rows.iter().all(|row| row.time("Timestamp").is_some() && row.text("FileName").is_some()));
        }
    }

    #[test]
    fn the_schema_may_come_late_or_not_at_all() {
        let late = r#"{"Results":[{"B":"1","A":1}],"Schema":[{"Name":"A","Type":"SByte"},{"Name":"B","Type":"Int64"}]}"#;
        let (answer, rows) = rows_of(late);
        let names: Vec<String> = answer.unwrap().columns.into_iter().map(|column| column.name).collect();
        assert_eq!(names, ["A", "B"]);
        assert_eq!(rows[0].value("A"), Some(&json!(true)));
        assert_eq!(rows[0].value("B"), Some(&json!(1)));
        for absent in ["", r#""schema":null,"#, r#""schema":[],"#, r#""schema":{"x":1},"#] {
            let body = format!(r#"{{{absent}"results":[{{"B":1}},{{"A":1,"B":2}}]}}"#);
            let (answer, rows) = rows_of(&body);
            let answer = answer.unwrap();
            assert_eq!((answer.rows, rows.len()), (2, 2));
            let columns = ["B", "A"].map(|name| Column { name: name.to_owned(), kind: String::new() });
            assert_eq!(answer.columns, columns);
        }
    }

    #[test]
    fn one_row_that_cannot_be_read_leaves_its_neighbours_alone() {
        let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
        let body = format!(
            r#"{{"results":[{{"A":"x\ud83dy"}},5,{{"A":1e999}},null,{{"A":{deep}}},{{"A":"last"}}]}}"#
        );
        let (answer, rows) = rows_of(&body);
        let answer = answer.unwrap();
        assert_eq!((answer.rows, answer.unreadable), (6, 2));
        let texts: Vec<String> = rows.iter().map(|row| row.text("A").unwrap()).collect();
        assert_eq!((texts[0].as_str(), texts[3].as_str()), ("x\u{fffd}y", "last"));
    }

    #[test]
    fn half_an_answer_is_none_and_gives_no_row() {
        let whole = r#"{"schema":[{"name":"A","type":"String"}],"results":[{"A":"x"},{"A":"y"}]}"#;
        for length in 0..whole.len() {
            let (answer, rows) = rows_of(whole.get(..length).unwrap());
            assert!(
                matches!(answer, Err(HuntError::Api(ApiError::Unavailable { .. }))),
                "{length}: {answer:?}"
            );
            assert!(rows.is_empty(), "{length}");
        }
        assert_eq!(rows_of(whole).1.len(), 2);
    }

    #[test]
    fn an_answer_of_another_shape_is_not_taken_for_one_without_rows() {
        for body in [
            "{}",
            "[]",
            "[[],[],null,null]",
            r#"{"results":null}"#,
            r#"{"results":{}}"#,
            r#"{"results":"x"}"#,
            r#"{"results":[],"Results":[]}"#,
            r#"{"results":[],"error":{"code":"x"}}"#,
        ] {
            let (answer, _) = rows_of(body);
            assert!(matches!(answer, Err(HuntError::Api(ApiError::Unreadable { .. }))), "{body}: {answer:?}");
        }
        assert_eq!(rows_of(r#"{"results":[]}"#).0.unwrap().rows, 0);
    }

    #[test]
    fn how_long_it_took_is_the_services_word_where_it_gives_one() {
        let took =
            |stats: Value| rows_of(&json!({"Stats": stats, "Results": []}).to_string()).0.unwrap().took;
        assert_eq!(took(json!({"ExecutionTime": 4.5})), SignedDuration::from_millis(4_500));
        for stats in [
            json!(null),
            json!(7),
            json!({}),
            json!({"ExecutionTime": -1.0}),
            json!({"ExecutionTime": 1e300}),
        ] {
            assert_eq!(took(stats), SignedDuration::ZERO);
        }
    }

    #[test]
    fn as_many_rows_as_there_can_be_are_given_and_are_too_much() {
        let body = format!(r#"{{"results":[{}{{}}]}}"#, "{},".repeat(MOST_ROWS - 1));
        let (answer, rows) = rows_of(&body);
        assert!(matches!(answer, Err(HuntError::TooMuch { .. })));
        assert_eq!(rows.len(), MOST_ROWS);
        let body = format!(r#"{{"results":[{}{{}}]}}"#, "{},".repeat(MOST_ROWS - 2));
        assert_eq!(rows_of(&body).0.unwrap().rows, MOST_ROWS - 1);
    }
}
