//! A row of an answer: its values by column, and by what lies within a column.
//!
//! What a row means is not known here. Microsoft's pages print the types `DateTime` and `String` alone. That a time is a text
//! in UTC, a whole number comes as a number or as its digits, and a truth as `true`, `True`, `1` under the type `SByte`, is
//! seen in answers and not promised: a value is read by what it looks like, and by its type only where it is of one of
//! these.

use crate::wire;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    values: Map<String, Value>,
}

impl Row {
    pub fn new(values: Map<String, Value>) -> Row {
        Row { values }
    }

    /// The value of a column; none where the row has none, or null. An object or a list of an answer is a text with its JSON.
    pub fn value(&self, column: &str) -> Option<&Value> {
        self.values.get(column).filter(|value| !value.is_null())
    }

    /// The value of a column, or of what lies within it: `AdditionalFields.Description` is the member of that name of what
    /// `AdditionalFields` holds, whether it came as JSON or as a text with JSON in it. JSON that is broken holds nothing.
    /// A column whose own name has dots comes first.
    pub fn at(&self, path: &str) -> Option<Cow<'_, Value>> {
        if let Some(value) = self.value(path) {
            return Some(Cow::Borrowed(value));
        }
        let (column, rest) = path.split_once('.')?;
        within(Cow::Borrowed(self.value(column)?), rest)
    }

    /// The value at a path as text: a text as it is, everything else as JSON. None where there is none, or only blanks.
    pub fn text(&self, path: &str) -> Option<String> {
        let text = match self.at(path)?.as_ref() {
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        (!text.is_empty()).then_some(text)
    }

    /// The value at a path as a time.
    pub fn time(&self, path: &str) -> Option<Timestamp> {
        wire::parse_time(self.at(path)?.as_str()?.trim())
    }

    /// The names of the columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Objects and lists as their JSON: as a tree they take many times the memory.
    pub(super) fn pack(&mut self) {
        for value in self.values.values_mut().filter(|value| value.is_object() || value.is_array()) {
            *value = Value::String(value.to_string());
        }
    }

    /// The same value written in the same way, however this interface writes it.
    pub(super) fn make_typed(&mut self, column: &str, kind: Kind) {
        if let Some(value) = self.values.get_mut(column)
            && let Some(typed) = kind.of(value)
        {
            *value = typed;
        }
    }
}

/// What lies at a path within a value.
fn within<'v>(value: Cow<'v, Value>, path: &str) -> Option<Cow<'v, Value>> {
    let value = match value.as_ref() {
        Value::String(text) => Cow::Owned(wire::parse(text).ok()?),
        _ => value,
    };
    let member = |name: &str| match &value {
        Cow::Borrowed(value) => value.get(name).filter(|member| !member.is_null()).map(Cow::Borrowed),
        Cow::Owned(value) => {
            value.get(name).filter(|member| !member.is_null()).map(|member| Cow::Owned(member.clone()))
        }
    };
    if let Some(found) = member(path) {
        return Some(found);
    }
    let (first, rest) = path.split_once('.')?;
    within(member(first)?, rest)
}

/// The types whose values come in more than one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Truth,
    Whole,
}

impl Kind {
    pub(super) fn named(word: &str) -> Option<Kind> {
        match word.to_ascii_lowercase().as_str() {
            "sbyte" | "boolean" | "bool" => Some(Kind::Truth),
            "int64" | "int32" | "int16" | "uint64" | "uint32" | "long" | "int" => Some(Kind::Whole),
            _ => None,
        }
    }

    /// The value as one of this type; none where it is one already, or none at all.
    fn of(self, value: &Value) -> Option<Value> {
        let text = match value {
            Value::String(text) => text.trim().to_ascii_lowercase(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        match self {
            Kind::Truth => match text.as_str() {
                "1" | "true" => Some(Value::Bool(true)),
                "0" | "false" => Some(Value::Bool(false)),
                _ => None,
            },
            Kind::Whole => {
                let whole = text.parse::<i64>().map(Value::from);
                whole.or_else(|_| text.parse::<u64>().map(Value::from)).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(values: Value) -> Row {
        let Value::Object(values) = values else { panic!("{values}") };
        Row::new(values)
    }

    #[test]
    fn a_path_looks_into_json_and_into_text_with_json_in_it() {
        let row = row(json!({
            "Fields": {"A": {"B": " x "}, "a.b": 7, "N": null},
            "Text": r#"{"A":{"B":"half \ud83d"},"Inner":"{\"C\":true}","At":"2026-11-20T10:00:00.1234567Z"}"#,
            "Broken": r#"{"A":"#,
            "Plain.Name": 5,
            "Plain": {"Name": 6},
            "List": [1],
        }));
        let text = |path: &str| row.text(path);
        assert_eq!(text("Fields.A.B").as_deref(), Some("x"));
        assert_eq!(text("Fields.A").as_deref(), Some(r#"{"B":" x "}"#));
        assert_eq!(text("Fields.a.b").as_deref(), Some("7"));
        assert_eq!(text("Text.A.B").as_deref(), Some("half \u{fffd}"));
        assert_eq!(text("Text.Inner.C").as_deref(), Some("true"));
        assert_eq!(text("Plain.Name").as_deref(), Some("5"));
        let at: Timestamp = "2026-11-20T10:00:00.1234567Z".parse().unwrap();
        assert_eq!(row.time("Text.At"), Some(at));
        for path in
            ["Fields.N", "Fields.C", "Broken.A", "List.0", "List.A", "None.A", "Fields.", ".Fields", ""]
        {
            assert_eq!(row.at(path), None, "{path}");
        }
    }

    #[test]
    fn the_same_value_is_the_same_text_in_whichever_form_it_came() {
        let cases = [
            ("SByte", vec![json!(1), json!(true), json!("1"), json!("True")], "true"),
            ("Boolean", vec![json!(0), json!(false), json!("false")], "false"),
            ("Int64", vec![json!(4_711), json!("4711"), json!(" 4711 ")], "4711"),
            ("UInt64", vec![json!(u64::MAX), json!(u64::MAX.to_string())], "18446744073709551615"),
            ("SByte", vec![json!(2)], "2"),
            ("Int64", vec![json!("many")], "many"),
        ];
        for (kind, values, expected) in cases {
            for value in values {
                let mut row = row(json!({ "X": value }));
                row.make_typed("X", Kind::named(kind).unwrap());
                assert_eq!(row.text("X").as_deref(), Some(expected), "{value} as {kind}");
            }
        }
        assert_eq!(
            (Kind::named("String"), Kind::named("DateTime"), Kind::named("Object")),
            (None, None, None)
        );
    }

    #[test]
    fn a_time_is_a_text_in_utc_and_nothing_else_is_one() {
        let row =
            row(json!({"A": "2026-11-20T10:00:00.5", "B": "2026-11-20T10:00:00.50Z", "C": 5, "D": "soon"}));
        assert!(row.time("A").is_some() && row.time("A") == row.time("B"));
        assert_eq!((row.time("C"), row.time("D"), row.time("E")), (None, None, None));
    }
}
