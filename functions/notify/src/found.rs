//! What a hunt has found, for people to read: a block of `column: value` for each row, which reads the same on a telephone
//! and in a terminal, however many columns there are. And the same as it is, for programs.
//!
//! Every cell may have been written by an attacker, and a column's name as well, where the query makes columns of values.
//! How many rows a channel shows is the channel's business.

use crate::{
    evidence::{show, show_secretive},
    page::Show,
};
use model::Table;

/// The most columns that are shown.
const MAX_COLUMNS: usize = 40;

/// The most of a column's name and of a cell that is shown, in characters.
const MAX_NAME: usize = 40;
const MAX_CELL: usize = 200;

/// The most that people are shown of all rows together, in characters.
const MAX_SHOWN: usize = 40_000;

/// Columns that hold command lines, or what programs are started by, have one of these in their names, without `_` and in
/// small letters.
const OF_COMMAND_LINES: [&str; 5] =
    ["commandline", "cmdline", "registryvaluedata", "additionalfields", "scriptcontent"];

/// Rows that are harmless to read, with what of them is not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) columns: Vec<String>,
    /// Each as long as `columns`.
    pub(crate) rows: Vec<Vec<String>>,
    /// How many there are beside these.
    pub(crate) more: usize,
    /// How many of these people are shown.
    shown: usize,
    /// How many columns are left out because of command lines.
    hidden: usize,
}

impl Found {
    pub(crate) fn of(table: &Table, shown: Show<'_>) -> Found {
        let is_hidden = |column: &str| !shown.command_lines && holds_command_lines(column);
        let wanted: Vec<(usize, &String)> =
            table.columns.iter().enumerate().filter(|(_, column)| !is_hidden(column)).collect();
        let hidden = table.columns.len().saturating_sub(wanted.len());
        let wanted: Vec<(usize, &String)> = wanted.into_iter().take(MAX_COLUMNS).collect();
        let row = |row: &Vec<String>| -> Vec<String> {
            wanted.iter().map(|(at, _)| row.get(*at).map(|text| cell(text)).unwrap_or_default()).collect()
        };
        let columns: Vec<String> = wanted.iter().map(|(_, column)| show(column, MAX_NAME)).collect();
        let rows: Vec<Vec<String>> = table.rows.iter().map(row).collect();
        let around = columns.iter().map(|column| column.chars().count().saturating_add(8)).sum::<usize>();
        let mut room = MAX_SHOWN;
        let fits = rows.iter().take(shown.rows).take_while(|row| {
            let length = row.iter().map(|cell| cell.chars().count()).sum::<usize>();
            room = room.saturating_sub(length.saturating_add(around));
            room > 0
        });
        Found { shown: fits.count(), columns, rows, more: table.more, hidden }
    }

    /// How many rows there are in all.
    pub(crate) fn count(table: &Table) -> usize {
        table.rows.len().saturating_add(table.more)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.more == 0
    }

    /// The rows that people are shown, from the first on: of each the columns that say something.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Vec<(&str, &str)>> {
        self.rows.iter().take(self.shown).map(|row| {
            let cells = self.columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
            let cells: Vec<(&str, &str)> =
                cells.map(|(column, cell)| (column.as_str(), cell.as_str())).collect();
            if cells.is_empty() { vec![("(nothing)", "")] } else { cells }
        })
    }

    /// What is not shown where so many rows are.
    pub(crate) fn rest(&self, shown: usize) -> Option<String> {
        let left = self.rows.len().saturating_sub(shown).saturating_add(self.more);
        let rows = match left {
            0 => None,
            1 => Some("and 1 more row".to_owned()),
            left => Some(format!("and {left} more rows")),
        };
        let columns = match self.hidden {
            0 => None,
            1 => Some("1 column with command lines is not shown here".to_owned()),
            hidden => Some(format!("{hidden} columns with command lines are not shown here")),
        };
        let parts: Vec<String> = rows.into_iter().chain(columns).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The same where all is shown that people are shown.
    pub(crate) fn rest_of_blocks(&self) -> Option<String> {
        self.rest(self.shown)
    }
}

fn holds_command_lines(column: &str) -> bool {
    let name: String = column.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    OF_COMMAND_LINES.iter().any(|part| name.contains(part)) || matches!(name.as_str(), "cmd" | "command")
}

/// Any cell may hold a secret, whatever its column is called, but for what looks like a key and is none. It is masked as a
/// whole, and cut after that.
fn cell(text: &str) -> String {
    if is_an_id(text) { show(text, MAX_CELL) } else { show_secretive(text, MAX_CELL) }
}

