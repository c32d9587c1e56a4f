//! `CORDON_MODE` and `CORDON_LOOKBACK`: what both hosts read besides the connection.
//!
//! What the playbook says is an argument here.

use crate::{Problems, Vars};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use model::{Mode, one_line};

/// What `CORDON_MODE` says, if anything.
pub fn mode(vars: &Vars, problems: &mut Problems) -> Option<Mode> {
    match vars.get("CORDON_MODE") {
        None => None,
        Some("observe") => Some(Mode::Observe),
        Some("enforce") => Some(Mode::Enforce),
        Some(other) => {
            problems
                .add(format!("CORDON_MODE: `{}` is neither `observe` nor `enforce`", one_line(other, 40)));
            None
        }
    }
}

/// How far back the very first poll reaches: `CORDON_LOOKBACK`.
pub fn lookback(vars: &Vars, problems: &mut Problems) -> Option<SignedDuration> {
    let text = vars.get("CORDON_LOOKBACK").unwrap_or("15m");
    let longest = SignedDuration::from_hours(24 * 30);
    // A span, not a duration, because only a span may be said in days.
    let days = SpanRelativeTo::days_are_24_hours();
    match text.parse::<Span>().and_then(|span| span.to_duration(days)) {
        Ok(lookback) if lookback >= SignedDuration::ZERO && lookback <= longest => Some(lookback),
        _ => {
            problems.add(format!(
                "CORDON_LOOKBACK: `{}` is not a time such as `15m`, `4h` or `2d 12h` of at most 30 days",
                one_line(text, 40)
            ));
            None
        }
    }
}
