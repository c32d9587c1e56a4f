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

/// One JSON object.
pub(crate) fn json(value: &impl serde::Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(&text),
        Err(why) => error(&format!("cordon: cannot print JSON: {why}")),
    }
}

/// Times to the second, in UTC.
pub(crate) fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
