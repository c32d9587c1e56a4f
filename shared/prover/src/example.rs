//! An input that the solver has found, as people read it, and what Cedar itself says about it.

use crate::words;
use cedar_policy::{
    AuthorizationError, Authorizer, Entities, EvalResult, Policy, PolicySet, Request, Response, Schema,
};
use cedar_policy_symcc::Env;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeSet;

/// One attribute of an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attribute {
    /// As policies name it, such as `resource.device.class`.
    pub name: String,
    /// None: it is absent.
    pub value: Option<String>,
    /// Whether the policies concerned ask for it.
    pub asked_for: bool,
    /// Whether it could not be what it is for an ordinary alert: there, as a rule, is the hole.
    pub telling: bool,
}

/// An alert, a device and circumstances, in the order of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    pub attributes: Vec<Attribute>,
}

impl Example {
    /// An attribute by its path.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// What is asked for, one line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let shown: Vec<&Attribute> = self.attributes.iter().filter(|attribute| attribute.asked_for).collect();
        let width = shown.iter().map(|attribute| attribute.name.len()).max().unwrap_or_default();
        let line = |attribute: &&Attribute| {
            let value = model::one_line(attribute.value.as_deref().unwrap_or("absent"), 200);
            let mark = if attribute.telling { "   <- not ordinary" } else { "" };
            format!("    {:<width$}  {value}{mark}", attribute.name)
        };
        shown.iter().map(line).collect()
    }
}

/// An input as Cedar takes it: whole, and valid by the schema.
#[derive(Debug)]
pub(crate) struct Input {
    request: Request,
    entities: Entities,
}

impl Input {
    pub(crate) fn new(found: &Env, schema: &Schema) -> Result<Input, String> {
        let (request, resource) = (&found.request, found.request.resource());
        let alert = resource.and_then(|uid| found.entities.get(uid)).ok_or("the example has no alert")?;
        let entities =
            Entities::from_entities([alert.clone()], Some(schema)).map_err(|error| error.to_string())?;
        let part = "the example lacks a part of the question";
        let request = Request::new(
            request.principal().ok_or(part)?.clone(),
            request.action().ok_or(part)?.clone(),
            request.resource().ok_or(part)?.clone(),
            request.context().ok_or(part)?.clone(),
            Some(schema),
        );
        Ok(Input { request: request.map_err(|error| error.to_string())?, entities })
    }

    /// What Cedar itself says.
    pub(crate) fn judge(&self, policies: &PolicySet) -> Response {
        Authorizer::new().is_authorized(&self.request, policies, &self.entities)
    }

    /// Cedar's own words about why a policy cannot be evaluated, if it cannot.
    pub(crate) fn error_of(&self, policy: &Policy) -> Option<String> {
        let alone = PolicySet::from_policies([policy.clone()]).ok()?;
        let response = self.judge(&alone);
        response.diagnostics().errors().next().map(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            error.inner().to_string()
        })
    }

    /// The example as people read it. `asked` are the policies that it is about, `telling` the attributes that
    /// could not be what they are for an ordinary alert.
    pub(crate) fn shown(&self, asked: &[&Policy], telling: &BTreeSet<String>) -> Example {
        let asked = policy::asked_for(asked.iter().copied());
        let records = ["resource.device", "resource.hunt", "resource.user"];
        let missing: Vec<&str> = records.into_iter().filter(|of| self.value(of).is_none()).collect();
        let mut attributes = Vec::new();
        for (of, names) in words::ATTRIBUTES {
            // What a device that is absent would have said is not worth a line each.
            if missing.contains(&of) {
                let absent = Attribute {
                    name: of.to_owned(),
                    value: None,
                    asked_for: asked.iter().any(|path| path.starts_with(of)),
                    telling: telling.iter().any(|path| path.starts_with(of)),
                };
                attributes.push(absent);
                continue;
            }
            for name in names {
                let path = format!("{of}.{name}");
                let value = self.value(&path).map(|value| said(&value));
                let (asked_for, telling) = (asked.contains(&path), telling.contains(&path));
                attributes.push(Attribute { name: path, value, asked_for, telling });
            }
        }
        Example { attributes }
    }

    /// The value at a path such as `resource.device.class`.
    fn value(&self, path: &str) -> Option<EvalResult> {
        let mut names = path.split('.');
        let (of, first) = (names.next()?, names.next()?);
        let mut value = match of {
            "context" => self.request.context()?.get(first)?,
            _ => self.entities.get(self.request.resource()?)?.attr(first)?.ok()?,
        };
        for name in names {
            value = match &value {
                EvalResult::Record(record) => record.get(name)?.clone(),
                _ => return None,
            };
        }
        Some(value)
    }
}

/// A value as it is written in a policy; times and durations as people write them.
fn said(value: &EvalResult) -> String {
    match value {
        EvalResult::ExtensionValue(text) => time(text).unwrap_or_else(|| text.clone()),
        EvalResult::Set(items) => {
            let items: Vec<String> = items.iter().map(said).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// The solver gives a time as milliseconds after 1970.
fn time(text: &str) -> Option<String> {
    let number = text.split("duration(\"").nth(1)?.split("ms\"").next()?;
    let milliseconds: i64 = number.parse().ok()?;
    if text.contains("datetime") {
        let at = Timestamp::from_millisecond(milliseconds).ok()?;
        return Some(at.to_string());
    }
    Some(format!("{:#}", SignedDuration::from_millis(milliseconds)))
}
