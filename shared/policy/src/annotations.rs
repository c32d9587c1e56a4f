//! What stands above a policy: `@id`, `@reason` and what else Cordon reads of it.
//!
//! Whether the policy itself is any good is for Cedar and [`crate::mistakes`] to say.

use crate::{
    problems::{Source, hint},
    rules::{Effect, Kind, Rule},
};
use cedar_policy::Policy;
use model::{BY_HAND, IsolationType, Mode};
use std::{collections::BTreeMap, fmt, ops::Range};

/// The annotations that mean something.
const ANNOTATIONS: [&str; 4] = ["id", "reason", "mode", "isolationType"];

/// Reads a policy's annotations. None where it has no usable id.
pub(crate) fn read(
    kind: Kind,
    source: Source<'_>,
    policy: &Policy,
    at: &Range<usize>,
    others: &[Rule],
    problems: &mut Vec<String>,
) -> Option<Rule> {
    let effect = match policy.effect() {
        cedar_policy::Effect::Permit => Effect::Permit,
        cedar_policy::Effect::Forbid => Effect::Forbid,
    };
    let values = policy.annotations().map(|(name, value)| (name, value.trim())).collect();
    let mut above = Above { source, at, values, problems };
    above.only_known();
    if kind == Kind::Guarantees && effect == Effect::Permit {
        let hint = "write it into policy.cedar, or turn it round: forbid what must never be";
        above.problem("id", "a guarantee can only forbid", Some(hint));
    }
    let id = above.id(others);
    let reason = above.reason();
    let observe_only = above.observe_only();
    let isolation_type = above.isolation_type();
    if effect == Effect::Forbid {
        above.nothing_for_permits();
    }
    Some(Rule {
        id: id?.to_owned(),
        effect,
        reason: reason.to_owned(),
        observe_only,
        isolation_type,
        line: source.line(at.start),
    })
}

/// The annotations of one policy, and where what is wrong with them goes.
struct Above<'a> {
    source: Source<'a>,
    /// Where the policy stands.
    at: &'a Range<usize>,
    values: BTreeMap<&'a str, &'a str>,
    problems: &'a mut Vec<String>,
}

impl<'a> Above<'a> {
    /// Points to the annotation or, where it is missing, to the policy's first line.
    fn problem(&mut self, annotation: &str, what: impl fmt::Display, hint: Option<&str>) {
        let text = self.source.text.get(self.at.clone()).unwrap_or_default();
        let place = text.find(&format!("@{annotation}")).map(|start| {
            let start = self.at.start + start;
            start..start + annotation.len() + 1
        });
        let place = place.unwrap_or_else(|| self.source.first_line(self.at));
        self.problems.push(self.source.pointed_problem(&place, what, None, hint));
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.values.get(name).copied()
    }

    fn only_known(&mut self) {
        let unknown: Vec<&str> =
            self.values.keys().copied().filter(|name| !ANNOTATIONS.contains(name)).collect();
        for name in unknown {
            self.problem(name, format!("unknown annotation `@{name}`"), Some(&hint(name, &ANNOTATIONS)));
        }
    }

    /// The id, where there is one that nothing else has.
    fn id(&mut self, others: &[Rule]) -> Option<&'a str> {
        let Some(id) = self.value("id").filter(|id| !id.is_empty()) else {
            let hint = "write a short name above it, such as @id(\"isolate-high\")";
            self.problem("id", "a policy needs an `@id`", Some(hint));
            return None;
        };
        if let Some(twin) = others.iter().find(|other| other.id == id) {
            self.problem("id", format!("the `@id` `{id}` is taken: line {} has it too", twin.line), None);
            return None;
        }
        if id == BY_HAND {
            let what = format!("the `@id` `{id}` stands for what a person has ordered");
            self.problem("id", what, Some("choose another name, such as @id(\"ask-a-person\")"));
            return None;
        }
        Some(id)
    }

    /// The sentence for people; empty where there is none.
    fn reason(&mut self) -> &'a str {
        let reason = self.value("reason").unwrap_or_default();
        if reason.is_empty() {
            let hint =
                "write the sentence that people read when it speaks, such as @reason(\"the alert is High\")";
            self.problem("reason", "a policy needs a `@reason`", Some(hint));
        }
        reason
    }

    /// Whether it is only tried out.
    fn observe_only(&mut self) -> bool {
        let mode = self.value("mode");
        if let Some(mode) = mode.filter(|mode| *mode != Mode::Observe.as_str()) {
            let hint =
                "write @mode(\"observe\"), or leave it out: a policy can only be stricter than the playbook";
            self.problem("mode", format!("`@mode` cannot be `{mode}`"), Some(hint));
        }
        mode.is_some()
    }

    fn isolation_type(&mut self) -> Option<IsolationType> {
        let word = self.value("isolationType")?;
        let kinds = [IsolationType::Full, IsolationType::Selective];
        let found = kinds.into_iter().find(|kind| kind.as_str() == word);
        if found.is_none() {
            let what = format!("`@isolationType` cannot be `{word}`");
            self.problem("isolationType", what, Some("it is \"Full\" or \"Selective\""));
        }
        found
    }

    /// A forbid has none of the annotations that only a permit can have.
    fn nothing_for_permits(&mut self) {
        for name in ["mode", "isolationType"] {
            if self.values.contains_key(name) {
                let hint = "a forbid always holds; remove the annotation";
                self.problem(name, format!("`@{name}` means nothing on a forbid"), Some(hint));
            }
        }
    }
}
