//! Printing: the only place that writes to standard output and standard error.
//!
//! Every line that may hold a stranger's text has been through `model::one_line` before it comes here.

use std::io::{IsTerminal, Write};

/// A line of what a command reports. A reader that has gone away (`cordon … | head`) is no failure.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A line about what went wrong.
pub(crate) fn error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What is going on, on one line that is written over; only on a terminal.
pub(crate) fn progress(text: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\u{1b}[2K{text}");
        let _ = stderr.flush();
    }
}

/// One JSON object. Its strings may be a stranger's: whatever acts on a terminal or hides is escaped, so that the
/// object says the same and can be looked at.
pub(crate) fn json(value: &impl serde::Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(&escaped(&text)),
        Err(why) => error(&format!("cordon: cannot print JSON: {why}")),
    }
}

/// JSON's own signs are ASCII, so that everything else stands within a string, where `\uXXXX` may stand for it.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        let mut utf8 = [0; 4];
        if (' '..='~').contains(&c) || !model::one_line(c.encode_utf8(&mut utf8), 1).is_empty() {
            text.push(c);
        } else {
            let mut utf16 = [0; 2];
            c.encode_utf16(&mut utf16).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        }
    }
    text
}

/// Rows in columns that are as wide as their widest cell; nothing where there is no row.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    columns(&head, rows);
}

/// The same for rows of which only their maker knows that they have as many cells as the head.
pub(crate) fn columns(head: &[&str], rows: &[impl AsRef<[String]>]) {
    if rows.is_empty() {
        return;
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.as_ref().get(column)).map(String::as_str);
        cells.chain(head.get(column).copied()).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let print = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        line(padded.join("  ").trim_end());
    };
    print(&mut head.iter().copied());
    for row in rows {
        print(&mut row.as_ref().iter().map(String::as_str));
    }
}

/// How long ago, or for how long, in the two largest units.
pub(crate) fn span(span: jiff::SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Times to the second, in UTC.
pub(crate) fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_their_two_largest_units() {
        let said = |seconds| span(jiff::SignedDuration::from_secs(seconds));
        assert_eq!([said(-5), said(59), said(60)], ["0 s", "59 s", "1 min"]);
        assert_eq!([said(3_599), said(3_600), said(90_061)], ["59 min", "1 h 0 min", "1 d 1 h"]);
    }

    #[test]
    fn json_that_was_escaped_says_the_same() {
        let hostile = "名前 \"q\" \\ \u{1b}[2J \u{9b}31m \u{7f} \u{202e}fdp.exe \u{200b} \u{e0041} \u{1f468} \u{a0}\u{2028}";
        let text = escaped(&serde_json::to_string(hostile).unwrap());
        assert!(
            text.contains("名前") && text.contains('\u{1f468}'),
            "what is harmless stays readable: {text}"
        );
        assert!(
            !text.contains(|c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}' | '\u{e0041}')),
            "{text:?}"
        );
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
    }
}
