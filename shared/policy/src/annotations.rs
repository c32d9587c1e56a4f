//! What stands above a policy: `@id`, `@reason` and what else Cordon reads of it.
//!
//! Whether the policy itself is any good is for Cedar and [`crate::mistakes`] to say.

use crate::{
    mistakes::first_line,
    problems::{Source, hint},
    rules::{Effect, Kind, Rule},
};
use cedar_policy::Policy;
use model::{IsolationType, Mode};
use std::ops::Range;

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
    let mut problem = |annotation: &str, what: String, hint: Option<&str>| {
        let text = source.text.get(at.clone()).unwrap_or_default();
        let place = text.find(&format!("@{annotation}")).map(|start| {
            let start = at.start + start;
            start..start + annotation.len() + 1
        });
        let place = place.unwrap_or_else(|| first_line(source, at));
        problems.push(source.pointed_problem(&place, what, None, hint));
    };

    let mut annotations: Vec<(&str, &str)> = policy.annotations().collect();
    annotations.sort_unstable();
    for (name, _) in &annotations {
        if !ANNOTATIONS.contains(name) {
            problem(name, format!("unknown annotation `@{name}`"), Some(&hint(name, &ANNOTATIONS)));
        }
    }
    if kind == Kind::Guarantees && effect == Effect::Permit {
        let hint = "write it into policy.cedar, or turn it round: forbid what must never be";
        problem("id", "a guarantee can only forbid".into(), Some(hint));
    }
    let value = |name| annotations.iter().find(|(known, _)| *known == name).map(|(_, value)| value.trim());

    let id = value("id").filter(|id| !id.is_empty());
    if id.is_none() {
        problem(
            "id",
            "a policy needs an `@id`".into(),
            Some("write a short name above it, such as @id(\"isolate-high\")"),
        );
    }
    let twin = others.iter().find(|other| Some(other.id.as_str()) == id);
    if let Some(twin) = twin {
        problem("id", format!("the `@id` `{}` is taken: line {} has it too", twin.id, twin.line), None);
    }
    let reason = value("reason").filter(|reason| !reason.is_empty());
    if reason.is_none() {
        let hint =
            "write the sentence that people read when it speaks, such as @reason(\"the alert is High\")";
        problem("reason", "a policy needs a `@reason`".into(), Some(hint));
    }
    let mode = value("mode");
    let isolation = value("isolationType");
    if mode.is_some_and(|mode| mode != Mode::Observe.as_str()) {
        let hint =
            "write @mode(\"observe\"), or leave it out: a policy can only be stricter than the playbook";
        problem("mode", format!("`@mode` cannot be `{}`", mode.unwrap_or_default()), Some(hint));
    }
    let isolation_type = [IsolationType::Full, IsolationType::Selective]
        .into_iter()
        .find(|kind| isolation == Some(kind.as_str()));
    if isolation.is_some() && isolation_type.is_none() {
        let what = format!("`@isolationType` cannot be `{}`", isolation.unwrap_or_default());
        problem("isolationType", what, Some("it is \"Full\" or \"Selective\""));
    }
    if effect == Effect::Forbid {
        for (name, found) in [("mode", mode), ("isolationType", isolation)] {
            if found.is_some() {
                let hint = "a forbid always holds; remove the annotation";
                problem(name, format!("`@{name}` means nothing on a forbid"), Some(hint));
            }
        }
    }
    if twin.is_some() {
        return None;
    }
    Some(Rule {
        id: id?.to_owned(),
        effect,
        reason: reason.unwrap_or_default().to_owned(),
        observe_only: mode.is_some(),
        isolation_type,
        line: source.line(at.start),
    })
}
