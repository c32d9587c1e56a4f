//! Which attributes policies ask for.
//!
//! What Cedar makes of a policy is looked at, not its text. Where that does not say whose attribute it is, it may be
//! everybody's: what is not asked for is not read, and a rule that asks for it all the same would stay silent. What an
//! attribute is stands in the schema.

use crate::tokens::{is_word, tokens};
use cedar_policy::Policy;
use serde_json::Value;
use std::collections::BTreeSet;

/// Everything that has attributes, by its path.
const RECORDS: [&str; 6] =
    ["resource", "resource.hunt", "resource.user", "resource.evidence", "resource.device", "context"];

/// The paths of all attributes that policies name or ask to be there, such as `resource.device.class`, with the records
/// on the way to them.
pub fn asked_for<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for policy in policies {
        match policy.to_json() {
            Ok(json) => look(&json, &mut found),
            Err(_) => {
                let text = policy.to_string();
                let words = tokens(&text).map(|(_, token)| token).filter(|token| is_word(token));
                words.for_each(|word| found.extend(anybodys(word)));
            }
        }
    }
    found
}

fn look(json: &Value, found: &mut BTreeSet<String>) {
    match json {
        Value::Object(fields) => {
            for (operator, operands) in fields {
                if let "." | "has" = operator.as_str() {
                    match path_of(operands) {
                        Some(path) => drop(found.insert(path)),
                        None => found.extend(attribute_of(operands).into_iter().flat_map(anybodys)),
                    }
                }
                look(operands, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| look(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn attribute_of(operands: &Value) -> Option<&str> {
    operands.get("attr")?.as_str()
}

/// An attribute of this name, whosever it is.
fn anybodys(name: &str) -> impl Iterator<Item = String> {
    RECORDS.into_iter().map(move |of| format!("{of}.{name}"))
}

/// The path behind `left.attr`, where it begins with the alert or the circumstances.
fn path_of(operands: &Value) -> Option<String> {
    let left = operands.get("left")?;
    let attribute = attribute_of(operands)?;
    let of = match left.get("Var") {
        Some(variable) => variable.as_str()?.to_owned(),
        None => path_of(left.get(".")?)?,
    };
    Some(format!("{of}.{attribute}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_asks_for_what_it_names_and_for_what_it_asks_to_be_there() {
        let policy = "@id(\"mode\") permit (principal, action, resource) when {
            resource has device && [\"a\"].contains(resource.device.class) && context.now < datetime(\"2026-01-01\")
        };";
        let asked: Vec<String> = asked_for([&policy.parse().unwrap()]).into_iter().collect();
        assert_eq!(asked, ["context.now", "resource.device", "resource.device.class"]);
    }

    #[test]
    fn what_is_asked_for_in_a_roundabout_way_is_found_all_the_same() {
        for when in [
            "context[\"isolationsLastHour\"] > 1",
            "(if resource.firstSeenObserving then context else context) has isolationsLastHour",
            "(if resource.firstSeenObserving then context else context).isolationsLastHour > 1",
            "{c: context}.c.isolationsLastHour > 1",
            "!(context has isolationsLastHour)",
        ] {
            let policy = format!("permit (principal, action, resource) when {{ {when} }};");
            let asked = asked_for([&policy.parse().unwrap()]);
            assert!(asked.contains("context.isolationsLastHour"), "{when}: {asked:?}");
        }
    }
}
