//! `CORDON_MODE` and `CORDON_LOOKBACK`: what both hosts read besides the connection.
//!
//! What the playbook says is an argument here.

use crate::{Endpoints, Problems, Vars};
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

/// Until limits, pause and release exist, acting on a real tenant would be irresponsible.
pub fn refuse_to_enforce(
    endpoints: &Endpoints,
    playbook_mode: Mode,
    environment_mode: Option<Mode>,
    problems: &mut Problems,
) {
    let (setting, mode) = match environment_mode {
        Some(mode) => ("CORDON_MODE", mode),
        None => ("`mode` in playbook.toml", playbook_mode),
    };
    if mode == Mode::Enforce && !endpoints.api_is_loopback {
        problems.add(format!(
            "{setting} says `enforce`: this version acts on a simulator on this machine only (DEFENDER_API_URL on \
             loopback), until limits, pause and release are built; set CORDON_MODE=observe"
        ));
    }
}
