//! One case of a file: what is expected of it. What is given stands in [`super::given`].

use super::{Decoders, Expected, PolicyCase, given::given};
use crate::{
    AssetList, Effect, Playbook, Rule,
    problems::hint,
    section::{Reader, Section},
};
use model::{Answer, IsolationType, Mode};
use std::{collections::BTreeSet, path::Path};

/// Where the records lie that a file of cases names, and how they are read.
pub(super) struct Records<'a> {
    pub(super) beside: &'a Path,
    pub(super) decoders: &'a Decoders,
}

const KEYS: [&str; 18] = [
    "name",
    "alert",
    "alert_file",
    "device",
    "device_file",
    "at",
    "seen",
    "mode",
    "isolations_last_hour",
    "isolations_last_day",
    "open_isolation",
    "expect",
    "by",
    "against",
    "doubts",
    "told",
    "acts_in",
    "isolation_type",
];

/// What is wrong with it is a problem of the reader's.
pub(super) fn case(
    playbook: &Playbook,
    reader: &mut Reader<'_>,
    section: Section<'_>,
    lists: &Option<Vec<AssetList>>,
    records: &Records<'_>,
) -> Option<PolicyCase> {
    section.only(reader, &KEYS);
    let name = section.needed(reader, "name");
    let given = given(reader, section, lists, records);
    let expected = expected(playbook, reader, section);
    Some(PolicyCase {
        file: reader.source.file.to_owned(),
        line: reader.source.line(section.at),
        name: name?.text.to_owned(),
        given: given?,
        expected: expected?,
    })
}

fn expected(playbook: &Playbook, reader: &mut Reader<'_>, section: Section<'_>) -> Option<Expected> {
    let answers = [Answer::Isolate, Answer::Propose, Answer::None, Answer::Refused];
    let answer = one_of(reader, section, "expect", &answers.map(|answer| (answer.as_str(), answer)));
    if section.get("expect").is_none() {
        let hint = "what has to be decided, such as expect = \"propose\"";
        reader.hinted(section.at, "`expect` is missing", hint);
    }
    let doubts = section.texts(reader, "doubts");
    let kinds = [IsolationType::Full, IsolationType::Selective].map(|kind| (kind.as_str(), kind));
    Some(Expected {
        by: ids(playbook, reader, section, "by", Effect::Permit),
        against: ids(playbook, reader, section, "against", Effect::Forbid),
        doubts: doubts.iter().map(|word| word.text.to_owned()).collect(),
        told: section.get("told").map(|_| section.flag(reader, "told", false)),
        acts_in: one_of(reader, section, "acts_in", &MODES),
        isolation_type: one_of(reader, section, "isolation_type", &kinds),
        answer: answer?,
    })
}

/// The ids of policies of one kind. One that is not there is a problem.
fn ids(
    playbook: &Playbook,
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    effect: Effect,
) -> Option<BTreeSet<String>> {
    section.get(key)?;
    let all: Vec<&Rule> = playbook.policies().iter().chain(playbook.guarantees()).collect();
    let of_kind = all.iter().filter(|rule| rule.effect == effect);
    let known: Vec<&str> = of_kind.map(|rule| rule.id.as_str()).collect();
    let words = section.texts(reader, key);
    for word in words.iter().filter(|word| !known.contains(&word.text)) {
        let id = model::one_line(word.text, 60);
        let (what, hint) = if all.iter().any(|rule| rule.id == word.text) {
            let (is, belongs) = match effect {
                Effect::Permit => ("forbids", "against"),
                Effect::Forbid => ("permits", "by"),
            };
            (format!("`{id}` {is}: it never stands in `{key}`"), format!("write it into `{belongs}`"))
        } else {
            (format!("there is no policy `{id}`"), hint(&id, &known))
        };
        reader.hinted(word.at, what, &hint);
    }
    Some(words.iter().map(|word| word.text.to_owned()).collect())
}

pub(super) const MODES: [(&str, Mode); 2] = [("observe", Mode::Observe), ("enforce", Mode::Enforce)];

/// One of a few words; none where the key is absent.
pub(super) fn one_of<T: Copy>(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    choices: &[(&str, T)],
) -> Option<T> {
    section.get(key)?;
    let (_, first) = choices.first()?;
    Some(section.choice(reader, key, *first, choices))
}