/// Whether the text is a hash, the id of a device (as long as a SHA-1) or a SID, and nothing else. Other ids, numbers and
/// times do not look like keys.
fn is_an_id(text: &str) -> bool {
    let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_sid = text.strip_prefix("S-1-").is_some_and(|rest| {
        rest.len() <= 180
            && rest.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    });
    (is_hex && matches!(text.len(), 32 | 40 | 64 | 96 | 128)) || is_sid
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Show<'_> = Show { command_lines: true, follow_up: None, rows: 50 };

    fn table(columns: &[&str], rows: &[&[&str]], more: usize) -> Table {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        Table { columns: texts(columns), rows: rows.iter().map(|row| texts(row)).collect(), more }
    }

    #[test]
    fn command_lines_are_left_out_where_the_channel_does_not_show_them() {
        let columns = ["DeviceName", "ProcessCommandLine", "process_cmd_line", "RegistryValueData", "Cmd"];
        let found = table(&columns, &[&["laptop-7", "secret", "secret", "secret", "secret"]], 0);
        let shown = Found::of(&found, Show { command_lines: false, ..ALL });
        assert_eq!((shown.columns.len(), &shown.rows), (1, &vec![vec!["laptop-7".to_owned()]]));
        assert_eq!(shown.rest_of_blocks().unwrap(), "4 columns with command lines are not shown here");
        assert_eq!(Found::of(&found, ALL).columns.len(), 5);
    }

    #[test]
    fn secrets_are_masked_in_command_lines_and_addresses_wherever_they_stand() {
        let hash = "a1".repeat(32);
        let sid = "S-1-5-21-3623811015-3361044348-30300820-1013";
        let row =
            ["x.exe --password hunter2", &hash, sid, "https://bob:hunter2@evil.example/", "token=hunter2"];
        let found = table(&["Started", "SHA256", "AccountSid", "RemoteUrl", "Query"], &[&row], 0);
        let shown = Found::of(&found, ALL);
        let expected = ["x.exe --password ***", &hash, sid, "hxxps://bob:***@evil[.]example/", "token=***"];
        assert_eq!(shown.rows, [expected]);
    }

    #[test]
    fn every_cell_is_masked_but_what_is_exactly_an_id_a_number_or_a_time() {
        let masked = [
            (r#"{"user":"bob","password":"hunter2json"}"#, r#"{"user":"bob","password":"***"}"#),
            ("ghp_0123456789abcdefghij0123456789abcdef", "***"),
            ("/pass:hunter2slash", "/pass:***"),
            ("password:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", "password:***"),
            ("S-1-5-21-a0b1c2d3e4f5a0b1c2d3e4f5a0b1c2d3e4f5", "[masked: 45 characters]"),
        ];
        for (text, expected) in masked {
            let shown = Found::of(&table(&["Any"], &[&[text]], 0), ALL);
            assert_eq!(shown.rows, [[expected]]);
        }
        let (md5, sha1, sha256) = ("a1".repeat(16), "a1".repeat(20), "A1".repeat(32));
        for text in [
            &md5,
            &sha1,
            &sha256,
            "S-1-12-1-3623811015-1361044348-3030082011-1013000000",
            "1e5bc9d7-e413-4dd7-9029-32e418702b84",
            "-12345678901234567890123456789012345678901234567890",
            "0.25",
            "2026-11-20T10:00:00.1234567Z",
            "C:\\Windows\\System32\\cmd.exe",
            "laptop-7",
        ] {
            assert_eq!(Found::of(&table(&["Any"], &[&[text]], 0), ALL).rows, [[text]]);
        }
    }

    #[test]
    fn a_cell_is_masked_as_a_whole_and_cut_to_two_hundred_characters_after_that() {
        let filler = "x".repeat(190);
        let text = format!("{filler} --password {}", "hunter2".repeat(300));
        let shown = Found::of(&table(&["Any"], &[&[&text]], 0), ALL).rows.concat().concat();
        assert!(!shown.contains("hunt") && shown.chars().count() <= MAX_CELL, "{shown}");
        // A key that is cut in two before it is masked is too short to be known as one.
        let text = format!("{filler}/ghp_{}", "0123456789abcdefghij");
        let shown = Found::of(&table(&["Any"], &[&[&text]], 0), ALL).rows.concat().concat();
        assert!(!shown.contains("ghp_"), "{shown}");
    }

    #[test]
    fn a_row_says_nothing_of_columns_that_are_empty() {
        let found = table(&["A", "B", "C"], &[&["1", "", "3"], &["", "", ""]], 0);
        let shown = Found::of(&found, ALL);
        let blocks: Vec<_> = shown.blocks().collect();
        assert_eq!(blocks, [vec![("A", "1"), ("C", "3")], vec![("(nothing)", "")]]);
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let rows: Vec<&[&str]> = vec![&["x"]; 30];
        let shown = Found::of(&table(&["A"], &rows, 5), Show { rows: 10, ..ALL });
        assert_eq!((shown.rows.len(), shown.blocks().count()), (30, 10));
        assert_eq!(shown.rest_of_blocks().unwrap(), "and 25 more rows");
        let one = Found::of(&table(&["A"], &[&["x"]], 1), ALL);
        assert_eq!(one.rest_of_blocks().unwrap(), "and 1 more row");
        assert_eq!(Found::of(&table(&["A"], &rows, 0), ALL).rest_of_blocks(), None);
    }

    #[test]
    fn many_wide_rows_are_cut_before_a_mail_becomes_endless() {
        let wide = "x".repeat(1_000);
        let row: Vec<&str> = vec![&wide; 60];
        let columns: Vec<&str> = vec!["Column"; 60];
        let rows: Vec<&[&str]> = vec![&row; 50];
        let shown = Found::of(&table(&columns, &rows, 0), ALL);
        let length: usize = shown.blocks().flatten().map(|(column, cell)| column.len() + cell.len()).sum();
        assert!(length < MAX_SHOWN && length > MAX_SHOWN / 2, "{length}");
        assert_eq!(shown.columns.len(), MAX_COLUMNS);
    }
}
