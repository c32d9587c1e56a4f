//! The person at the keyboard: who gives an order, why, and for how long they wait for its end.
//!
//! Nothing here proves who somebody is: whoever may write to the state may say any name. It is for the record.

use clap::Args;
use credentials::Vars;
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, one_line};
use ports::Said;

/// The most of a reason, in characters: it travels in the comment of a machine action.
const MAX_COMMENT: usize = 300;

/// Who and why: asked for by every command that changes something.
#[derive(Debug, Clone, Args)]
pub(crate) struct ByHand {
    /// Why: it is kept with what is done, and told to people
    #[arg(long, value_name = "TEXT", value_parser = comment)]
    pub(crate) comment: String,
    /// Who you are [default: user@machine]
    #[arg(long, value_name = "NAME", value_parser = name)]
    by: Option<String>,
}

impl ByHand {
    pub(crate) fn who(&self, vars: &Vars) -> String {
        self.by.clone().unwrap_or_else(|| whoever(vars))
    }

    pub(crate) fn said(&self, vars: &Vars, at: Timestamp) -> Said {
        Said { at, by: self.who(vars), why: self.comment.clone() }
    }
}

/// How long a command waits for what becomes of its order.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Waiting {
    /// Only give the order, and do not wait for what becomes of it
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait for what becomes of it
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = wait, conflicts_with = "no_wait")]
    pub(crate) wait: SignedDuration,
}

/// As the machine knows whoever is at it.
fn whoever(vars: &Vars) -> String {
    let user = vars.get("USER").or(vars.get("LOGNAME")).unwrap_or("somebody");
    let machine = hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let machine = if machine.is_empty() { "an unnamed machine".to_owned() } else { machine };
    one_line(&format!("{user}@{machine}"), 80)
}

fn comment(text: &str) -> Result<String, String> {
    let line = one_line(text, MAX_COMMENT + 1);
    match line.chars().count() {
        0 => Err("a reason is needed: whoever reads the record later has to understand why".to_owned()),
        length if length > MAX_COMMENT => Err(format!("at most {MAX_COMMENT} characters")),
        _ => Ok(line),
    }
}

fn name(text: &str) -> Result<String, String> {
    let line = one_line(text, 80);
    if line.is_empty() { Err("a name is needed".to_owned()) } else { Ok(line) }
}

pub(crate) fn wait(text: &str) -> Result<SignedDuration, String> {
    let longest = SignedDuration::from_mins(30);
    match text.parse::<SignedDuration>() {
        Ok(time) if time >= SignedDuration::ZERO && time <= longest => Ok(time),
        _ => Err("not a time such as `60s` or `5m`, of at most 30 minutes".to_owned()),
    }
}

/// A machine id, or where to find one.
pub(crate) fn device(text: &str) -> Result<DeviceId, String> {
    text.parse().map_err(|error| {
        format!(
            "{error}: not a name or an address; `cordon isolated`, `cordon explain`, the mails and the address of \
             the device's page in the portal show it"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What somebody may type, or paste: any text, a time or an id that is nearly one, and what is very long.
    fn anything() -> impl Strategy<Value = String> {
        prop_oneof![
            ".{0,400}",
            "[-+P]?[0-9]{0,25}[.,]?[0-9]{0,12} ?(ns|ms|s|m|h|d|y|H|T|M|S)? ?[0-9]{0,3}(h|m|s)?( ago)?",
            "[0-9a-fA-F]{38,42}",
            ("[a-z0-9\u{202e}]", 0_usize..5_000).prop_map(|(piece, times)| piece.repeat(times)),
        ]
    }

    /// The shell shows it, so it must be one line of honest text.
    fn is_sayable(error: &str) -> bool {
        !error.contains(char::is_control) && error.chars().count() < 400
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_refused_in_a_sentence_or_within_its_bounds(text in anything()) {
            match wait(&text) {
                Ok(time) => prop_assert!(time >= SignedDuration::ZERO && time <= SignedDuration::from_mins(30)),
                Err(error) => prop_assert!(is_sayable(&error)),
            }
            match comment(&text) {
                Ok(line) => prop_assert!(!line.is_empty() && line.chars().count() <= MAX_COMMENT),
                Err(error) => prop_assert!(is_sayable(&error)),
            }
            match name(&text) {
                Ok(line) => prop_assert!(!line.is_empty() && line.chars().count() <= 80),
                Err(error) => prop_assert!(is_sayable(&error)),
            }
            match device(&text) {
                Ok(id) => prop_assert_eq!(id.as_str(), text.to_lowercase()),
                Err(error) => prop_assert!(is_sayable(&error), "{}", error),
            }
        }
    }

    #[test]
    fn a_reason_says_something_on_one_line() {
        assert_eq!(comment(" drill \u{1b}[2J over\n").unwrap(), "drill [2J over");
        for nothing in ["", "  ", "\n", "\u{200b}"] {
            assert!(comment(nothing).is_err(), "{nothing:?}");
        }
        assert!(comment(&"x".repeat(300)).is_ok() && comment(&"x".repeat(301)).is_err());
    }

    #[test]
    fn who_it_is_follows_from_the_environment() {
        let vars = |name: &str| [(name.to_owned(), "alice".to_owned())].into_iter().collect();
        assert!(whoever(&vars("USER")).starts_with("alice@"));
        assert!(whoever(&vars("LOGNAME")).starts_with("alice@"));
        assert!(whoever(&Vars::default()).starts_with("somebody@"));
    }
}
