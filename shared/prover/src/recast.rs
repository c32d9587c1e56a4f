//! Policies rewritten for a question: as their own opposite, under assumptions, one fewer.
//!
//! Goes by Cedar's JSON form of a policy. What a policy means is left to Cedar.

use crate::words;
use cedar_policy::{Policy, PolicyId, PolicySet};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One thing that is taken for granted: a forbid of whatever is not so.
#[derive(Debug)]
pub(crate) struct Assumption {
    pub(crate) forbid: Policy,
    /// The same as a permit of whatever is so.
    pub(crate) permit: Policy,
    /// What is so, as Cedar's JSON has it.
    holds: Value,
    /// The attributes that it is about.
    pub(crate) about: BTreeSet<String>,
}

/// Reads a text whose policies are all `forbid … unless { … }`.
pub(crate) fn assumptions(text: &str) -> Result<Vec<Assumption>, String> {
    let parsed: PolicySet = text.parse().map_err(|error| format!("an assumption: {error}"))?;
    let mut policies: Vec<&Policy> = parsed.policies().collect();
    policies.sort_by_key(|policy| place(policy));
    let read = policies.into_iter().map(|policy| {
        let name = policy.annotation("id").ok_or("an assumption has no `@id`")?;
        let holds = unless(policy).ok_or_else(|| format!("the assumption `{name}` is no `unless`"))?;
        // No policy of a playbook can have a name that begins with a blank.
        let forbid = policy.new_id(PolicyId::new(format!(" {name}")));
        let about = policy::asked_for([policy]).into_iter().filter(|path| !words::is_record(path)).collect();
        let permit = change(&as_permit(&forbid)?, |json| {
            *json.get_mut("conditions").ok_or("the policy has no conditions in JSON")? =
                json!([{"kind": "when", "body": holds}]);
            Ok(())
        })?;
        Ok(Assumption { forbid, permit, holds, about })
    });
    read.collect()
}

/// A policy that applies, and errs, only where the assumptions hold.
pub(crate) fn under<'a>(
    assumed: impl IntoIterator<Item = &'a Assumption>,
    policy: &Policy,
) -> Result<Policy, String> {
    change(policy, |json| {
        let conditions = json.get_mut("conditions").and_then(Value::as_array_mut);
        let conditions = conditions.ok_or("the policy has no conditions in JSON")?;
        let assumed: Vec<&Value> = assumed.into_iter().map(|assumption| &assumption.holds).collect();
        if let Some(all) = all_of(&assumed) {
            conditions.insert(0, json!({"kind": "when", "body": all}));
        }
        Ok(())
    })
}

/// Cedar numbers the policies of a text `policy0`, `policy1`, ….
fn place(policy: &Policy) -> usize {
    let id: &str = policy.id().as_ref();
    id.trim_start_matches("policy").parse().unwrap_or(usize::MAX)
}

/// What stands in a policy's `unless`, where that is all there is.
fn unless(policy: &Policy) -> Option<Value> {
    let json = policy.to_json().ok()?;
    match json.get("conditions")?.as_array()?.as_slice() {
        [only] if only.get("kind")? == "unless" => only.get("body").cloned(),
        _ => None,
    }
}

/// One expression that holds where all of these do. Nested as little as can be: Cedar goes down into it step by step.
fn all_of(expressions: &[&Value]) -> Option<Value> {
    match expressions {
        [] => None,
        [only] => Some((*only).clone()),
        several => {
            let (left, right) = several.split_at(several.len() / 2);
            Some(json!({"&&": {"left": all_of(left)?, "right": all_of(right)?}}))
        }
    }
}

/// The policy as a permit of whatever it applies to.
pub(crate) fn as_permit(policy: &Policy) -> Result<Policy, String> {
    with_effect(policy, "permit")
}

/// The policy as a forbid of whatever it applies to.
pub(crate) fn as_forbid(policy: &Policy) -> Result<Policy, String> {
    with_effect(policy, "forbid")
}

fn with_effect(policy: &Policy, effect: &str) -> Result<Policy, String> {
    change(policy, |json| {
        *json.get_mut("effect").ok_or("the policy has no effect in JSON")? = json!(effect);
        Ok(())
    })
}

fn change(policy: &Policy, by: impl FnOnce(&mut Value) -> Result<(), String>) -> Result<Policy, String> {
    let mut json = policy.to_json().map_err(|error| error.to_string())?;
    by(&mut json)?;
    Policy::from_json(Some(policy.id().clone()), json).map_err(|error| error.to_string())
}

/// A set of these policies; no two have the same name.
pub(crate) fn set<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> Result<PolicySet, String> {
    PolicySet::from_policies(policies.into_iter().cloned()).map_err(|error| error.to_string())
}
