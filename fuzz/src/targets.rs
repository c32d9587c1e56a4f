//! The table of targets, and what several of them assert.

mod answers;
mod certificate;
#[cfg(feature = "lambda")]
mod events;
mod messages;
mod playbook;
mod records;
mod rows;
mod settings;

use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// A parser of outside data with what must hold of it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line, and of its folder in `corpus`.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub check: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that mean something to the parser.
    pub words: &'static [&'static str],
    /// How many times as long a case takes as one of the quick ones.
    pub cost: usize,
}

/// Every target.
pub fn all() -> Vec<Target> {
    let mut all = Vec::new();
    all.extend(records::TARGETS);
    all.extend(answers::TARGETS);
    all.extend(messages::TARGETS);
    #[cfg(feature = "lambda")]
    all.extend(events::TARGETS);
    all.extend(rows::TARGETS);
    all.extend(playbook::TARGETS);
    all.extend(settings::TARGETS);
    all.extend(certificate::TARGETS);
    all
}

/// The target of that name.
pub fn named(name: &str) -> Option<Target> {
    all().into_iter().find(|target| target.name == name)
}

/// Stands in the inputs wherever a secret may stand, and must not come out again. It looks like a client secret of
/// Entra's.
pub(crate) const SECRET: &str = "tk~8Q~Pl4nted.Secret_that-nobody-May-Read";

/// A sentence that is said to people: on one line, not too long, without the secret.
#[track_caller]
fn assert_sayable(said: &str, most_chars: usize) {
    let acts = |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
    assert!(!said.contains(acts), "not on one line, or acts on a terminal: {said:?}");
    let length = said.chars().count();
    assert!(length <= most_chars, "{length} characters are too many: {said}");
    assert_silent(said);
}

/// Holds no secret.
#[track_caller]
fn assert_silent(said: &str) {
    assert!(!said.contains(SECRET), "the secret is told: {said}");
}

/// What was read is written and read again as the same.
#[track_caller]
fn assert_survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> T {
    let json = serde_json::to_string(value).unwrap();
    let again: T = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(again, *value, "written as {json}");
    again
}

/// Whether it is JSON by its grammar, whatever it says.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}
