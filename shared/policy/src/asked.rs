//! Which attributes policies ask for.
//!
//! What Cedar makes of a policy is looked at, not its text. What an attribute is stands in the schema.

use cedar_policy::Policy;
use serde_json::Value;
use std::collections::BTreeSet;

/// The paths of all attributes that policies name or ask to be there, such as `resource.device.class`, with the records
/// on the way to them.
pub fn asked_for<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for json in policies.into_iter().filter_map(|policy| policy.to_json().ok()) {
        look(&json, &mut found);
    }
    found
}

fn look(json: &Value, found: &mut BTreeSet<String>) {
    match json {
        Value::Object(fields) => {
            for (operator, operands) in fields {
                if let "." | "has" = operator.as_str() {
                    found.extend(path_of(operands));
                }
                look(operands, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| look(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The path behind `left.attr`, where it begins with the alert or the circumstances.
fn path_of(operands: &Value) -> Option<String> {
    let left = operands.get("left")?;
    let attribute = operands.get("attr")?.as_str()?;
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
}
