//! Rows as a table, as CSV or as JSON.
//!
//! What stands in a row may be an attacker's: in a table and in CSV it is one line without anything that acts or hides, in
//! JSON whatever acts on a terminal is escaped. JSON and CSV are printed as rows come; only a table is gathered first.

use super::{Format, ROWS_OF_A_TABLE};
use crate::show;
use defender::{Column, Row};
use model::one_line;
use serde_json::{Map, Value};

/// The widest cell of a table, in characters.
const CELL: usize = 60;

/// What a formula begins with, full-width forms included: some spreadsheets take these for the same.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Prints rows as they come.
#[derive(Debug)]
pub(super) struct Printer {
    format: Format,
    most: usize,
    taken: usize,
    /// The columns of the first row, by which a table and CSV are laid out.
    columns: Vec<Column>,
    table: Vec<Vec<String>>,
}

impl Printer {
    pub(super) fn new(format: Format, limit: Option<usize>) -> Printer {
        let most = limit.unwrap_or(if format == Format::Table { ROWS_OF_A_TABLE } else { usize::MAX });
        Printer { format, most, taken: 0, columns: Vec::new(), table: Vec::new() }
    }

    /// `columns`: those of the answer that the row is of.
    pub(super) fn take(&mut self, columns: &[Column], row: &Row) {
        self.taken += 1;
        if self.taken > self.most {
            return;
        }
        if self.columns.is_empty() {
            self.columns = columns.to_vec();
            if self.format == Format::Csv {
                show::line(&record(columns.iter().map(|column| plain(&one_line(&column.name, usize::MAX)))));
            }
        }
        let values = self.columns.iter().map(|column| row.value(&column.name));
        match self.format {
            Format::Json => show::json(&object(columns, row)),
            Format::Csv => show::line(&record(values.map(csv_cell))),
            Format::Table => self.table.push(values.map(cell).collect()),
        }
    }

    /// Prints what has been gathered.
    pub(super) fn finish(&self) {
        let head: Vec<String> = self.columns.iter().map(|column| one_line(&column.name, CELL)).collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        show::columns(&head, &self.table);
    }

    /// How many rows were not printed; none where all were.
    pub(super) fn left_out(&self) -> Option<usize> {
        self.taken.checked_sub(self.most).filter(|left| *left > 0)
    }
}

/// The row by its columns; null where it has no value.
fn object(columns: &[Column], row: &Row) -> Map<String, Value> {
    let value = |column: &Column| match row.value(&column.name) {
        Some(Value::String(text)) if is_dynamic(column) => {
            serde_json::from_str(text).unwrap_or_else(|_| text.clone().into())
        }
        value => value.cloned().unwrap_or(Value::Null),
    };
    columns.iter().map(|column| (column.name.clone(), value(column))).collect()
}

/// Whether a column holds objects and lists, which rows carry as texts.
fn is_dynamic(column: &Column) -> bool {
    ["object", "dynamic"].iter().any(|kind| column.kind.eq_ignore_ascii_case(kind))
}

/// A record of CSV: RFC 4180, but for the end of the line.
fn record(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(",")
}

/// A value as a cell of a table.
fn cell(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => one_line(text, CELL),
        Some(other) => one_line(&other.to_string(), CELL),
    }
}

/// A value as a cell of CSV. A number is not a text, and so no formula whatever it begins with.
fn csv_cell(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(number @ Value::Number(_)) => number.to_string(),
        Some(Value::String(text)) => plain(&one_line(text, usize::MAX)),
        Some(other) => plain(&one_line(&other.to_string(), usize::MAX)),
    }
}

/// A text as a cell: within quotes, and with an apostrophe before whatever a spreadsheet would take for the begin of a formula.
/// Where it parts cells at semicolons or tabs it does so within our quotes as well: so also after these.
fn plain(text: &str) -> String {
    let mut cell = String::from('"');
    let mut may_begin = true;
    for c in text.chars() {
        if may_begin && FORMULA.contains(&c) {
            cell.push('\'');
        }
        may_begin = match c {
            ';' | '\t' | '\r' | '\n' => true,
            '"' => may_begin,
            c => may_begin && c.is_whitespace(),
        };
        if c == '"' {
            cell.push('"');
        }
        cell.push(c);
    }
    cell.push('"');
    cell
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_of_csv_is_one_cell_on_one_line_and_no_formula() {
        let cell = |value: Value| csv_cell(Some(&value));
        assert_eq!(cell(json!("plain")), "\"plain\"");
        assert_eq!(cell(json!("a, \"b\"")), "\"a, \"\"b\"\"\"");
        assert_eq!(cell(json!("two\r\nlines \u{1b}[2J")), "\"two lines [2J\"");
        assert_eq!(cell(json!("=cmd|' /C calc'!A0")), "\"'=cmd|' /C calc'!A0\"");
        assert_eq!(cell(json!("\t=1+1, 2")), "\"'=1+1, 2\"");
        for text in ["+1", "-1", "@x", "＝1", "＋1", "－1", "＠x"] {
            assert_eq!(cell(json!(text)), format!("\"'{text}\""));
        }
        assert_eq!(
            (cell(json!(-5)), cell(json!(true)), csv_cell(None)),
            ("-5".into(), "\"true\"".into(), String::new())
        );
        // Wherever a spreadsheet parts cells at semicolons or tabs, and whatever it makes of quotes and blanks there.
        assert_eq!(cell(json!("x;=cmd|' /C calc'!A0")), "\"x;'=cmd|' /C calc'!A0\"");
        assert_eq!(cell(json!("a-b; +1;;＠c;d=e")), "\"a-b; '+1;;'＠c;d=e\"");
        assert_eq!(cell(json!("x;\"=1+1\"")), "\"x;\"\"'=1+1\"\"\"");
        assert_eq!(plain("a\t=1\n@b"), "\"a\t'=1\n'@b\"");
        assert_eq!(cell(json!({"a": [1, "x"]})), "\"{\"\"a\"\":[1,\"\"x\"\"]}\"");
    }
}
